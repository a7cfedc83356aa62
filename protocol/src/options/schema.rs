//! What is right in each field of a new test, as JSON Schema. Where people may write a value in more ways than a pattern can
//! say (`"1m 30s"`, `" yes "`), the description says so and the schema shows the usual one.

use onrush_stats::MAX_NAME_BYTES;
use serde_json::{Value, json};

use crate::limits;

/// Any of these, or nothing.
fn any_of(choices: &[Value]) -> Value {
    let mut choices = choices.to_vec();
    choices.push(json!({"type": "null"}));
    json!({"anyOf": choices})
}

fn pattern(pattern: &str) -> Value {
    json!({"type": "string", "pattern": pattern})
}

/// How requests are spaced.
pub fn test_type() -> Value {
    json!({"type": "string", "enum": ["AVALANCHE", "TSUNAMI"]})
}

/// True or false.
pub(crate) fn flag() -> Value {
    any_of(&[json!({"type": "boolean"}), pattern("^([Yy][Ee][Ss]|[Nn][Oo]|[Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])$")])
}

/// True or false, and nothing else: whoever writes null means something.
pub fn strict_flag() -> Value {
    let mut schema = flag();
    if let Some(choices) = schema["anyOf"].as_array_mut() {
        choices.pop();
    }
    schema
}

fn url_text() -> Value {
    json!({"type": "string", "format": "iri", "pattern": "^https?://", "maxLength": limits::MAX_URL_BYTES})
}

/// A URL.
pub(crate) fn url() -> Value {
    any_of(&[url_text()])
}

/// A method.
pub(crate) fn method() -> Value {
    let token = "^(?![Cc][Oo][Nn][Nn][Ee][Cc][Tt]$)[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$";
    any_of(&[pattern(token)])
}

const HEADER_NAME: &str = "^(?!([Cc][Oo][Nn][Tt][Ee][Nn][Tt]-[Ll][Ee][Nn][Gg][Tt][Hh]|[Cc][Oo][Nn][Nn][Ee][Cc][Tt][Ii][Oo][Nn]|\
    [Tt][Rr][Aa][Nn][Ss][Ff][Ee][Rr]-[Ee][Nn][Cc][Oo][Dd][Ii][Nn][Gg])$)[!#$%&'*+.^_`|~0-9A-Za-z-]+$";
const HEADER_VALUE: &str = r"^[^\x00-\x08\x0a-\x1f\x7f]*$";
/// A character that the name of a request may have.
const NAME_CHARACTER: &str = r"[^{},\x00-\x1f\x7f-\x9f]";

/// Headers.
pub(crate) fn headers() -> Value {
    let name = pattern(HEADER_NAME);
    let value = json!({"anyOf": [pattern(HEADER_VALUE), {"type": "number"}]});
    let line = format!("{}:{}", HEADER_NAME.trim_end_matches('$'), HEADER_VALUE.trim_start_matches('^'));
    let pair = json!({"type": "array", "prefixItems": [name, value], "items": false, "minItems": 2});
    any_of(&[
        json!({"type": "object", "propertyNames": {"pattern": HEADER_NAME}, "additionalProperties": value}),
        json!({"type": "array", "items": {"anyOf": [pattern(&line), pair]}}),
    ])
}

/// A text.
pub(crate) fn text(max_chars: usize) -> Value {
    any_of(&[json!({"type": "string", "maxLength": max_chars})])
}

/// A text on one line.
pub fn line(max_chars: usize) -> Value {
    let visible = format!("^[^\\u0000-\\u001f\\u007f-\\u009f]{{0,{max_chars}}}$");
    any_of(&[pattern(&visible)])
}

/// Bytes.
pub(crate) fn base64() -> Value {
    let pattern = "^([A-Za-z0-9+/]{4})*$";
    any_of(&[json!({"type": "string", "contentEncoding": "base64", "pattern": pattern})])
}

fn check() -> Value {
    pattern(r"^(status=[2-5]([0-9]{2}|xx)(,[2-5]([0-9]{2}|xx))*|body~[\s\S]+|json:(/[a-z0-9]+)*=[\s\S]*)$")
}

/// Checks.
pub(crate) fn checks() -> Value {
    any_of(&[check(), json!({"type": "array", "items": check(), "maxItems": limits::MAX_CHECKS})])
}

