//! This machine's CPUs: which ones the engine has, which are left for the rest, and how the engine may wait.

use onrush_engine::Wait;
use onrush_host::cpus::{self, Claim};

use crate::DriverError;

/// The CPUs of this driver, claimed for as long as this lives.
#[derive(Debug)]
pub struct Machine {
    engine_cpus: Vec<usize>,
    /// What this process may use beside them.
    other_cpus: Vec<usize>,
    /// Whether the user chose the CPUs.
    chosen: bool,
    quota: Option<usize>,
    claim: Option<Claim>,
}

impl Machine {
    /// Looks, checks the user's choice and claims the CPUs.
    pub fn look(chosen: Option<&[usize]>) -> Result<Self, DriverError> {
        let allowed = cpus::allowed().map_err(DriverError::Affinity)?;
        let engine_cpus = chosen.unwrap_or(&allowed).to_vec();
        if engine_cpus.is_empty() {
            return Err(DriverError::NoCpu);
        }
        if let Some(cpu) = engine_cpus.iter().find(|cpu| !allowed.contains(cpu)) {
            return Err(DriverError::Cpu { cpu: *cpu, allowed: cpus::format_list(&allowed) });
        }
        let claim = Claim::new(&engine_cpus);
        let claim =
            claim.inspect_err(|e| tracing::warn!("other nodes on this machine will not know our CPUs: {e}")).ok();
        let other_cpus = allowed.into_iter().filter(|cpu| !engine_cpus.contains(cpu)).collect();
        Ok(Self { engine_cpus, other_cpus, chosen: chosen.is_some(), quota: cpus::quota(), claim })
    }

    /// The CPUs of the engine.
    pub fn engine_cpus(&self) -> &[usize] {
        &self.engine_cpus
    }

    /// Keeps the calling thread, and every thread that it starts, off the engine's CPUs where there are others.
    pub fn leave_engine_cpus(&self) {
        if !self.other_cpus.is_empty()
            && let Err(e) = cpus::pin_thread(&self.other_cpus)
        {
            tracing::warn!("other threads stay on the engine's CPUs: {e}");
        }
    }

    /// How the engine may wait at this moment, and why.
    pub fn choose_wait(&self) -> (Wait, String) {
        // Without a claim nothing is known of the others, so they may be there.
        let contested = self.claim.as_ref().map(Claim::contested);
        choose_wait(self.chosen, self.engine_cpus.len(), self.other_cpus.len(), contested.as_deref(), self.quota)
    }
}

/// Polling is right on CPUs of its own, wrong on shared ones: there it would take the time of what it measures.
fn choose_wait(
    chosen: bool,
    engine_cpus: usize,
    other_cpus: usize,
    contested: Option<&[(usize, String)]>,
    quota: Option<usize>,
) -> (Wait, String) {
    let timer = |why: String| (Wait::Timer, why);
    if !chosen {
        return timer("no CPUs were given for it alone (--cpus)".into());
    }
    if other_cpus == 0 {
        return timer("no CPU is left for anything else".into());
    }
    if let Some(quota) = quota.filter(|quota| *quota <= engine_cpus) {
        return timer(format!("the control group allows the time of {quota} CPUs, all of which polling would take"));
    }
    match contested {
        None => timer("it is not known who else uses its CPUs".into()),
        Some([(cpu, who), ..]) => timer(format!("{who} uses CPU {cpu} too")),
        Some([]) => (Wait::Poll, "its CPUs are its own".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_polls_on_cpus_of_its_own_only() {
        let other = [(3, "process 7".to_owned())];
        let cases = [
            ((true, 2, 1, Some(&[][..]), None), Wait::Poll),
            ((true, 2, 1, Some(&[][..]), Some(3)), Wait::Poll),
            ((true, 2, 1, Some(&[][..]), Some(2)), Wait::Timer),
            ((true, 2, 1, Some(&other[..]), None), Wait::Timer),
            ((true, 2, 1, None, None), Wait::Timer),
            ((true, 2, 0, Some(&[][..]), None), Wait::Timer),
            ((false, 2, 1, Some(&[][..]), None), Wait::Timer),
        ];
        for ((chosen, own, others, contested, quota), expected) in cases {
            let (wait, why) = choose_wait(chosen, own, others, contested, quota);
            assert_eq!(wait, expected, "{why}");
        }
    }

    #[test]
    fn a_cpu_that_is_not_there_is_named() {
        let error = Machine::look(Some(&[1023])).unwrap_err().to_string();
        assert!(error.contains("CPU 1023") && error.contains("may use the CPUs"), "{error}");
        assert!(matches!(Machine::look(Some(&[])), Err(DriverError::NoCpu)));
    }
}
