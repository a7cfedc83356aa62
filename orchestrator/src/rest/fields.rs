//! The fields of a new test: their names, other spellings and what is right in them. The reader of requests and
//! the API's description both go by this table, so they cannot disagree.

use std::collections::HashMap;
use std::sync::LazyLock;

pub(super) use onrush_protocol::human::closest;
use onrush_protocol::limits;
use serde_json::{Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::schema;

/// A field of `POST /v1/tests`.
pub(super) struct Field {
    /// Its name.
    pub name: &'static str,
    /// Other spellings of it.
    pub aliases: &'static [&'static str],
    /// What would be right in it: continues "give …".
    pub right: &'static str,
    /// What it means.
    about: &'static str,
    /// What is right in it, as JSON Schema.
    schema: fn() -> Value,
    /// An example, as JSON.
    example: &'static str,
}

const DURATION: &str = "a duration like \"10ms\", \"250us\", \"1.5s\" or \"1m 30s\"; a bare number means seconds";
const YES_NO: &str = "true or false";

/// A label has at most so many characters.
pub(super) const MAX_NAME_CHARS: usize = 200;

fn timeout() -> Value {
    schema::duration(limits::MIN_TIMEOUT.as_secs_f64(), limits::MAX_TIMEOUT.as_secs_f64())
}

