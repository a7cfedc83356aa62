//! What a driver does on which message: a state machine that takes messages and moments, and returns actions.
//!
//! It knows up to 16 tests. Wanted is the one that was triggered (the first of them), else the one whose config came
//! last. The engine does one thing at a time; whenever it becomes free or something else is wanted, `reconcile`
//! brings the two together. A plan takes memory many times its config's: only tests that this driver takes part in get
//! one, and only while it is handed to the engine.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use onrush_engine::{Phase, Plan};
use onrush_protocol::{Amendment, NodeId, NodeState, Refusal, SessionId, Share, TestConfig, TestId, Trigger, limits};

use crate::known::{Held, Known, Role, Ticket};
use crate::moment::{HOLD, moment_of};
use crate::plan::{phases_of, plan_for};
use crate::report::Clocks;

/// Configs that are kept; the oldest goes first.
const MAX_TESTS: usize = 16;
/// Triggers that are kept for configs still to come.
const MAX_HELD: usize = 16;
/// Tests that are remembered as over, so that a repeated message does not run one again.
const MAX_OVER: usize = 256;

/// What is to be done, in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Open the connections for this plan, then call [`Node::armed`].
    Arm { ticket: Ticket, plan: Box<Plan> },
    /// Close the connections of what was armed, or call its arming off.
    Disarm,
    /// Start what was armed, then call [`Node::ended`] when it is over.
    Start { test_id: TestId, at: Instant },
    /// Change the load of what runs, then call [`Node::amended`].
    Amend { at_second: u64, phases: Vec<Phase> },
    /// Stop what runs.
    Stop,
    /// The test will not be run, and why.
    Refused(Refusal),
}

/// What the engine is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Work {
    Free,
    Arming(Ticket),
    /// Nobody wants any more what is being armed.
    CallingOff(Ticket),
    Armed(Ticket),
    Running(TestId),
}

/// The state of a driver.
#[derive(Debug)]
pub(crate) struct Node {
    node_id: NodeId,
    session_id: SessionId,
    default_target: Option<String>,
    /// In the order in which their configs came last.
    tests: VecDeque<Known>,
    held: VecDeque<(TestId, Held, Instant)>,
    over: VecDeque<TestId>,
    work: Work,
    refusal: Option<Refusal>,
    editions: u64,
    /// Of what runs: how many changes of its load were handed to the engine, and when they took effect.
    amendments: usize,
    amended_at: Vec<Option<u64>>,
    /// The plan of the config that came just now.
    fresh: Option<(Ticket, Plan)>,
}

impl Node {
    pub fn new(node_id: NodeId, session_id: SessionId, default_target: Option<String>) -> Self {
        Self {
            node_id,
            session_id,
            default_target,
            tests: VecDeque::new(),
            held: VecDeque::new(),
            over: VecDeque::new(),
            work: Work::Free,
            refusal: None,
            editions: 0,
            amendments: 0,
            amended_at: Vec::new(),
            fresh: None,
        }
    }

    /// What heartbeats say: the state, and the test that it is about.
    pub fn state(&self) -> (NodeState, Option<&TestId>) {
        match &self.work {
            Work::Free | Work::Arming(_) | Work::CallingOff(_) => (NodeState::Idle, None),
            Work::Armed(ticket) => (NodeState::Armed, Some(&ticket.test_id)),
            Work::Running(test_id) => (NodeState::Running, Some(test_id)),
        }
    }

    /// Which share of its schedule the test is armed with, where it has one.
    pub fn share(&self) -> Option<Share> {
        let Work::Armed(ticket) = &self.work else { return None };
        let known = self.tests.iter().find(|known| known.ticket == *ticket)?;
        known.config()?.share_of(&self.node_id)
    }

    /// The last refusal.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// Whether the engine has nothing to do.
    pub fn is_free(&self) -> bool {
        self.work == Work::Free
    }

