//! From what was seen to what it means. Pure: facts in, findings out; every rule and every threshold stands here or in
//! `judge_network`.

use onrush_host::cpus::format_list;
use onrush_host::limits::Limit;

use super::facts::{Facts, Load, Ring};
use super::finding::Finding;
use super::judge_network as network;
use crate::report::grouped;

/// What a driver opens beside its connections: rings, timers, Kafka's sockets, standard streams.
const OTHER_DESCRIPTORS: u64 = 128;
/// Before 5.12 a ring counts against locked memory: about so much for each thread.
const RING_BYTES: u64 = 512 * 1024;
/// Clock sources that are read without a system call.
const FAST_CLOCKS: [&str; 5] =
    ["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page", "riscv_clocksource"];
/// EPERM and EACCES: somebody refuses; ENOSYS: the kernel does not have it (or seccomp says so).
const EPERM: i32 = 1;
const EACCES: i32 = 13;
const ENOMEM: i32 = 12;

/// Every check, in the order in which they are shown.
pub fn judge(facts: &Facts, load: &Load) -> Vec<Finding> {
    let mut findings = vec![io_uring(facts), locked_memory(facts, load), descriptors(facts, load)];
    findings.extend(network::ports(facts, load));
    findings.extend(network::accept_queue(facts, load));
    findings.extend([cpus(facts, load), governor(facts, load)]);
    findings.extend(clock_source(facts));
    findings.extend(clock_sync(facts));
    findings.extend(network::drivers(facts));
    findings.extend(network::broker(facts));
    findings.extend(network::target(facts));
    findings
}

fn io_uring(facts: &Facts) -> Finding {
    const CHECK: &str = "io_uring";
    let kernel = &facts.kernel;
    let (code, words) = match &facts.ring {
        Ring::Deferred => return Finding::ok(CHECK, format!("kernel {kernel}, a ring was set up")),
        Ring::Plain => {
            let reason = format!("kernel {kernel}, a plain ring was set up; 6.1 and later spend less on each request");
            return Finding::ok(CHECK, reason);
        }
        Ring::Refused(code, words) => (*code, words),
    };
    // A driver falls back where somebody refuses rings; a want of memory ends it.
    let refused = |reason: String, fix: &str| {
        Finding::warn(CHECK, format!("{reason}; requests are sent by epoll, which takes more CPU time"), fix)
    };
    match facts.io_uring_disabled {
        Some(value @ 1..) => {
            let reason = format!("kernel.io_uring_disabled is {value}: the kernel refuses rings ({words})");
            refused(reason, "sysctl -w kernel.io_uring_disabled=0")
        }
        _ if code == ENOMEM => Finding::fail(
            CHECK,
            format!("no memory for a ring ({words}): the limit of locked memory is too low for kernel {kernel}"),
            "ulimit -l unlimited    (systemd: LimitMEMLOCK=infinity; Docker: --ulimit memlock=-1), or --io epoll",
        ),
        _ if facts.seccomp || code == EPERM || code == EACCES => refused(
            format!("refused ({words}): a seccomp filter, as containers have by default, forbids it"),
            "docker run --security-opt seccomp=docker/seccomp.json …",
        ),
        _ => refused(
            format!("kernel {kernel} has no io_uring ({words})"),
            "boot a kernel of 5.11 or later with CONFIG_IO_URING=y",
        ),
    }
}

fn locked_memory(facts: &Facts, load: &Load) -> Finding {
    const CHECK: &str = "locked memory";
    let threads = engine_cpus(facts, load).len() as u64;
    let needed = RING_BYTES * threads;
    let Some(soft) = facts.locked_memory.soft else { return Finding::ok(CHECK, "unlimited") };
    let has = format!("{} KiB", grouped(soft / 1024));
    // Since 5.12 rings are counted by the memory control group instead.
    if version(&facts.kernel) >= (5, 12) {
        return Finding::ok(CHECK, format!("{has}; rings do not count against it on this kernel"));
    }
    if soft >= needed {
        return Finding::ok(CHECK, format!("{has} for {threads} rings"));
    }
    let reason = format!("{has}, and {threads} rings lock about {} KiB on this kernel", grouped(needed / 1024));
    Finding::fail(CHECK, reason, format!("ulimit -l {}", needed / 1024))
}