/// Every field, in the order in which errors are reported.
pub(super) const FIELDS: &[Field] = &[
    Field {
        name: "test_type",
        aliases: &["type"],
        right: "AVALANCHE or TSUNAMI",
        about: "How requests are spaced: AVALANCHE sends as soon as a connection is free, TSUNAMI at fixed moments.",
        schema: schema::test_type,
        example: "\"AVALANCHE\"",
    },
    Field {
        name: "target_url",
        aliases: &["url", "target"],
        right: "a URL like \"http://127.0.0.1:8080/ping\"",
        about: "Where requests go. Without it, each driver takes its own --target-url, and refuses the test if it has none.",
        schema: schema::url,
        example: "\"http://127.0.0.1:8080/ping\"",
    },
    Field {
        name: "method",
        aliases: &[],
        right: "GET, POST, PUT, DELETE, HEAD or the like",
        about: "The request's method. GET where it is missing.",
        schema: schema::method,
        example: "\"GET\"",
    },
    Field {
        name: "headers",
        aliases: &[],
        right: "an object of names and values, or a list of \"Name: value\" texts",
        about: "The request's headers: an object of names and values, a list of \"Name: value\" texts, or a list of [name, value] pairs. 64 KiB together at most.",
        schema: schema::headers,
        example: r#"{"accept": "application/json"}"#,
    },
    Field {
        name: "body",
        aliases: &[],
        right: "a text (bytes go into body_base64)",
        about: "The request's body as text, 512 KiB at most.",
        schema: || schema::text(limits::MAX_BODY_BYTES),
        example: r#""{\"hello\": 1}""#,
    },
    Field {
        name: "body_base64",
        aliases: &[],
        right: "the body's bytes in base64",
        about: "The request's body as base64, instead of body.",
        schema: schema::base64,
        example: "\"aGVsbG8=\"",
    },
    Field {
        name: "expect",
        aliases: &["checks"],
        right: "a list of checks such as \"status=200\", \"status=2xx\", \"body~text\" or \"json:/path=value\"",
        about: "What every answer must be like; one that is not counts as failed (check_failed). Without it any answer will do.",
        schema: schema::checks,
        example: r#"["status=2xx", "json:/state=ready"]"#,
    },
    Field {
        name: "targets",
        aliases: &["request_mix"],
        right: "a list of requests, each an object with url, method, headers, body or body_base64, weight, expect",
        about: "Several requests, in place of method, headers and body: a list of objects with url (where it is missing: target_url), method, headers, body or body_base64, weight (1) and expect. At most 10,000, 512 KiB together, and weights of 1,000,000 together once their common divisor is taken out.",
        schema: schema::targets,
        example: r#"[{"url": "http://127.0.0.1:8080/ping", "weight": 3}, {"url": "http://127.0.0.1:8080/", "method": "POST", "body": "x"}]"#,
    },
    Field {
        name: "order",
        aliases: &[],
        right: "in_turn or shuffled",
        about: "The order of several requests: in_turn, weights spread evenly, or shuffled by the seed.",
        schema: schema::order,
        example: "\"in_turn\"",
    },
    Field {
        name: "seed",
        aliases: &[],
        right: "a whole number",
        about: "What a shuffled order begins with: the same seed gives the same order. 0 where it is missing.",
        schema: || schema::whole_number(0, u64::MAX),
        example: "7",
    },
    Field {
        name: "tls_insecure",
        aliases: &["insecure"],
        right: YES_NO,
        about: "Whether any certificate of an https target will do. False where it is missing.",
        schema: schema::flag,
        example: "false",
    },
    Field {
        name: "tls_ca_pem",
        aliases: &["cacert", "ca_pem"],
        right: "certificates in PEM, as one text",
        about: "Authorities that https targets are trusted by, in place of those that each driver's system trusts. 512 KiB at most.",
        schema: schema::pem,
        example: "\"-----BEGIN CERTIFICATE-----\\n...\"",
    },
    Field {
        name: "tls_cert_pem",
        aliases: &["cert", "cert_pem"],
        right: "a certificate in PEM, as one text",
        about: "The certificate that drivers show to https targets; tls_key_pem is its key. 64 KiB at most.",
        schema: schema::pem,
        example: "\"-----BEGIN CERTIFICATE-----\\n...\"",
    },
    Field {
        name: "tls_key_pem",
        aliases: &["key", "key_pem"],
        right: "a private key in PEM, as one text",
        about: "The private key of tls_cert_pem. It travels on the broker as it is, and no answer of this API shows it.",
        schema: schema::pem,
        example: "\"-----BEGIN PRIVATE KEY-----\\n...\"",
    },
    Field {
        name: "message_count_per_driver",
        aliases: &["requests", "count", "message_count"],
        right: "a whole number from 1 to 1000000000000, such as 1000, \"10k\" or \"1M\"",
        about: "Exactly this many requests per driver. This or duration is needed; with both, what is reached first ends the test.",
        schema: || schema::whole_number(1, limits::MAX_COUNT),
        example: "10000",
    },
    Field {
        name: "duration",
        aliases: &["duration_s"],
        right: DURATION,
        about: "No request is sent after this time. A number means seconds.",
        schema: || schema::duration(1e-9, limits::MAX_DURATION.as_secs_f64()),
        example: "\"30s\"",
    },
    Field {
        name: "test_message_delay",
        aliases: &["delay", "message_delay", "test_message_delay_s"],
        right: DURATION,
        about: "TSUNAMI: the time from one due moment to the next. A number means seconds.",
        schema: schema::delay,
        example: "\"2ms\"",
    },
    Field {
        name: "target_throughput",
        aliases: &["target_throughput_per_s", "throughput", "rate"],
        right: "a number of requests per second and driver, such as 500, \"10k\" or \"60/m\"",
        about: "At most this many requests a second on each driver, for either type. Texts may say per what: \"60/m\", \"1/h\".",
        schema: schema::rate,
        example: "1000",
    },
    Field {
        name: "connections",
        aliases: &[],
        right: "a whole number from 1 to 100000",
        about: "Connections of each driver. Where it is missing: 64 for AVALANCHE, 256 for TSUNAMI.",
        schema: || schema::whole_number(1, limits::MAX_CONNECTIONS.into()),
        example: "64",
    },
    Field {
        name: "timeout",
        aliases: &["timeout_s"],
        right: DURATION,
        about: "The time allowed from the send to the last byte of the answer. 10 s where it is missing.",
        schema: timeout,
        example: "\"10s\"",
    },
    Field {
        name: "connect_timeout",
        aliases: &["connect_timeout_s"],
        right: DURATION,
        about: "The time allowed for opening a connection. 5 s where it is missing.",
        schema: timeout,
        example: "\"5s\"",
    },
    Field {
        name: "keepalive",
        aliases: &[],
        right: YES_NO,
        about: "Whether a connection serves more than one request. True where it is missing.",
        schema: schema::flag,
        example: "true",
    },
    Field {
        name: "resend",
        aliases: &[],
        right: YES_NO,
        about: "Whether a request is sent once more on another connection where the target closed a reused one before the first byte of a response. True where it is missing; resent counts them.",
        schema: schema::flag,
        example: "true",
    },
    Field {
        name: "connect_to",
        aliases: &["resolve"],
        right: "a list of \"HOST:PORT:ADDRESS:PORT\" texts",
        about: "Where connections for a host and port go in truth; Host, SNI and the URL stay as they are. \"HOST:PORT:ADDRESS:PORT\", an empty HOST or PORT stands for any. At most 100.",
        schema: schema::connect_to,
        example: r#"["shop.example:443:127.0.0.1:8443"]"#,
    },
    Field {
        name: "unix_socket",
        aliases: &[],
        right: "the path of a Unix domain socket",
        about: "The socket on each driver's own machine that every connection goes to, in place of the URL's host and port; not beside connect_to.",
        schema: schema::unix_socket,
        example: "\"/run/app.sock\"",
    },
    Field {
        name: "name",
        aliases: &[],
        right: "a text of at most 200 characters, on one line",
        about: "A label for people.",
        schema: || schema::line(MAX_NAME_CHARS),
        example: "\"before the release\"",
    },
    Field {
        name: "trigger",
        aliases: &[],
        right: YES_NO,
        about: "Whether the test starts as soon as its drivers are armed. False where it is missing.",
        schema: schema::strict_flag,
        example: "true",
    },
];

