//! Finding the client that a request names: the operator's, a registered one, or one known by the
//! document at its URL.

use std::time::Duration;

use sallyport_model::{ClientId, EventKind, Timestamp};
use sallyport_oauth::{
    ErrorCode, OAuthError, client_document,
    exchange::{JWT_BEARER, TOKEN_EXCHANGE},
    registration::{self, ClientAuthentication, ClientMetadata, KeyLocation},
};
use sallyport_storage::{ApplicationType, ClientAuthMethod, ClientRecord, ClientSource};
use sallyport_web::Caller;
use serde_json::Value;

use crate::{
    AuthServerError, Document, PreregisteredClient,
    error::{Ended, Refusal},
    record::Known,
    server::Server,
};

/// A fetched document is believed at least this long, so that nobody makes us fetch in a loop.
const SHORTEST: Duration = Duration::from_secs(5 * 60);
/// Nobody waits longer for other fetches to end.
const LONGEST_WAIT: Duration = Duration::from_secs(3);
/// And at most this long.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

const fn unknown(reason: &'static str) -> Refusal {
    Refusal::new(ErrorCode::InvalidClient, "the client is not known here", reason)
}

const DOCUMENT_REFUSED: &str = "client_document_refused";

fn unusable(error: OAuthError) -> Refusal {
    Refusal { error, reason: DOCUMENT_REFUSED }
}

impl Server {
    /// The client for an authorization request; a document is fetched when there is none or it is old.
    pub(crate) async fn client_now(&self, id: &str, caller: &Caller) -> Result<ClientRecord, Ended> {
        let client_id = ClientId::new(id).map_err(|_| unknown("client_id_malformed"))?;
        let stored = self.store.client(&client_id).await?;
        match stored {
            Some(client) if !self.is_stale(&client, self.now()) => Ok(self.as_its_agent(client).await?),
            Some(client) if client.source != ClientSource::MetadataDocument => Ok(client),
            stored if client_document::is_url(id) => self.fetch_client(client_id, stored, caller).await,
            _ => Err(unknown("client_unknown").into()),
        }
    }

    /// The client for a token request. Fetches nothing unless what was fetched is a day too old: the
    /// authorization that led here was made with it.
    pub(crate) async fn client_lately(&self, id: &str, caller: &Caller) -> Result<ClientRecord, Ended> {
        let client_id = ClientId::new(id).map_err(|_| unknown("client_id_malformed"))?;
        match self.store.client(&client_id).await? {
            Some(client) if !self.is_stale(&client, self.now().minus(LONGEST)) => Ok(self.as_its_agent(client).await?),
            Some(client) => self.client_now(client.id.as_str(), caller).await,
            None => Err(unknown("client_unknown").into()),
        }
    }

    /// A client that is an agent's has nothing of its own: its name, where answers go and what it may ask for are what
    /// its agent has now.
    async fn as_its_agent(&self, client: ClientRecord) -> Result<ClientRecord, AuthServerError> {
        let (ClientAuthMethod::AgentCredential, Some(id)) = (&client.auth, &client.agent) else { return Ok(client) };
        let agent = self.store.agent(id).await?.filter(|agent| agent.client == client.id);
        let (name, redirect_uris) = agent.map(|agent| (agent.name, agent.bounds.redirect_uris)).unwrap_or_default();
        let mut grant_types = vec!["client_credentials", TOKEN_EXCHANGE, JWT_BEARER];
        if !redirect_uris.is_empty() {
            grant_types.extend(["authorization_code", "refresh_token"]);
        }
        let grant_types = grant_types.into_iter().map(str::to_owned).collect();
        Ok(ClientRecord { name, redirect_uris, grant_types, ..client })
    }

    fn is_stale(&self, client: &ClientRecord, at: Timestamp) -> bool {
        client.source == ClientSource::MetadataDocument
            && (!self.config.client_documents || client.stale_at.is_none_or(|stale_at| stale_at <= at))
    }

    /// Fetches, unless the same failed a moment ago.
    async fn fetch_client(
        &self,
        id: ClientId,
        stored: Option<ClientRecord>,
        caller: &Caller,
    ) -> Result<ClientRecord, Ended> {
        if !self.config.client_documents {
            return Err(unknown("client_documents_off").into());
        }
        if self.fetch_failures.has(&id, self.now()) {
            let lately = "the client's metadata document could not be used a moment ago: try again in a minute";
            return Err(Refusal::new(ErrorCode::InvalidClient, lately, "client_document_failed_lately").into());
        }
        let fetched = self.fetch_anew(id.clone(), stored, caller).await;
        if matches!(&fetched, Err(Ended::Refused(refusal)) if refusal.reason == DOCUMENT_REFUSED) {
            self.fetch_failures.add(id, self.now());
        }
        fetched
    }

