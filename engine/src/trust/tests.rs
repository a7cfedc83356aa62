use std::io;
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use super::*;

fn identity(chain: &str, key: &str) -> Identity {
    Identity { chain_pem: chain.into(), key_pem: key.into() }
}

fn problem(tls: Tls) -> (&'static str, String) {
    let PlanError { field, problem } = tls.validate().expect_err("it must be refused");
    (field, problem)
}

fn key_problem(key: &str) -> String {
    let (field, problem) = problem(Tls { insecure: true, identity: Some(identity("", key)), ..Tls::default() });
    assert_eq!(field, "key", "{problem}");
    problem
}

fn ca_problem(ca: impl Into<Vec<u8>>) -> String {
    let (field, problem) = problem(Tls { ca_pem: Some(ca.into()), ..Tls::default() });
    assert_eq!(field, "ca", "{problem}");
    problem
}

/// What `openssl` writes.
fn openssl(args: &str, input: &str) -> String {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut command = Command::new("openssl");
    command.args(args.split_whitespace()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("`openssl` is installed");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "openssl {args}");
    String::from_utf8(output.stdout).expect("PEM")
}

#[test]
fn certificates_that_cannot_be_read_are_refused_by_name() {
    assert!(ca_problem("nothing").contains("-----BEGIN"));
    assert!(ca_problem("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----").contains("base64"));
    assert!(ca_problem("-----BEGIN CERTIFICATE-----\nMAMC").contains("-----END"));
    assert!(ca_problem("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----").contains("PRIVATE KEY"));
    assert!(ca_problem([0x30, 0x82, 1, 2]).contains("DER"));
    assert_eq!(Tls { insecure: true, ..Tls::default() }.validate(), Ok(()));
}

#[test]
fn a_key_that_cannot_be_used_is_named() {
    assert!(key_problem("").contains("-----BEGIN"));
    assert!(key_problem("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----").contains("CERTIFICATE"));
    let key = openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp521r1", "");
    assert!(key_problem(&key).contains("P-521"), "{}", key_problem(&key));
    assert!(key_problem(&openssl("ec", &key)).contains("P-521"));
    let rsa = openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024", "");
    assert!(key_problem(&rsa).contains("RSA of 1024 bits"), "{}", key_problem(&rsa));
    assert!(key_problem(&openssl("rsa -traditional", &rsa)).contains("RSA of 1024 bits"));
    assert!(key_problem(&openssl("genpkey -algorithm ED448", "")).contains("Ed448"));
    for locked in ["pkcs8 -topk8 -passout pass:x", "rsa -traditional -aes128 -passout pass:x"] {
        assert!(key_problem(&openssl(locked, &rsa)).contains("encrypted with a password"), "{locked}");
    }
    let ssh = "-----BEGIN OPENSSH PRIVATE KEY-----\nMAMCAQE=\n-----END OPENSSH PRIVATE KEY-----";
    assert!(key_problem(ssh).contains("ssh-keygen"));
}

#[test]
fn a_certificate_that_goes_with_another_key_says_what_each_is() {
    let key = || rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["h".to_owned()]).expect("a name");
    let (own, other) = (key(), key());
    let (chain, stranger) =
        (params.self_signed(&own).expect("one").pem(), params.self_signed(&other).expect("one").pem());
    let shown = |chain: &str, key: &str| Tls { insecure: true, identity: Some(identity(chain, key)), ..Tls::default() };
    let (pem, rsa) = (own.serialize_pem(), openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048", ""));
    assert_eq!(shown(&chain, &pem).validate(), Ok(()));
    assert_eq!(shown(&(chain.clone() + &stranger), &(chain.clone() + &pem)).validate(), Ok(()));
    let (field, words) = problem(shown(&stranger, &rsa));
    assert!(field == "cert" && words.contains("P-256") && words.contains("RSA of 2048 bits"), "{words}");
    let (field, words) = problem(shown(&(stranger + &chain), &pem));
    assert!(field == "cert" && words.contains("place 2"), "{words}");
}

#[test]
fn a_bundle_of_a_system_is_taken_with_what_stands_in_it() {
    let key = rcgen::KeyPair::generate().expect("a key");
    let one = rcgen::CertificateParams::new(Vec::new()).expect("no names").self_signed(&key).expect("one").pem();
    // The last one is no certificate, but for its label.
    let bundle = format!(
        "\u{feff}# Caf\u{e9}\r\n{one}\n=====\n{one}-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n"
    );
    let latin_1: Vec<u8> = bundle.chars().skip(1).map(|c| u8::try_from(u32::from(c)).expect("Latin-1")).collect();
    for pem in [bundle.into_bytes(), latin_1] {
        assert_eq!(Tls { ca_pem: Some(pem), ..Tls::default() }.validate(), Ok(()));
    }
    assert!(ca_problem("-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n").contains("trusted"));
}

#[test]
fn a_key_is_not_printed() {
    let identity = Identity { chain_pem: b"chain".to_vec(), key_pem: b"secret".to_vec() };
    assert!(!format!("{identity:?}").contains("115"), "{identity:?}");
}

#[test]
fn only_a_certificate_that_is_at_fault_brings_advice_about_certificates() {
    let said = |error: Error| explain(&io::Error::new(io::ErrorKind::InvalidData, error));
    let unknown = said(Error::InvalidCertificate(CertificateError::UnknownIssuer));
    assert!(unknown.contains("nobody") && unknown.contains("--cacert") && unknown.contains("-k"), "{unknown}");
    let expired = CertificateError::ExpiredContext {
        time: UnixTime::since_unix_epoch(Duration::from_secs(200 * 86_400)),
        not_after: UnixTime::since_unix_epoch(Duration::from_secs(86_400)),
    };
    let expired = said(Error::InvalidCertificate(expired));
    assert!(expired.contains("expired 199 days ago") && !expired.contains("--cacert"), "{expired}");
    let others = [
        (Error::AlertReceived(AlertDescription::ProtocolVersion), "TLS 1.2"),
        (Error::AlertReceived(AlertDescription::HandshakeFailure), "CBC"),
        (Error::AlertReceived(AlertDescription::CertificateRequired), "--cert"),
        (Error::AlertReceived(AlertDescription::InternalError), "InternalError"),
        (Error::InvalidMessage(InvalidMessage::InvalidContentType), "http://"),
        (Error::DecryptError, "decrypt"),
    ];
    for (error, words) in others {
        let said = said(error);
        assert!(said.contains(words), "{said}");
        assert!(!said.contains("-k,") && !said.contains("--cacert"), "{said}");
    }
    assert!(explain(&io::Error::from(io::ErrorKind::ConnectionReset)).contains("reset"));
    assert!(explain(&handshake_timed_out()).contains("handshake timed out"));
}
