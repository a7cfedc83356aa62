//! The engine with all that a test does: schedule, reader, recorder, a report a second.

use std::time::Instant;

use onrush_engine::{Armed, Io, Mode, Options, SecondReport, Wait};
use onrush_protocol::{LatencyMs, Measured as Second, Metrics, NodeId, SessionId, TestId};

use super::{Job, Measured, Meter, Reports};
use crate::load::{follow, plan};
use crate::{Problem, machine, target};

pub fn run(job: Job) -> Result<Measured, Problem> {
    machine::pin(job.cpu)?;
    let connections = u32::try_from(job.connections)?;
    let plan = plan(&target::url(job.address), Mode::Avalanche, None, connections, job.duration)?;
    let armed = Armed::new(
        plan,
        Options { cpus: vec![job.cpu], wait: Wait::Timer, io: Io::IoUring, local_addresses: Vec::new() },
    )?;
    machine::pin(job.reports_cpu)?;
    let names = (NodeId::new("driver-1"), TestId::new("test-1"), SessionId::new("session-1"));
    let (Some(node_id), Some(test_id), Some(session_id)) = names else { return Err("these are names".into()) };
    let names = (node_id, test_id, session_id);
    let mut written_bytes = 0;
    let meter = Meter::start();
    let running = armed.start(Instant::now());
    if job.reports == Reports::AtTheEnd {
        std::thread::sleep(job.duration);
    }
    let run = follow(running, |second| {
        if job.reports == Reports::Written {
            written_bytes += message(second, &names).write().len();
        }
    })?;
    if run.totals.failed > 0 {
        return Err(format!("{} requests failed", run.totals.failed).into());
    }
    if job.reports == Reports::Written && written_bytes == 0 {
        return Err("no report was written".into());
    }
    Ok(meter.stop(run.totals.answered))
}

/// What a driver would send.
fn message(second: &SecondReport, (node_id, test_id, session_id): &(NodeId, TestId, SessionId)) -> Metrics {
    Metrics {
        node_id: node_id.clone(),
        test_id: test_id.clone(),
        report_id: None,
        latency: LatencyMs::of(&second.stats.latency),
        measured: Some(Box::new(Second {
            session_id: session_id.clone(),
            sequence: second.index,
            second_index: second.index,
            length_s: second.length.as_secs_f64(),
            started_at_unix_ms: 0.0,
            stats: second.stats.clone(),
            totals: second.totals,
            sending_s: Some(second.sending.as_secs_f64()),
            end: None,
            engine: None,
        })),
    }
}