/// The field of that name or alias; case, underscores and dashes do not matter.
pub(super) fn field_named(key: &str) -> Option<&'static Field> {
    static BY_SPELLING: LazyLock<HashMap<String, &Field>> = LazyLock::new(|| {
        let spellings =
            |field: &'static Field| std::iter::once(&field.name).chain(field.aliases).map(|name| plain(name));
        FIELDS.iter().flat_map(|field| spellings(field).map(move |spelling| (spelling, field))).collect()
    });
    BY_SPELLING.get(&plain(key)).copied()
}

fn plain(key: &str) -> String {
    key.chars().filter(|c| !matches!(c, '_' | '-')).map(|c| c.to_ascii_lowercase()).collect()
}

/// The field that someone meant who wrote `key`.
pub(super) fn field_meant(key: &str) -> Option<&'static str> {
    closest(key, FIELDS.iter().flat_map(|field| std::iter::once(field.name).chain(field.aliases.iter().copied())))
}

/// The body of `POST /v1/tests`, as JSON Schema.
pub(super) fn new_test_schema() -> Value {
    let property = |field: &Field| {
        let also = field.aliases.join(", ");
        let about = if also.is_empty() { field.about.to_owned() } else { format!("{} Also: {also}.", field.about) };
        let example: Value = serde_json::from_str(field.example).unwrap_or(Value::Null);
        let mut schema = (field.schema)();
        schema["description"] = about.into();
        schema["examples"] = json!([example]);
        (field.name.to_owned(), schema)
    };
    let properties: serde_json::Map<_, _> = FIELDS.iter().map(property).collect();
    json!({
        "type": "object",
        "description": format!(
            "A test. Case, underscores and dashes in names do not matter, nor does case in values; each name once. \
             null is the same as missing, but for trigger. One of message_count_per_driver (at most {}) and duration \
             is needed. Everything together must fit into a message of 1 MiB.",
            limits::MAX_COUNT
        ),
        "required": ["test_type"],
        "properties": properties,
        "additionalProperties": false,
        "allOf": schema::together(),
    })
}

/// Stands for [`new_test_schema`], which says more than the generator of the description knows of.
pub(super) struct NewTestBody;

impl PartialSchema for NewTestBody {
    fn schema() -> RefOr<Schema> {
        RefOr::T(Schema::default())
    }
}

impl ToSchema for NewTestBody {
    fn name() -> std::borrow::Cow<'static, str> {
        "NewTest".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_fields_share_a_spelling() {
        let mut spellings: Vec<String> =
            FIELDS.iter().flat_map(|f| std::iter::once(&f.name).chain(f.aliases)).map(|name| plain(name)).collect();
        let all = spellings.len();
        spellings.sort();
        spellings.dedup();
        assert_eq!(spellings.len(), all);
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

    #[test]
    fn every_example_is_json_and_the_schema_names_every_field() {
        let schema = new_test_schema();
        for field in FIELDS {
            serde_json::from_str::<Value>(field.example).expect(field.name);
            assert!(schema["properties"][field.name]["description"].is_string(), "{}", field.name);
        }
    }
}
