//! A connection that speaks TLS on the ring. Whom it trusts is `trust`'s to say.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::TcpStream;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

/// What one read takes at most: a TLS record with its overhead.
const RECORD_BYTES: usize = 18 * 1024;
/// So much of a request is encrypted before it is sent.
const PIECE_BYTES: usize = 48 * 1024;

/// A connection that speaks TLS.
pub(crate) struct TlsStream {
    tcp: TcpStream,
    session: ClientConnection,
    /// What came and is not decrypted yet; lent to the kernel while reading.
    incoming: Vec<u8>,
    /// So much of it went to the session.
    consumed: usize,
    /// Lent to the kernel while writing.
    outgoing: Vec<u8>,
    /// The other end has said farewell.
    ended: bool,
}

impl TlsStream {
    /// Shakes hands on a new connection. What is wrong with the target's certificate is an error of kind
    /// `InvalidData`.
    pub async fn connect(tcp: TcpStream, config: Arc<ClientConfig>, name: ServerName<'static>) -> io::Result<Self> {
        let session = ClientConnection::new(config, name).map_err(invalid)?;
        let (incoming, outgoing) = (Vec::with_capacity(RECORD_BYTES), Vec::new());
        let mut stream = Self { tcp, session, incoming, consumed: 0, outgoing, ended: false };
        while stream.session.is_handshaking() {
            stream.flush().await?;
            if stream.session.is_handshaking() && !stream.receive().await? {
                return Err(invalid("the target closed the connection during the TLS handshake"));
            }
        }
        stream.flush().await?;
        Ok(stream)
    }

    pub fn as_raw_fd(&self) -> RawFd {
        self.tcp.as_raw_fd()
    }

    /// Sends as many of `bytes` as go out at a time.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.session.writer().write(&bytes[..bytes.len().min(PIECE_BYTES)])?;
        self.flush().await?;
        Ok(taken)
    }

    /// Reads into `buffer`, up to its capacity; 0: the other end has closed.
    pub async fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        buffer.resize(buffer.capacity(), 0);
        loop {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // A connection that ends without TLS's own farewell has ended all the same: HTTP says what was whole.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            if !self.receive().await? {
                return Ok(0);
            }
            // A key update wants an answer.
            self.flush().await?;
        }
    }

    /// Takes what came unasked: TLS 1.3 sends tickets whenever it likes. False: it was the end.
    pub async fn take_unasked(&mut self) -> bool {
        matches!(self.receive().await, Ok(true)) && !self.ended
    }

    /// Decrypts what is there, or else waits for more. False: the other end has closed.
    async fn receive(&mut self) -> io::Result<bool> {
        if self.consumed == self.incoming.len() {
            self.consumed = 0;
            let (read, filled) = self.tcp.read(std::mem::take(&mut self.incoming)).await;
            self.incoming = filled;
            let length = read?;
            self.incoming.truncate(length);
            if length == 0 {
                // The session must know, or it would wait for the rest.
                self.session.read_tls(&mut io::empty())?;
                return Ok(false);
            }
        }
        self.consumed += self.session.read_tls(&mut &self.incoming[self.consumed..])?;
        match self.session.process_new_packets() {
            Ok(state) => {
                self.ended |= state.peer_has_closed();
                Ok(true)
            }
            Err(error) => {
                // The alert says to the other end what was wrong; whether it arrives changes nothing.
                let _ = self.flush().await;
                Err(invalid(error))
            }
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.outgoing.clear();
            self.session.write_tls(&mut self.outgoing)?;
            let (written, outgoing) = self.tcp.write_all(std::mem::take(&mut self.outgoing)).await;
            self.outgoing = outgoing;
            written?;
        }
        Ok(())
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
