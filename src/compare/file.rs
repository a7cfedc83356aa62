//! A result that `onrush bench --output-format json` wrote, as far as it is compared.

use std::path::Path;

use onrush_api::{Outcome, StretchView, TestState};
use onrush_compare::{MAX_STRETCHES, Stretch, Timeline};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::file::read_bytes;

/// A day of seconds takes some 150 MB.
const MAX_FILE_BYTES: usize = 256 * 1024 * 1024;

#[derive(Deserialize)]
struct Document {
    state: TestState,
    outcome: Outcome,
    asked: Map<String, Value>,
    stretches: Option<Vec<StretchView>>,
}

/// A run out of a file.
pub struct BenchFile {
    /// What it measured.
    pub timeline: Timeline,
    state: TestState,
    outcome: Outcome,
    asked: Map<String, Value>,
}

impl BenchFile {
    /// Reads it.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = read_bytes("the result", path, MAX_FILE_BYTES)?;
        let cannot = |problem: String| {
            Error::Failed(format!(
                "{}: {problem}; give a file that `onrush bench --output-format json` of this version wrote",
                path.display()
            ))
        };
        let document: Document =
            serde_json::from_slice(&bytes).map_err(|error| cannot(format!("it is no result of bench: {error}")))?;
        let Document { state, outcome, asked, stretches } = document;
        let stretches = stretches.ok_or_else(|| cannot("it has no \"stretches\"".into()))?;
        if stretches.len() > MAX_STRETCHES {
            return Err(cannot(format!("it has {} stretches, more than {MAX_STRETCHES}", stretches.len())));
        }
        let read: Result<Vec<Stretch>, String> = stretches.iter().map(Stretch::try_from).collect();
        Ok(Self { timeline: Timeline::of(read.map_err(cannot)?), state, outcome, asked })
    }

    /// What makes a comparison with it doubtful; `run`: `A` or `B`.
    pub fn remarks(&self, run: &str) -> Option<String> {
        if !self.outcome.is_sound() {
            return Some(format!("the result of {run} is {}: the comparison may be wrong", self.outcome.name()));
        }
        (self.state != TestState::Completed).then(|| format!("{run} was stopped before its end"))
    }

    /// What the two were asked for differently.
    pub fn differs_from(&self, other: &Self) -> Option<String> {
        let mut names: Vec<&str> = self.asked.keys().chain(other.asked.keys()).map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names.retain(|name| self.asked.get(*name) != other.asked.get(*name));
        (!names.is_empty()).then(|| format!("A and B were asked for different things: {}", names.join(", ")))
    }
}
