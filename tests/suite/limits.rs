//! What the system refuses is said, and ends in good order.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::process::Command;

use onrush_api::ParticipantState;
use rustix::process::{Resource, Rlimit, getuid, setrlimit};

use super::checks::{assert_exact, avalanche};
use crate::harness::{Broker, Process, SOON, System, beside_others};

/// Nobody's, so that no other process counts.
const SOME_USER: u32 = 61_234;

/// Under a limit of threads, however low, an orchestrator neither hangs nor panics.
pub fn too_few_threads_are_said(broker: &Broker) {
    let _machine = beside_others();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = folder.path().join("onrush");
    let is_root = getuid().is_root();
    if is_root {
        // Root has no such limit, and another user may not reach what root has built.
        // By another process: a child that is started meanwhile would hold a copy of ours open for writing.
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_onrush")).arg(&program).status();
        assert!(copied.expect("cp runs").success());
        chown(folder.path(), Some(SOME_USER), Some(SOME_USER)).expect("root may do that");
    }
    for threads in [1, 2, 3, 5, 8, 12, 20, 24, 30] {
        let mut command =
            Command::new(if is_root { program.as_os_str() } else { env!("CARGO_BIN_EXE_onrush").as_ref() });
        let store = folder.path().join("onrush.db");
        command.args(["orchestrator", "--brokers", broker.address(), "--listen", "127.0.0.1:0", "--store"]).arg(store);
        command.env("ONRUSH_RUNTIME_DIR", folder.path());
        if is_root {
            command.uid(SOME_USER);
        }
        let limit = Rlimit { current: Some(threads), maximum: Some(threads) };
        // SAFETY: between fork and exec only this system call is made; it allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(move || Ok(setrlimit(Resource::Nproc, limit)?));
        }
        let mut process = Process::start("orchestrator", command);
        let status = process.wait_for_end(SOON);
        let said = process.output();
        assert_eq!(status.code(), Some(1), "with {threads}: {said}");
        assert!(said.contains("threads") && !said.contains("panicked"), "with {threads}: {said}");
    }
}

/// A driver that may not open a test's connections and its own files refuses the test in words, and runs a smaller one.
pub fn too_few_descriptors_refuse_the_test(broker: &Broker) {
    const FILES: u64 = 320;
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (orchestrator, _drivers) = system.with_drivers(1);
    let topics = ["--brokers", broker.address(), "--topic-prefix", broker.prefix()];
    let mut command = Process::command(&[&["driver", "--node-id", "narrow"], topics.as_slice()].concat());
    let limit = Rlimit { current: Some(FILES), maximum: Some(FILES) };
    // SAFETY: between fork and exec only this system call is made; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || Ok(setrlimit(Resource::Nofile, limit)?));
    }
    let mut narrow = Process::start("narrow", command);
    orchestrator.wait_for_idle(2);
    let mut test = avalanche(&target.url(), 500);
    test["connections"] = (FILES - 40).into();
    let test_id = orchestrator.create(&test).expect("a good test").test_id;
    let refused = orchestrator.wait_for_test(&test_id, "refused", |test| {
        test.participants.iter().any(|participant| participant.state == ParticipantState::Refused)
    });
    let of_narrow = refused.participants.iter().find(|participant| participant.node_id == "narrow");
    let reason = of_narrow.and_then(|participant| participant.reason.as_deref()).expect("it says why");
    assert!(reason.contains("open files") && reason.contains("ulimit -n"), "{reason}");
    orchestrator.stop(&test_id).expect("it has not begun");
    orchestrator.wait_for_end(&test_id);
    test["connections"] = 50.into();
    let test_id = orchestrator.start(&test);
    orchestrator.wait_for_end(&test_id);
    assert_exact(&orchestrator, &test_id, 2, 500);
    narrow.assert_running();
}
