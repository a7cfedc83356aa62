//! A report as one file: it needs no network, and what it shows is what REST says.

use serde_json::json;

use crate::cases::{assert_numbers, table, wait_for_medians};
use crate::harness::{Broker, Process, System, beside_others};
use crate::page::{Page, picture_file};

const NAME: &str = "</script><b>nightly</b> {{data}}";

#[test]
fn a_report_is_opened_from_its_file_and_its_numbers_are_those_of_rest() {
    let _machine = beside_others();
    let broker = Broker::embedded();
    let system = System::new(&broker);
    let target = system.target(&["--delay", "3ms"]);
    let (orchestrator, _drivers) = system.with_drivers(2);
    let test_id = orchestrator.start(&json!({
        "test_type": "TSUNAMI", "target_url": target.url(), "profile": "2s@100..300, 2s@200", "connections": 8, "name": NAME,
        "headers": {"Authorization": "Bearer letmein", "Accept": "text/plain"}, "thresholds": ["p99<1us", "rate>1"],
    }));
    let test = orchestrator.wait_for_end(&test_id);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("report.html");
    let path = file.to_str().expect("a plain path");
    let written =
        Process::command(&["test", "report", &test_id, "-o", path, "--orchestrator", orchestrator.base()]).output();
    let written = written.expect("onrush runs");
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    let html = std::fs::read_to_string(&file).expect("the file is there");
    assert!(html.len() < 1024 * 1024, "{} bytes", html.len());
    assert!(!html.contains("letmein"), "a secret header");

    let mut page = Page::open_file(&file);
    assert_eq!(page.text("#test-title"), format!("{NAME} ({test_id})"));
    assert_numbers(&mut page, &orchestrator.metrics(&test_id));
    wait_for_medians(&mut page, &orchestrator.series(&test_id));
    let proof = test.conservation.expect("an ended test has its proof");
    assert!(page.text("#conservation").contains(&proof.line), "{}", page.text("#conservation"));
    let checks = table(&mut page, ":has(> #checks)");
    assert_eq!(checks.len(), proof.checks.len());
    for (row, check) in checks.iter().zip(&proof.checks) {
        assert_eq!((&row[0], &row[1]), (&check.name, check.node_id.as_ref().unwrap_or(&"all".to_owned())), "{row:?}");
    }
    assert!(page.text("#thresholds").contains("p99<1us: not kept"), "{}", page.text("#thresholds"));
    let config = page.text("#config");
    for setting in ["Authorization: (hidden)", "Accept: text/plain", "2s@100..300, 2s@200"] {
        assert!(config.contains(setting), "{setting} is not in {config}");
    }
    assert!(
        page.text("#events").contains("completed") && page.text("#machines").contains("driver"),
        "all of it is shown"
    );

    for (width, height, scheme) in
        [(1400, 2600, "light"), (1400, 2600, "dark"), (400, 5600, "light"), (400, 5600, "dark")]
    {
        page.resize(width, height, width < 500);
        page.prefer(scheme);
        page.picture(&picture_file(&format!("report-{width}-{scheme}.png"), false), None);
        let page_width: u32 = page.eval("document.documentElement.scrollWidth");
        assert!(page_width <= width, "the page is {page_width} px wide in a window of {width}");
    }
    page.print(&picture_file("report.pdf", false));
    page.assert_no_complaint();
    // Whatever runs in it reaches nobody.
    let reached =
        format!("fetch('{}/healthz', {{ mode: 'no-cors' }}).then(() => true, () => false)", orchestrator.base());
    assert!(!page.eval::<bool>(&reached), "its policy lets it ask others");
}
