//! ID-JAGs of tenants' identity providers: which connection may send them, with which keys they are verified, and
//! whose they are. Verifying one is `sallyport_oauth::id_jag`'s; issuing a token for it the authorization server's.
//!
//! The person is found, linked or made exactly as if she had signed in by that connection: proved domains, verified
//! addresses, admitted groups and the connection's demands count. Her session stands on the provider's, so that its
//! log-out, its security events and SCIM end what was given.

use std::{collections::BTreeSet, time::Duration};

use sallyport_model::{TenantId, event::Source};
use sallyport_oauth::{
    id_jag::IdJag,
    oidc::{Algorithm, Claims, IssuerRule, Jwks, JwtFault, Moment, OidcFault, Transport, id_token},
};
use sallyport_storage::{BrowserSession, Connection, Person, ProviderSession, StoreError};
use serde_json::Value;

use super::{
    attributes::attributes,
    callback::{demands, methods},
    peer::Peer,
    trouble::Trouble,
};
use crate::{
    Identity, IdentityError,
    federation::{
        Asserted,
        mapping::{domain_of, preview},
        refused::Refused,
    },
    settings::{ConnectionSettings, OidcSettings},
};

/// The method that such a session is known by.
pub const METHOD: &str = "id_jag";
/// A standing session serves again while it has longer to live than this.
const ENOUGH: Duration = Duration::from_secs(15 * 60);
/// More values of one list are not read.
const MOST_LIST: usize = 64;

/// A connection to the provider that issues ID-JAGs.
#[derive(Debug, Clone)]
pub struct IdJagConnection {
    /// The connection.
    pub connection: Connection,
    /// Which `iss` it takes.
    pub issuer: IssuerRule,
    /// Why it takes none, as a stable code. Its tenant's people are still its own, and nobody else's.
    pub refuses: Option<&'static str>,
    settings: Box<OidcSettings>,
}

impl IdJagConnection {
    /// The customer at a provider that many share.
    pub fn organisation(&self) -> Option<&str> {
        self.settings.organisation.as_deref()
    }

    /// Algorithms that its ID-JAGs may be signed with.
    pub fn algorithms(&self) -> &'static [Algorithm] {
        &Algorithm::ALL
    }

    /// The time, and how far the provider's clock may differ.
    pub fn moment(&self, identity: &Identity) -> Moment {
        Moment { now: identity.now(), leeway: super::peer::LEEWAY }
    }
}

/// What speaks for a verified ID-JAG's person being a connection's, and what against it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdJagStanding {
    /// Whether she is known by this very connection.
    pub linked: bool,
    /// Whether the provider says that her address is hers, and the connection's tenant has proved its domain.
    pub proved: bool,
    /// The tenants that have proved the domain of an address that is claimed for her, verified or not.
    pub owners: BTreeSet<TenantId>,
}

impl IdJagStanding {
    /// Whether an address of hers is of a domain that another tenant has proved.
    pub fn is_of_another(&self, tenant: &TenantId) -> bool {
        self.owners.iter().any(|owner| owner != tenant)
    }
}

/// Why an ID-JAG that was verified brings nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdJagRefused {
    /// Stable, snake_case.
    pub code: &'static str,
    /// What is wrong; for the log, and for an administrator.
    pub what: String,
}

impl From<Refused> for IdJagRefused {
    fn from(refused: Refused) -> Self {
        Self { code: refused.code, what: format!("{} {}", refused.what, refused.remedy) }
    }
}

impl From<OidcFault> for IdJagRefused {
    fn from(fault: OidcFault) -> Self {
        Self { code: fault.code(), what: fault.to_string() }
    }
}

