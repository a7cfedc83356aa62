//! The TLS of one connection: bytes in, bytes out. Beyond the handshake it refuses to know sockets.

use std::io::{self, Read, Write};
use std::sync::Arc;

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::TcpStream;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

/// What one read takes at most: a TLS record with its overhead.
pub(crate) const RECORD_BYTES: usize = 18 * 1024;
/// So much of a request is encrypted at a time.
const PIECE_BYTES: usize = 48 * 1024;
/// So much is decrypted at a time.
const PLAIN_BYTES: usize = 16 * 1024;

pub(crate) struct Session {
    connection: ClientConnection,
    /// Decrypted bytes on their way to the reader.
    plain: Box<[u8]>,
}

impl Session {
    fn new(config: Arc<ClientConfig>, name: ServerName<'static>) -> io::Result<Self> {
        let connection = ClientConnection::new(config, name).map_err(invalid)?;
        Ok(Self { connection, plain: vec![0; PLAIN_BYTES].into() })
    }

    /// Takes what was received and gives what it holds for HTTP to `take`. Says whether the other end has taken its leave.
    pub fn receive(&mut self, mut received: &[u8], mut take: impl FnMut(&[u8])) -> io::Result<bool> {
        let mut ended = false;
        while !received.is_empty() {
            let read = self.connection.read_tls(&mut received)?;
            ended |= self.connection.process_new_packets().map_err(invalid)?.peer_has_closed();
            loop {
                match self.connection.reader().read(&mut self.plain) {
                    Ok(0) => break,
                    Ok(length) => take(&self.plain[..length]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
            if read == 0 {
                break;
            }
        }
        Ok(ended)
    }

    /// Encrypts the beginning of `bytes` behind whatever TLS itself has to say, and gives how much of them that was.
    pub fn encrypt(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<usize> {
        let taken = self.connection.writer().write(&bytes[..bytes.len().min(PIECE_BYTES)])?;
        while self.connection.wants_write() {
            self.connection.write_tls(out)?;
        }
        Ok(taken)
    }
}

/// Shakes hands on a new connection. What is wrong with the target's certificate is an error of kind `InvalidData`, as is
/// whatever ends a handshake: most servers just close.
pub(crate) async fn handshake(
    mut tcp: TcpStream,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> io::Result<(TcpStream, Session)> {
    let mut session = Session::new(config, name)?;
    let (mut incoming, mut outgoing) = (Vec::with_capacity(RECORD_BYTES), Vec::new());
    loop {
        while session.connection.wants_write() {
            outgoing.clear();
            session.connection.write_tls(&mut outgoing)?;
            let (written, buffer) = tcp.write_all(outgoing).await;
            written.map_err(cut_short)?;
            outgoing = buffer;
        }
        if !session.connection.is_handshaking() {
            return Ok((tcp, session));
        }
        let (read, buffer) = tcp.read(incoming).await;
        incoming = buffer;
        let length = read.map_err(cut_short)?;
        if length == 0 {
            return Err(invalid("the target closed the connection during the TLS handshake"));
        }
        if let Err(error) = session.receive(&incoming[..length], |_| ()) {
            // The alert says to the other end what was wrong; whether it arrives changes nothing.
            outgoing.clear();
            while session.connection.wants_write() && session.connection.write_tls(&mut outgoing).is_ok() {}
            let _ = tcp.write_all(outgoing).await;
            return Err(error);
        }
    }
}

fn cut_short(error: io::Error) -> io::Error {
    invalid(format!("the TLS handshake was cut short: {error}"))
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
