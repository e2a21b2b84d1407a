//! Token requests with somebody else's word for it: token exchange (RFC 8693 section 2.1) and the JWT bearer grant
//! (RFC 7523 section 2.1), as a client sends them.
//!
//! Reads form only. What is not done here is refused by name rather than passed over: a parameter that is skipped
//! is a promise that nobody keeps. An assertion's [`Hint`] says where to look for trust, and proves nothing.

use sallyport_model::ScopeSet;
use serde_json::Value;

use crate::{
    error::{ErrorCode, OAuthError},
    id_jag,
    jws::Compact,
    oidc::foreign,
};

/// `grant_type` of a token exchange.
pub const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// `grant_type` of an assertion.
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Token type identifiers (RFC 8693 section 3).
pub mod token_type {
    /// An OAuth access token; the only one that is exchanged and issued here, and the `issued_token_type`.
    pub const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
    /// A refresh token.
    pub const REFRESH_TOKEN: &str = "urn:ietf:params:oauth:token-type:refresh_token";
    /// An ID token.
    pub const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
    /// A SAML 2.0 assertion.
    pub const SAML2: &str = "urn:ietf:params:oauth:token-type:saml2";
    /// A JWT of some kind.
    pub const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
    /// An ID-JAG.
    pub const ID_JAG: &str = crate::id_jag::TOKEN_TYPE;
}

/// Parameters of one request by name; absent and empty are the same (RFC 6749 section 3.1).
pub type Lookup<'f, 'a> = &'f dyn Fn(&str) -> Option<&'a str>;

/// A token exchange that asks for an access token of ours for another one. Who acts is the client that
/// authenticates, and nobody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeRequest<'a> {
    /// The access token whose authority is asked for; unverified.
    pub subject_token: &'a str,
    /// The one resource; absent: the subject token's.
    pub resource: Option<&'a str>,
    /// Within the subject token's; absent: as much as may be had.
    pub scope: Option<ScopeSet>,
}

impl<'a> ExchangeRequest<'a> {
    /// Reads the parameters of a request whose `grant_type` is [`TOKEN_EXCHANGE`].
    ///
    /// # Errors
    /// `invalid_request`, `invalid_target`, `invalid_scope`.
    pub fn read(parameter: Lookup<'_, 'a>) -> Result<Self, OAuthError> {
        let subject_token = parameter("subject_token").ok_or(invalid("subject_token is missing"))?;
        match parameter("subject_token_type") {
            Some(token_type::ACCESS_TOKEN) => {}
            None => return Err(invalid("subject_token_type is missing")),
            Some(token_type::REFRESH_TOKEN) => {
                return Err(invalid("a refresh token is not exchanged; refresh it with its own client"));
            }
            Some(token_type::ID_TOKEN | token_type::SAML2) => {
                return Err(invalid(
                    "an identity assertion is not exchanged here; use the jwt-bearer grant with an ID-JAG",
                ));
            }
            Some(_) => return Err(invalid("subject_token_type must be urn:ietf:params:oauth:token-type:access_token")),
        }
        match (parameter("actor_token"), parameter("actor_token_type")) {
            (None, None) => {}
            (None, Some(_)) => return Err(invalid("actor_token_type is there without actor_token")),
            (Some(_), None) => return Err(invalid("actor_token_type is missing")),
            (Some(_), Some(_)) => {
                return Err(invalid("actor_token is not taken: the client that authenticates is the actor"));
            }
        }
        match parameter("requested_token_type") {
            None | Some(token_type::ACCESS_TOKEN) => {}
            Some(_) => return Err(invalid("only access tokens are issued: leave requested_token_type out")),
        }
        Ok(Self { subject_token, resource: target(parameter)?, scope: scope(parameter)? })
    }
}

/// A JWT bearer grant: an ID-JAG, or a platform's token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtBearerRequest<'a> {
    /// The assertion; unverified.
    pub assertion: &'a str,
    /// What it says that it is.
    pub hint: Hint,
    /// The one resource; absent: the assertion's, or the client's only one.
    pub resource: Option<&'a str>,
    /// Within what the assertion allows; absent: as much as may be had.
    pub scope: Option<ScopeSet>,
}

impl<'a> JwtBearerRequest<'a> {
    /// Reads the parameters of a request whose `grant_type` is [`JWT_BEARER`].
    ///
    /// # Errors
    /// `invalid_request`, `invalid_grant` (the assertion's form), `invalid_target`, `invalid_scope`.
    pub fn read(parameter: Lookup<'_, 'a>) -> Result<Self, OAuthError> {
        let assertion = parameter("assertion").ok_or(invalid("assertion is missing"))?;
        let hint = Hint::of(assertion)
            .ok_or(OAuthError::new(ErrorCode::InvalidGrant, "the assertion is no JWT of a kind that is taken"))?;
        Ok(Self { assertion, hint, resource: target(parameter)?, scope: scope(parameter)? })
    }
}

