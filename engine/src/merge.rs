//! Seconds of single threads become seconds of the run: pure, in order, without a gap.

use std::sync::Arc;
use std::time::{Duration, Instant};

use onrush_stats::{SecondStats, Totals};

use crate::clock::{Moment, SECOND_NS};
use crate::parts::{Ended, ThreadPart};
use crate::recorder::{EngineTime, SecondRecord};
use crate::second::{End, SecondReport};

/// Collects the parts of the next second.
#[derive(Debug)]
pub(crate) struct Merger {
    next_index: u64,
    threads: Vec<Thread>,
    start: Moment,
    /// The same moment on the owner's clock: converted once, so that every second says the same.
    start_instant: Instant,
    /// The names of the addresses; empty where there is but one.
    addresses: Arc<[String]>,
    /// The names of the requests; empty where there is but one.
    names: Arc<[String]>,
    finished: bool,
}

#[derive(Debug, Default)]
struct Thread {
    /// Its part of the next second.
    record: Option<Box<SecondRecord>>,
    totals: Totals,
    sending_ns: u64,
    began: Option<Moment>,
    end: Option<ThreadEnd>,
}

#[derive(Debug)]
enum ThreadEnd {
    Ended(Ended),
    Failed(String),
}

impl Merger {
    pub fn new(threads: usize, start: Moment, addresses: Arc<[String]>, names: Arc<[String]>) -> Self {
        let threads = (0..threads).map(|_| Thread::default()).collect();
        Self { next_index: 0, threads, start, start_instant: start.to_instant(), addresses, names, finished: false }
    }

    /// A thread whose part of the next second is still missing.
    pub fn missing(&self) -> Option<usize> {
        self.threads.iter().position(|thread| thread.record.is_none() && thread.end.is_none())
    }

    /// Takes the next part of a thread that [`Merger::missing`] asked for.
    pub fn put(&mut self, thread: usize, part: ThreadPart) {
        let ThreadPart { record, ended } = part;
        if record.index != self.next_index {
            let reason = format!("second {} came where {} was awaited", record.index, self.next_index);
            return self.fail(thread, reason);
        }
        let thread = &mut self.threads[thread];
        thread.totals = record.totals;
        thread.sending_ns = record.sending_ns;
        thread.began = Some(record.began);
        thread.record = Some(record);
        thread.end = ended.map(ThreadEnd::Ended);
    }

    /// A thread that will send no more parts, and why.
    pub fn fail(&mut self, thread: usize, reason: String) {
        self.threads[thread].end = Some(ThreadEnd::Failed(reason));
    }

    /// The next second, once no part of it is missing. The emptied records go back to their threads by `recycle`.
    pub fn take(&mut self, mut recycle: impl FnMut(usize, Box<SecondRecord>)) -> Option<SecondReport> {
        if self.finished || self.missing().is_some() {
            return None;
        }
        let (mut stats, mut totals) = (SecondStats::default(), Totals::default());
        let mut busiest = EngineTime::default();
        for (index, thread) in self.threads.iter_mut().enumerate() {
            totals.merge(&thread.totals);
            if let Some(mut record) = thread.record.take() {
                record.add_to(&mut stats, &self.addresses, &self.names);
                busiest = busiest.max(record.engine_time());
                record.clear();
                recycle(index, record);
            }
        }
        // One thread at its limit is a limit, whatever the others have left.
        (stats.counts.engine_cpu_ns, stats.counts.engine_wait_ns) = (busiest.ran_ns, busiest.waited_ns);
        let index = self.next_index;
        self.next_index += 1;
        let end = self.end();
        self.finished = end.is_some();
        let length_ns = match end {
            Some(_) => self.end_ns().saturating_sub(index * SECOND_NS).min(SECOND_NS),
            None => SECOND_NS,
        };
        let sending_ns = self.threads.iter().map(|thread| thread.sending_ns).max().unwrap_or(0);
        let began = self.threads.iter().filter_map(|thread| thread.began).max().unwrap_or(self.start);
        Some(SecondReport {
            index,
            length: Duration::from_nanos(length_ns),
            stats,
            totals,
            sending: Duration::from_nanos(sending_ns),
            started: self.start_instant + Duration::from_nanos(began.since_ns(self.start)),
            end,
        })
    }

