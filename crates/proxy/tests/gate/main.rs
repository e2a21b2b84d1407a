//! The gate from outside: real tokens, a real store, upstreams in every era and transport.
#![allow(missing_docs, unreachable_pub, reason = "a test binary has no readers outside")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod admission;
mod attacks;
mod catalogue;
mod credentials;
mod delegation;
mod ended;
mod extension_tasks;
mod limits;
mod pairs;
mod processes;
mod records;
mod rig;
mod stop;