impl Identity {
    /// The connections to `issuer`, an unverified `iss`; several where tenants share a provider. Those that take no
    /// ID-JAGs are among them and say why: a person of theirs must not become somebody else's.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn id_jag_connections(&self, issuer: &str) -> Result<Vec<IdJagConnection>, IdentityError> {
        let mut found = Vec::new();
        for tenant in self.store().tenants().await? {
            for connection in self.store().connections(&tenant.id).await? {
                found.extend(self.id_jag_connection(connection, issuer, tenant.suspended)?);
            }
        }
        Ok(found)
    }

    fn id_jag_connection(
        &self,
        connection: Connection,
        issuer: &str,
        suspended: bool,
    ) -> Result<Option<IdJagConnection>, IdentityError> {
        let ConnectionSettings::Oidc(settings) = ConnectionSettings::of(&connection)? else { return Ok(None) };
        let (rule, usable) = match Peer::new(self, &connection, &settings) {
            Ok(peer) => (peer.rule.clone(), true),
            // One tenant's settings that do not work anymore are no matter of another's; its people stay its own.
            Err(trouble) => {
                tracing::warn!(connection = %connection.id, %trouble, "a connection for ID-JAGs is not usable");
                match IssuerRule::exact(&settings.issuer, Transport::HttpsOrLoopback) {
                    Ok(rule) => (rule, false),
                    Err(_) => return Ok(None),
                }
            }
        };
        let refuses = [
            (suspended, "id_jag_tenant_suspended"),
            (!connection.enabled, "id_jag_tenant_disabled"),
            (!settings.id_jag, "id_jag_tenant_off"),
            (!usable, "id_jag_tenant_unusable"),
        ];
        let refuses = refuses.into_iter().find(|(refuses, _)| *refuses).map(|(_, code)| code);
        let found = rule.issued(issuer, None);
        Ok(found.then_some(IdJagConnection { connection, issuer: rule, refuses, settings }))
    }

    /// What speaks for the person of a verified ID-JAG being this connection's. Nothing comes of it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn id_jag_standing(&self, of: &IdJagConnection, id_jag: &IdJag) -> Result<IdJagStanding, IdentityError> {
        let claims = claims(id_jag);
        let subject = match Peer::new(self, &of.connection, &of.settings) {
            Ok(peer) => peer.subject_of(&claims).ok(),
            Err(_) => Some(format!("{} {}", claims.issuer, claims.subject)),
        };
        let linked = match subject {
            Some(subject) => self.store().link(&of.connection.id, &subject).await?.is_some(),
            None => false,
        };
        let mapping = &of.settings.mapping;
        let profile = preview(mapping, &attributes(mapping, &claims, &claims.raw));
        let (mut owners, mut mapped) = (BTreeSet::new(), None);
        // The mapping is the tenant's own choice: what the provider itself calls her address counts beside it.
        for (address, by_mapping) in [(&claims.email, false), (&profile.email, true)] {
            let Some(domain) = address.as_deref().and_then(domain_of) else { continue };
            let owner = self.store().domain(&domain).await?.map(|domain| domain.tenant);
            if by_mapping {
                mapped.clone_from(&owner);
            }
            owners.extend(owner);
        }
        let tenant = &of.connection.tenant;
        let own = mapped.as_ref() == Some(tenant) && owners.iter().all(|owner| owner == tenant);
        Ok(IdJagStanding { linked, proved: own && profile.email_verified, owners })
    }

    /// Why an ID-JAG may not bring this person into the connection's tenant: nobody becomes hers by naming her provider.
    async fn foreign(&self, of: &IdJagConnection, id_jag: &IdJag) -> Result<Option<Refused>, IdentityError> {
        if let Some(code) = of.refuses {
            let remedy = "Take up the tenant or switch on the connection and its ID-JAGs.";
            return Ok(Some(Refused::new(code, "This connection takes no ID-JAGs now.", Some(remedy))));
        }
        let standing = self.id_jag_standing(of, id_jag).await?;
        if standing.is_of_another(&of.connection.tenant) {
            let what = "Her address is of a domain that another tenant has proved.";
            return Ok(Some(Refused::new("id_jag_tenant_domain", what, None)));
        }
        if !standing.linked && !standing.proved {
            let what =
                "She is not known by this connection, and the tenant has not proved a verified address's domain.";
            let remedy = "Prove the domain, or have her sign in with a browser once.";
            return Ok(Some(Refused::new("id_jag_tenant_domain_unproved", what, Some(remedy))));
        }
        Ok(None)
    }

    /// The provider's keys; with `doubt`, why none of them fitted, as they are now (asked for at most now and then).
    ///
    /// # Errors
    /// [`IdentityError::Provider`] when they cannot be had, or when the store fails.
    pub async fn id_jag_keys(&self, of: &IdJagConnection, doubt: Option<&JwtFault>) -> Result<Jwks, IdentityError> {
        let peer = Peer::new(self, &of.connection, &of.settings).map_err(unusable)?;
        peer.keys_for(doubt).await.map_err(unusable)
    }

    /// Whose a verified ID-JAG is, and the session that what it brings stands on.
    ///
    /// # Errors
    /// When the store or the log fails; a refusal is an answer.
    pub async fn person_by_id_jag(
        &self,
        source: &Source,
        of: &IdJagConnection,
        id_jag: &IdJag,
    ) -> Result<Result<BrowserSession, IdJagRefused>, IdentityError> {
        let peer = Peer::new(self, &of.connection, &of.settings).map_err(unusable)?;
        let asserted = match asserted(&peer, id_jag) {
            Ok(asserted) => asserted,
            Err(fault) => return Ok(Err(fault.into())),
        };
        if let Some(refused) = self.foreign(of, id_jag).await? {
            return Ok(Err(refused.into()));
        }
        let person = match self.person_asserted(&of.settings.mapping, &asserted).await? {
            Ok(person) => person,
            Err(refused) => return Ok(Err(refused.into())),
        };
        if let Some(standing) = self.standing_by_id_jag(&person, &asserted).await? {
            return Ok(Ok(standing));
        }
        // What was revoked after the provider spoke is not given again by the same words.
        let since = id_jag.issued_at.min(self.now());
        let provider = ProviderSession {
            connection: asserted.connection.clone(),
            subject: asserted.subject.clone(),
            session: asserted.session.clone(),
            not_after: None,
        };
        match self.begin_without_browser(&person, asserted.methods, since, provider).await {
            Ok(session) => self.recorded(source, &person, session).await.map(Ok),
            Err(IdentityError::Store(StoreError::Missing(_))) => Ok(Err(IdJagRefused {
                code: "revoked_meanwhile",
                what: "Her access was ended after the provider issued this; a new one is needed.".to_owned(),
            })),
            Err(error) => Err(error),
        }
    }

    async fn recorded(
        &self,
        source: &Source,
        person: &Person,
        session: BrowserSession,
    ) -> Result<BrowserSession, IdentityError> {
        if let Err(error) = self.record_signed_in(source.clone(), person, &session).await {
            self.store().end_browser_session(&session.id, self.now()).await?;
            return Err(error);
        }
        Ok(session)
    }

    /// The session that an earlier ID-JAG of the same provider about her began, if it lives on for a while: so that a
    /// client that comes every few minutes does not fill the store.
    async fn standing_by_id_jag(
        &self,
        person: &Person,
        asserted: &Asserted,
    ) -> Result<Option<BrowserSession>, IdentityError> {
        let now = self.now();
        let all = self.store().browser_sessions(&person.tenant, Some(&person.id), now).await?;
        Ok(all.into_iter().find(|session| {
            let same = session.provider.as_ref().is_some_and(|provider| {
                provider.connection == asserted.connection
                    && provider.subject == asserted.subject
                    && provider.session == asserted.session
            });
            same && session.methods == asserted.methods && session.expires_at > now.plus(ENOUGH)
        }))
    }
}

