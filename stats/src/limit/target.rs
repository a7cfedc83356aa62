//! What a target tells of its CPU time, look by look, and what it used between two of them.

/// Two looks that are closer than this say nothing: what they were made of may not have been counted yet.
const MIN_AVAILABLE_S: f64 = 0.1;

/// CPU time of the target, as it or its machine tells it; the first three only grow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TargetTime {
    /// Since it started.
    pub uptime_s: f64,
    /// CPU time of all its threads.
    pub cpu_s: f64,
    /// For how long its threads were ready and had no CPU.
    pub cpu_wait_s: f64,
    /// How many CPUs it can use at a time.
    pub cores: u64,
}

impl TargetTime {
    /// Whether it counts from the same beginning as an earlier look.
    fn follows(&self, before: &Self) -> bool {
        let Self { uptime_s, cpu_s, cpu_wait_s, cores } = before;
        self.uptime_s >= *uptime_s && self.cpu_s >= *cpu_s && self.cpu_wait_s >= *cpu_wait_s && self.cores == *cores
    }
}

/// What a target used of its CPUs in a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TargetCpu {
    /// CPU time that all its CPUs together could give: the length of the stretch, times `cores`.
    pub available_s: f64,
    /// CPU time of all its threads.
    pub cpu_s: f64,
    /// For how long its threads were ready and had no CPU.
    pub cpu_wait_s: f64,
    /// How many CPUs it can use at a time.
    pub cores: u64,
}

impl TargetCpu {
    /// Adds the stretch that follows.
    pub fn append(&mut self, next: &Self) {
        let Self { available_s, cpu_s, cpu_wait_s, cores } = next;
        self.available_s += available_s;
        self.cpu_s += cpu_s;
        self.cpu_wait_s += cpu_wait_s;
        self.cores = *cores;
    }

    /// The share of its CPUs that it used, 0 to 1.
    pub fn used_share(&self) -> f64 {
        self.share(self.cpu_s)
    }

    /// The share of its CPUs that it wanted and did not get, 0 to 1.
    pub fn waited_share(&self) -> f64 {
        self.share(self.cpu_wait_s)
    }

    fn share(&self, of_s: f64) -> f64 {
        if self.available_s > 0.0 { (of_s / self.available_s).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// Looks at a target's CPU time become what it used from each look to the next.
#[derive(Clone, Debug, Default)]
pub struct TargetLooks {
    last: Option<TargetTime>,
    untaken: Option<TargetCpu>,
}

impl TargetLooks {
    /// One more look. A target that was started anew, or has another number of CPUs, counts from the beginning.
    pub fn look(&mut self, time: TargetTime) {
        let Some(before) = self.last.filter(|before| time.follows(before)) else {
            self.last = Some(time);
            return;
        };
        let available_s = (time.uptime_s - before.uptime_s) * time.cores as f64;
        if available_s.is_nan() || available_s < MIN_AVAILABLE_S {
            return;
        }
        self.last = Some(time);
        let (cpu_s, cpu_wait_s) = (time.cpu_s - before.cpu_s, time.cpu_wait_s - before.cpu_wait_s);
        let used = TargetCpu { available_s, cpu_s, cpu_wait_s, cores: time.cores };
        match &mut self.untaken {
            Some(untaken) => untaken.append(&used),
            None => self.untaken = Some(used),
        }
    }

    /// What was used since the last call, as far as two looks tell it.
    pub fn take(&mut self) -> Option<TargetCpu> {
        self.untaken.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(uptime_s: f64, cpu_s: f64, cpu_wait_s: f64) -> TargetTime {
        TargetTime { uptime_s, cpu_s, cpu_wait_s, cores: 2 }
    }

    fn taken(looks: &mut TargetLooks, time: TargetTime) -> Option<[f64; 4]> {
        looks.look(time);
        let cpu = looks.take()?;
        Some([cpu.available_s, cpu.cpu_s, cpu.used_share(), cpu.waited_share()])
    }

    #[test]
    fn what_lies_between_two_looks_was_used() {
        let mut looks = TargetLooks::default();
        assert_eq!(taken(&mut looks, time(10.0, 3.0, 0.0)), None, "one look tells nothing");
        assert_eq!(taken(&mut looks, time(11.0, 4.5, 0.25)), Some([2.0, 1.5, 0.75, 0.125]));
        // An exporter that is asked more often than it reads tells the same again; what it left out comes later.
        assert_eq!(taken(&mut looks, time(11.0, 4.5, 0.25)), None);
        assert_eq!(taken(&mut looks, time(13.0, 4.5, 0.25)), Some([4.0, 0.0, 0.0, 0.0]));
    }

    #[test]
    fn what_nobody_took_is_added_up() {
        let mut looks = TargetLooks::default();
        [time(1.0, 0.0, 0.0), time(2.0, 2.0, 0.0), time(3.0, 2.0, 0.0)].into_iter().for_each(|time| looks.look(time));
        let cpu = looks.take().expect("three looks");
        assert_eq!((cpu.available_s, cpu.cpu_s, cpu.used_share()), (4.0, 2.0, 0.5));
        assert_eq!(looks.take(), None);
    }

    #[test]
    fn a_target_that_counts_anew_is_compared_with_itself() {
        let mut looks = TargetLooks::default();
        looks.look(time(100.0, 50.0, 1.0));
        assert_eq!(taken(&mut looks, time(0.5, 0.1, 0.0)), None, "it was started anew");
        assert_eq!(taken(&mut looks, time(1.5, 1.1, 0.0)), Some([2.0, 1.0, 0.5, 0.0]));
        assert_eq!(taken(&mut looks, TargetTime { cores: 4, ..time(2.5, 2.1, 0.0) }), None, "it has other CPUs");
        for odd in [time(f64::NAN, 0.0, 0.0), time(f64::INFINITY, f64::INFINITY, 0.0), time(-1.0, -1.0, -1.0)] {
            looks.look(odd);
            let shares = looks.take().map(|cpu| [cpu.used_share(), cpu.waited_share()]);
            assert!(shares.is_none_or(|shares| shares.iter().all(|share| share.is_nan() || *share <= 1.0)));
        }
    }
}
