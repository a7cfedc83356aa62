//! What of a test is shown, and how it is asked for.

use serde_json::{Map, Value};

use super::{MessageWriter, OPTIONS, TestConfig};

impl TestConfig {
    /// What a result shows of it, by option: nothing that is secret, and the defaults that hold.
    pub fn shown(&self) -> Map<String, Value> {
        let shown = OPTIONS.iter().filter(|option| !option.shown_as.is_empty());
        let mut shown: Map<_, _> = shown.map(|option| (option.shown_as.to_owned(), (option.shown)(self))).collect();
        shown.insert("test_type".into(), self.test_type.name().into());
        let connections = self.connections.unwrap_or(Self::default_connections(self.test_type));
        shown.insert("connections".into(), connections.into());
        if self.requests.is_empty() {
            shown.insert("order".into(), Value::Null);
        }
        shown
    }

    /// The body of a request to the orchestrator for this test. What is left at its default is left out.
    pub fn write_request(&self, name: Option<&str>, trigger: bool) -> Vec<u8> {
        let defaults = Self::new(self.test_id.clone(), self.test_type);
        let mut message = MessageWriter::begin();
        message.push("test_type", self.test_type.name());
        let asked = OPTIONS.iter().filter(|option| !(option.is_default)(self, &defaults));
        asked.for_each(|option| option.write(self, &mut message));
        name.iter().for_each(|name| message.push("name", name));
        message.push("trigger", &trigger);
        message.end()
    }
}
