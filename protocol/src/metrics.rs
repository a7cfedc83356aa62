//! `metrics`: a driver reports one second.

use std::collections::BTreeMap;

use onrush_stats::{
    ByName, Counts, Distribution, Examples, FailureCause, MAX_NAME_BYTES, NameStats, Number, OTHER, SecondStats,
    Totals, Unit, escaped,
};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::fields::{Fields, MAX_MESSAGE_BYTES, ReadError};
use crate::{NodeId, SessionId, TestId, histogram, limits};

/// More bytes than any test moves; a number up to here is exact in every JSON reader.
const MAX_BYTES: u64 = 1 << 53;
/// More than a hundred days, added up in one second: no number of threads or connections has that.
const MAX_NANOSECONDS: u64 = 1 << 53;
/// Addresses of a target that are told apart in one report; the requests to further ones are not.
const MAX_ADDRESSES: usize = 200;
const MAX_ADDRESS_BYTES: usize = 200;
/// Names of requests that are read of one report. Those beyond what is told apart are added to the others; more than this is no
/// report, since each costs a histogram to unpack.
const MAX_READ_NAMES: usize = 256;
/// A report that is longer has the figures of its names folded into one: a broker takes no longer message, and so much is
/// left for its framing.
const MAX_REPORT_BYTES: usize = MAX_MESSAGE_BYTES - 64 * 1024;
/// No second of a test lies later: its longest duration, and the longest time its last answers may take.
const MAX_SECOND_INDEX: u64 = limits::MAX_DURATION.as_secs() + limits::MAX_TIMEOUT.as_secs();

/// One report of a driver: one second of a test.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// The driver.
    pub node_id: NodeId,
    /// The test.
    pub test_id: TestId,
    /// The report's own name.
    pub report_id: Option<String>,
    /// The specification's four numbers: of the whole test so far.
    pub latency: LatencyMs,
    /// What this second measured; `None` from a driver that speaks only the specification.
    pub measured: Option<Box<Measured>>,
}

/// Latency in milliseconds, over the test so far; `None` where nothing was answered yet or nothing reported.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "each name says all there is")]
pub struct LatencyMs {
    pub mean: Option<f64>,
    pub median: Option<f64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
}

impl LatencyMs {
    /// The four numbers of a distribution.
    pub fn of(latency: &Distribution) -> Self {
        let Some(summary) = latency.summary() else { return Self::default() };
        Self {
            mean: Some(summary.mean_ms),
            median: Some(summary.median_ms),
            min: Some(summary.min_ms),
            max: Some(summary.max_ms),
        }
    }
}

/// The additional fields of a report.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// This life of the driver.
    pub session_id: SessionId,
    /// 0, 1, 2, … without a gap: reports are the same when test, driver and sequence are.
    pub sequence: u64,
    /// Which second, counted from the driver's own start of the test.
    pub second_index: u64,
    /// How much of that second the test lasted: 1, or less in the last.
    pub length_s: f64,
    /// For how much of the whole test so far requests were sent; what is waited for afterwards is not in it. `None`: the
    /// driver does not say.
    pub sending_s: Option<f64>,
    /// When this driver started the test, by its wall clock, in milliseconds since 1970.
    pub started_at_unix_ms: f64,
    /// What the second measured.
    pub stats: SecondStats,
    /// What the driver counted over the whole test so far, this second included: must be the sum of its reports.
    pub totals: Totals,
    /// Set on the last report of this driver for this test.
    pub end: Option<EndReason>,
    /// The engine's input and output (`io_uring` or `epoll`) and its way of waiting, for people.
    pub engine: Option<String>,
}

/// Why a driver's part in a test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The count was reached or the duration was over, and every response is in, or the request failed or timed out.
    Completed,
    /// The test was stopped.
    Stopped,
    /// The engine could not go on, and why.
    Failed(String),
}

impl EndReason {
    const COMPLETED: &str = "COMPLETED";
    const STOPPED: &str = "STOPPED";

    fn text(&self) -> &str {
        match self {
            EndReason::Completed => Self::COMPLETED,
            EndReason::Stopped => Self::STOPPED,
            EndReason::Failed(reason) => reason,
        }
    }

    fn from_text(text: &str) -> Self {
        let is = |name: &str| text.trim().eq_ignore_ascii_case(name);
        if is(Self::COMPLETED) {
            EndReason::Completed
        } else if is(Self::STOPPED) {
            EndReason::Stopped
        } else {
            EndReason::Failed(text.chars().take(500).collect())
        }
    }
}

