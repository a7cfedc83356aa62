//! CPUs of this machine: lists of them, which ones this process may use, and who claims which.

use std::fmt::Write;
use std::path::Path;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::HostError;
use crate::runtime::{LiveFile, runtime_dir};

/// The highest CPU number that can be pinned to.
const MAX_CPU: usize = CpuSet::MAX_CPU - 1;
const FOLDER: &str = "cpus";

/// Reads a list like `2-7,9`: ascending, each CPU once. The error says what is wrong with it.
pub fn parse_list(text: &str) -> Result<Vec<usize>, String> {
    let wrong = |part: &str| format!("{part:?} is neither a CPU nor a range of CPUs; give a list like 2-7,9");
    let mut cpus = Vec::new();
    for part in text.split(',').map(str::trim) {
        let number = |text: &str| text.trim().parse::<usize>().map_err(|_| wrong(part));
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(part)?, number(part)?),
        };
        if first > last {
            return Err(format!("{part:?} goes backwards; give the lower CPU first"));
        }
        if last > MAX_CPU {
            return Err(format!("{part:?} is beyond the last possible CPU, {MAX_CPU}"));
        }
        cpus.extend(first..=last);
    }
    cpus.sort_unstable();
    cpus.dedup();
    Ok(cpus)
}

/// Writes a list like `2-7,9`.
pub fn format_list(cpus: &[usize]) -> String {
    let mut text = String::new();
    for run in cpus.chunk_by(|a, b| a + 1 == *b) {
        let comma = if text.is_empty() { "" } else { "," };
        let (first, last) = (run[0], run[run.len() - 1]);
        let dash = if first == last { String::new() } else { format!("-{last}") };
        // A String takes everything.
        let _ = write!(text, "{comma}{first}{dash}");
    }
    text
}

/// The CPUs that the calling thread may use, ascending.
pub fn allowed() -> std::io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..=MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect())
}

/// Pins the calling thread to these CPUs, and every thread that it starts.
pub fn pin_thread(cpus: &[usize]) -> std::io::Result<()> {
    if cpus.iter().any(|cpu| *cpu > MAX_CPU) {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "there is no such CPU"));
    }
    let mut set = CpuSet::new();
    cpus.iter().for_each(|cpu| set.set(*cpu));
    Ok(sched_setaffinity(None, &set)?)
}

/// How many CPUs' worth of time this process gets, where a control group allows less than its CPUs have.
pub fn quota() -> Option<usize> {
    // The standard library reads the control groups, of both versions.
    let usable = std::thread::available_parallelism().ok()?.get();
    (usable < allowed().ok()?.len()).then_some(usable)
}

/// Tells the other nodes on this machine that these CPUs are taken, until it is dropped or the process ends.
#[derive(Debug)]
pub struct Claim {
    files: Vec<(usize, LiveFile)>,
}

impl Claim {
    /// Claims the CPUs. Claiming forbids nothing: it lets others know.
    pub fn new(cpus: &[usize]) -> Result<Self, HostError> {
        Self::in_dir(&runtime_dir()?, cpus)
    }

    fn in_dir(runtime_dir: &Path, cpus: &[usize]) -> Result<Self, HostError> {
        let who = format!("process {}", std::process::id());
        let claim = |cpu: &usize| Ok((*cpu, LiveFile::create(&cpu_dir(runtime_dir, *cpu), &who)?));
        Ok(Self { files: cpus.iter().map(claim).collect::<Result<_, HostError>>()? })
    }

    /// The CPUs of this claim that somebody else who lives claims too, with who it is.
    pub fn contested(&self) -> Vec<(usize, String)> {
        let others = self.files.iter().filter_map(|(cpu, own)| {
            let dir = own.folder()?;
            LiveFile::live(dir, Some(own)).into_iter().next().map(|who| (*cpu, who))
        });
        others.collect()
    }
}

fn cpu_dir(runtime_dir: &Path, cpu: usize) -> std::path::PathBuf {
    runtime_dir.join(FOLDER).join(cpu.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lists_are_read() {
        assert_eq!(parse_list("2-4, 9,3").unwrap(), [2, 3, 4, 9]);
        assert_eq!(parse_list("0").unwrap(), [0]);
        for wrong in ["", "a", "1-", "-1", "3-2", "1,,2", "0-99999999999", "99999", "1-2-3"] {
            assert!(parse_list(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(cpus in prop::collection::btree_set(0..=MAX_CPU, 1..40)) {
            let cpus: Vec<usize> = cpus.into_iter().collect();
            prop_assert_eq!(parse_list(&format_list(&cpus)).unwrap(), cpus);
        }
    }

    #[test]
    fn a_claim_sees_the_others_and_not_itself() {
        let dir = tempfile::tempdir().unwrap();
        let ours = Claim::in_dir(dir.path(), &[2, 3]).unwrap();
        assert!(ours.contested().is_empty());
        let theirs = Claim::in_dir(dir.path(), &[3, 4]).unwrap();
        assert_eq!(ours.contested().iter().map(|(cpu, _)| *cpu).collect::<Vec<_>>(), [3]);
        drop(theirs);
        assert!(ours.contested().is_empty());
    }

    #[test]
    fn this_thread_may_use_a_cpu() {
        let allowed = allowed().unwrap();
        pin_thread(&allowed[..1]).unwrap();
        assert_eq!(super::allowed().unwrap(), allowed[..1]);
        assert!(pin_thread(&[MAX_CPU + 1]).is_err());
    }
}
