//! What a reader must know beside the numbers, the same of a bench and of a test; nothing where all went well.

use onrush_api::ScopeView;

use super::numbers::{grouped, number_of, seconds};
use super::{counted, line};
use crate::table::{BAD, WARN, paint};

/// How much the latencies leave out, what was not sent and why, what was sent twice, and what failed.
pub fn remarks(totals: &ScopeView, keepalive: bool) -> Vec<String> {
    let mut remarks = Vec::new();
    remarks.extend(left_out(totals).map(|words| paint(BAD, words)));
    let mut count = |n: Option<u64>, words: &dyn Fn(u64) -> String| {
        remarks.extend(n.filter(|n| *n > 0).map(|n| paint(WARN, words(n))));
    };
    count(totals.skipped, &|n| {
        format!("skipped: {}, due and never sent: no connection was free; give more (-c)", number_of(n, "request"))
    });
    count(totals.dropped, &|n| {
        format!("dropped: {}, given up for being late; a Tsunami sends late ones all the same", number_of(n, "request"))
    });
    count(totals.resent, &|n| {
        format!("resent: {}, whose open connection was closed without a response", number_of(n, "request"))
    });
    count(totals.unsolicited, &|n| {
        format!("unsolicited: {}, ended for bytes that no request had asked for", number_of(n, "connection"))
    });
    count(totals.connects.filter(|_| keepalive), &|n| {
        format!("connects: {}, opened while requests were sent", number_of(n, "connection"))
    });
    if !totals.addresses.is_empty() {
        remarks.push(format!("requests by address: {}", counted(&totals.addresses)));
    }
    if !totals.failures.is_empty() {
        let mut words = String::new();
        line(&mut words, format!("failures by cause: {}", counted(&totals.failures)));
        totals.examples.iter().for_each(|(cause, example)| line(&mut words, format!("  {cause}: {example}")));
        remarks.push(paint(BAD, words.trim_end()));
    }
    remarks
}

/// `latency leaves out 354 of 500 due (70.8 %), which have no response`: quantiles improve as a target dies, since what it
/// does not answer has no latency.
fn left_out(totals: &ScopeView) -> Option<String> {
    let (due, responses) = totals.due.zip(totals.responses)?;
    let missing = due.checked_sub(responses).filter(|n| *n > 0)?;
    // Never "100 %" or "0 %" of what is not all or nothing.
    let percent = (missing as f64 / due as f64 * 100.0).clamp(0.1, if missing == due { 100.0 } else { 99.9 });
    let have = if missing == 1 { "which has" } else { "which have" };
    Some(format!(
        "latency leaves out {} of {} due ({percent:.1} %), {have} no response; a threshold counts them",
        grouped(missing),
        grouped(due)
    ))
}

/// What is said where a look at the metrics of the target's machine told nothing.
pub fn without_target(problem: &str) -> String {
    format!("target metrics: {problem}; the verdict goes on without the target's CPU")
}

/// `took 2.310 s`, and how long it sent where the rest was waiting.
pub fn took(elapsed_s: f64, sending_s: Option<f64>) -> String {
    const WORTH_TELLING_S: f64 = 0.01;
    match sending_s.filter(|sending_s| elapsed_s - sending_s > WORTH_TELLING_S) {
        Some(sending_s) => format!("took {}, {} of it sending", seconds(elapsed_s), seconds(sending_s)),
        None => format!("took {}", seconds(elapsed_s)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample_metrics;

    fn plain(totals: &ScopeView) -> String {
        anstream::adapter::strip_str(&remarks(totals, true).join("\n")).to_string()
    }

    #[test]
    fn a_run_without_a_fault_needs_no_remark() {
        assert_eq!(plain(&sample_metrics().all), "");
    }

    #[test]
    fn what_latencies_leave_out_is_said_first() {
        let mut totals = sample_metrics().all;
        (totals.due, totals.sent, totals.responses, totals.skipped) = (Some(500), Some(146), Some(142), Some(354));
        totals.failures.insert("timeout".into(), 4);
        totals.examples.insert("timeout".into(), "no response within 300ms".into());
        let text = plain(&totals);
        let expected = "\
latency leaves out 358 of 500 due (71.6 %), which have no response; a threshold counts them
skipped: 354 requests, due and never sent: no connection was free; give more (-c)
failures by cause: timeout × 4
  timeout: no response within 300ms";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_share_is_all_or_nothing_only_where_it_is_so() {
        let mut totals = sample_metrics().all;
        for (due, responses, words) in [
            (1_000_000, 999_999, "leaves out 1 of 1,000,000 due (0.1 %), which has no response"),
            (1_000_000, 1, "(99.9 %)"),
            (7, 0, "leaves out 7 of 7 due (100.0 %)"),
        ] {
            (totals.due, totals.responses) = (Some(due), Some(responses));
            assert!(plain(&totals).contains(words), "{words}: {}", plain(&totals));
        }
    }

    #[test]
    fn what_is_rare_is_told_where_it_happens() {
        let mut totals = sample_metrics().all;
        (totals.dropped, totals.resent, totals.unsolicited, totals.connects) = (Some(2), Some(1), Some(1), Some(9));
        totals.addresses = [("127.0.0.1".to_owned(), 5), ("127.0.0.2".to_owned(), 4)].into();
        let text = plain(&totals);
        for words in [
            "dropped: 2 requests",
            "resent: 1 request,",
            "unsolicited: 1 connection,",
            "connects: 9 connections",
            "requests by address: 127.0.0.1 × 5, 127.0.0.2 × 4",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(!remarks(&totals, false).join("\n").contains("connects:"), "each for one request: no news");
    }

    #[test]
    fn waiting_is_told_apart_from_sending() {
        assert_eq!(took(2.31, Some(2.305)), "took 2.310 s");
        assert_eq!(took(10.0, Some(1.5)), "took 10.00 s, 1.500 s of it sending");
        assert_eq!(took(10.0, None), "took 10.00 s");
    }
}
