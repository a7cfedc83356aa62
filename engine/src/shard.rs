//! What the tasks of one engine thread share: who may send now, who waits, and what is measured.
//!
//! Everything here is a plain value behind one `RefCell`, changed in short steps that never wait. Connections
//! claim their own requests at the moment they send them, so that the moment recorded is the one that the
//! schedule decided on.

use std::cell::RefCell;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use onrush_stats::FailureCause;

use crate::clock::{Moment, SECOND_NS, as_ns};
use crate::control::{Control, RunCommand};
use crate::idle::Idle;
use crate::lifetime::Lifetime;
use crate::order::Round;
use crate::parts::{Ended, Outlet, ThreadPart};
use crate::recorder::{Breakdown, Recorder, SendingEnd};
use crate::schedule::{Claim, Schedule};
use crate::strain::Strain;
use crate::think::Thinking;
use crate::watch::{Alarm, Watches};

/// How often deadlines are looked at, which is how late a time-out may be noticed.
const TICK: Duration = Duration::from_millis(5);
/// How long answers may still arrive after a stop.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// A thread that polls has a connection at the ready so long before the next due moment, and stays with it until then:
/// no longer than a turn of the executor takes (0.7 to 1.1 µs), which is how late an answer is noticed anyway.
const READY_AHEAD_NS: u64 = 1_000;
/// The same while no answer can come. It makes up for caches that have gone cold.
const READY_AHEAD_IDLE_NS: u64 = 20_000;

/// A request that may be sent now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claimed {
    pub due_ns: u64,
    pub sent: Moment,
    /// The index of the request.
    pub request: usize,
    /// The connection has been waiting for it: what came meanwhile may not be noticed yet.
    pub waited: bool,
}

/// What a thread's connections share beside the plan.
pub(crate) struct Setup {
    pub connections: usize,
    pub think_time: Duration,
    pub schedule: Schedule,
    pub round: Round,
    /// For each request the index of its server.
    pub servers: Arc<[usize]>,
    /// How many servers there are.
    pub server_count: usize,
    /// What is told apart.
    pub breakdown: Breakdown,
    /// For each request the index of its name; empty where there is but one.
    pub names: Arc<[u16]>,
    pub outlet: Outlet,
    pub control: Arc<Control>,
    pub thread: usize,
    /// How long before a moment that matters the pacer wants to be awake.
    pub lead: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Before the start.
    Armed,
    Sending,
    /// Nothing more is sent; answers are awaited.
    Draining,
    Finished(Ended),
}

/// The state of one engine thread.
pub(crate) struct Shard {
    inner: RefCell<Inner>,
}

struct Inner {
    stage: Stage,
    /// The zero of all times, once the run has begun.
    start: Moment,
    stopped_at: Option<Moment>,
    schedule: Schedule,
    round: Round,
    servers: Arc<[usize]>,
    recorder: Recorder<Outlet>,
    strain: Strain,
    /// Connections that wait for a request.
    idle: Idle,
    parked: Vec<Parked>,
    /// Connections that may not send yet; `None`: none ever rests.
    thinking: Option<Thinking>,
    /// How long each server lets a connection idle.
    lifetimes: Vec<Lifetime>,
    /// When each connection to each server was used last, by connection and then by server.
    used_last: Vec<Moment>,
    /// One idle connection is on its way to claim a request; it calls the next.
    calling: bool,
    watches: Watches,
    next_tick: Moment,
    /// When the pacer's timer rings; in the past while it is awake.
    rings_at: Moment,
    control: Arc<Control>,
    thread: usize,
    /// How long before a moment that matters the pacer wants to be awake.
    lead: Duration,
}

/// How a connection waits for a request.
#[derive(Default)]
struct Parked {
    waker: Option<Waker>,
    called: bool,
}

