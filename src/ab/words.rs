//! One text as the words of a command line: `-H 'X: y' -c 10`. Pure.

/// The words; quotes of either kind keep blanks, a backslash keeps the next character.
pub fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let (mut word, mut quote) = (None::<String>, None::<char>);
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        match (next, quote) {
            ('\\', None | Some('"')) => match chars.next() {
                Some(kept) => word.get_or_insert_default().push(kept),
                None => return Err("ends with a backslash".into()),
            },
            (end, Some(begun)) if end == begun => quote = None,
            ('\'' | '"', None) => {
                quote = Some(next);
                word.get_or_insert_default();
            }
            (blank, None) if blank.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(next),
        }
    }
    words.extend(word);
    match quote {
        Some(begun) => Err(format!("has a {begun} that is not closed")),
        None => Ok(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_split_as_a_shell_does() {
        let split = |text| words(text).map(|words| words.join("|"));
        assert_eq!(split("-H 'X: y'  -c 10"), Ok("-H|X: y|-c|10".into()));
        assert_eq!(split(r#"--body "{\"a\": 1}" -m ''"#), Ok("--body|{\"a\": 1}|-m|".into()));
        assert_eq!(split(r"a\ b 'c\d'"), Ok(r"a b|c\d".into()));
        assert_eq!(words("  "), Ok(vec![]));
        assert!(words("'a").is_err_and(|problem| problem.contains("not closed")));
        assert!(words("a\\").is_err_and(|problem| problem.contains("backslash")));
    }
}
