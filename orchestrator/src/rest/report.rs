//! A finished test as one HTML file.

use axum::Extension;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use onrush_api::{DriverView, ParticipantView, TestView};

use super::api::Api;
use super::export::file_name;
use super::problem::{Failure, ProblemBody};
use super::room::{Rooms, busy};
use super::routes::{InPath, MAX_PAGE_BYTES};
use crate::Problem;
use crate::report_file::{Machine, Points, Report, policy};

/// Seconds that are read at once; a page of them has at most [`MAX_PAGE_BYTES`].
const SECONDS_AT_ONCE: usize = 600;

/// A report as one file
///
/// Everything that the page shows of a test that is over, its settings and machines too, as one HTML file that needs no network.
/// Its charts have 600 points at most: beyond that a point stands for two seconds, four, and so on, with the counts added up and the
/// worst of the latencies. Values of headers that may be secret are hidden.
#[utoipa::path(
    get, path = "/v1/tests/{id}/report", tag = "results",
    params(("id" = String, Path, description = "Its test_id")),
    responses(
        (status = 200, description = "The file", body = String, content_type = "text/html", headers(("content-disposition" = String, description = "Its name"))),
        (status = 404, description = "There is no such test", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is not over", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn report<A: Api>(
    State(api): State<A>,
    Extension(rooms): Extension<Rooms>,
    InPath(test_id): InPath,
) -> Result<Response, Failure> {
    let claim = rooms.answers.claim().await?;
    let test = api.test(test_id.clone()).await?;
    if !test.state.is_end() {
        let why = format!("test {test_id} is not over: its result is not whole yet; wait for its end, or stop it");
        return Err(Problem::conflict(why).into());
    }
    let mut points = Points::for_drivers(test.participants.len());
    let mut next = Some(0);
    while let Some(from) = next {
        let page = api.series(test_id.clone(), from, SECONDS_AT_ONCE, MAX_PAGE_BYTES).await?;
        page.seconds.iter().for_each(|second| points.add(second));
        next = page.next_from;
    }
    let totals = api.metrics(test_id.clone()).await?;
    let distributions = api.histogram(test_id.clone(), None).await?;
    let machines = machines(&test, &api.drivers().await?);
    let written_at = format!("{:.0}", Timestamp::now());
    let report = Report { test, totals, points, distributions, machines, written_at };
    let html = tokio::task::spawn_blocking(move || report.html()).await;
    let html = html.map_err(|_| busy("the orchestrator is ending"))?;
    let head = [
        (header::CONTENT_SECURITY_POLICY, policy()),
        (header::CONTENT_DISPOSITION, format!("inline; filename=\"{}.html\"", file_name(test_id.as_str()))),
    ];
    Ok((head, claim.answer("text/html; charset=utf-8", html.into())).into_response())
}

/// Who took part, and what is known of its machine: where the process that took part is the one that is known today.
fn machines(test: &TestView, drivers: &[DriverView]) -> Vec<Machine> {
    let machine = |participant: &ParticipantView| {
        let known = drivers.iter().find(|driver| {
            driver.node_id == participant.node_id && driver.session_id.as_ref() == participant.session_id.as_ref()
        });
        let mut facts: Vec<(&'static str, String)> = Vec::new();
        let mut fact = |name, value: Option<&String>| facts.extend(value.map(|value| (name, value.clone())));
        fact("engine", participant.engine.as_ref());
        if let Some(driver) = known {
            fact("host", driver.hostname.as_ref());
            fact("address", driver.node_ip.as_ref());
            fact("CPUs", driver.cpus.as_ref());
            fact("version", driver.version.as_ref());
        }
        fact("started", participant.started_at.as_ref());
        facts.push(("reports", format!("{}, {} of them late", participant.reports, participant.late_reports)));
        facts.extend(
            known.is_none().then(|| ("machine", "not known any more: the driver is gone or was started again".into())),
        );
        Machine { name: participant.node_id.clone(), facts }
    };
    test.participants.iter().map(machine).collect()
}
