//! The capacity search: the highest rate at which a target keeps an SLO, as an interval with a confidence.
//!
//! [`Search`] says which rate comes next ([`Search::next`]) and is told what a second or so of it measured ([`Search::take`]). It refuses
//! to know clocks, sockets and who sends the load: the same search runs over one engine, over many drivers and over a simulated
//! queue.
//!
//! How it works, and where that is from:
//!
//! - A criterion like `p99<50ms` is a share: fewer than 1 % of the requests due break it. A share has an exact interval
//!   (`binomial`), on the effective number of requests, since latencies are correlated in time (`dispersion`).
//!   Failures that never came show no bursts: there each request counts by itself, and all loads from one on together (`estimate`).
//! - A **trial** is a stretch of time at one **load**, after a warm-up that does not count. It is good, bad or **void**: what the
//!   generator spoilt says nothing of the target (`trial`). While the capacity is far it ends as soon as its intervals lie on one side of the SLO. Near
//!   the capacity it lasts as long as it was planned: one that ended with the first burst, or before it, would count bursts wrongly.
//! - What an overload leaves behind is served before the next trial, at half its rate, or at a tenth. A target that does not recover at a load that it
//!   kept before is gone, and the bounds are from before.
//! - The rate is doubled until a trial is bad. From then on every trial counts: a curve is fitted to the shares near the limit,
//!   and the capacity is where it meets the limit, with the interval of its profile likelihood (`estimate`, `fit`). The next trial is where it tells
//!   most, and takes a fixed part of the time spent so far, so that time is spent near the capacity. How sure the interval is depends on
//!   the number of bursts seen, and it reaches at least to the loads that were tried on both sides.
//! - The words and the rules are those of MLRsearch (draft-ietf-bmwg-mlrsearch): lower and upper bound, goal width, and one bad trial does
//!   not make a load bad. A trial that contradicts the others is repeated; the hiccup is outvoted, set aside and shown.
//! - At the end the lower bound is held once more (`search`).

mod binomial;
mod block;
mod dispersion;
mod estimate;
mod fit;
mod found;
mod goal;
mod grid;
mod ledger;
mod math;
mod plan;
mod search;
mod second;
mod sweep;
mod trial;

pub use block::{Block, Spoilt};
pub use found::{CURVE_QUANTILES, CurvePoint, CurveQuantile, Ended, Found};
pub use goal::{Criterion, Goal, GoalError, MAX_BUDGET, MAX_CRITERIA, MAX_WIDTH, MIN_WIDTH};
pub use search::{Search, Step};
pub use second::later_by_summary;
pub use trial::{Broken, Purpose, Trial, Verdict};
