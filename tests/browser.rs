//! The page in a real Chromium, as a person uses it. Needs the feature `browser-suite` and Chromium (Debian's package
//! `chromium`, or what `CHROMIUM` names): `cargo test --features browser-suite --test browser`.
//!
//! Every case also fails on any complaint on the browser's console, and on any request that leaves the orchestrator.
//! Pictures are left beside the test's build; with `ONRUSH_PICTURES=docs` those of the README are made anew.

#[path = "browser/cases.rs"]
mod cases;
#[path = "browser/chromium.rs"]
mod chromium;
#[path = "browser/form.rs"]
mod form;
mod harness;
#[path = "browser/load.rs"]
mod load;
#[path = "browser/names.rs"]
mod names;
#[path = "browser/outcome.rs"]
mod outcome;
#[path = "browser/page.rs"]
mod page;
#[path = "browser/recovery.rs"]
mod recovery;
#[path = "browser/report.rs"]
mod report;
#[path = "browser/search.rs"]
mod search;
#[path = "browser/sign_in.rs"]
mod sign_in;
