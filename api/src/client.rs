//! A client of the orchestrator's REST interface: what any user could do with curl, with types.

use std::io::{BufRead, BufReader, Read, Write, copy};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use onrush_protocol::{Profile, TestConfig};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::http::header::{AUTHORIZATION, HeaderValue};
use url::Url;

use crate::escape::{escape_json, escaped};
use crate::sse::{MAX_EVENT_BYTES, SseReader};
use crate::{CompareView, DriverView, MetricsView, SearchView, SecondView, StoppedView, TestSummary, TestView, Token};

/// For connecting to the orchestrator.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For a whole call; a trigger waits some seconds for the drivers to be armed.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Recomputing a large run takes minutes.
const IMPORT_TIMEOUT: Duration = Duration::from_secs(600);
/// A stream that says nothing for so long is broken: it sends at least a keep-alive.
const STREAM_SILENCE: Duration = Duration::from_secs(45);
/// The longest answer that is read.
const MAX_ANSWER_BYTES: u64 = 64 * 1024 * 1024;
/// Events of the stream that wait to be shown.
const MAX_EVENTS_WAITING: usize = 64;

/// Why the orchestrator did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection, or it broke.
    #[error(
        "cannot reach the orchestrator at {address}: {problem}\n\
         Is it running? Its address is set by --orchestrator or ONRUSH_ORCHESTRATOR."
    )]
    Unreachable {
        /// Where it should be.
        address: String,
        /// What happened.
        problem: String,
    },
    /// It said no, and why.
    #[error("{0}")]
    Refused(Refusal),
    /// It answered something that this client does not understand.
    #[error(
        "the answer of the orchestrator at {address} cannot be read: {problem}\n\
         Is another program listening there, or an orchestrator of another version?"
    )]
    Unreadable {
        /// Where it came from.
        address: String,
        /// What happened.
        problem: String,
    },
}

/// Problem details (RFC 9457), as the orchestrator sends them with every error.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Refusal {
    /// The HTTP status.
    #[serde(default)]
    pub status: u16,
    /// The kind of problem.
    #[serde(default)]
    pub title: String,
    /// What happened and what to do.
    #[serde(default)]
    pub detail: String,
    /// The fields at fault.
    #[serde(default)]
    pub errors: Vec<FieldFault>,
}

/// A field at fault.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct FieldFault {
    /// The field.
    pub field: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { status, title, detail, errors } = self;
        // The detail of wrong fields repeats them in one line; several are read better one by one.
        let repeated = errors.len() > 1 && errors.iter().all(|fault| detail.contains(&fault.problem));
        match [detail, title].into_iter().find(|text| !text.is_empty()) {
            Some(_) if repeated => f.write_str("the orchestrator refuses this:")?,
            Some(text) => f.write_str(text)?,
            None => write!(f, "the orchestrator refused with status {status}")?,
        }
        for FieldFault { field, problem } in errors.iter().filter(|fault| repeated || !detail.contains(&fault.problem))
        {
            write!(f, "\n  {field} {problem}")?;
        }
        Ok(())
    }
}

/// A test as it is asked for: the body of `POST /v1/tests`.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTest {
    /// What is asked for; the orchestrator names the test.
    pub config: TestConfig,
    /// A label for people.
    pub name: Option<String>,
    /// Whether it starts as soon as its drivers are armed.
    pub trigger: bool,
}

/// A change of the load of a running test: the body of `PATCH /v1/tests/{id}`. One of the first four is given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewLoad {
    /// Another rate, in requests per second: of each driver, or of all where the test's rate is that.
    pub rate_per_s: Option<f64>,
    /// Another profile for the rest.
    pub profile: Option<Profile>,
    /// Send nothing.
    pub pause: bool,
    /// Send again.
    pub resume: bool,
    /// How soon; `None`: as soon as the orchestrator thinks that drivers can hear of it.
    pub effective_in: Option<Duration>,
}

/// A capacity search as it is asked for: the body of `POST /v1/searches`.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSearch {
    /// The test that it is to run, but for what a search decides.
    pub config: TestConfig,
    /// What must be kept: each criterion as it is written.
    pub slo: Vec<String>,
    /// How narrow the interval is to be.
    pub width: f64,
    /// How long it may take.
    pub budget: Duration,
    /// The first rate, over all drivers.
    pub start_per_s: f64,
    /// The highest rate that may be asked for, over all drivers.
    pub max_per_s: f64,
}

