//! What a result is worth, in one word: the same wherever it is shown.

/// What a check of counts found, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It holds to the digit.
    Exact,
    /// What is needed for the check is not there: a lost driver, a target without counters.
    Unknown,
    /// It does not hold.
    Breach,
}

/// How far the result of a test can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is in, and every check holds.
    Exact,
    /// Everything is in and nothing contradicts it, but not every check could be made.
    Unproved,
    /// Something is missing; what is there does not contradict itself.
    Incomplete,
    /// A check does not hold.
    Invalid,
}

impl Verdict {
    /// The verdict on two numbers that must be equal.
    pub fn of_equal(expected: u64, actual: u64) -> Self {
        if expected == actual { Self::Exact } else { Self::Breach }
    }
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Exact, Self::Unproved, Self::Incomplete, Self::Invalid];

    /// The outcome of a test by what its checks found. `is_complete`: nothing of it is missing.
    pub fn of(is_complete: bool, verdicts: impl IntoIterator<Item = Verdict>) -> Self {
        match verdicts.into_iter().max().unwrap_or(Verdict::Unknown) {
            Verdict::Breach => Self::Invalid,
            Verdict::Exact | Verdict::Unknown if !is_complete => Self::Incomplete,
            Verdict::Unknown => Self::Unproved,
            Verdict::Exact => Self::Exact,
        }
    }

    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Unproved => "unproved",
            Self::Incomplete => "incomplete",
            Self::Invalid => "invalid",
        }
    }

    /// The outcome of that word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }

    /// Whether the result can be relied on: all of it is there, and nothing contradicts it.
    pub fn is_sound(self) -> bool {
        matches!(self, Self::Exact | Self::Unproved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_what_is_known_decides() {
        use Verdict::{Breach, Exact, Unknown};
        assert_eq!(Outcome::of(true, [Exact, Exact]), Outcome::Exact);
        assert_eq!(Outcome::of(true, [Exact, Unknown]), Outcome::Unproved);
        assert_eq!(Outcome::of(true, []), Outcome::Unproved, "nothing was checked");
        assert_eq!(Outcome::of(false, [Exact]), Outcome::Incomplete);
        assert_eq!(Outcome::of(false, [Exact, Unknown]), Outcome::Incomplete);
        assert_eq!(Outcome::of(false, [Breach, Unknown]), Outcome::Invalid);
        assert_eq!(Outcome::of(true, [Unknown, Breach, Exact]), Outcome::Invalid);
    }

    #[test]
    fn every_word_leads_back_to_its_outcome() {
        assert!(Outcome::ALL.iter().all(|outcome| Outcome::from_name(outcome.name()) == Some(*outcome)));
        assert_eq!(Outcome::from_name("valid"), None);
        assert_eq!(Outcome::ALL.map(Outcome::is_sound), [true, true, false, false]);
    }
}
