//! The engine against a scripted server on loopback: what it sends, what it counts and how it ends.

mod avalanche;
mod epoll;
mod failures;
mod harness;
mod life;
mod requests;
mod server;
mod tls;
mod trust;
mod tsunami;
