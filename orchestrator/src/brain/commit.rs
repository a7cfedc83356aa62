//! One batch, one transaction; then the world hears of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use onrush_protocol::{NodeId, TestId};
use rusqlite::Transaction;
use url::Url;

use super::ask_target::ask_target;
use super::command::Command;
use super::{Brain, BrainError, Life, Offsets, places};
use crate::aggregate::{DriverPart, Parts, SealedSecond};
use crate::capacity::SearchRecord;
use crate::clock::Now;
use crate::core::{Core, Effect, EnteredReport, Unsaved};
use crate::export::News;
use crate::problem::Problem;
use crate::record::TestRecord;
use crate::second::SecondNumbers;
use crate::store::{self, Durability, StoreError};
use crate::target_check::TimeSource;
use crate::target_look::look_at_target;
use crate::updates::Update;
use crate::views;

/// Messages of the outbox that are read at once.
const OUTBOX_PAGE: usize = 100;

/// A running test is stored as a whole so often: what a start reads is bounded by the reports of this time.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(30);
/// Not more often than takes one part in so many of the brain's time.
const SNAPSHOT_SHARE: u32 = 200;

/// A second as it is shown from now on.
pub(super) struct ShownSecond {
    test_id: TestId,
    numbers: SecondNumbers,
    sealable_since: Option<Instant>,
    /// What it brings that was not shown before: of a late report, only that.
    news: BTreeMap<NodeId, DriverPart>,
    /// The same, merged.
    all_news: DriverPart,
}

/// What remains to be done when the transaction is committed.
#[derive(Default)]
pub(super) struct After {
    posted: bool,
    /// The tests of which something was reported.
    pub(super) reported: BTreeSet<TestId>,
    seconds: Vec<ShownSecond>,
    changed: BTreeSet<TestId>,
    ended: HashMap<TestId, (TestRecord, Parts)>,
    /// Tests that were over, as they are now.
    amended: HashMap<TestId, (TestRecord, Parts)>,
    targets: Vec<(TestId, Url)>,
    looks: Vec<(TestId, TimeSource)>,
    answers: Vec<(TestId, Result<(), Problem>)>,
    searches: Vec<SearchRecord>,
}

impl Brain {
    /// Makes the effects, and the offsets behind them, one transaction.
    pub(super) fn commit(&mut self, life: &mut Life, offsets: Offsets, now: Now) -> Result<(), BrainError> {
        let committed = self.try_commit(life, offsets, now);
        committed.map_err(|error| {
            let error = match error {
                BrainError::Store(error) => error.of_file(&self.config.store).into(),
                error => error,
            };
            // Before whoever waits for this hears that there is no answer.
            self.config.trouble.note(&error);
            error
        })
    }

    fn try_commit(&mut self, life: &mut Life, offsets: Offsets, now: Now) -> Result<(), BrainError> {
        let (effects, unsaved) = life.core.take_effects(now);
        if !(effects.is_empty() && unsaved.is_empty() && offsets.is_empty()) {
            let begun = Instant::now();
            let transaction = life.store.begin(durability(&effects, &unsaved))?;
            let after = apply(&transaction, &life.core, effects, &unsaved, now)?;
            self.save_snapshots(&transaction, &life.core, &after.reported)?;
            for ((topic, topic_id, partition), next) in offsets {
                let source = places::source(&self.source, &topic_id);
                store::save_offset(&transaction, &source, topic, partition, next)?;
            }
            transaction.commit().map_err(StoreError::from)?;
            self.export.wrote(begun.elapsed());
            self.unsent |= after.posted;
            self.send_outbox(life)?;
            self.announce(&life.core, after);
        } else if self.unsent {
            self.send_outbox(life)?;
        }
        Ok(())
    }

    /// Stores the tests of which something was reported as a whole, where that is due.
    fn save_snapshots(
        &mut self,
        transaction: &Transaction,
        core: &Core,
        reported: &BTreeSet<TestId>,
    ) -> Result<(), StoreError> {
        self.snapshots.retain(|test_id, _| core.test(test_id).is_some());
        for test_id in reported {
            let Some(test) = core.test(test_id) else { continue };
            let begun = Instant::now();
            let due = self.snapshots.entry(test_id.clone()).or_insert(begun + SNAPSHOT_EVERY);
            if begun >= *due {
                store::save_snapshot(transaction, test_id, &test.aggregate)?;
                *due = Instant::now() + SNAPSHOT_EVERY.max(SNAPSHOT_SHARE * begun.elapsed());
            }
        }
        Ok(())
    }

