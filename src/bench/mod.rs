//! `onrush bench`: the engine alone on this machine, without Kafka.
//!
//! Reading order: `args` (the command line, and the test it asks for), `plan` (the plan that the engine runs), `collect`
//! (what its seconds amount to), `view` (the result), then the run itself, below. Plan, engine and recorder are those of a driver.

mod args;
mod collect;
mod csv;
mod finished;
mod gate;
mod hdr;
mod machine;
mod plan;
mod target;
mod text;
mod view;

use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime};

use onrush_api::TestState;
use onrush_engine::{Armed, Options, Plan};

use args::BenchFormat;
pub use args::{BenchArgs, DEFAULT_CONNECTIONS};
use collect::Collector;
use csv::csv;
use finished::{BENCH, as_test, finished, report_of};
use gate::Gate;
use hdr::HdrFile;
pub use machine::Runs;
pub use plan::plan_of;
pub use target::TargetWatch;
use text::text;
use view::{AskedView, BenchView, EngineView};

use crate::console::Console;
use crate::error::{EXIT_FAILED, EXIT_THRESHOLD, Error};
use crate::report;
use crate::result::{Finished, OutputFile, deliver, json, junit, markdown, not_kept, verdicts};
use crate::signals::{LOOK_EVERY, Stop};

/// The threads know of the start so much earlier.
pub const START_AHEAD: Duration = Duration::from_millis(20);

/// `onrush bench`.
pub fn run(args: BenchArgs, console: &Console) -> Result<ExitCode, Error> {
    let config = args.config()?;
    let plan = plan_of(&config)?;
    let stop = Stop::on_signals()?;
    let machine = Runs::look(args.cpus.as_ref(), &args.engine)?;
    let output = args.output.map(OutputFile::create).transpose()?;
    let report_file = args.report.map(OutputFile::create).transpose()?;
    let mut hdr = args.hdr.map(HdrFile::create).transpose()?;

    let armed = arm(plan, machine.options.clone(), &stop)?;
    let asked = AskedView::new(&config);
    let engine = engine(&machine, &armed);
    let mut target = TargetWatch::begin(&config);
    let (start, start_wall) = (Instant::now() + START_AHEAD, SystemTime::now() + START_AHEAD);
    let mut log = hdr.as_mut().map(|file| file.begin(start_wall, &asked.url)).transpose()?;

    let mut running = armed.start(start);
    let stopper = running.stopper();
    let (mut collector, mut gate) = (Collector::of(&asked), Gate::new(&config));
    let (mut said, mut why_ended) = (false, None);
    while !collector.has_ended() {
        if stop.requested() && !std::mem::replace(&mut said, true) {
            console.note("stopping; Ctrl-C again leaves at once");
            stopper.stop();
        }
        let Some(second) = running.next_second(LOOK_EVERY) else { continue };
        collector.add(&second, target.as_mut().and_then(TargetWatch::used));
        if let Some(why) = gate.enter(&second, collector.all())
            && why_ended.is_none()
        {
            why_ended = Some(format!("stopped: {why}"));
            stopper.stop();
        }
        if let Some(log) = &mut log {
            log.write(&second)?;
        }
        let (totals, elapsed) = collector.so_far();
        if let Some(last) = collector.last() {
            let share = asked.share_done(totals.sent, elapsed.as_secs_f64());
            let (sent, failed) = (Some(totals.sent), Some(totals.failed));
            console.progress(&report::progress_of(second.index, share, last, sent, failed));
        }
    }
    drop(running);
    console.end_progress();

    let thresholds = gate.finish(collector.all());
    let distributions = report_file.as_ref().map(|_| onrush_orchestrator::histogram(BENCH, None, collector.all()));
    let mut view = collector.finish(rfc3339(start_wall), asked, engine);
    view.thresholds = thresholds;
    view.target_metrics_problem = target.as_ref().and_then(TargetWatch::problem).map(Into::into);
    view.reason = view.reason.or(why_ended);
    let verdict = verdict(&view);
    let trouble = verdict.as_ref().map(|(_, words)| words.clone());
    let shape = as_test(&view, &config);
    write(&view, &finished(&view, &shape, trouble), args.output_format, output, console)?;
    if let Some((file, distributions)) = report_file.zip(distributions) {
        file.write_bytes(report_of(&view, shape, distributions).html().as_bytes())?;
    }
    Ok(match verdict {
        None => ExitCode::SUCCESS,
        Some((code, words)) => {
            console.error(&words);
            ExitCode::from(code)
        }
    })
}