/// What the stream of a test says.
#[derive(Clone, Debug)]
pub enum StreamEvent {
    /// The test or a part of it changed its state.
    Test(Box<TestView>),
    /// A second was sealed.
    Second(Box<SealedSecond>),
}

/// One sealed second, with the totals so far.
#[derive(Clone, Debug, Deserialize)]
pub struct SealedSecond {
    /// The second.
    pub second: SecondView,
    /// The totals up to it.
    pub totals: MetricsView,
}

/// The client. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    agent: ureq::Agent,
    base: Url,
    has_token: bool,
}

impl Client {
    /// A client of the orchestrator at this URL; nothing is sent yet.
    pub fn new(base: Url) -> Self {
        Self::of(base, None)
    }

    /// The same, which sends this token with every request.
    pub fn with_token(base: Url, token: &Token) -> Self {
        Self::of(base, Some(token))
    }

    fn of(base: Url, token: Option<&Token>) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(CALL_TIMEOUT))
            // The orchestrator is on the own network: a proxy for the outside would only be in the way.
            .proxy(None)
            .user_agent(concat!("onrush/", env!("CARGO_PKG_VERSION")));
        let (has_token, config) = match token {
            Some(token) => (true, config.middleware(bearer(token)).build()),
            None => (false, config.build()),
        };
        Self { agent: config.new_agent(), base, has_token }
    }

    /// Where the orchestrator is.
    pub fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Makes a test.
    pub fn create(&self, test: &NewTest) -> Result<TestView, ClientError> {
        let NewTest { config, name, trigger } = test;
        self.post(&["v1", "tests"], &config.write_request(name.as_deref(), *trigger))
    }

    /// Makes a capacity search, whose test starts as soon as its drivers are armed.
    pub fn create_search(&self, search: &NewSearch) -> Result<SearchView, ClientError> {
        let NewSearch { config, slo, width, budget, start_per_s, max_per_s } = search;
        let test = config.write_request(None, true);
        let mut body: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&test).map_err(|e| self.unreadable(e))?;
        ["test_type", "trigger"].iter().for_each(|decided| _ = body.remove(*decided));
        body.insert("slo".into(), slo.clone().into());
        body.insert("width".into(), (*width).into());
        body.insert("budget".into(), budget.as_secs_f64().into());
        body.insert("start".into(), (*start_per_s).into());
        body.insert("max".into(), (*max_per_s).into());
        self.post(&["v1", "searches"], serde_json::Value::Object(body).to_string().as_bytes())
    }

    /// One capacity search.
    pub fn search(&self, search_id: &str) -> Result<SearchView, ClientError> {
        self.get(&["v1", "searches", search_id])
    }

    /// Stops a capacity search and its test.
    pub fn stop_search(&self, search_id: &str) -> Result<SearchView, ClientError> {
        self.post(&["v1", "searches", search_id, "stop"], b"")
    }

    /// Starts a test.
    pub fn trigger(&self, test_id: &str) -> Result<TestView, ClientError> {
        self.post(&["v1", "tests", test_id, "trigger"], b"")
    }

    /// Changes the load of a test that runs.
    pub fn change(&self, test_id: &str, change: &NewLoad) -> Result<TestView, ClientError> {
        let mut body = serde_json::Map::new();
        let NewLoad { rate_per_s, profile, pause, resume, effective_in } = change;
        body.extend(rate_per_s.map(|rate| ("target_throughput".to_owned(), rate.into())));
        body.extend(profile.as_ref().map(|profile| ("profile".to_owned(), profile.to_string().into())));
        body.extend(pause.then(|| ("pause".to_owned(), true.into())));
        body.extend(resume.then(|| ("resume".to_owned(), true.into())));
        body.extend(effective_in.map(|length| ("effective_in".to_owned(), length.as_secs_f64().into())));
        let request = self.agent.patch(self.url(&["v1", "tests", test_id]).as_str()).content_type("application/json");
        self.read(request.send(serde_json::Value::Object(body).to_string().as_bytes()))
    }

    /// Stops a test.
    pub fn stop(&self, test_id: &str) -> Result<TestView, ClientError> {
        self.post(&["v1", "tests", test_id, "stop"], b"")
    }

    /// Stops whatever is open or runs.
    pub fn stop_all(&self) -> Result<StoppedView, ClientError> {
        self.post(&["v1", "stop"], b"")
    }

    /// Forgets a test that is over.
    pub fn delete(&self, test_id: &str) -> Result<(), ClientError> {
        let answer = self.agent.delete(self.url(&["v1", "tests", test_id]).as_str()).call();
        self.accepted(answer.map_err(|e| self.unreachable(&e))?).map(|_| ())
    }

    /// One test.
    pub fn test(&self, test_id: &str) -> Result<TestView, ClientError> {
        self.get(&["v1", "tests", test_id])
    }

    /// At most `limit` (500) tests, the newest first.
    pub fn tests(&self, limit: usize) -> Result<Vec<TestSummary>, ClientError> {
        self.tests_where(limit, &[])
    }

    /// The same of those that REST finds with these parameters.
    pub fn tests_where(&self, limit: usize, asked: &[(&str, &str)]) -> Result<Vec<TestSummary>, ClientError> {
        let mut tests: Vec<TestSummary> = Vec::new();
        // A page ends where it becomes long.
        while tests.len() < limit {
            let mut url = self.url(&["v1", "tests"]);
            url.query_pairs_mut().append_pair("limit", &(limit - tests.len()).to_string()).extend_pairs(asked);
            if let Some(oldest) = tests.last() {
                url.query_pairs_mut().append_pair("before", &oldest.test_id);
            }
            let response = self.agent.get(url.as_str()).call().map_err(|e| self.unreachable(&e))?;
            let more = response.headers().contains_key("link");
            let page: Vec<TestSummary> = self.read(Ok(response))?;
            let ended = page.is_empty() || !more;
            tests.extend(page);
            if ended {
                break;
            }
        }
        Ok(tests)
    }

    /// Totals of a test.
    pub fn metrics(&self, test_id: &str) -> Result<MetricsView, ClientError> {
        self.get(&["v1", "tests", test_id, "metrics"])
    }

    /// A test that is over as one file, which is written to `out`; how many bytes it has.
    pub fn export(&self, test_id: &str, out: &mut impl Write) -> Result<u64, ClientError> {
        self.download(&["v1", "tests", test_id, "export"], out)
    }

    /// A test that is over as an HTML file, which is written to `out`; how many bytes it has.
    pub fn report(&self, test_id: &str, out: &mut impl Write) -> Result<u64, ClientError> {
        self.download(&["v1", "tests", test_id, "report"], out)
    }

    /// Gives the orchestrator a run that was exported elsewhere.
    pub fn import(&self, file: std::fs::File) -> Result<TestView, ClientError> {
        let request = self.agent.post(self.url(&["v1", "tests", "import"]).as_str());
        let request = request.content_type("application/vnd.onrush.run");
        let request = request.config().timeout_global(None).timeout_recv_response(Some(IMPORT_TIMEOUT)).build();
        self.read(request.send(file))
    }

    fn download(&self, path: &[&str], out: &mut impl Write) -> Result<u64, ClientError> {
        let request = self.agent.get(self.url(path).as_str());
        let request = request.config().timeout_global(None).timeout_per_read(Some(STREAM_SILENCE)).build();
        let response = self.accepted(request.call().map_err(|e| self.unreachable(&e))?)?;
        let length: Option<u64> =
            response.headers().get("content-length").and_then(|value| value.to_str().ok()?.parse().ok());
        let bytes = copy(&mut response.into_body().into_reader(), out).map_err(|e| self.unreadable(e))?;
        if length.is_some_and(|length| length != bytes) {
            return Err(self.unreadable(format!("the file ended after {bytes} bytes")));
        }
        Ok(bytes)
    }

    /// Two tests compared, without so many seconds at their beginnings, and what became of these gates.
    pub fn compare(&self, [a, b]: [&str; 2], skip_s: u64, gates: &[String]) -> Result<CompareView, ClientError> {
        let mut url = self.url(&["v1", "compare"]);
        url.query_pairs_mut().append_pair("a", a).append_pair("b", b).append_pair("skip", &skip_s.to_string());
        if !gates.is_empty() {
            url.query_pairs_mut().append_pair("gate", &gates.join(","));
        }
        self.read(self.agent.get(url.as_str()).call())
    }

    /// Every driver that is known.
    pub fn drivers(&self) -> Result<Vec<DriverView>, ClientError> {
        self.get(&["v1", "drivers"])
    }

    /// What happens in a test from now on; the channel closes with the stream. It is read on a thread of its own, so
    /// that whoever waits can do something else meanwhile; dropping the receiver ends the thread.
    pub fn stream(&self, test_id: &str) -> Result<Receiver<Result<StreamEvent, ClientError>>, ClientError> {
        let request = self.agent.get(self.url(&["v1", "tests", test_id, "stream"]).as_str());
        let request = request.config().timeout_global(None).timeout_per_read(Some(STREAM_SILENCE)).build();
        let response = request.call().map_err(|e| self.unreachable(&e))?;
        let response = self.accepted(response)?;
        let (sender, receiver) = sync_channel(MAX_EVENTS_WAITING);
        let client = self.clone();
        let read = move || client.read_stream(response.into_body().into_reader(), &sender);
        let thread = std::thread::Builder::new().name("onrush-stream".into()).spawn(read);
        thread.map_err(|e| self.unreadable(format!("no thread to read the stream: {e}")))?;
        Ok(receiver)
    }

    fn read_stream(&self, body: impl Read, sender: &SyncSender<Result<StreamEvent, ClientError>>) {
        let mut lines = BufReader::new(body);
        let mut events = SseReader::default();
        let mut line = Vec::new();
        loop {
            line.clear();
            let event = match lines.by_ref().take(MAX_EVENT_BYTES as u64).read_until(b'\n', &mut line) {
                Ok(0) => return,
                Ok(_) => events.line(&String::from_utf8_lossy(&line)).map_err(|e| self.unreadable(e)),
                Err(e) => Err(self.unreachable(&ureq::Error::Io(e))),
            };
            let event = match event {
                Ok(None) => continue,
                Ok(Some(event)) => self.read_event(&event.name, &event.data),
                Err(error) => Some(Err(error)),
            };
            let failed = matches!(event, Some(Err(_)));
            if event.is_some_and(|event| sender.send(event).is_err()) || failed {
                return;
            }
        }
    }

    /// Events of a kind that this version does not know are skipped.
    fn read_event(&self, name: &str, data: &str) -> Option<Result<StreamEvent, ClientError>> {
        let event = match name {
            "test" => read_json(data).map(StreamEvent::Test),
            "second" => read_json(data).map(StreamEvent::Second),
            _ => return None,
        };
        Some(event.map_err(|e| self.unreadable(format!("event {name}: {e}"))))
    }

    fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, ClientError> {
        let response = self.agent.get(self.url(path).as_str()).call();
        self.read(response)
    }

    fn post<T: DeserializeOwned>(&self, path: &[&str], body: &[u8]) -> Result<T, ClientError> {
        let mut request = self.agent.post(self.url(path).as_str());
        if !body.is_empty() {
            request = request.content_type("application/json");
        }
        self.read(request.send(body))
    }

    fn read<T: DeserializeOwned>(
        &self,
        response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<T, ClientError> {
        let response = self.accepted(response.map_err(|e| self.unreachable(&e))?)?;
        let text = self.text(response)?;
        read_json(&text).map_err(|e| self.unreadable(e))
    }

    /// The answer, if it is a success; else its problem details.
    fn accepted(
        &self,
        response: ureq::http::Response<ureq::Body>,
    ) -> Result<ureq::http::Response<ureq::Body>, ClientError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = self.text(response)?;
        let refusal = read_json::<Refusal>(&text).unwrap_or_else(|_| Refusal {
            detail: format!("the orchestrator at {} answered {status}", self.address()),
            ..Refusal::default()
        });
        let detail = refusal.detail + self.hint(status.as_u16());
        Err(ClientError::Refused(Refusal { status: status.as_u16(), detail, ..refusal }))
    }

    /// What to do about a refusal that concerns the token.
    fn hint(&self, status: u16) -> &'static str {
        match (status, self.has_token) {
            (401, false) => {
                "\nGive a token by --token-file FILE or in ONRUSH_TOKEN; whoever runs the orchestrator makes one by `onrush token new`."
            }
            (401, true) => "\nLook at what --token-file or ONRUSH_TOKEN gives.",
            _ => "",
        }
    }

    fn text(&self, response: ureq::http::Response<ureq::Body>) -> Result<String, ClientError> {
        let body = response.into_body().into_with_config().limit(MAX_ANSWER_BYTES);
        body.lossy_utf8(true).read_to_string().map_err(|e| self.unreadable(e))
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    fn unreachable(&self, error: &ureq::Error) -> ClientError {
        let problem = match error {
            ureq::Error::Io(error) => error.to_string(),
            other => other.to_string(),
        };
        ClientError::Unreachable { address: self.address().to_owned(), problem }
    }

    fn unreadable(&self, problem: impl std::fmt::Display) -> ClientError {
        let problem = escaped(&problem.to_string()).into_owned();
        ClientError::Unreadable { address: self.address().to_owned(), problem }
    }
}

