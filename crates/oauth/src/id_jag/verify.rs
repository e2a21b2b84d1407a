//! An ID-JAG of a tenant's identity provider, checked (section 4.4.1 of the draft, RFC 7523 section 3).

use std::time::Duration;

use sallyport_model::{ClientId, KeyBinding, ScopeSet, Timestamp};
use serde_json::{Map, Value};

use super::TYPE;
use crate::{
    actor, confirmation,
    oidc::{
        Algorithm, IssuerRule, Jwks, JwtFault, Moment,
        foreign::{self, shown},
    },
    thumbprint,
};

/// Lists with more members are refused.
const MAX_LIST: usize = 16;

/// What an ID-JAG is held against.
#[derive(Debug, Clone, Copy)]
pub struct ExpectIdJag<'a> {
    /// Who may issue: the connection's.
    pub issuer: &'a IssuerRule,
    /// Our issuer, to the letter.
    pub audience: &'a str,
    /// The client that authenticated in this very request.
    pub client: &'a ClientId,
    /// Signatures that the connection allows.
    pub algorithms: &'a [Algorithm],
    /// The longest life; in general [`super::MAX_LIFETIME`].
    pub longest: Duration,
    /// When.
    pub moment: Moment,
}

/// An actor that the identity provider names (RFC 8693 section 4.1). It has proved nothing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignActor {
    /// `iss`, if it is of another issuer than the grant.
    pub issuer: Option<String>,
    /// `sub`.
    pub subject: String,
}

/// A good ID-JAG; to be accepted once.
#[derive(Debug, Clone, PartialEq)]
pub struct IdJag {
    /// `iss`.
    pub issuer: String,
    /// `sub`: the person, as in her ID tokens of the same provider.
    pub subject: String,
    /// `jti`, unique at the issuer.
    pub jti: String,
    /// `iat`.
    pub issued_at: Timestamp,
    /// `exp`. An access token may outlive it.
    pub expires_at: Timestamp,
    /// It must be remembered until then.
    pub remember_until: Timestamp,
    /// `resource`: what the provider allows access to; empty when it does not say.
    pub resources: Vec<String>,
    /// `scope`: the most that the provider allows; `None` when it does not say.
    pub scopes: Option<ScopeSet>,
    /// `act`: who acts for the person, the nearest first.
    pub actors: Vec<ForeignActor>,
    /// `tenant`: the provider's own, where its issuer is shared.
    pub tenant: Option<String>,
    /// `aud_tenant`: ours, as the provider knows it.
    pub audience_tenant: Option<String>,
    /// `aud_sub`: the person, as the provider knows that we know her.
    pub audience_subject: Option<String>,
    /// `auth_time`.
    pub auth_time: Option<Timestamp>,
    /// `acr`.
    pub acr: Option<String>,
    /// `amr`.
    pub amr: Vec<String>,
    /// `email`. Proves nothing unless `email_verified`.
    pub email: Option<String>,
    /// `email_verified` is the boolean `true`.
    pub email_verified: bool,
    /// `cnf`: the key that the request must prove ([`IdJag::held_by`]).
    pub confirmation: Option<KeyBinding>,
    /// Every claim, as sent.
    pub raw: Map<String, Value>,
}

impl IdJag {
    /// What the replay store keeps: a digest of issuer and `jti`.
    pub fn replay_id(&self) -> String {
        thumbprint::sha256(Value::from(vec![self.issuer.as_str(), self.jti.as_str()]).to_string().as_bytes())
    }

    /// Checks that the request proved the key that the grant is bound to; `proved` holds what it did prove: its
    /// DPoP key, its certificate, both or neither (section 9.6.1 of the draft).
    ///
    /// # Errors
    /// [`IdJagFault::ProofMissing`], [`IdJagFault::OtherKey`].
    pub fn held_by(&self, proved: &[KeyBinding]) -> Result<(), IdJagFault> {
        let same = |one: &KeyBinding, other: &KeyBinding| match (one, other) {
            (KeyBinding::Dpop(one), KeyBinding::Dpop(other))
            | (KeyBinding::Certificate(one), KeyBinding::Certificate(other)) => thumbprint::same(one, other),
            _ => false,
        };
        match &self.confirmation {
            None => Ok(()),
            Some(bound) if proved.iter().any(|proved| same(bound, proved)) => Ok(()),
            Some(_) if proved.is_empty() => Err(IdJagFault::ProofMissing),
            Some(_) => Err(IdJagFault::OtherKey),
        }
    }
}

