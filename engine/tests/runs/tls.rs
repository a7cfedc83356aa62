//! HTTPS against `openssl s_server`, which is not of this project.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use onrush_engine::{ArmError, Armed, Check, End, Identity, Io, Options, Plan, Tls, Wait};
use onrush_stats::FailureCause;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::harness::{finish, options, plan, run_on, tsunami};
use crate::server::OK;

/// An authority that signs whatever a test needs.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are fine");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        // Authorities are found by their names.
        params.distinguished_name.push(DnType::CommonName, format!("authority {}", fastrand::u64(..)));
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for these names, valid until a year, and its key.
    pub fn sign(&self, names: &[&str], until_year: i32) -> (String, String) {
        let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut params = CertificateParams::new(names).expect("good names");
        params.distinguished_name.push(DnType::CommonName, "a node");
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(until_year, 1, 1));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    pub fn trusted(&self) -> Tls {
        Tls { ca_pem: Some(self.pem.clone().into()), ..Tls::default() }
    }
}

/// A running `openssl s_server`, which says on a page what it knows of each connection, and serves them in turn.
pub struct Openssl {
    process: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Openssl {
    pub fn start((certificate, key): &(String, String), more: &[&str], files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let put = |name: &str, text: &str| -> PathBuf {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("a writable folder");
            path
        };
        let (certificate, key) = (put("cert.pem", certificate), put("key.pem", key));
        files.iter().for_each(|(name, text)| drop(put(name, text)));
        let process = Self::spawn(folder.path(), &certificate, &key, "127.0.0.1:0", more);
        let (process, address) = process;
        Self { process, address, _folder: folder }
    }

    fn spawn(folder: &Path, certificate: &Path, key: &Path, listen: &str, more: &[&str]) -> (Child, SocketAddr) {
        let mut process = Command::new("openssl")
            .args(["s_server", "-www", "-accept", listen, "-cert"])
            .arg(certificate)
            .arg("-key")
            .arg(key)
            .args(more)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("`openssl` is installed");
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let said =
            lines.map_while(Result::ok).find(|line| line.starts_with("ACCEPT")).expect("it says when it listens");
        // It names its address only where that was left to it.
        let address = said.strip_prefix("ACCEPT ").unwrap_or(listen);
        let address = address.trim().parse().expect("an address");
        (process, address)
    }

    fn url(&self, name: &str) -> String {
        format!("https://{name}:{}/", self.address.port())
    }
}

impl Drop for Openssl {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `count` requests over one connection at a time: the server closes after each answer and serves no two at once.
pub fn https(server: &Openssl, name: &str, tls: Tls, count: u64) -> Plan {
    Plan { count: Some(count), keepalive: false, tls, ..plan(&server.url(name)) }
}

pub fn one_thread(io: Io) -> Options {
    let mut options = options(Wait::Timer);
    options.cpus.truncate(1);
    Options { io, ..options }
}

#[test]
fn both_versions_are_spoken_on_both_drivers() {
    let authority = Authority::new();
    let certificate = authority.sign(&["localhost"], 2100);
    for (flag, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let server = Openssl::start(&certificate, &[flag], &[]);
        for io in [Io::IoUring, Io::Epoll] {
            let mut plan = https(&server, "localhost", authority.trusted(), 20);
            plan.requests[0].checks = [Check::BodyContains(format!("Protocol  : {version}").into())].into();
            let run = run_on(plan, one_thread(io));
            assert_eq!((run.totals().answered, run.failures()), (20, [].into()), "{version} {io:?}");
        }
    }
}

#[test]
fn sessions_are_resumed() {
    let authority = Authority::new();
    for flag in ["-tls1_2", "-tls1_3"] {
        let server = Openssl::start(&authority.sign(&["localhost"], 2100), &[flag], &[]);
        let mut plan = https(&server, "localhost", authority.trusted(), 10);
        // The connection that was tried before the run brought the first ticket, or the first answer does.
        plan.requests[0].checks = [Check::BodyContains(b"Reused, TLS".to_vec())].into();
        let run = run_on(plan, one_thread(Io::Auto));
        assert!(run.totals().answered >= 9, "{flag}: {:?}", run.totals());
    }
}

#[test]
fn a_certificate_that_proves_nothing_is_refused_in_words() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let cases = [
        (authority.sign(&["localhost"], 2100), stranger.trusted(), "UnknownIssuer"),
        (authority.sign(&["localhost"], 2001), authority.trusted(), "expired"),
        (authority.sign(&["elsewhere.example"], 2100), authority.trusted(), "not valid for name"),
    ];
    for (certificate, tls, reason) in cases {
        let server = Openssl::start(&certificate, &[], &[]);
        let begun = Instant::now();
        let refused = Armed::new(https(&server, "localhost", tls.clone(), 1), one_thread(Io::Auto));
        let Err(ArmError::Tls { host, source }) = refused else { panic!("{reason}: must be refused") };
        assert_eq!(host, "localhost");
        assert!(source.to_string().contains(reason), "{source}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{reason}: no hang");
        // Whoever does not want to know is let through.
        let any = https(&server, "localhost", Tls { insecure: true, ..tls }, 3);
        assert_eq!(run_on(any, one_thread(Io::Auto)).totals().answered, 3);
    }
}

#[test]
fn a_certificate_that_goes_bad_in_mid_test_fails_by_name() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = Openssl::start(&authority.sign(&["localhost"], 2100), &[], &[]);
    let address = server.address;
    let armed = Armed::new(https(&server, "localhost", authority.trusted(), 5), one_thread(Io::Auto));
    let armed = armed.expect("all is well so far");
    drop(server);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (certificate, key) = stranger.sign(&["localhost"], 2100);
    let put = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a writable folder");
        path
    };
    let (certificate, key) = (put("cert.pem", certificate), put("key.pem", key));
    let (process, address) = Openssl::spawn(folder.path(), &certificate, &key, &address.to_string(), &[]);
    let _server = Openssl { process, address, _folder: folder };
    let run = finish(armed.start(Instant::now()));
    assert_eq!(run.failures(), [(FailureCause::Tls, 5)].into());
}

