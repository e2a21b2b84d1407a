//! Linking a person's account at an upstream: the authorization code flow with PKCE (2025-11-25 and 2026-07-28
//! basic/authorization), run by the gate on a page of its own.
//!
//! What is begun is bound to the person who is signed in at the page, and finished for her alone. No token of the
//! flow leaves the gate, and none of the gate's own goes into it.

use std::{fmt, sync::Arc};

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sallyport_model::{Rng, Secret, TenantId, Timestamp, UserId};
use sallyport_oauth::{SigningKey, jws, pkce};
use sallyport_storage::LinkedAccount;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use super::{
    At, UpstreamTokens,
    discovery::Server,
    dpop_key,
    fault::TokenFault,
    kept::{Kept, Place},
    wire::Form,
};
use crate::upstream::{
    UpstreamCredential, UpstreamSpec,
    credential::{ClientProof, Linked},
};

/// How long a person may take at the upstream's authorization server.
pub const LINKING_LIFE: std::time::Duration = std::time::Duration::from_secs(600);

/// Who links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linker {
    /// Her tenant.
    pub tenant: TenantId,
    /// She.
    pub user: UserId,
    /// Her browser session at the gate: what binds the flow to her browser.
    pub session: sallyport_model::SessionId,
}

/// A flow that has begun. Keep `kept` on the server under the digest of `state`, for [`LINKING_LIFE`], once.
pub struct Begun {
    /// Where the browser goes.
    pub redirect: Url,
    /// The unguessable handle that comes back.
    pub state: String,
    /// What [`UpstreamTokens::finish_link`] needs. It holds secrets.
    pub kept: Secret,
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Begun(…)")
    }
}

/// Why no account was linked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkFault {
    /// This upstream is not used with people's own accounts.
    #[error("this server is not used with people's own accounts")]
    NotLinkable,
    /// The answer is not one to what was begun here, by this person, in this browser.
    #[error("the answer does not belong to what you began here: {0}")]
    Foreign(&'static str),
    /// The authorization server, or the person at it, said no.
    #[error("the connection was not granted ({0})")]
    Denied(&'static str),
    /// The authorization server is not good enough.
    #[error("the server's authorization server {0}")]
    Unfit(&'static str),
    /// No token.
    #[error(transparent)]
    Token(#[from] TokenFault),
}

impl LinkFault {
    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotLinkable => "not_linkable",
            Self::Foreign(_) => "link_foreign_answer",
            Self::Denied(_) => "link_denied",
            Self::Unfit(_) => "link_unfit_server",
            Self::Token(fault) => fault.code(),
        }
    }
}

/// What is remembered of a flow.
#[derive(Serialize, Deserialize)]
struct Attempt {
    upstream: String,
    linker: Linker,
    verifier: String,
    issuer: String,
    place: Place,
    begun_at: Timestamp,
    dpop_key: Option<String>,
}

/// A good answer of the authorization server: the person agreed there. Its code is not redeemed yet.
pub struct Granted {
    at: At,
    linked: Arc<Linked>,
    server: Arc<Server>,
    attempt: Attempt,
    code: Secret,
    redirect_uri: String,
}

impl fmt::Debug for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Granted(…)")
    }
}

