//! One file a class of attack (docs/attacks.md).

mod failing;
mod foreign_ids;
mod headers;
mod parser;
mod paths;
mod possession;
mod transit;
mod versions;