#[test]
fn a_server_that_speaks_no_tls_fails_by_name() {
    let plain = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = plain.local_addr().expect("bound").port();
    let serving = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = plain.accept()?;
        let _ = stream.read(&mut [0; 4096])?;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    });
    let tls = Tls { insecure: true, ..Tls::default() };
    let plan = Plan { tls, ..plan(&format!("https://localhost:{port}/")) };
    let refused = Armed::new(plan, one_thread(Io::Auto)).err().expect("it must be refused");
    assert!(matches!(refused, ArmError::Tls { .. }) && refused.to_string().contains("http://"), "{refused}");
    let _ = serving.join();
}

#[test]
fn a_client_shows_its_certificate() {
    let authority = Authority::new();
    let more = ["-Verify", "1", "-verify_return_error", "-CAfile", "ca.pem"];
    let server = Openssl::start(&authority.sign(&["localhost"], 2100), &more, &[("ca.pem", &authority.pem)]);
    let (chain, key) = authority.sign(&["a client"], 2100);
    let identity = Some(Identity { chain_pem: chain.into(), key_pem: key.into() });
    let shown = https(&server, "localhost", Tls { identity, ..authority.trusted() }, 5);
    assert_eq!(run_on(shown, one_thread(Io::Auto)).totals().answered, 5);

    // TLS 1.3 lets a client think that it is through before the server has refused it.
    let hidden = https(&server, "localhost", authority.trusted(), 5);
    match Armed::new(hidden, one_thread(Io::Auto)) {
        Err(refused) => assert!(matches!(refused, ArmError::Tls { .. }), "{refused}"),
        Ok(armed) => assert_eq!(finish(armed.start(Instant::now())).failures(), [(FailureCause::Tls, 5)].into()),
    }
}

