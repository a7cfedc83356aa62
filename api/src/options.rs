//! The options of a test, for programs: what forms are made of.

use onrush_protocol::{OPTIONS, TestConfig, TestId, TestType};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// An option of a test.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct OptionView {
    /// Its name as a field of `POST /v1/tests`.
    pub name: String,
    /// Other spellings of it.
    pub also: Vec<String>,
    /// What it is called in a form.
    pub label: String,
    /// What it means.
    pub about: String,
    /// Its part of a form.
    pub section: String,
    /// How a form asks for it: `{"type": …}` with `line`, `text`, `lines`, `objects`, `file`, `flag`, or `choice` with `choices`.
    #[schema(value_type = Object)]
    pub control: Value,
    /// Whether nothing shows its value.
    pub is_secret: bool,
    /// What holds where it is left out, for people.
    pub default: String,
    /// A right value.
    pub example: Value,
    /// The flag of the command line.
    pub flag: Option<String>,
    /// Its name in a test's `config`; `null`: it is not shown.
    pub shown_as: Option<String>,
    /// What stands there where it is left out.
    pub shown_default: Value,
    /// What is right in it, as JSON Schema.
    #[schema(value_type = Object)]
    pub schema: Value,
}

/// Every option.
pub fn options() -> Vec<OptionView> {
    let test_id = TestId::new("defaults").expect("a word is a name");
    let defaults = TestConfig::new(test_id, TestType::Avalanche).shown();
    let options = OPTIONS.iter().map(|option| OptionView {
        name: option.name.into(),
        also: option.also.iter().copied().map(Into::into).collect(),
        label: option.label.into(),
        about: option.about.into(),
        section: option.section.heading().into(),
        control: serde_json::json!(option.control()),
        is_secret: option.is_secret,
        default: option.default.into(),
        example: option.example(),
        flag: option.flag.map(|flag| format!("--{}", flag.long)),
        shown_as: Some(option.shown_as).filter(|name| !name.is_empty()).map(Into::into),
        shown_default: defaults.get(option.shown_as).cloned().unwrap_or_default(),
        schema: option.schema(),
    });
    options.collect()
}
