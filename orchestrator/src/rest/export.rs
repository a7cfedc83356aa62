//! One run as one file.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::api::Api;
use super::problem::{Failure, ProblemBody};
use super::room::busy;
use super::routes::InPath;

/// Files that are being sent at once.
const MAX_SENT: usize = 4;
/// How much of a file is in memory for one client, twice.
const CHUNK_BYTES: usize = 128 * 1024;

/// One for each file that may be on its way.
#[derive(Clone)]
pub(super) struct Exports(Arc<Semaphore>);

impl Exports {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_SENT)))
    }
}

/// A run as one file
///
/// Everything of a test that is over: its settings (without private keys), every report of every driver with its histograms,
/// seconds, events and proof. `onrush verify` recomputes all of it.
#[utoipa::path(
    get, path = "/v1/tests/{id}/export", tag = "results",
    params(("id" = String, Path, description = "Its test_id")),
    responses(
        (status = 200, description = "The file", body = Vec<u8>, content_type = "application/vnd.onrush.run", headers(("content-disposition" = String, description = "Its name"))),
        (status = 404, description = "There is no such test", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is not over", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn export<A: Api>(
    State(api): State<A>,
    Extension(exports): Extension<Exports>,
    InPath(test_id): InPath,
) -> Result<Response, Failure> {
    let too_many = || busy(&format!("{MAX_SENT} runs are being exported, as many as may be; try again later"));
    let place = exports.0.try_acquire_owned().map_err(|_| too_many())?;
    let mut file = api.run_file(test_id.clone()).await?;
    let length = file.metadata().map(|metadata| metadata.len()).unwrap_or_default();
    let (sender, chunks) = mpsc::channel::<io::Result<Bytes>>(1);
    tokio::spawn(async move {
        loop {
            let read = tokio::task::spawn_blocking(move || {
                let chunk = read_chunk(&mut file);
                (file, chunk)
            });
            let Ok((same, chunk)) = read.await else { break };
            file = same;
            let is_last = chunk.as_ref().is_ok_and(Bytes::is_empty) || chunk.is_err();
            if sender.send(chunk).await.is_err() || is_last {
                break;
            }
        }
        drop(place);
    });
    let name = format!("attachment; filename=\"{}.onrush\"", file_name(test_id.as_str()));
    let head = [
        (header::CONTENT_TYPE, "application/vnd.onrush.run".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((head, Body::from_stream(ReceiverStream::new(chunks))).into_response())
}

fn read_chunk(file: &mut File) -> io::Result<Bytes> {
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    file.take(CHUNK_BYTES as u64).read_to_end(&mut chunk)?;
    Ok(chunk.into())
}

/// A test may be called whatever somebody likes.
pub(super) fn file_name(test_id: &str) -> String {
    test_id.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect()
}