/// What the result must keep.
pub(crate) fn thresholds() -> Value {
    let time = "(response_|service_|schedule_error_)?(mean|median|p50|p90|p95|p99|p99[.]9|min|max)(<=?|>=?)[1-9][0-9]{0,2}(us|ms|s)";
    let share = "(failed|skipped|dropped)(<=?|>=?)[0-9]{1,2}%?";
    let rate = "rate(<=?|>=?)[1-9][0-9]{0,2}k?";
    let limit = "(<=?|>=?)[1-9][0-9]{0,2}";
    let name = format!("[{{]{NAME_CHARACTER}{{1,100}}[}}]");
    let of_name =
        format!("((response_)?p99{name}{limit}(us|ms|s)|failed{name}(<=?|>=?)[0-9]{{1,2}}%?|rate{name}{limit}k?)");
    let one = pattern(&format!("^(({time}|{share}|{rate})( over [1-9][0-9]{{0,2}}s)?|{of_name})$"));
    any_of(&[one.clone(), json!({"type": "array", "items": one, "maxItems": limits::MAX_THRESHOLDS})])
}

/// Yes, no, or a length of time.
pub(crate) fn flag_or_duration(high_s: f64) -> Value {
    let mut schema = flag();
    if let (Some(choices), Some(times)) =
        (schema["anyOf"].as_array_mut(), duration_or_zero(1e-9, high_s)["anyOf"].as_array())
    {
        choices.extend(times.iter().filter(|choice| choice["type"] != "null").cloned());
    }
    schema
}

/// Several requests.
pub(crate) fn targets() -> Value {
    let whole = |value: Value| json!({"anyOf": [value, {"type": "null"}]});
    let pair = json!({
        "type": "array", "prefixItems": [pattern(HEADER_NAME), pattern(HEADER_VALUE)], "items": false, "minItems": 2
    });
    let headers = json!({"anyOf": [
        {"type": "object", "propertyNames": {"pattern": HEADER_NAME}, "additionalProperties": pattern(HEADER_VALUE)},
        {"type": "array", "items": pair},
    ]});
    let request = json!({
        "type": "object",
        "properties": {
            "url": whole(url_text()),
            "method": method(),
            "headers": whole(headers),
            "body": {"type": ["string", "null"]},
            "body_base64": base64(),
            "weight": whole_number(1, u32::MAX.into()),
            "expect": checks(),
            "name": {"type": ["string", "null"], "maxLength": MAX_NAME_BYTES, "pattern": format!("^{NAME_CHARACTER}*$")},
        },
        "additionalProperties": false,
        "anyOf": [{"properties": {"body": {"type": "null"}}}, {"properties": {"body_base64": {"type": "null"}}}],
    });
    any_of(&[json!({"type": "array", "items": request, "minItems": 1, "maxItems": limits::MAX_REQUESTS})])
}

/// One of some words.
pub(crate) fn choice(choices: &[&str]) -> Value {
    any_of(&[json!({"type": "string", "enum": choices})])
}

/// Load that changes over time.
pub(crate) fn profile() -> Value {
    let rate = json!({"anyOf": [
        {"type": "number", "minimum": limits::MIN_THROUGHPUT_PER_S, "maximum": limits::MAX_THROUGHPUT_PER_S},
        pattern("^([1-9][0-9]{0,2}k?|max|pause)$"),
    ]});
    let end = json!({"anyOf": [{"type": "number", "minimum": 1, "maximum": limits::MAX_THROUGHPUT_PER_S},
        pattern("^[1-9][0-9]{0,2}k?$")]});
    let length =
        json!({"anyOf": [{"type": "number", "minimum": 0.001, "maximum": 10_000}, pattern("^[1-9][0-9]{0,2}(ms|s)$")]});
    let one = |properties: Value| {
        let required: Vec<&String> = properties.as_object().map(|fields| fields.keys().collect()).unwrap_or_default();
        json!({"type": "object", "required": required, "properties": properties, "additionalProperties": false})
    };
    let text = "^[1-9][0-9]{0,2}(ms|s)@([1-9][0-9]{0,2}k?|max|pause|[1-9][0-9]{0,2}k?\\.\\.[1-9][0-9]{0,2}k?(/[2-9])?)";
    let phases = json!({"type": "array", "minItems": 1, "maxItems": limits::MAX_PHASES, "items": {"anyOf": [
        one(json!({"for": length, "rate": rate})),
        one(json!({"for": length, "from": end, "to": end})),
        one(json!({"for": length, "from": end, "to": end, "steps": {"type": "integer", "minimum": 2, "maximum": 15}})),
        pattern(&format!("{text}$")),
    ]}});
    let of = json!({"type": "string", "enum": ["driver", "total"]});
    any_of(&[pattern(&format!("{text}$")), phases.clone(), one(json!({"of": of, "phases": phases}))])
}

