//! `onrush capacity`: the highest rate at which a server keeps an SLO, found with the engine of `bench`.
//!
//! Reading order: `args` (the command line), `block` (what a second of the engine says), `view` (the result), `chart` (its picture),
//! then the run, below; `over_drivers` has an orchestrator do it. What to try next is the search's to say (`onrush_search`); here the
//! load of one run is changed, so that connections stay open.

mod args;
mod block;
mod chart;
mod over_drivers;
mod view;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use onrush_engine::{End, Phase, Shape};
use onrush_search::{Search, Step};

pub use args::{CapacityArgs, DEFAULT_CONNECTIONS};
pub use block::Blocks;
pub use chart::Chart;
use view::CapacityView;
pub use view::curve_table;

use crate::bench::{Runs, START_AHEAD, TargetWatch, arm, plan_of};
use crate::console::{Console, Line};
use crate::error::Error;
use crate::report::grouped;
use crate::report::numbers::rate;
use crate::result::{OutputFile, OutputFormat, deliver, exit_code, json};
use crate::signals::{LOOK_EVERY, Stop};

/// What a run lasts longer than its search may take.
const SPARE: Duration = Duration::from_secs(60);

/// `onrush capacity`.
pub fn run(args: CapacityArgs, console: &Console) -> Result<ExitCode, Error> {
    match args.orchestrator {
        Some(_) => over_drivers::run(args, console),
        None => run_alone(args, console),
    }
}

fn run_alone(args: CapacityArgs, console: &Console) -> Result<ExitCode, Error> {
    let goal = args.goal();
    let longest = goal.budget + SPARE;
    let config = args.config(goal.start_per_s, longest)?;
    let plan = plan_of(&config)?;
    let connections = plan.connections;
    let mut search = Search::new(goal.clone()).map_err(|error| Error::Usage(error.to_string()))?;
    let stop = Stop::on_signals()?;
    let machine = Runs::look(args.cpus.as_ref(), &args.engine)?;
    let files = Files::create(args.output, args.chart)?;

    let armed = arm(plan, machine.options.clone(), &stop)?;
    let mut target = config.target_metrics.as_ref().and_then(|_| TargetWatch::begin(&config));
    let mut running = armed.start(Instant::now() + START_AHEAD);
    let mut blocks = Blocks::new(&goal.slo, connections);
    let mut failed = None;
    loop {
        if stop.requested() {
            search.stop();
        }
        if search.found().is_some() {
            break;
        }
        let Some(second) = running.next_second(LOOK_EVERY) else { continue };
        if let Some(end) = &second.end {
            failed = if let End::Failed(reason) = end { Some(reason.clone()) } else { None };
            search.stop();
            break;
        }
        search.take(&blocks.block(&second, target.as_mut().and_then(TargetWatch::used)));
        if let Step::Change { rate_per_s } = search.next() {
            let phases = [Phase { length: longest, shape: Shape::Constant { rate_per_s } }];
            running.amend_soon(second.index + 2, &phases).map_err(|error| Error::Failed(error.to_string()))?;
        }
        let last = search.trials().last().map(|trial| (trial.rate_per_s, trial.verdict.to_string()));
        let elapsed_s = search.elapsed().as_secs_f64();
        console.progress(&progress(elapsed_s, goal.budget, search.rate_per_s(), search.trials().len(), last));
    }
    running.stopper().stop();
    drop(running);
    console.end_progress();

    let found = search.found().expect("it was stopped, or has ended by itself");
    let mut view = CapacityView::new(&config, &goal, found, failed);
    if let Some(target) = &target {
        view.of_target(&blocks.limit(), target.problem());
    }
    write(&view, args.output_format, files, console)
}

/// The files of a curve: open before it is measured, so that nothing is measured in vain.
pub struct Files {
    /// The result.
    pub output: Option<OutputFile>,
    /// The picture.
    pub chart: Option<OutputFile>,
}

impl Files {
    /// Opens those that were asked for.
    pub fn create(output: Option<PathBuf>, chart: Option<PathBuf>) -> Result<Self, Error> {
        let create = |path: Option<PathBuf>| path.map(OutputFile::create).transpose();
        Ok(Self { output: create(output)?, chart: create(chart)? })
    }
}

/// The result as it was asked for, and the exit code.
fn write(view: &CapacityView, format: OutputFormat, files: Files, console: &Console) -> Result<ExitCode, Error> {
    let document = |format, columns| match format {
        OutputFormat::Json => json(view),
        OutputFormat::Text => Ok(view.text(columns)),
    };
    deliver(console, files.output, [format, OutputFormat::Text], document)?;
    let code = exit_code(view.trouble(), console);
    view.chart().write(files.chart)?;
    Ok(code)
}

/// How far it has come: what it tries now, how many trials there were, and the last of them with its verdict.
fn progress(elapsed_s: f64, budget: Duration, trying_per_s: f64, trials: usize, last: Option<(f64, String)>) -> Line {
    let share = (elapsed_s / budget.as_secs_f64()).min(1.0) * 100.0;
    let last = last.map(|(rate_per_s, verdict)| format!("  {} was {verdict}", rate(rate_per_s)));
    Line::default()
        .with(8, [format!("{:>4} s {share:>3.0} %", elapsed_s.floor())])
        .with(6, [format!("  trying {:>9}/s", rate(trying_per_s))])
        .with(3, [format!("  trials {}", grouped(trials as u64))])
        .with(4, last)
}
