//! What one second of load measured, and how such measurements merge.
//!
//! This crate is the common tongue of the engine (which records), the messages (which carry) and the
//! orchestrator (which merges). It refuses to know clocks, sockets, threads and text formats.
//!
//! Merging is a law here: commutative, associative, with an empty value that changes nothing. Every merge
//! takes its operand apart without `..`, or loops over what `counters!` declares, so that a new field cannot be forgotten.

mod balance;
mod buckets;
mod by_name;
mod counters;
mod counts;
mod distribution;
mod examples;
mod failure;
mod limit;
mod names;
mod narrow;
mod outcome;
mod sparse;

pub use balance::{balance, thousands};
pub use by_name::{ByName, NameFigures, NameStats, NameSummary};
pub use counters::{Kind, Number, Unit};
pub use counts::{Counts, Totals};
pub use distribution::{Distribution, DueSummary, Summary, empty_histogram, same_layout};
pub use examples::{Examples, MAX_EXAMPLE_BYTES, escaped};
pub use failure::FailureCause;
pub use limit::{DriverFigures, FoundLimit, LimitWatch, LimitedBy, Resource, TargetCpu, TargetLooks, TargetTime};
pub use names::{MAX_NAME_BYTES, MAX_NAMES, Names, OTHER, default_name};
pub use narrow::NarrowRecorder;
pub use outcome::{Outcome, Verdict};
pub use sparse::SparseDistribution;

/// What one node measured in one second of a test.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SecondStats {
    /// How many requests were sent, answered, failed and so on.
    pub counts: Counts,
    /// From the moment a request was due to the last byte of its response; one value per response.
    pub latency: Distribution,
    /// From the actual send to the last byte of the response; one value per response.
    pub service_time: Distribution,
    /// Actual send minus due moment; one value per request sent.
    pub schedule_error: Distribution,
    /// One example of each kind of failure.
    pub examples: Examples,
    /// The same by the name of the request, where a test has several.
    pub by_name: ByName,
}

impl SecondStats {
    /// Adds what another node measured at the same time: gauges add up, too.
    pub fn merge_across(&mut self, other: &Self) {
        self.combine(other, Counts::merge_across);
    }

    /// Adds what the same node measured later: gauges are the later ones.
    pub fn append(&mut self, later: &Self) {
        self.combine(later, Counts::append);
    }

    /// Adds what the same node measured earlier: gauges stay.
    pub fn prepend(&mut self, earlier: &Self) {
        self.combine(earlier, Counts::prepend);
    }

    fn combine(&mut self, other: &Self, combine: fn(&mut Counts, &Counts)) {
        let Self { counts, latency, service_time, schedule_error, examples, by_name } = other;
        combine(&mut self.counts, counts);
        self.latency.merge(latency);
        self.service_time.merge(service_time);
        self.schedule_error.merge(schedule_error);
        self.examples.merge(examples);
        self.by_name.merge(by_name);
    }

    /// Takes away what `part` measured, which was merged before. Gauges, minima, maxima and examples stay.
    pub fn subtract(&mut self, part: &Self) {
        let Self { counts, latency, service_time, schedule_error, examples: _, by_name } = part;
        self.counts.subtract(counts);
        self.latency.subtract(latency);
        self.service_time.subtract(service_time);
        self.schedule_error.subtract(schedule_error);
        self.by_name.subtract(by_name);
    }

    /// Forgets every value and keeps the memory.
    pub fn clear(&mut self) {
        let Self { counts, latency, service_time, schedule_error, examples, by_name } = self;
        counts.clear();
        latency.clear();
        service_time.clear();
        schedule_error.clear();
        examples.clear();
        by_name.clear();
    }
}