/// A whole number.
pub(crate) fn whole_number(low: u64, high: u64) -> Value {
    let text = if low == 0 { "^[0-9]{1,18}$" } else { "^[1-9][0-9]{0,3}$" };
    any_of(&[json!({"type": "integer", "minimum": low, "maximum": high}), pattern(text)])
}

/// A rate.
pub(crate) fn rate() -> Value {
    let number = json!({
        "type": "number", "minimum": limits::MIN_THROUGHPUT_PER_S, "maximum": limits::MAX_THROUGHPUT_PER_S
    });
    any_of(&[number, pattern("^[1-9][0-9]{0,2}k?$")])
}

/// Certificates or a key.
pub(crate) fn pem() -> Value {
    any_of(&[pattern("-----BEGIN [A-Z]")])
}

/// A length of time between these, in seconds.
pub(crate) fn duration(low_s: f64, high_s: f64) -> Value {
    let text = if low_s < 1e-3 { "^[1-9][0-9]{0,2}(us|ms|s)$" } else { "^[1-9][0-9]{0,2}(ms|s)$" };
    any_of(&[json!({"type": "number", "minimum": low_s, "maximum": high_s}), pattern(text)])
}

/// The same, or no time.
pub(crate) fn duration_or_zero(low_s: f64, high_s: f64) -> Value {
    let mut schema = duration(low_s, high_s);
    if let Some(choices) = schema["anyOf"].as_array_mut() {
        choices.push(json!({"enum": [0, "0"]}));
    }
    schema
}

/// The time between two due moments: 0 where there is none.
pub(crate) fn delay() -> Value {
    duration_or_zero(limits::MIN_DELAY.as_secs_f64(), limits::MAX_DELAY.as_secs_f64())
}

/// What fields mean to one another, as far as programs that read the description can follow; the rest is said in words.
pub fn together() -> Value {
    let given = |name: &str| json!({"required": [name], "properties": {name: {"not": {"type": "null"}}}});
    let left_out = |names: &[&str]| {
        let nulls: serde_json::Map<_, _> =
            names.iter().map(|name| (name.to_string(), json!({"type": "null"}))).collect();
        json!({"properties": nulls})
    };
    let alone = json!({"properties": {
        "method": {"anyOf": [{"type": "null"}, {"const": "GET"}]},
        "headers": {"enum": [null, {}, []]},
        "body": {"type": "null"},
        "body_base64": {"type": "null"},
    }});
    json!([
        {"anyOf": [given("message_count_per_driver"), given("duration"), given("profile")]},
        {"anyOf": [left_out(&["body"]), left_out(&["body_base64"])]},
        {"anyOf": [left_out(&["targets"]), alone]},
        {"anyOf": [
            {"properties": {"abort_on_fail": {"enum": [false, null]}}},
            {"required": ["thresholds"], "properties": {"thresholds": {
                "anyOf": [{"type": "string"}, {"type": "array", "minItems": 1}]
            }}},
        ]},
        {"anyOf": [left_out(&["tls_cert_pem", "tls_key_pem"]), {"allOf": [given("tls_cert_pem"), given("tls_key_pem")]}]},
    ])
}

/// Rules of where connections go.
pub(crate) fn connect_to() -> Value {
    let rule = pattern("^[a-z0-9.-]*:([1-9][0-9]{0,3})?:[a-z0-9.-]+:([1-9][0-9]{0,3})?$");
    any_of(&[json!({"type": "array", "items": rule, "maxItems": limits::MAX_CONNECT_TO})])
}

/// The URL of a page of metrics.
pub(crate) fn metrics_url() -> Value {
    let mut url = url_text();
    url["pattern"] = "^http://".into();
    any_of(&[url])
}

/// A path of a Unix socket.
pub(crate) fn unix_socket() -> Value {
    any_of(&[pattern(&format!("^[/@][!-~]{{0,{}}}$", limits::MAX_UNIX_SOCKET_BYTES - 1))])
}
