//! What a page of metrics in Prometheus' text format tells of a target's CPU time: that of a node_exporter, of a Prometheus that
//! federates some, or of the bundled target. Pure.

use std::collections::BTreeMap;

use onrush_stats::TargetTime;

/// Seconds that a CPU of a machine spent in a mode.
const NODE_CPU: &str = "node_cpu_seconds_total";
/// In these it did nothing.
const IDLE_MODES: [&str; 2] = ["idle", "iowait"];
/// In this one it wanted a CPU that the hypervisor gave to others.
const STOLEN_MODE: &str = "steal";
/// No machine has more.
const MAX_CPUS: usize = 8192;

/// What the bundled target tells of itself.
const TARGET_UPTIME: &str = "onrush_target_uptime_seconds";
const TARGET_CPU: &str = "onrush_target_cpu_seconds_total";
const TARGET_CPU_WAIT: &str = "onrush_target_cpu_wait_seconds_total";
const TARGET_CORES: &str = "onrush_target_cores";

/// The CPU time that a page of metrics tells; of several machines, that of all together.
///
/// # Errors
/// Why it tells none, in words that continue "it".
pub fn cpu_time(page: &str) -> Result<TargetTime, String> {
    let mut machine = Machine::default();
    let mut target = BTreeMap::new();
    for sample in page.lines().filter_map(Sample::read) {
        match sample.name {
            NODE_CPU => machine.add(&sample)?,
            name @ (TARGET_UPTIME | TARGET_CPU | TARGET_CPU_WAIT | TARGET_CORES) => {
                target.insert(name, sample.seconds()?);
            }
            _ => {}
        }
    }
    let told = |name| target.get(name).copied();
    match (told(TARGET_UPTIME), told(TARGET_CPU), told(TARGET_CPU_WAIT), told(TARGET_CORES)) {
        (Some(uptime_s), Some(cpu_s), Some(cpu_wait_s), Some(cores)) if cores >= 1.0 => {
            Ok(TargetTime { uptime_s, cpu_s, cpu_wait_s, cores: cores as u64 })
        }
        _ => machine.time(),
    }
}

/// The CPUs of one machine or several, by machine and CPU: all seconds, and what of them was used and stolen.
#[derive(Default)]
struct Machine<'a>(BTreeMap<[&'a str; 2], [f64; 3]>);

impl<'a> Machine<'a> {
    fn add(&mut self, sample: &Sample<'a>) -> Result<(), String> {
        let Labels { cpu: Some(cpu), mode: Some(mode), instance } = sample.labels else { return Ok(()) };
        let seconds = sample.seconds()?;
        let [all, used, stolen] = self.0.entry([instance.unwrap_or_default(), cpu]).or_default();
        *all += seconds;
        match mode {
            STOLEN_MODE => *stolen += seconds,
            mode if IDLE_MODES.contains(&mode) => {}
            _ => *used += seconds,
        }
        if self.0.len() > MAX_CPUS { Err(format!("has more than {MAX_CPUS} CPUs")) } else { Ok(()) }
    }

    fn time(&self) -> Result<TargetTime, String> {
        if self.0.is_empty() {
            return Err(format!("has no {NODE_CPU}, which a node_exporter has"));
        }
        let sum = |place: usize| self.0.values().map(|seconds| seconds[place]).sum::<f64>();
        let cpus = self.0.len();
        Ok(TargetTime { uptime_s: sum(0) / cpus as f64, cpu_s: sum(1), cpu_wait_s: sum(2), cores: cpus as u64 })
    }
}

/// A line of the page; what may follow its value (a time-stamp, an exemplar) is passed over.
struct Sample<'a> {
    name: &'a str,
    labels: Labels<'a>,
    value: &'a str,
}

impl<'a> Sample<'a> {
    /// `None`: it is a comment, or no sample.
    fn read(line: &'a str) -> Option<Self> {
        let line = line.trim_start();
        let end = line.find(['{', ' ', '\t'])?;
        let (name, rest) = line.split_at(end);
        let rest = rest.trim_start();
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(inner) => Labels::read(inner)?,
            None => (Labels::default(), rest),
        };
        Some(Self { name, labels, value: rest.split_whitespace().next()? })
    }

    /// Its value, if it is a number of seconds or of things.
    fn seconds(&self) -> Result<f64, String> {
        let number = self.value.parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0);
        number.ok_or_else(|| format!("has a {} that is not a number of 0 or more", self.name))
    }
}

/// The labels that matter here.
#[derive(Clone, Copy, Default)]
struct Labels<'a> {
    cpu: Option<&'a str>,
    mode: Option<&'a str>,
    instance: Option<&'a str>,
}

