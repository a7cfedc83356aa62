//! `onrush ab`: two targets loaded in turn from this machine, and compared.
//!
//! Reading order: `args` (the command line; `words` splits `--a` and `--b`), `turns` (who sends when, and what counts), then the run
//! below. Two runs of the engine begin at the same moment, on the same CPUs; each pauses while the other sends.

mod args;
mod turns;
mod words;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use onrush_api::CompareView;
use onrush_compare::{Comparison, Settings};
use onrush_engine::{End, Options, Running, Wait};

pub use args::AbArgs;
use args::Asked;
use turns::Taken;

use crate::bench::{Runs, arm};
use crate::compare::{judge, write};
use crate::console::{Console, Line};
use crate::error::Error;
use crate::result::OutputFile;
use crate::signals::{LOOK_EVERY, Stop};

/// The threads know of the start so much earlier.
const START_AHEAD: Duration = Duration::from_millis(50);

/// `onrush ab`.
pub fn run(args: AbArgs, console: &Console) -> Result<ExitCode, Error> {
    let Asked { plans, turns } = args.asked()?;
    let stop = Stop::on_signals()?;
    let machine = Runs::look(args.cpus.as_ref(), &args.engine)?;
    let output = args.result.output.clone().map(OutputFile::create).transpose()?;
    // Both runs have threads on the same CPUs: one that polls would take the other's time.
    let options = Options { wait: Wait::Timer, ..machine.options.clone() };
    let [a, b] = plans.map(|plan| arm(plan, options.clone(), &stop));
    let (a, b) = (a?, b?);
    let start = Instant::now() + START_AHEAD;
    let mut runs: [Running; 2] = [a.start(start), b.start(start)];
    let mut taken = [false, true].map(|is_b| Taken::new(turns, is_b));
    let mut ended = [false; 2];
    let (mut failed, mut stopped) = (None, false);
    while ended != [true; 2] {
        if stop.requested() && !std::mem::replace(&mut stopped, true) {
            console.note("stopping; Ctrl-C again leaves at once");
            runs.iter().for_each(|run| run.stopper().stop());
        }
        for side in 0..2 {
            if ended[side] {
                continue;
            }
            let Some(second) = runs[side].next_second(LOOK_EVERY) else { continue };
            // A second that a stop cut off does not count.
            if second.end.is_none() || second.end == Some(End::Completed) {
                taken[side].add(&second);
            }
            ended[side] = second.end.is_some();
            if let Some(End::Failed(reason)) = second.end {
                failed = Some(reason);
                runs.iter().for_each(|run| run.stopper().stop());
            }
            if side == 0 {
                let share = 100 * (second.index + 1) / turns.total_s().max(1);
                console
                    .progress(&Line::default().with(8, [format!("{:>4} s {:>3} %", second.index + 1, share.min(100))]));
            }
        }
    }
    drop(runs);
    console.end_progress();
    if let Some(reason) = failed {
        return Err(Error::Failed(format!("the engine could not go on: {reason}")));
    }
    let [a, b] = taken;
    let (a, b) = a.pairs(b);
    let settings = Settings { gates: args.result.gates.clone(), ..Settings::default() };
    let comparison = Comparison::of_pairs(a, b, &settings).map_err(|error| Error::Failed(error.to_string()))?;
    let remarks = stopped.then(|| "it was stopped before its end".to_owned());
    let names = [args.url_a.clone(), args.url_b.clone()];
    let view = CompareView::of(&comparison, names, remarks.into_iter().collect());
    write(&view, args.result.output_format, output, console)?;
    Ok(judge(&view, console))
}
