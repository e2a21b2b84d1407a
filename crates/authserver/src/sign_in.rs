//! Who is signed in with a browser, and whom a tenant's identity provider vouches for, as the identity crate says. A
//! trait, so that what is tested here needs no password.

use async_trait::async_trait;
use http::HeaderMap;
use sallyport_identity::{
    Identity, IdentityError, SessionStanding,
    id_jag::{IdJagConnection, IdJagRefused, IdJagStanding},
};
use sallyport_model::{ConnectionId, SessionId, TenantId, event::Source};
use sallyport_oauth::{
    id_jag::IdJag,
    oidc::{Algorithm, IssuerRule, Jwks, JwtFault},
};
use sallyport_storage::{BrowserSession, Person};

/// A signed-in person and her session.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The session.
    pub session: BrowserSession,
    /// The person; not disabled, of a tenant that is not suspended.
    pub person: Person,
}

/// A tenant's identity provider that issues ID-JAGs.
#[derive(Debug, Clone)]
pub struct IdJagIssuer {
    /// Whose provider it is.
    pub tenant: TenantId,
    /// The connection to it.
    pub connection: ConnectionId,
    /// Which `iss` it takes.
    pub rule: IssuerRule,
    /// Signatures that it takes.
    pub algorithms: &'static [Algorithm],
    /// The customer at a provider that many share.
    pub organisation: Option<String>,
    /// Why none of its ID-JAGs are taken, as a stable code: its people are then nobody else's either.
    pub refuses: Option<&'static str>,
    known_as: Option<IdJagConnection>,
}

impl IdJagIssuer {
    /// One that only its maker knows.
    pub fn new(tenant: TenantId, connection: ConnectionId, rule: IssuerRule) -> Self {
        let algorithms = &Algorithm::ALL;
        Self { tenant, connection, rule, algorithms, organisation: None, refuses: None, known_as: None }
    }

    fn known_as(&self) -> Result<&IdJagConnection, IdentityError> {
        let none = || IdentityError::Provider("the connection is none of this directory's".to_owned());
        self.known_as.as_ref().ok_or_else(none)
    }
}

impl From<IdJagConnection> for IdJagIssuer {
    fn from(known: IdJagConnection) -> Self {
        Self {
            tenant: known.connection.tenant.clone(),
            connection: known.connection.id.clone(),
            rule: known.issuer.clone(),
            algorithms: known.algorithms(),
            organisation: known.organisation().map(str::to_owned),
            refuses: known.refuses,
            known_as: Some(known),
        }
    }
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
    /// The tenants' connections to `issuer`, an unverified `iss`; those that take no ID-JAGs too, and why.
    async fn id_jag_issuers(&self, issuer: &str) -> Result<Vec<IdJagIssuer>, IdentityError>;
    /// The provider's keys; with `doubt`, why none of them fitted, as they are now.
    async fn id_jag_keys(&self, of: &IdJagIssuer, doubt: Option<&JwtFault>) -> Result<Jwks, IdentityError>;
    /// What speaks for the person of a verified ID-JAG being this connection's, and what against it.
    async fn id_jag_standing(&self, of: &IdJagIssuer, id_jag: &IdJag) -> Result<IdJagStanding, IdentityError>;
    /// Whose a verified ID-JAG is, and the session that what it brings stands on.
    async fn id_jag_person(
        &self,
        source: &Source,
        of: &IdJagIssuer,
        id_jag: &IdJag,
    ) -> Result<Result<BrowserSession, IdJagRefused>, IdentityError>;
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
    async fn id_jag_issuers(&self, issuer: &str) -> Result<Vec<IdJagIssuer>, IdentityError> {
        Ok(self.id_jag_connections(issuer).await?.into_iter().map(IdJagIssuer::from).collect())
    }
    async fn id_jag_keys(&self, of: &IdJagIssuer, doubt: Option<&JwtFault>) -> Result<Jwks, IdentityError> {
        Identity::id_jag_keys(self, of.known_as()?, doubt).await
    }
    async fn id_jag_standing(&self, of: &IdJagIssuer, id_jag: &IdJag) -> Result<IdJagStanding, IdentityError> {
        Identity::id_jag_standing(self, of.known_as()?, id_jag).await
    }
    async fn id_jag_person(
        &self,
        source: &Source,
        of: &IdJagIssuer,
        id_jag: &IdJag,
    ) -> Result<Result<BrowserSession, IdJagRefused>, IdentityError> {
        self.person_by_id_jag(source, of.known_as()?, id_jag).await
    }
}
