//! What is fuzzed, one function per target; `targets/` hands each to libFuzzer.
//!
//! Each takes a stranger's bytes and panics where a promise of the product is broken. Nothing here has a clock, a
//! key of its own, a file or a socket: the same bytes give the same answer.
#![forbid(unsafe_code)]

mod jose;
mod json;
mod saml;
mod scim;
mod xml;

pub use jose::jws_compact;
pub use json::mcp_envelope;
pub use saml::saml_response;
pub use scim::{scim_filter, scim_patch_path};
pub use xml::xml_differential;
