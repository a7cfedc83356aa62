//! Whom targets are trusted by, and who this machine says it is.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::plan::PlanError;

/// Servers of which a thread keeps sessions.
const SESSIONS: usize = 256;

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
pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>, PlanError> {
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
