//! The task of each thread that keeps time: it ticks the shard, precisely when a request is due and every few
//! milliseconds anyway.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::clock::{Moment, as_ns};
use crate::control::Control;
use crate::shard::Shard;
use crate::timer::Bell;
use crate::turn::Turn;

/// A pacer that polls goes to sleep only where the next due moment is farther away than this, and wakes up this
/// long before it: a sleep's lateness stays well below.
pub(crate) const POLL_LEAD: Duration = Duration::from_millis(2);

/// Runs until the shard's run is over. With a `lead` above zero it polls that long before every due moment.
pub(crate) async fn keep_time(
    shard: Rc<Shard>,
    control: &Control,
    thread: usize,
    bell: Bell,
    turn: &Turn,
    lead: Duration,
) -> io::Result<()> {
    loop {
        let news = control.news();
        let now = Moment::now();
        if shard.tick(now) {
            return Ok(());
        }
        let (precise, by_and_by) = shard.next_wakes(now);
        if !lead.is_zero() && precise <= now.plus(lead) {
            turn.pass().await;
            continue;
        }
        let rings_at = by_and_by.min(precise.minus_ns(as_ns(lead)));
        shard.will_ring_at(rings_at);
        control.timer(thread).set(rings_at)?;
        // What was told before the timer was set has rung in vain.
        if control.news() == news {
            bell.wait().await?;
        }
    }
}
