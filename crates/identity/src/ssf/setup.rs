//! Making a stream at a transmitter, asking for its verification, and removing it; making an endpoint for Global
//! Token Revocation. For a command beside the running gate: what it prepares here, the gate's endpoints complete.
//!
//! The transmitter is told how to reach us only after its own metadata and keys could be read.

use std::time::Duration;

use axum::body::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use sallyport_model::{ConnectionId, Rng, Secret, SignalStreamId, TenantId, Timestamp};
use sallyport_oauth::{
    oidc::{IssuerRule, OidcFault, ProviderMetadata},
    signals::{
        SignalFault, TransmitterMetadata,
        delivery::{POLL, PUSH},
        stream::{self, Delivery, StreamConfiguration, StreamRequest},
        transmitter,
    },
};
use sallyport_outbound::provider::{ProviderAnswer, ProviderClient, ProviderError, ProviderRequest};
use sallyport_storage::{SignalDelivery, SignalStream, Store, StoreError};
use url::Url;

use super::{
    TRANSPORT, keys,
    settings::{KeptKeys, OpaqueSubject, Signer, StreamSettings},
};
use crate::{IdentityError, session::bearer};

/// The largest answer of a transmitter that is read.
const MAX_ANSWER: usize = 256 * 1024;
/// How long a verification event may take before somebody should look.
pub const VERIFICATION_PATIENCE: Duration = Duration::from_secs(30);

/// Where a stream's events are pushed to. `origin` is the public listener's.
pub fn push_url(origin: &str, stream: &SignalStreamId) -> String {
    format!("{}/signals/{stream}/events", origin.trim_end_matches('/'))
}

/// Where Global Token Revocation is posted to, and what the caller's JWT is for.
pub fn revocation_url(origin: &str, stream: &SignalStreamId) -> String {
    format!("{}/signals/{stream}/revoke", origin.trim_end_matches('/'))
}

/// Why a stream was not made.
#[derive(Debug, thiserror::Error)]
pub enum SetupFault {
    /// The transmitter or provider cannot be reached.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// It says something that cannot be used.
    #[error(transparent)]
    Signal(#[from] SignalFault),
    /// The provider's metadata cannot be used.
    #[error(transparent)]
    Oidc(#[from] OidcFault),
    /// It has no metadata where they should be.
    #[error("{0} answered {1} and no metadata")]
    NoMetadata(Url, StatusCode),
    /// Its keys cannot be had.
    #[error("the key set {0} cannot be had: {1}")]
    Keys(Url, String),
    /// It does not deliver in the way that was asked for.
    #[error("the transmitter does not offer delivery by {0}")]
    Delivery(&'static str),
    /// What it made is not what was asked for.
    #[error("the transmitter made a stream with delivery by `{0}`")]
    OtherDelivery(String),
    /// A token that no header can hold.
    #[error("the token holds a character that no header can hold")]
    Token,
    /// The store failed; the caller's or the operator's fault as it says.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored cannot be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl SetupFault {
    /// What an administrator can do.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Signal(fault) => fault.remedy(),
            Self::Oidc(fault) => fault.remedy(),
            Self::Delivery("push") => Some("use --poll"),
            Self::Delivery(_) => Some("use --push"),
            Self::Token => Some("copy the token again, without a line break"),
            Self::NoMetadata(..) => Some("write the issuer exactly as the transmitter or provider does"),
            Self::Provider(_) | Self::Keys(..) => {
                Some("check the issuer, and whether `identity.provider_networks` and `identity.provider_ca` allow it")
            }
            _ => None,
        }
    }
}

/// With what streams are made.
pub struct SignalSetup<'a> {
    /// The way out.
    pub providers: &'a ProviderClient,
    /// Where streams are kept.
    pub store: &'a dyn Store,
    /// Randomness for ids, tokens and states.
    pub rng: &'a dyn Rng,
    /// When.
    pub now: Timestamp,
    /// Scheme, host and port of the public listener.
    pub origin: &'a str,
}

/// A stream to be made.
#[derive(Debug, Clone)]
pub struct NewStream {
    /// Whose.
    pub tenant: TenantId,
    /// Whose people its subjects are; absent: any of the tenant's.
    pub connection: Option<ConnectionId>,
    /// The token that the transmitter gave for its management API; sent for polling too.
    pub token: Secret,
    /// Whether the transmitter pushes; otherwise it is polled.
    pub push: bool,
    /// What the transmitter shows for it.
    pub description: String,
    /// What its opaque ids are here.
    pub opaque: OpaqueSubject,
    /// The customer's id at a transmitter that many share.
    pub customer: Option<String>,
}

/// An endpoint for Global Token Revocation to be made.
#[derive(Debug, Clone)]
pub struct NewEndpoint {
    /// Whose.
    pub tenant: TenantId,
    /// Whose people may be named; absent: any of the tenant's.
    pub connection: Option<ConnectionId>,
    /// Who signs the callers' JWTs; absent: a bearer token is made instead.
    pub issuer: Option<String>,
    /// Our client id there, which such a JWT must have as `sub`.
    pub client_id: Option<String>,
    /// What its opaque ids are here.
    pub opaque: OpaqueSubject,
}

