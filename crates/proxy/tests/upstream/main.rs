//! The gate's legs towards upstreams, against small servers over HTTP and real processes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod eras;
mod fixture;
mod http_faults;
mod http_legacy;
mod http_modern;
mod stdio;
mod stdio_life;
