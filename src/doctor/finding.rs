//! What the doctor says: a line for each check.

use serde::Serialize;

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// As it should be.
    Ok,
    /// A test runs, and may measure this machine instead of the target.
    Warn,
    /// The test cannot be made like this.
    Fail,
}

impl Level {
    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How it is.
    pub level: Level,
    /// What was seen, and why it matters.
    pub reason: String,
    /// What to do: a command where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(check: &'static str, reason: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, reason: reason.into(), fix: None }
    }

    /// It may spoil the measurement.
    pub fn warn(check: &'static str, reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, level: Level::Warn, reason: reason.into(), fix: Some(fix.into()) }
    }

    /// It makes the test impossible.
    pub fn fail(check: &'static str, reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, level: Level::Fail, reason: reason.into(), fix: Some(fix.into()) }
    }
}
