//! From an authorization request to a code: check, wait for a person, ask for consent, answer.
//!
//! A request waits in the store under an unguessable handle and belongs to the browser that began it;
//! opened in another one, the handle is refused. Before client and redirect URI are known to be good,
//! nothing is ever redirected.

pub(crate) mod answer;
pub(crate) mod consent;
pub(crate) mod delegation;
pub(crate) mod endpoint;
pub(crate) mod page;
pub(crate) mod par;
pub(crate) mod request;
pub(crate) mod resume;
pub(crate) mod waiting;

/// Where a browser comes back to after signing in.
pub(crate) const RESUME: &str = "/oauth/authorize/resume";
/// Where the consent page's form goes.
pub(crate) const CONSENT: &str = "/oauth/consent";
