//! The tokens of linked accounts: read from the store at each use, so that what was unlinked or revoked on any node
//! is gone at once, and refreshed by one node at a time.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sallyport_model::{Secret, TenantId, Timestamp, UserId};
use sallyport_oauth::oidc::{TokenResponse, exchange::TokenType};
use sallyport_storage::LinkedAccount;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    At, Scheme, UpstreamToken, UpstreamTokens, cache::usable_until, client, discovery::Server, dpop_key,
    fault::TokenFault, issue, wire::Form,
};
use crate::upstream::{
    Caller, UpstreamCredential, UpstreamError, UpstreamSpec,
    credential::{CatalogueAccess, Issued, Linked},
};

/// A node that refreshes has so long; then another one may.
const REFRESH_LEASE: Duration = Duration::from_secs(15);
/// How long the authorization server may take; with what comes after it, well within the lease.
const REFRESH_PATIENCE: Duration = Duration::from_secs(10);
/// How often a node looks that waits for another one's refresh.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long a token is believed to live whose server does not say.
const UNSAID_LIFE: Duration = Duration::from_secs(3600);

/// For what an account was linked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// The upstream's URL, as it was configured.
    pub url: String,
    /// The RFC 8707 resource that was asked for.
    pub resource: String,
}

impl Place {
    pub(super) fn of(at: &At, issued: &Issued, server: &Server) -> Self {
        Self { url: at.url.to_string(), resource: issue::resource(at, issued, server) }
    }

    /// Whether that is the upstream as it is configured now.
    fn is(&self, at: &At, issued: &Issued) -> bool {
        self.url == at.url.as_str() && issued.resource.as_ref().is_none_or(|resource| *resource == self.resource)
    }
}

/// What is kept of a linked account, sealed by the store.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Of whose authorization server the tokens are; they go to no other.
    pub issuer: String,
    /// To nobody else are they shown. What was kept without it is shown to nobody.
    #[serde(default)]
    pub place: Place,
    pub access_token: String,
    pub usable_until: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// PKCS #8, base64: the key that the tokens are bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpop_key: Option<String>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        use zeroize::Zeroize as _;
        self.access_token.zeroize();
        self.refresh_token.zeroize();
        self.dpop_key.zeroize();
    }
}

impl Kept {
    /// Of a token endpoint's answer; what it does not say stays as it was.
    pub(super) fn of(
        answer: &TokenResponse,
        server: &Server,
        place: Place,
        before: Option<&Self>,
        dpop_key: Option<String>,
        now: Timestamp,
    ) -> Result<Self, TokenFault> {
        if (answer.token_type == TokenType::DPoP) != dpop_key.is_some() {
            return Err(TokenFault::Answer("its `token_type` is not the one that was asked for".to_owned()));
        }
        let refresh = answer.refresh_token.as_ref().map(|token| token.expose().to_owned());
        Ok(Self {
            issuer: server.issuer.clone(),
            place,
            access_token: answer.access_token.expose().to_owned(),
            usable_until: usable_until(now, answer.expires_in.unwrap_or(UNSAID_LIFE)),
            refresh_token: refresh.or_else(|| before.and_then(|before| before.refresh_token.clone())),
            scope: answer.scope.clone().or_else(|| before.and_then(|before| before.scope.clone())),
            dpop_key,
        })
    }

    pub(super) fn read(account: &LinkedAccount) -> Result<Self, TokenFault> {
        serde_json::from_str(&account.tokens).map_err(|_| TokenFault::Store)
    }

    pub(super) fn write(&self) -> Result<String, TokenFault> {
        serde_json::to_string(self).map_err(|_| TokenFault::Store)
    }

    fn shown(&self, version: u64) -> Result<UpstreamToken, TokenFault> {
        let key = self.key()?.map(Arc::new);
        Ok(UpstreamToken {
            secret: Secret::new(self.access_token.clone()),
            scheme: if key.is_some() { Scheme::Dpop } else { Scheme::Bearer },
            usable_until: self.usable_until,
            key,
            version,
        })
    }

    pub(super) fn key(&self) -> Result<Option<sallyport_oauth::SigningKey>, TokenFault> {
        let Some(text) = &self.dpop_key else { return Ok(None) };
        let pkcs8 = Zeroizing::new(STANDARD.decode(text).map_err(|_| TokenFault::Store)?);
        dpop_key(&pkcs8).map(Some)
    }
}

