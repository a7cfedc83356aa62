//! `p99<50ms`, `failed<0.1%`: what a server must keep, as people write it. Pure.

use onrush_protocol::human;
use onrush_search::Criterion;

const RIGHT: &str = "write a quantile and a duration (p99<50ms, p99.9<1s), or failed and a share (failed<0.1%)";

/// One criterion of an SLO.
///
/// # Errors
/// What is wrong and what would be right, in words.
pub fn criterion(text: &str) -> Result<Criterion, String> {
    let wrong = || format!("{text:?}: {RIGHT}");
    let (name, limit) = text.split_once('<').ok_or_else(wrong)?;
    let (name, limit) = (name.trim().to_ascii_lowercase(), limit.trim());
    if name == "failed" {
        let percent = limit.strip_suffix('%').and_then(human::number).ok_or_else(wrong)?;
        let share = percent / 100.0;
        return if share > 0.0 && share < 1.0 { Ok(Criterion::Failed { share }) } else { Err(wrong()) };
    }
    let quantile = match name.as_str() {
        "median" => 0.5,
        name => name.strip_prefix('p').and_then(human::number).ok_or_else(wrong)? / 100.0,
    };
    let limit = human::duration(limit).map_err(|right| format!("{text:?}: {right}"))?;
    if !(quantile > 0.0 && quantile < 1.0) || limit.is_zero() {
        return Err(wrong());
    }
    Ok(Criterion::quantile(quantile, limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criteria_are_read_and_shown_as_they_were_written() {
        for text in ["p99<50ms", "p99.9<1s", "p50<250µs", "failed<0.1%"] {
            let read = criterion(&text.replace('µ', "u")).unwrap_or_else(|problem| panic!("{problem}"));
            assert_eq!(read.to_string(), text);
        }
        assert_eq!(criterion(" P99 < 50ms "), criterion("p99<50ms"));
        assert_eq!(criterion("median<5ms"), criterion("p50<5ms"));
    }

    #[test]
    fn what_cannot_be_an_slo_is_refused_in_words() {
        for text in
            ["", "p99", "p99<", "p99<0s", "p100<1s", "p0<1s", "px<1s", "failed<1", "failed<0%", "failed<100%", "rate<5"]
        {
            let problem = criterion(text).expect_err(text);
            assert!(problem.contains("write"), "{text}: {problem}");
        }
    }
}
