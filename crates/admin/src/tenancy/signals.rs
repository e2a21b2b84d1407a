//! Streams of security events (OpenID Shared Signals), and endpoints for Global Token Revocation. These operations,
//! unlike the others, speak with the identity provider: a stream is made there and here.

use sallyport_identity::{
    settings::ConnectionSettings,
    ssf::{
        settings::{OpaqueSubject, StreamSettings},
        setup::{Added, NewEndpoint, NewStream, SetupFault, SignalSetup, push_url, revocation_url},
    },
};
use sallyport_model::{Secret, TenantId};
use sallyport_oauth::signals::{TransmitterMetadata, transmitter::DefaultSubjects};
use sallyport_outbound::provider::ProviderClient;
use sallyport_storage::{Connection, SignalDelivery, SignalStream};
use serde_json::{Value, json};

use super::{Tenancy, present, text};
use crate::Fault;

/// Characters of a description.
const MOST_DESCRIPTION: usize = 200;
/// Characters of an identifier at a transmitter.
const MOST_IDENTIFIER: usize = 512;

/// A stream to be made at a transmitter.
pub struct NewSignals {
    /// The transmitter's issuer, exactly as it writes it.
    pub transmitter: String,
    /// The token that the transmitter gave for managing streams.
    pub token: Secret,
    /// The connection whose people it speaks of; without it, all of the tenant's.
    pub connection: Option<Connection>,
    /// Whether the transmitter posts events to the gate; otherwise the gate fetches them.
    pub push: bool,
    /// What the transmitter shows for the stream.
    pub description: String,
    /// What an opaque id or account name of the transmitter is here.
    pub opaque: OpaqueSubject,
    /// The customer's id at a transmitter that many share.
    pub customer: Option<String>,
}

/// A stream that was made.
pub struct Made {
    /// As it is kept.
    pub stream: SignalStream,
    /// Whether its verification event was asked for: no where the transmitter has no such endpoint.
    pub asked: Result<bool, Fault>,
    /// What an administrator should know of what the transmitter offers.
    pub remarks: Vec<String>,
}

fn setup<'a>(tenancy: &'a Tenancy, providers: &'a ProviderClient) -> SignalSetup<'a> {
    SignalSetup { providers, store: tenancy.store(), rng: tenancy.rng(), now: tenancy.now(), origin: tenancy.origin() }
}

/// What went wrong at the transmitter, with what to do. What lies at which address is the operator's to know: a tenant
/// that names one address after another must not learn from the answers what there is in the operator's networks.
fn told(tenancy: &Tenancy, fault: SetupFault) -> Fault {
    match fault {
        SetupFault::Store(error) => Fault::Store(error),
        SetupFault::Identity(error) => Fault::Identity(error),
        SetupFault::Provider(_) | SetupFault::NoMetadata(..) | SetupFault::Keys(..) if !tenancy.by_operator() => {
            tracing::warn!(error = %fault, "what a tenant's administrator named cannot be reached");
            let remedy = "check the issuer; the operator can look into the log of the gate, and whether \
                          `identity.provider_networks` and `identity.provider_ca` allow it";
            let what = "it, or what its metadata name, cannot be reached".to_owned();
            Fault::Elsewhere { what, remedy: Some(remedy.to_owned()) }
        }
        fault => Fault::Elsewhere { what: fault.to_string(), remedy: fault.remedy().map(str::to_owned) },
    }
}

/// Makes a stream there and here, and asks for its verification event.
///
/// # Errors
/// When the transmitter does not do its part, or the record or the store fails.
pub async fn add(
    tenancy: &Tenancy,
    providers: &ProviderClient,
    tenant: &TenantId,
    asked: NewSignals,
) -> Result<Made, Fault> {
    let transmitter = text("transmitter", &asked.transmitter, MOST_IDENTIFIER)?;
    let new = NewStream {
        tenant: tenant.clone(),
        connection: asked.connection.as_ref().map(|connection| connection.id.clone()),
        token: asked.token,
        push: asked.push,
        description: text("description", &asked.description, MOST_DESCRIPTION)?,
        opaque: asked.opaque,
        customer: asked.customer.as_deref().map(|id| text("customer", id, MOST_IDENTIFIER)).transpose()?,
    };
    let setup = setup(tenancy, providers);
    let facts = json!({
        "transmitter": transmitter, "connection": new.connection, "delivery": if asked.push { "push" } else { "poll" },
    });
    // Before the first request to whatever was named.
    tenancy.note("tenant.signals.add", Some(tenant), facts).await?;
    let metadata = setup.metadata(&transmitter).await.map_err(|fault| told(tenancy, fault))?;
    let added = setup.add(&metadata, new).await.map_err(|fault| told(tenancy, fault))?;
    let asked = setup.ask_verification(&metadata, &added.stream).await.map_err(|fault| told(tenancy, fault));
    let remarks = remarks(&metadata, &added);
    Ok(Made { stream: added.stream, asked, remarks })
}

