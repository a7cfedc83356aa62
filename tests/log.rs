//! What the orchestrator's log shows of others: on one line each, and nothing that is theirs alone.

mod harness;

use std::process::Command;
use std::time::Duration;

use harness::{Broker, Peer, Process, Rest, wait_for};
use onrush_protocol::Topic;
use serde_json::json;

#[test]
fn what_others_say_makes_no_lines_and_what_they_keep_to_themselves_is_not_logged() {
    let broker = Broker::embedded();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_onrush"));
    command.env("RUST_LOG", "debug,rusqlite=off").args(["orchestrator", "--listen", "127.0.0.1:0", "--store"]);
    command.arg(folder.path().join("onrush.db"));
    command.args(["--brokers", broker.address(), "--topic-prefix", broker.prefix()]);
    let mut process = Process::start("orchestrator", command);
    let orchestrator = Rest::new(&process.wait_for_address());

    let secret = |n: u32| format!("secret-{n}");
    let test = json!({
        "test_type": "AVALANCHE", "requests": 1, "name": secret(1), "target_url": format!("http://127.0.0.1:9/?key={}", secret(2)),
        "method": "POST", "headers": {"authorization": secret(3)}, "body": secret(4),
    });
    let test_id = orchestrator.create(&test).expect("a good test").test_id;
    for path in [format!("/v1/tests?limit={}", secret(5)), format!("/v1/tests/{test_id}/stream?from={}", secret(6))] {
        assert_eq!(orchestrator.try_get(&path).expect("it answers").0, 422);
    }
    assert_eq!(orchestrator.create(&json!({secret(7): secret(8)})).expect_err("no test").status, 422);

    let peer = Peer::new(&broker);
    let evil = "no\n2026-01-01T00:00:00Z ERROR forged\r\u{1b}[2J";
    for node in ["driver-1", "driver-2"] {
        let session = json!({"node_id": node, "session_id": "s", "node_IP": evil, "hostname": evil, "version": evil});
        peer.send_json(Topic::Register, &session);
        wait_for("its refusal to be noted", Duration::from_secs(30), || {
            let heartbeat = json!({
                "node_id": node, "session_id": "s", "heartbeat": "YES", "schema": 1, "state": "IDLE", "refused_test_id": test_id,
                "refusal_reason": evil, "reports_waiting": 0,
            });
            peer.send_json(Topic::Heartbeat, &heartbeat);
            let output = process.output();
            let noted = output.lines().any(|line| line.contains("refused: no\\n") && line.contains(node));
            if noted { Ok(()) } else { Err(output) }
        });
    }
    let output = process.output();
    for line in output.lines() {
        assert!(!line.starts_with("2026-01-01") && !line.contains('\r'), "{line:?} is no line of the orchestrator's");
        assert!(!line.contains('\u{1b}'), "{line:?}");
        assert!(!line.contains("secret-"), "{line:?}");
    }
}
