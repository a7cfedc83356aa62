//! What went wrong with TLS, for people: what happened, and what to do about it.

use std::io;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible, PeerMisbehaved};

const TRUST: &str = "name the authority that signed it, or the certificate itself (--cacert, tls_ca_pem), or take any \
                     (-k, tls_insecure)";
const TAKE_ANY: &str = "take any certificate (-k, tls_insecure) if that does not matter here";
const NOTHING_IN_COMMON: &str = "the server refuses what this client offers: it may want RSA key exchange, CBC cipher \
                                 suites, a curve beside X25519, P-256 and P-384, or have only a key of an unusual kind \
                                 (P-521, Ed448)";
const OLD_VERSION: &str = "the server speaks TLS 1.1 or an older version, and this client TLS 1.2 and 1.3 alone";
const PLAIN_HTTP: &str = "the port does not speak TLS; if it speaks plain HTTP, use http://";

/// The error of a connection that speaks TLS, in words. Only a certificate that is at fault brings advice about
/// certificates; where any is taken, none is.
pub(crate) fn explain(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => of_tls(error),
        None => error.to_string(),
    }
}

/// The error of a handshake that took too long: the connection was there.
pub(crate) fn handshake_timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the connection is open, but the TLS handshake timed out")
}

fn of_tls(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::AlertReceived(alert) => of_alert(*alert),
        // What comes first from a port that speaks something else is no record.
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge
            | InvalidMessage::InvalidEmptyPayload,
        ) => PLAIN_HTTP.into(),
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13 | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        )
        | Error::PeerMisbehaved(PeerMisbehaved::SelectedUnusableCipherSuiteForVersion) => OLD_VERSION.into(),
        Error::PeerIncompatible(_) => format!("{NOTHING_IN_COMMON} ({error})"),
        Error::PeerMisbehaved(
            PeerMisbehaved::SelectedUnofferedCipherSuite
            | PeerMisbehaved::SelectedUnofferedKxGroup
            | PeerMisbehaved::SignedKxWithWrongAlgorithm,
        ) => format!("{NOTHING_IN_COMMON} ({error})"),
        other => other.to_string(),
    }
}

#[expect(deprecated, reason = "whoever matches without it forgets what an older webpki says")]
fn of_certificate(error: &CertificateError) -> String {
    let (problem, advice) = match error {
        CertificateError::UnknownIssuer => {
            ("the server's certificate is signed by nobody who is trusted here".into(), TRUST)
        }
        CertificateError::Expired => ("the server's certificate has expired".into(), TAKE_ANY),
        CertificateError::ExpiredContext { time, not_after } => {
            (format!("the server's certificate expired {} ago", length(*not_after, *time)), TAKE_ANY)
        }
        CertificateError::NotValidYet => ("the server's certificate is not valid yet".into(), TAKE_ANY),
        CertificateError::NotValidYetContext { time, not_before } => {
            (format!("the server's certificate is valid in {} only", length(*time, *not_before)), TAKE_ANY)
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = match presented.as_slice() {
                [] => "no name (a common name does not count)".to_owned(),
                names => names.iter().map(|name| presented_name(name)).collect::<Vec<_>>().join(", "),
            };
            (format!("the server's certificate is not for {}, but for {names}", expected.to_str()), TAKE_ANY)
        }
        CertificateError::NotValidForName => ("the server's certificate is for another name".into(), TAKE_ANY),
        CertificateError::BadSignature => {
            ("the server's certificate does not belong to its key, or is forged".into(), TRUST)
        }
        CertificateError::UnsupportedSignatureAlgorithm
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            let kinds = "P-521, Ed448, SHA-1, or RSA below 2048 bits";
            (format!("the server's certificate is signed in a way that cannot be checked here ({kinds})"), TAKE_ANY)
        }
        CertificateError::UnhandledCriticalExtension => {
            ("the server's certificate has a critical extension that is unknown here".into(), TAKE_ANY)
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            ("the server's certificate is not for servers".into(), TAKE_ANY)
        }
        CertificateError::Other(other) => match other.0.downcast_ref() {
            Some(webpki::Error::CaUsedAsEndEntity) => {
                ("the server shows the certificate of an authority".into(), TRUST)
            }
            Some(webpki::Error::UnsupportedCertVersion) => {
                ("the server's certificate is of version 1 (X.509 v1), which cannot be checked".into(), TAKE_ANY)
            }
            Some(webpki::Error::UnsupportedCriticalExtension) => {
                ("the server's certificate has a critical extension that is unknown here".into(), TAKE_ANY)
            }
            _ => (format!("the server's certificate cannot be checked: {}", other.0), TAKE_ANY),
        },
        other => (format!("the server's certificate cannot be checked: {other}"), TAKE_ANY),
    };
    format!("{problem}; {advice}")
}

fn of_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::ProtocolVersion => OLD_VERSION.into(),
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => NOTHING_IN_COMMON.into(),
        AlertDescription::UnrecognisedName => "the server knows no host of this name".into(),
        AlertDescription::NoApplicationProtocol => "the server does not speak HTTP/1.1 here".into(),
        AlertDescription::CertificateRequired => {
            "the server wants a certificate of the client (--cert and --key, tls_cert_pem and tls_key_pem)".into()
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied
        | AlertDescription::DecryptError => {
            format!("the server refuses the client's certificate, or wants one (--cert and --key): alert {alert:?}")
        }
        other => format!("the server ended the handshake by the alert {other:?}"),
    }
}

/// webpki writes `DnsName("h")` and `IpAddress(1.2.3.4)`.
fn presented_name(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, inner)| inner.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"')
}

/// The time from one moment to another, in the largest unit that counts it.
fn length(from: UnixTime, to: UnixTime) -> String {
    let seconds = to.as_secs().saturating_sub(from.as_secs());
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}
