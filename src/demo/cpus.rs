//! Who gets which CPU in the demo. Pure, but for asking which CPUs there are.

use std::fmt;

use crate::error::Error;

/// The CPUs of each node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuPlan {
    /// Of the target.
    pub target: Vec<usize>,
    /// Of each driver.
    pub drivers: Vec<Vec<usize>>,
    /// Whether each driver's CPUs are nobody else's.
    pub own_cpus: bool,
}

/// The CPUs that this process may use.
pub fn usable() -> Result<Vec<usize>, Error> {
    onrush_host::cpus::allowed().map_err(|e| Error::failed("cannot see which CPUs there are", e))
}

impl CpuPlan {
    /// With enough CPUs, everybody has their own: one stays for broker and orchestrator, two thirds of the others
    /// are for the drivers (load costs more than answering), the rest is for the target. With fewer, each driver
    /// has one CPU, in turn, and the target shares them all.
    pub fn new(cpus: &[usize], drivers: usize) -> Self {
        if cpus.len() < drivers + 2 {
            let of_driver = |index: usize| cpus.get(index % cpus.len().max(1)).copied().into_iter().collect();
            return Self { target: cpus.to_vec(), drivers: (0..drivers).map(of_driver).collect(), own_cpus: false };
        }
        let own = &cpus[1..];
        let per_driver = (own.len() * 2 / 3 / drivers).max(1);
        let (of_drivers, of_target) = own.split_at(per_driver * drivers);
        Self {
            target: of_target.to_vec(),
            drivers: of_drivers.chunks(per_driver).map(<[usize]>::to_vec).collect(),
            own_cpus: true,
        }
    }
}

impl fmt::Display for CpuPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = onrush_host::cpus::format_list;
        let drivers: Vec<String> = self.drivers.iter().map(|cpus| list(cpus)).collect();
        let shared = if self.own_cpus { "" } else { " (shared: latencies are a crowded machine's)" };
        write!(f, "CPUs: target {}, drivers {}{shared}", list(&self.target), drivers.join(" | "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_cpus_are_shared() {
        let plan = CpuPlan::new(&[0, 1], 2);
        assert_eq!((plan.target.clone(), plan.drivers.clone()), (vec![0, 1], vec![vec![0], vec![1]]));
        assert!(!plan.own_cpus && plan.to_string().starts_with("CPUs: target 0-1, drivers 0 | 1 (shared"));
        assert_eq!(CpuPlan::new(&[3], 2).drivers, [[3], [3]]);
    }

    #[test]
    fn with_enough_everybody_has_their_own() {
        let plan = CpuPlan::new(&[0, 1, 2, 3], 2);
        assert_eq!((plan.target, plan.drivers, plan.own_cpus), (vec![3], vec![vec![1], vec![2]], true));
        for (count, drivers) in [(5, 2), (8, 2), (10, 8), (16, 4), (64, 8)] {
            let cpus: Vec<usize> = (10..10 + count).collect();
            let plan = CpuPlan::new(&cpus, drivers);
            let mut given: Vec<usize> = plan.drivers.concat();
            given.extend(&plan.target);
            assert_eq!(given, cpus[1..], "{count} CPUs, {drivers} drivers: each but the first is given once");
            assert_eq!(plan.drivers.len(), drivers);
            assert!(plan.own_cpus && !plan.target.is_empty());
        }
    }
}
