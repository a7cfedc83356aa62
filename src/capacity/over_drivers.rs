//! `onrush capacity --orchestrator URL`: the same search over all drivers of an orchestrator, which runs it.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use onrush_api::{Client, ClientError, Outcome, SearchView};

use super::view::CapacityView;
use super::{CapacityArgs, Files, progress, write};
use crate::console::Console;
use crate::error::{EXIT_FAILED, Error};
use crate::signals::{LOOK_EVERY, Stop};

/// How often the search is asked for.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// So long an orchestrator may be away: it goes on where it was.
const AWAY_AT_MOST: Duration = Duration::from_secs(60);
/// After the search its test ends within this: drivers that do not say so are given up by then.
const TEST_END: Duration = Duration::from_secs(45);

/// Has the search made, follows it and shows what it found.
pub fn run(mut args: CapacityArgs, console: &Console) -> Result<ExitCode, Error> {
    let Some(url) = args.orchestrator.take() else { return Err(Error::Usage("--orchestrator is missing".into())) };
    let client = args.ask.client(url)?;
    let new = args.new_search()?;
    let files = Files::create(args.output.take(), args.chart.take())?;
    // From here on Ctrl-C ends the search and not only this process.
    let stop = Stop::on_signals()?;
    let search = client.create_search(&new)?;
    console.note(&format!("search {} over the drivers of {}", search.search_id, client.address()));
    let search = follow(&client, search, new.budget, &stop, console)?;
    console.end_progress();
    let outcome = search.outcome;
    let code = write(&CapacityView::of_drivers(search), args.output_format, files, console)?;
    if outcome == Some(Outcome::Invalid) {
        console.error("the result of the search's test is invalid: its counts do not add up");
        return Ok(ExitCode::from(EXIT_FAILED));
    }
    Ok(code)
}

/// The search when it and its test are over.
fn follow(
    client: &Client,
    mut search: SearchView,
    budget: Duration,
    stop: &Stop,
    console: &Console,
) -> Result<SearchView, Error> {
    let (mut stop_sent, mut away_since) = (false, None::<Instant>);
    let mut over_since = None::<Instant>;
    loop {
        if stop.requested() && !stop_sent {
            console.note("stopping the search; Ctrl-C again leaves at once");
            match client.stop_search(&search.search_id) {
                Ok(_) => stop_sent = true,
                // It has just ended by itself.
                Err(ClientError::Refused(refusal)) if refusal.status == 409 => stop_sent = true,
                Err(ClientError::Unreachable { .. }) if away_since.is_some() => {}
                Err(error) => return Err(error.into()),
            }
        }
        match client.search(&search.search_id) {
            Ok(now) => (search, away_since) = (now, None),
            Err(ClientError::Refused(refusal)) if refusal.status < 500 => {
                return Err(ClientError::Refused(refusal).into());
            }
            Err(problem) => {
                let since = *away_since.get_or_insert_with(|| {
                    console.note(&format!("{problem}\nwaiting for it to come back"));
                    Instant::now()
                });
                if since.elapsed() > AWAY_AT_MOST {
                    return Err(problem.into());
                }
            }
        }
        if search.state.is_end() {
            let since = *over_since.get_or_insert_with(Instant::now);
            if search.outcome.is_some() || since.elapsed() > TEST_END {
                return Ok(search);
            }
        } else if let Some(trying_per_s) = search.trying_per_s {
            let trials = &search.found.trials;
            let last = trials.last().map(|trial| (trial.rate_per_s, trial.verdict.clone()));
            console.progress(&progress(search.elapsed_s, budget, trying_per_s, trials.len(), last));
        }
        let again = Instant::now() + ASK_EVERY;
        while Instant::now() < again && (stop_sent || !stop.requested()) {
            std::thread::sleep(LOOK_EVERY);
        }
    }
}
