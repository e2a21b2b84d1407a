//! A store that refuses what a test tells it to refuse, and is the embedded one for the rest.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use sallyport_model::{
    Actor, AgentId, ApiTokenId, ClientId, ConnectionId, CredentialId, DataKeyId, GrantId, KeyBinding, ScimClientId,
    SessionId, SignalStreamId, TenantId, Timestamp, UpstreamName, UserId,
};
use sallyport_storage::{
    AdmissionDecision, Agent, AgentCredential, Agents, ApiToken, ApiTokens, Assessed, Assessments, Authorizations,
    BrowserSession, BrowserSessions, Catalogue, ClientRecord, Clients, CodeRecord, CodeUse, Connection, Connections,
    Consent, Consents, DataKey, Definition, DefinitionKind, Digest, Directory, Domain, DomainProof, Grant, Grants,
    Keys, Link, LinkedAccount, LinkedAccounts, Lock, LockPolicy, MemberChange, NewRefresh, Notices, Parked, ParkedKind,
    Passkey, Person, PinChange, ProviderSessions, ProviderToken, Provisioning, RegisterEntry, Revocation,
    RevocationSubject, Revocations, Rotation, ScimChange, ScimClient, ScimKind, ScimResource, ScopeUse, SignalStream,
    Signals, SigningKeyRecord, Standing, Store, StoreError, Tenant, Tenants,
};

/// Refuses the methods of these names.
pub(crate) struct Failing {
    inner: Arc<dyn Store>,
    refused: Mutex<Vec<&'static str>>,
}

impl Failing {
    pub(crate) fn around(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self { inner, refused: Mutex::default() })
    }

    pub(crate) fn refuse(&self, methods: &[&'static str]) {
        *self.refused.lock().unwrap() = methods.to_vec();
    }

    fn check(&self, method: &str) -> Result<(), StoreError> {
        match self.refused.lock().unwrap().contains(&method) {
            true => Err(StoreError::Unavailable(format!("{method} is refused for the test"))),
            false => Ok(()),
        }
    }
}

macro_rules! passed_on {
    ($trait:ident { $( fn $name:ident($($argument:ident: $type:ty),*) -> $out:ty; )* } { $($more:item)* }) => {
        #[async_trait]
        impl $trait for Failing {
            $(async fn $name(&self, $($argument: $type),*) -> Result<$out, StoreError> {
                self.check(stringify!($name))?;
                self.inner.$name($($argument),*).await
            })*
            $($more)*
        }
    };
}

passed_on!(ApiTokens {
    fn add_api_token(token: &ApiToken) -> ();
    fn api_token(token: &Digest, now: Timestamp) -> Option<ApiToken>;
    fn api_tokens(tenant: Option<&TenantId>) -> Vec<ApiToken>;
    fn remove_api_token(id: &ApiTokenId) -> bool;
    fn exchange_tenant(was: &Tenant, new: &Tenant) -> bool;
    fn exchange_connection(was: &Connection, new: &Connection) -> bool;
} {});

passed_on!(LinkedAccounts {
    fn link_account(account: &LinkedAccount) -> ();
    fn linked_account(tenant: &TenantId, user: &UserId, upstream: &UpstreamName) -> Option<LinkedAccount>;
    fn linked_accounts(tenant: &TenantId, user: &UserId) -> Vec<LinkedAccount>;
    fn claim_linked_refresh(
        tenant: &TenantId,
        user: &UserId,
        upstream: &UpstreamName,
        version: u64,
        now: Timestamp,
        until: Timestamp
    ) -> bool;
    fn renew_linked_account(
        tenant: &TenantId,
        user: &UserId,
        upstream: &UpstreamName,
        version: u64,
        tokens: &str,
        at: Timestamp
    ) -> bool;
    fn unlink_account(
        tenant: &TenantId,
        user: &UserId,
        upstream: &UpstreamName,
        version: Option<u64>
    ) -> Option<LinkedAccount>;
} {});

passed_on!(Agents {
    fn put_agent(agent: &Agent) -> ();
    fn agent(id: &AgentId) -> Option<Agent>;
    fn agents(tenant: &TenantId) -> Vec<Agent>;
    fn agents_of(owner: &UserId) -> Vec<Agent>;
    fn remove_agent(tenant: &TenantId, id: &AgentId, at: Timestamp) -> bool;
    fn add_credential(credential: &AgentCredential) -> ();
    fn credentials(agent: &AgentId) -> Vec<AgentCredential>;
    fn workload_credentials(issuer: &str, now: Timestamp) -> Vec<AgentCredential>;
    fn revoke_credential(agent: &AgentId, id: &CredentialId, at: Timestamp) -> bool;
    fn expire_credential(agent: &AgentId, id: &CredentialId, at: Timestamp) -> bool;
    fn note_agent_use(agent: &AgentId, credential: Option<&CredentialId>, at: Timestamp) -> ();
    fn note_scope_uses(agent: &AgentId, uses: &[ScopeUse]) -> ();
    fn scope_uses(agent: &AgentId) -> Vec<ScopeUse>;
} {});

