//! `onrush sweep`: the curve of latency over load, by one run whose rate rises in steps.

mod args;
mod view;

use std::process::ExitCode;
use std::time::Instant;

use onrush_engine::End;
use onrush_search::Block;

pub use args::SweepArgs;
use view::SweepView;

use crate::bench::{Runs, START_AHEAD, arm, plan_of};
use crate::capacity::{Blocks, Files};
use crate::console::{Console, Line};
use crate::error::Error;
use crate::report::numbers::rate;
use crate::result::{OutputFormat, deliver, exit_code, json};
use crate::signals::{LOOK_EVERY, Stop};

/// Seconds after each change of rate that do not count: queues and caches have to follow it.
pub const WARM_UP_S: u64 = 2;

/// What one step measured.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// The seconds that count.
    pub blocks: Vec<Block>,
    /// Those that this machine spoilt.
    pub void_seconds: u64,
}

/// `onrush sweep`.
pub fn run(args: SweepArgs, console: &Console) -> Result<ExitCode, Error> {
    let config = args.config()?;
    let plan = plan_of(&config)?;
    let connections = plan.connections;
    let stop = Stop::on_signals()?;
    let machine = Runs::look(args.cpus.as_ref(), &args.engine)?;
    let files = Files::create(args.output.clone(), args.chart.clone())?;
    let rates = args.rates.rates_per_s();

    let mut running = arm(plan, machine.options.clone(), &stop)?.start(Instant::now() + START_AHEAD);
    let stopper = running.stopper();
    let mut blocks = Blocks::new(&[], connections);
    let mut steps = vec![Step::default(); rates.len()];
    let mut failed = None;
    let each_s = args.each.as_secs();
    loop {
        if stop.requested() {
            stopper.stop();
        }
        let Some(second) = running.next_second(LOOK_EVERY) else { continue };
        let block = blocks.block(&second, None);
        let place = usize::try_from(second.index / each_s).unwrap_or(usize::MAX);
        if let (Some(step), Some(rate_per_s)) = (steps.get_mut(place), rates.get(place)) {
            let is_whole = second.end.is_none() && second.index % each_s >= WARM_UP_S;
            match block.void {
                Some(_) => step.void_seconds += u64::from(is_whole),
                None if is_whole => step.blocks.push(block),
                None => {}
            }
            let line =
                format!("{:>4} s  step {} of {}: {}/s", second.index + 1, place + 1, rates.len(), rate(*rate_per_s));
            console.progress(&Line::default().with(8, [line]));
        }
        match second.end {
            None => {}
            Some(End::Failed(reason)) => {
                failed = Some(reason);
                break;
            }
            Some(_) => break,
        }
    }
    drop(running);
    console.end_progress();

    let view = SweepView::new(&config, &rates, &steps, failed);
    let document = |format, columns| match format {
        OutputFormat::Json => json(&view),
        OutputFormat::Text => Ok(view.text(columns)),
    };
    deliver(console, files.output, [args.output_format, OutputFormat::Text], document)?;
    let code = exit_code(view.trouble(), console);
    view.chart().write(files.chart)?;
    Ok(code)
}