    async fn fetch_anew(
        &self,
        id: ClientId,
        stored: Option<ClientRecord>,
        caller: &Caller,
    ) -> Result<ClientRecord, Ended> {
        let url = client_document::url(id.as_str()).map_err(unusable)?;
        let document = self.fetch(&url, caller).await?;
        let metadata = client_document::check(id.as_str(), &document.bytes).map_err(unusable)?;
        let now = self.now();
        let max_age = document.max_age.unwrap_or(SHORTEST).clamp(SHORTEST, LONGEST);
        let client = ClientRecord {
            auth: self.document_auth(&metadata, caller).await?,
            created_at: stored.as_ref().map_or(now, |stored| stored.created_at),
            stale_at: Some(now.plus(max_age)),
            ..record_of(id, ClientSource::MetadataDocument, metadata, now)
        };
        let same = |old: &ClientRecord| ClientRecord { stale_at: client.stale_at, ..old.clone() } == client;
        if !stored.as_ref().is_some_and(same) {
            self.record_registration(&client, caller).await?;
        }
        self.store.put_client(&client).await?;
        Ok(client)
    }

    async fn fetch(&self, url: &url::Url, caller: &Caller) -> Result<Document, Ended> {
        self.limits.document_fetch(caller)?;
        let busy = "too many clients' documents are being fetched: try again in a few seconds";
        let busy = Refusal::new(ErrorCode::TemporarilyUnavailable, busy, "client_document_busy");
        let permit = tokio::time::timeout(LONGEST_WAIT, self.fetches.acquire()).await.map_err(|_| busy)?;
        let _permit = permit.map_err(|_| unknown("closing"))?;
        self.documents.fetch(url).await.map_err(|fault| {
            tracing::info!(%url, %fault, "a client's document could not be fetched");
            unusable(OAuthError::new(ErrorCode::InvalidClient, "the client's metadata document could not be fetched"))
                .into()
        })
    }

    async fn document_auth(&self, metadata: &ClientMetadata, caller: &Caller) -> Result<ClientAuthMethod, Ended> {
        let bad_keys = OAuthError::new(ErrorCode::InvalidClient, "the client's key set cannot be used");
        match &metadata.authentication {
            ClientAuthentication::None => Ok(ClientAuthMethod::None),
            ClientAuthentication::PrivateKeyJwt(KeyLocation::Inline(jwks)) => {
                Ok(ClientAuthMethod::PrivateKeyJwt { jwks: jwks.clone() })
            }
            ClientAuthentication::PrivateKeyJwt(KeyLocation::At(uri)) => {
                let url = url::Url::parse(uri).map_err(|_| unusable(bad_keys))?;
                let document = self.fetch(&url, caller).await?;
                let small = document.bytes.len() <= client_document::MAX_BYTES;
                let object = sallyport_oauth::strict::object(&document.bytes).ok().filter(|_| small);
                let jwks = object.filter(|set| set.get("keys").is_some_and(Value::is_array));
                Ok(ClientAuthMethod::PrivateKeyJwt { jwks: Value::Object(jwks.ok_or(unusable(bad_keys))?) })
            }
            ClientAuthentication::Secret(_) => Err(unusable(bad_keys).into()),
        }
    }

    /// Records that a client came to be known, or changed.
    pub(crate) async fn record_registration(
        &self,
        client: &ClientRecord,
        caller: &Caller,
    ) -> Result<(), AuthServerError> {
        let mut known = Known { client: Some(client.id.clone()), ..Known::default() };
        known.fact("source", serde_json::to_value(client.source).unwrap_or_default());
        known.fact("name", client.name.as_str());
        known.fact("redirect_uris", client.redirect_uris.clone());
        self.record(self.event(EventKind::ClientRegistered, caller, &known)).await
    }
}

/// A record without credentials; the caller sets `auth`.
pub(crate) fn record_of(id: ClientId, source: ClientSource, metadata: ClientMetadata, now: Timestamp) -> ClientRecord {
    ClientRecord {
        id,
        source,
        name: metadata.name,
        redirect_uris: metadata.redirect_uris,
        application_type: match metadata.application_type {
            registration::ApplicationType::Native => ApplicationType::Native,
            registration::ApplicationType::Web => ApplicationType::Web,
        },
        auth: ClientAuthMethod::None,
        grant_types: metadata.grant_types,
        uri: metadata.uri,
        agent: None,
        created_at: now,
        stale_at: None,
    }
}

/// Checks a client of the operator's configuration.
///
/// # Errors
/// [`AuthServerError::Configuration`].
pub(crate) fn preregistered(client: &PreregisteredClient, now: Timestamp) -> Result<ClientRecord, AuthServerError> {
    let wrong = |why: String| AuthServerError::Configuration(format!("client `{}`: {why}", client.id));
    if client_document::is_url(client.id.as_str()) {
        return Err(wrong("an id that begins with https:// is for clients known by their document".into()));
    }
    for uri in &client.redirect_uris {
        sallyport_oauth::redirect::check(uri).map_err(|fault| wrong(format!("`{uri}`: {fault}")))?;
    }
    if client.agent.is_some() && client.auth == ClientAuthMethod::None {
        return Err(wrong("an agent's client must have a secret or keys".into()));
    }
    Ok(ClientRecord {
        id: client.id.clone(),
        source: ClientSource::Preregistered,
        name: client.name.clone(),
        redirect_uris: client.redirect_uris.clone(),
        application_type: client.application_type,
        auth: client.auth.clone(),
        grant_types: client.grant_types.clone(),
        uri: None,
        agent: client.agent.clone(),
        created_at: now,
        stale_at: None,
    })
}
