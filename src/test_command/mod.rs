//! `onrush test …`: what a user does with tests, through the orchestrator's REST interface.

mod args;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::console::Console;
use crate::error::Error;
use crate::file::write_whole;
use crate::follow::{Wish, follow};
use crate::report;
use crate::result::{OutputFormat, ResultFormat, ResultWriter, json};
use crate::signals::Stop;
pub use args::TestArgs;
use args::{
    DeleteArgs, ExportArgs, ImportArgs, ListArgs, MAX_LISTED, NamedArgs, ReportArgs, SetArgs, ShowArgs, StartArgs,
    StopArgs, TestCommand,
};
use onrush_api::{Client, ClientError, TestState, TestSummary, TestView};

/// `onrush test`.
pub fn run(args: TestArgs, console: &Console) -> Result<ExitCode, Error> {
    let client = args.ask.client(args.orchestrator)?;
    match args.command {
        TestCommand::Start(args) => start(&client, *args, console),
        TestCommand::List(args) => list(&client, &args, console),
        TestCommand::Show(args) => show(&client, args, console),
        TestCommand::Trigger(args) => trigger(&client, &args, console),
        TestCommand::Set(args) => set(&client, &args, console),
        TestCommand::Stop(args) => stop(&client, &args, console),
        TestCommand::Watch(args) => watch(&client, args, console),
        TestCommand::Delete(args) => delete(&client, &args, console),
        TestCommand::Export(args) => export(&client, &args, console),
        TestCommand::Import(args) => import(&client, &args, console),
        TestCommand::Report(args) => write_report(&client, &args, console),
    }
}