#[test]
fn a_flood_of_session_tickets_keeps_no_run_beyond_its_stop() {
    let authority = Authority::new();
    let certificate = authority.sign(&["localhost"], 2100);
    for io in [Io::IoUring, Io::Epoll] {
        let server = Openssl::start(&certificate, &["-tls1_3", "-num_tickets", "2000000000"], &[]);
        let timeout = Duration::from_secs(1);
        let plan = Plan {
            connections: 1,
            timeout,
            count: None,
            duration: Some(Duration::from_secs(600)),
            ..https(&server, "localhost", authority.trusted(), 1)
        };
        let armed = Armed::new(plan, one_thread(io)).expect("the handshake is over before the flood");
        let running = armed.start(Instant::now());
        let stopper = running.stopper();
        let stopping = std::thread::spawn(move || {
            std::thread::sleep(timeout / 2);
            stopper.stop();
            Instant::now()
        });
        let run = finish(running);
        let since_the_stop = stopping.join().expect("no panic").elapsed();
        assert_eq!((run.end(), run.failures()), (&End::Stopped, [(FailureCause::Timeout, 1)].into()), "{io:?}");
        assert!(since_the_stop < 10 * timeout, "{io:?}: over {since_the_stop:?} after the stop");
    }
}

/// One request and its response as the server saw them, and when what nobody asked for was out.
struct Served {
    came: Instant,
    done: Instant,
}

/// A page over TLS that says something more after each response: at once, or so much later.
fn talkative((certificate, key): &(String, String), pause: Duration) -> (SocketAddr, Arc<Mutex<Vec<Served>>>) {
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let config =
        ServerConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions();
    let config = config.expect("versions").with_no_client_auth().with_single_cert(chain, key).expect("a pair");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
    let address = listener.local_addr().expect("a bound listener has an address");
    let served = Arc::new(Mutex::new(Vec::new()));
    let theirs = served.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(200) {
            let (config, served) = (config.clone(), theirs.clone());
            std::thread::spawn(move || {
                let connection = ServerConnection::new(config).expect("a good config");
                let mut stream = StreamOwned::new(connection, stream.expect("a connection"));
                let mut head = [0; 1000];
                // Requests are short: each is one read, and the end of the connection is none.
                while stream.read(&mut head).is_ok_and(|length| length > 0) {
                    let came = Instant::now();
                    let unasked = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n";
                    let is_out = if pause.is_zero() {
                        // Two records in one flight.
                        let both = [OK, unasked].iter().try_for_each(|part| stream.conn.writer().write_all(part));
                        both.and_then(|()| stream.flush()).is_ok()
                    } else {
                        stream.write_all(OK).is_ok_and(|()| {
                            std::thread::sleep(pause);
                            stream.write_all(unasked).is_ok()
                        })
                    };
                    served.lock().expect("no panic").push(Served { came, done: Instant::now() });
                    if !is_out {
                        return;
                    }
                }
            });
        }
    });
    (address, served)
}

#[test]
fn what_comes_unasked_behind_tls_ends_the_connection_and_is_no_response() {
    const COUNT: u64 = 6;
    let authority = Authority::new();
    let certificate = authority.sign(&["localhost"], 2100);
    for io in [Io::IoUring, Io::Epoll] {
        for pause in [Duration::ZERO, Duration::from_millis(5)] {
            // A machine that stands still lets two requests fall together; then nobody could know better.
            let is_apart = |served: &[Served]| {
                served.len() == COUNT as usize && served.windows(2).all(|pair| pair[0].done < pair[1].came)
            };
            let run = (0..20).find_map(|_| {
                let (address, served) = talkative(&certificate, pause);
                let url = format!("https://localhost:{}/", address.port());
                let tsunami = tsunami(&url, Duration::from_millis(150));
                let run = run_on(Plan { count: Some(COUNT), tls: authority.trusted(), ..tsunami }, one_thread(io));
                let served = served.lock().expect("no panic");
                is_apart(&served).then_some(run)
            });
            let counts = run.expect("in none of 20 runs came the requests apart").stats().counts;
            assert_eq!(counts.statuses, [(200, COUNT)].into(), "{io:?} {pause:?}: {counts:?}");
            let unsolicited = counts.unsolicited;
            assert!(
                (COUNT - 1..=COUNT).contains(&unsolicited),
                "the last need not be seen: {io:?} {pause:?} {counts:?}"
            );
            assert_eq!((counts.connects, counts.failures), (COUNT - 1, [].into()), "{io:?} {pause:?}");
        }
    }
}
