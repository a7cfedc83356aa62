//! Two tests compared, from their sealed seconds.

use onrush_api::CompareView;
use onrush_compare::{Comparison, Gate, Settings, Timeline};
use onrush_protocol::TestId;

use super::Handle;
use crate::problem::Problem;
use crate::record::TestRecord;

impl Handle {
    /// Test B against test A, without the first seconds of each.
    pub async fn compare(&self, tests: [TestId; 2], skip_s: u64, gates: Vec<Gate>) -> Result<CompareView, Problem> {
        let turn = self.turn().await?;
        let mut runs = Vec::new();
        for test_id in &tests {
            let id = test_id.to_string();
            let read = self.read(&turn, move |reader| reader.timeline(&id, skip_s)).await?;
            let (stored, timeline) = read.ok_or_else(|| Problem::no_such_test(test_id))?;
            runs.push((stored.record(), timeline));
        }
        let names = tests.map(|test_id| test_id.to_string());
        let compared = self.work(&turn, move || compare(&runs, names, gates)).await?;
        compared.map_err(Problem::conflict)
    }
}

fn compare(runs: &[(TestRecord, Timeline)], names: [String; 2], gates: Vec<Gate>) -> Result<CompareView, String> {
    let [(a, timeline_a), (b, timeline_b)] = runs else { return Err("two tests are compared".into()) };
    let settings = Settings { gates, ..Settings::default() };
    let comparison = Comparison::of_runs(timeline_a.clone(), timeline_b.clone(), &settings);
    let comparison = comparison.map_err(|error| error.to_string())?;
    Ok(CompareView::of(&comparison, names, remarks(a, b)))
}

/// What makes a comparison doubtful.
fn remarks(a: &TestRecord, b: &TestRecord) -> Vec<String> {
    let mut remarks = Vec::new();
    for (run, record) in [("A", a), ("B", b)] {
        match record.outcome {
            None => remarks.push(format!("{run} is not over: it is compared as far as it went")),
            Some(outcome) if !outcome.is_sound() => {
                remarks.push(format!("the result of {run} is {}: the comparison may be wrong", outcome.name()));
            }
            Some(_) => {}
        }
    }
    let [asked_a, asked_b] = [a, b].map(|record| record.config.shown());
    let mut names: Vec<&String> = asked_a.keys().chain(asked_b.keys()).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| asked_a.get(*name) != asked_b.get(*name));
    if !names.is_empty() {
        let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
        remarks.push(format!("A and B were asked for different things: {}", names.join(", ")));
    }
    remarks
}
