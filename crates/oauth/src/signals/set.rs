//! Security event tokens (RFC 8417), in the Shared Signals Framework's profile (section 4).
//!
//! The type `secevent+jwt` is demanded and `exp` and `sub` are refused, so that no other kind of token
//! passes for one. An event's age is judged by `iat` alone.

use std::time::Duration;

use sallyport_model::Timestamp;
use serde_json::{Map, Value};

use super::{Event, SignalFault, Subject};
use crate::oidc::{
    Algorithm, IssuerRule, Jwks, JwtFault, Moment,
    foreign::{self, shown},
};

/// The `typ` of a security event token (RFC 8417 section 2.3).
pub const TYPE: &str = "secevent+jwt";
/// More events in one token are refused.
const MAX_EVENTS: usize = 16;

/// What a security event token is held against.
#[derive(Debug, Clone, Copy)]
pub struct ExpectSet<'a> {
    /// The stream's transmitter.
    pub issuer: &'a IssuerRule,
    /// The stream's audience: one of these is in `aud`.
    pub audiences: &'a [String],
    /// Signatures that are taken.
    pub algorithms: &'a [Algorithm],
    /// Older events are refused: beyond it their ids are not remembered. Days, so that what waited in a
    /// queue still counts.
    pub max_age: Duration,
    /// When.
    pub moment: Moment,
}

/// A verified token; to be acted upon once.
#[derive(Debug, Clone, PartialEq)]
pub struct SecurityEvent {
    /// `iss`.
    pub issuer: String,
    /// `jti`, unique at the issuer.
    pub jti: String,
    /// `iat`: when the token was made.
    pub issued_at: Timestamp,
    /// `txn`: the same in tokens of one cause.
    pub txn: Option<String>,
    /// `sub_id`, or the `subject` within the only event, as CAEP and RISC had it before.
    pub subject: Result<Subject, SignalFault>,
    /// The events, in the token's order; at least one.
    pub events: Vec<Event>,
    /// The id must be remembered until then.
    pub remember_until: Timestamp,
}

/// Verifies a security event token. A subject that cannot be read does not hide the rest: it is the
/// caller's to refuse the event, with the reason.
///
/// # Errors
/// [`SignalFault`]; [`super::delivery::error_code`] is what the transmitter is told.
pub fn verify(token: &str, keys: &Jwks, expect: &ExpectSet<'_>) -> Result<SecurityEvent, SignalFault> {
    let signed = foreign::open(token, keys, expect.algorithms)?;
    if !signed.jwt.has_type(TYPE) {
        let found = signed.jwt.typ.as_deref().map_or_else(|| "none".to_owned(), shown);
        return Err(JwtFault::Type { found, expected: "a security event token" }.into());
    }
    let issuer = foreign::issuer(&signed, expect.issuer)?.to_owned();
    let claims = &signed.jwt.claims;
    check_audience(claims, expect.audiences)?;
    for name in ["exp", "sub"] {
        if claims.contains_key(name) {
            let why = "must not be in a security event token";
            return Err(JwtFault::Claim { name, why }.into());
        }
    }
    let Moment { now, leeway } = expect.moment;
    let issued_at = foreign::issued_at(claims, expect.moment)?;
    let remember_until = issued_at.plus(expect.max_age).plus(leeway);
    if remember_until <= now {
        return Err(JwtFault::TooOld { at: issued_at, now }.into());
    }
    let events = claims.get("events").and_then(Value::as_object);
    let events = events.ok_or(SignalFault::Member { name: "events", why: "is missing or no object" })?;
    Ok(SecurityEvent {
        issuer,
        jti: foreign::jti(claims)?.to_owned(),
        issued_at,
        txn: foreign::identifier(claims, "txn")?.map(str::to_owned),
        subject: subject(claims, events),
        events: read_events(events)?,
        remember_until,
    })
}

/// One of ours, each to the letter.
fn check_audience(claims: &Map<String, Value>, ours: &[String]) -> Result<(), JwtFault> {
    let mut refused = JwtFault::Claim { name: "aud", why: "is expected by nobody" };
    for one in ours {
        match foreign::audience(claims, one) {
            Ok(_) => return Ok(()),
            Err(fault) => refused = fault,
        }
    }
    Err(refused)
}

fn subject(claims: &Map<String, Value>, events: &Map<String, Value>) -> Result<Subject, SignalFault> {
    if let Some(subject) = claims.get("sub_id") {
        return Subject::read(subject);
    }
    let mut within = events.values().filter_map(|event| event.get("subject"));
    match (within.next(), within.next()) {
        (Some(subject), None) => Subject::read(subject),
        (Some(subject), Some(other)) if subject == other && within.all(|next| next == subject) => {
            Subject::read(subject)
        }
        (Some(_), _) => Err(SignalFault::Subject { why: "is another in each event" }),
        (None, _) => Err(SignalFault::Subject { why: "is missing" }),
    }
}

fn read_events(events: &Map<String, Value>) -> Result<Vec<Event>, SignalFault> {
    if events.is_empty() || events.len() > MAX_EVENTS {
        return Err(SignalFault::Events { found: events.len() });
    }
    let fault = SignalFault::Member { name: "events", why: "holds an event that is no object" };
    events.iter().map(|(uri, payload)| Event::read(uri, payload.as_object().ok_or_else(|| fault.clone())?)).collect()
}
