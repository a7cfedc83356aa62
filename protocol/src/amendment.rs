//! A change of the load of a test that runs. The config that was asked for never changes: it is published again with all its
//! amendments, so that one message tells the whole truth.

use serde::Serialize;

use crate::Profile;
use crate::fields::{Fields, ReadError};

const FIELD: &str = "amendments";

/// What is sent from a second of the run on, in place of what was asked for before.
#[derive(Clone, Debug, PartialEq)]
pub struct Amendment {
    /// The first second that it is about, counted from the test's start.
    pub at_second: u64,
    /// The load from there on; its rates are about what the test's are about.
    pub profile: Profile,
}

#[derive(Serialize)]
pub(crate) struct WireAmendment {
    at_second: u64,
    profile: String,
}

impl Amendment {
    pub(crate) fn wire(&self) -> WireAmendment {
        WireAmendment { at_second: self.at_second, profile: self.profile.to_string() }
    }

    /// The amendments of a config, in the order in which they were made.
    pub(crate) fn read_all(fields: &Fields) -> Result<Vec<Self>, ReadError> {
        let missing = || ReadError::bad(FIELD, "holds one without at_second or profile");
        let read = |fields: &Fields| {
            let at_second = fields.u64("at_second")?.ok_or_else(missing)?;
            let profile = fields.text("profile")?.ok_or_else(missing)?;
            Ok(Self { at_second, profile: profile.parse().map_err(|problem: String| ReadError::bad(FIELD, problem))? })
        };
        fields.objects(FIELD)?.unwrap_or_default().iter().map(read).collect()
    }
}