/// Why an ID-JAG is refused. The sentences are for the log and an administrator; the client learns
/// `invalid_grant`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdJagFault {
    /// It fails what every token of a stranger must pass.
    #[error(transparent)]
    Jwt(#[from] JwtFault),
    /// Issued to another client.
    #[error("the grant was issued to the client `{found}`; `{expected}` presents it")]
    OtherClient {
        /// `client_id`.
        found: String,
        /// Who authenticated.
        expected: String,
    },
    /// It lives longer than is allowed.
    #[error("the grant lives {seconds} seconds; at most {longest} are allowed")]
    Lifetime {
        /// From `iat` to `exp`.
        seconds: u64,
        /// What is allowed.
        longest: u64,
    },
    /// Rich authorization requests (RFC 9396) are not processed here, and skipping them might give more.
    #[error("the grant holds `authorization_details`, which are not processed here")]
    AuthorizationDetails,
    /// It is bound to a key, and the request proved none.
    #[error("the grant is bound to a key (`cnf`), and the request proved none")]
    ProofMissing,
    /// It is bound to another key than the request proved.
    #[error("the grant is bound to another key (`cnf`) than the request proved")]
    OtherKey,
}

impl IdJagFault {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Jwt(fault) => fault.code(),
            Self::OtherClient { .. } => "id_jag_client",
            Self::Lifetime { .. } => "id_jag_lifetime",
            Self::AuthorizationDetails => "id_jag_authorization_details",
            Self::ProofMissing => "id_jag_proof_missing",
            Self::OtherKey => "id_jag_key",
        }
    }

    /// What an administrator can do.
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::Jwt(fault) => return fault.remedy(),
            Self::OtherClient { .. } => {
                "at the identity provider, map its application to the client id that the application has here"
            }
            Self::Lifetime { .. } => "have the identity provider issue grants of at most ten minutes",
            Self::AuthorizationDetails => "have the identity provider express the permission as scopes",
            Self::ProofMissing | Self::OtherKey => {
                "have the client send a DPoP proof with the key that it showed to the identity provider"
            }
        })
    }
}

/// Verifies an ID-JAG. [`JwtFault::UnknownKey`] within the fault is reason to fetch the key set again, once
/// ([`crate::oidc::RefreshPolicy::fetch_again`]).
///
/// # Errors
/// [`IdJagFault`].
pub fn verify(assertion: &str, keys: &Jwks, expect: &ExpectIdJag<'_>) -> Result<IdJag, IdJagFault> {
    let signed = foreign::open(assertion, keys, expect.algorithms)?;
    if !signed.jwt.has_type(TYPE) {
        let found = shown(signed.jwt.typ.as_deref().unwrap_or_default());
        return Err(JwtFault::Type { found, expected: "an ID-JAG" }.into());
    }
    let issuer = foreign::issuer(&signed, expect.issuer)?.to_owned();
    let claims = &signed.jwt.claims;
    foreign::only_audience(claims, expect.audience)?;
    let client = foreign::text(claims, "client_id")?;
    if client != expect.client.as_str() {
        return Err(IdJagFault::OtherClient { found: shown(client), expected: expect.client.to_string() });
    }
    let issued_at = foreign::issued_at(claims, expect.moment)?;
    let expires_at = foreign::expires_at(claims, expect.moment)?;
    check_lifetime(issued_at, expires_at, expect)?;
    if claims.contains_key("authorization_details") {
        return Err(IdJagFault::AuthorizationDetails);
    }
    let remember_until = expires_at.plus(expect.moment.leeway);
    Ok(read(signed.jwt.claims, IdJagTimes { issued_at, expires_at, remember_until }, issuer)?)
}

struct IdJagTimes {
    issued_at: Timestamp,
    expires_at: Timestamp,
    remember_until: Timestamp,
}

/// Neither life nor age is longer than allowed: a grant with an old `iat` and a near `exp` was a long one.
fn check_lifetime(issued_at: Timestamp, expires_at: Timestamp, expect: &ExpectIdJag<'_>) -> Result<(), IdJagFault> {
    let (lifetime, longest) = (expires_at.since(issued_at), expect.longest);
    if lifetime > longest || lifetime.is_zero() {
        return Err(IdJagFault::Lifetime { seconds: lifetime.as_secs(), longest: longest.as_secs() });
    }
    Ok(())
}

