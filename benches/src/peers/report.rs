//! What people read of a comparison.

use super::Run;
use super::tools::Tool;
use crate::server::Gaps;
use crate::summary::{self, median, number, with_range};

/// A tool's pairs: onrush's run and its own.
pub struct Entry {
    pub name: &'static str,
    pub pairs: Vec<(Run, Run)>,
    /// Why a pair is missing.
    pub problem: Option<String>,
}

/// The table of one comparison, onrush first.
pub fn table(onrush: &Tool, peers: &[Tool], entries: &[Entry], spreads: &[(&str, Vec<Gaps>)]) -> String {
    let ours: Vec<Run> = entries.iter().flat_map(|entry| entry.pairs.iter().map(|(ours, _)| *ours)).collect();
    let mut rows = vec![row(onrush, &ours, "1".into(), spreads, None)];
    for entry in entries {
        let Some(tool) = peers.iter().find(|tool| tool.name == entry.name) else { continue };
        let theirs: Vec<Run> = entry.pairs.iter().map(|(_, theirs)| *theirs).collect();
        let ratio = |pick: fn(&Run) -> f64| {
            number(median(entry.pairs.iter().map(|(ours, theirs)| pick(theirs) / pick(ours))), 2)
        };
        let ratios = format!("{} CPU, {} rate", ratio(|run| run.cpu_us), ratio(|run| run.per_s));
        rows.push(row(tool, &theirs, ratios, spreads, entry.problem.as_deref()));
    }
    let head = ["tool", "version", "requests/s", "CPU µs/request", "ratio to onrush", "gap deviation, µs", "notes"];
    summary::table(&head, &rows)
}

fn row(tool: &Tool, runs: &[Run], ratio: String, spreads: &[(&str, Vec<Gaps>)], problem: Option<&str>) -> Vec<String> {
    let per_s: Vec<f64> = runs.iter().map(|run| run.per_s).collect();
    let cpu_us: Vec<f64> = runs.iter().map(|run| run.cpu_us).collect();
    let gaps = spreads.iter().find(|(name, _)| *name == tool.name).map(|(_, gaps)| gaps);
    let spread = match gaps {
        None if tool.keeps_rates => "-".into(),
        None => "keeps no rate".into(),
        Some(gaps) => {
            let deviations: Vec<f64> = gaps.iter().map(|gaps| gaps.deviation_us).collect();
            let sent = median(gaps.iter().map(|gaps| gaps.rate_per_s));
            format!("{} at {} /s", with_range(&deviations, 1), number(sent, 0))
        }
    };
    let notes: Vec<&str> = [tool.notes.as_str()].into_iter().chain(problem).filter(|note| !note.is_empty()).collect();
    vec![
        tool.name.into(),
        tool.version.clone(),
        with_range(&per_s, 0),
        with_range(&cpu_us, 2),
        ratio,
        spread,
        notes.join("; ").replace('|', "/"),
    ]
}