impl Shard {
    pub fn new(setup: Setup) -> Self {
        let Setup {
            connections,
            think_time,
            schedule,
            round,
            servers,
            server_count,
            breakdown,
            names,
            outlet,
            control,
            thread,
            lead,
        } = setup;
        let now = Moment::now();
        Self {
            inner: RefCell::new(Inner {
                stage: Stage::Armed,
                start: Moment::NEVER,
                stopped_at: None,
                schedule,
                round,
                servers,
                recorder: Recorder::new(outlet, breakdown, names),
                strain: Strain::new(!lead.is_zero()),
                idle: Idle::new(connections, server_count),
                parked: (0..connections).map(|_| Parked::default()).collect(),
                thinking: Thinking::new(think_time, connections),
                lifetimes: (0..server_count).map(|_| Lifetime::default()).collect(),
                used_last: vec![now; connections * server_count],
                calling: false,
                watches: Watches::new(connections),
                next_tick: now.plus(TICK),
                rings_at: now,
                control,
                thread,
                lead,
            }),
        }
    }

    /// Waits for a request that this connection may send. `None`: there will be none any more.
    pub fn poll_claim(&self, connection: usize, now: Moment, cx: &mut Context<'_>) -> Poll<Option<Claimed>> {
        self.inner.borrow_mut().poll_claim(connection, now, cx)
    }

    /// A connection's claimed request has a complete response, which passed its checks or not.
    pub fn responded(&self, now: Moment, connection: usize, claimed: Claimed, status: u16, passed: bool) {
        let inner = &mut *self.inner.borrow_mut();
        let (now_ns, sent_ns) = (inner.observe(now), claimed.sent.since_ns(inner.start));
        inner.recorder.responded(now_ns, claimed.due_ns, sent_ns, claimed.request, status, passed);
        inner.begin_to_rest(now, connection);
        inner.finish_if_done();
    }

    /// A connection's claimed request has no response.
    pub fn failed(&self, now: Moment, connection: usize, claimed: Claimed, cause: FailureCause) {
        let inner = &mut *self.inner.borrow_mut();
        let now_ns = inner.observe(now);
        inner.recorder.failed(now_ns, claimed.request, cause);
        inner.begin_to_rest(now, connection);
        inner.finish_if_done();
    }

    /// Whether an example of this cause is wanted.
    pub fn wants_example(&self, cause: FailureCause) -> bool {
        self.inner.borrow().recorder.wants_example(cause)
    }

    /// Shows people an example of a cause.
    pub fn example(&self, cause: FailureCause, example: &str) {
        self.inner.borrow_mut().recorder.example(cause, example);
    }

    /// The request that was claimed goes to this address.
    pub fn sent_to(&self, address: usize) {
        self.inner.borrow_mut().recorder.sent_to(address);
    }

    /// A request is sent once more.
    pub fn resent(&self) {
        let inner = &mut *self.inner.borrow_mut();
        let now_ns = inner.observe(Moment::now());
        inner.recorder.resent(now_ns);
    }

    /// Something came that nobody had asked for.
    pub fn unsolicited(&self) {
        let inner = &mut *self.inner.borrow_mut();
        let now_ns = inner.observe(Moment::now());
        if inner.is_running() {
            inner.recorder.unsolicited(now_ns);
        }
    }

    /// A connection to a server is open, or used no longer: from now on it idles.
    pub fn opened(&self, now: Moment, connection: usize, server: usize, descriptor: RawFd) {
        let inner = &mut *self.inner.borrow_mut();
        inner.strain.opened(connection, server, descriptor);
        inner.idle.set_open(connection, server, true);
        inner.used(now, connection, server);
        if inner.is_running() {
            let now_ns = inner.observe(now);
            inner.recorder.connected(now_ns);
        }
    }

    /// A connection to a server carried a request and its response, the last of which may say how long it may idle.
    pub fn used(&self, now: Moment, connection: usize, server: usize, keep_alive_s: Option<u32>) {
        let inner = &mut *self.inner.borrow_mut();
        inner.used(now, connection, server);
        if let Some(seconds) = keep_alive_s {
            inner.lifetimes[server].said(seconds);
        }
    }

    /// A connection to a server is closed.
    pub fn closed(&self, connection: usize, server: usize) {
        let inner = &mut *self.inner.borrow_mut();
        inner.strain.closed(connection);
        inner.idle.set_open(connection, server, false);
    }

    /// The server closed a connection that idled.
    pub fn closed_by_server(&self, now: Moment, connection: usize, server: usize) {
        let inner = &mut *self.inner.borrow_mut();
        inner.strain.closed(connection);
        inner.idle.set_open(connection, server, false);
        let idle_ns = inner.idle_ns(now, connection, server);
        inner.lifetimes[server].saw_close(idle_ns);
    }

