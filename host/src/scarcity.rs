//! Where a process gets less CPU time than it wants: run queues, stolen time, throttling. All of it only grows; what cannot be
//! read is `None`, never zero.

use std::fs::{File, read_to_string};
use std::os::unix::fs::FileExt;

/// The kernel counts stolen time in ticks of this length on every architecture that this runs on (`USER_HZ` of proc(5)).
const TICK_NS: u64 = 10_000_000;

/// A thread's share of its CPUs, from `/proc/thread-self/schedstat` (Documentation/scheduler/sched-stats.rst).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadTime {
    /// For how long it ran.
    pub ran_ns: u64,
    /// For how long it was ready to run and did not: others had the CPU, or its control group was throttled.
    pub waited_ns: u64,
}

/// Reads the times of the thread that opened it, without opening a file each time.
#[derive(Debug)]
pub struct ThreadClock(File);

impl ThreadClock {
    /// That of the calling thread; `None` where the kernel keeps none.
    pub fn open() -> Option<Self> {
        Some(Self(File::open("/proc/thread-self/schedstat").ok()?))
    }

    /// As they are now.
    pub fn read(&self) -> Option<ThreadTime> {
        let mut text = [0; 96];
        let length = self.0.read_at(&mut text, 0).ok()?;
        thread_time(std::str::from_utf8(&text[..length]).ok()?)
    }
}

/// The times of all threads of this process, added up; of those that are alive.
pub fn process_time() -> Option<ThreadTime> {
    let mut sum = ThreadTime::default();
    for task in std::fs::read_dir("/proc/self/task").ok()?.flatten() {
        // A thread may end meanwhile.
        let Some(time) = read_to_string(task.path().join("schedstat")).ok().as_deref().and_then(thread_time) else {
            continue;
        };
        sum.ran_ns = sum.ran_ns.saturating_add(time.ran_ns);
        sum.waited_ns = sum.waited_ns.saturating_add(time.waited_ns);
    }
    Some(sum)
}

fn thread_time(text: &str) -> Option<ThreadTime> {
    let mut fields = text.split_ascii_whitespace();
    let (ran, waited) = (fields.next()?, fields.next()?);
    Some(ThreadTime { ran_ns: ran.parse().ok()?, waited_ns: waited.parse().ok()? })
}

/// What others took of a process's CPU time, from one look to the next.
#[derive(Debug)]
pub struct Scarcity {
    cpus: Vec<usize>,
    stolen_ns: Option<Vec<u64>>,
    throttled_ns: Option<u64>,
}

impl Scarcity {
    /// From now on, of a process on these CPUs.
    pub fn new(cpus: Vec<usize>) -> Self {
        let stolen_ns = stolen_ns(&cpus);
        Self { cpus, stolen_ns, throttled_ns: throttled_ns() }
    }

    /// Nanoseconds that the hypervisor stole from the CPU that lost most, and for which the process was throttled, since the last
    /// look; 0 where nothing can be read.
    pub fn since_last(&mut self) -> (u64, u64) {
        let (stolen, throttled) = (stolen_ns(&self.cpus), throttled_ns());
        let most_stolen = match (&self.stolen_ns, &stolen) {
            (Some(before), Some(now)) => {
                now.iter().zip(before).map(|(now, before)| now.saturating_sub(*before)).max().unwrap_or(0)
            }
            _ => 0,
        };
        let held_back = throttled.zip(self.throttled_ns).map_or(0, |(now, before)| now.saturating_sub(before));
        (self.stolen_ns, self.throttled_ns) = (stolen, throttled);
        (most_stolen, held_back)
    }
}

/// Time that the hypervisor gave to others, of each of these CPUs, from `/proc/stat`.
pub fn stolen_ns(cpus: &[usize]) -> Option<Vec<u64>> {
    let text = read_to_string("/proc/stat").ok()?;
    cpus.iter().map(|cpu| stolen_of(&text, *cpu)).collect()
}