impl UpstreamTokens {
    /// Begins: where the person's browser goes.
    ///
    /// # Errors
    /// [`LinkFault`], but `Foreign` and `Denied`.
    pub async fn begin_link(&self, spec: &UpstreamSpec, linker: Linker) -> Result<Begun, LinkFault> {
        let (at, linked) = linkable(spec)?;
        let issued = &linked.issued;
        let server = self.server(&at, &issued.server).await?;
        let endpoint =
            server.authorization_endpoint.clone().ok_or(LinkFault::Unfit("has no authorization endpoint"))?;
        if !server.s256 {
            // A client that cannot tell must refuse to go on (basic/authorization, Authorization Code Protection).
            return Err(LinkFault::Unfit("does not say that it supports PKCE with S256"));
        }
        let (state, verifier) = (token(self.deps.rng.as_ref()), token(self.deps.rng.as_ref()));
        let dpop_key = if issued.dpop {
            let pkcs8 = Zeroizing::new(SigningKey::generate().map_err(|_| TokenFault::Unsigned)?.to_vec());
            Some(STANDARD.encode(&*pkcs8))
        } else {
            None
        };
        let place = Place::of(&at, issued, &server);
        let mut redirect = endpoint;
        redirect
            .query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id(&at, issued, &server)?)
            .append_pair("redirect_uri", &self.link_redirect_uri(spec))
            .append_pair("state", &state)
            .append_pair("code_challenge", &pkce::challenge_of(&verifier))
            .append_pair("code_challenge_method", pkce::METHOD)
            .append_pair("resource", &place.resource);
        if let Some(scope) = &issued.scope {
            redirect.query_pairs_mut().append_pair("scope", scope);
        }
        if let Some(key) = own_key(dpop_key.as_deref())? {
            redirect.query_pairs_mut().append_pair("dpop_jkt", &thumbprint(&key)?);
        }
        let attempt = Attempt {
            upstream: at.name.to_string(),
            linker,
            verifier,
            issuer: server.issuer.clone(),
            place,
            begun_at: self.deps.clock.now(),
            dpop_key,
        };
        let kept = serde_json::to_string(&attempt).map_err(|_| TokenFault::Store)?;
        Ok(Begun { redirect, state, kept: Secret::new(kept) })
    }

    /// The authorization server to which a person is sent: its issuer, and where its page is.
    ///
    /// # Errors
    /// [`LinkFault`].
    pub async fn link_server(&self, spec: &UpstreamSpec) -> Result<(String, Url), LinkFault> {
        let (at, linked) = linkable(spec)?;
        let server = self.server(&at, &linked.issued.server).await?;
        let endpoint =
            server.authorization_endpoint.clone().ok_or(LinkFault::Unfit("has no authorization endpoint"))?;
        Ok((server.issuer.clone(), endpoint))
    }

    /// Takes the authorization response: whether it is one to what was begun here, and what the person said. `kept`
    /// was taken from where [`Begun`] was put, and is there no more. Nothing is redeemed yet.
    ///
    /// # Errors
    /// [`LinkFault`].
    pub async fn take_answer(
        &self,
        spec: &UpstreamSpec,
        kept: &str,
        query: &str,
        linker: &Linker,
    ) -> Result<Granted, LinkFault> {
        let (at, linked) = linkable(spec)?;
        let attempt: Attempt = serde_json::from_str(kept).map_err(|_| LinkFault::Foreign("it cannot be read"))?;
        if attempt.upstream != at.name.as_str() {
            return Err(LinkFault::Foreign("it is of another server"));
        }
        if attempt.linker != *linker {
            return Err(LinkFault::Foreign("it was begun by somebody else, or in another browser"));
        }
        let server = self.server(&at, &linked.issued.server).await?;
        if server.issuer != attempt.issuer {
            return Err(LinkFault::Foreign("the authorization server changed meanwhile"));
        }
        if attempt.place != Place::of(&at, &linked.issued, &server) {
            return Err(LinkFault::Foreign("this server's address or resource changed meanwhile"));
        }
        let code = code(query, &server)?;
        Ok(Granted { at, linked, server, attempt, code, redirect_uri: self.link_redirect_uri(spec) })
    }

    /// Redeems the code and stores the account.
    ///
    /// # Errors
    /// [`LinkFault::Token`].
    pub async fn redeem_link(&self, granted: Granted) -> Result<LinkedAccount, LinkFault> {
        let Granted { at, linked, server, attempt, code, redirect_uri } = granted;
        let form = Form::of("authorization_code")
            .with("code", code.expose())
            .with("redirect_uri", redirect_uri)
            .with("code_verifier", attempt.verifier.as_str())
            .with("resource", attempt.place.resource.as_str());
        let key = own_key(attempt.dpop_key.as_deref())?.map(Arc::new);
        let answer = self.ask(&at, &linked.issued, &server, form, key.as_ref()).await?;
        let now = self.deps.clock.now();
        let tokens = Kept::of(&answer, &server, attempt.place, None, attempt.dpop_key, now)?;
        let account = LinkedAccount {
            tenant: attempt.linker.tenant,
            user: attempt.linker.user,
            upstream: at.name,
            tokens: tokens.write()?,
            version: first_version(self.deps.rng.as_ref()),
            // What ended her access since she began ends this as well: the store looks.
            linked_at: attempt.begun_at,
            renewed_at: now,
        };
        self.deps.store.link_account(&account).await.map_err(|_| TokenFault::Store)?;
        Ok(account)
    }

    /// Finishes: [`Self::take_answer`] and [`Self::redeem_link`], for whoever has nothing to do between them.
    ///
    /// # Errors
    /// [`LinkFault`].
    pub async fn finish_link(
        &self,
        spec: &UpstreamSpec,
        kept: &str,
        query: &str,
        linker: &Linker,
    ) -> Result<LinkedAccount, LinkFault> {
        let granted = self.take_answer(spec, kept, query, linker).await?;
        self.redeem_link(granted).await
    }

    /// Unlinks: the tokens are gone from here first, then given back at the authorization server where it takes
    /// them (RFC 7009). Whether there was an account.
    ///
    /// # Errors
    /// [`TokenFault::Store`]; that the authorization server does not answer is none.
    pub async fn unlink(&self, spec: &UpstreamSpec, tenant: &TenantId, user: &UserId) -> Result<bool, TokenFault> {
        let removed = self.deps.store.unlink_account(tenant, user, &spec.name, None).await;
        let Some(account) = removed.map_err(|_| TokenFault::Store)? else { return Ok(false) };
        if let Err(error) = self.give_back(spec, &account).await {
            tracing::info!(upstream = %spec.name, %error, "an unlinked account's tokens were not revoked at their server");
        }
        Ok(true)
    }

    async fn give_back(&self, spec: &UpstreamSpec, account: &LinkedAccount) -> Result<(), LinkFault> {
        let (at, linked) = linkable(spec)?;
        let kept = Kept::read(account)?;
        let server = self.server(&at, &linked.issued.server).await?;
        if server.issuer != kept.issuer {
            return Err(LinkFault::Foreign("the authorization server is another one by now"));
        }
        self.revoke(&at, &linked.issued, &server, kept.refresh_token.as_deref().unwrap_or(&kept.access_token)).await?;
        Ok(())
    }

    /// Where an upstream's authorization server sends the browser back to: one for each upstream, so that no
    /// server's answer is taken for another's (RFC 9700 section 4.4).
    pub fn link_redirect_uri(&self, spec: &UpstreamSpec) -> String {
        format!("{}/callback", self.link_url(&spec.name))
    }

    /// The gate's client metadata document at an upstream's authorization server (Client ID Metadata Documents).
    /// `jwks_uri` is the gate's own, for `private_key_jwt`. `None` where the gate has a `client_id` there.
    pub fn client_document(&self, spec: &UpstreamSpec, name: &str, jwks_uri: &str) -> Option<Value> {
        let (at, linked) = linkable(spec).ok()?;
        if linked.issued.client.id.is_some() {
            return None;
        }
        let mut document = json!({
            "client_id": self.client_document_url(&at.name),
            "client_name": name,
            "client_uri": self.deps.public_url,
            "redirect_uris": [self.link_redirect_uri(spec)],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        });
        if matches!(linked.issued.client.proof, ClientProof::PrivateKeyJwt) {
            document["token_endpoint_auth_method"] = json!("private_key_jwt");
            document["token_endpoint_auth_signing_alg"] = json!("ES256");
            document["jwks_uri"] = json!(jwks_uri);
        }
        Some(document)
    }
}

