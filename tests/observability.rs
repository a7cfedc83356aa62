//! Grafana's dashboards against a real Prometheus that scraped a real run: no panel without an answer.
//! Needs the feature `observability-suite` and Debian's package `prometheus`.

mod harness;
mod observability {
    //! What the dashboards ask, and whom.
    pub mod dashboards;
    pub mod prometheus;
    pub mod scenario;
}

use std::process::Command;

use observability::dashboards::{Dashboard, root};
use observability::prometheus::{Found, Prometheus};

#[test]
fn the_dashboards_are_what_their_script_writes() {
    let done =
        Command::new("python3").arg(root().join("grafana/build.py")).arg("--check").output().expect("python3 runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn the_dashboards_are_well_formed() {
    let dashboards = Dashboard::all();
    assert_eq!(dashboards.len(), 3);
    dashboards.iter().for_each(Dashboard::assert_well_formed);
}

/// Every query of every panel, annotation and variable.
#[test]
fn every_query_has_an_answer() {
    observability::scenario::play(|prometheus| {
        let mut findings = Findings::default();
        Dashboard::all().iter().for_each(|dashboard| findings.check(prometheus, dashboard));
        findings.conclude();

        prometheus.wait_for("ALERTS{alertname=\"OnrushDriverLost\", driver=\"driver-2\", alertstate=\"firing\"}", 1);
        println!("{} rules are in order, and the driver's death is an alert", prometheus.rules().len());
    });
}

/// What came of the queries, and how many there were.
#[derive(Default)]
struct Findings {
    panels: usize,
    queries: usize,
    annotations: usize,
    variables: usize,
    problems: Vec<String>,
    /// Queries whose values are all zero.
    still: Vec<String>,
}

impl Findings {
    /// Asks everything twice: with all tests and drivers, and with each of them picked by hand.
    fn check(&mut self, prometheus: &Prometheus, dashboard: &Dashboard) {
        let (mut all, mut picked) = (Vec::new(), Vec::new());
        for variable in dashboard.variables() {
            let values =
                prometheus.values(&variable).unwrap_or_else(|e| panic!("{}: {}: {e}", dashboard.title, variable.name));
            if values.is_empty() {
                self.problems.push(format!("{} / variable {}: empty", dashboard.title, variable.name));
            }
            picked.push((variable.name.clone(), format!("({})", values.join("|"))));
            all.push((variable.name, variable.all));
            self.variables += 1;
        }
        let (queries, annotations) = (dashboard.queries(), dashboard.annotations());
        for query in queries.iter().chain(&annotations) {
            for chosen in [&all, &picked] {
                match prometheus.run(query, chosen) {
                    Ok(Found { series: 0, .. }) => {
                        self.problems.push(format!("{}: empty: {}", query.place, query.expr))
                    }
                    Ok(Found { is_moved: false, .. }) => self.still.push(query.place.clone()),
                    Ok(_) => {}
                    Err(e) => self.problems.push(format!("{}: {e}: {}", query.place, query.expr)),
                }
            }
        }
        println!("{}: {} panels, {} queries", dashboard.title, dashboard.panels().len(), queries.len());
        self.panels += dashboard.panels().len();
        self.queries += queries.len();
        self.annotations += annotations.len();
    }

    fn conclude(mut self) {
        self.problems.dedup();
        assert!(self.problems.is_empty(), "{} problems:\n{}", self.problems.len(), self.problems.join("\n"));
        self.still.dedup();
        println!("zero all the time in this run: {}", self.still.join(", "));
        let Self { panels, queries, annotations, variables, .. } = self;
        println!(
            "checked {panels} panels with {queries} queries, {annotations} annotations and {variables} variables: \
             none is empty or in error"
        );
    }
}
