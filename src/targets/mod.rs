//! A file of requests (`--targets`): a URL or a JSON object a line, as editors and other tools leave it.
//!
//! `text` turns bytes into lines, `json` reads an object strictly. Whatever is wrong, now or when the whole test is
//! looked at, is said with the line that it stands on.

mod json;
mod text;

use std::fmt;
use std::path::{Path, PathBuf};

use onrush_protocol::{RequestConfig, TargetUrl, limits};

use crate::error::Error;
use crate::file::read_bytes;

/// Requests together have at most 512 KiB; the rest is room for checks, comments and the like.
const MAX_FILE_BYTES: usize = 16 * 1024 * 1024;
const FORM: &str = "a line is a URL, or one JSON object like {\"url\": \"http://web/\", \"method\": \"POST\"}";

/// The requests of a file, each with its line.
pub struct TargetsFile {
    path: PathBuf,
    requests: Vec<(usize, RequestConfig)>,
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    /// Counted from 1, as columns are; `None`: the whole file.
    line: Option<usize>,
    column: Option<usize>,
    problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, problem } = self;
        line.map_or(Ok(()), |line| write!(f, ", line {line}"))?;
        column.map_or(Ok(()), |column| write!(f, ", column {column}"))?;
        write!(f, ": {problem}")
    }
}

impl Fault {
    fn whole(problem: impl Into<String>) -> Self {
        Self { line: None, column: None, problem: problem.into() }
    }

    fn at_line(line: usize, problem: impl Into<String>) -> Self {
        Self { line: Some(line), ..Self::whole(problem) }
    }
}

impl TargetsFile {
    /// Reads the file; what each request asks for may still be impossible.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = read_bytes("--targets", path, MAX_FILE_BYTES)?;
        let requests = parse(&bytes).map_err(|fault| wrong(path, &fault))?;
        Ok(Self { path: path.to_owned(), requests })
    }

    /// The requests, if each can be sent. `base`: the URL for those that name none, or a path alone; `url_needed`: nobody
    /// else has one.
    pub fn into_requests(self, base: Option<&str>, url_needed: bool) -> Result<Vec<RequestConfig>, Error> {
        let Self { path, requests } = self;
        // What is wrong with that URL is told where it was given.
        let parsed_base = base.and_then(|base| TargetUrl::parse(base).ok());
        for (line, request) in &requests {
            let problem = match request.problem(parsed_base.as_ref()) {
                Some(problem) => problem.to_string(),
                None if url_needed && base.is_none() && request.needs_base() => match &request.url {
                    None => "url is missing; give it here, or give a URL for all".into(),
                    Some(url) => format!("url is the path {url:?}; give a whole URL here, or a URL for all"),
                },
                None => continue,
            };
            return Err(wrong(&path, &Fault::at_line(*line, problem)));
        }
        Ok(requests.into_iter().map(|(_, request)| request).collect())
    }
}

fn wrong(path: &Path, fault: &Fault) -> Error {
    Error::Usage(format!("--targets {}{fault}", path.display()))
}

fn parse(bytes: &[u8]) -> Result<Vec<(usize, RequestConfig)>, Fault> {
    let text = text::decode(bytes)?;
    let mut requests = Vec::new();
    for (number, line) in text::lines(&text) {
        if requests.len() == limits::MAX_REQUESTS {
            let problem = format!("more requests than fit; give at most {}", limits::MAX_REQUESTS);
            return Err(Fault::at_line(number, problem));
        }
        let read = match line.trim() {
            object if object.starts_with('{') => json::read(line),
            text => of_text(text).map_err(|problem| (None, problem)),
        };
        let request = read.map_err(|(column, problem)| Fault { line: Some(number), column, problem })?;
        requests.push((number, request));
    }
    if requests.is_empty() {
        return Err(Fault::whole(format!("holds no request; {FORM}")));
    }
    Ok(requests)
}

