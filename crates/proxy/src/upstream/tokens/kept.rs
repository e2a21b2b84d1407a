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
    At, Scheme, UpstreamToken, UpstreamTokens, cache::usable_until, discovery::Server, dpop_key, fault::TokenFault,
    issue, wire::Form,
};
use crate::upstream::{
    Caller, UpstreamError,
    credential::{CatalogueAccess, Linked},
};

/// A node that refreshes has so long; then another one may.
const REFRESH_LEASE: Duration = Duration::from_secs(15);
/// How often a node looks that waits for another one's refresh.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long a token is believed to live whose server does not say.
const UNSAID_LIFE: Duration = Duration::from_secs(3600);

/// What is kept of a linked account, sealed by the store.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Of whose authorization server the tokens are; they go to no other.
    pub issuer: String,
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

impl UpstreamTokens {
    /// The token of the account that `caller` has linked, refreshed if it has to be.
    pub(super) async fn linked_token(
        &self,
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
    pub(super) async fn linked_refused(&self, at: &At, caller: &Caller, token: &Arc<UpstreamToken>) -> bool {
        let super::UpstreamCredential::LinkedAccount(linked) = &at.credential else { return false };
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

    /// A token that lives and is not of version `refused`; `None` when the person has to link (again).
    async fn living(
        &self,
        at: &At,
        linked: &Linked,
        tenant: &TenantId,
        user: &UserId,
        refused: Option<u64>,
    ) -> Result<Option<UpstreamToken>, TokenFault> {
        let until = tokio::time::Instant::now() + REFRESH_LEASE * 2;
        while tokio::time::Instant::now() < until {
            let account = self.deps.store.linked_account(tenant, user, &at.name).await;
            let Some(account) = account.map_err(|_| TokenFault::Store)? else { return Ok(None) };
            let kept = Kept::read(&account)?;
            let now = self.deps.clock.now();
            if now < kept.usable_until && refused != Some(account.version) {
                return kept.shown(account.version).map(Some);
            }
            let Some(refresh_token) = kept.refresh_token.clone() else {
                self.lost(&account, "it ended and cannot be refreshed").await?;
                return Ok(None);
            };
            let lease = now.plus(REFRESH_LEASE);
            let claimed = self.deps.store.claim_linked_refresh(tenant, user, &at.name, account.version, now, lease);
            if !claimed.await.map_err(|_| TokenFault::Store)? {
                // Another call, or another node, is at it.
                tokio::time::sleep(LOOK_AGAIN).await;
                continue;
            }
            match self.refresh(at, linked, &kept, &refresh_token).await {
                Ok(next) => {
                    let (store, tokens) = (&self.deps.store, next.write()?);
                    let renewed = store.renew_linked_account(tenant, user, &at.name, account.version, &tokens, now);
                    if !renewed.await.map_err(|_| TokenFault::Store)? {
                        // It was unlinked, or linked anew, meanwhile: look again.
                        continue;
                    }
                    return next.shown(account.version + 1).map(Some);
                }
                Err(TokenFault::Refused("invalid_grant")) => {
                    self.lost(&account, "its authorization server ended it").await?;
                    return Ok(None);
                }
                Err(fault) => return Err(fault),
            }
        }
        Err(TokenFault::Unreachable {
            what: "the upstream's token endpoint",
            why: "no refresh came to an end".to_owned(),
        })
    }

    async fn refresh(&self, at: &At, linked: &Linked, kept: &Kept, refresh: &str) -> Result<Kept, TokenFault> {
        let issued = &linked.issued;
        let server = self.server(at, &issued.server).await?;
        if server.issuer != kept.issuer {
            // Another server must never be shown this one's tokens.
            return Err(TokenFault::Refused("invalid_grant"));
        }
        let key = kept.key()?.map(Arc::new);
        let form = Form::of("refresh_token")
            .with("refresh_token", refresh)
            .with("resource", issue::resource(at, issued, &server));
        let answer = self.ask(at, issued, &server, form, key.as_ref()).await?;
        Kept::of(&answer, &server, Some(kept), kept.dpop_key.clone(), self.deps.clock.now())
    }

    /// Removes an account whose tokens are worth nothing any more, unless it was linked anew meanwhile.
    async fn lost(&self, account: &LinkedAccount, why: &str) -> Result<(), TokenFault> {
        tracing::info!(upstream = %account.upstream, user = %account.user, why, "a linked account is lost");
        let LinkedAccount { tenant, user, upstream, version, .. } = account;
        let removed = self.deps.store.unlink_account(tenant, user, upstream, Some(*version)).await;
        removed.map(drop).map_err(|_| TokenFault::Store)
    }
}
