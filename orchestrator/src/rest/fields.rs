//! The fields of a new test: the options of a test, and what the orchestrator itself wants to know. The reader of requests
//! and the API's description both go by them, so they cannot disagree.

use onrush_protocol::human::closest;
use onrush_protocol::options::{people, schema};
use onrush_protocol::{OPTIONS, TestOption, limits};
use serde_json::{Map, Value, json};

/// A label has at most so many characters.
pub(super) const MAX_LABEL_CHARS: usize = 200;

/// A field of `POST /v1/tests` that is not an option of the test.
pub(super) struct OwnField {
    /// Its name.
    pub name: &'static str,
    /// Other spellings of it.
    also: &'static [&'static str],
    /// What would be right in it: continues "give …".
    right: &'static str,
    /// What it means.
    pub about: &'static str,
    /// What is right in it, as JSON Schema.
    schema: fn() -> Value,
    example: &'static str,
}

pub(super) static TEST_TYPE: OwnField = OwnField {
    name: "test_type",
    also: &["type"],
    right: "AVALANCHE or TSUNAMI",
    about: "How requests are spaced: AVALANCHE sends as soon as a connection is free, TSUNAMI at fixed moments.",
    schema: schema::test_type,
    example: "AVALANCHE",
};
pub(super) static NAME: OwnField = OwnField {
    name: "name",
    also: &[],
    right: "a text of at most 200 characters, on one line",
    about: "A label for people.",
    schema: || schema::line(MAX_LABEL_CHARS),
    example: "before the release",
};
pub(super) static TRIGGER: OwnField = OwnField {
    name: "trigger",
    also: &[],
    right: "true or false",
    about: "Start the test as soon as its drivers are armed.",
    schema: schema::strict_flag,
    example: "true",
};
static OWN: [&OwnField; 3] = [&TEST_TYPE, &NAME, &TRIGGER];

impl OwnField {
    fn spellings(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.also.iter().copied())
    }

    /// In words, what is wrong with a value that is not right.
    pub fn in_words(&self, given: &Value) -> String {
        format!("is {}; give {}", people::shown(given), self.right)
    }
}

/// The name of the field of that name or spelling; case, underscores and dashes do not matter.
pub(super) fn field_named(key: &str) -> Option<&'static str> {
    let plain = |name: &str| name.replace(['_', '-'], "").to_lowercase();
    let key_plain = plain(key);
    let is_it = |own: &&OwnField| own.spellings().any(|spelling| plain(spelling) == key_plain);
    OWN.into_iter().find(is_it).map(|own| own.name).or_else(|| TestOption::named(key).map(|option| option.name))
}

/// The field that someone meant who wrote `key`.
pub(super) fn field_meant(key: &str) -> Option<&'static str> {
    closest(key, OWN.iter().flat_map(|own| own.spellings()).chain(OPTIONS.iter().flat_map(TestOption::spellings)))
}

/// Every field's name.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    [TEST_TYPE.name].into_iter().chain(OPTIONS.iter().map(|option| option.name)).chain([NAME.name, TRIGGER.name])
}

/// The body of `POST /v1/tests`, as JSON Schema.
pub(super) fn new_test_schema() -> Value {
    let own = OWN.iter().map(|own| {
        let mut schema = (own.schema)();
        schema["description"] = own.about.into();
        schema["examples"] = json!([own.example]);
        (own.name.to_owned(), schema)
    });
    let properties: Map<_, _> =
        OPTIONS.iter().map(|option| (option.name.to_owned(), option.schema())).chain(own).collect();
    json!({
        "type": "object",
        "description": format!(
            "A test. Case, underscores and dashes in names do not matter, nor does case in values; each name once. \
             null is the same as missing, but for trigger. One of message_count_per_driver (at most {}), duration and \
             profile is needed. An AVALANCHE has no test_message_delay; a TSUNAMI needs one, or a target_throughput, a \
             total_throughput or a profile, and so do arrivals of poisson. A profile stands without duration, \
             test_message_delay and both throughputs, a total_throughput without the other and a delay. Everything together must fit into a message of 1 MiB.",
            limits::MAX_COUNT
        ),
        "required": ["test_type"],
        "properties": properties,
        "additionalProperties": false,
        "allOf": schema::together(),
    })
}