fn stolen_of(stat: &str, cpu: usize) -> Option<u64> {
    // Its name, then user, nice, system, idle, iowait, irq, softirq, steal.
    const STEAL: usize = 8;
    let name = format!("cpu{cpu}");
    let mut lines = stat.lines().map(|line| line.split_ascii_whitespace());
    let mut fields = lines.find(|fields| fields.clone().next() == Some(name.as_str()))?;
    fields.nth(STEAL)?.parse::<u64>().ok()?.checked_mul(TICK_NS)
}

/// For how long this process's control group, or one around it, was held back for having used up its share of CPU time.
pub fn throttled_ns() -> Option<u64> {
    let groups = read_to_string("/proc/self/cgroup").ok()?;
    let mut found = None;
    for folder in cpu_folders(&groups) {
        if let Some(ns) = read_to_string(format!("{folder}/cpu.stat")).ok().as_deref().and_then(throttled_of) {
            found = Some(found.unwrap_or(0u64).saturating_add(ns));
        }
    }
    found
}

/// The groups that limit CPU time, from the process's own outwards: of the unified hierarchy, or of the controller `cpu`.
fn cpu_folders(groups: &str) -> Vec<String> {
    let mut folders = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let root = match controllers {
            "" => "/sys/fs/cgroup".to_owned(),
            _ if controllers.split(',').any(|name| name == "cpu") => format!("/sys/fs/cgroup/{controllers}"),
            _ => continue,
        };
        let mut path = path.trim_end_matches('/');
        loop {
            folders.push(format!("{root}{path}"));
            match path.rfind('/') {
                Some(end) => path = &path[..end],
                None => break,
            }
        }
    }
    folders
}

fn throttled_of(cpu_stat: &str) -> Option<u64> {
    let field = |name: &str| {
        cpu_stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse::<u64>().ok())
    };
    // Microseconds in the unified hierarchy, nanoseconds in that of version 1.
    field("throttled_usec").and_then(|us| us.checked_mul(1_000)).or_else(|| field("throttled_time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_works_has_run() {
        let Some(clock) = ThreadClock::open() else { return };
        let before = clock.read().expect("what can be opened can be read");
        let until = std::time::Instant::now() + std::time::Duration::from_millis(30);
        while std::time::Instant::now() < until {}
        let after = clock.read().expect("it could before");
        let wanted = (after.ran_ns - before.ran_ns) + (after.waited_ns - before.waited_ns);
        assert!(wanted > 10_000_000, "{before:?} {after:?}");
        assert!(process_time().is_some_and(|all| all.ran_ns > 0));
    }

    #[test]
    fn stolen_time_is_that_of_the_cpu_asked_for() {
        let stat = "cpu  1 2 3 4 5 6 7 80 0 0\ncpu1 1 2 3 4 5 6 7 20 0 0\ncpu10 1 2 3 4 5 6 7 60 0 0\nintr 5\n";
        assert_eq!((stolen_of(stat, 1), stolen_of(stat, 10)), (Some(200_000_000), Some(600_000_000)));
        assert_eq!((stolen_of(stat, 0), stolen_of("cpu1 1 2", 1)), (None, None));
    }

    #[test]
    fn throttling_is_read_of_both_hierarchies() {
        assert_eq!(throttled_of("nr_throttled 3\nthrottled_usec 1500\n"), Some(1_500_000));
        assert_eq!(throttled_of("nr_periods 4\nnr_throttled 3\nthrottled_time 77\n"), Some(77));
        assert_eq!(throttled_of("usage_usec 3\n"), None);
        let folders = cpu_folders("4:memory:/a\n2:cpu,cpuacct:/docker/x\n0::/\n");
        let expected = [
            "/sys/fs/cgroup/cpu,cpuacct/docker/x",
            "/sys/fs/cgroup/cpu,cpuacct/docker",
            "/sys/fs/cgroup/cpu,cpuacct",
            "/sys/fs/cgroup",
        ];
        assert_eq!(folders, expected);
    }
}
