//! Asks a provider that pushes nothing whether it still stands by a person: by redeeming the refresh token that
//! the sign-in brought, before each refresh here.
//!
//! One node asks at a time, for most providers take a refresh token once and a second use for theft. No answer
//! is no leave: nothing is given then, and nothing is ended.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sallyport_model::{Secret, SigningKeyId};
use sallyport_oauth::{
    SigningKey,
    oidc::{Claims, Demands, ExpectIdToken, JwtFault, OidcFault, ProviderMetadata, TokenResponse, id_token},
};
use sallyport_storage::{BrowserSession, Connection, ProviderToken, RevocationSubject};
use serde::{Deserialize, Serialize};

use super::{attributes::attributes, peer::Peer, trouble::Trouble};
use crate::{Identity, IdentityError, SessionStanding, federation::Asserted, session::sha256, settings::OidcSettings};

/// Longer than a provider has to answer: then whoever asked is gone.
const LEASE: Duration = Duration::from_secs(30);
/// How long somebody who came second waits for the answer to the first, and how often she looks.
const PATIENCE: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What is kept of a session's refresh token, as JSON, sealed by the store.
#[derive(Serialize, Deserialize)]
pub(super) struct Held {
    refresh_token: String,
    /// `sub` of the ID token of the sign-in.
    subject: String,
    /// PKCS #8 in base64 of the key that the token may be bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dpop_key: Option<String>,
    /// How often the provider was asked, so that every answer changes what is kept.
    asked: u64,
    /// Whether it answered, the last time.
    answered: bool,
}

/// What came of asking.
enum Answer {
    /// It stands by her.
    Stands,
    /// It does not, for this reason.
    Ended(&'static str),
}

impl Held {
    pub(super) fn new(refresh_token: &str, subject: &str, dpop_key: Option<&str>) -> Self {
        let dpop_key = dpop_key.map(str::to_owned);
        Self {
            refresh_token: refresh_token.to_owned(),
            subject: subject.to_owned(),
            dpop_key,
            asked: 0,
            answered: true,
        }
    }

    pub(super) fn to_secret(&self) -> Secret {
        Secret::new(self.to_json())
    }

    fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    fn read(token: &ProviderToken) -> Result<Self, IdentityError> {
        serde_json::from_str(&token.token).map_err(|_| IdentityError::Internal("reading a provider's token back"))
    }

    /// The key, if there is one.
    fn key(&self) -> Result<Option<SigningKey>, IdentityError> {
        let Some(pkcs8) = &self.dpop_key else { return Ok(None) };
        let failed = || IdentityError::Internal("reading a proof key back");
        let pkcs8 = STANDARD.decode(pkcs8).map_err(|_| failed())?;
        let id = SigningKeyId::new("dpop").map_err(|_| failed())?;
        SigningKey::from_pkcs8(id, &pkcs8).map(Some).map_err(|_| failed())
    }

    /// After one more time of asking.
    fn asked(self, answered: bool, successor: Option<&Secret>) -> Self {
        let refresh_token = successor.map_or(self.refresh_token, |token| token.expose().to_owned());
        Self { refresh_token, asked: self.asked + 1, answered, ..self }
    }
}

/// Asks the provider about the person of `session`. A session without a token stands: its end is a push, or its
/// lifetime.
pub(crate) async fn ask_again(
    identity: &Identity,
    connection: &Connection,
    settings: &OidcSettings,
    session: &BrowserSession,
) -> Result<SessionStanding, IdentityError> {
    let store = identity.store();
    let Some(token) = store.provider_token(&session.id).await? else { return Ok(SessionStanding::Stands) };
    let held = Held::read(&token)?;
    let now = identity.now();
    if !store.use_once("oidc_refresh", &sha256(&token.token), now, now.plus(LEASE)).await? {
        return somebody_elses_answer(identity, session, &token).await;
    }
    let asking = Asking { identity, connection, session, token: &token };
    match asking.ask(settings, held).await {
        Ok(Answer::Stands) => Ok(SessionStanding::Stands),
        Ok(Answer::Ended(why)) => asking.end(why).await,
        Err(Trouble::Ours(error)) => Err(error),
        Err(trouble) => {
            tracing::warn!(connection = %connection.id, %trouble, "a provider cannot be asked about a person");
            Ok(SessionStanding::Unknown)
        }
    }
}

/// Waits for what the node that asks with the same token hears.
async fn somebody_elses_answer(
    identity: &Identity,
    session: &BrowserSession,
    before: &ProviderToken,
) -> Result<SessionStanding, IdentityError> {
    let looks = PATIENCE.as_millis() / LOOK_EVERY.as_millis();
    for _ in 0..looks {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(token) = identity.store().provider_token(&session.id).await? else { break };
        if token.token != before.token {
            let answered = Held::read(&token)?.answered;
            return Ok(if answered { SessionStanding::Stands } else { SessionStanding::Unknown });
        }
    }
    Ok(SessionStanding::Unknown)
}

struct Asking<'a> {
    identity: &'a Identity,
    connection: &'a Connection,
    session: &'a BrowserSession,
    token: &'a ProviderToken,
}

