//! Follows a test to its end: a progress line a second, trouble as it comes, and the result.
//!
//! The orchestrator may go away meanwhile and come back (it goes on where it was); so does this.

use std::collections::BTreeSet;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use onrush_api::{Client, ClientError, MetricsView, ParticipantState, SealedSecond, StreamEvent, TestView};

use crate::console::Console;
use crate::error::Error;
use crate::report::progress_line;
use crate::signals::LOOK_EVERY;

/// So long an orchestrator may be away.
const AWAY_AT_MOST: Duration = Duration::from_secs(60);
/// Between two tries to reach it again.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// What whoever follows wants next; asked many times a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Go on.
    GoOn,
    /// Stop the test, and follow it to its end.
    StopTest,
    /// Leave at once; the test goes on.
    Leave,
}

/// Follows a test until it has ended; gives it and its totals.
pub fn follow(
    client: &Client,
    test: TestView,
    console: &Console,
    wish: impl FnMut() -> Result<Wish, Error>,
) -> Result<(TestView, MetricsView), Error> {
    let test_id = test.test_id.clone();
    let mut follower = Follower { client, console, wish, test, stop_sent: false, told: BTreeSet::new() };
    let mut away_since: Option<Instant> = None;
    while !follower.test.state.is_end() {
        let problem = match follower.read_stream() {
            Ok(StreamEnd::TestEnded) => break,
            Ok(StreamEnd::Broken { heard, problem }) => {
                if heard {
                    away_since = None;
                }
                problem
            }
            // It is there and says no: trying again would not help.
            Err(Error::Client(ClientError::Refused(refusal))) if refusal.status < 500 => {
                return Err(ClientError::Refused(refusal).into());
            }
            Err(Error::Client(problem)) => problem,
            Err(error) => return Err(error),
        };
        let since = away_since.get_or_insert_with(|| {
            console.note(&format!("{problem}\nwaiting for it to come back"));
            Instant::now()
        });
        if since.elapsed() > AWAY_AT_MOST {
            return Err(problem.into());
        }
        let again = Instant::now() + TRY_AGAIN;
        while Instant::now() < again {
            follower.ask()?;
            std::thread::sleep(LOOK_EVERY);
        }
    }
    console.end_progress();
    Ok((client.test(&test_id)?, client.metrics(&test_id)?))
}

/// How one connection to the stream ended.
enum StreamEnd {
    TestEnded,
    Broken {
        /// Whether it said anything before.
        heard: bool,
        problem: ClientError,
    },
}

struct Follower<'a, W> {
    client: &'a Client,
    console: &'a Console,
    wish: W,
    /// As last heard.
    test: TestView,
    stop_sent: bool,
    /// Drivers whose trouble was told.
    told: BTreeSet<String>,
}

