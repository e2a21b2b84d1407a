//! Between the eras: pure functions for a client and an upstream that speak different ones.
//!
//! | module | legacy | modern |
//! |---|---|---|
//! | [`handshake`] | `initialize`, its result | per-request `_meta`, `DiscoverResult` |
//! | [`results`] | plain results | `resultType`, `ttlMs`, `cacheScope` |
//! | [`input`] | requests of the upstream, -32042 | `inputRequests`, `inputResponses` |
//! | [`notifications`] | GET stream, `resources/subscribe` | `subscriptions/listen` |
//! | [`tasks`] | core tasks of 2025-11-25 | the tasks extension (SEP-2663) |
//!
//! Errors cross eras in [`crate::RpcError::across`]. Members that no specification names pass unharmed.
//! Nothing here keeps state: sessions, pending requests and sealed `requestState` are the gate's.

pub mod handshake;
pub mod input;
pub mod notifications;
pub mod results;
pub mod tasks;