/// Adds the token to each request.
fn bearer(token: &Token) -> impl ureq::middleware::Middleware {
    let value = HeaderValue::try_from(format!("Bearer {}", token.reveal()));
    let mut value = value.expect("a token is made of characters that a header may have");
    value.set_sensitive(true);
    move |mut request: ureq::http::Request<ureq::SendBody>, next: ureq::middleware::MiddlewareNext| {
        request.headers_mut().insert(AUTHORIZATION, value.clone());
        next.handle(request)
    }
}

/// Reads what the orchestrator sent. Names, reasons and notes in it come from whoever speaks on its topics, and go to a
/// terminal from here.
fn read_json<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    let mut value = serde_json::from_str(text)?;
    escape_json(&mut value);
    serde_json::from_value(value)
}

/// An orchestrator's URL: `http://HOST:PORT`, or `HOST:PORT` alone.
pub fn orchestrator_url(text: &str) -> Result<Url, String> {
    let text = text.trim();
    let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&full).ok().filter(|url| url.scheme() == "http" && url.has_host());
    url.ok_or_else(|| format!("{text:?} is not the address of an orchestrator; write http://127.0.0.1:7400"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_become_one_segment_of_the_path() {
        let client = Client::new(orchestrator_url("127.0.0.1:7400").expect("an address"));
        assert_eq!(client.address(), "http://127.0.0.1:7400");
        let url = client.url(&["v1", "tests", "a/b c?", "stop"]);
        assert_eq!(url.as_str(), "http://127.0.0.1:7400/v1/tests/a%2Fb%20c%3F/stop");
        let below = Client::new(orchestrator_url("http://host/onrush/").expect("an address"));
        assert_eq!(below.url(&["v1", "drivers"]).as_str(), "http://host/onrush/v1/drivers");
        for text in ["", "ftp://x", "http://", "::"] {
            assert!(orchestrator_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_strangers_said_is_escaped_before_anybody_sees_it() {
        let sent = r#"{"status":409,"detail":"a\u001b[2Jb\nc","errors":[{"field":"\u009bm","problem":"\r"}]}"#;
        let words = read_json::<Refusal>(sent).expect("problem details").to_string();
        assert_eq!(words, "a\\x1b[2Jb\\nc\n  \\u{9b}m \\r");
        let client = Client::new(orchestrator_url("127.0.0.1:7400").expect("an address"));
        assert!(client.unreadable("unknown variant `\u{1b}[2J`").to_string().contains("`\\x1b[2J`"));
    }

    #[test]
    fn problem_details_become_words() {
        let words = |detail: &str, problems: &[&str]| {
            let fault = |problem: &&str| FieldFault { field: "connections".into(), problem: (*problem).into() };
            let errors = problems.iter().map(fault).collect();
            Refusal { status: 422, title: "Unprocessable Entity".into(), detail: detail.into(), errors }.to_string()
        };
        assert_eq!(words("connections is 0", &["is 0"]), "connections is 0");
        assert_eq!(words("it cannot start", &["is 0"]), "it cannot start\n  connections is 0");
        let several = "the orchestrator refuses this:\n  connections is 0\n  connections is 1";
        assert_eq!(words("connections is 0; connections is 1", &["is 0", "is 1"]), several);
        assert_eq!(words("", &[]), "Unprocessable Entity");
        let read: Refusal =
            serde_json::from_str(r#"{"type":"about:blank","detail":"no","unheard":1}"#).expect("an object");
        assert_eq!(read.to_string(), "no");
        let bare = Refusal { status: 502, ..Refusal::default() };
        assert_eq!(bare.to_string(), "the orchestrator refused with status 502");
    }

    #[test]
    fn an_orchestrator_that_is_not_there_is_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        drop(listener);
        let client = Client::new(orchestrator_url(&address).expect("an address"));
        let words = client.drivers().expect_err("nobody listens").to_string();
        assert!(words.contains(&address) && words.contains("ONRUSH_ORCHESTRATOR"), "{words}");
    }
}