fn start(client: &Client, mut args: StartArgs, console: &Console) -> Result<ExitCode, Error> {
    let new_test = args.new_test()?;
    // They are a part of the test by now.
    args.result.thresholds.clear();
    let (no_trigger, no_wait, format) = (args.no_trigger, args.no_wait, args.result.output_format);
    let writer = ResultWriter::open(args.result)?;
    // From here on Ctrl-C ends the test and not only this process.
    let stop = Stop::on_signals()?;
    let test = client.create(&new_test)?;
    if no_trigger || no_wait {
        let text = match format {
            ResultFormat::Json => json(&test)?,
            // There is no result yet.
            ResultFormat::Text | ResultFormat::Junit | ResultFormat::Markdown => format!("{}\n", test.test_id),
        };
        console.result(&text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let drivers: Vec<&str> = test.participants.iter().map(|part| part.node_id.as_str()).collect();
    console.note(&format!("test {} on {}", test.test_id, drivers.join(", ")));
    let wish = || Ok(if stop.requested() { Wish::StopTest } else { Wish::GoOn });
    let (test, metrics) = follow(client, test, console, wish)?;
    writer.write(console, &test, &metrics, "", true)
}

fn list(client: &Client, args: &ListArgs, console: &Console) -> Result<ExitCode, Error> {
    let asked = [("name", &args.name), ("state", &args.state)];
    let asked: Vec<(&str, &str)> = asked.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
    let tests = client.tests_where(args.limit, &asked)?;
    match args.output_format {
        OutputFormat::Json => console.result(&json(&tests)?)?,
        OutputFormat::Text if tests.is_empty() && !asked.is_empty() => console.note("no test is like that"),
        OutputFormat::Text if tests.is_empty() => console.note("no tests yet; `onrush test start` starts one"),
        OutputFormat::Text => console.result(&report::tests(&tests))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn show(client: &Client, args: ShowArgs, console: &Console) -> Result<ExitCode, Error> {
    let writer = ResultWriter::open(args.result)?;
    let test = find(client, args.test_id.as_deref())?;
    let metrics = client.metrics(&test.test_id)?;
    let details = format!("\n{}", report::events(&test));
    // Whoever only looks has succeeded by seeing it.
    let judge = writer.has_thresholds();
    writer.write(console, &test, &metrics, &details, judge)
}

fn trigger(client: &Client, args: &NamedArgs, console: &Console) -> Result<ExitCode, Error> {
    let test_id = find(client, Some(&args.test_id))?.test_id;
    client.trigger(&test_id)?;
    console.note(&format!("test {test_id} starts; `onrush test watch {test_id}` follows it"));
    Ok(ExitCode::SUCCESS)
}

fn set(client: &Client, args: &SetArgs, console: &Console) -> Result<ExitCode, Error> {
    let test_id = find(client, args.test_id.as_deref())?.test_id;
    let test = client.change(&test_id, &args.change())?;
    if let Some(made) = test.amendments.last() {
        console.note(&format!("test {test_id} changes at second {}: {}", made.at_second, made.profile));
    }
    Ok(ExitCode::SUCCESS)
}

fn stop(client: &Client, args: &StopArgs, console: &Console) -> Result<ExitCode, Error> {
    let Some(test_id) = &args.test_id else {
        let stopped = client.stop_all()?.stopped;
        let words = if stopped.is_empty() {
            "nothing runs".to_owned()
        } else {
            format!("told to stop: {}", stopped.join(", "))
        };
        console.note(&words);
        return Ok(ExitCode::SUCCESS);
    };
    // A test that nobody knows of may run all the same: the orchestrator is told, and says what it did.
    let test = client.stop(&id_of(client, test_id)?)?;
    let words = if test.state.is_end() { "has ended" } else { "is stopping" };
    console.note(&format!("test {} {words}; `onrush test show {}` shows its result", test.test_id, test.test_id));
    Ok(ExitCode::SUCCESS)
}

fn delete(client: &Client, args: &DeleteArgs, console: &Console) -> Result<ExitCode, Error> {
    // A part of an id that fits several is noticed before anything is gone.
    let found: Vec<TestView> =
        args.test_ids.iter().map(|wanted| find(client, Some(wanted))).collect::<Result<_, _>>()?;
    for test in found {
        client.delete(&test.test_id)?;
        console.note(&format!("test {} is deleted", test.test_id));
    }
    Ok(ExitCode::SUCCESS)
}

fn watch(client: &Client, args: ShowArgs, console: &Console) -> Result<ExitCode, Error> {
    let writer = ResultWriter::open(args.result)?;
    let stop = Stop::on_signals()?;
    let test = find(client, args.test_id.as_deref())?;
    if matches!(test.state, TestState::Configured | TestState::Armed) {
        console.note(&format!("test {} does not run yet", test.test_id));
    }
    let wish = || Ok(if stop.requested() { Wish::Leave } else { Wish::GoOn });
    let (test, metrics) = follow(client, test, console, wish)?;
    writer.write(console, &test, &metrics, "", true)
}

fn export(client: &Client, args: &ExportArgs, console: &Console) -> Result<ExitCode, Error> {
    let test_id = find(client, args.test_id.as_deref())?.test_id;
    let path = args.output.clone().unwrap_or_else(|| file_of(&test_id, "onrush"));
    let bytes = write_whole(&path, |file| Ok(client.export(&test_id, file)?))?;
    console.note(&format!(
        "test {test_id} is in {} ({}); `onrush verify {0}` recomputes it",
        path.display(),
        report::numbers::bytes(bytes as f64)
    ));
    Ok(ExitCode::SUCCESS)
}

fn import(client: &Client, args: &ImportArgs, console: &Console) -> Result<ExitCode, Error> {
    let cannot = |error| Error::failed(format!("cannot read {}", args.file.display()), error);
    let test_id = client.import(std::fs::File::open(&args.file).map_err(cannot)?)?.test_id;
    console.note(&format!("test {test_id} is verified and imported; `onrush test show {test_id}` shows it"));
    Ok(ExitCode::SUCCESS)
}

fn write_report(client: &Client, args: &ReportArgs, console: &Console) -> Result<ExitCode, Error> {
    let test_id = find(client, args.test_id.as_deref())?.test_id;
    let path = args.output.clone().unwrap_or_else(|| file_of(&test_id, "html"));
    let bytes = write_whole(&path, |file| Ok(client.report(&test_id, file)?))?;
    let bytes = report::numbers::bytes(bytes as f64);
    console.note(&format!("the report of test {test_id} is in {} ({bytes}); a browser shows it", path.display()));
    Ok(ExitCode::SUCCESS)
}

/// The file of a test in this folder.
fn file_of(test_id: &str, ending: &str) -> PathBuf {
    format!("{}.{ending}", test_id.replace('/', "_")).into()
}

/// The test of this id, or the only one whose id begins so, or the newest.
pub fn find(client: &Client, wanted: Option<&str>) -> Result<TestView, Error> {
    let Some(wanted) = wanted else {
        let newest = client.tests(1)?.into_iter().next();
        let none = || Error::Failed("there is no test yet; `onrush test start` starts one".into());
        return Ok(client.test(&newest.ok_or_else(none)?.test_id)?);
    };
    match client.test(wanted) {
        Err(ClientError::Refused(refusal)) if refusal.status == 404 => {
            Ok(client.test(&only_match(client.tests(MAX_LISTED)?, wanted)?.test_id)?)
        }
        found => Ok(found?),
    }
}

/// The id of that test; what was given, where there is no such test.
fn id_of(client: &Client, wanted: &str) -> Result<String, Error> {
    match client.test(wanted) {
        Err(ClientError::Refused(refusal)) if refusal.status == 404 => {
            let tests = client.tests(MAX_LISTED)?;
            let is_known = tests.iter().any(|test| test.test_id.starts_with(wanted));
            if is_known { Ok(only_match(tests, wanted)?.test_id) } else { Ok(wanted.to_owned()) }
        }
        found => Ok(found?.test_id),
    }
}

fn only_match(tests: Vec<TestSummary>, start: &str) -> Result<TestSummary, Error> {
    const NAMED_AT_MOST: usize = 5;
    let mut matches: Vec<TestSummary> = tests.into_iter().filter(|test| test.test_id.starts_with(start)).collect();
    match matches.len() {
        0 => Err(Error::Failed(format!("no test's id begins with {start:?}; `onrush test list` shows the tests"))),
        1 => Ok(matches.remove(0)),
        n => {
            let names: Vec<&str> = matches.iter().take(NAMED_AT_MOST).map(|test| test.test_id.as_str()).collect();
            let more = if n > NAMED_AT_MOST { " and more" } else { "" };
            Err(Error::Failed(format!(
                "{n} tests' ids begin with {start:?}: {}{more}; write more of it",
                names.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample_summary;

    #[test]
    fn the_start_of_an_id_must_be_unique() {
        let test = |id: &str| TestSummary { test_id: id.into(), ..sample_summary() };
        let tests = || vec![test("abc1"), test("abc2"), test("xyz")];
        assert_eq!(only_match(tests(), "x").expect("one match").test_id, "xyz");
        let words = |start| only_match(tests(), start).expect_err("none or many").to_string();
        assert!(words("abc").contains("abc1, abc2"));
        assert!(words("q").contains("test list"));
    }
}