    /// How the run ended, if every thread has ended.
    fn end(&self) -> Option<End> {
        let mut end = End::Completed;
        for thread in &self.threads {
            match thread.end.as_ref()? {
                ThreadEnd::Failed(reason) => return Some(End::Failed(reason.clone())),
                ThreadEnd::Ended(ended) if ended.stopped => end = End::Stopped,
                ThreadEnd::Ended(_) => (),
            }
        }
        Some(end)
    }

    fn end_ns(&self) -> u64 {
        let end_ns = |thread: &Thread| match &thread.end {
            Some(ThreadEnd::Ended(ended)) => ended.end_ns,
            _ => 0,
        };
        self.threads.iter().map(end_ns).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::{Breakdown, Exchange, Recorder};

    /// Keeps the finished second where the test can take it.
    struct Slot(std::rc::Rc<std::cell::RefCell<Vec<Box<SecondRecord>>>>);

    impl Exchange for Slot {
        fn exchange(&mut self, record: &mut Box<SecondRecord>) {
            self.0.borrow_mut().push(std::mem::replace(record, SecondRecord::new(Breakdown::default())));
        }
    }

    /// The parts of a thread that sends and has answered one request at each of these times.
    fn parts(times_ns: &[u64], end_ns: u64, stopped: bool) -> Vec<ThreadPart> {
        let finished = std::rc::Rc::default();
        let mut recorder = Recorder::new(Slot(std::rc::Rc::clone(&finished)), Breakdown::default(), Arc::default());
        recorder.begin(Moment::now());
        for &time_ns in times_ns {
            recorder.sent(time_ns, time_ns, 0);
            recorder.responded(time_ns, time_ns, time_ns, 0, 200, true);
        }
        let mut parts: Vec<_> = finished.take().into_iter().map(|record| ThreadPart { record, ended: None }).collect();
        parts.push(ThreadPart { record: recorder.finish(end_ns), ended: Some(Ended { end_ns, stopped }) });
        parts
    }

    fn merge(mut threads: Vec<Vec<ThreadPart>>) -> Vec<SecondReport> {
        let mut merger = Merger::new(threads.len(), Moment::now(), Arc::default(), Arc::default());
        let mut reports = Vec::new();
        loop {
            while let Some(thread) = merger.missing() {
                merger.put(thread, threads[thread].remove(0));
            }
            match merger.take(|_, _| ()) {
                Some(report) => reports.push(report),
                None => return reports,
            }
        }
    }

    #[test]
    fn a_thread_that_ends_early_leaves_the_others_their_seconds() {
        let short = parts(&[5], 6, false);
        let long = parts(&[7, SECOND_NS, 3 * SECOND_NS + 100], 3 * SECOND_NS + 101, false);
        let reports = merge(vec![short, long]);
        let sent: Vec<_> = reports.iter().map(|report| report.stats.counts.sent).collect();
        assert_eq!(sent, [2, 1, 0, 1]);
        assert_eq!(reports[3].totals, Totals { sent: 4, answered: 4, ..Totals::default() });
        assert_eq!(reports[3].length, Duration::from_nanos(101));
        assert_eq!(reports[2].length, Duration::from_secs(1));
        let ends: Vec<_> = reports.into_iter().map(|report| report.end).collect();
        assert_eq!(ends, [None, None, None, Some(End::Completed)]);
    }

    #[test]
    fn one_stopped_thread_makes_a_stopped_run() {
        let reports = merge(vec![parts(&[], 0, false), parts(&[5], 9, true)]);
        assert_eq!(reports.len(), 1);
        assert_eq!(reports[0].end, Some(End::Stopped));
    }

    #[test]
    fn a_lost_second_fails_the_run() {
        let mut lossy = parts(&[0, SECOND_NS, 2 * SECOND_NS], 2 * SECOND_NS + 1, false);
        lossy.remove(1);
        let reports = merge(vec![lossy]);
        assert!(matches!(reports.last().and_then(|report| report.end.as_ref()), Some(End::Failed(_))));
    }

    #[test]
    fn a_thread_that_died_fails_the_run() {
        let mut merger = Merger::new(1, Moment::now(), Arc::default(), Arc::default());
        merger.fail(0, "it died".into());
        let report = merger.take(|_, _| ()).expect("nothing is missing");
        assert_eq!(report.end, Some(End::Failed("it died".into())));
        assert!(merger.take(|_, _| ()).is_none());
    }
}
