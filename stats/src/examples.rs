//! One example of each kind of failure, for people: what came, or what the system said.

use std::collections::BTreeMap;

use crate::FailureCause;

/// An example has at most this many bytes.
pub const MAX_EXAMPLE_BYTES: usize = 300;

/// An example for each cause, as far as there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examples(BTreeMap<FailureCause, String>);

impl Examples {
    /// Notes an example; of several for one cause the least stays, so that the order in which they come does not matter.
    pub fn note(&mut self, cause: FailureCause, example: &str) {
        let example = escaped(example.as_bytes(), MAX_EXAMPLE_BYTES);
        match self.0.get_mut(&cause) {
            Some(known) if *known <= example => {}
            Some(known) => *known = example,
            None => _ = self.0.insert(cause, example),
        }
    }

    /// The examples, in the order of their causes.
    pub fn iter(&self) -> impl Iterator<Item = (FailureCause, &str)> {
        self.0.iter().map(|(cause, example)| (*cause, example.as_str()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds those of `other`.
    pub fn merge(&mut self, other: &Self) {
        let Self(examples) = other;
        examples.iter().for_each(|(cause, example)| self.note(*cause, example));
    }

    /// Forgets them.
    pub fn clear(&mut self) {
        let Self(examples) = self;
        examples.clear();
    }
}

/// Bytes as people may see them: control characters and what is not UTF-8 escaped, and cut off after `max` bytes. What was
/// escaped before stays as it is.
pub fn escaped(bytes: &[u8], max: usize) -> String {
    const CUT: &str = "...";
    let mut text = String::new();
    let mut push = |piece: &str| {
        let fits = text.len() + piece.len() <= max;
        if fits {
            text.push_str(piece);
        } else if !text.ends_with(CUT) {
            while text.len() + CUT.len() > max {
                text.pop();
            }
            text.push_str(CUT);
        }
        fits
    };
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            let harmless = !character.is_control() && !is_format(character);
            let escaped = if harmless { character.to_string() } else { character.escape_default().to_string() };
            if !push(&escaped) {
                return text;
            }
        }
        for byte in chunk.invalid() {
            if !push(&format!("\\x{byte:02x}")) {
                return text;
            }
        }
    }
    text
}

/// Characters that change how their neighbours are shown: they may make a line look like another one.
fn is_format(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_move_a_terminal_is_escaped() {
        assert_eq!(escaped(b"plain caf\xc3\xa9", 99), "plain café");
        assert_eq!(escaped(b"\x1b[31mred\x07\r\n\0\x7f", 99), "\\u{1b}[31mred\\u{7}\\r\\n\\u{0}\\u{7f}");
        assert_eq!(escaped(b"caf\xe9 \xc3", 99), "caf\\xe9 \\xc3");
        assert_eq!(escaped("a\u{202e}b\u{9b}31m".as_bytes(), 99), "a\\u{202e}b\\u{9b}31m");
        let once = escaped(b"\x1b[31m\xff", 99);
        assert_eq!(escaped(once.as_bytes(), 99), once);
    }

    #[test]
    fn a_long_text_is_cut_within_its_bound() {
        assert_eq!(escaped(b"0123456789", 10), "0123456789");
        assert_eq!(escaped(b"0123456789a", 10), "0123456...");
        for max in 3..40 {
            let text = escaped("é\x1b".repeat(100).as_bytes(), max);
            assert!(text.len() <= max && text.ends_with("..."), "{text}");
        }
    }

    #[test]
    fn of_several_examples_one_stays_whatever_their_order() {
        let note = |texts: &[&str]| {
            let mut examples = Examples::default();
            texts.iter().for_each(|text| examples.note(FailureCause::Malformed, text));
            examples
        };
        assert_eq!(note(&["b", "a", "c"]), note(&["c", "b", "a"]));
        assert_eq!(note(&["b", "a"]).iter().collect::<Vec<_>>(), [(FailureCause::Malformed, "a")]);
    }
}