fn descriptors(facts: &Facts, load: &Load) -> Finding {
    const CHECK: &str = "descriptors";
    let Limit { soft, hard } = facts.descriptors;
    let needed = load.connections + OTHER_DESCRIPTORS;
    let show = |limit: Option<u64>| limit.map_or("unlimited".into(), grouped);
    let wants = format!("{} connections need {}", grouped(load.connections), grouped(needed));
    if soft.is_none_or(|soft| soft >= needed) {
        return Finding::ok(CHECK, format!("{} may be open, {wants}", show(soft)));
    }
    if hard.is_none_or(|hard| hard >= needed) {
        let reason =
            format!("{wants}; the driver raises its limit from {} to the hard one, {}", show(soft), show(hard));
        return Finding::ok(CHECK, reason);
    }
    let fix =
        format!("ulimit -Hn {needed}    (as root; systemd: LimitNOFILE={needed}; Docker: --ulimit nofile={needed})");
    Finding::fail(CHECK, format!("{wants}, and at most {} may be open", show(hard)), fix)
}

fn cpus(facts: &Facts, load: &Load) -> Finding {
    const CHECK: &str = "CPUs";
    let allowed = format_list(&facts.cpus);
    let engine = engine_cpus(facts, load);
    if let Some(missing) = engine.iter().find(|cpu| !facts.cpus.contains(cpu)) {
        let reason = format!("CPU {missing} was asked for, and this process may use {allowed}");
        return Finding::fail(CHECK, reason, format!("--cpus {allowed}"));
    }
    if let Some(quota) = facts.quota.filter(|quota| *quota < engine.len()) {
        let reason = format!(
            "the control group gives the time of {quota} CPUs to an engine on {}: it is stopped again and again",
            engine.len()
        );
        let fix = format!("raise the quota (systemd: CPUQuota=; Docker: --cpus), or use {quota} CPUs: --cpus LIST");
        return Finding::warn(CHECK, reason, fix);
    }
    let others = facts.cpus.len() - engine.len();
    if others == 0 {
        let reason =
            format!("the engine has all of them ({allowed}); Kafka's threads and the kernel share them with it");
        return match facts.cpus.as_slice() {
            [_] => Finding::warn(CHECK, reason, "use a machine with two CPUs or more"),
            [first, ..] => {
                let rest: Vec<usize> = facts.cpus.iter().copied().filter(|cpu| cpu != first).collect();
                Finding::warn(CHECK, reason, format!("leave it one: onrush driver --cpus {}", format_list(&rest)))
            }
            [] => Finding::fail(CHECK, "this process may use none", "taskset -c 0- onrush …"),
        };
    }
    Finding::ok(CHECK, format!("{} for the engine, {others} for the rest", format_list(&engine)))
}

fn governor(facts: &Facts, load: &Load) -> Finding {
    const CHECK: &str = "governor";
    let engine = engine_cpus(facts, load);
    let of_engine: Vec<_> = facts.governors.iter().filter(|(cpu, _)| engine.contains(cpu)).collect();
    if of_engine.is_empty() {
        return Finding::ok(CHECK, "none: the CPUs' frequency is not ours to set, as in most virtual machines");
    }
    let slow: Vec<usize> = of_engine.iter().filter(|(_, name)| name != "performance").map(|(cpu, _)| *cpu).collect();
    match of_engine.iter().find(|(_, name)| name != "performance") {
        None => Finding::ok(CHECK, "performance"),
        Some((_, name)) => Finding::warn(
            CHECK,
            format!("{name} on CPU {}: the frequency follows the load, and latencies with it", format_list(&slow)),
            format!("cpupower -c {} frequency-set -g performance", format_list(&slow)),
        ),
    }
}

fn clock_source(facts: &Facts) -> Option<Finding> {
    const CHECK: &str = "clock source";
    let now = facts.clock_source.as_deref()?;
    if FAST_CLOCKS.contains(&now) {
        return Some(Finding::ok(CHECK, now));
    }
    let reason = format!("{now}: each look at the clock costs a system call or a slow read, several for each request");
    let better = FAST_CLOCKS.into_iter().find(|fast| facts.clock_sources.iter().any(|other| other == fast));
    let fix = match better {
        Some(better) => {
            format!("echo {better} > /sys/devices/system/clocksource/clocksource0/current_clocksource")
        }
        None => "look for `clocksource` in the kernel's log for why there is no faster one: journalctl -k".into(),
    };
    Some(Finding::warn(CHECK, reason, fix))
}

fn clock_sync(facts: &Facts) -> Option<Finding> {
    const CHECK: &str = "time sync";
    Some(match facts.clock_synchronized? {
        true => Finding::ok(CHECK, "the clock is kept on time"),
        false => Finding::warn(
            CHECK,
            "nothing keeps the clock on time: machines start a test apart by as much as their clocks differ",
            "apt-get install chrony    (or: timedatectl set-ntp true; in a virtual machine the host may do it)",
        ),
    })
}

fn engine_cpus(facts: &Facts, load: &Load) -> Vec<usize> {
    load.cpus.clone().unwrap_or_else(|| facts.cpus.clone())
}

/// Major and minor of a kernel's release.
fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