fn read(raw: Map<String, Value>, times: IdJagTimes, issuer: String) -> Result<IdJag, JwtFault> {
    let subject = foreign::identifier(&raw, "sub")?.ok_or(JwtFault::Claim { name: "sub", why: "is missing" })?;
    // OpenID Connect Core section 2: at most 255 ASCII characters.
    if subject.len() > 255 {
        return Err(JwtFault::Claim { name: "sub", why: "is longer than 255 characters" });
    }
    let owned = |name| foreign::identifier(&raw, name).map(|value| value.map(str::to_owned));
    let IdJagTimes { issued_at, expires_at, remember_until } = times;
    Ok(IdJag {
        subject: subject.to_owned(),
        jti: foreign::jti(&raw)?.to_owned(),
        issued_at,
        expires_at,
        remember_until,
        resources: resources(&raw)?,
        scopes: scopes(&raw)?,
        actors: actors(&raw)?,
        tenant: owned("tenant")?,
        audience_tenant: owned("aud_tenant")?,
        audience_subject: owned("aud_sub")?,
        auth_time: foreign::seconds(&raw, "auth_time")?,
        acr: owned("acr")?,
        amr: list(&raw, "amr")?,
        email: owned("email")?,
        email_verified: email_verified(&raw)?,
        confirmation: confirmation(&raw)?,
        issuer,
        raw,
    })
}

/// One URI or several (RFC 8707 section 2: absolute, without a fragment).
fn resources(raw: &Map<String, Value>) -> Result<Vec<String>, JwtFault> {
    const FAULT: JwtFault = JwtFault::Claim { name: "resource", why: "is no absolute URI without a fragment" };
    let named = match raw.get("resource") {
        Some(Value::String(one)) => vec![one.clone()],
        _ => list(raw, "resource")?,
    };
    let fine = |uri: &String| {
        uri.len() <= 2048
            && !uri.contains('#')
            && url::Url::parse(uri).is_ok()
            && uri.bytes().all(|b| b.is_ascii_graphic())
    };
    let none = named.is_empty() && raw.contains_key("resource");
    if !none && named.iter().all(fine) { Ok(named) } else { Err(FAULT) }
}

/// Space separated (RFC 6749 section 3.3). An empty one allows nothing, which is not the same as none.
fn scopes(raw: &Map<String, Value>) -> Result<Option<ScopeSet>, JwtFault> {
    match foreign::optional_text(raw, "scope")? {
        None => Ok(None),
        Some(text) => {
            text.parse().map(Some).map_err(|_| JwtFault::Claim { name: "scope", why: "is no list of scopes" })
        }
    }
}

fn actors(raw: &Map<String, Value>) -> Result<Vec<ForeignActor>, JwtFault> {
    const FAULT: JwtFault = JwtFault::Claim { name: "act", why: "is no chain of actors, or too deep" };
    let mut chain = Vec::new();
    let mut next = raw.get("act");
    while let Some(act) = next {
        let act = act.as_object().filter(|_| chain.len() < actor::MAX_DEPTH).ok_or(FAULT)?;
        let subject = foreign::identifier(act, "sub").ok().flatten().ok_or(FAULT)?.to_owned();
        let issuer = foreign::identifier(act, "iss").map_err(|_| FAULT)?.map(str::to_owned);
        let one = ForeignActor { issuer, subject };
        if chain.contains(&one) {
            return Err(FAULT);
        }
        chain.push(one);
        next = act.get("act");
    }
    Ok(chain)
}

fn confirmation(raw: &Map<String, Value>) -> Result<Option<KeyBinding>, JwtFault> {
    match raw.get("cnf") {
        None => Ok(None),
        Some(cnf) => confirmation::read(cnf)
            .map(Some)
            .ok_or(JwtFault::Claim { name: "cnf", why: "holds no single known confirmation" }),
    }
}

fn email_verified(raw: &Map<String, Value>) -> Result<bool, JwtFault> {
    match raw.get("email_verified") {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(JwtFault::Claim { name: "email_verified", why: "is no boolean" }),
    }
}

/// A list of strings, if it is there.
fn list(raw: &Map<String, Value>, name: &'static str) -> Result<Vec<String>, JwtFault> {
    let fault = JwtFault::Claim { name, why: "is no short list of strings" };
    let short = |text: &&str| text.len() <= 2048;
    match raw.get(name) {
        None => Ok(Vec::new()),
        Some(Value::Array(all)) if all.len() <= MAX_LIST => {
            all.iter().map(|one| one.as_str().filter(short).map(str::to_owned)).collect::<Option<_>>().ok_or(fault)
        }
        Some(_) => Err(fault),
    }
}
