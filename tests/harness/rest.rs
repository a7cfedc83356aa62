//! The orchestrator's REST interface, as a client sees it.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use onrush_api::{DriverView, HistogramView, MetricsView, SecondView, SeriesView, TestSummary, TestView};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{TEST_END, wait_for};

/// An answer that is not what was asked for.
#[derive(Debug)]
pub struct Refusal {
    pub status: u16,
    pub content_type: String,
    /// The problem details; `null` where the body is no JSON.
    pub body: Value,
}

impl Refusal {
    /// The words for people.
    pub fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or_default()
    }

    /// The fields at fault.
    pub fn fields(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().filter_map(|error| error["field"].as_str()).collect()
    }
}

/// One event of a stream.
#[derive(Clone, Debug, Default)]
pub struct Event {
    pub kind: String,
    pub id: Option<String>,
    pub data: String,
}

/// A client of one server.
pub struct Rest {
    base: String,
    agent: ureq::Agent,
}

impl Rest {
    /// A client of `http://ADDRESS`.
    pub fn new(base: &str) -> Self {
        let config =
            ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(60)));
        Self { base: base.into(), agent: config.build().into() }
    }

    /// The body of an answer, whatever its status; an error where there was none.
    pub fn try_get(&self, path: &str) -> Result<(u16, String), String> {
        let call = self.agent.get(format!("{}{path}", self.base)).header("Accept", "application/json").call();
        let mut response = call.map_err(|e| e.to_string())?;
        let text = response.body_mut().with_config().limit(256 << 20).read_to_string().map_err(|e| e.to_string())?;
        Ok((response.status().as_u16(), text))
    }

    fn try_typed<T: DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        let (status, text) = self.try_get(path)?;
        if status != 200 {
            return Err(format!("GET {path} gives {status}: {text}"));
        }
        serde_json::from_str(&text).map_err(|e| format!("GET {path}: {e} in {text}"))
    }

    /// A run as one file.
    #[track_caller]
    pub fn export(&self, test_id: &str) -> Vec<u8> {
        let url = format!("{}/v1/tests/{test_id}/export", self.base);
        let mut response = self.agent.get(url).call().unwrap_or_else(|e| panic!("export of {test_id}: {e}"));
        let bytes = response.body_mut().with_config().limit(256 << 20).read_to_vec().expect("a whole answer");
        assert_eq!(response.status(), 200, "{}", String::from_utf8_lossy(&bytes));
        bytes
    }

    /// Where it listens: `http://ADDRESS`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The answer to a GET that must succeed.
    #[track_caller]
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        self.try_typed(path).unwrap_or_else(|e| panic!("{e}"))
    }

    /// The answer to a POST of any bytes.
    #[track_caller]
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &[u8]) -> Result<T, Refusal> {
        self.send(self.agent.post(format!("{}{path}", self.base)), &format!("POST {path}"), body)
    }

    /// The answer to a PATCH of a test.
    #[track_caller]
    pub fn patch(&self, path: &str, body: &Value) -> Result<TestView, Refusal> {
        let request = self.agent.patch(format!("{}{path}", self.base));
        self.send(request, &format!("PATCH {path}"), body.to_string().as_bytes())
    }

    #[track_caller]
    fn send<T: DeserializeOwned>(
        &self,
        request: ureq::RequestBuilder<ureq::typestate::WithBody>,
        what: &str,
        body: &[u8],
    ) -> Result<T, Refusal> {
        let request = request.content_type("application/json");
        let mut response = request.send(body).unwrap_or_else(|e| panic!("{what}: {e}"));
        let status = response.status().as_u16();
        let content_type =
            response.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let text = response.body_mut().read_to_string().unwrap_or_else(|e| panic!("{what}: {e}"));
        if (200..300).contains(&status) {
            Ok(serde_json::from_str(&text).unwrap_or_else(|e| panic!("{what}: {e} in {text}")))
        } else {
            Err(Refusal { status, content_type, body: serde_json::from_str(&text).unwrap_or(Value::Null) })
        }
    }

    /// Makes a test.
    #[track_caller]
    pub fn create(&self, test: &Value) -> Result<TestView, Refusal> {
        self.post("/v1/tests", test.to_string().as_bytes())
    }

    /// Makes and triggers a test; its id.
    #[track_caller]
    pub fn start(&self, test: &Value) -> String {
        let mut test = test.clone();
        test["trigger"] = true.into();
        self.create(&test).unwrap_or_else(|refusal| panic!("{test} is refused: {refusal:?}")).test_id
    }

    /// Starts a test that is there.
    #[track_caller]
    pub fn trigger(&self, test_id: &str) -> Result<TestView, Refusal> {
        self.post(&format!("/v1/tests/{test_id}/trigger"), b"")
    }

    /// Stops a test.
    #[track_caller]
    pub fn stop(&self, test_id: &str) -> Result<TestView, Refusal> {
        self.post(&format!("/v1/tests/{test_id}/stop"), b"")
    }

    #[track_caller]
    pub fn test(&self, test_id: &str) -> TestView {
        self.get(&format!("/v1/tests/{test_id}"))
    }

    #[track_caller]
    pub fn tests(&self) -> Vec<TestSummary> {
        self.get("/v1/tests")
    }

    #[track_caller]
    pub fn metrics(&self, test_id: &str) -> MetricsView {
        self.get(&format!("/v1/tests/{test_id}/metrics"))
    }

    #[track_caller]
    pub fn histogram(&self, test_id: &str) -> HistogramView {
        self.get(&format!("/v1/tests/{test_id}/histogram"))
    }

    /// Every sealed second, over all pages.
    #[track_caller]
    pub fn series(&self, test_id: &str) -> Vec<SecondView> {
        let (mut seconds, mut from) = (Vec::new(), 0);
        loop {
            let page: SeriesView = self.get(&format!("/v1/tests/{test_id}/series?from={from}"));
            seconds.extend(page.seconds);
            match page.next_from {
                Some(next) if next > from => from = next,
                _ => return seconds,
            }
        }
    }

    /// Every driver that is known; an error where there is no answer.
    pub fn try_drivers(&self) -> Result<Vec<DriverView>, String> {
        let list: Value = self.try_typed("/v1/drivers")?;
        let items = list.get("drivers").cloned().unwrap_or(list);
        serde_json::from_value(items).map_err(|e| e.to_string())
    }

    /// Waits until the test is over, in whatever way.
    #[track_caller]
    pub fn wait_for_end(&self, test_id: &str) -> TestView {
        self.wait_for_test(test_id, "over", |test| test.state.is_end())
    }

    /// Waits until the test is as described.
    #[track_caller]
    pub fn wait_for_test(&self, test_id: &str, what: &str, is: impl Fn(&TestView) -> bool) -> TestView {
        wait_for(&format!("the test {test_id} to be {what}"), TEST_END, || {
            let test: TestView = self.try_typed(&format!("/v1/tests/{test_id}"))?;
            if is(&test) { Ok(test) } else { Err(format!("{test:#?}")) }
        })
    }

    /// Waits until so many seconds of the test are sealed.
    #[track_caller]
    pub fn wait_for_seconds(&self, test_id: &str, count: usize) {
        wait_for(&format!("{count} sealed seconds of {test_id}"), TEST_END, || {
            let page: SeriesView = self.try_typed(&format!("/v1/tests/{test_id}/series"))?;
            if page.seconds.len() >= count {
                Ok(())
            } else {
                Err(format!("{} seconds, {:?}", page.seconds.len(), page.state))
            }
        });
    }

    /// Reads a test's stream from its beginning until it is closed.
    #[track_caller]
    pub fn stream(&self, test_id: &str) -> Vec<Event> {
        let path = format!("{}/v1/tests/{test_id}/stream?from=0", self.base);
        let response = self.agent.get(path).call().expect("the stream opens");
        assert_eq!(response.status().as_u16(), 200);
        let (mut events, mut event) = (Vec::new(), Event::default());
        for line in BufReader::new(response.into_body().into_reader()).lines() {
            let line = line.expect("the stream ends in good order");
            match line.split_once(':').map(|(name, value)| (name, value.trim_start())) {
                Some(("event", value)) => event.kind = value.into(),
                Some(("id", value)) => event.id = Some(value.into()),
                Some(("data", value)) => event.data.push_str(value),
                _ if line.is_empty() && !event.data.is_empty() => events.push(std::mem::take(&mut event)),
                _ => {}
            }
        }
        events
    }
}
