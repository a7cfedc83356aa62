//! `register`: a driver announces itself.

use serde::Serialize;

use crate::fields::{Fields, ReadError, quoted};
use crate::{NodeId, SessionId};

const MESSAGE_TYPE: &str = "DRIVER_NODE_REGISTER";
/// What a driver says of itself for people is kept up to here: many drivers are listed at once.
const MAX_TEXT_BYTES: usize = 200;

/// A driver announces itself, once at its start and again when it sees no answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Register {
    /// The driver's name.
    pub node_id: NodeId,
    /// Its address, for people; nothing connects to it.
    pub node_ip: Option<String>,
    /// This life of the driver; `None` from a driver that speaks only the specification.
    pub session_id: Option<SessionId>,
    /// The name of its machine.
    pub hostname: Option<String>,
    /// The driver's version.
    pub version: Option<String>,
    /// The CPUs that its engine is pinned to.
    pub cpus: Option<String>,
}

#[derive(Serialize)]
struct Wire<'a> {
    node_id: &'a NodeId,
    #[serde(rename = "node_IP")]
    node_ip: &'a Option<String>,
    message_type: &'static str,
    schema: u64,
    session_id: &'a Option<SessionId>,
    hostname: &'a Option<String>,
    version: &'a Option<String>,
    cpus: &'a Option<String>,
}

impl Register {
    /// Reads a message.
    pub fn read(payload: &[u8]) -> Result<Self, ReadError> {
        let fields = Fields::read(payload)?;
        if let Some(kind) = fields.text("message_type")?
            && !kind.trim().eq_ignore_ascii_case(MESSAGE_TYPE)
        {
            return Err(ReadError::bad("message_type", format!("{} is not {MESSAGE_TYPE}", quoted(&kind))));
        }
        let read = Self {
            node_id: fields.node_id()?,
            node_ip: fields.text("node_ip")?,
            session_id: fields.session_id()?,
            hostname: fields.text("hostname")?,
            version: fields.text("version")?,
            cpus: fields.text("cpus")?,
        };
        Ok(read.shortened())
    }

    /// The same with no text longer than many drivers' may be together.
    pub fn shortened(self) -> Self {
        let Self { node_id, node_ip, session_id, hostname, version, cpus } = self;
        let [node_ip, hostname, version, cpus] = [node_ip, hostname, version, cpus].map(|text| text.map(cut));
        Self { node_id, node_ip, session_id, hostname, version, cpus }
    }

    /// Writes the message.
    pub fn write(&self) -> Vec<u8> {
        let Self { node_id, node_ip, session_id, hostname, version, cpus } = self;
        crate::histogram::to_json(&Wire {
            node_id,
            node_ip,
            message_type: MESSAGE_TYPE,
            schema: crate::SCHEMA,
            session_id,
            hostname,
            version,
            cpus,
        })
    }
}

/// The beginning of a text, with a sign that there was more.
fn cut(text: String) -> String {
    const SIGN: &str = "…";
    if text.len() <= MAX_TEXT_BYTES {
        return text;
    }
    let end = text.floor_char_boundary(MAX_TEXT_BYTES - SIGN.len());
    format!("{}{SIGN}", &text[..end])
}
