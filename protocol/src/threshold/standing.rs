//! What became of a threshold in the course of a test.

use std::time::Duration;

use super::{Figures, Judgement, Threshold};

/// How a threshold stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// Its newest value, for people; `None`: it is not known.
    pub value: Option<String>,
    /// Whether it is kept: so far, and in the end for good. `None`: it was not judged yet.
    pub kept: Option<bool>,
    /// When it was broken for good.
    pub breach: Option<Breach>,
}

/// The first second at whose end a threshold was not kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Breach {
    /// Which second of the test.
    pub second_index: u64,
    /// The value then, for people; `None`: it was not known.
    pub value: Option<String>,
    /// It ended the test.
    pub ended_test: bool,
}

impl Standing {
    /// Takes what was found at the end of a second. Broken for good is a threshold that has a window, and any where
    /// `abort_after` the start it ends the test; whether it does so now, which a test that is `over` needs no more. Nothing is
    /// broken before that time.
    pub fn take(
        &mut self,
        threshold: &Threshold,
        judgement: Judgement,
        second_index: u64,
        abort_after: Option<Duration>,
        over: bool,
    ) -> bool {
        let Judgement { value, kept } = judgement;
        let is_enforced = abort_after.is_none_or(|after| Duration::from_secs(second_index) >= after);
        let is_lasting = threshold.window_s().is_some() || abort_after.is_some();
        let breaks = !kept && is_enforced && is_lasting && self.breach.is_none();
        let ended_test = breaks && abort_after.is_some() && !over;
        if breaks {
            self.breach = Some(Breach { second_index, value: value.clone(), ended_test });
        }
        // What is not enforced yet is not broken either.
        self.kept = Some((kept || !is_enforced) && self.breach.is_none());
        self.value = value;
        ended_test
    }

    /// Takes the figures of the whole test, which is over.
    pub fn conclude(&mut self, threshold: &Threshold, figures: &Figures) {
        // A test that was over before the first look is shorter than any window.
        if threshold.window_s().is_none() || self.kept.is_none() {
            let Judgement { value, kept } = threshold.judge(figures);
            (self.value, self.kept) = (value, Some(kept && self.breach.is_none()));
        }
    }

    /// `p99<200ms over 10s was 312.0 ms at second 37`; `None`: it did not end the test.
    pub fn why_ended(&self, threshold: &Threshold) -> Option<String> {
        let Breach { second_index, value, .. } = self.breach.as_ref().filter(|breach| breach.ended_test)?;
        let value = value.as_deref().unwrap_or("unknown");
        Some(format!("{threshold} was {value} at second {second_index}"))
    }
}
