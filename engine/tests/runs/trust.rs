//! Which certificates are taken, and in which words others are refused: `openssl s_server` with whatever `openssl req`
//! makes, curl's behaviour as the measure.

use std::io::Read;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use onrush_engine::{Armed, Check, Identity, Io, Plan, Tls};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, date_time_ymd};

use crate::harness::{plan, run_on};
use crate::tls::{Authority, Openssl, https, one_thread};

const NAMES: &str = "subjectAltName=DNS:localhost,IP:127.0.0.1";
const P_521: &str = "ec -pkeyopt ec_paramgen_curve:secp521r1";

/// A folder in which `openssl` makes certificates and keys.
struct Workshop(tempfile::TempDir);

impl Workshop {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn openssl(&self, args: &str) {
        let mut command = Command::new("openssl");
        command.args(args.split(' ')).current_dir(self.0.path()).stdin(Stdio::null());
        let output = command.output().expect("`openssl` is installed");
        assert!(output.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("openssl wrote it")
    }

    /// As `openssl req -x509` makes it: an authority, where no extension says otherwise.
    fn self_signed(&self, key: &str, extensions: &[&str]) -> (String, String) {
        self.self_signed_as("localhost", key, extensions)
    }

    fn self_signed_as(&self, common_name: &str, key: &str, extensions: &[&str]) -> (String, String) {
        let added: String = extensions.iter().map(|extension| format!(" -addext {extension}")).collect();
        let asked =
            format!("req -x509 -newkey {key} -nodes -days 30 -subj /CN={common_name} -keyout key -out crt{added}");
        self.openssl(&asked);
        (self.read("crt"), self.read("key"))
    }

    /// In OpenSSL's own form, with what it is trusted for behind it.
    fn trusted(&self, pem: &str) -> String {
        std::fs::write(self.path("plain"), pem).expect("a writable folder");
        self.openssl("x509 -in plain -trustout -addtrust serverAuth -setalias ours -out trusted");
        let trusted = self.read("trusted");
        assert!(trusted.contains("-----BEGIN TRUSTED CERTIFICATE-----"), "{trusted}");
        trusted
    }

