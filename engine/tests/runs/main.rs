//! The engine against a scripted server on loopback: what it sends, what it counts and how it ends.

mod avalanche;
mod failures;
mod harness;
mod life;
mod server;
mod tsunami;
