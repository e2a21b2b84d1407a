//! `GET /signin/oidc/{connection}/callback`: the way back.
//!
//! The answer counts once, in the browser that was sent, for the provider that was asked. Only then is its code
//! redeemed, and only a verified ID token says who somebody is.

use axum::{
    extract::{Path, RawQuery, State},
    response::{IntoResponse, Redirect, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, header};
use sallyport_model::SigningKeyId;
use sallyport_oauth::{
    SigningKey,
    oidc::{Claims, Demands, ExpectIdToken, OidcFault, ProviderMetadata, TokenResponse, id_token, response},
};
use sallyport_storage::{Connection, ProviderSessions};
use sallyport_web::Caller;

use super::{again::Held, attributes::Attributes, logout::overtook, peer::Peer, start::Sent, trouble::Trouble};
use crate::{
    Identity, IdentityError,
    answer::Failure,
    federation::{Asserted, begun::Begun, refused::Refused},
    settings::{ConnectionSettings, OidcSettings},
};

/// Whether the last sign-in brought a token with which the provider can be asked again: `kept` or `none`.
const REFRESH: &str = "refresh";
/// More methods of one sign-in are not kept.
const MOST_METHODS: usize = 16;

/// Signs in whom the provider vouches for.
pub(super) async fn callback(
    State(identity): State<Identity>,
    caller: Caller,
    Path(connection): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let result = come_back(&identity, &caller, &connection, &query.unwrap_or_default()).await;
    identity.answer(result)
}

async fn come_back(identity: &Identity, caller: &Caller, id: &str, query: &str) -> Result<Response, Failure> {
    let (connection, settings) = match usable(identity, id).await? {
        Ok(usable) => usable,
        Err(refused) => return Err(identity.refuse_federated(caller, None, None, refused).await),
    };
    let (begun, asserted) = match vouched_for(identity, caller, &connection, &settings, query).await {
        Ok(vouched_for) => vouched_for,
        Err(trouble) => return Err(trouble.failure(identity, caller, &connection).await),
    };
    // The provider took its time; the connection may have been switched off meanwhile.
    if let Err(refused) = identity.usable(id).await? {
        return Err(identity.refuse_federated(caller, Some(&connection.tenant), Some(&connection.id), refused).await);
    }
    let refresh = if asserted.refresh_token.is_some() { "kept" } else { "none" };
    let standing = ProviderSessions {
        connection: connection.id.clone(),
        subject: Some(asserted.subject.clone()),
        session: asserted.session.clone(),
    };
    let cookie = identity.admit(caller, &connection, &settings.mapping, asserted, begun.since).await?;
    if overtook(identity, &standing).await? {
        let refused = Refused::again("revoked_meanwhile", "Your organisation signed you out while you signed in.");
        return Err(identity.refuse_federated(caller, Some(&connection.tenant), Some(&connection.id), refused).await);
    }
    note_refresh(identity, &connection, refresh).await?;
    Ok(leave(&begun, cookie))
}

fn leave(begun: &Begun, cookie: HeaderValue) -> Response {
    ([(header::SET_COOKIE, cookie)], Redirect::to(begun.continue_to.as_str())).into_response()
}

/// An OpenID connection by which people may sign in.
async fn usable(
    identity: &Identity,
    id: &str,
) -> Result<Result<(Connection, Box<OidcSettings>), Refused>, IdentityError> {
    let connection = match identity.usable(id).await? {
        Ok(connection) => connection,
        Err(refused) => return Ok(Err(refused)),
    };
    Ok(match ConnectionSettings::of(&connection)? {
        ConnectionSettings::Oidc(settings) => Ok((connection, settings)),
        ConnectionSettings::Saml(_) => {
            Err(Refused::again("connection_unknown", "There is no such identity provider here."))
        }
    })
}

/// Whom the provider's answer is about.
async fn vouched_for(
    identity: &Identity,
    caller: &Caller,
    connection: &Connection,
    settings: &OidcSettings,
    query: &str,
) -> Result<(Begun, Asserted), Trouble> {
    let state = response::state(query)?;
    let begun = identity.take_back(&caller.headers, &connection.id, &state).await??;
    let sent = Sent::read(&begun.protocol)?;
    let peer = Peer::new(identity, connection, settings)?;
    let metadata = peer.metadata().await?;
    let code = response::read(query, &state, &peer.rule, &metadata)?;
    let proof = proof_key(&metadata)?;
    let key = proof.as_ref().map(|(key, _)| key);
    let redirect_uri = peer.redirect_uri();
    let redeem = || peer.exchange(&metadata).redeem(&code, &sent.verifier(), &redirect_uri);
    let tokens = peer.tokens(key, redeem).await?;
    let id_token = tokens.id_token.as_ref().ok_or(OidcFault::TokenResponse { why: "has no `id_token`" })?;
    let demands = demands(&peer);
    let expect = ExpectIdToken {
        issuer: &peer.rule,
        client_id: &settings.client_id,
        algorithms: &metadata.id_token_algorithms,
        nonce: Some(&sent.nonce),
        subject: None,
        access_token: Some(tokens.access_token.expose()),
        code: Some(code.expose()),
        demands: &demands,
        preset: peer.preset,
        moment: peer.moment(),
    };
    let claims = peer.verified(&metadata, |keys| id_token::verify(id_token.expose(), keys, &expect)).await?;
    let attributes = peer.attributes(&metadata, &claims, &tokens, key).await?;
    let dpop_key = proof.as_ref().map(|(_, pkcs8)| pkcs8.as_str());
    let asserted = asserted(&peer, &claims, attributes, &tokens, dpop_key)?;
    Ok((begun, asserted))
}

/// A key for this sign-in and its refreshes, where the provider takes proofs (RFC 9449); beside it PKCS #8 in base64.
fn proof_key(metadata: &ProviderMetadata) -> Result<Option<(SigningKey, String)>, Trouble> {
    if !metadata.dpop_es256 {
        return Ok(None);
    }
    let failed = || IdentityError::Internal("making a proof key");
    let pkcs8 = SigningKey::generate().map_err(|_| failed())?;
    let id = SigningKeyId::new("dpop").map_err(|_| failed())?;
    let key = SigningKey::from_pkcs8(id, &pkcs8).map_err(|_| failed())?;
    Ok(Some((key, STANDARD.encode(&*pkcs8))))
}

pub(super) fn demands(peer: &Peer<'_>) -> Demands {
    let stored = &peer.settings.demands;
    Demands {
        max_age: stored.max_age_seconds.map(std::time::Duration::from_secs),
        acr: stored.acr.clone(),
        mfa: stored.mfa,
        mfa_acr: stored.mfa_acr.clone(),
        hosted_domains: peer.hosted_domains(),
    }
}

fn asserted(
    peer: &Peer<'_>,
    claims: &Claims,
    attributes: Attributes,
    tokens: &TokenResponse,
    dpop_key: Option<&str>,
) -> Result<Asserted, Trouble> {
    let held = tokens
        .refresh_token
        .as_ref()
        .filter(|_| peer.settings.ask_again)
        .map(|token| Held::new(token.expose(), &claims.subject, dpop_key).to_secret());
    Ok(Asserted {
        tenant: peer.connection.tenant.clone(),
        connection: peer.connection.id.clone(),
        subject: peer.subject_of(claims)?,
        attributes,
        methods: methods(peer, claims),
        session: claims.sid.clone(),
        not_after: None,
        refresh_token: held,
        partial: false,
    })
}

impl Peer<'_> {
    /// Who an ID token is about, by the claim that stays with her for good.
    pub(super) fn subject_of(&self, claims: &Claims) -> Result<String, OidcFault> {
        let person = match self.preset.subject_claim {
            "sub" => Some(claims.subject.as_str()),
            other => claims.text(other),
        };
        // Entra's `oid`, the only other one, was checked with the token.
        let person = person.ok_or(OidcFault::Missing { name: self.preset.subject_claim })?;
        Ok(self.subject(&claims.issuer, person))
    }
}

/// RFC 8176 words, and `mfa` where the provider showed it in its own way.
pub(super) fn methods(peer: &Peer<'_>, claims: &Claims) -> Vec<String> {
    let clean = |method: &&String| {
        !method.is_empty() && method.len() <= 64 && method.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let mut methods: Vec<String> = claims.amr.iter().filter(clean).take(MOST_METHODS).cloned().collect();
    let stands_for_mfa = |class: &String| claims.acr.as_ref() == Some(class) || claims.acrs.contains(class);
    let strong = peer.preset.shows_mfa(claims) || peer.settings.demands.mfa_acr.iter().any(stands_for_mfa);
    if strong && !methods.iter().any(|method| method == "mfa") {
        methods.push("mfa".to_owned());
    }
    methods
}

async fn note_refresh(identity: &Identity, connection: &Connection, now: &str) -> Result<(), IdentityError> {
    let known = identity.store().fetched(&connection.id, REFRESH).await?;
    if known.is_none_or(|(known, _)| known != now) {
        identity.store().put_fetched(&connection.id, REFRESH, now, identity.now()).await?;
    }
    Ok(())
}