fn linkable(spec: &UpstreamSpec) -> Result<(At, Arc<Linked>), LinkFault> {
    let at = At::of(spec).ok_or(LinkFault::NotLinkable)?;
    match &spec.credential {
        UpstreamCredential::LinkedAccount(linked) => Ok((at, Arc::clone(linked))),
        _ => Err(LinkFault::NotLinkable),
    }
}

/// The code of an authorization response, once `iss` is right (RFC 9207 section 2.4). A name that stands twice is
/// no answer; an error's own words go no further.
fn code(query: &str, server: &Server) -> Result<Secret, LinkFault> {
    let mut found: [Option<String>; 3] = [None, None, None];
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let Some(at) = ["code", "iss", "error"].iter().position(|known| *known == name) else { continue };
        if found[at].replace(value.into_owned()).is_some() {
            return Err(LinkFault::Foreign("a parameter stands in it twice"));
        }
    }
    let [code, iss, error] = found;
    match iss {
        Some(iss) if iss != server.issuer => return Err(LinkFault::Foreign("it is of another authorization server")),
        None if server.names_itself => return Err(LinkFault::Foreign("it does not say whose it is")),
        _ => {}
    }
    match (code, error) {
        (_, Some(error)) => Err(LinkFault::Denied(if error == "access_denied" { "access_denied" } else { "error" })),
        (Some(code), None) if !code.is_empty() && code.len() <= 4096 => Ok(Secret::new(code)),
        _ => Err(LinkFault::Foreign("it brings no code")),
    }
}