    /// Hands the producer what it has not had, in order.
    fn send_outbox(&mut self, life: &Life) -> Result<(), BrainError> {
        while self.unsent {
            let messages = store::outbox(life.store.connection(), self.sent, OUTBOX_PAGE)?;
            self.unsent = messages.len() == OUTBOX_PAGE;
            for message in messages {
                if let Err(error) = self.producer.send(message.topic, &message.key, message.payload) {
                    tracing::warn!(%error, "a message waits in the outbox");
                    self.unsent = true;
                    return Ok(());
                }
                self.sent = message.id;
            }
        }
        Ok(())
    }

    /// Takes from the outbox what the broker has.
    pub(super) fn confirm(&mut self, life: &mut Life) -> Result<(), BrainError> {
        if self.sent > self.confirmed && self.producer.waiting() == 0 {
            // What is forgotten of this is only sent once more.
            let transaction = life.store.begin(Durability::Process)?;
            store::confirm(&transaction, self.sent)?;
            transaction.commit().map_err(StoreError::from)?;
            self.confirmed = self.sent;
        }
        Ok(())
    }

    fn announce(&mut self, core: &Core, after: After) {
        self.export.events(&core.events);
        for (test_id, url) in after.targets {
            self.ask(move || Command::TargetRead(test_id, ask_target(&url)));
        }
        for (test_id, source) in after.looks {
            self.ask(move || Command::TargetSeen(test_id, look_at_target(&source)));
        }
        for test_id in &after.changed {
            if let Some(test) = core.test(test_id) {
                self.export.test(&test.record, Instant::now());
            }
        }
        after.searches.iter().for_each(|record| self.export.search(record));
        for second in after.seconds {
            let over = after.ended.get(&second.test_id).or_else(|| after.amended.get(&second.test_id));
            self.announce_second(core, over, second);
        }
        for test_id in &after.changed {
            if let (Some(sender), Some(test)) = (self.updates.get(test_id), core.test(test_id)) {
                // No receiver is no error.
                let _ = sender.send(Update::test(views::test(&test.record)));
            }
        }
        for (test_id, (record, _)) in &after.ended {
            let view = views::test(record);
            self.export.test(record, Instant::now());
            tracing::info!(
                test = %test_id,
                state = ?record.state,
                reason = record.reason.as_deref(),
                conservation = record.conservation.as_ref().map(|c| c.line.as_str()),
                "a test ended"
            );
            if let Some(sender) = self.updates.remove(test_id) {
                let _ = sender.send(Update::test(view));
            }
        }
        for (record, _) in after.amended.values() {
            self.export.test(record, Instant::now());
        }
        for (test_id, answer) in after.answers {
            let Some(waiter) = self.waiters.remove(&test_id) else { continue };
            let record = core.test(&test_id).map(|test| &test.record).or(after.ended.get(&test_id).map(|(r, _)| r));
            let view = record.map(views::test).ok_or_else(|| Problem::no_such_test(&test_id));
            let _ = waiter.send(answer.and(view));
        }
    }

    /// Asks a target on a thread of its own, which nobody waits for.
    fn ask(&self, question: impl FnOnce() -> Command + Send + 'static) {
        let commands = self.own_commands.clone();
        // The brain is gone: nobody wants to know.
        let ask = move || drop(commands.blocking_send(question()));
        // Without a thread the answer never comes, which the core waits out.
        if let Err(error) = std::thread::Builder::new().name("target check".into()).spawn(ask) {
            tracing::warn!(%error, "no thread to ask the target for its counters");
        }
    }

    fn announce_second(&self, core: &Core, over: Option<&(TestRecord, Parts)>, shown: ShownSecond) {
        let ShownSecond { test_id, numbers, sealable_since, news, all_news } = shown;
        let open = core.test(&test_id);
        let total_of = |node_id: &NodeId| match (open, over) {
            (Some(test), _) => test.aggregate.driver(node_id).map(|driver| &driver.part),
            (None, over) => over.and_then(|(_, totals)| totals.get(node_id)),
        };
        let news = News { parts: &news, all: &all_news.stats, total_of: &total_of };
        let sealable_since = sealable_since.map(|since| self.clock.real(since));
        let second = views::second(&numbers);
        self.export.second(&test_id, &second, news, sealable_since, Instant::now());
        // Totals cost some milliseconds: only where somebody listens.
        let Some(sender) = self.updates.get(&test_id).filter(|sender| sender.receiver_count() > 0) else { return };
        let metrics = match (open, over) {
            (Some(test), _) => views::metrics_of(&test.record, &test.aggregate.shown(), total_of),
            (None, Some((record, totals))) => views::metrics(record, totals),
            (None, None) => return,
        };
        let _ = sender.send(Update::second(second, metrics));
    }
}

