//! What a test's thresholds say of its sealed seconds, and of all of it at the end. Pure.

use onrush_protocol::threshold::{Figures, Standing, Watch, WatchedSecond};
use onrush_protocol::{TestConfig, Threshold};
use onrush_stats::DueSummary;

use super::OpenTest;
use crate::aggregate::SealedSecond;
use crate::clock::Now;
use crate::event::TestEvent;
use crate::record::ParticipantRecord;

/// What sealed seconds mean for a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// There is nothing to judge.
    Nothing,
    /// There are new values.
    Values,
    /// A threshold is broken for good.
    Broken,
    /// A threshold ends the test; why, in words.
    Ends(String),
}

impl OpenTest {
    /// Goes on with a watch that was filled from the store.
    pub fn watch_from(&mut self, thresholds: Watch) {
        self.thresholds = thresholds;
        // Values are stored with what changes: the newest second is looked at again. What it broke is stored already.
        let sending_ns = self.aggregate.sending_ns();
        self.thresholds.judge(self.aggregate.all(), sending_ns, true, &mut self.record.standings);
    }

    /// Holds the thresholds against seconds that were just sealed. A test that is told to stop is judged no more, one with
    /// drivers that do not count what they send cannot be while it runs, and one that is `over` is not ended.
    pub fn judge(&mut self, sealed: &[SealedSecond], over: bool, now: Now) -> Finding {
        let unknown = self.record.participants.iter().any(ParticipantRecord::is_plain);
        if self.thresholds.is_idle() || self.record.stop_requested || unknown || sealed.is_empty() {
            return Finding::Nothing;
        }
        let mut finding = Finding::Values;
        for second in sealed {
            let all = second.all();
            let counts = second.parts.iter().map(|(node_id, part)| (node_id, &part.stats.counts));
            let SealedSecond { second_index, .. } = *second;
            let watched = WatchedSecond { second_index, sending_ns: all.sending_ns, stats: &all.stats };
            self.thresholds.enter(watched, counts);
            let before = self.broken();
            let sending_ns = self.aggregate.sending_ns();
            let why = self.thresholds.judge(self.aggregate.all(), sending_ns, over, &mut self.record.standings);
            for (place, words) in self.broken().into_iter().enumerate() {
                if let Some(words) = words.filter(|_| before.get(place).is_none_or(Option::is_none)) {
                    self.record.event(now, TestEvent::Threshold, None, words);
                    finding = Finding::Broken;
                }
            }
            if let Some(why) = why {
                return Finding::Ends(why);
            }
        }
        finding
    }

    /// Of each threshold that is broken for good, how, in words.
    fn broken(&self) -> Vec<Option<String>> {
        let words = |(threshold, standing): (&Threshold, &Standing)| {
            let breach = standing.breach.as_ref()?;
            let value = breach.value.as_deref().unwrap_or("unknown");
            Some(format!("not kept: {threshold} was {value} at second {}", breach.second_index))
        };
        self.record.config.thresholds.iter().zip(&self.record.standings).map(words).collect()
    }

    /// Holds the thresholds against the whole test, which is over.
    pub(super) fn conclude_thresholds(&mut self) {
        if self.thresholds.is_idle() {
            return;
        }
        let figures = self.figures();
        let all = self.aggregate.all();
        let (sending_ns, timeout_ms) = (self.aggregate.sending_ns(), self.record.config.timeout.as_secs_f64() * 1e3);
        let counts_all = figures.due.is_some();
        let of_name = |name: &str| {
            Figures::of_name(&all.by_name, name, sending_ns, timeout_ms).filter(|_| counts_all).unwrap_or_default()
        };
        let TestConfig { thresholds, .. } = &self.record.config;
        self.record.standings.resize_with(thresholds.len(), Standing::default);
        for (threshold, standing) in thresholds.iter().zip(&mut self.record.standings) {
            match threshold.name() {
                Some(name) => standing.conclude(threshold, &of_name(name)),
                None => standing.conclude(threshold, &figures),
            }
        }
    }

    fn figures(&self) -> Figures {
        let is_uncounted = |p: &ParticipantRecord| p.is_plain() && self.aggregate.driver(&p.node_id).is_none();
        let uncounted = self.record.participants.iter().filter(|p| is_uncounted(p)).count();
        if uncounted > 0 && uncounted == self.record.participants.len() {
            return Figures::default();
        }
        let all = self.aggregate.shown();
        let timeout_ms = self.record.config.timeout.as_secs_f64() * 1e3;
        let figures = Figures::of(&all.stats, all.sending_ns, timeout_ms);
        match uncounted {
            0 => figures,
            // A gate must not be held against a part of what was due.
            _ => Figures { due: None, latency_of_due: DueSummary::default(), ..figures },
        }
    }
}
