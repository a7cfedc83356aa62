//! A run as stretches of time: its seconds, or several of them merged where there are many.

use onrush_stats::{Counts, Distribution};

/// A run has at most so many stretches: more seconds are merged, without loss. What a comparison costs is bounded by it.
pub const MAX_STRETCHES: usize = 128;

/// What was measured in some seconds that follow one another.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stretch {
    /// The first of them, from 0.
    pub first_second: u64,
    /// How many seconds it covers.
    pub seconds: u64,
    /// For how long of that requests were sent.
    pub sending_ns: u64,
    /// Complete responses.
    pub responses: u64,
    /// Requests that came to their end: answered or failed.
    pub ended: u64,
    /// Those of them that failed, a response that failed a check included.
    pub failed: u64,
    /// What was due and got no response: failed without one, skipped, dropped.
    pub without_response: u64,
    /// From due moment to last byte: the upper end of a bucket in nanoseconds and its count, in order, empty buckets left out.
    pub latency: Vec<(u64, u64)>,
}

impl Stretch {
    /// One second of a run.
    pub fn of_second(second_index: u64, sending_ns: u64, counts: &Counts, latency: &Distribution) -> Self {
        let (responses, failed) = (counts.responses(), counts.failed());
        let ended = counts.answered().saturating_add(failed);
        let given_up = counts.skipped.saturating_add(counts.dropped);
        Self {
            first_second: second_index,
            seconds: 1,
            sending_ns,
            responses,
            ended,
            failed,
            without_response: ended.saturating_sub(responses).saturating_add(given_up),
            latency: buckets(latency),
        }
    }

    /// What was due and is decided.
    pub(crate) fn due(&self) -> u64 {
        let measured = self.latency.iter().fold(0_u64, |sum, (_, n)| sum.saturating_add(*n));
        measured.saturating_add(self.without_response)
    }

    /// Adds one that follows.
    pub fn append(&mut self, later: &Self) {
        let Self { first_second: _, seconds, sending_ns, responses, ended, failed, without_response, latency } = later;
        for (ours, theirs) in [
            (&mut self.seconds, seconds),
            (&mut self.sending_ns, sending_ns),
            (&mut self.responses, responses),
            (&mut self.ended, ended),
            (&mut self.failed, failed),
            (&mut self.without_response, without_response),
        ] {
            *ours = ours.saturating_add(*theirs);
        }
        self.latency = merged(&self.latency, latency);
    }
}

/// A distribution's buckets.
fn buckets(distribution: &Distribution) -> Vec<(u64, u64)> {
    let Some(histogram) = distribution.histogram() else { return Vec::new() };
    histogram.iter_recorded().map(|bucket| (bucket.value_iterated_to(), bucket.count_at_value())).collect()
}

fn merged(a: &[(u64, u64)], b: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut all = Vec::with_capacity(a.len().max(b.len()));
    let (mut a, mut b) = (a.iter().copied().peekable(), b.iter().copied().peekable());
    loop {
        let next = match (a.peek(), b.peek()) {
            (Some(x), Some(y)) if x.0 == y.0 => {
                let both = (x.0, x.1.saturating_add(y.1));
                a.next();
                b.next();
                both
            }
            (Some(x), Some(y)) if x.0 < y.0 => a.next().unwrap_or(*y),
            (_, Some(y)) => {
                let y = *y;
                b.next();
                y
            }
            (Some(x), None) => {
                let x = *x;
                a.next();
                x
            }
            (None, None) => return all,
        };
        all.push(next);
    }
}

/// A run, in stretches of equal length; the last may be shorter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    stretches: Vec<Stretch>,
    /// Seconds in a stretch, a power of two; 0: nothing was added.
    width: u64,
}

impl Timeline {
    /// A run of these stretches, which follow one another; more than [`MAX_STRETCHES`] are merged.
    pub fn of(stretches: impl IntoIterator<Item = Stretch>) -> Self {
        let mut timeline = Self::default();
        stretches.into_iter().for_each(|stretch| timeline.push(stretch));
        timeline
    }

