//! What the target lacked.

use super::super::{FoundLimit, LimitedBy, Resource};
use super::generator::STOLEN;
use super::{ALL_BUSY, Case, FAILING, FULL, LOSSY, found, percent};
use crate::{FailureCause, thousands};

/// So many attempts to connect must fail, and this share of them, for that to be the limit.
const FEW_ATTEMPTS: u64 = 3;
const NOT_TAKEN: f64 = 0.1;

impl Case<'_> {
    pub(super) fn target_cpu(&self) -> Option<FoundLimit> {
        let target = self.target.filter(|target| target.wanted >= FULL)?;
        let busy = ((target.wanted - target.waited) * target.cores as f64).round() as u64;
        let shared = match target.waited >= STOLEN {
            true => format!(" ({} of the time it waited for a CPU that others had)", percent(target.waited)),
            false => String::new(),
        };
        let reasons = format!(
            "CPU full on {} of {} cores{shared}; {}",
            busy.clamp(1, target.cores),
            target.cores,
            self.generator_left()
        );
        Some(found(LimitedBy::Target, Some(Resource::Cpu), reasons))
    }

    /// New connections are not taken.
    pub(super) fn connecting(&self) -> Option<FoundLimit> {
        let all = &self.all;
        // Of the attempts to connect: on connections that are open any number of requests may have gone well meanwhile.
        let failed = |cause| all.counts.failed_by(cause);
        let (refused, timed_out) = (failed(FailureCause::ConnectRefused), failed(FailureCause::ConnectTimeout));
        let attempts = all.counts.connects + refused + timed_out;
        let is_many = |n: u64, of: u64| n >= FEW_ATTEMPTS && n as f64 >= of as f64 * NOT_TAKEN;
        if is_many(refused, attempts) {
            let reasons = format!("it refused {} of {} connections", thousands(refused), thousands(attempts));
            return Some(found(LimitedBy::Target, Some(Resource::Connecting), reasons));
        }
        // Who answers on the connections that it has and takes no new ones has its accept queue full.
        let takes_others = all.counts.responses() > 0 && all.lost() < LOSSY;
        if is_many(timed_out, attempts) && takes_others {
            let reasons = format!(
                "{} of {} new connections were not taken in time, while open ones were answered: the accept queue is full",
                thousands(timed_out),
                thousands(attempts)
            );
            return Some(found(LimitedBy::Target, Some(Resource::AcceptQueue), reasons));
        }
        // A full queue drops what wants in: who is patient tries again, after 1, 3 and 7 s.
        let again = all.counts.tcp_connect_retransmits;
        if is_many(again, all.counts.tcp_samples) && takes_others {
            let reasons = format!(
                "of {} looks at connections, {} found that opening it had to be tried again, while open ones were answered: \
                 the accept queue is full",
                thousands(all.counts.tcp_samples),
                thousands(again)
            );
            return Some(found(LimitedBy::Target, Some(Resource::AcceptQueue), reasons));
        }
        None
    }

    /// Whole seconds without one response.
    pub(super) fn silence(&self) -> Option<FoundLimit> {
        let all = &self.all;
        if all.silent_seconds == 0 {
            return None;
        }
        let silent =
            format!("{} of {} s without a response, with requests on their way", all.silent_seconds, all.seconds);
        Some(if all.stuck() >= 0.1 || all.lost() >= LOSSY {
            let reasons = format!("{silent}, and nobody acknowledges what is sent again");
            found(LimitedBy::Network, Some(Resource::Loss), reasons)
        } else {
            let reasons = format!("{silent}; its kernel acknowledged them; {}", self.left_over());
            found(LimitedBy::Target, Some(Resource::Stall), reasons)
        })
    }

    /// Most of the connections' time went into few and long responses.
    pub(super) fn stalls(&self) -> Option<FoundLimit> {
        let all = &self.all;
        if all.connections_busy() < ALL_BUSY || all.usual_share() >= 0.5 || all.counts.responses() == 0 {
            return None;
        }
        let reasons = format!(
            "it stalls: usual responses took {} of the connections' time, the rest waited for few and long ones; {}",
            percent(all.usual_share()),
            self.left_over()
        );
        Some(found(LimitedBy::Target, Some(Resource::Stall), reasons))
    }

    pub(super) fn failures(&self) -> Option<FoundLimit> {
        let all = &self.all;
        if all.unanswered() < FAILING {
            return None;
        }
        let causes = all.counts.failures.iter().filter(|(cause, _)| **cause != FailureCause::CheckFailed);
        let (cause, _) = causes.max_by_key(|(_, n)| **n)?;
        if *cause == FailureCause::ConnectTimeout {
            return None;
        }
        let reasons =
            format!("{} of the requests failed, most by {cause}; {}", percent(all.unanswered()), self.left_over());
        Some(found(LimitedBy::Target, Some(Resource::Failures), reasons))
    }
}
