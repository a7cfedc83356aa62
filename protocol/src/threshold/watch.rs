//! The figures of a test that runs, second by second.
//!
//! What is still on its way at the end of a second is neither answered nor late. So the figures of some seconds are over what
//! came to its end in them (a response, a failure, skipped, dropped), and what is certainly late: due so long ago that no
//! response can be in time any more, and not come to its end. Once a test is over both together are everything that was due.
//!
//! Memory: for each length of window one histogram of each kind that a threshold looks at; of each second in the longest window
//! the same, coded, at most [`MAX_CODED_BYTES`] in all (the oldest seconds leave early beyond that); per driver
//! [`MAX_LATE_S`] numbers.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use onrush_stats::{Counts, Distribution, DueSummary, FailureCause, SecondStats};

use super::{Figures, Judgement, Measure, Standing, Threshold};
use crate::{NodeId, TestConfig, decode_plain, encode_plain};

/// What is later than this is noticed when it fails.
pub(super) const MAX_LATE_S: u64 = 60;
/// A second is full where requests were sent for so long; drivers say it in floating point.
const FULL_NS: u64 = 990_000_000;
/// Coded histograms of one test.
const MAX_CODED_BYTES: usize = 64 * 1024 * 1024;

/// A second whose reports are in.
#[derive(Clone, Copy, Debug)]
pub struct WatchedSecond<'a> {
    /// Which second.
    pub second_index: u64,
    /// For how much of it requests were sent.
    pub sending_ns: u64,
    /// What was measured in it, over all drivers.
    pub stats: &'a SecondStats,
}

/// Holds thresholds against a test, second by second.
#[derive(Clone, Debug)]
pub struct Watch {
    thresholds: Vec<Threshold>,
    /// So long after the start one that is not kept ends the test; `None`: none does.
    abort_after: Option<Duration>,
    /// Of which windows are kept.
    measures: Vec<Measure>,
    timeout_ms: f64,
    /// By their length in seconds.
    windows: BTreeMap<u64, Window>,
    /// The seconds in the longest window, the newest last.
    seconds: VecDeque<KeptSecond>,
    coded_bytes: usize,
    drivers: BTreeMap<NodeId, Backlog>,
    /// The newest second.
    newest: u64,
    /// Requests were sent during all of it.
    is_full: bool,
}

/// What became of requests in some seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    answered: u64,
    responses: u64,
    failed: u64,
    timed_out: u64,
    skipped: u64,
    dropped: u64,
    sending_ns: u64,
}

/// Seconds added up.
#[derive(Clone, Debug, Default)]
struct Window {
    tally: Tally,
    /// In the order of `measures`.
    distributions: Vec<Distribution>,
    /// How many of the newest kept seconds are in it.
    length: usize,
}

#[derive(Clone, Debug)]
struct KeptSecond {
    second_index: u64,
    tally: Tally,
    coded: Vec<CodedDistribution>,
}

#[derive(Clone, Debug)]
struct CodedDistribution {
    histogram: Vec<u8>,
    sum_ns: u64,
    min_ns: Option<u64>,
    max_ns: Option<u64>,
}

/// A driver's requests that have not come to their end.
#[derive(Clone, Debug, Default)]
struct Backlog {
    /// How many were due by the end of each of the newest seconds, the newest last.
    due: VecDeque<u64>,
    /// How many of them came to their end.
    ended: u64,
}

impl Tally {
    fn of(counts: &Counts, sending_ns: u64) -> Self {
        Self {
            answered: counts.answered(),
            responses: counts.responses(),
            failed: counts.failed(),
            timed_out: counts.failed_by(FailureCause::Timeout),
            skipped: counts.skipped,
            dropped: counts.dropped,
            sending_ns,
        }
    }

    /// Requests that came to their end.
    fn ended(&self) -> u64 {
        let Self { answered, failed, skipped, dropped, .. } = *self;
        [answered, failed, skipped, dropped].into_iter().fold(0, u64::saturating_add)
    }

