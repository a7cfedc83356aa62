//! What becomes of a finished test: its table or document, its thresholds, its exit code.
//!
//! `finished` is a run in the shape that documents are drawn from; `junit` and `markdown` draw them.

mod finished;
pub mod junit;
pub mod markdown;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use onrush_api::{MetricsView, Outcome, TestState, TestView, ThresholdView};
use serde::Serialize;

use crate::console::{Console, stdout_columns};
use crate::error::{EXIT_FAILED, EXIT_THRESHOLD, Error};
use crate::report::{self, unsound};
use crate::table::{BAD, GOOD, WARN, paint};
use crate::text::{for_locale, json_for_locale};
use crate::threshold::{self, Threshold};
pub use finished::{Finished, plain};

/// How a result looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ResultFormat {
    /// A table for people.
    Text,
    /// The same values for machines.
    Json,
    /// JUnit XML for CI systems: a test case for each threshold and each check.
    Junit,
    /// A summary for a pull request.
    Markdown,
}

/// How a list or an answer looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// A table for people.
    Text,
    /// The same values for machines.
    Json,
}

/// Where a result goes, and what it must keep.
#[derive(Debug, Args)]
#[command(next_help_heading = "Result")]
pub struct ResultArgs {
    /// How the result looks
    #[arg(long, value_enum, default_value = "text", env = "ONRUSH_OUTPUT_FORMAT")]
    pub output_format: ResultFormat,
    /// Write the result to this file in the --output-format; the terminal still gets the table
    #[arg(short, long, value_name = "FILE", env = "ONRUSH_OUTPUT")]
    pub output: Option<PathBuf>,
    /// What the result must keep, else the exit code is 99; repeatable. For instance 'p99<200ms' (99 % of what was due got
    /// its response within 200 ms), 'failed<1%', 'rate>=10k', 'p99<200ms over 10s' (in any ten seconds of it); metrics:
    /// mean, median, p50, p90, p95, p99, p99.9, min, max (with response_ in front: over the responses alone; with service_
    /// or schedule_error_: of those times), failed, skipped, dropped, rate
    #[arg(
        long = "threshold", value_name = "METRIC<LIMIT", value_parser = threshold::parse, value_delimiter = ',',
        env = "ONRUSH_THRESHOLD"
    )]
    pub thresholds: Vec<Threshold>,
}

/// Where a result goes. Its file is open before the test starts, so that no test is run in vain.
pub struct ResultWriter {
    format: ResultFormat,
    file: Option<OutputFile>,
    thresholds: Vec<Threshold>,
}

/// A file that is open before there is anything to write, so that no test is run in vain.
pub struct OutputFile {
    path: PathBuf,
    file: File,
}

impl OutputFile {
    /// Opens it, empty.
    pub fn create(path: PathBuf) -> Result<Self, Error> {
        match File::create(&path) {
            Ok(file) => Ok(Self { path, file }),
            Err(e) => Err(Error::failed(format!("cannot write {}", path.display()), e)),
        }
    }

    /// Writes the text, its colours removed.
    pub fn write(self, text: &str) -> Result<(), Error> {
        self.write_bytes(for_locale(&plain(text)).as_bytes())
    }

    /// Writes the bytes as they are.
    pub fn write_bytes(mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(|e| Error::failed(format!("cannot write {}", self.path.display()), e))
    }

    /// The path and the open file.
    pub fn into_parts(self) -> (PathBuf, File) {
        (self.path, self.file)
    }
}

#[derive(Serialize)]
struct Document<'a> {
    test: &'a TestView,
    metrics: &'a MetricsView,
    thresholds: &'a [ThresholdView],
}

impl ResultWriter {
    /// Opens the file, if there is to be one.
    pub fn open(args: ResultArgs) -> Result<Self, Error> {
        let ResultArgs { output_format, output, thresholds } = args;
        thresholds.iter().try_for_each(threshold::refuse_window).map_err(Error::Usage)?;
        Ok(Self { format: output_format, file: output.map(OutputFile::create).transpose()?, thresholds })
    }

    /// Whether there is anything that the result must keep.
    pub fn has_thresholds(&self) -> bool {
        !self.thresholds.is_empty()
    }