    /// A test was described, or described again.
    pub fn config(&mut self, mut config: TestConfig, now: Instant) -> Vec<Action> {
        let test_id = config.test_id.clone();
        let amendments = std::mem::take(&mut config.amendments);
        if self.work == Work::Running(test_id.clone()) {
            return self.amend(&amendments);
        }
        if self.over.contains(&test_id) {
            tracing::debug!(%test_id, "a config of a test that was started or stopped already");
            return Vec::new();
        }
        let takes_part = self.takes_part(&config);
        if !config.is_shared() {
            // Others may take part without its being another load.
            config.participants = None;
        }
        let before = self.position(&test_id).and_then(|at| self.tests.remove(at));
        let held = self.take_held(&test_id, now);
        if held == Some(Held::Stop) {
            tracing::info!(%test_id, "the test was stopped before its config came");
            self.finish(test_id);
            return Vec::new();
        }
        if !takes_part {
            if before.is_none_or(|known| known.can_run()) {
                tracing::warn!(
                    "this driver is not among the participants of test {test_id}; GET /v1/drivers of the orchestrator says why"
                );
            }
            let ticket = Ticket { test_id, edition: 0 };
            self.tests.push_back(Known { ticket, role: Role::None, start: None, amendments: Vec::new() });
            self.forget_oldest();
            return self.reconcile(None, now);
        }
        let mut start = before.as_ref().and_then(|known| known.start);
        // The same load with other participants keeps its connections.
        let ticket = match before {
            Some(known) if known.config() == Some(&config) => known.ticket,
            _ => {
                self.editions += 1;
                Ticket { test_id: test_id.clone(), edition: self.editions }
            }
        };
        let plan = plan_for(&config, &self.node_id, self.default_target.as_deref());
        let refused = match (plan, held) {
            (Err(reason), _) => Some(reason),
            (Ok(_), Some(Held::Refuse(reason))) => Some(reason),
            (Ok(plan), held) => {
                if let Some(Held::Start(moment)) = held {
                    start = Some(moment);
                }
                self.fresh = Some((ticket.clone(), plan));
                None
            }
        };
        let role = Role::Runs(Box::new(config));
        let mut known = Known { ticket, role, start, amendments };
        let refused = refused.map(|reason| {
            known.refuse();
            self.refuse(test_id, reason)
        });
        self.tests.push_back(known);
        self.forget_oldest();
        let actions = self.reconcile(refused, now);
        self.fresh = None;
        actions
    }

    /// A config came that cannot be read, except for the test that it is about.
    pub fn unreadable_config(&mut self, test_id: TestId, reason: String) -> Vec<Action> {
        if self.over.contains(&test_id) || self.position(&test_id).is_some() {
            return Vec::new();
        }
        vec![self.refuse(test_id, format!("the config cannot be read: {reason}"))]
    }

    /// A test is to be started or stopped. `age`: how long ago a trigger that names no moment may have been sent.
    pub fn trigger(&mut self, trigger: &Trigger, clocks: Clocks, age: Duration) -> Vec<Action> {
        let test_id = trigger.test_id.clone();
        let now = clocks.monotonic;
        if self.work == Work::Running(test_id.clone()) {
            return if trigger.start { Vec::new() } else { vec![Action::Stop] };
        }
        if self.over.contains(&test_id) {
            tracing::debug!(%test_id, "a trigger of a test that was started or stopped already");
            return Vec::new();
        }
        let Some(at) = self.position(&test_id) else {
            let held = match moment_of(trigger, &self.node_id, clocks, age) {
                _ if !trigger.start => Held::Stop,
                Ok(moment) => Held::Start(moment),
                Err(reason) => Held::Refuse(reason),
            };
            self.hold(test_id, held, now);
            return Vec::new();
        };
        let mut refused = None;
        if !trigger.start {
            self.tests.remove(at);
            self.finish(test_id);
        } else if !self.tests[at].can_run() {
            tracing::info!(%test_id, "triggered, but this driver takes no part in that test");
        } else if self.tests[at].start.is_none() {
            match moment_of(trigger, &self.node_id, clocks, age) {
                Ok(moment) => self.tests[at].start = Some(moment),
                Err(reason) => {
                    self.tests[at].refuse();
                    refused = Some(self.refuse(test_id, reason));
                }
            }
        }
        self.reconcile(refused, now)
    }

