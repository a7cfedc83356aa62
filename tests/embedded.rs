//! The end-to-end suite on the in-process broker: part of plain `cargo test`, needs nothing else.

mod harness;
mod suite;

suite::instantiate!(crate::harness::Broker::embedded(), crate::harness::Broker::embedded());
