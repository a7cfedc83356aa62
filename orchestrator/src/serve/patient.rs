//! A socket that is given up when its client does not read.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::places::Place;

/// A client that reads less than this while a write waits does not read.
const FAIR_PART_BYTES: usize = 256 * 1024;

/// A socket.
pub(super) struct Patient {
    stream: TcpStream,
    patience: Duration,
    /// Runs while a write waits.
    stall: Pin<Box<Sleep>>,
    waiting: bool,
    /// What the client has taken since then.
    taken_bytes: usize,
    place: Arc<Place>,
}

impl Patient {
    pub(super) fn new(stream: TcpStream, patience: Duration, place: Arc<Place>) -> Self {
        Self { stream, patience, stall: Box::pin(sleep(patience)), waiting: false, taken_bytes: 0, place }
    }

    /// `all`: how much there was to write.
    fn wrote(&mut self, bytes: usize, all: usize) {
        self.taken_bytes = self.taken_bytes.saturating_add(bytes);
        if self.waiting && (bytes == all || self.taken_bytes >= FAIR_PART_BYTES) {
            self.waiting = false;
            self.place.set_writing(false);
        }
    }

    /// A write waits for the client.
    fn poll_stall(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        if !self.waiting {
            self.waiting = true;
            self.taken_bytes = 0;
            self.place.set_writing(true);
            self.stall.as_mut().reset(Instant::now() + self.patience);
        }
        ready!(self.stall.as_mut().poll(context));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the client does not read"))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.as_mut().poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(context, parts) {
            Poll::Ready(written) => {
                let written = written?;
                self.wrote(written, parts.iter().map(|part| part.len()).sum());
                Poll::Ready(Ok(written))
            }
            Poll::Pending => self.poll_stall(context).map(Err),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
