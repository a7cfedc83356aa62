//! What people type and see: the real binary under other locales, on other terminals, and quiet.

mod harness;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use harness::{Target, beside_others};

/// The binary in an environment without a locale and a terminal's name, but for these variables.
fn onrush(args: &[&str], variables: &[(&str, &str)]) -> Command {
    harness::set_up();
    let mut command = Command::new(env!("CARGO_BIN_EXE_onrush"));
    command.env_clear().args(args).envs(variables.iter().copied());
    for kept in ["PATH", "HOME", "TMPDIR", "ONRUSH_RUNTIME_DIR"] {
        command.envs(std::env::var_os(kept).map(|value| (kept, value)));
    }
    command
}

fn run(args: &[&str], variables: &[(&str, &str)]) -> (Output, String, String) {
    let output = onrush(args, variables).output().expect("the binary starts");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    (output, out, err)
}

fn target() -> Target {
    harness::set_up();
    Target::start(&[])
}

/// What the binary writes to a terminal of so many columns.
fn on_terminal(args: &[&str], columns: u16, variables: &[(&str, &str)]) -> String {
    let size = libc::winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let (mut ours, mut theirs) = (-1, -1);
    // SAFETY: the two numbers and the size are locals that outlive the call; name and settings may be null.
    let opened = unsafe { libc::openpty(&mut ours, &mut theirs, std::ptr::null_mut(), std::ptr::null(), &size) };
    assert_eq!(opened, 0, "a terminal");
    // SAFETY: both were opened just now and belong to nobody else.
    let (ours, theirs) = unsafe { (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
    let mut command = onrush(args, variables);
    let end = || theirs.try_clone().expect("a second handle");
    let mut child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("the binary starts");
    // The terminal is over when nobody holds this end any more; then reading is an error, and what came before is all.
    drop((command, theirs));
    let mut written = Vec::new();
    let _ = File::from(ours).read_to_end(&mut written);
    child.wait().expect("it is a child of ours");
    String::from_utf8_lossy(&written).into_owned()
}

#[test]
fn quiet_leaves_the_result_and_errors_alone() {
    let _machine = beside_others();
    let target = target();
    for flags in [&["-R", "20", "-d", "2s", "--quiet"][..], &["-q", "-n", "10", "--expect", "status=500"]] {
        let (output, out, err) = run(&[&["bench", target.url().as_str()], flags].concat(), &[]);
        assert!(out.contains("conservation: exact"), "{out}");
        // The second one's failures are told as an error, and by nothing else.
        assert!(err.lines().all(|line| line.starts_with("error: ")), "{err}");
        assert_eq!(output.status.success(), err.is_empty(), "{err}");
    }
    let (_, out, err) = run(&["bench", "-q", "http://127.0.0.1:9/", "-n", "1"], &[]);
    assert!(out.is_empty() && err.starts_with("error: cannot connect"), "{out}{err}");
    let (_, out, err) = run(&["bench", &target.url(), "-R", "20", "-d", "2s"], &[("ONRUSH_QUIET", "true")]);
    assert!(!out.is_empty() && err.is_empty(), "{err}");
}

#[test]
fn a_locale_that_is_not_utf_8_gets_nothing_but_ascii() {
    let _machine = beside_others();
    let target = target();
    let url = target.url();
    let lines: [&[&str]; 6] = [
        &["bench", &url, "-n", "100", "--threshold", "p99<1us", "--expect", "status=404"],
        &["bench", &url, "-n", "100", "--threshold", "p99<1us", "--output-format", "json"],
        &["bench", "--help"],
        &["bench", &url, "-n", "zwölf"],
        &["bench", &url, "--targets", "/no/Übung.jsonl"],
        &["doctor"],
    ];
    for locale in [&[][..], &[("LC_ALL", "C")], &[("LC_CTYPE", "POSIX")], &[("LANG", "en_US.ISO-8859-1")]] {
        for line in lines {
            let (_, out, err) = run(line, locale);
            let odd: String = out.chars().chain(err.chars()).filter(|c| !c.is_ascii()).collect();
            assert!(odd.is_empty() && !(out.is_empty() && err.is_empty()), "{locale:?} {line:?}: {odd:?}");
        }
    }
    let (_, out, _) = run(lines[1], &[]);
    let result: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let value = result["thresholds"][0]["value"].as_str().unwrap_or_default();
    assert!(value.ends_with("µs") || value.ends_with("ms"), "the values are the same: {value}");
    let (_, out, _) = run(lines[0], &[("LC_ALL", "C.UTF-8"), ("LANG", "C")]);
    assert!(out.contains("schedule error, µs"), "{out}");
}

#[test]
fn a_terminal_gets_no_escape_sequence_unless_it_can_have_colours() {
    let _machine = beside_others();
    let target = target();
    let url = target.url();
    let args = ["bench", url.as_str(), "-R", "50", "-d", "1500ms"];
    for variables in
        [&[("TERM", "dumb")][..], &[("TERM", "dumb"), ("CI", "1")], &[("TERM", "xterm"), ("NO_COLOR", "1")]]
    {
        let text = on_terminal(&args, 80, variables);
        assert!(text.contains("conservation: exact") && !text.contains('\u{1b}'), "{variables:?}: {text:?}");
    }
    let text = on_terminal(&args, 80, &[("TERM", "xterm")]);
    assert!(text.contains("\u{1b}[32mconservation: exact"), "{text:?}");
}

#[test]
fn a_progress_line_keeps_its_failures_on_a_narrow_terminal() {
    let _machine = beside_others();
    let target = target();
    let args = ["bench", &target.url(), "-R", "50", "-d", "1500ms", "--expect", "status=404"];
    for columns in [100, 60, 40] {
        let text = on_terminal(&args, columns, &[("TERM", "xterm")]);
        let lines: Vec<&str> = text.split(['\r', '\n']).filter(|line| line.contains(" %  ")).collect();
        assert!(!lines.is_empty(), "{text:?}");
        for line in lines {
            assert!(line.chars().count() < usize::from(columns), "{line:?}");
            let failed = line.split("failed ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
            assert!(failed.is_some_and(|failed| failed > 0), "{columns}: {line:?}");
        }
    }
}

#[test]
fn a_unix_socket_is_named_in_the_url_or_beside_it() {
    harness::set_up();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("web.sock");
    let listener = UnixListener::bind(&socket).expect("a writable folder");
    let heads = Arc::new(Mutex::new(Vec::new()));
    let theirs = heads.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(50) {
            let (stream, heads) = (stream.expect("a connection"), theirs.clone());
            std::thread::spawn(move || {
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                while let Some(first) = lines.next() {
                    let rest: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
                    heads.lock().expect("no panic").push((first, rest));
                    (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("a reader");
                }
            });
        }
    });
    let socket = socket.to_str().expect("a plain name");
    let (in_url, as_url) = (format!("unix:{socket}"), format!("unix://{socket}"));
    let cases: [(&[&str], &str, &str); 3] = [
        (&[&in_url], "GET / HTTP/1.1", "localhost"),
        (&[&as_url], "GET / HTTP/1.1", "localhost"),
        (&["http://shop.test/ping?a=1", "--unix-socket", socket], "GET /ping?a=1 HTTP/1.1", "shop.test"),
    ];
    for (args, first, host) in cases {
        let (output, out, err) =
            run(&[&["bench", "-n", "3", "-c", "1", "--output-format", "json"], args].concat(), &[]);
        assert!(output.status.success(), "{args:?}: {out}{err}");
        let heads = std::mem::take(&mut *heads.lock().expect("no panic"));
        assert_eq!(heads.len(), 3, "{args:?}");
        for (line, rest) in heads {
            assert_eq!(line, first, "{args:?}");
            assert!(rest.iter().any(|line| line.eq_ignore_ascii_case(&format!("host: {host}"))), "{args:?}: {rest:?}");
        }
    }
}