    /// Whether a connection has idled so long that its server may close it at any moment.
    pub fn is_past_its_life(&self, now: Moment, connection: usize, server: usize) -> bool {
        self.inner.borrow().is_past_its_life(now, connection, server)
    }

    pub fn count_bytes(&self, sent: u64, received: u64) {
        self.inner.borrow_mut().recorder.bytes(sent, received);
    }

    /// Counts the time from the first part of a response to its end.
    pub fn count_receiving(&self, ns: u64) {
        self.inner.borrow_mut().recorder.measured(|counts| counts.receiving_ns += ns);
    }

    /// Sets what is to happen to a connection that does not get on until `deadline`.
    pub fn watch(&self, connection: usize, deadline: Moment, alarm: Alarm) {
        let inner = &mut *self.inner.borrow_mut();
        inner.watches.set(connection, deadline, alarm);
        if matches!(inner.stage, Stage::Finished(_)) {
            // Nobody looks at deadlines any more.
            inner.watches.strike_one(connection, Some(FailureCause::Aborted));
        }
    }

    /// Ends a watch. Gives the cause when it has struck.
    pub fn unwatch(&self, connection: usize) -> Option<FailureCause> {
        self.inner.borrow_mut().watches.clear(connection)
    }

    /// Whether a watch has struck; otherwise it wakes `cx` when it does.
    pub fn poll_watch(&self, connection: usize, cx: &mut Context<'_>) -> Poll<FailureCause> {
        self.inner.borrow_mut().watches.poll(connection, cx)
    }

    /// Does whatever time asks for. True: the run is over.
    pub fn tick(&self, now: Moment) -> bool {
        let inner = &mut *self.inner.borrow_mut();
        inner.tick(now);
        matches!(inner.stage, Stage::Finished(_))
    }

    /// When [`Shard::tick`] wants to be called next: precisely, and by and by.
    pub fn next_wakes(&self, now: Moment) -> (Moment, Moment) {
        self.inner.borrow_mut().next_wakes(now)
    }

    /// The pacer is about to sleep until its timer rings at this moment.
    pub fn will_ring_at(&self, at: Moment) {
        self.inner.borrow_mut().rings_at = at;
    }

    /// The last part, when the run is over.
    pub fn last_part(&self) -> Option<ThreadPart> {
        let inner = &mut *self.inner.borrow_mut();
        match inner.stage {
            Stage::Finished(ended) => {
                inner.recorder.measured(|counts| inner.strain.measure(counts));
                Some(ThreadPart { record: inner.recorder.finish(ended.end_ns), ended: Some(ended) })
            }
            _ => None,
        }
    }
}

impl Inner {
    fn poll_claim(&mut self, connection: usize, mut now: Moment, cx: &mut Context<'_>) -> Poll<Option<Claimed>> {
        match self.stage {
            Stage::Armed => return self.park(connection, cx),
            Stage::Draining | Stage::Finished(_) => return Poll::Ready(None),
            Stage::Sending => (),
        }
        if self.still_rests(now, connection) {
            self.keep_waker(connection, cx);
            return Poll::Pending;
        }
        let parked = &mut self.parked[connection];
        let called = std::mem::take(&mut parked.called);
        if called {
            self.calling = false;
            now = self.stay_until_due(now);
        } else if !self.idle.is_empty() {
            // Others have waited longer.
            let waits = self.park(connection, cx);
            self.call_next(now);
            return waits;
        }
        let now_ns = self.observe(now);
        let claim = self.schedule.claim(now_ns);
        self.note_dropped(now_ns);
        match claim {
            Claim::Send { due_ns } => {
                let request = self.round.next();
                self.recorder.sent(now_ns, due_ns, request);
                self.call_next(now);
                Poll::Ready(Some(Claimed { due_ns, sent: now, request, waited: called && !self.lead.is_zero() }))
            }
            Claim::Wait => {
                let waits = self.park(connection, cx);
                self.ring_for_next_slot(now_ns);
                waits
            }
            Claim::Over => {
                self.end_sending(now_ns);
                Poll::Ready(None)
            }
        }
    }