    /// The connections are open, or there is a reason why they are not.
    pub fn armed(&mut self, ticket: &Ticket, result: Result<(), String>, now: Instant) -> Vec<Action> {
        let is_called_off = self.work == Work::CallingOff(ticket.clone());
        if !is_called_off && self.work != Work::Arming(ticket.clone()) {
            return Vec::new();
        }
        let mut refused = None;
        match result {
            Ok(()) => self.work = Work::Armed(ticket.clone()),
            Err(_) if is_called_off => self.work = Work::Free,
            Err(reason) => {
                self.work = Work::Free;
                if let Some(known) = self.tests.iter_mut().find(|known| known.ticket == *ticket) {
                    known.refuse();
                    refused = Some(self.refuse(ticket.test_id.clone(), reason));
                }
            }
        }
        self.reconcile(refused, now)
    }

    /// The changes of the load of what runs that are new.
    fn amend(&mut self, amendments: &[Amendment]) -> Vec<Action> {
        let new = amendments.iter().take(limits::MAX_AMENDMENTS).skip(self.amendments);
        let action = |amendment: &Amendment| Action::Amend {
            at_second: amendment.at_second,
            phases: phases_of(&amendment.profile),
        };
        let actions: Vec<Action> = new.map(action).collect();
        self.amendments += actions.len();
        actions
    }

    /// The engine took a change of its load, which takes effect at this second; `None`: it could not.
    pub fn amended(&mut self, at_second: Option<u64>) {
        self.amended_at.push(at_second);
    }

    /// When the changes of the load of what runs take effect.
    pub fn amended_at(&self) -> &[Option<u64>] {
        if matches!(self.work, Work::Running(_)) { &self.amended_at } else { &[] }
    }

    /// What ran is over.
    pub fn ended(&mut self, now: Instant) -> Vec<Action> {
        if matches!(self.work, Work::Running(_)) {
            self.work = Work::Free;
        }
        self.reconcile(None, now)
    }

    /// Forgets triggers whose config never came.
    pub fn tick(&mut self, now: Instant) {
        while let Some((test_id, _, since)) = self.held.front()
            && now.saturating_duration_since(*since) > HOLD
        {
            tracing::warn!(%test_id, "a trigger is dropped: its config did not come within {HOLD:?}");
            self.held.pop_front();
        }
    }

    /// The driver ends: nothing is wanted any more.
    pub fn shut_down(&mut self, now: Instant) -> Vec<Action> {
        self.tests.clear();
        self.held.clear();
        match self.work {
            Work::Running(_) => vec![Action::Stop],
            _ => self.reconcile(None, now),
        }
    }

    fn takes_part(&self, config: &TestConfig) -> bool {
        config.participants.as_ref().is_none_or(|list| {
            list.iter().any(|participant| {
                participant.node_id == self.node_id
                    && participant.session_id.as_ref().is_none_or(|session| *session == self.session_id)
            })
        })
    }

    fn position(&self, test_id: &TestId) -> Option<usize> {
        self.tests.iter().position(|known| known.ticket.test_id == *test_id)
    }

    /// The first that was triggered, else the last that was described.
    fn wanted(&self) -> Option<&Known> {
        let can_run = || self.tests.iter().filter(|known| known.can_run());
        can_run().find(|known| known.start.is_some()).or_else(|| can_run().next_back())
    }

