//! Short assertions that the gate makes and signs by itself.
//!
//! [`AssertionSigner`] is given claims, and these are made from a [`Caller`], which has no room for a token: what
//! a client sent cannot get in here.

use std::{fmt, time::Duration};

use sallyport_model::{Actor, Principal, Rng, Secret, Timestamp};
use serde_json::{Map, Value};

use super::fault::TokenFault;
use crate::upstream::Caller;

/// The header that tells a server who calls.
pub const IDENTITY_HEADER: &str = "sallyport-identity";
/// How long an assertion of any type lives.
pub const LIFE: Duration = Duration::from_secs(60);

/// What an assertion is; its `typ`. None of them is taken anywhere for another, or for an access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AssertionType {
    /// Who calls, for the upstream itself.
    Identity,
    /// Whose token is asked for, for the token endpoint (RFC 8693 `subject_token`).
    Subject,
    /// The same as an ID-JAG, for the authorization server.
    IdJag,
    /// That the gate is its client (RFC 7523 section 2.2).
    Client,
}

impl AssertionType {
    /// The `typ` of its header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "sallyport-identity+jwt",
            Self::Subject => "sallyport-subject+jwt",
            Self::IdJag => sallyport_oauth::id_jag::TYPE,
            Self::Client => "client-authentication+jwt",
        }
    }
}

/// Signs assertions with the key ring of the gate's authorization server.
pub trait AssertionSigner: Send + Sync + fmt::Debug {
    /// A compact JWS of `claims` with that `typ`, by a key that is published at our `jwks_uri`; `None` when there
    /// is none or signing failed.
    fn sign(&self, typ: AssertionType, claims: &Map<String, Value>) -> Option<Secret>;
}

/// Who makes assertions, and when.
pub(super) struct Maker<'a> {
    pub issuer: &'a str,
    pub signer: &'a dyn AssertionSigner,
    pub now: Timestamp,
    pub rng: &'a dyn Rng,
}

impl Maker<'_> {
    /// An assertion about `caller` for `audience`.
    pub(super) fn about(
        &self,
        typ: AssertionType,
        caller: &Caller,
        audience: &str,
        more: &[(&str, Value)],
    ) -> Result<Secret, TokenFault> {
        let mut claims = self.base(self.issuer, audience);
        match caller {
            Caller::Principal(principal) => claims.extend(of_principal(principal)),
            Caller::Gate(_) => {
                claims.insert("sub".to_owned(), self.issuer.into());
                claims.insert("mark".to_owned(), "gate".into());
            }
        }
        claims.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        self.sign(typ, &claims)
    }

    /// That the gate is the client `client_id`.
    pub(super) fn client(&self, client_id: &str, audience: &str) -> Result<Secret, TokenFault> {
        let mut claims = self.base(client_id, audience);
        claims.insert("sub".to_owned(), client_id.into());
        self.sign(AssertionType::Client, &claims)
    }

    fn base(&self, issuer: &str, audience: &str) -> Map<String, Value> {
        let mut jti = [0; 16];
        self.rng.fill(&mut jti);
        Map::from_iter([
            ("iss".to_owned(), issuer.into()),
            ("aud".to_owned(), audience.into()),
            ("iat".to_owned(), self.now.as_secs().into()),
            ("exp".to_owned(), self.now.plus(LIFE).as_secs().into()),
            ("jti".to_owned(), sallyport_oauth::jws::encode(&jti).into()),
        ])
    }

    fn sign(&self, typ: AssertionType, claims: &Map<String, Value>) -> Result<Secret, TokenFault> {
        self.signer.sign(typ, claims).ok_or(TokenFault::Unsigned)
    }
}

/// What every assertion says of a principal: never its scopes, its session or its token.
fn of_principal(principal: &Principal) -> Map<String, Value> {
    let mut claims = Map::from_iter([
        ("sub".to_owned(), principal.subject.id().into()),
        (
            "principal_type".to_owned(),
            if matches!(principal.subject, Actor::Human(_)) { "human" } else { "agent" }.into(),
        ),
        ("tenant".to_owned(), principal.tenant.as_str().into()),
        ("mark".to_owned(), principal.mark().as_str().into()),
        ("client_id".to_owned(), principal.client.as_str().into()),
    ]);
    if let Some(act) = sallyport_oauth::actor::write(&principal.actors) {
        claims.insert("act".to_owned(), act);
    }
    claims
}