    fn park(&mut self, connection: usize, cx: &Context<'_>) -> Poll<Option<Claimed>> {
        self.keep_waker(connection, cx);
        self.idle.enter(connection);
        Poll::Pending
    }

    fn keep_waker(&mut self, connection: usize, cx: &Context<'_>) {
        let waker = &mut self.parked[connection].waker;
        if !waker.as_ref().is_some_and(|kept| kept.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    fn begin_to_rest(&mut self, now: Moment, connection: usize) {
        if let Some(thinking) = self.thinking.as_mut().filter(|_| self.stage == Stage::Sending) {
            thinking.begin(connection, now);
        }
    }

    /// Whether a connection may not send yet. Its waker is called when it may.
    fn still_rests(&mut self, now: Moment, connection: usize) -> bool {
        if !self.thinking.as_ref().is_some_and(|thinking| thinking.rests(connection)) {
            return false;
        }
        self.end_rests(now);
        let Some(thinking) = self.thinking.as_ref().filter(|thinking| thinking.rests(connection)) else { return false };
        // The pacer may sleep longer than the first rest that began since.
        if let Some(end) = thinking.next_end() {
            self.ring_at(end);
        }
        true
    }

    /// Wakes the connections that have rested long enough.
    fn end_rests(&mut self, now: Moment) {
        let Some(thinking) = &mut self.thinking else { return };
        while let Some(connection) = thinking.end_one(now) {
            if let Some(waker) = &self.parked[connection].waker {
                waker.wake_by_ref();
            }
        }
    }

    fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Sending | Stage::Draining)
    }

    fn used(&mut self, now: Moment, connection: usize, server: usize) {
        self.used_last[connection * self.lifetimes.len() + server] = now;
    }

    fn idle_ns(&self, now: Moment, connection: usize, server: usize) -> u64 {
        now.since_ns(self.used_last[connection * self.lifetimes.len() + server])
    }

    fn is_past_its_life(&self, now: Moment, connection: usize, server: usize) -> bool {
        let limit_ns = self.lifetimes[server].limit_ns();
        limit_ns.is_some_and(|limit_ns| self.idle_ns(now, connection, server) >= limit_ns)
    }

    /// Wakes the connections that have idled so long that their server may close them at any moment: they are closed first.
    fn retire(&mut self, now: Moment) {
        for server in 0..self.lifetimes.len() {
            if self.lifetimes[server].limit_ns().is_none() {
                continue;
            }
            let past: Vec<_> =
                self.idle.ready(server).filter(|connection| self.is_past_its_life(now, *connection, server)).collect();
            for connection in past {
                if let Some(waker) = &self.parked[connection].waker {
                    waker.wake_by_ref();
                }
            }
        }
    }

    fn note_dropped(&mut self, now_ns: u64) {
        let dropped = self.schedule.take_dropped();
        if dropped > 0 {
            self.recorder.dropped(now_ns, dropped);
        }
    }

    /// Counts what was due before `time_ns`; without a schedule a request is due when it is sent.
    fn note_due(&mut self, time_ns: u64) {
        let due = self.schedule.due_before(time_ns).unwrap_or(self.recorder.totals().sent);
        self.recorder.due_so_far(due);
    }

    /// Requests that were due and were sent or given up, by the schedule's own count.
    fn decided(&self) -> u64 {
        self.schedule.decided().unwrap_or(self.recorder.totals().sent)
    }

    /// What is left of what was due will never be sent.
    fn give_up_rest(&mut self, now_ns: u64) {
        match self.recorder.totals().due.saturating_sub(self.decided()) {
            0 => (),
            left if self.schedule.keeps_backlog() => self.recorder.skipped(now_ns, left),
            left => self.recorder.dropped(now_ns, left),
        }
    }

    /// Wakes the connection whose turn it is, if there is something to send.
    fn call_next(&mut self, now: Moment) {
        if self.calling || self.stage != Stage::Sending || self.idle.is_empty() {
            return;
        }
        if self.schedule.ready_within(now.since_ns(self.start), self.ready_ahead_ns()).is_none() {
            return;
        }
        if let Some(connection) = self.idle.next(self.servers[self.round.peek()]) {
            self.calling = true;
            let parked = &mut self.parked[connection];
            parked.called = true;
            if let Some(waker) = &parked.waker {
                waker.wake_by_ref();
            }
        }
    }