passed_on!(Assessments {
    fn record_assessment(assessed: &Assessed, document: &str) -> u64;
    fn decide_admission(decision: &AdmissionDecision) -> u64;
    fn standing(upstream: &UpstreamName) -> Standing;
    fn history(upstream: &UpstreamName, limit: usize) -> Vec<RegisterEntry>;
    fn assessment_document(number: u64) -> Option<String>;
    fn register_number() -> u64;
    fn register_after(number: u64, limit: usize) -> Vec<RegisterEntry>;
    fn register_logged() -> u64;
    fn note_register_logged(number: u64) -> ();
} {});

passed_on!(Authorizations {
    fn park(parked: &Parked) -> ();
    fn parked(handle: &Digest, kind: ParkedKind, now: Timestamp) -> Option<Parked>;
    fn repark(handle: &Digest, kind: ParkedKind, body: &str, now: Timestamp) -> bool;
    fn unpark(handle: &Digest, kind: ParkedKind, now: Timestamp) -> Option<Parked>;
    fn add_code(code: &Digest, record: &CodeRecord) -> ();
    fn consume_code(code: &Digest, now: Timestamp) -> CodeUse;
    fn purge(now: Timestamp) -> u64;
} {});

passed_on!(BrowserSessions {
    fn add_browser_session(session: &BrowserSession) -> ();
    fn browser_session(cookie: &Digest, now: Timestamp) -> Option<BrowserSession>;
    fn end_browser_session(id: &SessionId, now: Timestamp) -> bool;
    fn browser_session_by_id(id: &SessionId) -> Option<BrowserSession>;
    fn browser_sessions(tenant: &TenantId, user: Option<&UserId>, now: Timestamp) -> Vec<BrowserSession>;
    fn revoke_provider_sessions(which: &ProviderSessions, at: Timestamp) -> Vec<SessionId>;
    fn put_provider_token(session: &SessionId, token: &ProviderToken, was: Option<&str>) -> bool;
    fn provider_token(session: &SessionId) -> Option<ProviderToken>;
} {});

passed_on!(Catalogue {
    fn pin(upstream: &UpstreamName, kind: DefinitionKind, listed: &[Definition]) -> Vec<PinChange>;
    fn pinned(upstream: &UpstreamName) -> Vec<Definition>;
} {});

passed_on!(Clients {
    fn add_client(client: &ClientRecord) -> ();
    fn put_client(client: &ClientRecord) -> ();
    fn client(id: &ClientId) -> Option<ClientRecord>;
    fn clients(limit: usize) -> Vec<ClientRecord>;
    fn dynamic_clients() -> u64;
} {});

passed_on!(Connections {
    fn put_connection(connection: &Connection) -> ();
    fn connections(tenant: &TenantId) -> Vec<Connection>;
    fn has_connections() -> bool;
    fn connection(id: &ConnectionId) -> Option<Connection>;
    fn remove_connection(tenant: &TenantId, id: &ConnectionId, at: Timestamp) -> bool;
    fn put_fetched(id: &ConnectionId, name: &str, document: &str, at: Timestamp) -> ();
    fn fetched(id: &ConnectionId, name: &str) -> Option<(String, Timestamp)>;
    fn claim_domain(claim: &Domain) -> ();
    fn prove_domain(claim: &Domain, proof: DomainProof, at: Timestamp) -> bool;
    fn put_domain(domain: &Domain) -> ();
    fn domains(tenant: &TenantId) -> Vec<Domain>;
    fn domain(name: &str) -> Option<Domain>;
    fn remove_domain(tenant: &TenantId, name: &str) -> bool;
    fn link(connection: &ConnectionId, subject: &str) -> Option<Link>;
    fn put_link(link: &Link) -> ();
    fn links(user: &UserId) -> Vec<Link>;
    fn use_once(purpose: &str, id: &Digest, now: Timestamp, forget_at: Timestamp) -> bool;
    fn use_each_once(purpose: &str, uses: &[(Digest, Timestamp)], now: Timestamp) -> Vec<bool>;
} {});

passed_on!(Consents {
    fn consent(user: &UserId, client: &ClientId, resource: &str) -> Option<Consent>;
    fn put_consent(consent: &Consent) -> ();
    fn consents(user: &UserId) -> Vec<Consent>;
    fn remove_consent(user: &UserId, client: &ClientId, resource: &str) -> bool;
} {});

passed_on!(Directory {
    fn add_person(person: &Person) -> ();
    fn person(id: &UserId) -> Option<Person>;
    fn person_by_login(login: &str) -> Option<Person>;
    fn people(tenant: &TenantId) -> Vec<Person>;
    fn update_person(person: &Person) -> ();
    fn set_password(id: &UserId, password_hash: &str) -> ();
    fn set_disabled(id: &UserId, disabled: bool) -> ();
    fn passkeys(user: &UserId) -> Vec<Passkey>;
    fn put_passkey(passkey: &Passkey) -> ();
    fn remove_passkey(user: &UserId, id: &str) -> bool;
    fn lock(key: &str, now: Timestamp) -> Lock;
    fn count_failure(key: &str, now: Timestamp, policy: LockPolicy) -> Lock;
    fn clear_failures(key: &str, now: Timestamp) -> ();
} {});

