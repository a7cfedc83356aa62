//! One connection: reads what comes, answers in order, writes the answers of a batch together.
//!
//! Memory: the input grows to [`MAX_HEAD_BYTES`] at most, the output is written before it passes
//! [`FLUSH_BYTES`] by more than one answer. There is no idle time-out: a load generator keeps connections open.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use monoio::buf::IoBufMut;
use monoio::io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt};
use monoio::net::TcpStream;

use crate::answers::{self, Bytes, CONTINUE};
use crate::counters::Snapshot;
use crate::metrics::{self, Cpu};
use crate::request::{Event, MAX_HEAD_BYTES, Malformed, Persistence, Request, RequestReader, Route};
use crate::server::{OpenConnection, Worker};

const INPUT_BYTES: usize = 4 * 1024;
const OUTPUT_BYTES: usize = 1024;
const FLUSH_BYTES: usize = 64 * 1024;
/// A stop is noticed at least this often while an answer is delayed.
const DELAY_SLICE: Duration = Duration::from_millis(100);
/// How long and how much a client may go on sending after the last answer.
const LINGER: Duration = Duration::from_secs(2);
const MAX_LINGER_BYTES: usize = 1024 * 1024;

/// Serves one connection until it ends.
pub async fn serve(stream: TcpStream, open: OpenConnection, worker: Rc<Worker>) {
    let mut connection = Connection {
        _open: open,
        stream,
        worker,
        reader: RequestReader::default(),
        input: Vec::with_capacity(INPUT_BYTES),
        output: Vec::with_capacity(OUTPUT_BYTES),
        current: None,
    };
    // Whatever breaks a connection is the client's doing and ends with it.
    let _broken = connection.run().await;
}

struct Connection {
    /// Before the stream, because fields are dropped in this order: a closed descriptor must not be listed as open.
    _open: OpenConnection,
    stream: TcpStream,
    worker: Rc<Worker>,
    reader: RequestReader,
    input: Vec<u8>,
    output: Vec<u8>,
    /// The request whose body is being read, and when its head was complete.
    current: Option<(Request, Instant)>,
}

/// What the bytes that were read lead to.
enum Outcome {
    ReadOn,
    /// The connection ends; true: the client may still be sending.
    Close(bool),
}

impl Connection {
    async fn run(&mut self) -> io::Result<()> {
        loop {
            if self.read().await? == 0 {
                return Ok(());
            }
            let outcome = self.answer_all().await?;
            self.flush().await?;
            if let Outcome::Close(still_sending) = outcome {
                // Closing with bytes unread would make the kernel reset the connection, and the last answer be lost.
                if still_sending {
                    self.linger().await?;
                }
                return Ok(());
            }
        }
    }

    async fn read(&mut self) -> io::Result<usize> {
        let length = self.input.len();
        if length == self.input.capacity() {
            // The reader refuses a head before it fills this.
            self.input.reserve_exact(length.min(MAX_HEAD_BYTES));
        }
        let capacity = self.input.capacity();
        let (read, slice) = self.stream.read(std::mem::take(&mut self.input).slice_mut(length..capacity)).await;
        self.input = slice.into_inner();
        let read = read?;
        self.worker.counters().received(read);
        Ok(read)
    }

    /// Answers every request that is complete.
    async fn answer_all(&mut self) -> io::Result<Outcome> {
        let now = Instant::now();
        let mut consumed = 0;
        let outcome = loop {
            let (bytes, event) = self.reader.next(&self.input[consumed..]);
            consumed += bytes;
            match event {
                Event::NeedMore => break Outcome::ReadOn,
                Event::Head(request) => {
                    self.worker.counters().request(request.route);
                    if request.route == Route::Ping {
                        self.worker.note_arrival(now);
                    }
                    self.current = Some((request, now));
                    // A client whose body is under way does not wait any more.
                    if request.expects_continue && consumed == self.input.len() {
                        self.output.extend_from_slice(CONTINUE);
                    }
                }
                Event::End => {
                    let Some((request, arrived)) = self.current.take() else {
                        break Outcome::Close(true);
                    };
                    self.answer(&request, arrived).await?;
                    if request.persistence == Persistence::Close {
                        break Outcome::Close(consumed < self.input.len());
                    }
                    if self.output.len() >= FLUSH_BYTES {
                        self.flush().await?;
                    }
                }
                Event::Malformed(malformed) => {
                    self.hold(now).await?;
                    self.refuse(malformed);
                    break Outcome::Close(true);
                }
            }
        };
        self.input.drain(..consumed);
        Ok(outcome)
    }

