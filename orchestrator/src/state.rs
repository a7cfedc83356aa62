//! Where a test, a driver's part in it and a driver are. Each state has one name, which the store writes.

/// An enum whose values have names: `name`, its inverse `from_name`, and `ALL` of them.
macro_rules! named {
    ($(#[$about:meta])* pub enum $Type:ident { $($(#[$doc:meta])* $Value:ident = $name:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $Type {
            $($(#[$doc])* $Value,)*
        }

        impl $Type {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$Value),*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$Value => $name,)*
                }
            }

            /// The value of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.name() == name)
            }
        }
    };
}

pub(crate) use named;

named! {
    /// Where a test is in its life. The last three never change again.
    pub enum TestState {
        /// Stored and published.
        Configured = "CONFIGURED",
        /// Every participant is ready.
        Armed = "ARMED",
        /// Triggered.
        Running = "RUNNING",
        /// All final reports are in, or their driver is lost.
        Completed = "COMPLETED",
        /// Stopped.
        Stopped = "STOPPED",
        /// It could not start.
        Failed = "FAILED",
    }
}

impl TestState {
    /// Whether the test is over.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Completed | Self::Stopped | Self::Failed)
    }
}

named! {
    /// Where a capacity search is in its life. The last three never change again.
    pub enum SearchState {
        /// It searches, or waits for its drivers.
        Running = "RUNNING",
        /// It ended as a search does.
        Completed = "COMPLETED",
        /// It was stopped.
        Stopped = "STOPPED",
        /// Its test could not start, or could not go on.
        Failed = "FAILED",
    }
}

named! {
    /// Where a driver's part in a test is.
    pub enum ParticipantState {
        /// It has the config, or will have.
        Pending = "PENDING",
        /// Ready.
        Armed = "ARMED",
        /// It will not run this test.
        Refused = "REFUSED",
        /// Sending, or waiting for the last responses.
        Running = "RUNNING",
        /// Its final report is in.
        Completed = "COMPLETED",
        /// Its final report is in; it was stopped.
        Stopped = "STOPPED",
        /// Its engine could not go on.
        Failed = "FAILED",
        /// It was lost.
        Lost = "LOST",
    }
}

named! {
    /// What a driver is doing, or what is wrong with it.
    pub enum DriverState {
        /// Waiting for a test.
        Idle = "IDLE",
        /// Connections open, waiting for the trigger.
        Armed = "ARMED",
        /// Sending, or waiting for the last responses.
        Running = "RUNNING",
        /// It lives; it does not say what it is doing (it speaks only the specification).
        Alive = "ALIVE",
        /// No heartbeat for 3 seconds (longer for a node that beats less than once a second), or not known well enough yet to
        /// take part: the reason says what is missing.
        Suspect = "SUSPECT",
        /// No heartbeat for 5 seconds, or for three of its own intervals (60 seconds at most), or it said goodbye.
        Lost = "LOST",
        /// It takes no part.
        Rejected = "REJECTED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_state() {
        assert!(TestState::ALL.iter().all(|state| TestState::from_name(state.name()) == Some(*state)));
        assert!(ParticipantState::ALL.iter().all(|state| ParticipantState::from_name(state.name()) == Some(*state)));
        assert!(SearchState::ALL.iter().all(|state| SearchState::from_name(state.name()) == Some(*state)));
        assert!(DriverState::ALL.iter().all(|state| DriverState::from_name(state.name()) == Some(*state)));
        assert_eq!(TestState::from_name("armed"), None);
    }
}
