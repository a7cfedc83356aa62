//! The verdict matrix: each cause in turn is made to be the limit of real processes, and must be named. A busy machine may name
//! itself instead, so a test tries a few times; `scripts/limit-matrix` counts how many of ten runs name the cause.
//!
//! `ONRUSH_MATRIX_RUNS=10` runs each so often and prints a table; `ONRUSH_MATRIX=loss,delay` picks causes by parts of their names;
//! `ONRUSH_MATRIX_LIST=wide` takes the neighbours of the causes, too.

#[path = "matrix/accept.rs"]
mod accept;
#[path = "matrix/case.rs"]
mod case;
#[path = "matrix/causes.rs"]
mod causes;
mod harness;
#[path = "matrix/network.rs"]
mod network;

use std::io::Write;

use causes::{Cause, network_causes};
use harness::{alone, set_up};
use network::{Network, Way};

/// Whether a run names the cause; the line that it gave.
fn names(cause: &Cause) -> std::io::Result<(bool, String)> {
    let named = cause.case.run()?;
    let is_right = named.limited_by == cause.limited_by && cause.resources.contains(&named.resource.as_str());
    Ok((is_right, format!("[{}] {}", named.resource, named.line)))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Each cause so often as it is asked for; prints how many runs named it right.
#[test]
fn each_cause_is_named_in_nine_of_ten_runs() {
    let Some(runs) = variable("ONRUSH_MATRIX_RUNS") else { return };
    let runs: usize = runs.parse().expect("ONRUSH_MATRIX_RUNS is a number");
    let wide = variable("ONRUSH_MATRIX_LIST").is_some_and(|list| list == "wide");
    let part = variable("ONRUSH_MATRIX").unwrap_or_default();
    let _machine = alone();
    set_up();
    let causes = if wide { causes::neighbours() } else { causes::all() };
    let mut short = Vec::new();
    println!("| cause | limit | named in |\n| --- | --- | --- |");
    for cause in causes.iter().filter(|cause| part.split(',').any(|part| cause.name.contains(part))) {
        let named: Vec<_> = (0..runs).map(|_| names(cause).expect("namespaces can be made here, as root")).collect();
        let right = named.iter().filter(|(is_right, _)| *is_right).count();
        let words = [cause.limited_by, cause.resources[0]].join(" ");
        println!("| {} | {} | {right} of {runs} |", cause.name, words.trim());
        named.iter().filter(|(is_right, _)| !is_right).for_each(|(_, line)| eprintln!("{}: {line}", cause.name));
        if right * 10 < runs * 9 {
            short.push(cause.name);
        }
    }
    assert!(short.is_empty(), "named in fewer than nine of ten runs: {short:?}");
}

/// On a network of its own, each is named in some run.
#[test]
fn a_network_that_is_the_limit_is_named() {
    const TRIES: usize = 4;
    let _machine = alone();
    set_up();
    if let Err(e) = Network::new(Way::default()) {
        // Past the capture of a test's output: nobody is to believe that it ran.
        let _ =
            writeln!(std::io::stderr(), "NOT RUN: a_network_that_is_the_limit_is_named: no network can be made: {e}");
        return;
    }
    for cause in network_causes() {
        let mut seen = Vec::new();
        let named = (0..TRIES).any(|_| {
            let (is_right, line) = names(&cause).expect("a network could be made just now");
            seen.push(line);
            is_right
        });
        assert!(named, "{} was named in none of {TRIES} runs:\n{}", cause.name, seen.join("\n"));
    }
}
