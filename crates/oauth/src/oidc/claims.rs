//! What a verified ID token said.

use sallyport_model::Timestamp;
use serde_json::{Map, Value};

use super::{JwtFault, foreign};

/// Lists with more members are refused.
const MAX_LIST: usize = 64;

/// The claims of an ID token that passed [`super::id_token::verify`].
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    /// `iss`, as in the token.
    pub issuer: String,
    /// `sub`: unique within the issuer, at Entra within the application.
    pub subject: String,
    /// `aud`; contains our client id.
    pub audience: Vec<String>,
    /// `iat`.
    pub issued_at: Timestamp,
    /// `exp`.
    pub expires_at: Timestamp,
    /// When the person was asked for proof.
    pub auth_time: Option<Timestamp>,
    /// The class of proof that was met.
    pub acr: Option<String>,
    /// Entra's authentication contexts (`acrs`).
    pub acrs: Vec<String>,
    /// The methods of proof (RFC 8176).
    pub amr: Vec<String>,
    /// The provider's session, as log-out tokens name it.
    pub sid: Option<String>,
    /// `email`. Proves nothing unless [`Self::email_verified`].
    pub email: Option<String>,
    /// `name`.
    pub name: Option<String>,
    /// Every claim, as sent.
    pub raw: Map<String, Value>,
}

impl Claims {
    /// Of claims whose issuer, audience and times were checked.
    pub(super) fn read(
        raw: Map<String, Value>,
        issuer: String,
        audience: Vec<String>,
        issued_at: Timestamp,
        expires_at: Timestamp,
    ) -> Result<Self, JwtFault> {
        let subject = foreign::identifier(&raw, "sub")?.ok_or(JwtFault::Claim { name: "sub", why: "is missing" })?;
        // OpenID Connect Core section 2: at most 255 ASCII characters.
        if subject.len() > 255 {
            return Err(JwtFault::Claim { name: "sub", why: "is longer than 255 characters" });
        }
        let owned = |name| foreign::identifier(&raw, name).map(|value| value.map(str::to_owned));
        Ok(Self {
            issuer,
            subject: subject.to_owned(),
            audience,
            issued_at,
            expires_at,
            auth_time: foreign::seconds(&raw, "auth_time")?,
            acr: owned("acr")?,
            acrs: list(&raw, "acrs")?,
            amr: list(&raw, "amr")?,
            sid: owned("sid")?,
            email: owned("email")?,
            name: raw.get("name").and_then(Value::as_str).map(foreign::shown),
            raw,
        })
    }

    /// A claim that is a string.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.raw.get(name).and_then(Value::as_str)
    }

    /// Whether the provider says that it verified the address: a boolean `email_verified`, or Entra's
    /// `xms_edov`. Text such as `"true"` is not taken for it.
    pub fn email_verified(&self) -> bool {
        let says = |name: &str| match self.raw.get(name) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::Number(number)) => name == "xms_edov" && number.as_u64() == Some(1),
            _ => false,
        };
        self.email.is_some() && (says("email_verified") || says("xms_edov"))
    }
}

/// A list of strings; Keycloak and others write a single one as a string.
fn list(raw: &Map<String, Value>, name: &'static str) -> Result<Vec<String>, JwtFault> {
    let fault = JwtFault::Claim { name, why: "is no list of strings" };
    match raw.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(one)) => Ok(vec![one.clone()]),
        Some(Value::Array(all)) if all.len() <= MAX_LIST => {
            all.iter().map(|one| one.as_str().map(str::to_owned)).collect::<Option<_>>().ok_or(fault)
        }
        Some(_) => Err(fault),
    }
}

/// Reads an answer of the UserInfo endpoint (OpenID Connect Core section 5.3.2). Only claims about
/// `subject`, the verified ID token's, are taken.
///
/// # Errors
/// [`super::OidcFault::Document`], [`super::OidcFault::UserInfoSubject`].
pub fn user_info(bytes: &[u8], subject: &str) -> Result<Map<String, Value>, super::OidcFault> {
    const WHAT: &str = "UserInfo answer";
    if bytes.len() > foreign::MAX_BYTES {
        return Err(super::OidcFault::DocumentTooLarge { what: WHAT });
    }
    let claims = crate::strict::object(bytes).map_err(|why| super::OidcFault::Document { what: WHAT, why })?;
    match claims.get("sub").and_then(Value::as_str) {
        Some(sub) if sub == subject => Ok(claims),
        _ => Err(super::OidcFault::UserInfoSubject),
    }
}
