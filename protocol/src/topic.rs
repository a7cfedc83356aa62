//! The five topics.

/// A topic of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Drivers announce themselves.
    Register,
    /// The orchestrator describes tests.
    TestConfig,
    /// The orchestrator starts and stops tests.
    Trigger,
    /// Drivers report what they measured.
    Metrics,
    /// Drivers say that they live, and in which state.
    Heartbeat,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Topic; 5] = [Topic::Register, Topic::TestConfig, Topic::Trigger, Topic::Metrics, Topic::Heartbeat];

    /// The name without a prefix.
    pub const fn name(self) -> &'static str {
        match self {
            Topic::Register => "register",
            Topic::TestConfig => "test_config",
            Topic::Trigger => "trigger",
            Topic::Metrics => "metrics",
            Topic::Heartbeat => "heartbeat",
        }
    }

    /// The name in Kafka, with the configured prefix (which may be empty).
    pub fn full_name(self, prefix: &str) -> String {
        format!("{prefix}{}", self.name())
    }

    /// The topic that has this name in Kafka.
    pub fn from_full_name(name: &str, prefix: &str) -> Option<Self> {
        let name = name.strip_prefix(prefix)?;
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }
}
