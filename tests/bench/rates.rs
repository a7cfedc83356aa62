//! A target throughput is a ceiling, whatever becomes of the process, and what is short of it is said.

use std::time::Duration;

use super::{Bench, number, target};
use crate::harness::{TEST_END, alone, beside_others};

const RATE: u64 = 400;
const SECONDS: u64 = 5;

/// Of which at least one and a half lie before its last second, whose requests may still be sent at once.
const STALL: Duration = Duration::from_millis(2_500);

#[test]
fn after_a_stall_no_second_is_above_the_rate_and_the_loss_is_told() {
    let _machine = alone();
    for kind in ["avalanche", "tsunami"] {
        let target = target(&[]);
        let (rate, duration) = (RATE.to_string(), format!("{SECONDS}s"));
        let args = [&target.url(), "--type", kind, "-R", &rate, "-d", &duration, "-c", "8"];
        let (mut process, folder) = Bench::start(&args);
        // The first second is over.
        process.wait_for_line("requests/s");
        process.pause();
        std::thread::sleep(STALL);
        process.resume();
        let status = process.wait_for_end(TEST_END);
        let bench = Bench { status, output: process.output(), folder }.ok();

        let json = bench.json();
        let seconds: Vec<u64> =
            json["seconds"].as_array().expect("a list").iter().map(|second| number(&second["sent"])).collect();
        assert!(seconds.iter().all(|sent| *sent <= RATE), "{kind}: {seconds:?}");
        let [due, sent, skipped, dropped] =
            ["due", "sent", "skipped", "dropped"].map(|field| number(&json["totals"][field]));
        assert_eq!(target.counted().0, sent, "{kind}");
        assert_eq!(number(&json["short_of_rate"]), RATE * SECONDS - sent, "{kind}");
        // What is lost may not be made up for.
        assert!(sent <= RATE * (SECONDS - 1), "{kind}: {seconds:?}");
        // Whatever became of a request, it was due.
        assert_eq!((due, sent + skipped + dropped), (RATE * SECONDS, RATE * SECONDS), "{kind}: {}", bench.output);
        let (lost, word) = if kind == "tsunami" { (skipped, "skipped: ") } else { (dropped, "dropped: ") };
        assert_eq!(lost, due - sent, "{kind}: {}", bench.output);
        for words in [word, &format!("latency leaves out {lost}"), &format!("due = {sent} sent")] {
            let plain = bench.output.replace(',', "");
            assert!(plain.contains(words), "{kind}: {words} is not in\n{}", bench.output);
        }
    }
}

#[test]
fn a_connection_rests_for_the_think_time() {
    let _machine = beside_others();
    let target = target(&[]);
    let (mut process, folder) = Bench::start(&[&target.url(), "-n", "20", "-c", "2", "--think-time", "50ms"]);
    let status = process.wait_for_end(TEST_END);
    let json = Bench { status, output: process.output(), folder }.ok().json();
    assert_eq!((number(&json["totals"]["sent"]), target.counted().0), (20, 20));
    assert_eq!(json["asked"]["think_time_s"], 0.05);
    // Each of two connections sends ten, with nine rests between them.
    let elapsed_s = json["totals"]["elapsed_s"].as_f64().expect("a time");
    assert!(elapsed_s >= 9.0 * 0.05, "{elapsed_s}");
}
