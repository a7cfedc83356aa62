//! HTTP/1.1 as a client needs it: responses from bytes. It refuses to know sockets.

mod chunked;
mod coding;
mod head;
mod reader;
#[cfg(test)]
mod tests;

pub use coding::Coding;
pub use reader::{Malformed, Response, ResponseReader, Sink};
