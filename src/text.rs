//! Text as a terminal may get it: nothing but ASCII where the locale is not UTF-8. Pure, but for the three variables that
//! name the locale. What strangers sent is made harmless by `onrush_api::escape`.

use std::borrow::Cow;
use std::sync::OnceLock;

/// Whether what people read may be more than ASCII: by the first of LC_ALL, LC_CTYPE and LANG that is set, as the C
/// library decides. Without any the locale is C.
pub fn is_utf8() -> bool {
    static UTF8: OnceLock<bool> = OnceLock::new();
    *UTF8.get_or_init(|| names_utf8(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())))
}

fn names_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| variable(name).filter(|v| !v.is_empty()));
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    // `de_DE.UTF-8@euro`; some systems name the coding alone.
    let coding = locale.split_once('.').map_or(locale.as_str(), |(_, coding)| coding);
    let coding = coding.split('@').next().unwrap_or_default();
    matches!(coding, "utf-8" | "utf8")
}

/// The text as the locale of this process can show it.
pub fn for_locale(text: &str) -> Cow<'_, str> {
    if is_utf8() { Cow::Borrowed(text) } else { ascii(text) }
}

/// JSON as the locale of this process can show it; the same values either way.
pub fn json_for_locale(json: String) -> String {
    if is_utf8() { json } else { ascii_json(&json).into_owned() }
}

/// The text in ASCII, sign by sign where ASCII has a near one.
pub fn ascii(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        plain.push_str(match c {
            'µ' | 'μ' => "u",
            '×' => "x",
            '—' | '–' | '─' | '−' | '\u{2010}' | '\u{2011}' => "-",
            '…' => "...",
            '→' => "->",
            '≤' => "<=",
            '≥' => ">=",
            '“' | '”' => "\"",
            '‘' | '’' => "'",
            '\u{a0}' | '\u{2009}' | '\u{202f}' => " ",
            c if c.is_ascii() => {
                plain.push(c);
                continue;
            }
            _ => "?",
        });
    }
    Cow::Owned(plain)
}

fn ascii_json(json: &str) -> Cow<'_, str> {
    if json.is_ascii() {
        return Cow::Borrowed(json);
    }
    // Only strings hold anything else, and there an escape means the same.
    let mut escaped = String::with_capacity(json.len() * 2);
    for c in json.chars() {
        if c.is_ascii() {
            escaped.push(c);
        } else {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| escaped.push_str(&format!("\\u{unit:04x}")));
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_locale_is_what_the_first_variable_that_is_set_says() {
        let utf8 = |variables: &[(&str, &str)]| {
            names_utf8(|name| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned()))
        };
        for yes in ["C.UTF-8", "en_US.utf8", "de_DE.UTF-8@euro", "UTF-8"] {
            assert!(utf8(&[("LANG", yes)]), "{yes}");
        }
        for no in ["C", "POSIX", "en_US.ISO-8859-1", "de_DE@euro", "en_US", ""] {
            assert!(!utf8(&[("LANG", no)]), "{no}");
        }
        assert!(!utf8(&[]));
        assert!(!utf8(&[("LANG", "C.UTF-8"), ("LC_ALL", "C")]));
        assert!(utf8(&[("LANG", "C"), ("LC_CTYPE", "C.UTF-8"), ("LC_ALL", "")]));
    }

    #[test]
    fn signs_have_a_near_one_in_ascii() {
        assert_eq!(ascii("p99 412.0 µs, 200 × 7 — … → ─ “x”"), "p99 412.0 us, 200 x 7 - ... -> - \"x\"");
        assert_eq!(ascii("Prüfung 測試"), "Pr?fung ??");
        assert!(matches!(ascii("plain"), Cow::Borrowed("plain")));
        let value = json!({ "name": "Prüfung 🚀", "unit": "µs" });
        let text = ascii_json(&value.to_string()).into_owned();
        assert!(text.is_ascii(), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), value);
    }
}