    async fn answer(&mut self, request: &Request, arrived: Instant) -> io::Result<()> {
        let served = match request.route {
            Route::Ping => self.worker.shared.served_at(arrived).map(|done| done + self.worker.shared.next_delay()),
            Route::Metrics | Route::Other => Some(arrived),
        };
        self.hold(served.unwrap_or(arrived)).await?;
        let shared = &self.worker.shared;
        let counters = self.worker.counters();
        let answers = &shared.answers;
        let answer = match request.route {
            Route::Ping if served.is_none() => &answers.queue_full,
            Route::Ping => answers.pong(request),
            Route::Metrics if request.is_read => {
                let snapshot = Snapshot { queue: shared.queue_length(), ..Snapshot::of(shared.counters.iter()) };
                let uptime = shared.started.elapsed();
                let cpu = Cpu::now(shared.seats.len());
                let (content_type, body) = if request.prefers_json {
                    ("application/json", metrics::json(&snapshot, &shared.instance, uptime, cpu))
                } else {
                    (
                        "text/plain; version=0.0.4; charset=utf-8",
                        metrics::prometheus(&snapshot, &shared.instance, uptime, cpu),
                    )
                };
                counters.response(Route::Metrics, 200);
                answers::append_fresh(request, content_type, &body, &mut self.output);
                return Ok(());
            }
            Route::Metrics => &answers.method_not_allowed,
            Route::Other => &answers.not_found,
        };
        // Counted before the kernel has it: whoever has seen an answer finds it counted.
        counters.response(request.route, answer.status);
        match answer.bytes(request) {
            Bytes::Copy(bytes) => self.output.extend_from_slice(bytes),
            Bytes::Share(bytes) => {
                self.flush().await?;
                self.worker.counters().sent(bytes.len());
                self.stream.write_all(bytes).await.0?;
            }
        }
        Ok(())
    }

    fn refuse(&mut self, malformed: Malformed) {
        let counters = self.worker.counters();
        let answer = self.worker.shared.answers.malformed(malformed);
        counters.malformed(malformed);
        let request = self.current.take().map(|(request, _)| request);
        if let Some(request) = request {
            counters.response(request.route, answer.status);
        }
        answer.append_last(request.is_some_and(|request| request.is_head), &mut self.output);
    }

    /// Waits until an answer that is ready at `ready` may go out, with the answers before it sent.
    ///
    /// It is some microseconds late, never early.
    async fn hold(&mut self, ready: Instant) -> io::Result<()> {
        if !self.worker.shared.waits() {
            return Ok(());
        }
        loop {
            let now = Instant::now();
            // Waiting may have led into a stall.
            let due = self.worker.shared.release(ready.max(now));
            if now >= due {
                return Ok(());
            }
            self.flush().await?;
            let rings = self.worker.alarms.wait_until(due.min(now + DELAY_SLICE)).await;
            if !rings || self.worker.shared.is_stopping() {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        self.worker.counters().sent(self.output.len());
        let (written, output) = self.stream.write_all(std::mem::take(&mut self.output)).await;
        self.output = output;
        self.output.clear();
        written.map(drop)
    }

    /// Reads and forgets what the client still sends, so that it gets to read the last answer.
    async fn linger(&mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        let drain = async {
            let mut drained = 0;
            while drained < MAX_LINGER_BYTES {
                self.input.clear();
                match self.read().await? {
                    0 => break,
                    read => drained += read,
                }
            }
            Ok(())
        };
        monoio::time::timeout(LINGER, drain).await.unwrap_or(Ok(()))
    }
}
