//! What an answer must be like, as people write it: `status=200`, `body~text`, `json:/path=value`.

use std::fmt;
use std::str::FromStr;

use simd_json::OwnedValue;
use simd_json::prelude::*;

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

impl FromStr for Expect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |problem: &str| format!("{} {problem}; {FORMS}", crate::fields::quoted(text));
        if let Some(list) = text.strip_prefix("status=") {
            let ranges = list.split(',').map(|item| status_range(item.trim())).collect::<Option<Vec<_>>>();
            return ranges.map(Expect::Status).ok_or_else(|| wrong("names no status between 100 and 999"));
        }
        if let Some(wanted) = text.strip_prefix("body~") {
            return match wanted {
                "" => Err(wrong("looks for nothing")),
                _ => Ok(Expect::BodyContains(wanted.into())),
            };
        }
        let Some((pointer, value)) = text.strip_prefix("json:").and_then(|rest| rest.split_once('=')) else {
            return Err(wrong("is no check"));
        };
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return Err(wrong("needs a path that begins with /"));
        }
        let json = simd_json::to_owned_value(&mut value.as_bytes().to_vec());
        let value = json.unwrap_or_else(|_| OwnedValue::from(value));
        Ok(Expect::Json { pointer: pointer.into(), value })
    }
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
    if let Some(class) = text.strip_suffix("xx") {
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
        ] {
            let expect: Expect = text.parse().unwrap();
            assert_eq!(expect.to_string(), written);
            assert_eq!(written.parse(), Ok(expect), "{text}");
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
