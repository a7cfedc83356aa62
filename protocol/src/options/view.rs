//! What of a test and of its options is shown.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Control, Message, OPTIONS, Section, TestConfig, TestOption};
use crate::{TestId, TestType};

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
        let mut message = Message::begin();
        message.push("test_type", self.test_type.name());
        let asked = OPTIONS.iter().filter(|option| !(option.is_default)(self, &defaults));
        asked.for_each(|option| option.write(self, &mut message));
        name.iter().for_each(|name| message.push("name", name));
        message.push("trigger", &trigger);
        message.end()
    }
}

/// What `GET /v1/options` says of an option.
#[derive(Serialize)]
struct OptionView {
    name: &'static str,
    also: &'static [&'static str],
    label: &'static str,
    about: &'static str,
    section: Section,
    control: Control,
    is_secret: bool,
    default: &'static str,
    example: Value,
    flag: Option<String>,
    /// Its name in results, and what stands there where it is left out.
    shown_as: Option<&'static str>,
    shown_default: Value,
    schema: Value,
}

/// Every option, for programs: what forms are made of.
pub fn described() -> Value {
    let test_id = TestId::new("defaults").expect("a word is a name");
    let defaults = TestConfig::new(test_id, TestType::Avalanche).shown();
    let view = |option: &TestOption| OptionView {
        name: option.name,
        also: option.also,
        label: option.label,
        about: option.about,
        section: option.section,
        control: option.control(),
        is_secret: option.is_secret,
        default: option.default,
        example: option.example(),
        flag: option.flag.map(|flag| format!("--{}", flag.long)),
        shown_as: Some(option.shown_as).filter(|name| !name.is_empty()),
        shown_default: defaults.get(option.shown_as).cloned().unwrap_or_default(),
        schema: (option.schema)(),
    };
    json!(OPTIONS.iter().map(view).collect::<Vec<_>>())
}
