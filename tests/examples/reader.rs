//! The command lines that documents show, taken apart as a shell does it. Pure but for [`documents`].

use std::path::{Path, PathBuf};

/// A command line of a document.
#[derive(Debug)]
pub struct Example {
    /// The document and the line in it, for messages.
    pub place: String,
    /// The command and its arguments.
    pub words: Vec<String>,
}

/// The README and everything in `docs/`.
pub fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(root.join("docs")).expect("the project has documents");
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    let mut documents: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    documents.push(root.join("README.md"));
    documents.sort();
    documents
}

/// The examples of a document: lines in its blocks of code that begin with one of `commands`, in their order.
pub fn examples(path: &Path, commands: &[&str]) -> Vec<Example> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let document = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut examples = Vec::new();
    let mut lines = text.lines().enumerate();
    let mut is_fenced = false;
    while let Some((index, line)) = lines.next() {
        if line.starts_with("```") {
            is_fenced = !is_fenced;
            continue;
        }
        let Some(line) = line.strip_prefix("    ").or(is_fenced.then_some(line)) else { continue };
        let is_one = commands.iter().any(|name| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        if !is_one {
            continue;
        }
        // A quotation goes on over the end of its line, and a command behind a backslash.
        let mut command = line.to_owned();
        let words = loop {
            match split(&command) {
                Some(words) => break words,
                None => match lines.next() {
                    Some((_, more)) => command = format!("{}\n{more}", command.trim_end_matches('\\')),
                    None => panic!("{document}:{}: a quotation has no end: {command}", index + 1),
                },
            }
        };
        let place = format!("{document}:{}", index + 1);
        examples.extend(alternatives(words).into_iter().map(|words| Example { place: place.clone(), words }));
    }
    examples
}

/// The words of a command without its comment; `None`: it goes on in the next line.
fn split(command: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut characters = command.chars().peekable();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), character) if open == character => quote = None,
            (Some(_), character) => word.get_or_insert_default().push(character),
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, '\\') if characters.peek().is_none() => return None,
            (None, '#') if word.is_none() => while characters.next_if(|character| *character != '\n').is_some() {},
            (None, character) if character.is_whitespace() => words.extend(word.take()),
            (None, character) => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// `onrush test list | show [ID]` stands for `onrush test list` and `onrush test show ID`.
fn alternatives(words: Vec<String>) -> Vec<Vec<String>> {
    let plain = |word: &String| word.trim_start_matches('[').trim_end_matches(']').to_owned();
    let mut parts = words.split(|word| word == "|").map(|part| part.iter().map(plain).collect::<Vec<_>>());
    let first = parts.next().unwrap_or_default();
    let start: Vec<String> = first.iter().take(2).cloned().collect();
    let others: Vec<Vec<String>> = parts.map(|part| start.iter().cloned().chain(part).collect()).collect();
    [vec![first], others].concat()
}
