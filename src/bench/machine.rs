//! The CPUs that make the load, and how their threads wait: the rules of a driver.

use onrush_bus::cpus::{self, Claim};
use onrush_engine::{Options, Wait};

use crate::cli::{IoArg, WaitArg};
use crate::error::Error;
use crate::parse::Cpus;

/// What the engine runs on.
pub struct Machine {
    /// For the engine.
    pub options: Options,
    /// Why it waits as it does.
    pub why: String,
    /// Tells other nodes on this machine which CPUs are taken, as long as this lives.
    _claim: Option<Claim>,
}

impl Machine {
    /// Looks, checks the user's choice, claims the CPUs and leaves them to the engine.
    pub fn look(chosen: Option<&Cpus>, wait: WaitArg, io: IoArg) -> Result<Self, Error> {
        let allowed = cpus::allowed().map_err(|e| Error::failed("cannot see which CPUs there are", e))?;
        let engine_cpus = chosen.map_or(&allowed, |cpus| &cpus.0).clone();
        if let Some(cpu) = engine_cpus.iter().find(|cpu| !allowed.contains(cpu)) {
            let list = cpus::format_list(&allowed);
            return Err(Error::Usage(format!(
                "--cpus: CPU {cpu} is not one of those that this process may use: {list}"
            )));
        }
        let others: Vec<usize> = allowed.iter().copied().filter(|cpu| !engine_cpus.contains(cpu)).collect();
        if !others.is_empty() {
            // Where it cannot be done, this thread wakes up only some times a second.
            let _ = cpus::pin_thread(&others);
        }
        let claim = Claim::new(&engine_cpus).ok();
        // Without a claim nothing is known of the others, so they may be there.
        let contested = claim.as_ref().is_none_or(|claim| !claim.contested().is_empty());
        let quota = cpus::quota().is_some_and(|quota| quota <= engine_cpus.len());
        let (wait, why) = match wait {
            WaitArg::Poll => (Wait::Poll, "as asked for"),
            WaitArg::Timer => (Wait::Timer, "as asked for"),
            WaitArg::Auto => choose_wait(chosen.is_some(), !others.is_empty(), contested, quota),
        };
        Ok(Self { options: Options { cpus: engine_cpus, wait, io: io.into() }, why: why.into(), _claim: claim })
    }
}

/// Polling is right on CPUs of its own, wrong on shared ones: there it would take the time of what it measures.
fn choose_wait(chosen: bool, others_left: bool, contested: bool, limited: bool) -> (Wait, &'static str) {
    if !chosen {
        (Wait::Timer, "no CPUs were given for it alone (--cpus)")
    } else if !others_left {
        (Wait::Timer, "no CPU is left for anything else")
    } else if limited {
        (Wait::Timer, "the control group allows no more CPU time than polling would take")
    } else if contested {
        (Wait::Timer, "another node on this machine uses its CPUs, too")
    } else {
        (Wait::Poll, "its CPUs are its own")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_polls_on_cpus_of_its_own_only() {
        assert_eq!(choose_wait(true, true, false, false).0, Wait::Poll);
        for (chosen, others_left, contested, limited) in [
            (false, true, false, false),
            (true, false, false, false),
            (true, true, true, false),
            (true, true, false, true),
        ] {
            assert_eq!(choose_wait(chosen, others_left, contested, limited).0, Wait::Timer);
        }
    }

    #[test]
    fn a_cpu_that_is_not_there_is_named() {
        let error = Machine::look(Some(&Cpus(vec![1023])), WaitArg::Auto, IoArg::Auto).err().map(|e| e.to_string());
        assert!(error.is_some_and(|e| e.contains("--cpus: CPU 1023")));
    }
}
