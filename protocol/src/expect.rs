//! What an answer must be like, as people write it: `status=200`, `body~text`, `json:/path=value`.

use std::fmt;
use std::str::FromStr;

use simd_json::OwnedValue;
use simd_json::prelude::*;

use crate::human::closest;

/// One condition on an answer; one that does not hold makes the request a failed one.
#[derive(Clone, Debug, PartialEq)]
pub enum Expect {
    /// `status=200`, `status=2xx`, `status=200,204,300-308`: ranges, bounds included.
    Status(Vec<(u16, u16)>),
    /// `body~text`: the body holds the text.
    BodyContains(String),
    /// `json:/path=value`: the body is JSON and has this value at a JSON pointer (RFC 6901).
    Json {
        /// The pointer.
        pointer: String,
        /// The value: JSON, or else a text as it stands.
        value: OwnedValue,
    },
}

const FORMS: &str = "give status=200, status=2xx, status=200,204, body~TEXT or json:/PATH=VALUE";
const KINDS: [&str; 3] = ["status", "body", "json"];

impl FromStr for Expect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |problem: &str| format!("{} {problem}; {FORMS}", crate::fields::quoted(text));
        let text_of_kind = text.trim_start();
        let kind_length = text_of_kind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text_of_kind.len());
        let (kind, rest) = text_of_kind.split_at(kind_length);
        let kind = kind.to_ascii_lowercase();
        let rest = rest.trim_start();
        match kind.as_str() {
            "status" => {
                let list = rest.strip_prefix('=').ok_or_else(|| wrong("needs a = behind status"))?;
                let ranges = list.split(',').map(|item| status_range(item.trim())).collect::<Option<Vec<_>>>();
                ranges.map(Expect::Status).ok_or_else(|| wrong("names no status between 100 and 999"))
            }
            "body" => match rest.strip_prefix('~') {
                None => Err(wrong("needs a ~ behind body")),
                Some("") => Err(wrong("looks for nothing")),
                Some(wanted) => Ok(Expect::BodyContains(wanted.into())),
            },
            "json" => {
                let rest = rest.strip_prefix(':').ok_or_else(|| wrong("needs a : behind json"))?;
                let (pointer, value) = rest.split_once('=').ok_or_else(|| wrong("needs a = and a value"))?;
                let pointer = pointer.trim();
                if !is_pointer(pointer) {
                    return Err(wrong("needs a path that begins with / (a JSON pointer: /list/0/name)"));
                }
                let value = json_value(value).map_err(|problem| wrong(&problem))?;
                Ok(Expect::Json { pointer: pointer.into(), value })
            }
            other => match closest(other, KINDS.into_iter()) {
                Some(meant) => Err(wrong(&format!("is not a check; did you mean {meant}?"))),
                None => Err(wrong("is not a check")),
            },
        }
    }
}

/// Whether it is a JSON pointer (RFC 6901): empty, or steps that each begin with `/`, with `~0` and `~1` as escapes.
fn is_pointer(text: &str) -> bool {
    let escapes_well = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    (text.is_empty() || text.starts_with('/')) && escapes_well
}

/// JSON, or a text as it stands; but for what only looks like JSON, where nobody can say which was meant.
fn json_value(text: &str) -> Result<OwnedValue, String> {
    if let Ok(value) = simd_json::to_owned_value(&mut text.as_bytes().to_vec()) {
        return Ok(value);
    }
    let trimmed = text.trim();
    let is_broken = trimmed.starts_with(['"', '{', '[']);
    let is_almost = ["true", "false", "null"].into_iter().any(|word| trimmed.eq_ignore_ascii_case(word));
    // 01, +1, 1. and .5 are numbers elsewhere.
    let is_number =
        trimmed.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) && trimmed.parse::<f64>().is_ok();
    if is_broken || is_almost || is_number {
        let text = OwnedValue::from(trimmed.trim_matches('"')).encode();
        return Err(format!("has a value that is not JSON; a text is written in double quotes, as {text}"));
    }
    Ok(OwnedValue::from(text))
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expect::Status(ranges) => {
                let range = |(first, last): &(u16, u16)| {
                    if first == last { first.to_string() } else { format!("{first}-{last}") }
                };
                write!(f, "status={}", ranges.iter().map(range).collect::<Vec<_>>().join(","))
            }
            Expect::BodyContains(text) => write!(f, "body~{text}"),
            Expect::Json { pointer, value } => write!(f, "json:{pointer}={}", value.encode()),
        }
    }
}

/// `200`, `2xx` or `200-204`.
fn status_range(text: &str) -> Option<(u16, u16)> {
    let status = |text: &str| text.parse().ok().filter(|status| text.len() == 3 && (100..=999).contains(status));
    if let Some(class) = text.strip_suffix(['x', 'X']).and_then(|text| text.strip_suffix(['x', 'X'])) {
        let first = status(&format!("{class}00"))?;
        return Some((first, first + 99));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (status(first)?, status(last)?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_read_as_people_write_them_and_written_back() {
        for (text, written) in [
            ("status=200", "status=200"),
            ("status=2xx", "status=200-299"),
            ("status=200, 204,300-308", "status=200,204,300-308"),
            ("body~=x", "body~=x"),
            ("json:/a/0=1.5", "json:/a/0=1.5"),
            ("json:/ok=true", "json:/ok=true"),
            ("json:/name=two words", "json:/name=\"two words\""),
            ("json:=[]", "json:=[]"),
            (" STATUS = 2XX , 304 ", "status=200-299,304"),
            ("Body ~ x ", "body~ x "),
            ("JSON : /a = 1", "json:/a=1"),
            ("json:/a=\"1\"", "json:/a=\"1\""),
            ("json:/a=1.2.3", "json:/a=\"1.2.3\""),
            ("json:/a=2024-01-01", "json:/a=\"2024-01-01\""),
            ("json:/a~1b/~0=null", "json:/a~1b/~0=null"),
        ] {
            let expect: Expect = text.parse().unwrap();
            assert_eq!(expect.to_string(), written);
            assert_eq!(written.parse(), Ok(expect), "{text}");
        }
    }

    #[test]
    fn what_is_almost_a_check_is_told_what_is_missing() {
        for (text, says) in [
            ("staus=200", "did you mean status?"),
            ("latency<200ms", "is not a check"),
            ("status:200", "a = behind status"),
            ("body=x", "a ~ behind body"),
            ("json/a=1", "a : behind json"),
            ("json:/a", "a = and a value"),
            ("json:$.a=1", "a JSON pointer"),
            ("json:/a~2=1", "a JSON pointer"),
            ("json:/a=\"x", "in double quotes, as \"x\""),
            ("json:/a={x}", "in double quotes, as \"{x}\""),
            ("json:/a=True", "in double quotes, as \"True\""),
            ("json:/a=01", "in double quotes, as \"01\""),
            ("json:/a=+1", "in double quotes"),
        ] {
            let error = text.parse::<Expect>().unwrap_err();
            assert!(error.contains(says) && error.contains("status=2xx"), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_no_check_is_told_what_one_is() {
        for text in [
            "",
            "200",
            "status=",
            "status=20",
            "status=1000",
            "status=300-200",
            "status=abc",
            "body~",
            "json:/a",
            "json:a=1",
            "status=0xx",
        ] {
            let error = text.parse::<Expect>().unwrap_err();
            assert!(error.contains("status=200"), "{text}: {error}");
        }
    }
}
