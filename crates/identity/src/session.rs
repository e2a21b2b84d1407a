//! Browser sessions: who is signed in here. The cookie is 256 random bits; only its digest is kept.

use std::time::Duration;

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue};
use sallyport_model::{Rng, SessionId, Timestamp};
use sallyport_storage::{BrowserSession, Digest, Person, PersonOrigin, ProviderSession};
use sallyport_web::Cookie;

use crate::{Identity, IdentityError};

const SESSION: Cookie = Cookie::new("sallyport-session");

/// A signed-in person and her session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// The session.
    pub session: BrowserSession,
    /// The person; not disabled, of a tenant that is not suspended.
    pub person: Person,
}

/// A fresh unguessable bearer value and the digest under which it is kept.
pub(crate) fn bearer(rng: &dyn Rng) -> (String, Digest) {
    let mut bytes = [0u8; 32];
    rng.fill(&mut bytes);
    let value = URL_SAFE_NO_PAD.encode(bytes);
    let digest = sha256(&value);
    (value, digest)
}

pub(crate) fn sha256(value: &str) -> Digest {
    let mut out = [0u8; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, value.as_bytes()).as_ref());
    out
}

impl Identity {
    /// Who is signed in with this request's cookie. `None` when nobody is, the session has ended, the
    /// person is disabled or the tenant suspended; an error means that nobody knows: deny.
    pub async fn current(&self, headers: &HeaderMap) -> Result<Option<SignedIn>, IdentityError> {
        let Some(cookie) = self.shell().cookies().read(headers, &SESSION) else { return Ok(None) };
        let session = self.store().browser_session(&sha256(&cookie), self.now()).await?;
        let Some(session) = session else { return Ok(None) };
        let Some(person) = self.store().person(&session.user).await? else { return Ok(None) };
        let welcome = person.tenant == session.tenant && self.may_sign_in(&person).await?;
        Ok(welcome.then_some(SignedIn { session, person }))
    }

    /// Whether `person` may be signed in at all.
    pub(crate) async fn may_sign_in(&self, person: &Person) -> Result<bool, IdentityError> {
        if person.disabled {
            return Ok(false);
        }
        let Some(tenant) = self.store().tenant(&person.tenant).await? else { return Ok(false) };
        let by_password = self.config().local_directory && !tenant.settings.federated_only;
        Ok(!tenant.suspended && (by_password || person.origin == PersonOrigin::External))
    }

    /// When a session ends at the latest: by the operator's, the tenant's and the provider's word.
    async fn session_end(
        &self,
        person: &Person,
        since: Timestamp,
        provider: Option<&ProviderSession>,
    ) -> Result<Timestamp, IdentityError> {
        let tenant = self.store().tenant(&person.tenant).await?;
        let chosen = tenant.and_then(|tenant| tenant.settings.session_seconds).map(Duration::from_secs);
        let longest = self.config().session_lifetime;
        let end = since.plus(chosen.map_or(longest, |chosen| chosen.min(longest)));
        Ok(provider.and_then(|provider| provider.not_after).map_or(end, |not_after| not_after.min(end)))
    }

    /// Stores a new session, whatever the browser had before, and returns the cookie for it. `since` is
    /// from before the proof was looked at: what was revoked meanwhile is not signed in again.
    pub(crate) async fn begin_session(
        &self,
        person: &Person,
        methods: Vec<String>,
        since: Timestamp,
        provider: Option<ProviderSession>,
    ) -> Result<(BrowserSession, HeaderValue), IdentityError> {
        let (value, cookie) = bearer(self.rng());
        let session = self.stored_session(cookie, person, methods, since, provider).await?;
        Ok((session, self.shell().cookies().set(&SESSION, &value)))
    }

    /// The same where no browser is there: nobody holds the cookie.
    pub(crate) async fn begin_without_browser(
        &self,
        person: &Person,
        methods: Vec<String>,
        since: Timestamp,
        provider: ProviderSession,
    ) -> Result<BrowserSession, IdentityError> {
        self.stored_session(bearer(self.rng()).1, person, methods, since, Some(provider)).await
    }

    async fn stored_session(
        &self,
        cookie: Digest,
        person: &Person,
        methods: Vec<String>,
        since: Timestamp,
        provider: Option<ProviderSession>,
    ) -> Result<BrowserSession, IdentityError> {
        let until = self.session_end(person, since, provider.as_ref()).await?;
        let session = BrowserSession {
            id: SessionId::mint(self.rng()),
            cookie,
            user: person.id.clone(),
            tenant: person.tenant.clone(),
            methods,
            authenticated_at: since,
            expires_at: until,
            provider,
        };
        self.store().add_browser_session(&session).await?;
        Ok(session)
    }

    /// `Set-Cookie` that forgets the session.
    pub(crate) fn forget_session(&self) -> HeaderValue {
        self.shell().cookies().clear(&SESSION)
    }
}
