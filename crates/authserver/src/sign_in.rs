//! Who is signed in with a browser, as the identity crate says. A trait, so that what is tested here
//! needs no password.

use async_trait::async_trait;
use http::HeaderMap;
use sallyport_identity::{Identity, IdentityError, SessionStanding};
use sallyport_model::SessionId;
use sallyport_storage::{BrowserSession, Person};

/// A signed-in person and her session.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The session.
    pub session: BrowserSession,
    /// The person; not disabled, of a tenant that is not suspended.
    pub person: Person,
}

/// Signs people in.
#[async_trait]
pub trait SignIn: Send + Sync {
    /// Who is signed in; an error means that nobody knows: deny.
    async fn current(&self, headers: &HeaderMap) -> Result<Option<SignedIn>, IdentityError>;
    /// Where to send a browser that must sign in, anew even if somebody is signed in already, and
    /// come back to `continue_to`, a path of ours. `hint` is who is expected.
    fn sign_in_url(&self, continue_to: &str, hint: Option<&str>) -> String;
    /// Whether the session still stands, also at the provider that it stands on: asked before each refresh.
    async fn standing(&self, session: &SessionId) -> Result<SessionStanding, IdentityError>;
}

#[async_trait]
impl SignIn for Identity {
    async fn current(&self, headers: &HeaderMap) -> Result<Option<SignedIn>, IdentityError> {
        let current = Identity::current(self, headers).await?;
        Ok(current.map(|current| SignedIn { session: current.session, person: current.person }))
    }
    fn sign_in_url(&self, continue_to: &str, hint: Option<&str>) -> String {
        Identity::sign_in_url_for(self, continue_to, hint)
    }
    async fn standing(&self, session: &SessionId) -> Result<SessionStanding, IdentityError> {
        Identity::standing(self, session).await
    }
}
