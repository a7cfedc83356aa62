//! What the generator lacked.

use super::super::figures::Stretch;
use super::super::{FoundLimit, LimitedBy, Resource};
use super::{Case, FAILING, FULL, LATE_MS, found, left, ms, percent};
use crate::{FailureCause, thousands};

/// An engine thread that was ready for so much of the time and had no CPU is held up, however little it used.
const HELD_UP: f64 = 0.25;
/// The same for one that polls: it is always ready, so that all waiting is others' work.
pub(super) const STOLEN: f64 = 0.1;

impl Case<'_> {
    /// Ports or descriptors of the generator: the system said so.
    pub(super) fn exhausted(&self) -> Option<FoundLimit> {
        let few = |cause, resource, words: &str| {
            let share = self.all.failed_by(cause);
            let reasons = format!("{words}: {} of the requests failed for it", percent(share));
            (share >= FAILING / 10.0).then(|| found(LimitedBy::Generator, Some(resource), reasons))
        };
        few(
            FailureCause::PortsExhausted,
            Resource::Ports,
            "no local port was free; keep connections open or send from more addresses (--local-address)",
        )
        .or_else(|| {
            few(
                FailureCause::DescriptorsExhausted,
                Resource::Descriptors,
                "no file descriptor was free; raise the limit (ulimit -n)",
            )
        })
    }

    /// The driver that is shortest of CPU time, and in what way.
    pub(super) fn starved(&self) -> Option<(&Stretch, String)> {
        let starved = self.drivers.iter().filter_map(|driver| {
            let (wanted, waited) = (driver.engine_wanted(), driver.engine_waited());
            let polls = driver.counts.engine_cpu_ns == 0;
            let words = if driver.throttled() >= STOLEN {
                format!("its control group was throttled for {} of the time", percent(driver.throttled()))
            } else if driver.stolen() >= STOLEN {
                format!("{} of its CPU were stolen by the hypervisor", percent(driver.stolen()))
            } else if waited >= if polls { STOLEN } else { HELD_UP } {
                format!("an engine thread waited {} of the time for a CPU", percent(waited))
            } else if wanted >= FULL && !polls {
                format!("an engine thread used {} of its CPU", percent(wanted.min(1.0)))
            } else {
                return None;
            };
            Some((driver, words, wanted.max(driver.throttled()).max(driver.stolen())))
        });
        let worst = starved.max_by(|(.., a), (.., b)| a.total_cmp(b));
        worst.map(|(driver, words, _)| (driver, words))
    }

    pub(super) fn generator_cpu(&self) -> Option<FoundLimit> {
        let (driver, words) = self.starved()?;
        // A target that is full while the generator is merely busy is the limit. Where both want one CPU, the generator's figures
        // cannot be held against the target.
        let is_held_up = driver.engine_waited() >= STOLEN || driver.throttled() >= STOLEN || driver.stolen() >= STOLEN;
        let target_full = self.target.is_some_and(|target| target.wanted >= FULL && target.waited < STOLEN);
        if target_full && !is_held_up {
            return None;
        }
        let name = if driver.name.is_empty() { String::new() } else { format!(" on {}", driver.name) };
        let target = match self.target {
            Some(target) => format!("; the target's CPU {} left", left(target.wanted)),
            None => String::new(),
        };
        Some(found(LimitedBy::Generator, Some(Resource::Cpu), format!("CPU full{name}: {words}{target}")))
    }

    /// Connections are free, and requests go out late or not at all.
    pub(super) fn late(&self) -> Option<FoundLimit> {
        let all = &self.all;
        if all.schedule_error_p99_ms <= LATE_MS && all.counts.dropped == 0 {
            return None;
        }
        let reasons = format!(
            "requests went out late though connections were free: schedule error p99 {}; {} slots were dropped",
            ms(all.schedule_error_p99_ms),
            thousands(all.counts.dropped)
        );
        Some(found(LimitedBy::Generator, Some(Resource::Timing), reasons))
    }

    /// `the generator had 71 % left, schedule error p99 0.2 µs`.
    pub(super) fn generator_left(&self) -> String {
        let wanted = self.drivers.iter().map(Stretch::engine_wanted).fold(0.0, f64::max);
        let knows = self.drivers.iter().any(|driver| driver.counts.engine_cpu_ns > 0);
        // Threads that poll take all there is: only their lateness says something.
        let had = knows.then(|| format!("the generator had {} left", percent((1.0 - wanted).max(0.0))));
        let error = self.all.is_paced.then(|| format!("schedule error p99 {}", ms(self.all.schedule_error_p99_ms)));
        match (had, error) {
            (Some(had), Some(error)) => format!("{had}, {error}"),
            (Some(words), None) | (None, Some(words)) => words,
            (None, None) => "the generator's CPU time is not known".into(),
        }
    }
}