/// Opens the connections, on a thread of its own: Ctrl-C need not wait for a target that does not answer.
pub fn arm(plan: Plan, options: Options, stop: &Stop) -> Result<Armed, Error> {
    let (tell, told) = channel();
    // Nobody listens any more after Ctrl-C.
    let work = move || drop(tell.send(Armed::new(plan, options)));
    let spawned = std::thread::Builder::new().name("arm".into()).spawn(work);
    spawned.map_err(|e| Error::failed("cannot start a thread", e))?;
    loop {
        match told.recv_timeout(LOOK_EVERY) {
            Ok(armed) => return armed.map_err(|e| Error::Failed(e.to_string())),
            Err(RecvTimeoutError::Timeout) if stop.requested() => return Err(Error::Interrupted),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::Failed("the engine broke while it opened its connections".into()));
            }
        }
    }
}

fn engine(machine: &Runs, armed: &Armed) -> EngineView {
    EngineView {
        driver: armed.io().name().into(),
        wait: machine.options.wait.name().into(),
        why: machine.why.clone(),
        cpus: onrush_host::cpus::format_list(&machine.options.cpus),
        connections_open: armed.connections_open(),
    }
}

fn write(
    view: &BenchView,
    run: &Finished,
    format: BenchFormat,
    output: Option<OutputFile>,
    console: &Console,
) -> Result<(), Error> {
    let document = |format, columns| match format {
        BenchFormat::Text => Ok(text(view, columns) + &verdicts(&view.thresholds)),
        BenchFormat::Json => json(view),
        BenchFormat::Csv => Ok(csv(view)),
        BenchFormat::Junit => Ok(junit::of_run(run)),
        BenchFormat::Markdown => Ok(markdown::of_run(run)),
    };
    deliver(console, output, [format, BenchFormat::Text], document)
}

/// What is wrong with a result, as exit code and in words; `None`: nothing.
fn verdict(view: &BenchView) -> Option<(u8, String)> {
    let failed = |words: String| Some((EXIT_FAILED, words));
    match view.state {
        TestState::Completed => {}
        TestState::Stopped => {
            let by_threshold = view.thresholds.iter().any(|threshold| threshold.ended_test);
            return match &view.reason {
                Some(reason) if by_threshold && view.outcome.is_sound() => Some((EXIT_THRESHOLD, reason.clone())),
                _ => failed("it was stopped before its end".into()),
            };
        }
        _ => return failed(format!("the engine could not go on: {}", view.reason.as_deref().unwrap_or("unknown"))),
    }
    if !view.outcome.is_sound() {
        return failed(format!("the result is {}: its counts do not add up", view.outcome.name()));
    }
    let causes = || report::counted(&view.totals.failures);
    match (view.totals.sent, view.totals.responses, view.totals.answered) {
        (Some(0), ..) => return failed("nothing was sent".into()),
        (_, Some(0), _) => return failed(format!("nothing was answered; failures by cause: {}", causes())),
        (_, _, Some(0)) => return failed(format!("no response passed its checks; failures by cause: {}", causes())),
        _ => {}
    }
    not_kept(&view.thresholds).map(|words| (EXIT_THRESHOLD, words))
}

/// A moment as REST writes it.
fn rfc3339(at: SystemTime) -> String {
    let timestamp = jiff::Timestamp::try_from(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{timestamp:.3}")
}

#[cfg(test)]
mod tests {
    use onrush_api::Outcome;
    use onrush_engine::End;

    use super::*;
    use crate::threshold;
    use view::tests::{sample_run, second};

    #[test]
    fn a_result_is_judged_by_its_worst_fault() {
        let good = sample_run();
        assert_eq!(verdict(&good), None);
        let mut slow = sample_run();
        slow.thresholds =
            vec![threshold::judged(&threshold::parse("p99<1us").expect("a threshold"), &slow.totals, 10.0)];
        assert_eq!(verdict(&slow), Some((EXIT_THRESHOLD, "not kept: p99<1us".into())));
        slow.outcome = Outcome::Invalid;
        assert!(verdict(&slow).is_some_and(|(code, words)| code == EXIT_FAILED && words.contains("add up")));
        slow.state = TestState::Stopped;
        assert!(verdict(&slow).is_some_and(|(code, words)| code == EXIT_FAILED && words.contains("stopped")));
    }

    #[test]
    fn nothing_but_failures_is_a_failure_and_says_why() {
        let mut collector = Collector::default();
        collector.add(&second(0, 0, 10, Some(End::Completed)), None);
        let sample = sample_run();
        let view = collector.finish(sample.started_at, sample.asked, sample.engine);
        assert_eq!(view.outcome, Outcome::Exact, "{}", view.conservation.line);
        let (code, words) = verdict(&view).expect("nothing was answered");
        assert!(code == EXIT_FAILED && words.contains("timeout × 10"), "{words}");
    }

    #[test]
    fn moments_are_written_as_rest_writes_them() {
        let moment = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        assert_eq!(rfc3339(moment), "2023-11-14T22:13:20.123Z");
    }
}
