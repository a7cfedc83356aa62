//! The distributions of every second as an HdrHistogram interval log, for the tools that read it.
//!
//! Values are nanoseconds; the maximum that stands beside each histogram for people is milliseconds, as the Java
//! tools write it. Each second has three lines: latency without a tag, because the Java tools read nothing else unless told
//! to, and the tags `service_time` and `schedule_error`.

use std::fmt::Display;
use std::fs::File;
use std::io::LineWriter;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriter, IntervalLogWriterBuilder, Tag};
use onrush_engine::SecondReport;
use onrush_stats::empty_histogram;

use crate::error::Error;
use crate::result::OutputFile;

/// Nanoseconds in a millisecond.
const MAX_VALUE_DIVISOR: f64 = 1e6;

/// The file of a log, open before the run starts.
pub struct HdrFile {
    path: PathBuf,
    /// By lines, so that an aborted run leaves whole ones.
    file: LineWriter<File>,
    serializer: V2DeflateSerializer,
}

/// A log under way.
pub struct HdrLog<'a> {
    path: PathBuf,
    writer: IntervalLogWriter<'a, 'a, LineWriter<File>, V2DeflateSerializer>,
    /// From the log's start to the second that comes next.
    offset: Duration,
}

impl HdrFile {
    /// Opens it.
    pub fn create(path: PathBuf) -> Result<Self, Error> {
        let (path, file) = OutputFile::create(path)?.into_parts();
        Ok(Self { path, file: LineWriter::new(file), serializer: V2DeflateSerializer::new() })
    }

    /// Writes the head: the seconds of the log are counted from `start`.
    pub fn begin(&mut self, start: SystemTime, url: &str) -> Result<HdrLog<'_>, Error> {
        let Self { path, file, serializer } = self;
        let written = IntervalLogWriterBuilder::new()
            .add_comment(&format!("[onrush {} bench {url}; histograms in nanoseconds]", env!("CARGO_PKG_VERSION")))
            .with_start_time(start)
            .with_base_time(start)
            .with_max_value_divisor(MAX_VALUE_DIVISOR)
            .begin_log_with(file, serializer);
        let writer = written.map_err(|e| cannot_write(path, e))?;
        Ok(HdrLog { path: path.clone(), writer, offset: Duration::ZERO })
    }
}

impl HdrLog<'_> {
    /// Writes the distributions of the next second.
    pub fn write(&mut self, second: &SecondReport) -> Result<(), Error> {
        let stats = &second.stats;
        let distributions = [
            (None, &stats.latency),
            (Tag::new("service_time"), &stats.service_time),
            (Tag::new("schedule_error"), &stats.schedule_error),
        ];
        let empty = empty_histogram();
        for (tag, distribution) in distributions {
            let histogram = distribution.histogram().unwrap_or(&empty);
            let written = self.writer.write_histogram(histogram, self.offset, second.length, tag);
            written.map_err(|e| cannot_write(&self.path, e))?;
        }
        self.offset += second.length;
        Ok(())
    }
}

fn cannot_write(path: &std::path::Path, error: impl Display) -> Error {
    Error::failed(format!("cannot write --hdr {}", path.display()), error)
}
