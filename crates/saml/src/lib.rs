//! SAML 2.0, the service provider's half, without input or output.
//!
//! | module | what for |
//! |---|---|
//! | [`request`] | asks an identity provider to sign somebody in |
//! | [`response`] | reads its answer: who it is |
//! | [`logout`] | single logout, both ways |
//! | [`metadata`] | theirs and ours |
//! | [`keys`], [`certificate`] | our keys, their certificates |
//! | [`bindings`] | redirect and POST |
//! | [`fault`] | why something was refused, and what to do about it |
//!
//! It never opens a socket, reads a clock or a store. Two things are the caller's: to remember the ids of messages
//! that were used (until `usable_until`), and to know which request a browser began.
//!
//! **Where identity comes from.** A signature covers bytes: the canonical form of an element. This crate computes
//! those bytes, checks that they are what was signed, parses them anew, and reads the person from that tree only.
//! So it does not matter what else the message holds, nor whether two XML parsers would see it differently: what is
//! read is what the identity provider signed, or the signature fails.

mod algorithm;
pub mod bindings;
pub mod certificate;
mod encoding;
mod encryption;
pub mod fault;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod keys;
pub mod logout;
mod message;
pub mod metadata;
mod names;
pub mod request;
pub mod response;
mod signature;
mod time;
mod xml;

pub use bindings::{MOST_RELAY_STATE, Outgoing};
pub use certificate::Certificate;
pub use fault::SamlFault;
pub use keys::{ServiceProvider, SpKey, SpKeys};
pub use logout::{
    Carried, Leaving, LogoutOutcome, LogoutRequest, logout_request, logout_response, read_logout_request,
    read_logout_response,
};
pub use message::MOST_SKEW;
pub use metadata::{Binding, Endpoint, IdpMetadata, MetadataTrust, SpMetadata, read_metadata, sp_metadata};
pub use names::name_id_format;
pub use request::{AuthnRequest, SentRequest, authn_request};
pub use response::{Answers, Assertion, Attribute, Expected, Login, NameId, read_response};

#[cfg(test)]
mod tests;
