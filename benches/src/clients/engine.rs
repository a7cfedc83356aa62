//! The engine with all that a test does: schedule, reader, recorder, a report a second.

use std::time::Instant;

use onrush_engine::{Armed, Io, Mode, Options, Wait};

use super::{Job, Measured, Meter};
use crate::load::{finish, plan};
use crate::{Problem, machine, target};

pub fn run(job: Job) -> Result<Measured, Problem> {
    machine::pin(job.cpu)?;
    let connections = u32::try_from(job.connections)?;
    let plan = plan(&target::url(job.address), Mode::Avalanche, None, connections, job.duration)?;
    let armed = Armed::new(plan, Options { cpus: vec![job.cpu], wait: Wait::Timer, io: Io::IoUring })?;
    let meter = Meter::start();
    let run = finish(armed.start(Instant::now()))?;
    if run.totals.failed > 0 {
        return Err(format!("{} requests failed", run.totals.failed).into());
    }
    Ok(meter.stop(run.totals.answered))
}