fn own_key(text: Option<&str>) -> Result<Option<SigningKey>, TokenFault> {
    let Some(text) = text else { return Ok(None) };
    let pkcs8 = Zeroizing::new(STANDARD.decode(text).map_err(|_| TokenFault::Unsigned)?);
    dpop_key(&pkcs8).map(Some)
}

/// RFC 7638; `dpop_jkt` of RFC 9449 section 10 binds the code to the key.
fn thumbprint(key: &SigningKey) -> Result<String, TokenFault> {
    let jwk = key.verifying_key().map_err(|_| TokenFault::Unsigned)?.to_jwk(key.id());
    let jwk = serde_json::Map::from_iter([
        ("crv".to_owned(), Value::from(jwk.crv)),
        ("kty".to_owned(), Value::from(jwk.kty)),
        ("x".to_owned(), Value::from(jwk.x)),
        ("y".to_owned(), Value::from(jwk.y)),
    ]);
    sallyport_oauth::thumbprint::of_jwk(&jwk).ok_or(TokenFault::Unsigned)
}

/// Where an account's versions begin: drawn, so that whoever still holds a version of an account that was unlinked
/// meanwhile has none of the one that was linked after it.
fn first_version(rng: &dyn Rng) -> u64 {
    let mut bytes = [0; 8];
    rng.fill(&mut bytes);
    // 48 bits: there is room above for more renewals than anybody makes.
    (u64::from_be_bytes(bytes) >> 16) + 1
}

/// 256 random bits in base64url.
fn token(rng: &dyn Rng) -> String {
    let mut bytes = [0; 32];
    rng.fill(&mut bytes);
    jws::encode(&bytes)
}

/// Under which a flow is kept: the state's SHA-256.
pub fn state_digest(state: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, state.as_bytes()).as_ref());
    out
}

/// The `state` of an authorization response, if there is exactly one.
pub fn state_of(query: &str) -> Option<String> {
    let mut states = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "state");
    let state = states.next().map(|(_, value)| value.into_owned());
    state.filter(|state| states.next().is_none() && state.len() <= 128)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sallyport_outbound::{AddressPolicy, guard::SystemResolver};

    use super::*;
    use crate::upstream::tokens::wire::Wire;

    fn server(names_itself: bool) -> Server {
        Server {
            issuer: "https://as.example".to_owned(),
            token_endpoint: "https://as.example/token".parse().unwrap(),
            authorization_endpoint: None,
            revocation_endpoint: None,
            s256: true,
            names_itself,
            reads_documents: false,
            resource: None,
            wire: Wire::new(AddressPolicy::PublicOnly, Arc::new(SystemResolver), Vec::new()),
        }
    }

    #[test]
    fn a_code_is_taken_only_from_the_server_that_was_asked() {
        let good = "code=c&state=s&iss=https%3A%2F%2Fas.example";
        assert_eq!(code(good, &server(true)).unwrap().expose(), "c");
        assert!(code("code=c&state=s", &server(false)).is_ok());
        for (query, fault) in [
            ("code=c&state=s", "link_foreign_answer"),
            ("code=c&iss=https%3A%2F%2Fevil.example", "link_foreign_answer"),
            ("code=c&iss=https%3A%2F%2Fas.example&iss=https%3A%2F%2Fas.example", "link_foreign_answer"),
            ("code=c&code=d&iss=https%3A%2F%2Fas.example", "link_foreign_answer"),
            ("state=s&iss=https%3A%2F%2Fas.example", "link_foreign_answer"),
            ("error=access_denied&iss=https%3A%2F%2Fas.example", "link_denied"),
            ("error=%3Cscript%3E&code=c&iss=https%3A%2F%2Fas.example", "link_denied"),
        ] {
            let found = code(query, &server(true)).unwrap_err();
            assert_eq!(found.code(), fault, "{query}");
            assert!(!found.to_string().contains("script"));
        }
    }

    #[test]
    fn a_state_stands_once() {
        assert_eq!(state_of("state=a&code=b").as_deref(), Some("a"));
        assert_eq!((state_of("state=a&state=a"), state_of("code=b")), (None, None));
    }

    proptest! {
        #[test]
        fn no_query_panics(query in "\\PC{0,80}|[a-z=&%0-9]{0,80}") {
            let _ = code(&query, &server(true));
            let _ = state_of(&query);
        }
    }
}
