//! The floor: io_uring by hand, with whatever saves a system call.

use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{BufRingEntry, Fixed};
use io_uring::{IoUring, SubmissionQueue, Submitter, cqueue, opcode};

use super::{INPUT_BYTES, Job, Measured, Meter, REQUEST, complete};
use crate::{Problem, machine};

const BUFFER_GROUP: u16 = 0;
/// The bit of `user_data` beside the connection's number.
const IS_SEND: u64 = 1 << 32;

pub fn run(job: Job) -> Result<Measured, Problem> {
    machine::pin(job.cpu)?;
    let streams = (0..job.connections).map(|_| connect(job)).collect::<Result<Vec<_>, _>>()?;
    let entries = u32::try_from(job.connections.next_power_of_two().clamp(256, 4096))?;
    let mut ring: IoUring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_cqsize(4 * entries)
        .build(entries)
        .map_err(|e| format!("io_uring with DEFER_TASKRUN, which needs Linux 6.1: {e}"))?;
    let descriptors: Vec<i32> = streams.iter().map(AsRawFd::as_raw_fd).collect();
    ring.submitter().register_files(&descriptors)?;
    let mut buffers = Buffers::register(&ring.submitter(), job.connections)?;

    let mut left = vec![job.answer_bytes; job.connections];
    let mut requests = 0;
    let meter = Meter::start();
    let deadline = Instant::now() + job.duration;
    {
        let (submitter, mut queue, _) = ring.split();
        for connection in 0..job.connections as u32 {
            push(&submitter, &mut queue, &receive(connection))?;
            push(&submitter, &mut queue, &send(connection))?;
        }
    }
    while Instant::now() < deadline {
        ring.submit_and_wait(1)?;
        let (submitter, mut queue, completions) = ring.split();
        for completion in completions {
            let (connection, flags) = (completion.user_data() as u32, completion.flags());
            let result = completion.result();
            if completion.user_data() & IS_SEND != 0 {
                // Only a send that failed is heard of.
                return Err(std::io::Error::from_raw_os_error(-result).into());
            }
            let out_of_buffers = result == -libc::ENOBUFS;
            if result < 0 && !out_of_buffers {
                return Err(std::io::Error::from_raw_os_error(-result).into());
            }
            if let Some(buffer) = cqueue::buffer_select(flags) {
                buffers.give_back(buffer);
            }
            if !out_of_buffers && complete(&mut left[connection as usize], result as usize, job.answer_bytes)? {
                requests += 1;
                push(&submitter, &mut queue, &send(connection))?;
            }
            if !cqueue::more(flags) {
                push(&submitter, &mut queue, &receive(connection))?;
            }
        }
        buffers.publish();
    }
    Ok(meter.stop(requests))
}

fn connect(job: Job) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(job.address)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn receive(connection: u32) -> Entry {
    opcode::RecvMulti::new(Fixed(connection), BUFFER_GROUP).build().user_data(u64::from(connection))
}

/// Silent where it succeeds; a short send counts as a failure.
fn send(connection: u32) -> Entry {
    opcode::Send::new(Fixed(connection), REQUEST.as_ptr(), REQUEST.len() as u32)
        .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
        .build()
        .flags(Flags::SKIP_SUCCESS)
        .user_data(IS_SEND | u64::from(connection))
}

fn push(submitter: &Submitter<'_>, queue: &mut SubmissionQueue<'_>, entry: &Entry) -> std::io::Result<()> {
    loop {
        // SAFETY: what an entry points to is static (the request) or belongs to the buffers, which are never freed.
        if unsafe { queue.push(entry) }.is_ok() {
            return Ok(());
        }
        queue.sync();
        submitter.submit()?;
        queue.sync();
    }
}

#[repr(align(4096))]
struct Page(#[allow(dead_code, reason = "the kernel's")] [u8; 4096]);

/// Buffers that the kernel chooses from, in a ring shared with it.
///
/// Never freed: a receive that is on its way when the ring is closed may still write. The process ends soon.
struct Buffers {
    ring: *mut BufRingEntry,
    storage: *mut u8,
    mask: u16,
    tail: u16,
}

impl Buffers {
    fn register(submitter: &Submitter<'_>, connections: usize) -> Result<Self, Problem> {
        let count = u16::try_from((2 * connections).next_power_of_two().clamp(256, 32_768))?;
        let pages = (usize::from(count) * size_of::<BufRingEntry>()).div_ceil(size_of::<Page>());
        let ring = Vec::leak((0..pages).map(|_| Page([0; 4096])).collect()).as_mut_ptr().cast();
        let storage = Vec::leak(vec![0; usize::from(count) * INPUT_BYTES]).as_mut_ptr();
        // SAFETY: the memory is page-aligned, holds as many entries, and is never freed.
        unsafe { submitter.register_buf_ring(ring as u64, count, BUFFER_GROUP) }?;
        let mut buffers = Self { ring, storage, mask: count - 1, tail: 0 };
        for buffer in 0..count {
            buffers.give_back(buffer);
        }
        buffers.publish();
        Ok(buffers)
    }

    fn give_back(&mut self, buffer: u16) {
        // SAFETY: the mask keeps the place within the ring, and the kernel does not read it before it is published.
        let entry = unsafe { &mut *self.ring.add(usize::from(self.tail & self.mask)) };
        // SAFETY: there is a piece of the storage for every buffer.
        let address = unsafe { self.storage.add(usize::from(buffer) * INPUT_BYTES) };
        entry.set_addr(address as u64);
        entry.set_len(INPUT_BYTES as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Lets the kernel see what was given back.
    fn publish(&mut self) {
        // SAFETY: the tail lies in the ring's first entry, is aligned, and is shared with the kernel alone.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.ring).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}
