//! Whether a result is to be relied on.

use onrush_api::{TestState, TestView};

/// Why a result is not to be relied on; `None`: it is sound.
pub fn unsound(test: &TestView) -> Option<String> {
    let reason = test.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    match test.state {
        TestState::Completed => {}
        TestState::Stopped => {
            let words = test.reason.as_deref().filter(|reason| reason.starts_with("stopped:"));
            return Some(
                words.map_or_else(|| format!("the test was stopped{reason}"), |words| format!("the test was {words}")),
            );
        }
        TestState::Failed => return Some(format!("the test failed{reason}")),
        TestState::Configured | TestState::Armed | TestState::Running => return Some("the test is not over".into()),
    }
    let word = test.outcome.filter(|outcome| !outcome.is_sound())?.name();
    // The reason may begin with the word itself.
    match &test.reason {
        Some(reason) if reason.starts_with(word) => Some(format!("the result is {reason}")),
        _ => Some(format!("the result is {word}{reason}")),
    }
}

#[cfg(test)]
mod tests {
    use onrush_api::Outcome;

    use super::*;
    use crate::report::sample_test;

    #[test]
    fn only_an_exact_or_unproved_result_is_sound() {
        let mut test = sample_test();
        assert_eq!(unsound(&test), None);
        test.outcome = Some(Outcome::Unproved);
        assert_eq!(unsound(&test), None);
        test.outcome = Some(Outcome::Incomplete);
        assert_eq!(unsound(&test).as_deref(), Some("the result is incomplete"));
        test.reason = Some("incomplete: d2 was lost".into());
        assert_eq!(unsound(&test).as_deref(), Some("the result is incomplete: d2 was lost"));
        test.outcome = Some(Outcome::Invalid);
        assert!(unsound(&test).is_some_and(|why| why.contains("is invalid: incomplete: d2")));
        test.state = TestState::Stopped;
        test.reason = Some("by a user".into());
        assert_eq!(unsound(&test).as_deref(), Some("the test was stopped: by a user"));
        test.state = TestState::Running;
        assert!(unsound(&test).is_some());
    }
}
