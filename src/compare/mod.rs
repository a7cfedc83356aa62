//! `onrush compare`: two results, and how the second differs from the first.
//!
//! Reading order: `args` (the command line), `file` (a result of `bench`), `view` (how a comparison looks), then what follows. What a
//! difference is and when it is proven is `onrush_compare`'s to say.

mod args;
mod file;
mod view;

use std::path::Path;
use std::process::ExitCode;

use onrush_api::CompareView;
use onrush_compare::{Comparison, Settings};

pub use args::{CompareArgs, CompareFormat, GateArgs};
use file::BenchFile;

use crate::console::Console;
use crate::error::{EXIT_THRESHOLD, Error};
use crate::result::{OutputFile, deliver, json, junit};
use crate::test_command::find;

/// `onrush compare`.
pub fn run(args: CompareArgs, console: &Console) -> Result<ExitCode, Error> {
    let output = args.result.output.clone().map(OutputFile::create).transpose()?;
    let names = [&args.a, &args.b];
    let is_file = names.map(|name| Path::new(name).is_file());
    let view = match is_file {
        [true, true] => of_files([&args.a, &args.b], &args)?,
        [false, false] => {
            let client = args.ask.client(args.orchestrator.clone())?;
            let [a, b] = names.map(|name| find(&client, Some(name.as_str())));
            let gates: Vec<String> = args.result.gates.iter().map(ToString::to_string).collect();
            client.compare([&a?.test_id, &b?.test_id], args.skip.as_secs(), &gates)?
        }
        [a_is_file, _] => {
            let (file, test) = if a_is_file { (&args.a, &args.b) } else { (&args.b, &args.a) };
            return Err(Error::Usage(format!(
                "{file} is a file and {test} is none; give two files that `onrush bench --output-format json` wrote, or the ids \
                 of two tests"
            )));
        }
    };
    write(&view, args.result.output_format, output, console)?;
    Ok(judge(&view, console))
}

fn of_files(paths: [&str; 2], args: &CompareArgs) -> Result<CompareView, Error> {
    let [a, b] = paths.map(|path| BenchFile::read(Path::new(path)));
    let (a, b) = (a?, b?);
    let remarks = a.remarks("A").into_iter().chain(b.remarks("B")).chain(a.differs_from(&b)).collect();
    let settings = Settings { gates: args.result.gates.clone(), ..Settings::default() };
    let skip_s = args.skip.as_secs();
    let comparison = Comparison::of_runs(a.timeline.skipping(skip_s), b.timeline.skipping(skip_s), &settings);
    let comparison = comparison.map_err(|error| Error::Failed(error.to_string()))?;
    Ok(CompareView::of(&comparison, paths.map(Into::into), remarks))
}

/// Writes a comparison to where it was asked for.
pub fn write(
    view: &CompareView,
    format: CompareFormat,
    output: Option<OutputFile>,
    console: &Console,
) -> Result<(), Error> {
    let document = |format, columns| match format {
        CompareFormat::Text => Ok(view::text(view, columns)),
        CompareFormat::Json => json(view),
        CompareFormat::Markdown => Ok(view::markdown(view)),
        CompareFormat::Junit => Ok(junit::of_comparison(view)),
    };
    deliver(console, output, [format, CompareFormat::Text], document)
}

/// Exit code 99 where a gate is proven to be broken.
pub fn judge(view: &CompareView, console: &Console) -> ExitCode {
    match view.broken() {
        None => ExitCode::SUCCESS,
        Some(words) => {
            console.error(&words);
            ExitCode::from(EXIT_THRESHOLD)
        }
    }
}
