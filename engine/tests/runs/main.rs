//! The engine against a scripted server on loopback: what it sends, what it counts and how it ends.

mod avalanche;
mod epoll;
mod failures;
mod framing;
mod harness;
mod life;
mod places;
mod profiles;
mod requests;
mod reuse;
mod server;
mod think_time;
mod tls;
mod trust;
mod tsunami;
