//! A run that was exported elsewhere is taken in.

use std::io::Write;
use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderName};
use axum::response::Response;
use onrush_api::TestView;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;

use super::api::Api;
use super::problem::{Failure, ProblemBody};
use super::room::{Rooms, busy};

/// A larger file is no run: an hour of eight busy drivers has a tenth of it.
const MAX_FILE_BYTES: u64 = 1 << 30;
/// A client that sends nothing for so long is given up.
const SILENCE: Duration = Duration::from_secs(30);
/// Pieces of the file that wait for the disk.
const PIECES: usize = 4;

/// Import a run
///
/// Takes the file of an export. Everything in it is recomputed first: one that was changed, or says what its reports do not add up to, is
/// refused, and so is one whose test is here already. While a test is open none is taken. The test's events and "imported_at" say
/// that it was imported.
#[utoipa::path(
    post, path = "/v1/tests/import", tag = "results",
    request_body(content = Vec<u8>, content_type = "application/vnd.onrush.run", description = "The file, 1 GiB at most"),
    responses(
        (status = 201, description = "The test", body = TestView, headers(("location" = String, description = "Its path"))),
        (status = 403, description = "A page of another origin asked", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The test is here already, or another is open", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The file has more than 1 GiB", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "It is no run, or differs from what its reports add up to", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn import<A: Api>(
    State(api): State<A>,
    Extension(rooms): Extension<Rooms>,
    request: Request,
) -> Result<(StatusCode, [(HeaderName, String); 1], Response), Failure> {
    let place = rooms.imports.try_acquire();
    let _place = place.map_err(|_| busy("another run is being imported; try again when it is in"))?;
    let cannot = |error: std::io::Error| busy(&format!("the file cannot be kept on this machine: {error}"));
    let mut file = api.import_file().map_err(cannot)?;
    let (sender, mut pieces) = mpsc::channel::<Bytes>(PIECES);
    let write = tokio::task::spawn_blocking(move || {
        while let Some(piece) = pieces.blocking_recv() {
            file.write_all(&piece)?;
        }
        file.flush()?;
        Ok(file)
    });
    let received = receive(request, sender).await;
    let written = write.await.map_err(|_| busy("the orchestrator is ending"))?.map_err(cannot);
    received?;
    let view = api.import(written?).await?;
    let claim = rooms.answers.claim().await?;
    Ok((StatusCode::CREATED, [(header::LOCATION, format!("/v1/tests/{}", view.test_id))], claim.json(&view)))
}

/// Passes the body on, piece by piece.
async fn receive(request: Request, pieces: mpsc::Sender<Bytes>) -> Result<(), Failure> {
    let mut body = request.into_body().into_data_stream();
    let mut received = 0_u64;
    loop {
        let next = tokio::time::timeout(SILENCE, body.next()).await;
        let silent = |_| Failure::new(StatusCode::REQUEST_TIMEOUT, format!("nothing of the file came for {SILENCE:?}"));
        let Some(piece) = next.map_err(silent)? else { return Ok(()) };
        let piece = piece.map_err(|error| {
            Failure::new(StatusCode::BAD_REQUEST, format!("the file broke off after {received} bytes: {error}"))
        })?;
        received += piece.len() as u64;
        if received > MAX_FILE_BYTES {
            let detail = format!("the file is too large; at most {MAX_FILE_BYTES} bytes are taken");
            return Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
        }
        // Whoever writes has ended with an error, which is told in place of this.
        if pieces.send(piece).await.is_err() {
            return Ok(());
        }
    }
}