    /// Writes the result with `details` below its table, and gives the exit code: of the result and its thresholds
    /// where `judge` says so, else success.
    pub fn write(
        self,
        console: &Console,
        test: &TestView,
        metrics: &MetricsView,
        details: &str,
        judge: bool,
    ) -> Result<ExitCode, Error> {
        let timeout_s = test.config.timeout_s;
        let judged = self.thresholds.iter().map(|threshold| threshold::judged(threshold, &metrics.all, timeout_s));
        // The orchestrator has judged those of the test itself.
        let outcomes: Vec<ThresholdView> = test.thresholds.iter().cloned().chain(judged).collect();
        let found = verdict(test, &outcomes);
        let text = |columns| report::result(test, metrics, columns) + details + &verdicts(&outcomes);
        let finished = || Finished::of_test(test, metrics, &outcomes, found.clone().map(|(_, words)| words));
        let document = |format, columns| match format {
            ResultFormat::Json => json(&Document { test, metrics, thresholds: &outcomes }),
            ResultFormat::Text => Ok(text(columns)),
            ResultFormat::Junit => Ok(junit::of_run(&finished())),
            ResultFormat::Markdown => Ok(markdown::of_run(&finished())),
        };
        deliver(console, self.file, [self.format, ResultFormat::Text], document)?;
        match found.filter(|_| judge) {
            None => Ok(ExitCode::SUCCESS),
            Some((code, words)) => {
                console.error(&words);
                Ok(ExitCode::from(code))
            }
        }
    }
}

/// What is wrong with a result, as exit code and in words; `None`: nothing.
fn verdict(test: &TestView, outcomes: &[ThresholdView]) -> Option<(u8, String)> {
    if let Some(reason) = unsound(test) {
        let is_whole = test.state == TestState::Stopped && test.outcome.is_some_and(Outcome::is_sound);
        let by_threshold = is_whole && test.thresholds.iter().any(|outcome| outcome.ended_test);
        return Some((if by_threshold { EXIT_THRESHOLD } else { EXIT_FAILED }, reason));
    }
    not_kept(outcomes).map(|words| (EXIT_THRESHOLD, words))
}

/// The thresholds that are not kept, in words; `None`: all are.
pub fn not_kept(outcomes: &[ThresholdView]) -> Option<String> {
    let broken: Vec<&str> = outcomes.iter().filter(|o| o.kept != Some(true)).map(|o| o.threshold.as_str()).collect();
    (!broken.is_empty()).then(|| format!("not kept: {}", broken.join(", ")))
}

/// Writes a result as `document` makes it, in a format and for so many columns: the file gets the format that was asked for; the
/// screen, too, unless there is a file: then it gets the `text`.
pub fn deliver<F: Copy>(
    console: &Console,
    output: Option<OutputFile>,
    [format, text]: [F; 2],
    document: impl Fn(F, Option<usize>) -> Result<String, Error>,
) -> Result<(), Error> {
    let shown_format = match output {
        None => format,
        Some(file) => {
            file.write(&document(format, None)?)?;
            text
        }
    };
    show(console, &document(shown_format, stdout_columns())?)
}

/// Success, or the exit code of a failure that is said.
pub fn exit_code(trouble: Option<String>, console: &Console) -> ExitCode {
    match trouble {
        None => ExitCode::SUCCESS,
        Some(words) => {
            console.error(&words);
            ExitCode::from(EXIT_FAILED)
        }
    }
}

/// Nobody may be reading; the exit code says the verdict all the same.
fn show(console: &Console, text: &str) -> Result<(), Error> {
    match console.result(text) {
        Err(Error::OutputClosed) => Ok(()),
        shown => shown,
    }
}

/// Values for machines, readable for people.
pub fn json(value: &impl Serialize) -> Result<String, Error> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::failed("cannot write JSON", e))?;
    Ok(json_for_locale(text) + "\n")
}

/// What became of the thresholds, one a line.
pub fn verdicts(outcomes: &[ThresholdView]) -> String {
    let verdict = |outcome: &ThresholdView| {
        let style = match outcome.kept {
            Some(true) => GOOD,
            Some(false) => BAD,
            None => WARN,
        };
        let end = if outcome.ended_test { ", which ended the test" } else { "" };
        let (verdict, value) = (paint(style, threshold_verdict(outcome)), threshold_value(outcome));
        format!("threshold {}: {verdict} ({value}){end}\n", outcome.threshold)
    };
    outcomes.iter().map(verdict).collect()
}