    fn combine(&mut self, other: &Self, combine: fn(u64, u64) -> u64) {
        let Self { answered, responses, failed, timed_out, skipped, dropped, sending_ns } = other;
        for (sum, n) in [
            (&mut self.answered, answered),
            (&mut self.responses, responses),
            (&mut self.failed, failed),
            (&mut self.timed_out, timed_out),
            (&mut self.skipped, skipped),
            (&mut self.dropped, dropped),
            (&mut self.sending_ns, sending_ns),
        ] {
            *sum = combine(*sum, *n);
        }
    }
}

impl Window {
    fn oldest<'a>(&self, seconds: &'a VecDeque<KeptSecond>) -> Option<&'a KeptSecond> {
        seconds.len().checked_sub(self.length).and_then(|place| seconds.get(place))
    }

    fn add(&mut self, tally: &Tally, parts: &[&Distribution]) {
        self.tally.combine(tally, u64::saturating_add);
        self.distributions.resize_with(parts.len(), Distribution::default);
        self.distributions.iter_mut().zip(parts).for_each(|(sum, part)| sum.merge(part));
        self.length += 1;
    }

    /// Takes out its oldest second.
    fn remove(&mut self, oldest: &KeptSecond) {
        self.tally.combine(&oldest.tally, u64::saturating_sub);
        let parts = self.distributions.iter_mut().zip(&oldest.coded);
        parts.for_each(|(sum, part)| sum.subtract(&part.distribution()));
        self.length = self.length.saturating_sub(1);
    }
}

impl Measure {
    /// Under which it is recorded: what is due and has no response is no value.
    fn recorded(self) -> Self {
        if self == Self::LatencyOfDue { Self::Latency } else { self }
    }

    fn of(self, stats: &SecondStats) -> &Distribution {
        match self {
            Self::LatencyOfDue | Self::Latency => &stats.latency,
            Self::ServiceTime => &stats.service_time,
            Self::ScheduleError => &stats.schedule_error,
        }
    }
}

impl CodedDistribution {
    fn of(distribution: &Distribution) -> Self {
        Self {
            // What no format can hold is beyond any test.
            histogram: encode_plain(distribution).unwrap_or_default(),
            sum_ns: distribution.sum_ns(),
            min_ns: distribution.min_ns(),
            max_ns: distribution.max_ns(),
        }
    }

    fn distribution(&self) -> Distribution {
        let (min_ns, max_ns) = (self.min_ns.unwrap_or(0), self.max_ns.unwrap_or(0));
        // It was written by this value; were it not whole, it would be as if nothing had been measured.
        decode_plain(&self.histogram)
            .map_or_else(|_| Distribution::default(), |h| Distribution::from_parts(h, self.sum_ns, min_ns, max_ns))
    }
}

impl Backlog {
    fn take(&mut self, counts: &Counts) {
        let due = self.due.back().copied().unwrap_or(0).saturating_add(counts.due);
        self.due.push_back(due);
        if self.due.len() as u64 > MAX_LATE_S + 1 {
            self.due.pop_front();
        }
        self.ended = self.ended.saturating_add(Tally::of(counts, 0).ended());
    }

    /// Requests that were due `seconds` before the end of the newest second or earlier, and have not come to their end.
    fn late(&self, seconds: u64) -> u64 {
        let place = usize::try_from(seconds).ok().and_then(|seconds| self.due.len().checked_sub(1 + seconds));
        place.and_then(|place| self.due.get(place)).map_or(0, |due| due.saturating_sub(self.ended))
    }
}

impl Watch {
    /// A watch of a test that begins.
    pub fn new(config: &TestConfig) -> Self {
        let TestConfig { thresholds, abort_on_fail, timeout, .. } = config;
        let windows = thresholds.iter().filter_map(|threshold| Some((threshold.window_s()?, Window::default())));
        let mut measures = Vec::new();
        let windowed = thresholds.iter().filter(|threshold| threshold.window_s().is_some());
        for measure in windowed.filter_map(Threshold::measure).map(Measure::recorded) {
            if !measures.contains(&measure) {
                measures.push(measure);
            }
        }
        Self {
            windows: windows.collect(),
            thresholds: thresholds.clone(),
            abort_after: *abort_on_fail,
            measures,
            timeout_ms: timeout.as_secs_f64() * 1e3,
            seconds: VecDeque::new(),
            coded_bytes: 0,
            drivers: BTreeMap::new(),
            newest: 0,
            is_full: false,
        }
    }