passed_on!(Grants {
    fn add_grant(grant: &Grant) -> ();
    fn bind_grant(grant: &GrantId, key: &KeyBinding, now: Timestamp) -> bool;
    fn grant(id: &GrantId) -> Option<Grant>;
    fn grants_of(tenant: &TenantId, subject: &Actor, now: Timestamp) -> Vec<Grant>;
    fn grants_acted(tenant: &TenantId, agent: &AgentId, now: Timestamp) -> Vec<Grant>;
    fn grant_like(like: &Grant, until: Timestamp) -> Option<Grant>;
    fn grants_made_of(grant: &GrantId, now: Timestamp) -> Vec<Grant>;
    fn add_refresh(grant: &GrantId, refresh: &NewRefresh, now: Timestamp) -> ();
    fn rotate_refresh(token: &Digest, client: &ClientId, successor: &NewRefresh, now: Timestamp, grace: Duration) -> Rotation;
    fn grant_of_refresh(token: &Digest, now: Timestamp) -> Option<(Grant, bool)>;
} {});

passed_on!(Keys {
    fn signing_keys(now: Timestamp) -> Vec<SigningKeyRecord>;
    fn put_signing_key(key: &SigningKeyRecord) -> ();
    fn data_key(tenant: Option<&TenantId>, person: Option<&UserId>, candidate: &DataKey) -> DataKey;
    fn data_key_by_id(id: &DataKeyId) -> Option<DataKey>;
    fn shred_person(tenant: &TenantId, person: &UserId) -> bool;
} {});

passed_on!(Notices {
    fn add_notice(event: &str) -> ();
    fn notices(limit: usize) -> Vec<(u64, String)>;
    fn drop_notices(number: u64) -> ();
} {});

passed_on!(Provisioning {
    fn add_scim_client(client: &ScimClient) -> ();
    fn scim_client(token: &Digest, now: Timestamp) -> Option<ScimClient>;
    fn scim_clients(tenant: &TenantId) -> Vec<ScimClient>;
    fn replace_scim_client(old: &ScimClient, new: &ScimClient) -> bool;
    fn remove_scim_client(tenant: &TenantId, id: &ScimClientId) -> bool;
    fn add_scim_user(user: &ScimResource, person: &Person) -> ();
    fn adopt_scim_user(user: &ScimResource) -> ();
    fn add_scim_group(group: &ScimResource, members: &[UserId]) -> ();
    fn replace_scim(resource: &ScimResource, person: Option<&Person>, members: &MemberChange) -> ScimChange;
    fn remove_scim(tenant: &TenantId, kind: ScimKind, id: &str, version: Option<u64>, at: Timestamp) -> ScimChange;
    fn scim(tenant: &TenantId, kind: ScimKind, id: &str) -> Option<ScimResource>;
    fn scim_by_name(tenant: &TenantId, kind: ScimKind, name: &str) -> Option<ScimResource>;
    fn scim_by_external_id(tenant: &TenantId, kind: ScimKind, external_id: &str) -> Vec<ScimResource>;
    fn scim_count(tenant: &TenantId, kind: ScimKind) -> u64;
    fn scim_list(tenant: &TenantId, kind: ScimKind, after: Option<&str>, skip: u64, limit: usize) -> Vec<ScimResource>;
    fn scim_members(tenant: &TenantId, group: &str) -> Vec<UserId>;
    fn scim_groups_of(tenant: &TenantId, user: &UserId) -> Vec<(String, String)>;
} {});

passed_on!(Revocations {
    fn revoke(subject: &RevocationSubject, at: Timestamp) -> u64;
    fn revoke_once(subject: &RevocationSubject, at: Timestamp) -> Option<u64>;
    fn revocations_after(epoch: u64, limit: usize) -> Vec<Revocation>;
    fn prune_revocations(before: Timestamp) -> u64;
} {
    fn revoked(&self) -> tokio::sync::watch::Receiver<u64> {
        self.inner.revoked()
    }
});

passed_on!(Signals {
    fn put_stream(stream: &SignalStream) -> ();
    fn stream(id: &SignalStreamId) -> Option<SignalStream>;
    fn streams(tenant: Option<&TenantId>) -> Vec<SignalStream>;
    fn note_stream(id: &SignalStreamId, verified_at: Option<Timestamp>, last_event_at: Option<Timestamp>, last_fault: Option<&str>) -> ();
    fn remove_stream(tenant: &TenantId, id: &SignalStreamId) -> bool;
} {});

passed_on!(Tenants {
    fn add_tenant(tenant: &Tenant) -> ();
    fn put_tenant(tenant: &Tenant) -> ();
    fn tenant(id: &TenantId) -> Option<Tenant>;
    fn tenants() -> Vec<Tenant>;
    fn remove_tenant(id: &TenantId, at: Timestamp) -> bool;
} {});
