//! The proof of a result, and what the target had counted before, as columns and back.

use std::collections::BTreeMap;

use onrush_protocol::NodeId;
use onrush_stats::Verdict;
use serde::{Deserialize, Serialize};

use super::{StoreError, coding};
use crate::proof::{Check, Conservation};
use crate::target_check::{Counters, Probe};

/// The proof. A file of schema 4 or before has a `verdict` beside these, which the column `outcome` replaced.
#[derive(Serialize, Deserialize)]
struct Proof {
    line: String,
    checks: Vec<ProofCheck>,
}

#[derive(Serialize, Deserialize)]
struct ProofCheck {
    name: String,
    node_id: Option<String>,
    verdict: String,
    expected: Option<u64>,
    actual: Option<u64>,
    detail: String,
}

/// A look at the target's counters.
#[derive(Serialize, Deserialize)]
enum Look {
    Counters { instance: String, requests: BTreeMap<String, u64> },
    Unknown(String),
}

const VERDICTS: [(Verdict, &str); 3] =
    [(Verdict::Exact, "EXACT"), (Verdict::Unknown, "UNKNOWN"), (Verdict::Breach, "BREACH")];

/// A proof as JSON.
pub fn text(Conservation { line, checks }: &Conservation) -> String {
    let check = |check: &Check| ProofCheck {
        name: check.name.clone(),
        node_id: check.node_id.as_ref().map(ToString::to_string),
        verdict: VERDICTS.iter().find(|(verdict, _)| *verdict == check.verdict).map_or("", |(_, word)| word).into(),
        expected: check.expected,
        actual: check.actual,
        detail: check.detail.clone(),
    };
    coding::json(&Proof { line: line.clone(), checks: checks.iter().map(check).collect() })
}

/// The proof of [`text`].
pub fn of_text(text: &str) -> Result<Conservation, StoreError> {
    let Proof { line, checks } = coding::of_json(text)?;
    let check = |ProofCheck { name, node_id, verdict, expected, actual, detail }| {
        let known = VERDICTS.iter().find(|(_, word)| *word == verdict).map(|(known, _)| *known);
        let verdict = known.ok_or_else(|| StoreError::BadValue(format!("the verdict {verdict}")))?;
        let node_id = coding::optional_id(node_id, NodeId::new)?;
        Ok(Check { name, node_id, verdict, expected, actual, detail })
    };
    Ok(Conservation { line, checks: checks.into_iter().map(check).collect::<Result<_, StoreError>>()? })
}

/// A look at the target's counters as JSON.
pub fn probe_text(probe: &Probe) -> String {
    coding::json(&match probe.clone() {
        Probe::Counters(Counters { instance, requests }) => Look::Counters { instance, requests },
        Probe::Unknown(why) => Look::Unknown(why),
    })
}

/// The look of [`probe_text`].
pub fn probe_of_text(text: &str) -> Result<Probe, StoreError> {
    Ok(match coding::of_json(text)? {
        Look::Counters { instance, requests } => Probe::Counters(Counters { instance, requests }),
        Look::Unknown(why) => Probe::Unknown(why),
    })
}
