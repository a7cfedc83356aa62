//! The record of a benchmark: one JSON line per run, one Markdown file for people.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Problem, machine};

/// Where results go.
#[derive(Debug, clap::Args)]
pub struct Output {
    /// Where the JSON lines and the Markdown table go
    #[arg(long, value_name = "DIRECTORY", default_value = "build/benches")]
    pub out: PathBuf,
}

/// An open record. Every line is on disk before the next run begins.
#[derive(Debug)]
pub struct Record {
    lines: File,
    markdown_path: PathBuf,
    markdown: String,
}

impl Record {
    /// Begins `NAME.jsonl` and `NAME.md` with the machine under the numbers.
    pub fn create(output: &Output, name: &str, title: &str) -> Result<Self, Problem> {
        let failed = |path: &Path, e| format!("cannot write {}: {e}", path.display());
        fs::create_dir_all(&output.out).map_err(|e| failed(&output.out, e))?;
        let path = output.out.join(name).with_extension("jsonl");
        let lines = File::create(&path).map_err(|e| failed(&path, e))?;
        let machine = machine::describe();
        let markdown = format!("## {title}\n\n{}\n\n", machine::line(&machine));
        print!("{markdown}");
        let mut record = Self { lines, markdown_path: path.with_extension("md"), markdown };
        record.line(&machine)?;
        Ok(record)
    }

    /// One run, or whatever else a machine should find.
    pub fn line(&mut self, value: &Value) -> Result<(), Problem> {
        Ok(writeln!(self.lines, "{value}")?)
    }

    /// A piece for people, shown at once.
    pub fn say(&mut self, markdown: &str) {
        println!("{markdown}");
        self.markdown.push_str(markdown);
        self.markdown.push('\n');
    }

    /// Writes the Markdown, and says where all is.
    pub fn finish(self) -> Result<(), Problem> {
        fs::write(&self.markdown_path, &self.markdown)?;
        eprintln!("written: {} and .jsonl beside it", self.markdown_path.display());
        Ok(())
    }
}
