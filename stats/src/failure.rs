//! The names of what can go wrong with a request.

use std::fmt;

macro_rules! failure_causes {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// Why a request that was sent failed.
        ///
        /// A response with an error status (500, say) is a response, counted by its status; so is one that failed a
        /// check, which is counted here as well.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FailureCause { $($(#[$doc])* $variant,)* }

        impl FailureCause {
            /// Every cause, in the order of the enum.
            pub const ALL: &[FailureCause] = &[$(FailureCause::$variant,)*];

            /// The name used in messages, in REST and in Prometheus labels.
            pub const fn name(self) -> &'static str {
                match self { $(FailureCause::$variant => $name,)* }
            }

            /// The cause of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(FailureCause::$variant),)* _ => None }
            }
        }
    };
}

failure_causes! {
    /// The target refused the connection.
    ConnectRefused => "connect_refused",
    /// No connection within the time allowed for connecting.
    ConnectTimeout => "connect_timeout",
    /// Connecting failed otherwise (unreachable, no permission).
    ConnectFailed => "connect_failed",
    /// The target's name could not be resolved.
    Dns => "dns",
    /// The TLS handshake failed.
    Tls => "tls",
    /// The target reset the connection.
    Reset => "reset",
    /// No complete response within the time allowed for the request.
    Timeout => "timeout",
    /// The target closed the connection before the response was complete.
    ClosedEarly => "closed_early",
    /// The response was not HTTP/1.1.
    Malformed => "malformed",
    /// The response was complete and failed a check.
    CheckFailed => "check_failed",
    /// No local port was free for a new connection.
    PortsExhausted => "ports_exhausted",
    /// No file descriptor was free for a new connection.
    DescriptorsExhausted => "descriptors_exhausted",
    /// The request was on its way when the test was stopped.
    Aborted => "aborted",
}

impl fmt::Display for FailureCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for &cause in FailureCause::ALL {
            assert_eq!(FailureCause::from_name(cause.name()), Some(cause));
        }
        assert_eq!(FailureCause::from_name("unheard of"), None);
    }
}