/// A line that is not an object: a URL, or what people take for one.
fn of_text(text: &str) -> Result<RequestConfig, String> {
    if text.starts_with(['[', ']', '}', ',', '"', '\'']) {
        return Err(format!("{}. To make such lines of a JSON list: jq -c '.[]' FILE", json::SINGLE_LINE));
    }
    match text.split_once(char::is_whitespace) {
        None => Ok(RequestConfig { url: Some(text.into()), ..RequestConfig::default() }),
        Some((method, url)) if !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase()) => {
            let url = url.split_whitespace().next().unwrap_or_default();
            Err(format!("write a request with a method as {{\"method\": {method:?}, \"url\": {url:?}}}"))
        }
        Some(_) => Err(format!("has spaces; {FORM}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(bytes: impl AsRef<[u8]>) -> Vec<(usize, String)> {
        let requests = parse(bytes.as_ref()).expect("a good file").into_iter();
        requests.map(|(line, request)| (line, request.url.unwrap_or_default())).collect()
    }

    fn fault(bytes: impl AsRef<[u8]>) -> String {
        parse(bytes.as_ref()).expect_err("a bad file").to_string()
    }

    fn utf_16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(unit).collect()
    }

    #[test]
    fn a_file_is_read_as_editors_and_tools_leave_it() {
        let expected = [(2, "http://h/a".to_owned()), (5, "http://h/b".to_owned())];
        let text = "# login\n{\"url\": \"http://h/a\"}\n\n  # home\nhttp://h/b\n \t\n";
        for text in [text.to_owned(), format!("\u{feff}{text}"), text.trim_end().to_owned()] {
            for text in [text.clone(), text.replace('\n', "\r\n"), text.replace('\n', "\r")] {
                assert_eq!(urls(&text), expected, "{text:?}");
                let marked = format!("\u{feff}{}", text.trim_start_matches('\u{feff}'));
                assert_eq!(urls(utf_16(&marked, u16::to_le_bytes)), expected, "{text:?}");
                assert_eq!(urls(utf_16(&marked, u16::to_be_bytes)), expected, "{text:?}");
            }
        }
        // Files that were joined keep their marks.
        assert_eq!(urls("http://h/a\n\u{feff}{\"url\":\"http://h/b\"}\n").len(), 2);
    }

    #[test]
    fn bytes_that_are_no_text_are_named() {
        let latin_1 = fault(b"http://h/a\n{\"url\": \"http://h/caf\xe9\"}\n");
        assert!(latin_1.starts_with(", line 2, column 22: ") && latin_1.contains("0xe9"), "{latin_1}");
        assert!(latin_1.contains("UTF-8"), "{latin_1}");
        assert!(fault(utf_16("{\"url\"", u16::to_le_bytes)).contains("UTF-16"));
        assert!(fault([0xff, 0xfe, b'a']).contains("UTF-16"));
        assert!(fault([0xff, 0xfe, 0, 0, b'a', 0, 0, 0]).contains("UTF-32"));
        assert!(fault([0xff, 0xfe, 0, 0xd8]).contains("UTF-16"));
        for empty in ["", "\n\n", "# nothing\n", "\u{feff}"] {
            assert!(fault(empty).contains("no request"), "{empty:?}");
        }
    }

    #[test]
    fn every_fault_names_its_line_and_what_would_be_right() {
        let cases = [
            ("{\n \"url\":\"http://h/a\"\n}\n", ", line 1, column 1: ", "single line"),
            ("{\"url\":\n", ", line 1, column 7: ", "single line"),
            ("http://a\n\n{\"url\" \"http://h/\"}", ", line 3, column 8: ", "a colon"),
            ("{'url': 'x'}", ", line 1, column 2: ", "double quotes"),
            ("{\"url\": 'x'}", ", line 1, column 9: ", "double quotes"),
            ("  {\"url\": http://h/}", ", line 1, column 11: ", "double quotes"),
            ("{\"ü\": x}", ", line 1, column 7: ", "\"x\""),
            ("{\"url\": \"x\",}", ", line 1, column 13: ", "comma"),
            ("{\"url\": \"x\"},", ", line 1, column 13: ", "on a line of its own"),
            ("{\"url\": \"x\"} {\"url\": \"y\"}", ", line 1, column 14: ", "on a line of its own"),
            ("{\"url\": \"a\tb\"}", ", line 1, column 11: ", "\\t"),
            ("{\"url\": \"\\x\"}", ", line 1, column 11: ", "escape"),
            ("{\"url\":\"u\",\"wieght\":5}", ", line 1: ", "did you mean weight?"),
            ("{\"url\":\"u\",\"colour\":5}", ", line 1: colour ", "url, method, headers"),
            ("{\"url\":\"u\",\"URL\":\"v\"}", ", line 1, column 16: ", "twice"),
            ("{\"headers\":{\"a\":\"1\",\"a\":\"2\"}}", ", line 1, column 23: ", "twice"),
            ("{\"url\":\"u\",\"weight\":-1}", ", line 1: weight", "negative"),
            ("{\"url\":\"u\",\"body\":{\"a\":1}}", ", line 1: body", "string"),
            ("{\"url\":\"u\",\"headers\":[\"a\"]}", ", line 1: headers", "[name, value]"),
            ("{\"url\":\"u\",\"expect\":\"status\"}", ", line 1: expect", "status=200"),
            ("[{\"url\":\"u\"}]", ", line 1: ", "jq -c"),
            ("POST http://h/a", ", line 1: ", "{\"method\": \"POST\", \"url\": \"http://h/a\"}"),
            ("http://h/a weight=3", ", line 1: ", "JSON object"),
        ];
        for (text, begins, says) in cases {
            let fault = fault(text);
            assert!(fault.starts_with(begins) && fault.contains(says), "{text:?}: {fault}");
            assert!(!fault.contains("InternalError") && !fault.contains("Syntax"), "{fault}");
        }
        let long = "http://h/\n".repeat(limits::MAX_REQUESTS + 1);
        assert!(fault(long).starts_with(", line 10001: "));
    }

    #[test]
    fn what_cannot_be_sent_is_told_with_its_line() {
        let check = |text: &str, base: Option<&str>, url_needed| {
            let file = TargetsFile { path: "f".into(), requests: parse(text.as_bytes()).expect("requests") };
            file.into_requests(base, url_needed).map(|requests| requests.len()).map_err(|e| e.to_string())
        };
        let good = "http://h/\n\n{\"method\":\"POST\"}\n";
        let paths = "h/x?u=http://y\n/one\n?two\n";
        for (text, base, url_needed) in
            [(good, None, false), (good, Some("h"), true), (paths, Some("http://h/"), true), (paths, None, false)]
        {
            assert!(check(text, base, url_needed).is_ok(), "{text:?} beside {base:?}");
        }
        for (text, says) in [
            (good, "url is missing"),
            ("http://h/\n\n/login", "\"/login\""),
            ("http://h/\n\n8080", "8080"),
            ("http://h/\n\n{\"url\":\"http://h/\",\"weight\":0}", "weight: is 0"),
            ("http://h/\n\nhttp://", "\"http://\""),
            ("http://h/\n#\n{\"url\":\"http://h/\",\"method\":\"A B\"}", "method: \"A B\""),
            ("http://h/\n#\n{\"url\":\"http://h/\",\"headers\":{\"a b\":\"c\"}}", "headers: \"a b\""),
        ] {
            let error = check(text, None, true).expect_err(text);
            assert!(error.starts_with("--targets f, line 3: ") && error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_too_long_or_not_there_is_refused() {
        let error = |path: &str| TargetsFile::read(Path::new(path)).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error("/nowhere/at/all").contains("--targets /nowhere/at/all"));
        assert!(error("/dev/zero").contains("more than"), "{}", error("/dev/zero"));
    }
}