impl Asking<'_> {
    async fn ask(&self, settings: &OidcSettings, held: Held) -> Result<Answer, Trouble> {
        let peer = Peer::new(self.identity, self.connection, settings)?;
        let key = held.key()?;
        let answer = match peer.metadata().await {
            Ok(metadata) => {
                let token = Secret::new(held.refresh_token.as_str());
                let refresh = || peer.exchange(&metadata).refresh(&token);
                peer.tokens(key.as_ref(), refresh).await.map(|tokens| (metadata, tokens))
            }
            Err(trouble) => Err(trouble),
        };
        match answer {
            Ok((metadata, tokens)) => {
                let subject = held.subject.clone();
                self.keep(held.asked(true, tokens.refresh_token.as_ref())).await?;
                self.still_the_same(&peer, &metadata, &tokens, &subject).await
            }
            Err(Trouble::Fault(fault)) if fault.ends_the_grant() => {
                // Of two that asked at once, in spite of the lease, one is refused: the other knows better.
                let overtaken = self.identity.store().provider_token(&self.session.id).await?;
                let successor = overtaken.map(|now| Held::read(&now)).transpose()?;
                let overtaken = successor.is_some_and(|now| now.refresh_token != held.refresh_token);
                Ok(if overtaken { Answer::Stands } else { Answer::Ended("provider_refused_refresh") })
            }
            Err(trouble) => {
                self.keep(held.asked(false, None)).await?;
                Err(trouble)
            }
        }
    }

    /// Whether the tokens are about the same person, and she may still be here by what they say of her.
    async fn still_the_same(
        &self,
        peer: &Peer<'_>,
        metadata: &ProviderMetadata,
        tokens: &TokenResponse,
        subject: &str,
    ) -> Result<Answer, Trouble> {
        let Some(id_token) = &tokens.id_token else { return Ok(Answer::Stands) };
        // How and when she signed in was judged then (OpenID Connect Core section 12.2).
        let demands = Demands { hosted_domains: peer.hosted_domains(), ..Demands::default() };
        let expect = ExpectIdToken {
            issuer: &peer.rule,
            client_id: &peer.settings.client_id,
            algorithms: &metadata.id_token_algorithms,
            nonce: None,
            subject: Some(subject),
            access_token: Some(tokens.access_token.expose()),
            code: None,
            demands: &demands,
            preset: peer.preset,
            moment: peer.moment(),
        };
        let claims = match peer.verified(metadata, |keys| id_token::verify(id_token.expose(), keys, &expect)).await {
            Ok(claims) => claims,
            Err(Trouble::Fault(fault)) if !may_pass(&fault) => {
                tracing::warn!(connection = %self.connection.id, %fault, "a refreshed ID token is refused");
                return Ok(Answer::Ended("provider_id_token_refused"));
            }
            Err(trouble) => return Err(trouble),
        };
        let known = self.session.provider.as_ref().map(|provider| provider.subject.as_str());
        if known != Some(peer.subject_of(&claims)?.as_str()) {
            return Ok(Answer::Ended("provider_names_another_person"));
        }
        self.still_admitted(peer, &claims).await
    }

    /// Brings her groups up to date, where the token names any.
    async fn still_admitted(&self, peer: &Peer<'_>, claims: &Claims) -> Result<Answer, Trouble> {
        let mapping = &peer.settings.mapping;
        if !mapping.groups.iter().any(|name| claims.raw.contains_key(name)) {
            return Ok(Answer::Stands);
        }
        peer.check_groups(claims)?;
        let asserted = Asserted {
            tenant: self.connection.tenant.clone(),
            connection: self.connection.id.clone(),
            subject: peer.subject_of(claims)?,
            attributes: attributes(mapping, claims, &claims.raw),
            methods: Vec::new(),
            session: None,
            not_after: None,
            refresh_token: None,
            partial: false,
        };
        let admitted = self.identity.regrouped(mapping, &asserted, &self.session.user).await?;
        Ok(if admitted { Answer::Stands } else { Answer::Ended("group_missing") })
    }

    /// Keeps what came, unless another answer is there already.
    async fn keep(&self, held: Held) -> Result<(), IdentityError> {
        let asked_at = if held.answered { self.identity.now() } else { self.token.asked_at };
        let token = ProviderToken { token: held.to_json(), asked_at };
        self.identity.store().put_provider_token(&self.session.id, &token, Some(&self.token.token)).await?;
        Ok(())
    }

    /// Revokes the session with all that was given in it.
    async fn end(&self, why: &str) -> Result<SessionStanding, IdentityError> {
        let subject = RevocationSubject::Session(self.session.id.clone());
        self.identity.store().revoke_once(&subject, self.identity.now()).await?;
        self.identity.record_ended_by_provider(self.session, None, why).await?;
        Ok(SessionStanding::Ended)
    }
}

/// Whether the next ID token may well be good: a key that is not known yet, a clock that is off.
fn may_pass(fault: &OidcFault) -> bool {
    let OidcFault::Jwt(fault) = fault else { return false };
    matches!(
        fault,
        JwtFault::UnknownKey { .. }
            | JwtFault::NoKeyId
            | JwtFault::Signature
            | JwtFault::Expired { .. }
            | JwtFault::FromFuture { .. }
    )
}
