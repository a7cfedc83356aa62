//! TLS as the engine needs it: whom to trust, and a connection that speaks it on the ring.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::TcpStream;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::plan::PlanError;

/// What one read takes at most: a TLS record with its overhead.
const RECORD_BYTES: usize = 18 * 1024;
/// Servers of which a thread keeps sessions.
const SESSIONS: usize = 256;
/// So much of a request is encrypted before it is sent.
const PIECE_BYTES: usize = 48 * 1024;

/// Whom targets are trusted by, and who this machine says it is. The default: as the system trusts, and nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Take any certificate: proves nothing about who answers.
    pub insecure: bool,
    /// Certificates of authorities, in PEM, in place of the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// For targets that ask for a certificate.
    pub identity: Option<Identity>,
}

/// A client's certificate and key.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, and those between it and its authority, in PEM.
    pub chain_pem: Vec<u8>,
    /// Its private key, in PEM (PKCS#8, PKCS#1 or SEC1).
    pub key_pem: Vec<u8>,
}

impl fmt::Debug for Identity {
    // A key does not belong into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Tls {
    /// Whether its certificates and keys can be read.
    pub(crate) fn validate(&self) -> Result<(), PlanError> {
        if *self == Self::default() { Ok(()) } else { self.client_config().map(|_| ()) }
    }

    /// What connections are made with; reads the system's authorities where it needs them.
    pub(crate) fn client_config(&self) -> Result<Arc<ClientConfig>, PlanError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| PlanError::new("tls", error.to_string()))?;
        let builder = if self.insecure {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        } else {
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(self.roots()?), provider).build();
            builder.with_webpki_verifier(verifier.map_err(|error| PlanError::new("ca", error.to_string()))?)
        };
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(Identity { chain_pem, key_pem }) => {
                let key = PrivateKeyDer::from_pem_slice(key_pem)
                    .map_err(|error| PlanError::new("key", format!("is no private key in PEM: {error}")))?;
                builder
                    .with_client_auth_cert(certificates("cert", chain_pem)?, key)
                    .map_err(|error| PlanError::new("cert", format!("does not go with its key: {error}")))?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<RootCertStore, PlanError> {
        let mut roots = RootCertStore::empty();
        if let Some(pem) = &self.ca_pem {
            for certificate in certificates("ca", pem)? {
                roots.add(certificate).map_err(|error| PlanError::new("ca", format!("cannot be trusted: {error}")))?;
            }
            return Ok(roots);
        }
        let found = rustls_native_certs::load_native_certs();
        // Systems carry certificates that are too old to be read; the others will do.
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            let problem = "this machine trusts no authority (the package ca-certificates brings them); name one, or \
                           say that any certificate will do";
            return Err(PlanError::new("ca", problem));
        }
        Ok(roots)
    }
}

/// The same with sessions of its own, so that a thread resumes them without waiting for another.
pub(crate) fn own_sessions(config: &ClientConfig) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Arc::new(config)
}

fn certificates(field: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PlanError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(list) if list.is_empty() => Err(PlanError::new(field, "holds no certificate in PEM")),
        Ok(list) => Ok(list),
        Err(error) => Err(PlanError::new(field, format!("is no PEM: {error}"))),
    }
}

/// The name that the target's certificate must have.
pub(crate) fn server_name(url: &url::Url) -> Result<ServerName<'static>, PlanError> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    ServerName::try_from(host.to_owned())
        .map_err(|_| PlanError::new("url", format!("{host:?} is no name that a certificate can have")))
}

/// Takes any certificate, and still asks for proof that the target has its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_that_cannot_be_read_are_refused_by_name() {
        let identity = |chain: &str, key: &str| Identity { chain_pem: chain.into(), key_pem: key.into() };
        let cases = [
            ("ca", Tls { ca_pem: Some(b"nothing".to_vec()), ..Tls::default() }),
            ("ca", Tls { ca_pem: Some(b"-----BEGIN CERTIFICATE-----\n!\n".to_vec()), ..Tls::default() }),
            ("key", Tls { insecure: true, identity: Some(identity("", "")), ..Tls::default() }),
        ];
        for (field, tls) in cases {
            assert_eq!(tls.validate().expect_err(field).field, field);
        }
        assert_eq!(Tls { insecure: true, ..Tls::default() }.validate(), Ok(()));
    }

    #[test]
    fn a_key_is_not_printed() {
        let identity = Identity { chain_pem: b"chain".to_vec(), key_pem: b"secret".to_vec() };
        assert!(!format!("{identity:?}").contains("115"), "{identity:?}");
    }
}