/// A refresh that is under way. It runs as a task of its own: whoever waits for it may go away, but once the
/// authorization server has taken the old refresh token, the new one has to be kept.
struct Renewal {
    tokens: Arc<UpstreamTokens>,
    at: At,
    /// Found, and its secret read, before the claim.
    server: Arc<Server>,
    issued: Arc<Issued>,
    account: LinkedAccount,
    kept: Kept,
}

/// What became of it.
enum Renewed {
    Token(UpstreamToken),
    /// The person has to link again.
    Lost,
    /// Somebody else is at it, or changed the account meanwhile: look again.
    Elsewhere,
}

impl Renewal {
    async fn run(self) -> Result<Renewed, TokenFault> {
        let LinkedAccount { tenant, user, upstream, version, .. } = &self.account;
        let (store, clock) = (&self.tokens.deps.store, &self.tokens.deps.clock);
        let now = clock.now();
        let until = now.plus(REFRESH_LEASE);
        let claimed = store.claim_linked_refresh(tenant, user, upstream, *version, now, until).await;
        if !claimed.map_err(|_| TokenFault::Store)? {
            return Ok(Renewed::Elsewhere);
        }
        let late = || broken_off("no refresh came to an end");
        let next = match tokio::time::timeout(REFRESH_PATIENCE, self.refresh()).await.map_err(|_| late())? {
            Ok(next) => next,
            // The claim is over, so the token may be refused because another node has used it since.
            Err(TokenFault::Refused("invalid_grant")) if clock.now() >= until => return Ok(Renewed::Elsewhere),
            Err(TokenFault::Refused("invalid_grant")) => {
                let removed = self.tokens.lost(&self.account, "its authorization server ended it").await?;
                return Ok(if removed { Renewed::Lost } else { Renewed::Elsewhere });
            }
            Err(fault) => return Err(fault),
        };
        let tokens = next.write()?;
        let renewed = store.renew_linked_account(tenant, user, upstream, *version, &tokens, clock.now()).await;
        if !renewed.map_err(|_| TokenFault::Store)? {
            // It was unlinked, or linked anew, meanwhile.
            return Ok(Renewed::Elsewhere);
        }
        next.shown(version + 1).map(Renewed::Token)
    }

    async fn refresh(&self) -> Result<Kept, TokenFault> {
        let Self { tokens, at, server, issued, kept, .. } = self;
        if server.issuer != kept.issuer {
            // Another server must never be shown this one's tokens.
            return Err(TokenFault::Refused("invalid_grant"));
        }
        let key = kept.key()?.map(Arc::new);
        let form = Form::of("refresh_token")
            .with("refresh_token", kept.refresh_token.as_deref().unwrap_or_default())
            .with("resource", kept.place.resource.as_str());
        let answer = tokens.ask(at, issued, server, form, key.as_ref()).await?;
        let now = tokens.deps.clock.now();
        Kept::of(&answer, server, kept.place.clone(), Some(kept), kept.dpop_key.clone(), now)
    }
}

fn broken_off(why: &str) -> TokenFault {
    TokenFault::Unreachable { what: "the upstream's token endpoint", why: why.to_owned() }
}

impl UpstreamTokens {
    /// The token of the account that `caller` has linked, refreshed if it has to be.
    pub(super) async fn linked_token(
        self: &Arc<Self>,
        at: &At,
        linked: &Linked,
        caller: &Caller,
    ) -> Result<Arc<UpstreamToken>, UpstreamError> {
        let (tenant, user) = match (caller, &linked.catalogue) {
            (Caller::Principal(_), _) => caller.person().ok_or(TokenFault::NoPerson)?,
            (Caller::Gate(_), CatalogueAccess::Account { tenant, user }) => (tenant, user),
            (Caller::Gate(_), CatalogueAccess::Secret(secret)) => {
                return Ok(Arc::new(issue::plain(secret, Timestamp::from_millis(u64::MAX))));
            }
            (Caller::Gate(_), CatalogueAccess::Open) => return Err(TokenFault::NoCatalogueAccount.into()),
        };
        let token = self.living(at, linked, tenant, user, None).await?;
        match token {
            Some(token) => Ok(Arc::new(token)),
            None if matches!(caller, Caller::Gate(_)) => Err(TokenFault::NoCatalogueAccount.into()),
            None => Err(UpstreamError::LinkRequired { url: self.link_url(&at.name) }),
        }
    }

