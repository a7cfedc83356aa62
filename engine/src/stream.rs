//! An open connection, with TLS or without.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;

use monoio::buf::IoBuf;
use monoio::io::{AsyncReadRent, AsyncWriteRent};
use monoio::net::TcpStream;
use rustix::net::{RecvFlags, recv};

use crate::tls::TlsStream;

pub(crate) enum Stream {
    Plain(TcpStream),
    /// Boxed: few connections are of this kind, and it is large.
    Tls(Box<TlsStream>),
}

impl Stream {
    pub fn as_raw_fd(&self) -> RawFd {
        match self {
            Stream::Plain(tcp) => tcp.as_raw_fd(),
            Stream::Tls(tls) => tls.as_raw_fd(),
        }
    }

    /// Sends what is left of `bytes` from `from`, or a piece of it.
    pub async fn write(&mut self, bytes: &Rc<Vec<u8>>, from: usize) -> io::Result<usize> {
        match self {
            Stream::Plain(tcp) => tcp.write(bytes.clone().slice(from..)).await.0,
            Stream::Tls(tls) => tls.write(&bytes[from..]).await,
        }
    }

    /// Reads into `buffer`, up to its capacity; 0: the other end has closed.
    pub async fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Stream::Plain(tcp) => {
                let (read, filled) = tcp.read(std::mem::take(buffer)).await;
                *buffer = filled;
                read
            }
            Stream::Tls(tls) => tls.read(buffer).await,
        }
    }

    /// Whether the other end has closed, or said something unasked, since the last answer.
    pub async fn is_stale(&mut self) -> bool {
        loop {
            // SAFETY: the descriptor belongs to the stream, which outlives this borrow.
            let socket = unsafe { BorrowedFd::borrow_raw(self.as_raw_fd()) };
            let pending = recv(socket, &mut [0_u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
            let goes_on = match (pending, &mut *self) {
                (Err(rustix::io::Errno::AGAIN), _) => return false,
                (Ok((_, 1..)), Stream::Tls(tls)) => tls.take_unasked().await,
                _ => false,
            };
            if !goes_on {
                return true;
            }
        }
    }
}
