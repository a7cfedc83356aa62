//! A run's thresholds, second by second. Pure.

use std::time::Duration;

use onrush_api::ThresholdView;
use onrush_engine::SecondReport;
use onrush_protocol::threshold::{Figures, Standing, Watch, WatchedSecond};
use onrush_protocol::{NodeId, TestConfig, Threshold};
use onrush_stats::SecondStats;

/// Holds thresholds against a run.
pub struct Gate {
    thresholds: Vec<Threshold>,
    watch: Watch,
    standings: Vec<Standing>,
    timeout: Duration,
    /// For how long requests were sent so far.
    sending: Duration,
    node_id: NodeId,
}

impl Gate {
    /// The thresholds of a run that begins.
    pub fn new(config: &TestConfig) -> Self {
        let thresholds = config.thresholds.clone();
        Self {
            standings: vec![Standing::default(); thresholds.len()],
            thresholds,
            watch: Watch::new(config),
            timeout: config.timeout,
            sending: Duration::ZERO,
            node_id: NodeId::new("bench").expect("a word is a name"),
        }
    }

    /// Takes the next second, and `all` that was measured with it; why the run is to end, in words.
    pub fn enter(&mut self, second: &SecondReport, all: &SecondStats) -> Option<String> {
        let sending_ns = nanoseconds(second.sending.saturating_sub(self.sending));
        self.sending = second.sending;
        if self.watch.is_idle() {
            return None;
        }
        let watched = WatchedSecond { second_index: second.index, sending_ns, stats: &second.stats };
        self.watch.enter(watched, [(&self.node_id, &second.stats.counts)]);
        self.watch.judge(all, nanoseconds(self.sending), second.end.is_some(), &mut self.standings)
    }

    /// What became of them in a run that is over, in which this was measured.
    pub fn finish(mut self, all: &SecondStats) -> Vec<ThresholdView> {
        let (sending_ns, timeout_ms) = (nanoseconds(self.sending), self.timeout.as_secs_f64() * 1e3);
        let whole = Figures::of(all, sending_ns, timeout_ms);
        let of_name = |name| Figures::of_name(&all.by_name, name, sending_ns, timeout_ms).unwrap_or_default();
        for (threshold, standing) in self.thresholds.iter().zip(&mut self.standings) {
            let figures = threshold.name().map_or(whole, of_name);
            standing.conclude(threshold, &figures);
        }
        self.thresholds.iter().zip(&self.standings).map(|(of, standing)| ThresholdView::of(of, standing)).collect()
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