#[derive(Serialize)]
struct Wire<'a> {
    node_id: &'a NodeId,
    test_id: &'a TestId,
    report_id: &'a Option<String>,
    metrics: WireLatency,
    #[serde(flatten)]
    measured: Option<WireMeasured<'a>>,
}

#[derive(Serialize)]
struct WireLatency {
    mean_latency: Option<f64>,
    median_latency: Option<f64>,
    min_latency: Option<f64>,
    max_latency: Option<f64>,
}

#[derive(Serialize)]
struct WireMeasured<'a> {
    schema: u64,
    session_id: &'a SessionId,
    sequence: u64,
    second_index: u64,
    length_s: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sending_s: Option<f64>,
    started_at: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<&'a str>,
    counts: WireCounts<'a>,
    totals: WireTotals,
    latency: WireDistribution,
    service_time: WireDistribution,
    schedule_error: WireDistribution,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    examples: BTreeMap<&'static str, &'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    names: Vec<WireName<'a>>,
}

#[derive(Serialize)]
struct WireName<'a> {
    name: &'a str,
    sent: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    statuses: &'a BTreeMap<u16, u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    failures: BTreeMap<&'static str, u64>,
    latency: WireDistribution,
}

impl<'a> WireName<'a> {
    fn of((name, stats): (&'a str, &'a NameStats)) -> Self {
        let NameStats { sent, statuses, failures, latency } = stats;
        let failures = failures.iter().map(|(cause, n)| (cause.name(), *n)).collect();
        Self { name, sent: *sent, statuses, failures, latency: WireDistribution::of(&latency.into()) }
    }
}

/// Numbers in the order of their declaration, but those that a reader knows all the same: most reports lack several.
fn write_numbers<S, M: SerializeMap>(map: &mut M, numbers: &[Number<S>], of: &S) -> Result<(), M::Error> {
    for number in numbers {
        let n = number.of(of);
        if number.implied(of) != Some(n) {
            map.serialize_entry(number.name, &n)?;
        }
    }
    Ok(())
}

struct WireCounts<'a>(&'a Counts);

impl Serialize for WireCounts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Counts { statuses, failures, addresses, .. } = self.0;
        let failures: BTreeMap<&str, u64> = failures.iter().map(|(cause, n)| (cause.name(), *n)).collect();
        let mut map = serializer.serialize_map(None)?;
        write_numbers(&mut map, Counts::NUMBERS, self.0)?;
        map.serialize_entry("statuses", statuses)?;
        map.serialize_entry("failures", &failures)?;
        if !addresses.is_empty() {
            map.serialize_entry("addresses", addresses)?;
        }
        map.end()
    }
}

struct WireTotals(Totals);

impl Serialize for WireTotals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        write_numbers(&mut map, Totals::NUMBERS, &self.0)?;
        map.end()
    }
}

#[derive(Serialize)]
struct WireDistribution {
    count: u64,
    sum_ns: u64,
    min_ns: Option<u64>,
    max_ns: Option<u64>,
    histogram: String,
}

impl WireDistribution {
    fn of(distribution: &Distribution) -> Self {
        Self {
            count: distribution.count(),
            sum_ns: distribution.sum_ns(),
            min_ns: distribution.min_ns(),
            max_ns: distribution.max_ns(),
            histogram: histogram::encode_base64(distribution),
        }
    }
}

impl Metrics {
    /// Reads a message.
    pub fn read(payload: &[u8]) -> Result<Self, ReadError> {
        let fields = Fields::read(payload)?;
        let test_id = fields.test_id()?;
        let rest = || {
            Ok(Self {
                node_id: fields.node_id()?,
                test_id: test_id.clone(),
                report_id: fields.text("report_id")?.map(|text| text.chars().take(500).collect()),
                latency: latency_ms(&fields)?,
                measured: measured(&fields)?.map(Box::new),
            })
        };
        rest().map_err(|e: ReadError| e.about(&test_id))
    }

    /// Writes the message.
    pub fn write(&self) -> Vec<u8> {
        let written = self.write_whole();
        match &self.measured {
            Some(measured) if written.len() > MAX_REPORT_BYTES && measured.stats.by_name.iter().len() > 1 => {
                let mut short = self.clone();
                if let Some(measured) = &mut short.measured {
                    let whole = measured.stats.by_name.whole();
                    measured.stats.by_name.clear();
                    measured.stats.by_name.add(OTHER, &whole);
                }
                short.write_whole()
            }
            _ => written,
        }
    }