    /// The upstream refused a linked account's token; whether there is, or may be, another one.
    pub(super) async fn linked_refused(self: &Arc<Self>, at: &At, caller: &Caller, token: &Arc<UpstreamToken>) -> bool {
        let UpstreamCredential::LinkedAccount(linked) = &at.credential else { return false };
        let account = match (caller, &linked.catalogue) {
            (Caller::Principal(_), _) => caller.person(),
            (Caller::Gate(_), CatalogueAccess::Account { tenant, user }) => Some((tenant, user)),
            (Caller::Gate(_), _) => None,
        };
        let Some((tenant, user)) = account else { return false };
        match self.living(at, linked, tenant, user, Some(token.version)).await {
            Ok(_) => true,
            Err(error) => {
                tracing::info!(upstream = %at.name, %error, "a linked account's token was refused and not renewed");
                false
            }
        }
    }

    /// The page on which a person links her account.
    pub fn link_url(&self, upstream: &sallyport_model::UpstreamName) -> String {
        format!("{}/account/linked/{upstream}", self.deps.public_url)
    }

    /// Whether an account that is kept is one at this upstream as it is configured now; another one is never used,
    /// and its person has to link again.
    pub fn is_linked(&self, spec: &UpstreamSpec, account: &LinkedAccount) -> bool {
        let (Some(at), UpstreamCredential::LinkedAccount(linked)) = (At::of(spec), &spec.credential) else {
            return false;
        };
        Kept::read(account).is_ok_and(|kept| kept.place.is(&at, &linked.issued))
    }

    /// A token that lives and is not of version `refused`; `None` when the person has to link (again).
    async fn living(
        self: &Arc<Self>,
        at: &At,
        linked: &Linked,
        tenant: &TenantId,
        user: &UserId,
        refused: Option<u64>,
    ) -> Result<Option<UpstreamToken>, TokenFault> {
        let until = tokio::time::Instant::now() + REFRESH_LEASE * 2;
        let mut ready = None;
        while tokio::time::Instant::now() < until {
            let account = self.deps.store.linked_account(tenant, user, &at.name).await;
            let Some(account) = account.map_err(|_| TokenFault::Store)? else { return Ok(None) };
            let kept = Kept::read(&account)?;
            if !kept.place.is(at, &linked.issued) {
                return Ok(None);
            }
            if self.deps.clock.now() < kept.usable_until && refused != Some(account.version) {
                return kept.shown(account.version).map(Some);
            }
            if kept.refresh_token.is_none() {
                if self.lost(&account, "it ended and cannot be refreshed").await? {
                    return Ok(None);
                }
                continue;
            }
            let (server, issued) = match &ready {
                Some(ready) => ready,
                None => ready.insert((
                    self.server(at, &linked.issued.server).await?,
                    Arc::new(client::with_secret(&linked.issued).await?),
                )),
            };
            let (server, issued) = (Arc::clone(server), Arc::clone(issued));
            let renewal = Renewal { tokens: Arc::clone(self), at: at.clone(), server, issued, account, kept };
            match tokio::spawn(renewal.run()).await.map_err(|_| broken_off("the refresh broke off"))?? {
                Renewed::Token(token) => return Ok(Some(token)),
                Renewed::Lost => return Ok(None),
                Renewed::Elsewhere => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
        Err(broken_off("no refresh came to an end"))
    }

    /// Removes an account whose tokens are worth nothing any more, unless it was renewed or linked anew meanwhile:
    /// whether it did.
    async fn lost(&self, account: &LinkedAccount, why: &str) -> Result<bool, TokenFault> {
        let LinkedAccount { tenant, user, upstream, version, .. } = account;
        let removed = self.deps.store.unlink_account(tenant, user, upstream, Some(*version)).await;
        let removed = removed.map_err(|_| TokenFault::Store)?.is_some();
        if removed {
            tracing::info!(%upstream, %user, why, "a linked account is lost");
        }
        Ok(removed)
    }
}