impl<'a> Labels<'a> {
    /// Reads them from behind the `{`; with what follows the `}`.
    fn read(text: &'a str) -> Option<(Self, &'a str)> {
        let (mut labels, mut rest) = (Self::default(), text);
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if let Some(behind) = rest.strip_prefix('}') {
                return Some((labels, behind));
            }
            let (name, behind) = rest.split_once('=')?;
            let quoted = behind.trim_start().strip_prefix('"')?;
            let value = &quoted[..closing_quote(quoted)?];
            match name.trim() {
                "cpu" => labels.cpu = Some(value),
                "mode" => labels.mode = Some(value),
                "instance" => labels.instance = Some(value),
                _ => {}
            }
            rest = &quoted[value.len() + 1..];
        }
    }
}

/// Where the value ends; a quote behind a backslash is a part of it.
fn closing_quote(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAGE: &str = "\
# HELP node_cpu_seconds_total Seconds the CPUs spent in each mode.
# TYPE node_cpu_seconds_total counter
node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 50
node_cpu_seconds_total{cpu=\"0\",mode=\"iowait\"} 10
node_cpu_seconds_total{cpu=\"0\",mode=\"steal\"} 5
node_cpu_seconds_total{cpu=\"0\",mode=\"system\"} 15
node_cpu_seconds_total{cpu=\"0\",mode=\"user\"} 20
node_cpu_seconds_total{cpu=\"1\",mode=\"idle\"} 9.9e+01
node_cpu_seconds_total{ mode=\"user\", cpu=\"1\", } 1 1732718000000 # {trace=\"}\"} 1
node_cpu_guest_seconds_total{cpu=\"1\",mode=\"user\"} 7
node_load1 0.5
";

    #[test]
    fn a_node_exporters_cpu_time_is_read() {
        let expected = TargetTime { uptime_s: 100.0, cpu_s: 36.0, cpu_wait_s: 5.0, cores: 2 };
        assert_eq!(cpu_time(PAGE), Ok(expected));
    }

    #[test]
    fn machines_that_a_prometheus_federates_are_told_apart() {
        let of = |instance: &str| PAGE.replace("{", &format!("{{instance=\"{instance}\",job=\"a,b=\\\"c\\\"\","));
        let both = of("web1:9100") + &of("web2:9100");
        assert_eq!(cpu_time(&both), Ok(TargetTime { uptime_s: 100.0, cpu_s: 72.0, cpu_wait_s: 10.0, cores: 4 }));
    }

    #[test]
    fn the_bundled_targets_own_words_are_read() {
        let page = "onrush_target_info{instance=\"x\"} 1\nonrush_target_uptime_seconds 12.5\nonrush_target_cores 2\n\
                    onrush_target_cpu_seconds_total 3\nonrush_target_cpu_wait_seconds_total 0.25\n";
        let expected = TargetTime { uptime_s: 12.5, cpu_s: 3.0, cpu_wait_s: 0.25, cores: 2 };
        assert_eq!(cpu_time(page), Ok(expected));
        let (half, _) = page.split_at(page.find("onrush_target_cpu").expect("it is there"));
        assert!(cpu_time(half).is_err(), "without CPU time it tells nothing");
    }

    #[test]
    fn what_tells_nothing_is_said_in_words() {
        for (page, says) in [
            ("", "no node_cpu_seconds_total"),
            ("process_cpu_seconds_total 5\n", "no node_cpu_seconds_total"),
            ("<html>\n<a href=\"/metrics\">{", "no node_cpu_seconds_total"),
            ("node_cpu_seconds_total{cpu=\"0\"} 5", "no node_cpu_seconds_total"),
            ("node_cpu_seconds_total{cpu=\"0\",mode=\"user\"", "no node_cpu_seconds_total"),
            ("node_cpu_seconds_total{cpu=\"0\",mode=\"user\"} many", "not a number"),
            ("node_cpu_seconds_total{cpu=\"0\",mode=\"user\"} NaN", "not a number"),
            ("node_cpu_seconds_total{cpu=\"0\",mode=\"user\"} -1", "not a number"),
            ("onrush_target_cores x", "onrush_target_cores that is not a number"),
        ] {
            let problem = cpu_time(page).expect_err(page);
            assert!(problem.contains(says), "{page}: {problem}");
        }
        let line = |cpu| format!("node_cpu_seconds_total{{cpu=\"{cpu}\",mode=\"idle\"}} 1\n");
        let many: String = (0..=MAX_CPUS).map(line).collect();
        assert!(cpu_time(&many).is_err_and(|problem| problem.contains("more than")));
    }

    proptest! {
        #[test]
        fn any_page_is_read_or_refused(page in "(node_cpu_seconds_total[{]|cpu=\"1\"|,|mode=\"user\"|[}] 5|\n|\\\\|\"|.){0,40}") {
            let _ = cpu_time(&page);
        }
    }
}