fn unusable(trouble: Trouble) -> IdentityError {
    match trouble {
        Trouble::Ours(error) => error,
        trouble => IdentityError::Provider(trouble.to_string()),
    }
}

/// What the provider says of her, as a sign-in would have said it.
fn asserted(peer: &Peer<'_>, id_jag: &IdJag) -> Result<Asserted, OidcFault> {
    let claims = claims(id_jag);
    peer.check_groups(&claims)?;
    id_token::meets(&claims, peer.preset, &demands(peer), peer.moment())?;
    let mut methods = methods(peer, &claims);
    methods.push(METHOD.to_owned());
    Ok(Asserted {
        tenant: peer.connection.tenant.clone(),
        connection: peer.connection.id.clone(),
        subject: peer.subject_of(&claims)?,
        attributes: attributes(&peer.settings.mapping, &claims, &claims.raw),
        methods,
        session: claims.sid,
        not_after: None,
        refresh_token: None,
        partial: true,
    })
}

fn claims(id_jag: &IdJag) -> Claims {
    let text = |name: &str| id_jag.raw.get(name).and_then(Value::as_str).map(str::to_owned);
    let list = |name: &str| {
        let all = id_jag.raw.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        all.iter().take(MOST_LIST).filter_map(Value::as_str).map(str::to_owned).collect()
    };
    Claims {
        issuer: id_jag.issuer.clone(),
        subject: id_jag.subject.clone(),
        audience: Vec::new(),
        issued_at: id_jag.issued_at,
        expires_at: id_jag.expires_at,
        auth_time: id_jag.auth_time,
        acr: id_jag.acr.clone(),
        acrs: list("acrs"),
        amr: id_jag.amr.clone(),
        sid: text("sid").filter(|sid| !sid.is_empty() && sid.len() <= 255),
        email: id_jag.email.clone(),
        name: text("name"),
        raw: id_jag.raw.clone(),
    }
}
