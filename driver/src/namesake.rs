//! Whether another driver lives under the same name. Two would be taken for one that keeps changing its mind.
//!
//! A driver reads the newest heartbeats before it registers, and for a while after. Who beats under its name in another
//! session was there first, so that the newcomer ends. Two that start at once read their first heartbeats in the same
//! order (they have the same key), so that they agree on who was first. A former life that was killed beats no more.

use std::time::{Duration, Instant};

use onrush_bus::{BusConfig, Consumer, Record, Start};
use onrush_protocol::{Heartbeat, NodeId, SessionId, Topic};

/// Heartbeats that are looked back at: those of eight drivers in a minute.
const LOOK_BACK: u32 = 500;
/// Heartbeats that are older than this, by their sender's clock, do not matter.
const RECENT_MS: f64 = 60_000.0;
/// One attempt to find the topic.
const ATTEMPT: Duration = Duration::from_secs(1);
/// How long looking back may take.
const LOOK_BACK_AT_MOST: Duration = Duration::from_secs(2);
/// A driver beats every second. Who does not within this time lives no more.
const SILENCE: Duration = Duration::from_millis(2_500);
/// Two heartbeats that come so far apart were not sent by a life that is over and delivered late.
const APART: Duration = Duration::from_millis(500);
/// How long one that is to end may take for it.
const GRACE: Duration = Duration::from_secs(5);
/// How long it is listened after the registration.
const LISTEN: Duration = Duration::from_secs(10);

/// Somebody else who beats under our name.
#[derive(Debug)]
struct Other {
    session_id: Option<SessionId>,
    /// When the first heartbeat came that was sent since we listen.
    since: Instant,
    /// Whether that was before our own first one.
    was_first: bool,
}

/// What is heard under our name: pure values.
#[derive(Debug)]
struct Judge {
    node_id: NodeId,
    session_id: SessionId,
    /// We beat already, and it was heard.
    heard_us: bool,
    other: Option<Other>,
}

/// What a heartbeat means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Nothing,
    /// Another driver lives under our name, and was there before us.
    Taken,
    /// Another driver lives under our name; it is for that one to end.
    Shared,
}

impl Judge {
    fn heard(&mut self, heartbeat: &Heartbeat, now: Instant) -> Verdict {
        if heartbeat.node_id != self.node_id {
            return Verdict::Nothing;
        }
        if heartbeat.session_id.as_ref() == Some(&self.session_id) {
            self.heard_us = true;
            return Verdict::Nothing;
        }
        if !heartbeat.alive {
            self.other = None;
            return Verdict::Nothing;
        }
        let was_first = !self.heard_us;
        match &self.other {
            Some(other) if other.session_id == heartbeat.session_id => {
                if now.saturating_duration_since(other.since) < APART {
                    return Verdict::Nothing;
                }
                match other.was_first {
                    true => Verdict::Taken,
                    // It knows as well, and is about to end.
                    false if now.saturating_duration_since(other.since) < GRACE => Verdict::Nothing,
                    false => Verdict::Shared,
                }
            }
            _ => {
                self.other = Some(Other { session_id: heartbeat.session_id.clone(), since: now, was_first });
                Verdict::Nothing
            }
        }
    }
}

/// Listens for others under our name, for a while.
pub(crate) struct Namesakes {
    judge: Judge,
    ear: Option<(Consumer, Instant)>,
    /// Somebody else lives under our name, and that was said.
    said: bool,
}

impl Namesakes {
    /// Looks back, and waits for a moment where somebody beat under this name just now. The error is the session that
    /// lives under it. `go_on`: whether it is still wanted.
    pub fn look(
        bus: &BusConfig,
        node_id: &NodeId,
        session_id: &SessionId,
        go_on: impl Fn() -> bool,
    ) -> Result<Self, String> {
        let judge = Judge { node_id: node_id.clone(), session_id: session_id.clone(), heard_us: false, other: None };
        let mut this = Self { judge, ear: None, said: false };
        this.open(bus, Start::Last(LOOK_BACK));
        let begun = Instant::now();
        let mut suspects: Vec<Option<SessionId>> = Vec::new();
        while let Some((ear, _)) = &this.ear
            && !ear.has_read_what_was_there()
            && begun.elapsed() < LOOK_BACK_AT_MOST
            && go_on()
        {
            let Some(heartbeat) = ear.poll(Duration::from_millis(20)).and_then(|record| recent(&record)) else {
                continue;
            };
            if heartbeat.node_id == *node_id {
                suspects.retain(|session| *session != heartbeat.session_id);
                if heartbeat.alive {
                    suspects.push(heartbeat.session_id);
                }
            }
        }
        if !suspects.is_empty() {
            tracing::info!("somebody beat as {node_id} a moment ago: looking whether that one still lives");
            let mut deadline = Instant::now() + SILENCE;
            while Instant::now() < deadline && go_on() {
                this.listen(Duration::from_millis(20))?;
                if let Some(other) = &this.judge.other {
                    deadline = deadline.max(other.since + SILENCE);
                }
            }
        }
        Ok(this)
    }

