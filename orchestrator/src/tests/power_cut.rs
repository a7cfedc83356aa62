//! What must survive a power failure does, and the rest does not wait for the disk.

use super::*;
use crate::state;
use crate::store::{Store, Stored, open_tests, outbox, test};

/// The test as a store has it, and whether its totals are there.
fn found(store: &Path, id: &str) -> Option<crate::record::TestRecord> {
    let (_folder, path) = power::cut(store);
    let store = Store::open(&path).ok()?;
    test(store.connection(), id).unwrap().map(Stored::record)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_its_trigger_and_its_end_survive_a_power_failure() {
    let folder = tempfile::tempdir().unwrap();
    power::watch(folder.path());
    let path = folder.path().join("onrush.db");
    let broker = EmbeddedBroker::start("").unwrap();
    let orchestrator = orchestrator(&broker, &path).await;
    let handle = orchestrator.handle();
    handle.create(NewTest { trigger: false, ..new("t", 300) }).await.unwrap();
    assert!(found(&path, "t").is_some(), "who has the answer to the creation of a test may rely on it");

    let said =
        Consumer::new(&bus(&broker, "listener"), &[Topic::TestConfig, Topic::Trigger], |_, _| Start::Oldest, PATIENCE)
            .unwrap();
    let _drivers = [Driver::start(&broker, "a", 30), Driver::start(&broker, "b", 30)];
    until_registered(&handle, 2).await;
    handle.trigger(test_id("t")).await.unwrap();
    let (mut configs, mut triggers) = (0, 0);
    let deadline = Instant::now() + PATIENCE;
    while triggers == 0 {
        assert!(Instant::now() < deadline, "the trigger never came");
        let Some(record) = said.poll(Duration::from_millis(10)) else { continue };
        // Whatever drivers heard, the orchestrator knows that it said it.
        let known = found(&path, "t").unwrap();
        match record.topic {
            Topic::TestConfig => {
                configs += 1;
                assert!(known.published_order > 0 && known.participants.len() <= 2);
            }
            _ => {
                triggers += 1;
                assert_eq!(known.state, state::TestState::Running);
                assert!(known.start_at_unix_ms.is_some());
            }
        }
    }
    assert!(configs > 0);

    // What the drivers measure every second does not wait for the disk: it would come again from the topic.
    until("some reports are in", async || {
        let metrics = handle.metrics(test_id("t")).await.unwrap();
        metrics.all.sent.is_some_and(|sent| sent >= 20).then_some(())
    })
    .await;
    let before = power::syncs(&path);
    until("more reports are in", async || {
        let metrics = handle.metrics(test_id("t")).await.unwrap();
        metrics.all.sent.is_some_and(|sent| sent >= 320).then_some(())
    })
    .await;
    let during = power::syncs(&path) - before;
    assert!(during <= 3, "{during} syncs for 30 reports");

    let view = until_ended(&handle, "t").await;
    assert_eq!(view.state, TestState::Completed, "{:?}", view.reason);
    let (_folder, cut) = power::cut(&path);
    let store = Store::open(&cut).unwrap();
    let record = test(store.connection(), "t").unwrap().unwrap().record();
    assert_eq!((record.state, record.outcome), (state::TestState::Completed, Some(onrush_stats::Outcome::Exact)));
    let (_, totals) = crate::store::StoreReader::open(&cut).unwrap().totals("t").unwrap().unwrap();
    assert_eq!(totals.values().map(|total| total.stats.counts.sent).sum::<u64>(), 600);

    // A stop that goes out is known, too.
    handle.create(NewTest { trigger: false, ..new("u", 300) }).await.unwrap();
    handle.stop(test_id("u")).await.unwrap();
    assert_eq!(found(&path, "u").unwrap().state, state::TestState::Stopped);
    let (_folder, cut) = power::cut(&path);
    let store = Store::open(&cut).unwrap();
    assert!(open_tests(store.connection()).unwrap().is_empty());
    assert!(outbox(store.connection(), 0, 1000).unwrap().iter().any(|message| message.key == "u"));
    orchestrator.shutdown().await;
}
