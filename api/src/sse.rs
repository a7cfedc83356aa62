//! Server-sent events: lines become events. Pure; the stream's bytes come from elsewhere.

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SseEvent {
    /// Its kind; `message` where the stream names none.
    pub name: String,
    /// Its text.
    pub data: String,
}

/// Puts events together, line by line. Memory: the event that is coming in, bounded by [`MAX_EVENT_BYTES`].
#[derive(Debug, Default)]
pub struct SseReader {
    name: String,
    data: String,
    has_data: bool,
}

/// The longest event that is accepted.
pub const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

impl SseReader {
    /// Takes a line (its end may still be on it); gives the event that it completes.
    pub fn line(&mut self, line: &str) -> Result<Option<SseEvent>, String> {
        let line = line.strip_suffix('\n').unwrap_or(line);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            return Ok(self.complete());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                if self.data.len() + value.len() > MAX_EVENT_BYTES {
                    return Err(format!("an event of the stream is longer than {MAX_EVENT_BYTES} bytes"));
                }
                if self.has_data {
                    self.data.push('\n');
                }
                self.data.push_str(value);
                self.has_data = true;
            }
            // An empty field name is a comment (keep-alive); `id` and `retry` mean nothing to us.
            _ => {}
        }
        Ok(None)
    }

    fn complete(&mut self) -> Option<SseEvent> {
        let Self { name, data, has_data } = std::mem::take(self);
        let name = if name.is_empty() { "message".into() } else { name };
        has_data.then_some(SseEvent { name, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        let mut reader = SseReader::default();
        let events = text.split_inclusive('\n').filter_map(|line| reader.line(line).expect("short events"));
        events.map(|SseEvent { name, data }| (name, data)).collect()
    }

    #[test]
    fn events_end_at_an_empty_line() {
        let text =
            "event: test\ndata: {\"a\":1}\n\n: keep-alive\n\nevent:second\r\ndata:one\r\ndata: two\r\n\r\ndata: x\n\n";
        let expected = [("test", "{\"a\":1}"), ("second", "one\ntwo"), ("message", "x")];
        assert_eq!(read(text), expected.map(|(name, data)| (name.to_owned(), data.to_owned())));
    }

    #[test]
    fn what_is_incomplete_or_empty_is_no_event() {
        assert!(read("event: test\ndata: {}\n").is_empty());
        assert!(read("event: test\n\nid: 7\nretry: 10\n\n\n").is_empty());
        assert_eq!(read("data\n\n"), [("message".to_owned(), String::new())]);
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut reader = SseReader::default();
        let line = format!("data: {}\n", "x".repeat(MAX_EVENT_BYTES / 2));
        assert!(reader.line(&line).is_ok());
        assert!(reader.line(&line).is_ok());
        assert!(reader.line(&line).is_err());
    }
}
