//! Upstreams that are processes.
//!
//! | file | what |
//! |---|---|
//! | [`pool`] | which process serves whom; limits, back-off, restart |
//! | `process` | one process: its tasks, its handshake, its end |
//! | `mux` | many callers on one pair of pipes: ids, progress tokens, who gets what |
//! | `session` | one client's view of a process |
//!
//! Messages of a process that belong to no call go to the session's own stream
//! ([`UpstreamSession::listen`](super::UpstreamSession::listen)); while there is none, to the stream of the
//! oldest call in flight; while there is none either, a few are kept for whichever comes first. A shared
//! process serves several principals: it may send no requests (they are answered with -32601), its log
//! messages are dropped, since nobody knows whose they are, and of the rest only list changes and
//! resource updates pass. `ping` is answered here.

mod mux;
pub mod pool;
mod process;
mod session;