/// What an assertion says of itself. It says where to look for trust; until it is verified it may be anybody's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// What it is said to be.
    pub kind: AssertionKind,
    /// Who is said to have issued it: `iss`, or the trust domain of a JWT-SVID as `spiffe://DOMAIN`.
    pub issuer: String,
}

/// The two kinds of assertion that are grants here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssertionKind {
    /// An ID-JAG ([`crate::id_jag`]); its client must authenticate.
    IdJag,
    /// A platform's token ([`crate::workload`]); it is the client's authentication too.
    Platform,
}

impl Hint {
    /// Takes an assertion apart; `None` for what is no JWT, is of another kind, or names no issuer.
    pub fn of(assertion: &str) -> Option<Self> {
        let jwt = Compact::parse_foreign(assertion, foreign::MAX_BYTES).ok()?;
        let general = jwt.typ.is_none() || jwt.has_type("JWT") || jwt.has_type("JOSE");
        let kind = match (jwt.has_type(id_jag::TYPE), general) {
            (true, _) => AssertionKind::IdJag,
            (false, true) => AssertionKind::Platform,
            (false, false) => return None,
        };
        let issuer = match (jwt.claims.get("iss"), kind) {
            (Some(Value::String(issuer)), _) => issuer.clone(),
            (None, AssertionKind::Platform) => {
                let subject = jwt.claims.get("sub")?.as_str()?.strip_prefix("spiffe://")?;
                format!("spiffe://{}", subject.split_once('/')?.0)
            }
            _ => return None,
        };
        let fine = !issuer.is_empty() && issuer.len() <= 1024 && !issuer.chars().any(char::is_control);
        fine.then_some(Self { kind, issuer })
    }
}

const fn invalid(description: &'static str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidRequest, description)
}

/// `resource` (RFC 8707) and `audience` (RFC 8693) both name the target, and here there is one.
fn target<'a>(parameter: Lookup<'_, 'a>) -> Result<Option<&'a str>, OAuthError> {
    match (parameter("resource"), parameter("audience")) {
        (Some(resource), Some(audience)) if resource != audience => {
            Err(OAuthError::new(ErrorCode::InvalidTarget, "resource and audience name two targets; name one"))
        }
        (resource, audience) => Ok(resource.or(audience)),
    }
}

