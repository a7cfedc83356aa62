//! What a driver does on which message: a state machine that takes messages and moments, and returns actions.
//!
//! It knows up to 16 tests. Wanted is the one that was triggered (the first of them), else the one whose config came
//! last. The engine does one thing at a time; whenever it becomes free or something else is wanted, `reconcile`
//! brings the two together.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use onrush_engine::Plan;
use onrush_protocol::{NodeId, NodeState, Refusal, SessionId, TestConfig, TestId, Trigger};

use crate::plan::plan_for;

/// Configs that are kept; the oldest goes first.
const MAX_TESTS: usize = 16;
/// Triggers that are kept for configs still to come.
const MAX_HELD: usize = 16;
/// How long such a trigger is kept.
const HOLD: Duration = Duration::from_secs(60);
/// Tests that are remembered as over, so that a repeated message does not run one again.
const MAX_OVER: usize = 256;

/// Names one arming: a test, and which edition of its plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub test_id: TestId,
    pub edition: u64,
}

/// What is to be done, in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Open the connections for this plan, then call [`Node::armed`].
    Arm { ticket: Ticket, plan: Box<Plan> },
    /// Close the connections of what was armed.
    Disarm,
    /// Start what was armed, then call [`Node::ended`] when it is over. `None`: at once.
    Start { test_id: TestId, start_at_unix_ms: Option<f64> },
    /// Stop what runs.
    Stop,
    /// The test will not be run, and why.
    Refused(Refusal),
}

/// A test that is not over.
#[derive(Debug)]
struct Known {
    ticket: Ticket,
    /// Whether we are among its participants.
    takes_part: bool,
    /// Its plan, or why it was refused.
    plan: Result<Plan, String>,
    /// Its trigger, once it came.
    trigger: Option<Trigger>,
}

impl Known {
    fn can_run(&self) -> bool {
        self.takes_part && self.plan.is_ok()
    }
}