    fn write_whole(&self) -> Vec<u8> {
        let Self { node_id, test_id, report_id, latency, measured } = self;
        let LatencyMs { mean, median, min, max } = *latency;
        histogram::to_json(&Wire {
            node_id,
            test_id,
            report_id,
            metrics: WireLatency { mean_latency: mean, median_latency: median, min_latency: min, max_latency: max },
            measured: measured.as_deref().map(wire_measured),
        })
    }
}

fn wire_measured(measured: &Measured) -> WireMeasured<'_> {
    let Measured {
        session_id,
        sequence,
        second_index,
        length_s,
        sending_s,
        started_at_unix_ms,
        stats,
        totals,
        end,
        engine,
    } = measured;
    let SecondStats { counts, latency, service_time, schedule_error, examples, by_name } = stats;
    WireMeasured {
        schema: crate::SCHEMA,
        session_id,
        sequence: *sequence,
        second_index: *second_index,
        length_s: *length_s,
        sending_s: *sending_s,
        started_at: *started_at_unix_ms,
        end: end.as_ref().map(EndReason::text),
        engine: engine.as_deref(),
        counts: WireCounts(counts),
        totals: WireTotals(*totals),
        latency: WireDistribution::of(latency),
        service_time: WireDistribution::of(service_time),
        schedule_error: WireDistribution::of(schedule_error),
        examples: examples.iter().map(|(cause, example)| (cause.name(), example)).collect(),
        names: by_name.iter().map(WireName::of).collect(),
    }
}

/// The four numbers, nested as the specification has them or, as some nodes write them, at the top.
fn latency_ms(fields: &Fields) -> Result<LatencyMs, ReadError> {
    let nested = fields.object("metrics")?;
    let fields = nested.as_ref().unwrap_or(fields);
    Ok(LatencyMs {
        mean: milliseconds(fields, "mean_latency")?,
        median: milliseconds(fields, "median_latency")?,
        min: milliseconds(fields, "min_latency")?,
        max: milliseconds(fields, "max_latency")?,
    })
}

fn milliseconds(fields: &Fields, field: &'static str) -> Result<Option<f64>, ReadError> {
    const ABSURD_MS: f64 = 30.0 * 86_400e3;
    match fields.non_negative(field)? {
        Some(ms) if ms > ABSURD_MS => Err(ReadError::bad(field, format!("{ms:?} ms is longer than any test"))),
        other => Ok(other),
    }
}

/// A report is ours when it has a sequence number; then the rest must be there.
fn measured(fields: &Fields) -> Result<Option<Measured>, ReadError> {
    let Some(sequence) = fields.at_most("sequence", MAX_SECOND_INDEX)? else { return Ok(None) };
    let need = |field| move || ReadError::missing(field);
    let counts = counts(&fields.object("counts")?.ok_or_else(need("counts"))?)?;
    let distribution = |field| read_distribution(&fields.object(field)?.ok_or_else(need(field))?, field);
    let totals = totals(&fields.object("totals")?.ok_or_else(need("totals"))?)?;
    let stats = SecondStats {
        counts,
        latency: distribution("latency")?,
        service_time: distribution("service_time")?,
        schedule_error: distribution("schedule_error")?,
        examples: examples(fields)?,
        by_name: by_name(fields)?,
    };
    Ok(Some(Measured {
        session_id: fields.session_id()?.ok_or_else(need("session_id"))?,
        sequence,
        second_index: fields.at_most("second_index", MAX_SECOND_INDEX)?.ok_or_else(need("second_index"))?,
        length_s: fields.non_negative("length_s")?.unwrap_or(1.0).min(1.0),
        sending_s: fields.non_negative("sending_s")?.map(|s| s.min(MAX_SECOND_INDEX as f64)),
        started_at_unix_ms: fields.non_negative("started_at")?.ok_or_else(need("started_at"))?,
        stats,
        totals,
        end: fields.text("end")?.map(|text| EndReason::from_text(&text)),
        engine: fields.text("engine")?.map(|text| text.chars().take(200).collect()),
    }))
}

fn totals(fields: &Fields) -> Result<Totals, ReadError> {
    let mut totals = Totals::default();
    for number in Totals::NUMBERS {
        let implied = number.implied(&totals);
        let n = read_number(fields, number)?.or(implied).ok_or_else(|| ReadError::missing(number.name))?;
        *number.of_mut(&mut totals) = n;
    }
    Ok(totals)
}

fn read_number<S>(fields: &Fields, number: &Number<S>) -> Result<Option<u64>, ReadError> {
    let most = match number.unit {
        Unit::Events => limits::MAX_COUNT,
        Unit::Bytes => MAX_BYTES,
        Unit::Nanoseconds => MAX_NANOSECONDS,
    };
    fields.at_most(number.name, most)
}