    /// Whether there is nothing to watch.
    pub fn is_idle(&self) -> bool {
        self.thresholds.is_empty()
    }

    /// How many seconds back it looks: so many, entered again after [`begin_at`](Self::begin_at), make it what it was.
    pub fn memory_s(&self) -> u64 {
        let longest = self.windows.keys().last().copied().unwrap_or(0);
        let late = self.thresholds.iter().filter_map(Threshold::late_after_s).max().unwrap_or(0);
        longest.max(late)
    }

    /// What a driver had counted before the first second that is entered.
    pub fn begin_at(&mut self, node_id: &NodeId, before: &Counts) {
        let backlog = self.drivers.entry(node_id.clone()).or_default();
        *backlog = Backlog::default();
        backlog.take(before);
    }

    /// Takes the next second with what each driver counted in it; a driver that is not named has no part in it.
    pub fn enter<'a>(
        &mut self,
        second: WatchedSecond<'_>,
        drivers: impl IntoIterator<Item = (&'a NodeId, &'a Counts)>,
    ) {
        let named: BTreeMap<&NodeId, &Counts> = drivers.into_iter().collect();
        // What a driver that is gone had on its way is nobody's delay.
        self.drivers.retain(|node_id, _| named.contains_key(node_id));
        for (node_id, counts) in named {
            self.drivers.entry(node_id.clone()).or_insert_with(Backlog::of_newcomer).take(counts);
        }
        let WatchedSecond { second_index, sending_ns, stats } = second;
        (self.newest, self.is_full) = (second_index, sending_ns >= FULL_NS);
        if self.windows.is_empty() {
            return;
        }
        let tally = Tally::of(&stats.counts, sending_ns);
        let parts: Vec<&Distribution> = self.measures.iter().map(|measure| measure.of(stats)).collect();
        self.windows.values_mut().for_each(|window| window.add(&tally, &parts));
        let coded: Vec<CodedDistribution> = parts.into_iter().map(CodedDistribution::of).collect();
        self.coded_bytes += coded_bytes(&coded);
        self.seconds.push_back(KeptSecond { second_index, tally, coded });
        self.expire(second_index);
    }

    /// Takes out of each window what is too old for it, and forgets what is in none.
    fn expire(&mut self, newest: u64) {
        let Self { windows, seconds, coded_bytes, .. } = self;
        for (length_s, window) in windows.iter_mut() {
            while let Some(oldest) = window.oldest(seconds)
                && oldest.second_index.saturating_add(*length_s) <= newest
            {
                window.remove(oldest);
            }
        }
        let longest = windows.values().map(|window| window.length).max().unwrap_or(0);
        while seconds.len() > longest || (*coded_bytes > MAX_CODED_BYTES && seconds.len() > 1) {
            let whole = seconds.len();
            let Some(gone) = seconds.pop_front() else { break };
            windows.values_mut().filter(|window| window.length == whole).for_each(|window| window.remove(&gone));
            *coded_bytes = coded_bytes.saturating_sub(self::coded_bytes(&gone.coded));
        }
    }

    /// Holds each threshold against the seconds that were entered, those without a window against the `whole` test so far
    /// (what was measured, and for how long requests were sent), and notes what it found in its standing. Why the test is to
    /// end now, in words; one that is `over` is not.
    pub fn judge(
        &self,
        whole: &SecondStats,
        whole_sending_ns: u64,
        over: bool,
        standings: &mut Vec<Standing>,
    ) -> Option<String> {
        standings.resize_with(self.thresholds.len(), Standing::default);
        let mut why = None;
        let judgements = self.judgements(whole, whole_sending_ns);
        for ((threshold, judgement), standing) in self.thresholds.iter().zip(judgements).zip(standings) {
            let Some(judgement) = judgement else { continue };
            if standing.take(threshold, judgement, self.newest, self.abort_after, over) {
                why = why.or_else(|| standing.why_ended(threshold));
            }
        }
        why
    }

    /// `None` for a threshold of which nothing can be said: nothing has come to its end, or the newest second is a part of
    /// one, in which the last requests were sent or nothing but waited for.
    fn judgements(&self, whole: &SecondStats, whole_sending_ns: u64) -> Vec<Option<Judgement>> {
        let judge = |threshold: &Threshold| {
            if let Some(name) = threshold.name() {
                let stats = whole.by_name.get(name)?;
                // What is on its way says nothing yet, and is not told apart by how long it has been.
                let ended = stats.answered().saturating_add(stats.failed());
                let figures = Figures::of_ended(stats, ended, whole_sending_ns, self.timeout_ms);
                return figures.due.filter(|due| *due > 0 && self.is_full).map(|_| threshold.judge(&figures));
            }
            let late_after_s = threshold.late_after_s();
            let late_of = |s| self.drivers.values().map(|driver| driver.late(s)).fold(0, u64::saturating_add);
            let late = late_after_s.map_or(0, late_of);
            let waited_ms = late_after_s.filter(|_| late > 0).map(|s| s as f64 * 1e3);
            let (tally, of) = match threshold.window_s() {
                None => {
                    let of = threshold.measure().map(|measure| measure.of(whole).clone());
                    (Tally::of(&whole.counts, whole_sending_ns), of)
                }
                Some(length_s) => {
                    let window = self.windows.get(&length_s)?;
                    (window.tally, threshold.measure().map(|measure| self.exact(window, measure)))
                }
            };
            let figures = self.figures(threshold, tally, of.unwrap_or_default(), late, waited_ms);
            figures.due.filter(|due| *due > 0 && self.is_full).map(|_| threshold.judge(&figures))
        };
        self.thresholds.iter().map(judge).collect()
    }

    /// A window's distribution with its own minimum and maximum: of a sum, subtracting keeps those of what is gone.
    fn exact(&self, window: &Window, measure: Measure) -> Distribution {
        let place = self.measures.iter().position(|known| *known == measure.recorded());
        let sum = place.and_then(|place| Some((place, window.distributions.get(place)?)));
        let Some((place, sum, histogram)) = sum.and_then(|(place, sum)| Some((place, sum, sum.histogram()?))) else {
            return Distribution::default();
        };
        let newest = || self.seconds.iter().rev().take(window.length).filter_map(|second| second.coded.get(place));
        let min_ns = newest().filter_map(|coded| coded.min_ns).min().unwrap_or(0);
        let max_ns = newest().filter_map(|coded| coded.max_ns).max().unwrap_or(0);
        Distribution::from_parts(histogram.clone(), sum.sum_ns(), min_ns, max_ns)
    }

    fn figures(
        &self,
        threshold: &Threshold,
        tally: Tally,
        distribution: Distribution,
        late: u64,
        waited_ms: Option<f64>,
    ) -> Figures {
        let due = tally.ended().saturating_add(late);
        let rate = (tally.sending_ns > 0).then(|| tally.responses as f64 * 1e9 / tally.sending_ns as f64);
        let mut figures = Figures {
            due: Some(due),
            answered: Some(tally.answered),
            responses: Some(tally.responses),
            skipped: Some(tally.skipped),
            dropped: Some(tally.dropped),
            responses_per_s: rate,
            waited_ms: waited_ms.or((tally.timed_out > 0).then_some(self.timeout_ms)),
            ..Figures::default()
        };
        let summary = || DueSummary::complete(distribution.summary());
        match threshold.measure() {
            Some(Measure::LatencyOfDue) => figures.latency_of_due = distribution.summary_of_due(due),
            Some(Measure::Latency) => figures.latency = summary(),
            Some(Measure::ServiceTime) => figures.service_time = summary(),
            Some(Measure::ScheduleError) => figures.schedule_error = summary(),
            None => {}
        }
        figures
    }
}

impl Backlog {
    /// Of a driver that was not there before: nothing of it was due.
    fn of_newcomer() -> Self {
        Self { due: VecDeque::from([0]), ended: 0 }
    }
}

fn coded_bytes(coded: &[CodedDistribution]) -> usize {
    coded.iter().map(|coded| coded.histogram.len() + size_of::<CodedDistribution>()).sum()
}