    /// Brings what the engine does and what is wanted together.
    fn reconcile(&mut self, first: Option<Action>, now: Instant) -> Vec<Action> {
        let mut actions: Vec<Action> = first.into_iter().collect();
        // Connections that opened too late, or a driver that stood still: it is over for the others.
        while let Some((at, reason)) = self.too_late(now) {
            let known = &mut self.tests[at];
            known.refuse();
            let test_id = known.ticket.test_id.clone();
            actions.push(self.refuse(test_id, reason));
        }
        if let Work::Arming(ticket) = &self.work
            && self.wanted().is_none_or(|known| known.ticket != *ticket)
        {
            // A target that does not answer may keep an arming waiting for an hour.
            actions.push(Action::Disarm);
            self.work = Work::CallingOff(ticket.clone());
        }
        if let Work::Armed(ticket) = &self.work {
            let wanted = self.wanted().filter(|known| known.ticket == *ticket);
            match wanted.map(|known| known.start) {
                Some(None) => {}
                Some(Some(moment)) => {
                    let test_id = ticket.test_id.clone();
                    actions.push(Action::Start { test_id: test_id.clone(), at: moment.at });
                    let amendments = self.position(&test_id).map(|at| std::mem::take(&mut self.tests[at].amendments));
                    self.tests.retain(|known| known.ticket.test_id != test_id);
                    self.finish(test_id.clone());
                    self.work = Work::Running(test_id);
                    (self.amendments, self.amended_at) = (0, Vec::new());
                    // A config may overtake the trigger.
                    actions.extend(self.amend(&amendments.unwrap_or_default()));
                }
                None => {
                    actions.push(Action::Disarm);
                    self.work = Work::Free;
                }
            }
        }
        if self.work == Work::Free
            && let Some(ticket) = self.wanted().map(|known| known.ticket.clone())
            && let Some(plan) = self.plan(&ticket)
        {
            self.work = Work::Arming(ticket.clone());
            actions.push(Action::Arm { ticket, plan: Box::new(plan) });
        }
        actions
    }

    /// A triggered test for whose start it is too late, and the reason.
    fn too_late(&self, now: Instant) -> Option<(usize, String)> {
        let too_late = |known: &Known| known.start.filter(|_| known.can_run())?.too_late(now);
        self.tests.iter().enumerate().find_map(|(at, known)| Some((at, too_late(known)?)))
    }

    /// The plan of a test: the one that was made when its config came just now, or made again.
    fn plan(&mut self, ticket: &Ticket) -> Option<Plan> {
        if let Some((_, plan)) = self.fresh.take_if(|(of, _)| of == ticket) {
            return Some(plan);
        }
        let known = self.tests.iter().find(|known| known.ticket == *ticket)?;
        // It was fine when its config came, and nothing has changed since.
        plan_for(known.config()?, &self.node_id, self.default_target.as_deref()).ok()
    }

    fn refuse(&mut self, test_id: TestId, reason: String) -> Action {
        let refusal = Refusal { test_id, reason };
        self.refusal = Some(refusal.clone());
        Action::Refused(refusal)
    }

    /// The test will never be started again.
    fn finish(&mut self, test_id: TestId) {
        if self.over.len() == MAX_OVER {
            self.over.pop_front();
        }
        self.over.push_back(test_id);
    }

    fn forget_oldest(&mut self) {
        while self.tests.len() > MAX_TESTS {
            let first = |is_least: fn(&Known) -> bool| self.tests.iter().position(is_least);
            let oldest = first(|known| !known.can_run()).or_else(|| first(|known| known.start.is_none())).unwrap_or(0);
            let known = self.tests.remove(oldest);
            let test_id = known.map(|known| known.ticket.test_id);
            tracing::debug!(?test_id, "a config is forgotten for a newer one");
        }
    }

    fn hold(&mut self, test_id: TestId, held: Held, now: Instant) {
        match &held {
            Held::Refuse(reason) => tracing::warn!(%test_id, "a trigger came whose config is not known: {reason}"),
            _ => tracing::info!(%test_id, "a trigger came before its config; it is kept for {HOLD:?}"),
        }
        // What was said last about a test is what counts.
        self.held.retain(|(of, ..)| *of != test_id);
        if self.held.len() == MAX_HELD {
            self.held.pop_front();
        }
        self.held.push_back((test_id, held, now));
    }

    fn take_held(&mut self, test_id: &TestId, now: Instant) -> Option<Held> {
        self.tick(now);
        let at = self.held.iter().position(|(of, ..)| of == test_id)?;
        self.held.remove(at).map(|(_, held, _)| held)
    }
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
