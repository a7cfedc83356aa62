//! HTTP/1.1 as a client needs it: requests as bytes, responses from bytes. It refuses to know sockets.

mod chunked;
mod coding;
mod head;
mod reader;
mod request;
#[cfg(test)]
mod tests;

pub use coding::Coding;
pub use reader::{Malformed, Reader, Response, Sink};
pub(crate) use request::request_bytes;
