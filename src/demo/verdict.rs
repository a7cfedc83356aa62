//! What must hold after a test of the demo. Pure.

use onrush_api::{MetricsView, Outcome, ScopeView, TestView};

use crate::report::{grouped, unsound};

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Drivers that take part.
    pub drivers: usize,
    /// Requests of each.
    pub requests: u64,
}

impl Expected {
    /// Everything that does not hold, in words; empty: all is well.
    pub fn broken(self, test: &TestView, metrics: &MetricsView) -> Vec<String> {
        let name = format!("{} {}", test.config.test_type, test.test_id);
        let mut broken: Vec<String> = unsound(test).into_iter().collect();
        match &test.conservation {
            Some(_) if test.outcome == Some(Outcome::Exact) => {}
            Some(conservation) => broken.push(conservation.line.clone()),
            None => broken.push("conservation was not checked".into()),
        }
        if metrics.drivers.len() != self.drivers {
            broken.push(format!("{} drivers reported, not {}", metrics.drivers.len(), self.drivers));
        }
        for driver in &metrics.drivers {
            broken.extend(wrong_counts(driver, self.requests));
        }
        broken.extend(wrong_counts(&metrics.all, self.requests * self.drivers as u64));
        broken.into_iter().map(|what| format!("{name}: {what}")).collect()
    }
}

fn wrong_counts(scope: &ScopeView, requests: u64) -> Vec<String> {
    let who = scope.node_id.as_deref().unwrap_or("all drivers");
    let counts = [
        ("sent", scope.sent, requests),
        ("answered", scope.answered, requests),
        ("failed", scope.failed, 0),
        ("skipped", scope.skipped, 0),
    ];
    let wrong = counts.into_iter().filter(|(_, count, expected)| *count != Some(*expected));
    let words = wrong.map(|(what, count, expected)| {
        let count = count.map_or("an unknown number".into(), grouped);
        format!("{who}: {count} {what}, not {}", grouped(expected))
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{sample_metrics, sample_test};

    const EXPECTED: Expected = Expected { drivers: 2, requests: 100_000 };

    #[test]
    fn a_good_result_holds() {
        assert_eq!(EXPECTED.broken(&sample_test(), &sample_metrics()), Vec::<String>::new());
    }

    #[test]
    fn each_thing_that_does_not_hold_is_named() {
        let (mut test, mut metrics) = (sample_test(), sample_metrics());
        test.outcome = Some(Outcome::Incomplete);
        test.conservation = None;
        metrics.drivers[0].failed = Some(1);
        metrics.drivers[1].sent = Some(100_001);
        metrics.all.skipped = None;
        let broken = EXPECTED.broken(&test, &metrics).join("\n");
        let words =
            ["incomplete", "not checked", "driver-1: 1 failed", "driver-2: 100,001 sent, not 100,000", "unknown"];
        assert!(words.iter().all(|word| broken.contains(word)), "{broken}");
        metrics.drivers.pop();
        assert!(EXPECTED.broken(&test, &metrics).join("\n").contains("1 drivers reported, not 2"));
    }
}