/// What is shown of a test's settings, as JSON Schema. Where what is stored cannot be read, little of it is there.
pub(super) fn config_schema() -> Value {
    let shown = OPTIONS.iter().filter(|option| !option.shown_as.is_empty());
    let mut properties: Map<_, _> = shown.map(|option| (option.shown_as.to_owned(), option.shown_schema())).collect();
    properties.insert(TEST_TYPE.name.into(), json!({"type": "string", "description": TEST_TYPE.about}));
    json!({
        "type": "object", "description": "A test's settings, as they were understood.",
        "properties": properties, "required": [TEST_TYPE.name],
    })
}

/// A name for a schema that is written by hand: it says more than the generator of the description knows of.
macro_rules! schema_body {
    ($(#[doc = $about:literal])+ $body:ident, $name:literal) => {
        $(#[doc = $about])+
        pub(super) struct $body;

        impl utoipa::PartialSchema for $body {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::RefOr::T(utoipa::openapi::Schema::default())
            }
        }

        impl utoipa::ToSchema for $body {
            fn name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }
        }
    };
}
pub(super) use schema_body;

schema_body!(
    /// Stands for [`new_test_schema`].
    NewTestBody, "NewTest"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_fields_are_no_options() {
        for own in OWN {
            for spelling in own.spellings() {
                assert_eq!(field_named(spelling), Some(own.name));
                assert!(TestOption::named(spelling).is_none(), "{spelling}");
            }
        }
    }

    #[test]
    fn the_misspelled_field_is_found() {
        for (wrong, meant) in [
            ("conections", Some("connections")),
            ("test_typ", Some("test_type")),
            ("targeturl", Some("target_url")),
            ("durration", Some("duration")),
            ("requets", Some("requests")),
            ("xyzzy", None),
            ("", None),
        ] {
            assert_eq!(field_meant(wrong), meant, "{wrong}");
        }
        assert_eq!(field_meant(&"connections".repeat(1000)), None);
    }

    /// README's table of fields.
    fn table() -> String {
        let mut table = "| field of `POST /v1/tests` | meaning | default |\n| --- | --- | --- |\n".to_owned();
        let own = |own: &OwnField, default| format!("| `{}` | {} | {default} |\n", own.name, own.about);
        table += &own(&TEST_TYPE, "required");
        for option in OPTIONS {
            let default = if option.default.is_empty() { "none" } else { option.default };
            table += &format!("| `{}` | {} | {default} |\n", option.name, option.about);
        }
        table + &own(&NAME, "none") + &own(&TRIGGER, "false")
    }

    /// `ONRUSH_REWRITE=1` writes the table anew.
    #[test]
    fn readme_has_every_field() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
        let readme = std::fs::read_to_string(path).expect("README.md");
        let (before, rest) = readme.split_once("| field of `POST /v1/tests` |").expect("the table");
        let (_, after) = rest.split_once("\n\n").expect("the end of the table");
        let right = format!("{before}{}\n{after}", table());
        if std::env::var_os("ONRUSH_REWRITE").is_some() {
            std::fs::write(path, &right).expect("README.md");
        } else {
            assert!(readme == right, "README's table is not that of the options; ONRUSH_REWRITE=1 writes it anew");
        }
    }

    #[test]
    fn the_schema_describes_every_field() {
        let schema = new_test_schema();
        for name in names() {
            assert!(schema["properties"][name]["description"].is_string(), "{name}");
            assert!(!schema["properties"][name]["examples"][0].is_null(), "{name}");
        }
        assert_eq!(schema["properties"].as_object().map(Map::len), Some(names().count()));
    }
}
