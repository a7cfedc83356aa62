//! Which certificates of servers are taken.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use crate::der::Certificate;

/// By the rules of webpki; and beside them a server's own certificate, where that very one was named, as curl takes it.
#[derive(Debug)]
pub(super) struct Trusted {
    pub webpki: Arc<WebPkiServerVerifier>,
    /// Every certificate that was named; none where the system's authorities are trusted.
    pub named: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let by_chain = self.webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let Err(error) = by_chain else { return by_chain };
        if !self.named.iter().any(|named| named == end_entity) {
            return Err(error);
        }
        // What is named needs nobody who vouches for it, but a name and dates that fit. webpki looks at the dates before
        // it asks who signed, so these errors say that they do (a test pins that order), and at names after all else.
        match error {
            error if is_about_names(&error) => by_common_name(end_entity, server_name, error),
            error if is_about_issuer(&error) => {
                let checked = verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name);
                checked.or_else(|error| by_common_name(end_entity, server_name, error).map(drop))
            }
            error => Err(error),
        }
        .map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// Whether all is well but for who signed: nobody known, or the certificate is an authority's.
fn is_about_issuer(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => true,
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
        }
        _ => false,
    }
}

fn is_about_names(error: &Error) -> bool {
    let name = |e: &CertificateError| {
        matches!(e, CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })
    };
    matches!(error, Error::InvalidCertificate(e) if name(e))
}

/// A certificate without alternative names, as a short `openssl req -x509` makes it, is for its common name.
fn by_common_name(
    certificate: &CertificateDer<'_>,
    server_name: &ServerName<'_>,
    otherwise: Error,
) -> Result<(), Error> {
    let asked = server_name.to_str();
    let read = Certificate::read(certificate).filter(|read| !read.has_alternative_names());
    let fits = read.is_some_and(|read| read.common_names().any(|name| name.eq_ignore_ascii_case(&asked)));
    if fits { Ok(()) } else { Err(otherwise) }
}

/// Takes whatever TLS can carry. Nothing is proved about who answers, so neither certificate nor signature is looked at,
/// and no kind of them is refused.
#[derive(Debug)]
pub(super) struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::ED25519,
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::RSA_PKCS1_SHA256,
            SignatureScheme::ECDSA_NISTP384_SHA384,
            SignatureScheme::RSA_PSS_SHA384,
            SignatureScheme::RSA_PKCS1_SHA384,
            SignatureScheme::ECDSA_NISTP521_SHA512,
            SignatureScheme::ED448,
            SignatureScheme::RSA_PSS_SHA512,
            SignatureScheme::RSA_PKCS1_SHA512,
            SignatureScheme::ML_DSA_44,
            SignatureScheme::ML_DSA_65,
            SignatureScheme::ML_DSA_87,
            SignatureScheme::ECDSA_SHA1_Legacy,
            SignatureScheme::RSA_PKCS1_SHA1,
        ]
    }
}
