//! What this process uses of its machine.

use rustix::time::{ClockId, clock_gettime};

/// CPU time and memory of this process.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// CPU time of all threads since the start, user and system, in seconds.
    pub cpu_s: f64,
    /// Memory that is not swapped out; `None` where `/proc` does not tell.
    pub resident_bytes: Option<u64>,
}

impl Usage {
    /// As it is now.
    pub fn read() -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self { cpu_s: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9, resident_bytes: resident_bytes(&status) }
    }
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let usage = Usage::read();
        assert!(usage.cpu_s > 0.0);
        assert!(usage.resident_bytes.is_some_and(|bytes| bytes > 100_000), "{usage:?}");
        assert_eq!(resident_bytes("VmPeak:\t 9 kB\nVmRSS:\t   12 kB\n"), Some(12_288));
        assert_eq!(resident_bytes("VmRSS: many"), None);
    }
}
