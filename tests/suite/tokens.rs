//! Tokens: who may ask a guarded orchestrator, from the command line that makes them to the events that name their owners.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use onrush_api::{Client, DriverState, Token, orchestrator_url};

use crate::harness::{Broker, Process, SOON, System, beside_others, wait_for};

const END_AT_MOST: Duration = Duration::from_secs(20);

/// What a command of ours printed on each stream, and its exit code.
struct Said {
    out: String,
    err: String,
    code: Option<i32>,
}

fn run(args: &[&str], token_variable: Option<&str>) -> Said {
    let mut command = Process::command(args);
    command.envs(token_variable.map(|token| ("ONRUSH_TOKEN", token)));
    let Output { stdout, stderr, status } = command.output().expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said { out: text(stdout), err: text(stderr), code: status.code() }
}

/// A new token and its line for the orchestrator's file.
fn new_token(role: &str, name: &str) -> (String, String) {
    let said = run(&["token", "new", "--role", role, "--name", name], None);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let lines: Vec<&str> = said.out.lines().collect();
    let [token, line] = lines[..] else { panic!("two lines: {lines:?}") };
    assert!(line.starts_with(&format!("{role} {name} ")) && !line.contains(token), "{line}");
    (token.to_owned(), line.to_owned())
}

fn write(path: &Path, text: &str) -> PathBuf {
    std::fs::write(path, text).expect("the folder can be written");
    path.to_owned()
}

pub fn a_guarded_orchestrator_serves_whoever_has_a_token_and_names_them(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (control, control_line) = new_token("control", "ci");
    let (view, view_line) = new_token("view", "anna");
    let tokens = write(&system.file("tokens"), &format!("# who may ask\n{control_line}\n{view_line}\n"));
    let tokens_flag = tokens.to_str().expect("a plain name");
    let mut orchestrator = system.orchestrator_with(&["--token-file", tokens_flag]);
    let _drivers = [1, 2].map(|n| system.driver(&format!("driver-{n}"), &[]));
    let base = orchestrator.base().to_owned();
    let client = Client::with_token(orchestrator_url(&base).expect("a URL"), &Token::read(&view).expect("a token"));
    wait_for("two idle drivers", SOON, || {
        let drivers = client.drivers().map_err(|e| e.to_string())?;
        let idle = drivers.iter().filter(|driver| driver.state == DriverState::Idle).count();
        if idle == 2 { Ok(()) } else { Err(format!("{drivers:#?}")) }
    });

    let url = target.url();
    let start = ["test", "--orchestrator", &base, "start", &url, "-n", "50", "-c", "4"];
    let nobody = run(&start, None);
    assert_eq!(nobody.code, Some(1));
    assert!(
        nobody.err.contains("wants a token") && nobody.err.contains("--token-file FILE or in ONRUSH_TOKEN"),
        "{}",
        nobody.err
    );
    let viewer = run(&start, Some(&view));
    assert_eq!(viewer.code, Some(1));
    assert!(
        viewer.err.contains("the role control") && viewer.err.contains("that of anna has the role view"),
        "{}",
        viewer.err
    );
    let control_file = write(&system.file("ci.token"), &format!("{control}\n"));
    let with_file = [&start[..], &["--token-file", control_file.to_str().expect("a plain name")]].concat();
    // The file counts, whatever the variable says.
    let started = run(&with_file, Some(&view));
    assert_eq!(started.code, Some(0), "{}{}", started.out, started.err);
    let shown = run(&["test", "--orchestrator", &base, "show"], Some(&view));
    assert!(shown.out.contains("drivers start together, started by ci"), "{}", shown.out);
    assert!(shown.out.contains("the test is stored, created by ci"), "{}", shown.out);
    let doctor = run(&["doctor", "--orchestrator", &base], Some(&view));
    assert!(doctor.out.contains("driver-1") || doctor.out.contains("2 drivers"), "{}", doctor.out);

    // A bad line changes nothing; a list without the token ends it.
    write(&tokens, &format!("{control_line}\nadmin bert x\n"));
    orchestrator.process.hang_up();
    orchestrator.process.wait_for_line("the tokens stay as they were");
    assert!(orchestrator.process.output().contains("line 2: does not begin with a role"));
    assert!(client.drivers().is_ok());
    write(&tokens, &control_line);
    orchestrator.process.hang_up();
    orchestrator.process.wait_for_line("the token file was read again");
    let gone = client.drivers().expect_err("it left the list").to_string();
    assert!(gone.contains("does not know that token"), "{gone}");
    let control_client =
        Client::with_token(orchestrator_url(&base).expect("a URL"), &Token::read(&control).expect("a token"));
    assert!(control_client.drivers().is_ok(), "the other is as good as before");
    let log = orchestrator.process.output();
    assert!(!log.contains(&control) && !log.contains(&view), "a token is in the log");
    orchestrator.process.interrupt();
    assert!(orchestrator.process.wait_for_end(END_AT_MOST).success(), "a hang-up does not end it, an interrupt does");

    // Beyond this machine there is no orchestrator without tokens. This one ends before it listens.
    let store = system.file("other.db");
    let store = store.to_str().expect("a plain name");
    let open = ["orchestrator", "--brokers", broker.address(), "--listen", "0.0.0.0:0", "--store", store];
    let refused = run(&open, None);
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(refused.err.contains("--token-file FILE") && refused.err.contains("--insecure-no-auth"), "{}", refused.err);
    let both = run(&[&open[..], &["--insecure-no-auth", "--token-file", tokens_flag]].concat(), None);
    assert_eq!(both.code, Some(2), "{}", both.err);
}
