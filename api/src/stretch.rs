//! A run as stretches of time, so that it can be compared with another.

use onrush_compare::Stretch;
use onrush_protocol::{decode_base64, encode_base64};
use onrush_stats::{Distribution, empty_histogram};
use serde::{Deserialize, Serialize};

/// What was measured in some seconds that follow one another. A run has 128 of them at most.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "named as in `Stretch`")]
pub struct StretchView {
    pub first_second: u64,
    /// How many seconds it covers.
    pub seconds: u64,
    /// For how long of that requests were sent.
    pub sending_s: f64,
    pub responses: u64,
    /// Requests that came to their end: answered or failed.
    pub ended: u64,
    pub failed: u64,
    /// What was due and got no response.
    pub without_response: u64,
    /// HdrHistogram V2 compressed, nanoseconds; empty where there was no response.
    pub latency_hdr_v2_base64: String,
}

impl From<&Stretch> for StretchView {
    fn from(stretch: &Stretch) -> Self {
        let Stretch { first_second, seconds, sending_ns, responses, ended, failed, without_response, latency } =
            stretch;
        let mut histogram = empty_histogram();
        latency.iter().for_each(|(value, count)| histogram.saturating_record_n(*value, *count));
        let sum_ns = latency.iter().fold(0_u64, |sum, (value, n)| sum.saturating_add(value.saturating_mul(*n)));
        let ends = [latency.first(), latency.last()].map(|end| end.map_or(0, |(value, _)| *value));
        let distribution = Distribution::from_parts(histogram, sum_ns, ends[0], ends[1]);
        Self {
            first_second: *first_second,
            seconds: *seconds,
            sending_s: *sending_ns as f64 / 1e9,
            responses: *responses,
            ended: *ended,
            failed: *failed,
            without_response: *without_response,
            latency_hdr_v2_base64: if latency.is_empty() { String::new() } else { encode_base64(&distribution) },
        }
    }
}

impl TryFrom<&StretchView> for Stretch {
    type Error = String;

    fn try_from(view: &StretchView) -> Result<Self, String> {
        let StretchView { first_second, seconds, sending_s, responses, ended, failed, without_response, .. } = view;
        let text = &view.latency_hdr_v2_base64;
        let latency = if text.is_empty() {
            Vec::new()
        } else {
            let histogram =
                decode_base64(text).map_err(|error| format!("the histogram of second {first_second} {error}"))?;
            histogram.iter_recorded().map(|bucket| (bucket.value_iterated_to(), bucket.count_at_value())).collect()
        };
        if !(sending_s.is_finite() && *sending_s >= 0.0) {
            return Err(format!("sending_s of second {first_second} is {sending_s}; it must be a time in seconds"));
        }
        Ok(Self {
            first_second: *first_second,
            seconds: *seconds,
            sending_ns: (sending_s * 1e9).round() as u64,
            responses: *responses,
            ended: *ended,
            failed: *failed,
            without_response: *without_response,
            latency,
        })
    }
}

#[cfg(test)]
mod tests {
    use onrush_stats::Counts;

    use super::*;

    #[test]
    fn a_stretch_comes_back_as_it_was_written() {
        let mut random = 1_u64;
        let mut latency = Distribution::default();
        for _ in 0..5_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            latency.record(random >> 34);
        }
        let mut counts = Counts::default();
        counts.statuses.insert(200, 5_000);
        counts.skipped = 7;
        for stretch in [Stretch::of_second(3, 999_999_999, &counts, &latency), Stretch::default()] {
            assert_eq!(Stretch::try_from(&StretchView::from(&stretch)), Ok(stretch));
        }
        let broken = StretchView { latency_hdr_v2_base64: "AAAA".into(), ..StretchView::from(&Stretch::default()) };
        assert!(Stretch::try_from(&broken).is_err_and(|problem| problem.contains("second 0")));
        let broken = StretchView { sending_s: -1.0, ..StretchView::from(&Stretch::default()) };
        assert!(Stretch::try_from(&broken).is_err_and(|problem| problem.contains("sending_s")));
    }
}
