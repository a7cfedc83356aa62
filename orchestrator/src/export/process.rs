//! What this process uses of its machine.

use rustix::time::{ClockId, clock_gettime};

/// What can be known is `Some`.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// CPU time of all threads since the start.
    pub cpu_s: f64,
    /// Memory that is not swapped out.
    pub resident_bytes: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
}

impl Usage {
    /// As it is now.
    pub fn read() -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let descriptors = std::fs::read_dir("/proc/self/fd").ok();
        Self {
            cpu_s: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
            resident_bytes: resident_bytes(&status),
            // The listing itself holds one.
            open_fds: descriptors.map(|entries| entries.count().saturating_sub(1) as u64),
        }
    }
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let usage = Usage::read();
        assert!(usage.cpu_s > 0.0);
        assert!(usage.resident_bytes.is_some_and(|bytes| bytes > 100_000), "{usage:?}");
        assert!(usage.open_fds.is_some_and(|n| n >= 3), "{usage:?}");
        assert_eq!(resident_bytes("VmPeak:\t 9 kB\nVmRSS:\t   12 kB\n"), Some(12_288));
        assert_eq!(resident_bytes("VmRSS: many"), None);
    }
}