fn statuses(fields: &Fields) -> Result<BTreeMap<u16, u64>, ReadError> {
    let mut statuses = BTreeMap::new();
    for (status, n) in fields.counts("statuses", limits::MAX_COUNT)? {
        let code = status.parse::<u16>().ok().filter(|code| (100..1000).contains(code));
        let code = code.ok_or_else(|| ReadError::bad("statuses", "holds a status that is not 100 to 999"))?;
        statuses.insert(code, n);
    }
    Ok(statuses)
}

fn failures(fields: &Fields) -> Result<BTreeMap<FailureCause, u64>, ReadError> {
    let mut failures = BTreeMap::new();
    for (name, n) in fields.counts("failures", limits::MAX_COUNT)? {
        let cause = FailureCause::from_name(&name).ok_or_else(|| {
            ReadError::bad("failures", format!("{} is not a known cause", crate::fields::quoted(&name)))
        })?;
        failures.insert(cause, n);
    }
    Ok(failures)
}

fn counts(fields: &Fields) -> Result<Counts, ReadError> {
    let (statuses, failures) = (statuses(fields)?, failures(fields)?);
    let mut counts = Counts { statuses, failures, addresses: addresses(fields)?, ..Counts::default() };
    for number in Counts::NUMBERS {
        let implied = number.implied(&counts).unwrap_or(0);
        *number.of_mut(&mut counts) = read_number(fields, number)?.unwrap_or(implied);
    }
    if fields.at_most("sent", limits::MAX_COUNT)?.is_none() {
        return Err(ReadError::missing("sent"));
    }
    Ok(counts)
}

fn addresses(fields: &Fields) -> Result<BTreeMap<String, u64>, ReadError> {
    const FIELD: &str = "addresses";
    let addresses = fields.counts(FIELD, limits::MAX_COUNT)?;
    if addresses.len() > MAX_ADDRESSES || addresses.iter().any(|(address, _)| address.len() > MAX_ADDRESS_BYTES) {
        return Err(ReadError::bad(FIELD, format!("holds more than {MAX_ADDRESSES} addresses, or a very long one")));
    }
    Ok(addresses.into_iter().collect())
}

/// The figures by name, where there are any; a part that is missing was not measured.
fn by_name(fields: &Fields) -> Result<ByName, ReadError> {
    const FIELD: &str = "names";
    let mut by_name = ByName::default();
    if fields.list(FIELD)?.is_some_and(|list| list.len() > MAX_READ_NAMES) {
        return Err(ReadError::bad(FIELD, format!("holds more than {MAX_READ_NAMES} names")));
    }
    for fields in fields.objects(FIELD)?.unwrap_or_default() {
        let name =
            fields.text("name")?.map(|name| escaped(name.as_bytes(), MAX_NAME_BYTES)).filter(|name| !name.is_empty());
        let latency = fields.object("latency")?.map(|latency| read_distribution(&latency, FIELD)).transpose()?;
        let stats = NameStats {
            sent: fields.at_most("sent", limits::MAX_COUNT)?.unwrap_or(0),
            statuses: statuses(&fields)?,
            failures: failures(&fields)?,
            latency: latency.as_ref().map(Into::into).unwrap_or_default(),
        };
        by_name.add(name.as_deref().unwrap_or(OTHER), &stats);
    }
    Ok(by_name)
}

/// One of a cause that we do not know is left out: nothing depends on it.
fn examples(fields: &Fields) -> Result<Examples, ReadError> {
    let mut examples = Examples::default();
    if let Some(object) = fields.object("examples")? {
        for &cause in FailureCause::ALL {
            if let Some(example) = object.text(cause.name())? {
                examples.note(cause, &example);
            }
        }
    }
    Ok(examples)
}

fn read_distribution(fields: &Fields, field: &'static str) -> Result<Distribution, ReadError> {
    let text = fields.text("histogram")?.unwrap_or_default();
    let histogram = histogram::decode_base64(&text).map_err(|e| ReadError::bad(field, format!("the histogram {e}")))?;
    let count = fields.u64("count")?.unwrap_or(histogram.len());
    if count != histogram.len() {
        let problem = format!("count is {count}, but the histogram holds {}", histogram.len());
        return Err(ReadError::bad(field, problem));
    }
    let part = |name| Ok(fields.u64(name)?.unwrap_or(0));
    Ok(Distribution::from_parts(histogram, part("sum_ns")?, part("min_ns")?, part("max_ns")?))
}
