//! monoio, with the flags that the engine gives its ring: a task per connection.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::TcpStream;
use monoio::{IoUringDriver, RuntimeBuilder};

use super::{INPUT_BYTES, Job, Measured, Meter, REQUEST, complete};
use crate::{Problem, machine};

pub fn run(job: Job) -> Result<Measured, Problem> {
    machine::pin(job.cpu)?;
    let mut flags = io_uring::IoUring::builder();
    flags.setup_single_issuer().setup_defer_taskrun();
    let mut runtime =
        RuntimeBuilder::<IoUringDriver>::new().with_entries(1024).uring_builder(flags).enable_timer().build()?;
    runtime.block_on(load(job))
}

async fn load(job: Job) -> Result<Measured, Problem> {
    let mut streams = Vec::with_capacity(job.connections);
    for _ in 0..job.connections {
        let stream = TcpStream::connect_addr(job.address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let stop = Rc::new(Cell::new(false));
    let meter = Meter::start();
    let tasks: Vec<_> =
        streams.into_iter().map(|stream| monoio::spawn(ask(stream, job.answer_bytes, Rc::clone(&stop)))).collect();
    monoio::time::sleep(job.duration).await;
    stop.set(true);
    let mut requests = 0;
    for task in tasks {
        requests += task.await?;
    }
    Ok(meter.stop(requests))
}

async fn ask(mut stream: TcpStream, answer_bytes: usize, stop: Rc<Cell<bool>>) -> io::Result<u64> {
    let (mut requests, mut left) = (0, answer_bytes);
    let mut input = vec![0; INPUT_BYTES];
    while !stop.get() {
        let (sent, _) = stream.write_all(REQUEST).await;
        sent?;
        loop {
            let (came, buffer) = stream.read(input).await;
            input = buffer;
            if complete(&mut left, came?, answer_bytes)? {
                break;
            }
        }
        requests += 1;
    }
    Ok(requests)
}
