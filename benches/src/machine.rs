//! The machine under the numbers, and the CPU a thread runs on.

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

use serde_json::{Value, json};

/// What a number must be read with: date, kernel, CPU and so on.
pub fn describe() -> Value {
    let system = rustix::system::uname();
    json!({
        "date": jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
        "kernel": system.release().to_string_lossy(),
        "cpu": cpu_model(),
        "cpus": std::thread::available_parallelism().map_or(1, usize::from),
        "benches": env!("CARGO_PKG_VERSION"),
    })
}

/// The same for people.
pub fn line(machine: &Value) -> String {
    let text = |key: &str| machine[key].as_str().unwrap_or("unknown").to_owned();
    format!(
        "{}; kernel {}; {}, {} CPUs; Onrush {}",
        text("date"),
        text("kernel"),
        text("cpu"),
        machine["cpus"],
        text("benches")
    )
}

fn cpu_model() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// Where a benchmark of the engine runs; reports are read on the target's CPU, off the one that is measured.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Cpus {
    /// The target's CPU
    #[arg(long, default_value_t = 0)]
    pub target_cpu: usize,
    /// The engine's CPU
    #[arg(long, default_value_t = 1)]
    pub engine_cpu: usize,
}

/// Keeps the calling thread, and the processes that it starts, on one CPU.
pub fn pin(cpu: usize) -> io::Result<()> {
    onrush_host::cpus::pin_thread(&[cpu]).map_err(|e| io::Error::other(format!("cannot run on CPU {cpu}: {e}")))
}

/// Whose CPU time.
#[derive(Clone, Copy, Debug)]
pub enum Whose {
    /// Of this process with all its threads.
    Own,
    /// Of the processes that this one started and that have ended.
    Children,
}

/// User and system time so far.
pub fn cpu_time(whose: Whose) -> Duration {
    let who = match whose {
        Whose::Own => libc::RUSAGE_SELF,
        Whose::Children => libc::RUSAGE_CHILDREN,
    };
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is valid for a whole rusage.
    let result = unsafe { libc::getrusage(who, usage.as_mut_ptr()) };
    assert_eq!(result, 0, "getrusage fails only for arguments that are not these");
    // SAFETY: zeroed at first, and a rusage of zeros is valid; then filled by the kernel.
    let usage = unsafe { usage.assume_init() };
    let duration = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_micros(time.tv_usec.unsigned_abs())
    };
    duration(usage.ru_utime) + duration(usage.ru_stime)
}
