//! glommio, as it comes: a task per connection.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::net::TcpStream;
use glommio::{LocalExecutorBuilder, Placement};

use super::{INPUT_BYTES, Job, Measured, Meter, REQUEST, complete};
use crate::Problem;

pub fn run(job: Job) -> Result<Measured, Problem> {
    let executor = LocalExecutorBuilder::new(Placement::Fixed(job.cpu))
        .make()
        .map_err(|e| format!("glommio does not start: {e}"))?;
    executor.run(load(job))
}

async fn load(job: Job) -> Result<Measured, Problem> {
    let mut streams = Vec::with_capacity(job.connections);
    for _ in 0..job.connections {
        let stream = TcpStream::connect(job.address).await.map_err(io::Error::from)?;
        stream.set_nodelay(true).map_err(io::Error::from)?;
        streams.push(stream);
    }
    let stop = Rc::new(Cell::new(false));
    let meter = Meter::start();
    let tasks: Vec<_> = streams
        .into_iter()
        .map(|stream| glommio::spawn_local(ask(stream, job.answer_bytes, Rc::clone(&stop))))
        .collect();
    glommio::timer::sleep(job.duration).await;
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
        stream.write_all(REQUEST).await?;
        while !complete(&mut left, stream.read(&mut input).await?, answer_bytes)? {}
        requests += 1;
    }
    Ok(requests)
}
