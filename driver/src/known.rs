//! What a driver knows of a test that is not over, and of one whose config is still to come.

use onrush_protocol::{Amendment, TestConfig, TestId};

use crate::moment::Moment;

/// Names one arming: a test, and which edition of its plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub test_id: TestId,
    pub edition: u64,
}

/// A test that is not over.
#[derive(Debug)]
pub(crate) struct Known {
    pub ticket: Ticket,
    pub role: Role,
    /// When to start, once it was triggered.
    pub start: Option<Moment>,
    /// How its load is to change while it runs.
    pub amendments: Vec<Amendment>,
}

/// What a driver has to do with a test.
#[derive(Debug)]
pub(crate) enum Role {
    /// It is not among the participants.
    None,
    /// It refused.
    Refused,
    /// It runs it, when it is triggered.
    Runs(Box<TestConfig>),
}

impl Known {
    pub fn can_run(&self) -> bool {
        matches!(self.role, Role::Runs(_))
    }

    /// The config of a test that it runs.
    pub fn config(&self) -> Option<&TestConfig> {
        match &self.role {
            Role::None | Role::Refused => None,
            Role::Runs(config) => Some(config),
        }
    }

    pub fn refuse(&mut self) {
        (self.role, self.start) = (Role::Refused, None);
    }
}

/// What a trigger said about a test whose config is still to come.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Held {
    Start(Moment),
    /// Nothing is started, and why.
    Refuse(String),
    Stop,
}