    fn ready_ahead_ns(&self) -> u64 {
        match (self.lead.is_zero(), self.recorder.in_flight()) {
            (true, _) => 0,
            (false, 0) => READY_AHEAD_IDLE_NS,
            (false, _) => READY_AHEAD_NS,
        }
    }

    /// Passes the last moments before a due one, and gives the time after them.
    fn stay_until_due(&mut self, mut now: Moment) -> Moment {
        if let Some(due_ns) = self.schedule.ready_within(now.since_ns(self.start), self.ready_ahead_ns()) {
            let due = self.start.plus_ns(due_ns);
            while now < due {
                std::hint::spin_loop();
                now = Moment::now();
            }
        }
        now
    }

    /// The pacer went to sleep when nobody was idle: now there is somebody, for whom a slot may come earlier.
    fn ring_for_next_slot(&mut self, now_ns: u64) {
        let Some(wake_ns) = self.schedule.next_wake_ns(now_ns) else { return };
        self.ring_at(self.start.plus_ns(wake_ns).minus_ns(as_ns(self.lead)));
    }

    /// Has a pacer that sleeps longer wake up at this moment.
    fn ring_at(&mut self, wake: Moment) {
        if wake < self.rings_at {
            if let Err(error) = self.control.timer(self.thread).set(wake) {
                self.control.fail(format!("the timer of an engine thread failed: {error}"));
            }
            self.rings_at = wake;
        }
    }

    /// Brings everything up to `now`, which is given back as time since the start.
    fn observe(&mut self, now: Moment) -> u64 {
        let now_ns = now.since_ns(self.start);
        if self.stage == Stage::Sending && self.schedule.is_over(now_ns) {
            self.end_sending(now_ns);
        }
        if !matches!(self.stage, Stage::Finished(_)) {
            self.advance(now_ns);
        }
        now_ns
    }

    /// Hands over the seconds that are over, each with what was due in it.
    fn advance(&mut self, now_ns: u64) {
        while now_ns / SECOND_NS > self.recorder.second() {
            let second_end_ns = (self.recorder.second() + 1) * SECOND_NS;
            if self.stage == Stage::Sending {
                self.note_due(second_end_ns);
            }
            self.recorder.measured(|counts| self.strain.measure(counts));
            self.recorder.advance(second_end_ns);
        }
    }

    /// Nothing more is sent: what was due and found no connection is skipped or dropped.
    fn end_sending(&mut self, now_ns: u64) {
        if self.stage != Stage::Sending {
            return;
        }
        // A duration that is over has ended at its own moment, not when that was noticed.
        let end_ns = if self.schedule.has_ended(now_ns) { self.schedule.end_ns() } else { None };
        let stopped_ns = self.stopped_at.map(|stopped_at| stopped_at.since_ns(self.start));
        let last_ns = end_ns.map_or(now_ns, |end_ns| end_ns.saturating_sub(1));
        let cut_off_ns = end_ns.or(stopped_ns).filter(|_| !self.schedule.is_spent());
        if cut_off_ns.is_some() {
            self.advance(last_ns);
            self.note_due(last_ns.saturating_add(1));
        } else {
            // A count that is reached makes nothing due any more.
            self.recorder.due_so_far(self.decided());
        }
        self.stage = Stage::Draining;
        self.schedule.leave();
        self.note_dropped(last_ns);
        self.give_up_rest(last_ns);
        self.recorder.end_sending(match (cut_off_ns, self.schedule.end_of_last_ns()) {
            (Some(cut_off_ns), _) => SendingEnd::At(cut_off_ns),
            (None, Some(end_ns)) => SendingEnd::At(end_ns.max(self.recorder.last_sent_ns())),
            (None, None) => SendingEnd::LastResponse,
        });
        self.call_off_waiting();
        self.finish_if_done();
    }