/// What became of a threshold, in a word or two.
fn threshold_verdict(outcome: &ThresholdView) -> &'static str {
    match outcome.kept {
        Some(true) => "kept",
        Some(false) => "NOT KEPT",
        None => "not judged yet",
    }
}

/// The value that decided: `312.0 ms at second 37`.
fn threshold_value(outcome: &ThresholdView) -> String {
    let ThresholdView { value, broken_at_second, broken_value, .. } = outcome;
    let (value, place) = match broken_at_second {
        Some(second) => (broken_value, format!(" at second {second}")),
        None => (value, String::new()),
    };
    format!("{}{place}", value.as_deref().unwrap_or("unknown"))
}

#[cfg(test)]
mod tests {
    use onrush_api::Outcome;

    use super::*;
    use crate::report::{sample_metrics, sample_test};

    #[test]
    fn a_threshold_that_is_not_kept_is_named_unless_the_result_itself_is_bad() {
        let outcomes = ["p99<200ms", "p99<1us", "rate>1M"]
            .map(|text| threshold::judged(&threshold::parse(text).expect(text), &sample_metrics().all, 10.0));
        let mut test = sample_test();
        assert_eq!(verdict(&test, &outcomes[..1]), None);
        assert_eq!(verdict(&test, &outcomes), Some((EXIT_THRESHOLD, "not kept: p99<1us, rate>1M".into())));
        test.outcome = Some(Outcome::Incomplete);
        assert_eq!(verdict(&test, &outcomes).map(|(code, _)| code), Some(EXIT_FAILED));
    }

    #[test]
    fn a_test_that_a_threshold_ended_is_no_failure_but_says_so() {
        let mut test = sample_test();
        test.state = TestState::Stopped;
        test.reason = Some("stopped: p99<200ms over 10s was 312.0 ms at second 37".into());
        test.thresholds = vec![ThresholdView {
            threshold: "p99<200ms over 10s".into(),
            value: Some("290.0 ms".into()),
            kept: Some(false),
            broken_at_second: Some(37),
            broken_value: Some("312.0 ms".into()),
            ended_test: true,
        }];
        let words = "the test was stopped: p99<200ms over 10s was 312.0 ms at second 37";
        assert_eq!(verdict(&test, &test.thresholds), Some((EXIT_THRESHOLD, words.into())));
        let shown = anstream::adapter::strip_str(&verdicts(&test.thresholds)).to_string();
        let line = "threshold p99<200ms over 10s: NOT KEPT (312.0 ms at second 37), which ended the test\n";
        assert_eq!(shown, line);
        test.outcome = Some(Outcome::Invalid);
        assert_eq!(verdict(&test, &test.thresholds).map(|(code, _)| code), Some(EXIT_FAILED));
        test.outcome = Some(Outcome::Exact);
        test.thresholds[0].ended_test = false;
        assert_eq!(verdict(&test, &test.thresholds).map(|(code, _)| code), Some(EXIT_FAILED), "somebody stopped it");
    }

    #[test]
    fn the_document_for_machines_has_test_metrics_and_thresholds() {
        let (test, metrics) = (sample_test(), sample_metrics());
        let threshold = threshold::parse("p99<200ms").expect("a threshold");
        let thresholds = [threshold::judged(&threshold, &metrics.all, 10.0)];
        let text = json(&Document { test: &test, metrics: &metrics, thresholds: &thresholds }).expect("plain values");
        let value: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(value["metrics"]["all"]["sent"], 200_000);
        assert_eq!(value["thresholds"][0]["kept"], true);
        assert_eq!(value["test"]["state"], "COMPLETED");
    }

    #[test]
    fn a_window_is_not_for_a_result() {
        let args = |text| ResultArgs {
            output_format: ResultFormat::Json,
            output: None,
            thresholds: vec![threshold::parse(text).expect(text)],
        };
        assert!(ResultWriter::open(args("p99<1s")).is_ok());
        assert!(ResultWriter::open(args("p99<1s over 2s")).is_err_and(|e| e.to_string().contains("onrush test start")));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_found_before_the_test() {
        let output = Some(PathBuf::from("/nowhere/at/all.json"));
        let args = ResultArgs { output_format: ResultFormat::Json, output, thresholds: Vec::new() };
        assert!(ResultWriter::open(args).is_err_and(|e| e.to_string().contains("/nowhere/at/all.json")));
    }
}