    /// Listens again: this driver stood still for a while, and another may have taken its name.
    pub fn listen_again(&mut self, bus: &BusConfig) {
        (self.judge.heard_us, self.judge.other) = (false, None);
        if self.ear.is_none() {
            self.open(bus, Start::Now);
        }
    }

    fn open(&mut self, bus: &BusConfig, start: Start) {
        match Consumer::new(bus, &[Topic::Heartbeat], |_, _| start, ATTEMPT) {
            Ok(consumer) => self.ear = Some((consumer, Instant::now() + LISTEN)),
            Err(error) => tracing::warn!("cannot look whether another driver has this name: {error}"),
        }
    }

    /// Hears what came under our name; the error is the session that was there first.
    pub fn listen(&mut self, timeout: Duration) -> Result<(), String> {
        let Some((ear, until)) = &self.ear else { return Ok(()) };
        let over = Instant::now() >= *until;
        while let Some(record) = ear.poll(timeout) {
            let Ok(heartbeat) = Heartbeat::read(&record.payload) else { continue };
            match self.judge.heard(&heartbeat, Instant::now()) {
                Verdict::Nothing => {}
                Verdict::Taken => {
                    self.ear = None;
                    return Err(heartbeat.session_id.map_or_else(|| "unknown".into(), |id| id.to_string()));
                }
                Verdict::Shared => {
                    if !std::mem::replace(&mut self.said, true) {
                        let node_id = &self.judge.node_id;
                        tracing::error!("another driver lives under the name {node_id}; end it, or name it otherwise");
                    }
                }
            }
            if !timeout.is_zero() {
                break;
            }
        }
        if over && let Some(ear) = self.ear.take() {
            // Ending a Kafka client takes a moment, which is not for the heartbeats to wait for.
            let _ = std::thread::Builder::new().name("ear".into()).spawn(move || drop(ear));
        }
        Ok(())
    }
}

/// A heartbeat that was sent just now, as far as clocks tell.
fn recent(record: &Record) -> Option<Heartbeat> {
    let age_ms = crate::report::Clocks::now().unix_ms - record.timestamp_unix_ms? as f64;
    (age_ms.abs() < RECENT_MS).then(|| Heartbeat::read(&record.payload).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge() -> Judge {
        let (node_id, session_id) = (NodeId::new("us").unwrap(), SessionId::new("our life").unwrap());
        Judge { node_id, session_id, heard_us: false, other: None }
    }

    fn beat(node: &str, session: Option<&str>, alive: bool) -> Heartbeat {
        let session = session.map(|session| format!(r#", "session_id": "{session}""#)).unwrap_or_default();
        let said = if alive { "YES" } else { "NO" };
        Heartbeat::read(format!(r#"{{"node_id": "{node}", "heartbeat": "{said}"{session}}}"#).as_bytes()).unwrap()
    }

    #[test]
    fn who_beat_before_us_and_goes_on_has_the_name() {
        let now = Instant::now();
        let later = now + APART;
        for session in [Some("theirs"), None] {
            let mut judge = judge();
            assert_eq!(judge.heard(&beat("us", session, true), now), Verdict::Nothing, "once is no life");
            assert_eq!(judge.heard(&beat("us", session, true), now), Verdict::Nothing, "delivered together");
            judge.heard(&beat("us", Some("our life"), true), now);
            assert_eq!(judge.heard(&beat("us", session, true), later), Verdict::Taken);
        }
    }

    #[test]
    fn who_beat_after_us_is_to_end_and_who_says_goodbye_has_ended() {
        let now = Instant::now();
        let later = now + APART;
        let mut judge = judge();
        judge.heard(&beat("us", Some("our life"), true), now);
        judge.heard(&beat("us", Some("theirs"), true), now);
        assert_eq!(judge.heard(&beat("us", Some("theirs"), true), later), Verdict::Nothing);
        assert_eq!(judge.heard(&beat("us", Some("theirs"), true), now + GRACE), Verdict::Shared);
        judge.heard(&beat("us", Some("theirs"), false), later);
        assert_eq!(judge.heard(&beat("us", Some("theirs"), true), later + APART), Verdict::Nothing);
        // Others, by name, do not matter.
        (0..5).for_each(|n| assert_eq!(judge.heard(&beat("them", None, true), later + n * APART), Verdict::Nothing));
    }
}
