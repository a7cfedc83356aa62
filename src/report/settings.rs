//! The settings of a test that are not their defaults, by the names that REST has for them.

use onrush_api::{OptionView, options};
use serde_json::{Map, Value};

use super::numbers::{rate, seconds};

/// Too long to be shown in a line, or shown with the request that they are part of.
const LEFT_OUT: [&str; 3] = ["headers", "body", "body_bytes"];
const MAX_CHARS: usize = 80;

/// Those of them that stand in no words of their own: `think_time 50.00 ms`, `no resend`, `order shuffled`.
pub fn not_default(others: &Map<String, Value>) -> Vec<String> {
    let is_shown = |name: &str| !LEFT_OUT.contains(&name);
    let words = |option: OptionView| {
        let shown_as = option.shown_as.filter(|name| is_shown(name))?;
        let value = others.get(&shown_as).filter(|value| **value != option.shown_default)?;
        let name = option.name;
        Some(match value {
            Value::Bool(true) => name,
            Value::Bool(false) => format!("no {name}"),
            Value::Number(number) if shown_as.ends_with("_per_s") => format!("{name} {}/s", rate(number.as_f64()?)),
            // A profile, as people write it.
            Value::Object(fields) => format!("{name} {}", short(fields.get("text")?.as_str()?)),
            Value::Number(number) if shown_as.ends_with("_s") => format!("{name} {}", seconds(number.as_f64()?)),
            Value::Array(list) if list.iter().any(Value::is_object) => format!("{name} {}", list.len()),
            Value::Array(list) => format!("{name} {}", short(&list.iter().map(text).collect::<Vec<_>>().join(" "))),
            other => format!("{name} {}", short(&text(other))),
        })
    };
    options().into_iter().filter_map(words).collect()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), Into::into)
}

fn short(text: &str) -> String {
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use onrush_protocol::{TestConfig, TestId, TestType};

    use super::*;

    #[test]
    fn only_what_is_no_default_is_said() {
        let mut config = TestConfig::new(TestId::new("t").expect("a name"), TestType::Avalanche);
        assert!(not_default(&config.shown()).is_empty());
        config.think_time = std::time::Duration::from_millis(50);
        config.expect = vec!["status=200".parse().expect("a check"), "body~x".parse().expect("a check")];
        (config.tls_insecure, config.resend) = (true, false);
        config.requests = vec![Default::default(); 3];
        config.headers = vec![("Authorization".into(), "secret".into())];
        config.unix_socket = Some(format!("/{}", "ü".repeat(500)));
        let said = not_default(&config.shown()).join(", ");
        let expected = "expect status=200 body~x, targets 3, order in_turn, tls_insecure, unix_socket /";
        assert!(said.starts_with(expected) && said.len() < 400, "{said}");
        assert!(said.ends_with("…, no resend, think_time 50.00 ms"), "{said}");
    }
}
