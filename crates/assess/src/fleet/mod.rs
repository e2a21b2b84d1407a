//! Several servers together: what a client's configuration file connects, and what the combination allows.
//!
//! One server that reads what strangers write, one that reads what is secret, and one that sends: none of them
//! need be at fault, and together they carry a secret out. Reads files that it is given; starts and asks nothing.

pub mod combine;
pub mod configuration;
pub mod labels;

pub use combine::{Combination, combine};
pub use configuration::{ConfigurationFault, Connection, Entry, read};
pub use labels::{Labels, label};