fn remarks(metadata: &TransmitterMetadata, added: &Added) -> Vec<String> {
    let mut all = Vec::new();
    let missing = &added.configuration.events_missing;
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().filter_map(|event| event.rsplit('/').next()).collect();
        all.push(format!("The transmitter will not send: {}.", names.join(", ")));
    }
    if metadata.default_subjects == DefaultSubjects::None {
        let what = "At this transmitter a new stream is about nobody: add the people, or everybody, to it there.";
        all.push(what.to_owned());
    }
    all
}

/// An endpoint for Global Token Revocation to be made.
pub struct NewRevocationEndpoint {
    /// The connection whose people may be named.
    pub connection: Connection,
    /// Who signs the callers' tokens, where that is not the connection's own issuer.
    pub issuer: Option<String>,
    /// Whether a bearer token is made instead, for a caller that does not sign.
    pub bearer: bool,
    /// What an opaque id or account name of the caller is here.
    pub opaque: OpaqueSubject,
}

/// Makes an endpoint for Global Token Revocation. Its bearer token, where it has one, is shown this once.
///
/// # Errors
/// When nobody signs, the provider does not do its part, or the record or the store fails.
pub async fn revocation_endpoint(
    tenancy: &Tenancy,
    providers: &ProviderClient,
    asked: NewRevocationEndpoint,
) -> Result<(SignalStream, Option<Secret>), Fault> {
    let connection = asked.connection;
    let (own, client_id) = match ConnectionSettings::of(&connection)? {
        ConnectionSettings::Oidc(oidc) => (Some(oidc.issuer.as_str().to_owned()), Some(oidc.client_id)),
        ConnectionSettings::Saml(_) => (None, None),
    };
    let issuer = if asked.bearer { None } else { asked.issuer.or(own) };
    if issuer.is_none() && !asked.bearer {
        let what = "a SAML connection has no issuer of tokens";
        return Err(Fault::invalid("issuer", what, "say who signs them, or have a bearer token made"));
    }
    let new = NewEndpoint {
        tenant: connection.tenant.clone(),
        connection: Some(connection.id.clone()),
        client_id: issuer.as_ref().and(client_id),
        issuer,
        opaque: asked.opaque,
    };
    let facts = json!({ "connection": connection.id, "issuer": new.issuer });
    tenancy.note("tenant.signals.revocation_endpoint", Some(&connection.tenant), present(facts)).await?;
    setup(tenancy, providers).revocation_endpoint(new).await.map_err(|fault| told(tenancy, fault))
}

/// A tenant's stream by its id.
///
/// # Errors
/// [`Code::NotFound`](crate::Code).
pub async fn find(tenancy: &Tenancy, tenant: &TenantId, wanted: &str) -> Result<SignalStream, Fault> {
    let streams = tenancy.store().streams(Some(tenant)).await?;
    streams
        .into_iter()
        .find(|stream| stream.id.as_str() == wanted)
        .ok_or_else(|| Fault::not_found("stream", format!("{tenant} has no stream `{wanted}`"), "list its streams"))
}

/// Removes a stream there, then here. What went wrong there is returned; here it is gone all the same.
///
/// # Errors
/// When the record or the store fails.
pub async fn remove(
    tenancy: &Tenancy,
    providers: &ProviderClient,
    stream: &SignalStream,
) -> Result<Option<Fault>, Fault> {
    tenancy.note("tenant.signals.remove", Some(&stream.tenant), json!({ "stream": stream.id })).await?;
    Ok(setup(tenancy, providers)
        .remove(stream)
        .await
        .map_err(|fault| told(tenancy, fault))?
        .map(|fault| told(tenancy, fault)))
}

/// A stream for programs; no token is in it.
///
/// # Errors
/// When what is kept about it cannot be read.
pub fn stream_json(tenancy: &Tenancy, connection: Option<&Connection>, stream: &SignalStream) -> Result<Value, Fault> {
    let settings = StreamSettings::of(stream)?;
    let endpoint = match stream.delivery {
        SignalDelivery::Push => Some(push_url(tenancy.origin(), &stream.id)),
        SignalDelivery::Poll => settings.poll_endpoint.as_ref().map(|endpoint| endpoint.to_string()),
        SignalDelivery::TokenRevocation => Some(revocation_url(tenancy.origin(), &stream.id)),
    };
    Ok(present(json!({
        "id": stream.id,
        "delivery": stream.delivery,
        "issuer": settings.signer.map(|signer| signer.issuer),
        "connection": connection.map(|connection| &connection.name),
        "endpoint": endpoint,
        "stream_id": settings.stream_id,
        "audience": settings.audience,
        "events": settings.events,
        "client_id": settings.client_id,
        "created_at": stream.created_at.to_string(),
        "verified_at": stream.verified_at.map(|at| at.to_string()),
        "last_event_at": stream.last_event_at.map(|at| at.to_string()),
        "last_fault": stream.last_fault,
    })))
}
