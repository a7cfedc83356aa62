//! The options of a test, each declared once in `table.rs`. From the table follow the test as drivers get it, its message, its
//! reader and its limits, what REST and the command line accept, the API's description, the page's form, what results show, and
//! README's table.

#[macro_use]
mod declare;
mod kind;
pub mod people;
pub mod schema;
mod table;
mod view;

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Value, json};

pub use kind::Control;
pub(crate) use kind::{Kind, MessageWriter, Pem, Rate};
pub use table::{OPTIONS, TestConfig};

use crate::fields::{Fields, ReadError, normalised};
use people::{Wrong, shown};

/// What an option is about: its place in the help, in the form and in the documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// How much load, and for how long.
    Load,
    /// What is sent, and how.
    Request,
    /// How https targets are trusted.
    Tls,
    /// What the result must be like.
    Result,
}

impl Section {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Section; 4] = [Section::Load, Section::Request, Section::Tls, Section::Result];

    /// Its heading.
    pub const fn heading(self) -> &'static str {
        match self {
            Section::Load => "Load",
            Section::Request => "Request",
            Section::Tls => "TLS",
            Section::Result => "Result",
        }
    }
}

/// How the command line asks for an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag {
    /// `--long`.
    pub long: &'static str,
    /// `-s`.
    pub short: Option<char>,
    /// What stands for its value in the help.
    pub value: &'static str,
    /// What it means, where that is not what the option means.
    pub help: &'static str,
    /// How its value is given.
    pub how: How,
    /// The variables that set it: of `test start`, and of `bench` where it has its own.
    pub variables: [&'static str; 2],
    /// Names of options, each of which it needs beside it.
    pub needs: &'static [&'static str],
    /// Names of options that cannot be combined with it.
    pub not_with: &'static [&'static str],
}

impl Flag {
    const PLAIN: Self = Self {
        long: "",
        short: None,
        value: "",
        help: "",
        how: How::Text,
        variables: ["", ""],
        needs: &[],
        not_with: &[],
    };
}

/// How a flag's value is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// As a text.
    Text,
    /// As a text behind `=`; the flag alone means this.
    TextOr(&'static str),
    /// Once for each item; a variable has several, with this character between them.
    Each(char),
    /// Without a value: the flag alone sets the option to this.
    Sets(bool),
    /// By the name of a file.
    File,
}

/// An option of a test.
pub struct TestOption {
    /// Its name in REST.
    pub name: &'static str,
    /// Other spellings of it.
    pub also: &'static [&'static str],
    /// What it is called in a form.
    pub label: &'static str,
    /// What it means.
    pub about: &'static str,
    /// What would be right: continues "give …".
    pub right: &'static str,
    /// What holds where it is missing, for people; empty: nothing does.
    pub default: &'static str,
    /// An example, as JSON.
    pub example: &'static str,
    /// What it is about.
    pub section: Section,
    /// How the command line asks for it; `None`: in its own way.
    pub flag: Option<Flag>,
    /// Whether nothing shows its value.
    pub is_secret: bool,
    /// Its name in results; empty: it is not shown.
    pub shown_as: &'static str,
    /// Whether drivers are told: what only the orchestrator acts on stays with it.
    pub is_for_drivers: bool,
    /// Its name in messages.
    wire: &'static str,
    /// Whether a message says it, given the others.
    is_written: fn(&TestConfig) -> bool,
    is_default: fn(&TestConfig, &TestConfig) -> bool,
    read: fn(&mut TestConfig, &Fields) -> Result<(), ReadError>,
    write: fn(&TestConfig, &mut MessageWriter),
    parse: fn(&mut TestConfig, &Value) -> Result<(), Wrong>,
    problem: fn(&TestConfig) -> Option<String>,
    shown: fn(&TestConfig) -> Value,
    schema: fn() -> Value,
    shown_schema: fn() -> Value,
    control: fn() -> Control,
}

impl std::fmt::Debug for TestOption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl TestOption {
    /// The option of that name or spelling; case, underscores and dashes do not matter.
    pub fn named(key: &str) -> Option<&'static Self> {
        static BY_SPELLING: LazyLock<HashMap<String, &TestOption>> = LazyLock::new(|| {
            let spellings =
                |option: &'static TestOption| option.spellings().map(move |name| (normalised(name), option));
            OPTIONS.iter().flat_map(spellings).collect()
        });
        BY_SPELLING.get(&normalised(key)).copied()
    }

    /// Its name, and others.
    pub fn spellings(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.also.iter().copied())
    }

    /// Reads its value, as people write it, into a test.
    pub fn set(&self, config: &mut TestConfig, given: &Value) -> Result<(), Wrong> {
        (self.parse)(config, given)
    }

    /// In words, what is wrong with a value that [`set`](Self::set) does not take.
    pub fn in_words(&self, wrong: Wrong, given: &Value) -> String {
        let right = match wrong {
            Wrong::Because(problem) => return problem,
            Wrong::Write(right) => right,
            Wrong::Kind => format!("give {}", self.right),
        };
        // What is secret is not repeated.
        if self.is_secret { format!("is wrong; {right}") } else { format!("is {}; {right}", shown(given)) }
    }

    /// What keeps a test from being run because of it, and what would be right.
    pub fn problem(&self, config: &TestConfig) -> Option<String> {
        (self.problem)(config)
    }

    /// What is right in it, as JSON Schema.
    pub fn schema(&self) -> Value {
        let mut about = self.about.to_owned();
        if !self.default.is_empty() {
            about += &format!(" Default: {}.", self.default);
        }
        if !self.also.is_empty() {
            about += &format!(" Also: {}.", self.also.join(", "));
        }
        let mut schema = (self.schema)();
        schema["description"] = about.into();
        schema["examples"] = json!([self.example()]);
        schema
    }

    /// What a result shows of it, as JSON Schema.
    pub fn shown_schema(&self) -> Value {
        let mut schema = (self.shown_schema)();
        schema["description"] = self.about.into();
        schema
    }

    /// An example of a value that is right.
    pub fn example(&self) -> Value {
        serde_json::from_str(self.example).unwrap_or(Value::Null)
    }

    /// How a form asks for it.
    pub fn control(&self) -> Control {
        (self.control)()
    }

    pub(crate) fn read(&self, config: &mut TestConfig, fields: &Fields) -> Result<(), ReadError> {
        (self.read)(config, fields)
    }

    pub(crate) fn write(&self, config: &TestConfig, message: &mut MessageWriter) {
        (self.write)(config, message);
    }
}
