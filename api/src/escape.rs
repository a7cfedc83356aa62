//! What strangers sent, made harmless for a terminal: no character that moves a cursor, colours a screen or turns words
//! around. Pure.

use std::borrow::Cow;

use serde_json::Value;

/// The text on one line, with everything escaped that would move a cursor, colour a screen or turn words around.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    text.chars().for_each(|c| push_escaped(&mut safe, c));
    Cow::Owned(safe)
}

/// As [`escaped`], of a text of several lines.
pub fn escaped_lines(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| is_unsafe(c) && c != '\n') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.split('\n').map(escaped).collect::<Vec<_>>().join("\n"))
}

fn push_escaped(safe: &mut String, c: char) {
    match c {
        '\n' => safe.push_str("\\n"),
        '\r' => safe.push_str("\\r"),
        '\t' => safe.push_str("\\t"),
        c if is_unsafe(c) && c.is_ascii() => safe.push_str(&format!("\\x{:02x}", u32::from(c))),
        c if is_unsafe(c) => safe.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
        c => safe.push(c),
    }
}

/// Control characters, and those that change the direction of a text or end a line unseen.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Every string of a JSON value, and every key, [`escaped`]; but for `body`, which is shown as JSON alone.
pub fn escape_json(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(safe) = escaped(text) {
                *text = safe;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(escape_json),
        Value::Object(object) => {
            if object.keys().any(|key| key.chars().any(is_unsafe)) {
                *object = std::mem::take(object).into_iter().map(|(k, v)| (escaped(&k).into_owned(), v)).collect();
            }
            object.iter_mut().filter(|(key, _)| *key != "body").for_each(|(_, value)| escape_json(value));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_stranger_sends_moves_no_cursor_and_makes_no_line() {
        let hostile = "a\x1b[2Jb\nconservation: exact\r\x07\u{9b}31m\u{202e}\u{85}";
        let safe = "a\\x1b[2Jb\\nconservation: exact\\r\\x07\\u{9b}31m\\u{202e}\\u{85}";
        assert_eq!(escaped(hostile), safe);
        assert!(matches!(escaped("plain µ"), Cow::Borrowed("plain µ")));
        assert_eq!(escaped_lines("a\n\x1bb\nc"), "a\n\\x1bb\nc");
        let mut value = json!({ "reason": hostile, "list": [hostile, 1], hostile: null, "body": "a\nb" });
        escape_json(&mut value);
        assert_eq!(value, json!({ "reason": safe, "list": [safe, 1], safe: null, "body": "a\nb" }));
    }
}