/// What others were told or are about to be told survives a power failure: a test, its state, its end, and the messages
/// about it. Everything else comes again from the topics.
fn durability(effects: &[Effect], unsaved: &BTreeMap<TestId, Unsaved>) -> Durability {
    let is_told = effects.iter().any(|effect| match effect {
        Effect::Publish { .. } | Effect::TriggerAnswer(..) | Effect::Ended(_) | Effect::Amended(_) => true,
        Effect::Search(record) => record.end.is_some(),
        Effect::Report(_)
        | Effect::Sealed(..)
        | Effect::AskTarget(..)
        | Effect::LookAtTarget(..)
        | Effect::Changed(_)
        | Effect::SaveDriver(_)
        | Effect::RemoveDriver(_) => false,
    });
    let is_changed = unsaved.values().any(|unsaved| matches!(unsaved, Unsaved::Everything));
    if is_told || is_changed { Durability::Power } else { Durability::Process }
}

pub(super) fn apply(
    transaction: &Transaction,
    core: &Core,
    effects: Vec<Effect>,
    unsaved: &BTreeMap<TestId, Unsaved>,
    now: Now,
) -> Result<After, StoreError> {
    let mut after = After::default();
    for (test_id, unsaved) in unsaved {
        match (core.test(test_id), unsaved) {
            (Some(test), Unsaved::Everything) => store::save_test(transaction, &test.record)?,
            (Some(test), Unsaved::Participants(names)) => store::save_participants(transaction, &test.record, names)?,
            (None, _) => {}
        }
    }
    for effect in effects {
        match effect {
            Effect::Publish { topic, key, payload } => {
                store::post(transaction, topic, &key, &payload)?;
                after.posted = true;
            }
            Effect::Report(row) => {
                store::save_report(transaction, &row)?;
                after.reported.insert(row.test_id.clone());
                if row.late {
                    let EnteredReport { test_id, node_id, report, .. } = row;
                    let (second, sealed_unix_ms) = store::second_of(transaction, &test_id, report.second_index)?;
                    let all = second.all();
                    let numbers = SecondNumbers::of(&second, &all, sealed_unix_ms.unwrap_or(now.unix_ms));
                    store::save_sealed(transaction, &test_id, &numbers, &all)?;
                    let all_news = DriverPart::of(&report);
                    let news = BTreeMap::from([(node_id, all_news.clone())]);
                    after.seconds.push(ShownSecond { test_id, numbers, sealable_since: None, news, all_news });
                }
            }
            Effect::Sealed(test_id, second) => {
                let all = second.all();
                let numbers = SecondNumbers::of(&second, &all, now.unix_ms);
                store::save_sealed(transaction, &test_id, &numbers, &all)?;
                let SealedSecond { sealable_since, parts: news, .. } = second;
                after.seconds.push(ShownSecond { test_id, numbers, sealable_since, news, all_news: all });
            }
            Effect::AskTarget(test_id, url) => after.targets.push((test_id, url)),
            Effect::LookAtTarget(test_id, source) => after.looks.push((test_id, source)),
            Effect::TriggerAnswer(test_id, answer) => after.answers.push((test_id, answer)),
            Effect::Changed(test_id) => drop(after.changed.insert(test_id)),
            Effect::Ended(test) => {
                let totals = test.aggregate.totals();
                store::save_test(transaction, &test.record)?;
                store::save_totals(transaction, &test.record.test_id, &totals)?;
                after.ended.insert(test.record.test_id.clone(), (test.record, totals));
            }
            Effect::Amended(amended) => {
                let (record, totals) = *amended;
                store::save_test(transaction, &record)?;
                store::save_totals(transaction, &record.test_id, &totals)?;
                after.amended.insert(record.test_id.clone(), (record, totals));
            }
            Effect::Search(record) => {
                store::save_search(transaction, &record)?;
                after.searches.push(*record);
            }
            Effect::SaveDriver(identity) => store::save_driver(transaction, &identity)?,
            Effect::RemoveDriver(node_id) => store::remove_driver(transaction, &node_id)?,
        }
    }
    Ok(after)
}
