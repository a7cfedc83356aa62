//! HTTP/1.1 as a client needs it: requests as bytes, answers from bytes. It refuses to know sockets.

mod chunked;
mod reader;
mod request;
#[cfg(test)]
mod tests;

pub use reader::{Answer, Malformed, Reader};
pub(crate) use request::request_bytes;