fn scope(parameter: Lookup<'_, '_>) -> Result<Option<ScopeSet>, OAuthError> {
    let parsed = parameter("scope").map(str::parse).transpose();
    parsed.map_err(|_| OAuthError::new(ErrorCode::InvalidScope, "scope is no list of scopes"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::jws;

    fn lookup<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<&'a str> {
        |name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    const GOOD: [(&str, &str); 2] = [("subject_token", "t"), ("subject_token_type", token_type::ACCESS_TOKEN)];

    /// Resource and scope of an exchange with these parameters beside the necessary ones.
    fn exchange(more: &[(&str, &str)]) -> Result<(Option<String>, Option<String>), OAuthError> {
        let pairs = [more, &GOOD].concat();
        ExchangeRequest::read(&lookup(&pairs))
            .map(|request| (request.resource.map(str::to_owned), request.scope.map(|scope| scope.to_string())))
    }

    #[test]
    fn an_exchange_of_an_access_token_is_read() {
        assert_eq!(exchange(&[]), Ok((None, None)));
        let more =
            [("requested_token_type", token_type::ACCESS_TOKEN), ("resource", "https://g/mcp/a"), ("scope", "b a")];
        assert_eq!(exchange(&more), Ok((Some("https://g/mcp/a".into()), Some("a b".into()))));
        assert_eq!(exchange(&[("audience", "https://g/mcp/a")]), Ok((Some("https://g/mcp/a".into()), None)));
        let both = [("audience", "https://g/mcp/a"), ("resource", "https://g/mcp/a")];
        assert!(exchange(&both).is_ok());
    }

    #[test]
    fn every_combination_that_is_not_done_is_refused_by_name() {
        for (more, code, named) in [
            (vec![("subject_token_type", token_type::ID_TOKEN)], "invalid_request", "identity assertion"),
            (vec![("subject_token_type", token_type::SAML2)], "invalid_request", "identity assertion"),
            (vec![("subject_token_type", token_type::REFRESH_TOKEN)], "invalid_request", "refresh token"),
            (vec![("subject_token_type", token_type::JWT)], "invalid_request", "subject_token_type"),
            (vec![("actor_token", "a")], "invalid_request", "actor_token_type is missing"),
            (vec![("actor_token_type", token_type::JWT)], "invalid_request", "without actor_token"),
            (
                vec![("actor_token", "a"), ("actor_token_type", token_type::ACCESS_TOKEN)],
                "invalid_request",
                "the actor",
            ),
            (vec![("requested_token_type", token_type::ID_JAG)], "invalid_request", "requested_token_type"),
            (vec![("requested_token_type", token_type::REFRESH_TOKEN)], "invalid_request", "requested_token_type"),
            (vec![("resource", "https://g/a"), ("audience", "https://g/b")], "invalid_target", "two targets"),
            (vec![("scope", "a \"b\"")], "invalid_scope", "scope"),
        ] {
            let error = exchange(&more).unwrap_err();
            assert!(error.code.as_str() == code && error.description.contains(named), "{more:?}: {error}");
        }
        assert!(ExchangeRequest::read(&lookup(&GOOD[..1])).is_err());
        assert!(ExchangeRequest::read(&lookup(&GOOD[1..])).is_err());
    }

    fn jwt(typ: Option<&str>, claims: Value) -> String {
        let mut header = json!({"alg": "ES256"});
        if let Some(typ) = typ {
            header["typ"] = json!(typ);
        }
        let part = |value: Value| jws::encode(value.to_string().as_bytes());
        format!("{}.{}.c2ln", part(header), part(claims))
    }

    #[test]
    fn an_assertion_is_told_apart_by_its_type() {
        let hint = |typ, claims| Hint::of(&jwt(typ, claims)).map(|hint| (hint.kind, hint.issuer));
        let iss = json!({"iss": "https://idp.example"});
        assert_eq!(
            hint(Some("oauth-id-jag+jwt"), iss.clone()),
            Some((AssertionKind::IdJag, "https://idp.example".into()))
        );
        for typ in [None, Some("JWT"), Some("JOSE")] {
            assert_eq!(hint(typ, iss.clone()), Some((AssertionKind::Platform, "https://idp.example".into())));
        }
        for typ in ["at+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", ""] {
            assert_eq!(hint(Some(typ), iss.clone()), None, "{typ}");
        }
        let spiffe = json!({"sub": "spiffe://acme.example/ns/a"});
        assert_eq!(hint(None, spiffe.clone()), Some((AssertionKind::Platform, "spiffe://acme.example".into())));
        assert_eq!(hint(Some("oauth-id-jag+jwt"), spiffe), None);
        for claims in [
            json!({}),
            json!({"iss": ""}),
            json!({"iss": 1}),
            json!({"iss": null, "sub": "spiffe://a/b"}),
            json!({"sub": "spiffe://a"}),
            json!({"iss": "a\nb"}),
        ] {
            assert_eq!(hint(None, claims.clone()), None, "{claims}");
        }
    }

    #[test]
    fn a_bearer_grant_needs_an_assertion() {
        let assertion = jwt(Some("oauth-id-jag+jwt"), json!({"iss": "https://idp.example"}));
        let pairs = [("assertion", assertion.as_str()), ("resource", "https://g/mcp/a"), ("scope", "a")];
        let request = JwtBearerRequest::read(&lookup(&pairs)).unwrap();
        assert_eq!((request.hint.kind, request.resource), (AssertionKind::IdJag, Some("https://g/mcp/a")));
        assert_eq!(JwtBearerRequest::read(&lookup(&pairs[1..])).unwrap_err().code, ErrorCode::InvalidRequest);
        let nonsense = [("assertion", "a.b.c")];
        assert_eq!(JwtBearerRequest::read(&lookup(&nonsense)).unwrap_err().code, ErrorCode::InvalidGrant);
    }

    proptest! {
        #[test]
        fn no_assertion_panics(text in "[A-Za-z0-9_.=-]{0,120}|\\PC{0,60}", sub in "(spiffe:)?[/a-z.]{0,16}") {
            let _ = Hint::of(&text);
            let _ = Hint::of(&jwt(None, json!({"sub": sub})));
        }

        #[test]
        fn no_parameter_panics(name in "subject_token_type|actor_token|resource|audience|scope|requested_token_type", value in "\\PC{0,30}") {
            let _ = exchange(&[(name.as_str(), value.as_str())]);
        }
    }
}