    fn finish_if_done(&mut self) {
        if self.stage != Stage::Draining || self.recorder.in_flight() > 0 {
            return;
        }
        // An event belongs to the time before its run's end.
        let mut end_ns = self.recorder.last_event_ns().map_or(0, |last_ns| last_ns + 1);
        if let Some(stopped_at) = self.stopped_at {
            end_ns = end_ns.max(stopped_at.since_ns(self.start));
        } else if !self.schedule.is_spent() {
            end_ns = end_ns.max(self.schedule.end_ns().unwrap_or(0));
        }
        end_ns = end_ns.max(self.recorder.second() * SECOND_NS);
        self.stage = Stage::Finished(Ended { end_ns, stopped: self.stopped_at.is_some() });
        self.call_off_waiting();
        // Its pacer looks every few milliseconds anyway.
        let _ = self.control.timer(self.thread).ring();
    }

    /// Wakes every connection that waits for a request, rests or pauses.
    fn call_off_waiting(&mut self) {
        self.idle.clear();
        if let Some(thinking) = &mut self.thinking {
            thinking.clear();
        }
        for parked in &mut self.parked {
            if let Some(waker) = parked.waker.take() {
                waker.wake();
            }
        }
        self.watches.end_pauses();
    }

    fn tick(&mut self, now: Moment) {
        self.rings_at = now;
        let command = self.control.command();
        if self.stage == Stage::Armed {
            self.begin_or_not(now, command);
        }
        let running = matches!(self.stage, Stage::Sending | Stage::Draining);
        if running && command != RunCommand::Go && self.stopped_at.is_none() {
            self.stopped_at = Some(now);
            let now_ns = self.observe(now);
            self.end_sending(now_ns);
        }
        if self.stage == Stage::Sending {
            self.schedule.take_up();
        }
        if running {
            let now_ns = self.observe(now);
            self.note_dropped(now_ns);
            self.finish_if_done();
            self.end_rests(now);
        }
        if now >= self.next_tick {
            self.next_tick = now.plus(TICK);
            self.watches.strike(now);
            self.retire(now);
        }
        let grace_is_over = self.stopped_at.is_some_and(|stopped_at| now >= stopped_at.plus(STOP_GRACE));
        if grace_is_over || command == RunCommand::Abandon {
            self.watches.strike_all(FailureCause::Aborted);
        }
        self.call_next(now);
    }

    fn begin_or_not(&mut self, now: Moment, command: RunCommand) {
        let start = self.control.start_at();
        if command != RunCommand::Go {
            self.start = start.unwrap_or(now);
            self.recorder.begin(self.start);
            self.strain.begin();
            self.stopped_at = Some(self.start);
            self.stage = Stage::Draining;
            self.finish_if_done();
            self.call_off_waiting();
        } else if let Some(start) = start.filter(|start| *start <= now) {
            self.start = start;
            self.recorder.begin(now);
            self.strain.begin();
            self.stage = Stage::Sending;
        }
    }

    fn next_wakes(&mut self, now: Moment) -> (Moment, Moment) {
        let by_and_by = self.next_tick;
        match self.stage {
            Stage::Armed => (self.control.start_at().unwrap_or(Moment::NEVER), by_and_by),
            Stage::Finished(_) => (now, now),
            Stage::Sending | Stage::Draining => {
                let now_ns = now.since_ns(self.start);
                let second_end = self.start.plus_ns((self.recorder.second() + 1) * SECOND_NS);
                let end = self.schedule.end_ns().filter(|end_ns| *end_ns > now_ns);
                let by_and_by =
                    end.map_or(by_and_by, |end_ns| by_and_by.min(self.start.plus_ns(end_ns))).min(second_end);
                let rest_end = self.thinking.as_ref().and_then(Thinking::next_end);
                let by_and_by = rest_end.map_or(by_and_by, |rest_end| by_and_by.min(rest_end));
                // A pacer that polls stays awake for answers, too; one that sleeps is woken by who becomes idle.
                let wanted = self.stage == Stage::Sending && (!self.idle.is_empty() || !self.lead.is_zero());
                let slot_ns = if wanted { self.schedule.next_wake_ns(now_ns) } else { None };
                (slot_ns.map_or(Moment::NEVER, |ns| self.start.plus_ns(ns)), by_and_by)
            }
        }
    }
}