/// What the engine is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Work {
    Free,
    Arming(Ticket),
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
    held: VecDeque<(Trigger, Instant)>,
    over: VecDeque<TestId>,
    work: Work,
    refusal: Option<Refusal>,
    editions: u64,
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
        }
    }

    /// What heartbeats say: the state, and the test that it is about.
    pub fn state(&self) -> (NodeState, Option<&TestId>) {
        match &self.work {
            Work::Free | Work::Arming(_) => (NodeState::Idle, None),
            Work::Armed(ticket) => (NodeState::Armed, Some(&ticket.test_id)),
            Work::Running(test_id) => (NodeState::Running, Some(test_id)),
        }
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
    pub fn config(&mut self, config: &TestConfig, now: Instant) -> Vec<Action> {
        let test_id = &config.test_id;
        if self.over.contains(test_id) {
            tracing::debug!(%test_id, "a config of a test that was started or stopped already");
            return Vec::new();
        }
        let takes_part = self.takes_part(config);
        let plan = plan_for(config, self.default_target.as_deref());
        let before = self.position(test_id).and_then(|at| self.tests.remove(at));
        let mut trigger = before.as_ref().and_then(|known| known.trigger.clone());
        // The same load with other participants keeps its connections.
        let ticket = match before {
            Some(known) if known.plan == plan => known.ticket,
            _ => {
                self.editions += 1;
                Ticket { test_id: test_id.clone(), edition: self.editions }
            }
        };
        let reason = plan.as_ref().err().filter(|_| takes_part).cloned();
        if let Some(held) = self.take_held(test_id, now) {
            if !held.start {
                tracing::info!(%test_id, "the test was stopped before its config came");
                self.finish(test_id.clone());
                return Vec::new();
            }
            trigger = Some(held);
        }
        self.tests.push_back(Known { ticket, takes_part, plan, trigger });
        self.forget_oldest();
        let refused = reason.map(|reason| self.refuse(test_id.clone(), reason));
        self.reconcile(refused)
    }

    /// A config came that cannot be read, except for the test that it is about.
    pub fn unreadable_config(&mut self, test_id: TestId, reason: String) -> Vec<Action> {
        if self.over.contains(&test_id) || self.position(&test_id).is_some() {
            return Vec::new();
        }
        vec![self.refuse(test_id, format!("the config cannot be read: {reason}"))]
    }

    /// A test is to be started or stopped.
    pub fn trigger(&mut self, trigger: Trigger, now: Instant) -> Vec<Action> {
        let test_id = trigger.test_id.clone();
        let known = self.position(&test_id);
        match known {
            _ if self.work == Work::Running(test_id.clone()) => {
                return if trigger.start { Vec::new() } else { vec![Action::Stop] };
            }
            _ if self.over.contains(&test_id) => {
                tracing::debug!(%test_id, "a trigger of a test that was started or stopped already");
            }
            None => self.hold(trigger, now),
            Some(at) if !trigger.start => {
                self.tests.remove(at);
                self.finish(test_id);
            }
            Some(at) if self.tests[at].can_run() => {
                self.tests[at].trigger.get_or_insert(trigger);
            }
            Some(_) => tracing::info!(%test_id, "triggered, but this driver takes no part in that test"),
        }
        self.reconcile(None)
    }

    /// The connections are open, or there is a reason why they are not.
    pub fn armed(&mut self, ticket: &Ticket, result: Result<(), String>) -> Vec<Action> {
        if self.work != Work::Arming(ticket.clone()) {
            return Vec::new();
        }
        let mut refused = None;
        match result {
            Ok(()) => self.work = Work::Armed(ticket.clone()),
            Err(reason) => {
                self.work = Work::Free;
                if let Some(known) = self.tests.iter_mut().find(|known| known.ticket == *ticket) {
                    known.plan = Err(reason.clone());
                    known.trigger = None;
                    if known.takes_part {
                        refused = Some(self.refuse(ticket.test_id.clone(), reason));
                    }
                }
            }
        }
        self.reconcile(refused)
    }

    /// What ran is over.
    pub fn ended(&mut self) -> Vec<Action> {
        if matches!(self.work, Work::Running(_)) {
            self.work = Work::Free;
        }
        self.reconcile(None)
    }

    /// Forgets triggers whose config never came.
    pub fn tick(&mut self, now: Instant) {
        while let Some((trigger, since)) = self.held.front()
            && now.saturating_duration_since(*since) > HOLD
        {
            tracing::warn!(test_id = %trigger.test_id, "a trigger is dropped: its config did not come within {HOLD:?}");
            self.held.pop_front();
        }
    }

    /// The driver ends: nothing is wanted any more.
    pub fn shut_down(&mut self) -> Vec<Action> {
        self.tests.clear();
        self.held.clear();
        match self.work {
            Work::Running(_) => vec![Action::Stop],
            _ => self.reconcile(None),
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
        can_run().find(|known| known.trigger.is_some()).or_else(|| can_run().next_back())
    }

    /// Brings what the engine does and what is wanted together.
    fn reconcile(&mut self, first: Option<Action>) -> Vec<Action> {
        let mut actions: Vec<Action> = first.into_iter().collect();
        if let Work::Armed(ticket) = &self.work {
            let wanted = self.wanted().filter(|known| known.ticket == *ticket);
            match wanted.map(|known| known.trigger.clone()) {
                Some(None) => {}
                Some(Some(trigger)) => {
                    let test_id = trigger.test_id;
                    actions
                        .push(Action::Start { test_id: test_id.clone(), start_at_unix_ms: trigger.start_at_unix_ms });
                    self.tests.retain(|known| known.ticket.test_id != test_id);
                    self.finish(test_id.clone());
                    self.work = Work::Running(test_id);
                }
                None => {
                    actions.push(Action::Disarm);
                    self.work = Work::Free;
                }
            }
        }
        if self.work == Work::Free
            && let Some(Known { ticket, plan: Ok(plan), .. }) = self.wanted()
        {
            let (ticket, plan) = (ticket.clone(), Box::new(plan.clone()));
            self.work = Work::Arming(ticket.clone());
            actions.push(Action::Arm { ticket, plan });
        }
        actions
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
            let oldest = self.tests.iter().position(|known| known.trigger.is_none()).unwrap_or(0);
            let known = self.tests.remove(oldest);
            let test_id = known.map(|known| known.ticket.test_id);
            tracing::debug!(?test_id, "a config is forgotten for a newer one");
        }
    }

    fn hold(&mut self, trigger: Trigger, now: Instant) {
        tracing::info!(test_id = %trigger.test_id, "a trigger came before its config; it is kept for {HOLD:?}");
        // What was said last about a test is what counts.
        self.held.retain(|(held, _)| held.test_id != trigger.test_id);
        if self.held.len() == MAX_HELD {
            self.held.pop_front();
        }
        self.held.push_back((trigger, now));
    }

    fn take_held(&mut self, test_id: &TestId, now: Instant) -> Option<Trigger> {
        self.tick(now);
        let at = self.held.iter().position(|(held, _)| held.test_id == *test_id)?;
        self.held.remove(at).map(|(trigger, _)| trigger)
    }
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