/// A stream that was made.
#[derive(Debug, Clone)]
pub struct Added {
    /// As it is kept.
    pub stream: SignalStream,
    /// As the transmitter has it.
    pub configuration: StreamConfiguration,
}

impl SignalSetup<'_> {
    /// A transmitter's metadata.
    ///
    /// # Errors
    /// [`SetupFault`].
    pub async fn metadata(&self, issuer: &str) -> Result<TransmitterMetadata, SetupFault> {
        let url = transmitter::metadata_url(issuer, TRANSPORT)?;
        let answer = self.send(Method::GET, url.clone(), None, None).await?;
        if answer.status != StatusCode::OK {
            return Err(SetupFault::NoMetadata(url, answer.status));
        }
        Ok(TransmitterMetadata::parse(&answer.body, issuer, TRANSPORT)?)
    }

    /// Makes a stream there and here. Of what fails halfway nothing stays, as far as the transmitter lets us.
    ///
    /// # Errors
    /// [`SetupFault`].
    pub async fn add(&self, metadata: &TransmitterMetadata, new: NewStream) -> Result<Added, SetupFault> {
        match new.push {
            true if !metadata.push => return Err(SetupFault::Delivery("push")),
            false if !metadata.poll => return Err(SetupFault::Delivery("poll")),
            _ => {}
        }
        let signer = self.signer(metadata.issuer.clone(), metadata.jwks_uri.clone()).await?;
        let (ours, digest) = bearer(self.rng);
        let settings = StreamSettings {
            signer: Some(signer),
            token: Some(new.token.expose().to_owned()),
            critical_subject_members: metadata.critical_subject_members.clone(),
            opaque: new.opaque,
            customer: new.customer.clone(),
            verification_state: Some(bearer(self.rng).0),
            ..StreamSettings::default()
        };
        let delivery = if new.push { SignalDelivery::Push } else { SignalDelivery::Poll };
        let token = new.push.then_some(digest);
        let kept = self.stream(new.tenant.clone(), new.connection.clone(), delivery, token, &settings);
        // Before the transmitter knows the address: what it pushes at once is told to come again.
        self.store.put_stream(&kept).await?;
        match self.create(metadata, &new, &kept, settings, Secret::new(format!("Bearer {ours}"))).await {
            Ok(added) => Ok(added),
            Err(fault) => {
                self.store.remove_stream(&kept.tenant, &kept.id).await?;
                Err(fault)
            }
        }
    }

    async fn create(
        &self,
        metadata: &TransmitterMetadata,
        new: &NewStream,
        kept: &SignalStream,
        settings: StreamSettings,
        authorization: Secret,
    ) -> Result<Added, SetupFault> {
        let delivery = if new.push {
            let endpoint_url = push_url(self.origin, &kept.id);
            let endpoint_url = TRANSPORT.url("our push endpoint", &endpoint_url)?;
            Delivery::Push { endpoint_url, authorization_header: Some(authorization) }
        } else {
            Delivery::Poll
        };
        let request = stream::create(metadata, &delivery, &new.description)?;
        let answer = self.managed(request, &new.token).await?;
        let configuration = stream::configuration(answer.status.as_u16(), &answer.body, metadata, TRANSPORT)?;
        let finished = self.finish(new, kept, settings, &configuration).await;
        if finished.is_err() {
            let request = stream::delete(metadata, &configuration.stream_id)?;
            // What went wrong before matters more than whether this works.
            let _ = self.managed(request, &new.token).await;
        }
        Ok(Added { stream: finished?, configuration })
    }

    async fn finish(
        &self,
        new: &NewStream,
        kept: &SignalStream,
        mut settings: StreamSettings,
        made: &StreamConfiguration,
    ) -> Result<SignalStream, SetupFault> {
        if made.method != if new.push { PUSH } else { POLL } {
            return Err(SetupFault::OtherDelivery(made.method.clone()));
        }
        settings.stream_id = Some(made.stream_id.clone());
        settings.audience = made.audience.clone();
        settings.events = made.events_delivered.clone();
        settings.poll_endpoint = (!new.push).then(|| made.endpoint_url.clone());
        let stream = SignalStream { settings: settings.to_json(), ..kept.clone() };
        self.store.put_stream(&stream).await?;
        Ok(stream)
    }

    /// Asks the transmitter for a verification event; the gate notes it in the stream's `verified_at`. Nothing is
    /// asked of a transmitter that has no such endpoint: `false`.
    ///
    /// # Errors
    /// [`SetupFault`].
    pub async fn ask_verification(
        &self,
        metadata: &TransmitterMetadata,
        kept: &SignalStream,
    ) -> Result<bool, SetupFault> {
        if metadata.verification_endpoint.is_none() {
            return Ok(false);
        }
        let settings = StreamSettings::of(kept)?;
        let id = settings.stream_id.unwrap_or_default();
        let state = settings.verification_state.unwrap_or_default();
        let request = stream::verification(metadata, &id, &state)?;
        let answer = self.managed(request, &Secret::new(settings.token.unwrap_or_default())).await?;
        stream::done(answer.status.as_u16(), &answer.body)?;
        Ok(true)
    }

    /// Removes a stream there, then here. What went wrong there is returned; here it is gone all the same.
    ///
    /// # Errors
    /// [`SetupFault::Store`].
    pub async fn remove(&self, kept: &SignalStream) -> Result<Option<SetupFault>, SetupFault> {
        let there = match kept.delivery {
            SignalDelivery::TokenRevocation => Ok(()),
            SignalDelivery::Push | SignalDelivery::Poll => self.remove_there(kept).await,
        };
        self.store.remove_stream(&kept.tenant, &kept.id).await?;
        Ok(there.err())
    }

    async fn remove_there(&self, kept: &SignalStream) -> Result<(), SetupFault> {
        let settings = StreamSettings::of(kept)?;
        let (Some(signer), Some(id)) = (&settings.signer, &settings.stream_id) else { return Ok(()) };
        let metadata = self.metadata(&signer.issuer).await?;
        let request = stream::delete(&metadata, id)?;
        let answer = self.managed(request, &Secret::new(settings.token.unwrap_or_default())).await?;
        // It may have been removed there before.
        if answer.status == StatusCode::NOT_FOUND {
            Ok(())
        } else {
            Ok(stream::done(answer.status.as_u16(), &answer.body)?)
        }
    }

    /// Makes an endpoint for Global Token Revocation. The bearer token is there where nobody signs.
    ///
    /// # Errors
    /// [`SetupFault`].
    pub async fn revocation_endpoint(&self, new: NewEndpoint) -> Result<(SignalStream, Option<Secret>), SetupFault> {
        let signer = match &new.issuer {
            Some(issuer) => Some(self.provider(issuer).await?),
            None => None,
        };
        let (ours, digest) = bearer(self.rng);
        let token = signer.is_none().then_some(digest);
        let settings =
            StreamSettings { signer, client_id: new.client_id, opaque: new.opaque, ..StreamSettings::default() };
        let delivery = SignalDelivery::TokenRevocation;
        let stream = self.stream(new.tenant, new.connection, delivery, token, &settings);
        self.store.put_stream(&stream).await?;
        Ok((stream, token.map(|_| Secret::new(ours))))
    }

    /// An OpenID provider as a signer.
    async fn provider(&self, issuer: &str) -> Result<Signer, SetupFault> {
        let rule = IssuerRule::exact(issuer, TRANSPORT)?;
        let mut refused = None;
        for url in rule.metadata_urls() {
            let answer = self.send(Method::GET, url.clone(), None, None).await?;
            if answer.status != StatusCode::OK {
                refused.get_or_insert(SetupFault::NoMetadata(url, answer.status));
                continue;
            }
            let metadata = ProviderMetadata::parse(&answer.body, &rule, TRANSPORT)?;
            return self.signer(issuer.to_owned(), metadata.jwks_uri).await;
        }
        Err(refused.unwrap_or(SetupFault::Oidc(OidcFault::Missing { name: "issuer" })))
    }

    async fn signer(&self, issuer: String, jwks_uri: Url) -> Result<Signer, SetupFault> {
        let fetched = keys::fetch(self.providers, &jwks_uri).await;
        let (_, document) = fetched.map_err(|why| SetupFault::Keys(jwks_uri.clone(), why))?;
        Ok(Signer { issuer, jwks_uri, keys: Some(KeptKeys { document, fetched_at: self.now }) })
    }

    fn stream(
        &self,
        tenant: TenantId,
        connection: Option<ConnectionId>,
        delivery: SignalDelivery,
        token: Option<sallyport_storage::Digest>,
        settings: &StreamSettings,
    ) -> SignalStream {
        SignalStream {
            id: SignalStreamId::mint(self.rng),
            tenant,
            connection,
            delivery,
            settings: settings.to_json(),
            token,
            created_at: self.now,
            verified_at: None,
            last_event_at: None,
            last_fault: None,
        }
    }

    /// A request to the transmitter's management API.
    async fn managed(&self, request: StreamRequest, token: &Secret) -> Result<ProviderAnswer, SetupFault> {
        let method = match request.method {
            "GET" => Method::GET,
            "DELETE" => Method::DELETE,
            _ => Method::POST,
        };
        self.send(method, request.url, request.body, Some(token)).await
    }

    async fn send(
        &self,
        method: Method,
        url: Url,
        body: Option<Secret>,
        token: Option<&Secret>,
    ) -> Result<ProviderAnswer, SetupFault> {
        let json = HeaderValue::from_static("application/json");
        let mut headers = HeaderMap::from_iter([(header::ACCEPT, json.clone())]);
        if body.is_some() {
            headers.insert(header::CONTENT_TYPE, json);
        }
        if let Some(token) = token {
            let value = HeaderValue::from_str(&format!("Bearer {}", token.expose().trim()));
            let mut value = value.map_err(|_| SetupFault::Token)?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        let body = body.map(|body| Bytes::from(body.expose().to_owned())).unwrap_or_default();
        let request = ProviderRequest { method, url, headers, body, max_bytes: MAX_ANSWER };
        Ok(self.providers.send(request).await?)
    }
}