    /// Adds what follows.
    pub fn push(&mut self, stretch: Stretch) {
        self.width = self.width.max(stretch.seconds).max(1);
        match self.stretches.last_mut() {
            Some(last) if last.seconds.saturating_add(stretch.seconds) <= self.width => last.append(&stretch),
            _ => self.stretches.push(stretch),
        }
        if self.stretches.len() > MAX_STRETCHES {
            self.width = self.width.saturating_mul(2);
            let halved = self.stretches.chunks(2).map(|pair| {
                let mut both = pair[0].clone();
                pair[1..].iter().for_each(|later| both.append(later));
                both
            });
            self.stretches = halved.collect();
        }
    }

    /// Its stretches, in order.
    pub fn stretches(&self) -> &[Stretch] {
        &self.stretches
    }

    /// The run without its first seconds; a stretch that holds any of them is left out whole.
    pub fn skipping(mut self, seconds: u64) -> Self {
        let first = self.stretches.first().map_or(0, |stretch| stretch.first_second);
        self.stretches.retain(|stretch| stretch.first_second >= first.saturating_add(seconds));
        self
    }

    /// The run whose end, where it lasts less than half a stretch, belongs to the stretch before: one that is much shorter than the
    /// others says little by itself.
    pub(crate) fn closed(mut self) -> Vec<Stretch> {
        if let [.., before, last] = &mut self.stretches[..]
            && last.sending_ns < before.sending_ns / 2
        {
            before.append(last);
            self.stretches.pop();
        }
        self.stretches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(index: u64, latencies_ns: &[u64]) -> Stretch {
        let mut latency = Distribution::default();
        latencies_ns.iter().for_each(|ns| latency.record(*ns));
        let mut counts = Counts::default();
        counts.statuses.insert(200, latencies_ns.len() as u64);
        Stretch::of_second(index, 1_000_000_000, &counts, &latency)
    }

    #[test]
    fn many_seconds_become_few_stretches_and_nothing_is_lost() {
        for n in [1_u64, 127, 128, 129, 300, 5_000] {
            let timeline = Timeline::of((0..n).map(|i| second(i, &[1_000 + i % 7, 50_000])));
            let stretches = timeline.stretches();
            assert!(
                stretches.len() <= MAX_STRETCHES && stretches.len() as u64 >= n.min(64),
                "{n}: {}",
                stretches.len()
            );
            assert_eq!(stretches.iter().map(|s| s.responses).sum::<u64>(), 2 * n);
            assert_eq!(stretches.iter().map(Stretch::due).sum::<u64>(), 2 * n);
            let mut next = 0;
            for stretch in stretches {
                assert_eq!(stretch.first_second, next);
                assert!(stretch.latency.is_sorted_by_key(|(value, _)| *value));
                next += stretch.seconds;
            }
            assert_eq!(next, n);
        }
    }

    #[test]
    fn stretches_that_were_written_are_the_same_when_read() {
        let timeline = Timeline::of((0..1_000).map(|i| second(i, &[i + 1])));
        assert_eq!(Timeline::of(timeline.stretches().to_vec()), timeline);
    }

    #[test]
    fn what_is_skipped_is_skipped_whole() {
        let firsts = |n: u64, skip| {
            let timeline = Timeline::of((0..n).map(|i| second(i, &[1])));
            timeline.skipping(skip).stretches().first().map(|stretch| stretch.first_second)
        };
        assert_eq!((firsts(10, 0), firsts(10, 5), firsts(10, 10)), (Some(0), Some(5), None));
        assert_eq!(firsts(1_000, 5), Some(8));
    }

    #[test]
    fn a_short_end_joins_the_stretch_before() {
        let mut end = second(2, &[9]);
        end.sending_ns = 1_000;
        let closed = Timeline::of([second(0, &[1]), second(1, &[2]), end]).closed();
        assert_eq!(closed.iter().map(|s| s.responses).collect::<Vec<_>>(), [1, 2]);
    }
}
