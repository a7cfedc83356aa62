//! However many clients come and however slowly they read, the orchestrator serves the others and stays small.

mod harness;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use harness::{Broker, Orchestrator, Rest, System, wait_for};
use onrush_api::Outcome;
use serde_json::json;

/// Streams that are open at once, at most.
const MAX_STREAMS: usize = 256;
/// A small machine must do.
const MAX_MEMORY_KIB: u64 = 200 * 1024;

/// Each connection is a descriptor of this process, too.
fn allow_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(4096, |maximum| maximum.min(4096));
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).expect("within the limit");
}

/// The orchestrator has as many descriptors as most systems give a process.
fn usual_descriptors(orchestrator: &Orchestrator) {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let pid = Pid::from_raw(orchestrator.process.id().cast_signed()).expect("it has a number");
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(1024), maximum: Some(1024) }).expect("it is ours");
}

fn connect(orchestrator: &Orchestrator) -> TcpStream {
    let address = orchestrator.base().trim_start_matches("http://").parse().expect("an address");
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(10)).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out");
    stream
}

fn send(orchestrator: &Orchestrator, head: &str) -> TcpStream {
    let mut stream = connect(orchestrator);
    stream.write_all(head.as_bytes()).expect("it can be sent");
    stream
}

/// The first bytes of an answer.
fn begin(stream: &mut TcpStream) -> String {
    let mut head = [0; 64];
    let n = stream.read(&mut head).expect("an answer begins");
    String::from_utf8_lossy(&head[..n]).into_owned()
}

/// The most memory that the process has had.
fn peak_memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it has memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// How fast the orchestrator says to somebody who comes anew that it works, the best of some: the machine has other things
/// to do. Anew, because a connection that asks for nothing meanwhile gives its place away.
#[track_caller]
fn assert_answers_at_once(orchestrator: &Orchestrator, when: &str) {
    let mut best = Duration::MAX;
    for _ in 0..10 {
        let newcomer = Rest::new(orchestrator.base());
        let begun = Instant::now();
        let (status, text) = newcomer.try_get("/healthz").unwrap_or_else(|e| panic!("{when}: {e}"));
        assert_eq!(status, 200, "{when}: {text}");
        best = best.min(begun.elapsed());
        if best < Duration::from_millis(100) {
            return;
        }
    }
    panic!("{when}: the best answer took {best:?}");
}

#[test]
fn half_requests_without_end_keep_nobody_out() {
    allow_descriptors();
    let broker = Broker::embedded();
    let system = System::new(&broker);
    let orchestrator = system.orchestrator();
    usual_descriptors(&orchestrator);
    let crowd: Vec<TcpStream> =
        (0..1087).map(|_| send(&orchestrator, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")).collect();
    assert_answers_at_once(&orchestrator, "beside half requests");
    let bodies: Vec<TcpStream> = (0..600)
        .map(|_| send(&orchestrator, "POST /v1/tests HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9999\r\n\r\n{"))
        .collect();
    assert_answers_at_once(&orchestrator, "beside half bodies");
    drop((crowd, bodies));
    wait_for("ordinary requests are served again", Duration::from_secs(10), || {
        Rest::new(orchestrator.base())
            .try_get("/v1/tests")
            .and_then(|(status, text)| if status == 200 { Ok(()) } else { Err(text) })
    });
}

#[test]
fn readers_that_do_not_read_cost_little() {
    allow_descriptors();
    let broker = Broker::embedded();
    let system = System::new(&broker);
    let target = system.target(&[]);
    let (orchestrator, _drivers) = system.with_drivers(2);
    // A long description, so that each event of the test's state is large.
    let test = json!({
        "test_type": "TSUNAMI", "target_url": target.url(), "test_message_delay": "5ms", "duration": "12s",
        "method": "POST", "body": "x".repeat(400_000), "trigger": true
    });
    let test_id = orchestrator.create(&test).expect("a good test").test_id;
    let before_kib = peak_memory_kib(orchestrator.process.id());
    let stream =
        format!("GET /v1/tests/{test_id}/stream?from=0 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    let mut readers: Vec<TcpStream> = (0..500).map(|_| send(&orchestrator, &stream)).collect();
    let heads: Vec<String> = readers.iter_mut().map(begin).collect();
    let refused: Vec<usize> = (0..readers.len()).filter(|n| !heads[*n].contains(" 200 ")).collect();
    assert!(refused.len() >= readers.len() - MAX_STREAMS, "{} were refused", refused.len());
    // One that comes later may find a place that somebody has left.
    let words = {
        let mut text = heads[refused[0]].clone();
        readers[refused[0]].read_to_string(&mut text).expect("a whole answer");
        text.to_ascii_lowercase()
    };
    assert!(words.starts_with("http/1.1 503 ") && words.contains("retry-after: "), "{words}");
    assert_answers_at_once(&orchestrator, "beside deaf readers");
    let done = orchestrator.wait_for_end(&test_id);
    assert_eq!(done.outcome, Some(Outcome::Exact), "{:?}", done.reason);
    let peak_kib = peak_memory_kib(orchestrator.process.id());
    assert!(peak_kib < MAX_MEMORY_KIB, "{before_kib} KiB without them, {peak_kib} KiB with them");
}
