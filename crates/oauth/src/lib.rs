//! OAuth's messages, documents and tokens, without input or output.
//!
//! | module | what for |
//! |---|---|
//! | [`token`], [`actor`], [`id_token`] | access tokens (RFC 9068) with who acts (RFC 8693) and whose key (RFC 7800): issue, verify; ID tokens: issue |
//! | [`dpop`], [`thumbprint`] | proofs of possession (RFC 9449): make, verify, nonces; names of keys and certificates |
//! | [`id_jag`], [`workload`] | somebody else's word for a person or a workload: ID-JAG, platforms' tokens |
//! | [`exchange`] | token exchange (RFC 8693) and the JWT bearer grant (RFC 7523), as a client asks |
//! | [`keys`] | signing keys and JWK sets (RFC 7517) |
//! | [`jws`], [`strict`] | compact JWS and JSON of strangers, taken apart strictly |
//! | [`pkce`], [`redirect`] | the two checks that a code depends on (RFC 7636, RFC 8252) |
//! | [`registration`], [`client_document`] | what clients say about themselves (RFC 7591, CIMD) |
//! | [`client_assertion`] | `private_key_jwt` (RFC 7523) |
//! | [`oidc`] | sign-in at somebody else's OpenID Provider: metadata, keys, requests, ID and logout tokens |
//! | [`signals`] | security events: Shared Signals, CAEP, RISC, Global Token Revocation |
//! | [`metadata`], [`challenge`], [`error`] | what we say (RFC 8414, 9728, 6750, 6749) |
//!
//! It never opens a socket, reads a clock or a store, or decides who may do what.

pub mod actor;
pub mod challenge;
pub mod client_assertion;
pub mod client_document;
mod confirmation;
pub mod dpop;
pub mod error;
pub mod exchange;
pub mod id_jag;
pub mod id_token;
pub mod jws;
pub mod keys;
pub mod metadata;
pub mod oidc;
pub mod pkce;
pub mod redirect;
pub mod registration;
pub mod signals;
pub mod strict;
pub mod thumbprint;
pub mod token;
pub mod workload;

pub use challenge::Challenge;
pub use error::{ErrorCode, OAuthError};
pub use keys::{Jwk, JwkSet, KeyFault, KeySource, SigningKey, VerifyingKey};
pub use token::{AccessClaims, Expect, TokenFault, verify_access_token};

#[cfg(test)]
mod wycheproof_tests;