impl<W: FnMut() -> Result<Wish, Error>> Follower<'_, W> {
    fn read_stream(&mut self) -> Result<StreamEnd, Error> {
        let events = self.client.stream(&self.test.test_id)?;
        let mut heard = false;
        loop {
            self.ask()?;
            match events.recv_timeout(LOOK_EVERY) {
                Ok(Ok(event)) => {
                    heard = true;
                    self.hear(event);
                    if self.test.state.is_end() {
                        return Ok(StreamEnd::TestEnded);
                    }
                }
                Ok(Err(problem)) => return Ok(StreamEnd::Broken { heard, problem }),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let address = self.client.address().to_owned();
                    let problem = ClientError::Unreachable { address, problem: "it closed the connection".into() };
                    return Ok(StreamEnd::Broken { heard, problem });
                }
            }
        }
    }

    fn hear(&mut self, event: StreamEvent) {
        match event {
            StreamEvent::Test(test) => {
                self.test = *test;
                self.tell_trouble();
            }
            StreamEvent::Second(sealed) => {
                let SealedSecond { second, totals } = *sealed;
                self.console.progress(&progress_line(&self.test, &second, &totals));
            }
        }
    }

    /// A driver that refuses, fails or is lost is news at once.
    fn tell_trouble(&mut self) {
        for part in &self.test.participants {
            let trouble = match part.state {
                ParticipantState::Refused => "refuses the test",
                ParticipantState::Failed => "failed",
                ParticipantState::Lost => "is lost",
                _ => continue,
            };
            if self.told.insert(part.node_id.clone()) {
                let reason = part.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
                self.console.note(&format!("{} {trouble}{reason}", part.node_id));
            }
        }
    }

    fn ask(&mut self) -> Result<(), Error> {
        match (self.wish)()? {
            Wish::GoOn => Ok(()),
            Wish::Leave => Err(Error::Interrupted),
            Wish::StopTest if self.stop_sent => Ok(()),
            Wish::StopTest => {
                self.stop_sent = true;
                self.console.note("stopping the test; Ctrl-C again leaves at once");
                match self.client.stop(&self.test.test_id) {
                    // It has just ended by itself.
                    Err(ClientError::Refused(refusal)) if refusal.status == 409 => Ok(()),
                    stopped => stopped.map(drop).map_err(Error::from),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    use onrush_api::{TestState, orchestrator_url};
    use serde_json::json;

    use super::*;
    use crate::report::{sample_metrics, sample_second, sample_test};

    /// An orchestrator that knows its answers beforehand: (request line, status and body) in order, a connection each.
    fn scripted(answers: Vec<(&'static str, String)>) -> (Client, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let base = orchestrator_url(&listener.local_addr().expect("it is bound").to_string()).expect("an address");
        let serve = move || {
            let mut asked = Vec::new();
            for (head, body) in answers {
                let (mut connection, _) = listener.accept().expect("the client connects");
                let mut lines = BufReader::new(connection.try_clone().expect("a second handle")).lines();
                asked.push(lines.next().expect("a request").expect("as text"));
                // The requests of these tests carry no bodies.
                lines.find(|line| line.as_ref().is_ok_and(String::is_empty));
                let answer = format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n{body}");
                connection.write_all(answer.as_bytes()).expect("the client reads");
            }
            asked
        };
        (Client::new(base), std::thread::spawn(serve))
    }

    fn in_state(state: TestState) -> TestView {
        TestView { test_id: "t1".into(), state, ..sample_test() }
    }

    fn event(name: &str, data: &impl serde::Serialize) -> String {
        format!("event: {name}\ndata: {}\n\n", serde_json::to_string(data).expect("plain values"))
    }

    fn json_of(value: &impl serde::Serialize) -> String {
        serde_json::to_string(value).expect("plain values")
    }

    const OK: &str = "200 OK";

    #[test]
    fn a_broken_stream_is_taken_up_again() {
        let second = json!({ "second": sample_second(), "totals": sample_metrics() });
        let first = event("test", &in_state(TestState::Running)) + &event("second", &second);
        let then = event("unheard of", &1) + &event("test", &in_state(TestState::Completed));
        let (client, server) = scripted(vec![
            (OK, first),
            ("503 Service Unavailable", r#"{"status":503,"detail":"it starts"}"#.into()),
            (OK, then),
            (OK, json_of(&in_state(TestState::Completed))),
            (OK, json_of(&sample_metrics())),
        ]);
        let followed = follow(&client, in_state(TestState::Configured), &Console::new(false), || Ok(Wish::GoOn));
        let (test, metrics) = followed.expect("it ends");
        assert_eq!((test.state, metrics.all.sent), (TestState::Completed, Some(200_000)));
        let stream = "GET /v1/tests/t1/stream HTTP/1.1";
        let expected = [stream, stream, stream, "GET /v1/tests/t1 HTTP/1.1", "GET /v1/tests/t1/metrics HTTP/1.1"];
        assert_eq!(server.join().expect("it served all"), expected);
    }

    #[test]
    fn a_test_that_is_unknown_ends_it() {
        let (client, server) =
            scripted(vec![("404 Not Found", r#"{"status":404,"detail":"there is no test t1"}"#.into())]);
        let followed = follow(&client, in_state(TestState::Running), &Console::new(false), || Ok(Wish::GoOn));
        assert!(followed.is_err_and(|e| e.to_string() == "there is no test t1"));
        server.join().expect("it served all");
    }

    #[test]
    fn a_wish_to_stop_is_sent_once_and_one_to_leave_is_obeyed() {
        let running = || event("test", &in_state(TestState::Running));
        let (client, server) = scripted(vec![
            (OK, running()),
            ("202 Accepted", json_of(&in_state(TestState::Running))),
            (OK, event("test", &in_state(TestState::Stopped))),
            (OK, json_of(&in_state(TestState::Stopped))),
            (OK, json_of(&sample_metrics())),
        ]);
        let followed = follow(&client, in_state(TestState::Running), &Console::new(false), || Ok(Wish::StopTest));
        assert_eq!(followed.expect("it ends").0.state, TestState::Stopped);
        assert_eq!(server.join().expect("it served all")[1], "POST /v1/tests/t1/stop HTTP/1.1");

        let (client, server) = scripted(vec![(OK, running())]);
        let left = follow(&client, in_state(TestState::Running), &Console::new(false), || Ok(Wish::Leave));
        assert!(matches!(left, Err(Error::Interrupted)));
        server.join().expect("it served all");
    }
}
