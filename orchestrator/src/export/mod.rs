//! What Prometheus is shown at `/metrics`.
//!
//! The brain leaves here what it has just stored and shown elsewhere, in owned values. A scrape copies them, and makes a
//! recorder of its own, which it fills, renders and drops: the series of a driver or of a test that is gone cannot
//! stay behind, two orchestrators in one process do not meet, and nobody waits for the text to be written.
//!
//! Reading order: [`series`] (one test), [`buckets`] (its histograms), [`page`] (names and labels).

mod buckets;
mod help;
mod page;
mod series;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use onrush_api::SecondView;
use onrush_host::Usage;
use onrush_host::limits::open_descriptors;
use onrush_protocol::{NodeId, TestId, Topic};
use onrush_stats::SecondStats;

pub use series::TestSeries;

use self::buckets::{Buckets, DURATION_BOUNDS_NS};
use self::page::Page;
use self::series::ShownTest;
use crate::aggregate::DriverPart;
use crate::capacity::SearchRecord;
use crate::core::ReportCounts;
use crate::event::EventCounts;
use crate::record::TestRecord;
use crate::registry::Glimpse;
use crate::state::TestState;

/// What the brain shows as time passes.
#[derive(Clone, Default)]
pub struct Live {
    /// The drivers.
    pub drivers: Vec<Glimpse>,
    /// What became of the reports.
    pub reports: ReportCounts,
    /// Messages that were skipped, by topic and kind.
    pub skipped: Vec<(Topic, &'static str, u64)>,
    /// Whether the broker answers.
    pub broker_reachable: bool,
}

/// What a second brings that was not shown yet.
#[derive(Clone, Copy)]
pub struct News<'a> {
    /// Each driver's part.
    pub parts: &'a BTreeMap<NodeId, DriverPart>,
    /// The parts merged.
    pub all: &'a SecondStats,
    /// What a driver measured in the whole test so far.
    pub total_of: &'a dyn Fn(&NodeId) -> Option<&'a DriverPart>,
}

/// What the orchestrator counts of its own work.
#[derive(Clone)]
struct Own {
    sealed_seconds: u64,
    seal_delay: Buckets,
    delivery_delay: Buckets,
    store_write: Buckets,
    events: EventCounts,
}

struct State {
    live: Live,
    own: Own,
    test: Option<TestSeries>,
}

/// The door for the brain, which fills it, and for REST, which renders it. Cheap to clone.
#[derive(Clone)]
pub struct Export(Arc<Mutex<State>>);

impl Default for Export {
    fn default() -> Self {
        let empty = || Buckets::new(DURATION_BOUNDS_NS);
        let own = Own {
            sealed_seconds: 0,
            seal_delay: empty(),
            delivery_delay: empty(),
            store_write: empty(),
            events: EventCounts::new(),
        };
        Self(Arc::new(Mutex::new(State { live: Live::default(), own, test: None })))
    }
}

impl Export {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked here left plain numbers behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what changes with time.
    pub fn live(&self, live: Live) {
        self.lock().live = live;
    }

    /// Goes on with a test that ran when the orchestrator ended.
    pub fn resume(&self, series: TestSeries) {
        self.lock().test = Some(series);
    }

    /// Takes what changed in a test. One that runs takes the place of the one before; others are not shown.
    pub fn test(&self, record: &TestRecord, now: Instant) {
        let state = &mut *self.lock();
        if record.state == TestState::Running
            && state.test.as_ref().is_none_or(|test| test.shown.test_id != record.test_id)
        {
            state.test = Some(TestSeries::new(record, now));
        }
        let Some(test) = state.test.as_mut().filter(|test| test.shown.test_id == record.test_id) else { return };
        test.observe(record, now);
    }

    /// Takes a second that was sealed, or merged anew for a late report.
    pub fn second(
        &self,
        test_id: &TestId,
        view: &SecondView,
        news: News<'_>,
        sealable_since: Option<Instant>,
        now: Instant,
    ) {
        let state = &mut *self.lock();
        state.own.sealed_seconds += u64::from(view.late_reports == 0);
        if let Some(since) = sealable_since {
            state.own.seal_delay.observe(now.saturating_duration_since(since));
        }
        if let Some(test) = state.test.as_mut().filter(|test| test.shown.test_id == *test_id) {
            test.second(view, news, now);
        }
    }

    /// Takes what a capacity search knows by now. It is shown with its test.
    pub fn search(&self, record: &SearchRecord) {
        let state = &mut *self.lock();
        if let Some(test) = state.test.as_mut().filter(|test| test.shown.test_id == record.test_id) {
            test.shown.search.get_or_insert_default().take(record);
        }
    }

    /// Takes what happened in tests so far.
    pub fn events(&self, counts: &EventCounts) {
        self.lock().own.events.clone_from(counts);
    }

    /// Takes how long a transaction took.
    pub fn wrote(&self, took: Duration) {
        self.lock().own.store_write.observe(took);
    }

    /// Takes how long a report was under way. Clocks that differ may say less than nothing.
    pub fn delivered(&self, took_ms: f64) {
        let took = Duration::try_from_secs_f64(took_ms / 1e3).unwrap_or_default();
        self.lock().own.delivery_delay.observe(took);
    }

    /// Everything, in Prometheus' text format.
    pub fn render(&self) -> String {
        let now = Instant::now();
        let (live, own, test) = {
            let state = self.lock();
            let current = |test: &ShownTest| test.is_current(now);
            (
                state.live.clone(),
                state.own.clone(),
                state.test.as_ref().map(|test| &test.shown).filter(|t| current(t)).cloned(),
            )
        };
        Page { live: &live, own: &own, test: test.as_ref(), usage: Usage::read(), open_fds: open_descriptors(), now }
            .render()
    }
}

#[cfg(test)]
mod tests;
