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
        Self { cpu_s: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9, resident_bytes: status_bytes("VmRSS") }
    }
}

/// A field of `/proc/self/status`, as it stands there.
pub fn status(field: &str) -> Option<String> {
    field_of(&std::fs::read_to_string("/proc/self/status").ok()?, field).map(str::to_owned)
}

/// A field of `/proc/self/status` that is an amount of memory.
pub fn status_bytes(field: &str) -> Option<u64> {
    bytes(&status(field)?)
}

fn field_of<'a>(status: &'a str, field: &str) -> Option<&'a str> {
    Some(status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?.trim())
}

fn bytes(value: &str) -> Option<u64> {
    value.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let usage = Usage::read();
        assert!(usage.cpu_s > 0.0);
        assert!(usage.resident_bytes.is_some_and(|bytes| bytes > 100_000), "{usage:?}");
        let resident = |status| field_of(status, "VmRSS").and_then(bytes);
        assert_eq!(resident("VmPeak:\t 9 kB\nVmRSS:\t   12 kB\n"), Some(12_288));
        assert_eq!(resident("VmRSS: many"), None);
    }
}
