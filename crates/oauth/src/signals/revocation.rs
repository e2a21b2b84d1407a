//! Global Token Revocation (draft-parecki-oauth-global-token-revocation): one request that ends all of a
//! person's tokens, as Okta's Universal Logout sends it ("Build Universal Logout for your app" at
//! developer.okta.com).
//!
//! The caller proves itself with a JWT that its identity provider signs for this endpoint. It may end
//! access for people of its own tenant only, which is the endpoint's to see to.

use std::time::Duration;

use sallyport_model::Timestamp;
use serde_json::Value;

use super::{SignalFault, Subject};
use crate::{
    oidc::{
        Algorithm, IssuerRule, Jwks, JwtFault, Moment,
        foreign::{self, shown},
    },
    strict,
};

/// The `typ` of the caller's JWT; also the name in `global_token_revocation_endpoint_auth_methods_supported`.
pub const TYPE: &str = "global-token-revocation+jwt";
/// Larger bodies are refused unread.
const MAX_BODY: usize = 16 * 1024;
/// A caller's JWT may end at most this far ahead. Okta's live five minutes.
const MAX_LIFETIME: Duration = Duration::from_secs(3600);

/// What a caller's JWT is held against.
#[derive(Debug, Clone, Copy)]
pub struct ExpectCaller<'a> {
    /// The tenant's identity provider.
    pub issuer: &'a IssuerRule,
    /// This endpoint's URL, as registered at the provider.
    pub endpoint: &'a str,
    /// Our client id there, which Okta writes as `sub`; `None` does not look.
    pub subject: Option<&'a str>,
    /// Signatures that are taken.
    pub algorithms: &'a [Algorithm],
    /// When.
    pub moment: Moment,
}

/// A caller that proved itself; its JWT is to be accepted once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// `jti`, unique at the issuer.
    pub jti: String,
    /// It must be remembered until then.
    pub remember_until: Timestamp,
}

/// Verifies the JWT in `Authorization: Bearer`.
///
/// # Errors
/// [`SignalFault`]; the answer is 401.
pub fn verify_caller(token: &str, keys: &Jwks, expect: &ExpectCaller<'_>) -> Result<Caller, SignalFault> {
    let signed = foreign::open(token, keys, expect.algorithms)?;
    if !signed.jwt.has_type(TYPE) {
        let found = signed.jwt.typ.as_deref().map_or_else(|| "none".to_owned(), shown);
        return Err(JwtFault::Type { found, expected: "a caller's token for revocation" }.into());
    }
    let issuer = foreign::issuer(&signed, expect.issuer)?.to_owned();
    let claims = &signed.jwt.claims;
    foreign::audience(claims, expect.endpoint)?;
    foreign::issued_at(claims, expect.moment)?;
    let expires_at = foreign::expires_at(claims, expect.moment)?;
    let Moment { now, leeway } = expect.moment;
    if expires_at > now.plus(MAX_LIFETIME).plus(leeway) {
        return Err(JwtFault::Claim { name: "exp", why: "is more than an hour ahead" }.into());
    }
    let subject = foreign::identifier(claims, "sub")?.ok_or(JwtFault::Claim { name: "sub", why: "is missing" })?;
    if expect.subject.is_some_and(|expected| expected != subject) {
        return Err(JwtFault::Claim { name: "sub", why: "is not our client id at the provider" }.into());
    }
    let jti = foreign::jti(claims)?.to_owned();
    Ok(Caller { issuer, subject: subject.to_owned(), jti, remember_until: expires_at.plus(leeway) })
}

/// Reads a request's body: `sub_id`, or `subject` as in the draft's first versions.
///
/// # Errors
/// [`SignalFault`]; the answer is 400.
pub fn read(body: &[u8]) -> Result<Subject, SignalFault> {
    const WHAT: &str = "revocation request";
    if body.len() > MAX_BODY {
        return Err(SignalFault::TooLarge { what: WHAT });
    }
    let object = strict::object(body).map_err(|why| SignalFault::Document { what: WHAT, why })?;
    let subject: &Value = match (object.get("sub_id"), object.get("subject")) {
        (Some(_), Some(_)) => return Err(SignalFault::Subject { why: "is there twice, as `sub_id` and `subject`" }),
        (Some(subject), None) | (None, Some(subject)) => subject,
        (None, None) => return Err(SignalFault::Subject { why: "is missing" }),
    };
    Subject::read(subject)
}

/// The answer (section 3.4 of the draft); none has a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Done.
    Revoked,
    /// The request's form, or a format of subject that we do not know.
    BadRequest,
    /// The caller did not prove itself.
    Unauthorized,
    /// The caller may not.
    Forbidden,
    /// Nobody of the tenant's is meant.
    NotFound,
    /// It could not be made durable.
    Unprocessable,
}

impl Answer {
    /// The HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::Revoked => 204,
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Unprocessable => 422,
        }
    }
}
