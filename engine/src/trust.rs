//! Whom targets are trusted by, and who this machine says it is: from PEM to what connections are made with.
//!
//! `verify` holds the rules, `explain` the words for what fails.

mod explain;
mod verify;

use std::fmt;
use std::sync::Arc;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer, ServerName,
};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};

use crate::der;
use crate::pem::{Block, blocks, not_pem};
use crate::plan_error::PlanError;
pub(crate) use explain::{explain, handshake_timed_out};
use verify::{AnyCertificate, Trusted};

/// Servers of which a thread keeps sessions.
const SESSIONS: usize = 256;

/// Whom targets are trusted by, and who this machine says it is. The default: as the system trusts, and nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Take any certificate: proves nothing about who answers.
    pub insecure: bool,
    /// Certificates of authorities, or of the targets themselves, in PEM, in place of the system's.
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
            .map_err(|error| PlanError::new("tls", error.to_string()))?
            .dangerous();
        let builder = if self.insecure {
            // A file that cannot be read is wrong all the same.
            self.ca_pem.as_deref().map(|pem| certificates("ca", pem)).transpose()?;
            builder.with_custom_certificate_verifier(Arc::new(AnyCertificate))
        } else {
            builder.with_custom_certificate_verifier(Arc::new(self.trusted(provider.clone())?))
        };
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let shown = Arc::new(SingleCertAndKey::from(identity.certified_key(&provider)?));
                builder.with_client_cert_resolver(shown)
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn trusted(&self, provider: Arc<CryptoProvider>) -> Result<Trusted, PlanError> {
        let (roots, named) = match &self.ca_pem {
            None => (system_roots()?, Vec::new()),
            Some(pem) => {
                let named = certificates("ca", pem)?;
                (roots(&named)?, named)
            }
        };
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let webpki = webpki.map_err(|error| PlanError::new("ca", error.to_string()))?;
        Ok(Trusted { webpki, named })
    }
}

fn roots(named: &[CertificateDer<'static>]) -> Result<RootCertStore, PlanError> {
    let mut roots = RootCertStore::empty();
    let mut problem = None;
    for certificate in named {
        // A bundle may hold some that are too old to be read; the others will do.
        if let Err(error) = roots.add(certificate.clone()) {
            problem.get_or_insert(error);
        }
    }
    match problem {
        Some(error) if roots.is_empty() => Err(PlanError::new("ca", format!("cannot be trusted: {error}"))),
        _ => Ok(roots),
    }
}

fn system_roots() -> Result<RootCertStore, PlanError> {
    let mut roots = RootCertStore::empty();
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

/// The same with sessions of its own, so that a thread resumes them without waiting for another.
pub(crate) fn own_sessions(config: &ClientConfig) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Arc::new(config)
}

fn certificates(field: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PlanError> {
    let blocks = blocks(pem);
    let found = blocks.iter().filter(|block| block.is_certificate()).map(Block::certificate);
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|problem| PlanError::new(field, problem))?;
    if !found.is_empty() {
        return Ok(found);
    }
    Err(PlanError::new(
        field,
        match blocks.first() {
            Some(other) => format!("holds no certificate in PEM, but a block {}", other.label),
            None => not_pem(pem, "certificate"),
        },
    ))
}

impl Identity {
    fn certified_key(&self, provider: &CryptoProvider) -> Result<CertifiedKey, PlanError> {
        let (key, name) = private_key(&self.key_pem)?;
        let key = provider.key_provider.load_private_key(key).map_err(|_| {
            let right = "give one of RSA (2048 to 4096 bits), P-256, P-384 or Ed25519";
            PlanError::new("key", format!("is a key that this client cannot sign with ({name}); {right}"))
        })?;
        let chain = certificates("cert", &self.chain_pem)?;
        // What rustls itself would compare it reads by rules for servers; a client may have a certificate of version 1.
        let public =
            |certificate: &CertificateDer<'_>| der::Certificate::read(certificate).map(|c| c.public_key.to_vec());
        let Some(own) = key.public_key() else { return Ok(CertifiedKey::new(chain, key)) };
        match chain.iter().position(|certificate| public(certificate).as_deref() == Some(own.as_ref())) {
            Some(0) => Ok(CertifiedKey::new(chain, key)),
            Some(other) => {
                let problem = format!("has the certificate of its key in place {}; put it first", other + 1);
                Err(PlanError::new("cert", problem))
            }
            None => {
                let certified = public(&chain[0]).map_or("unreadable".into(), |key| der::public_key_name(&key));
                let problem =
                    format!("does not go with its key: the certificate is for a key {certified}, the key is {name}");
                Err(PlanError::new("cert", problem))
            }
        }
    }
}

/// The first private key of a file, and what kind it is.
fn private_key(pem: &[u8]) -> Result<(PrivateKeyDer<'static>, String), PlanError> {
    let wrong = |problem: String| PlanError::new("key", problem);
    let blocks = blocks(pem);
    let Some(block) = blocks.iter().find(|block| block.is_key()) else {
        return Err(wrong(match blocks.first() {
            Some(other) => format!("holds no private key in PEM, but a block {}", other.label),
            None => not_pem(pem, "key"),
        }));
    };
    if block.is_encrypted() {
        let problem = "is encrypted with a password; decrypt it for the test: openssl pkey -in FILE -out PLAIN";
        return Err(wrong(problem.into()));
    }
    let der = block.der().map_err(wrong)?;
    match block.label.as_str() {
        "PRIVATE KEY" => {
            let name = der::pkcs8_name(&der);
            Ok((PrivatePkcs8KeyDer::from(der).into(), name))
        }
        "RSA PRIVATE KEY" => {
            let name = der::pkcs1_name(&der);
            Ok((PrivatePkcs1KeyDer::from(der).into(), name))
        }
        "EC PRIVATE KEY" => {
            let name = der::sec1_name(&der);
            Ok((PrivateSec1KeyDer::from(der).into(), name))
        }
        "OPENSSH PRIVATE KEY" => {
            Err(wrong("is in OpenSSH's own form; convert it: ssh-keygen -p -m PKCS8 -f FILE".into()))
        }
        other => Err(wrong(format!("is a {other}, which this client cannot sign with"))),
    }
}

/// The name that the target's certificate must have.
pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>, PlanError> {
    ServerName::try_from(host.to_owned())
        .map_err(|_| PlanError::new("url", format!("{host:?} is not a name that a certificate can have")))
}

#[cfg(test)]
mod tests;
