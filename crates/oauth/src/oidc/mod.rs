//! The relying party's half of OpenID Connect: sign-in at a tenant's own OpenID Provider.
//!
//! | module | what for |
//! |---|---|
//! | [`presets`], [`issuer`] | what is known of Okta, Entra ID, Google, Keycloak and Ping; who may issue |
//! | [`provider`], [`jwks`] | the provider's metadata and keys, read as a stranger's |
//! | [`request`], [`response`] | the authorization request and its answer (PKCE, `state`, `nonce`, `iss`, PAR) |
//! | [`client`], [`exchange`], [`dpop`] | how we authenticate, token requests and answers, DPoP proofs |
//! | [`id_token`], [`claims`] | what an ID token must say, and what it said |
//! | [`logout`] | back-channel and front-channel log-out, RP-initiated log-out |
//! | [`foreign`] | what all tokens of strangers have in common: signature, issuer, audience, times |
//!
//! It never opens a socket, reads a clock or keeps state. It never takes `none` or an HMAC for a
//! signature, a key from a token, or an e-mail address for proof of who somebody is.

pub mod claims;
pub mod client;
pub mod dpop;
pub mod exchange;
pub mod fault;
pub mod foreign;
pub mod id_token;
pub mod issuer;
pub mod jwks;
pub mod logout;
pub mod presets;
pub mod provider;
pub mod request;
pub mod response;

pub use claims::Claims;
pub use client::{AssertionAudience, Client, ClientAuthentication, ClientKey, FormRequest};
pub use exchange::{Exchange, TokenResponse};
pub use fault::OidcFault;
pub use foreign::{JwtFault, Moment};
pub use id_token::{Demands, ExpectIdToken};
pub use issuer::IssuerRule;
pub use jwks::{Jwks, RefreshPolicy};
pub use presets::{Preset, PresetId};
pub use provider::{ProviderMetadata, Transport};

pub use crate::client_assertion::Algorithm;

#[cfg(test)]
pub(crate) mod tests;