    /// Of version 1: without extensions, signed by itself or by an authority whose files are there.
    fn version_1(&self, signer: &str) -> (String, String) {
        self.openssl("req -new -newkey rsa:2048 -nodes -subj /CN=localhost -keyout key -out csr");
        self.openssl(&format!("x509 -req -days 30 -in csr -out crt {signer}"));
        (self.read("crt"), self.read("key"))
    }
}

const WEAK: &[&str] = &["-cipher", "ALL:@SECLEVEL=0"];

fn taken(pair: &(String, String), flags: &[&str], tls: &Tls) -> Result<(), String> {
    let server = Openssl::start(pair, &[WEAK, flags].concat(), &[]);
    let armed = Armed::new(https(&server, "localhost", tls.clone(), 2), one_thread(Io::Auto));
    armed.map(drop).map_err(|refused| refused.to_string())
}

fn insecure() -> Tls {
    Tls { insecure: true, ..Tls::default() }
}

fn naming(pem: &str) -> Tls {
    Tls { ca_pem: Some(pem.into()), ..Tls::default() }
}

#[test]
fn without_proof_any_certificate_is_taken() {
    let shop = Workshop::new();
    let unknown = [NAMES, "1.2.3.4=critical,DER:0500"];
    let cases = [
        ("version 1", shop.version_1("-signkey key")),
        ("an unknown critical extension", shop.self_signed("rsa:2048", &unknown)),
        ("RSA of 1024 bits", shop.self_signed("rsa:1024", &[NAMES])),
        ("P-521", shop.self_signed(P_521, &[NAMES])),
        ("Ed448", shop.self_signed("ed448", &[NAMES])),
    ];
    for (kind, pair) in cases {
        for version in ["-tls1_3", "-tls1_2"] {
            let was_taken = taken(&pair, &[version], &insecure());
            match (kind, version) {
                // TLS 1.2 ties the key's curve to the key exchange, and its suites to kinds of keys.
                ("P-521" | "Ed448", "-tls1_2") => {
                    assert!(was_taken.is_err_and(|words| words.contains(kind)), "{kind} {version}");
                }
                _ => assert_eq!(was_taken, Ok(()), "{kind} {version}"),
            }
        }
        let words = taken(&pair, &[], &naming(&Authority::new().pem)).expect_err(kind);
        assert!(words.contains("certificate") || words.contains("P-521"), "{kind}: {words}");
    }
}

#[test]
fn a_servers_own_certificate_is_taken_where_it_was_named() {
    let shop = Workshop::new();
    let authority = Authority::new();
    let cases = [
        ("as openssl makes it", shop.self_signed("rsa:2048", &[NAMES])),
        ("by its common name", shop.self_signed("rsa:2048", &[])),
        ("no authority", shop.self_signed("rsa:2048", &[NAMES, "basicConstraints=critical,CA:FALSE"])),
        ("no authority, by its common name", shop.self_signed("rsa:2048", &["basicConstraints=critical,CA:FALSE"])),
        ("signed by another", authority.sign(&["localhost"], 2100)),
    ];
    for (kind, pair) in cases {
        for version in ["-tls1_3", "-tls1_2"] {
            assert_eq!(taken(&pair, &[version], &naming(&pair.0)), Ok(()), "{kind} {version}");
        }
        let as_openssl_keeps_it = naming(&shop.trusted(&pair.0));
        assert_eq!(taken(&pair, &[], &as_openssl_keeps_it), Ok(()), "{kind}, as TRUSTED CERTIFICATE");
        let both = naming(&(authority.pem.clone() + &pair.0));
        assert_eq!(taken(&pair, &[], &both), Ok(()), "{kind}, the second of two");
        let words = taken(&pair, &[], &naming(&shop.self_signed("rsa:2048", &[NAMES]).0)).expect_err(kind);
        assert!(words.contains("--cacert") && words.contains("-k"), "{kind}: {words}");
    }
}

/// A certificate that is named must fit all the same, and this relies on the order in which webpki looks.
#[test]
fn a_named_certificate_of_another_name_or_time_is_refused() {
    let shop = Workshop::new();
    let made = |name: &str, until_year: i32, is_authority: bool| {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a good name");
        params.distinguished_name.push(DnType::CommonName, "localhost");
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(until_year, 1, 1));
        params.is_ca = if is_authority { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
        let key = KeyPair::generate().expect("a key");
        (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
    };
    for is_authority in [true, false] {
        assert_eq!(taken(&made("localhost", 2100, is_authority), &[], &naming(&made("x", 2100, false).0)).ok(), None);
        for (pair, reason) in [
            (made("localhost", 2001, is_authority), "expired"),
            (made("elsewhere", 2100, is_authority), "not for localhost, but for elsewhere"),
        ] {
            let words = taken(&pair, &[], &naming(&pair.0)).expect_err(reason);
            assert!(words.contains(reason) && !words.contains("--cacert"), "{words}");
        }
    }
    let signed_by_another = Authority::new().sign(&["localhost"], 2001);
    let words = taken(&signed_by_another, &[], &naming(&signed_by_another.0)).expect_err("it has expired");
    assert!(words.contains("expired"), "{words}");
    let elsewhere = shop.self_signed_as("elsewhere", "rsa:2048", &[]);
    let words = taken(&elsewhere, &[], &naming(&elsewhere.0)).expect_err("another common name");
    assert!(words.contains("not for localhost"), "{words}");
    let mut words = String::new();
    for version in ["-tls1_3", "-tls1_2"] {
        let server = shop.self_signed("rsa:2048", &[NAMES]);
        // The same names, another key.
        words = taken(&server, &[version], &naming(&shop.self_signed("rsa:2048", &[NAMES]).0)).expect_err("a stranger");
    }
    assert!(words.contains("--cacert"), "{words}");
}

#[test]
fn what_is_not_spoken_is_named_without_advice_about_certificates() {
    let shop = Workshop::new();
    let rsa = shop.self_signed("rsa:2048", &[NAMES]);
    for (flags, words) in [
        (&["-tls1_2", "-cipher", "AES256-SHA:@SECLEVEL=0"][..], "RSA key exchange"),
        (&["-tls1_2", "-cipher", "ECDHE-RSA-AES256-SHA384:@SECLEVEL=0"], "CBC"),
        (&["-tls1_3", "-groups", "secp521r1"], "a curve beside"),
        (&["-tls1_1"], "TLS 1.1"),
    ] {
        let said = taken(&rsa, flags, &insecure()).expect_err(words);
        assert!(said.contains(words), "{flags:?}: {said}");
        assert!(!said.contains("-k,") && !said.contains("--cacert"), "{flags:?}: {said}");
    }
}

#[test]
fn a_client_may_show_a_certificate_of_version_1() {
    let shop = Workshop::new();
    shop.openssl("req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=authority -keyout ca.key -out ca.pem");
    let (chain, key) = shop.version_1("-CA ca.pem -CAkey ca.key -CAcreateserial");
    let authority = shop.read("ca.pem");
    let more = ["-Verify", "1", "-verify_return_error", "-CAfile", "ca.pem"];
    let server = Openssl::start(&shop.self_signed("rsa:2048", &[NAMES]), &more, &[("ca.pem", &authority)]);
    let identity = Some(Identity { chain_pem: chain.into(), key_pem: key.into() });
    let mut plan = https(&server, "localhost", Tls { identity, ..insecure() }, 3);
    plan.requests[0].checks = [Check::Status(vec![(200, 200)])].into();
    assert_eq!(run_on(plan, one_thread(Io::Auto)).totals().answered, 3);
}

#[test]
fn a_server_that_closes_during_the_handshake_is_no_refused_certificate() {
    for resets in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept()?;
            // What is left unread makes the kernel reset the connection.
            if resets { Ok(0) } else { stream.read(&mut [0; 4096]) }
        });
        let plan = Plan { tls: naming(&Authority::new().pem), ..plan(&format!("https://localhost:{port}/")) };
        let words = Armed::new(plan, one_thread(Io::Auto)).err().expect("it must be refused").to_string();
        assert!(words.contains("handshake"), "{words}");
        assert!(!words.contains("-k") && !words.contains("--cacert"), "{words}");
        serving.join().expect("it served").expect("a connection came");
    }
}
