//! Streams of security events, and endpoints for token revocation.

use sallyport_identity::ssf::settings::OpaqueSubject;
use sallyport_model::Secret;
use sallyport_storage::{SignalStream, Tenant};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Ask, Problem, reply::Reply};
use crate::{
    Fault,
    tenancy::signals::{self, NewRevocationEndpoint, NewSignals, stream_json},
};

/// What an opaque id or account name is here.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Opaque {
    /// The person's subject at the connection.
    #[default]
    Subject,
    /// The id that our SCIM server gave her.
    ScimId,
    /// SCIM's `externalId`.
    ExternalId,
    /// SCIM's `userName`.
    UserName,
}

impl From<Opaque> for OpaqueSubject {
    fn from(opaque: Opaque) -> Self {
        match opaque {
            Opaque::Subject => Self::Subject,
            Opaque::ScimId => Self::ScimId,
            Opaque::ExternalId => Self::ExternalId,
            Opaque::UserName => Self::UserName,
        }
    }
}

/// How events come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Delivery {
    /// The transmitter posts them to the gate.
    Push,
    /// The gate fetches them, every five seconds.
    Poll,
}

/// A stream to be made at a transmitter.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewStream {
    /// The transmitter's issuer, exactly as it writes it.
    transmitter: String,
    /// The token that the transmitter gave for managing streams. Write-only.
    #[schemars(with = "String")]
    token: Secret,
    /// How events come.
    delivery: Delivery,
    /// The connection whose people it speaks of, by name or id; without it, all of the tenant's.
    connection: Option<String>,
    /// What the transmitter shows for the stream.
    description: Option<String>,
    /// What an opaque id or account name of the transmitter is here.
    #[serde(default)]
    opaque_subject: Opaque,
    /// The customer's id at a transmitter that many share.
    customer: Option<String>,
}

/// An endpoint for Global Token Revocation to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRevocation {
    /// The connection whose people may be named, by name or id.
    connection: String,
    /// Who signs the callers' tokens, where that is not the connection's own issuer.
    issuer: Option<String>,
    /// Whether a bearer token is made instead, for a caller that does not sign.
    #[serde(default)]
    bearer: bool,
    /// What an opaque id or account name of the caller is here.
    #[serde(default)]
    opaque_subject: Opaque,
}

/// `listSignalStreams`
pub(crate) async fn list(ask: Ask, tenant: Tenant) -> Answer {
    let all = ask.tenancy.store().streams(Some(&tenant.id)).await.map_err(Fault::from)?;
    let cut = ask.page()?.cut(all, |stream| stream.id.to_string());
    let mut items = Vec::new();
    for stream in &cut.items {
        items.push(described(&ask, stream).await?);
    }
    Ok(Reply::ok(cut.json(items)))
}

async fn described(ask: &Ask, stream: &SignalStream) -> Result<Value, Problem> {
    let connections = ask.tenancy.store().connections(&stream.tenant).await.map_err(Fault::from)?;
    let connection = connections.iter().find(|known| Some(&known.id) == stream.connection.as_ref());
    Ok(stream_json(&ask.tenancy, connection, stream)?)
}

/// `createSignalStream`
pub(crate) async fn create(ask: Ask, tenant: Tenant) -> Answer {
    let new: NewStream = ask.body()?;
    let connection = match &new.connection {
        Some(name) => Some(ask.tenancy.connection(&tenant.id, name).await?),
        None => None,
    };
    if new.token.expose().trim().is_empty() {
        return Err(Fault::invalid("token", "it is empty", "give the token that the transmitter made").into());
    }
    let asked = NewSignals {
        transmitter: new.transmitter,
        token: new.token,
        connection,
        push: new.delivery == Delivery::Push,
        description: new.description.unwrap_or_else(|| "Sallyport".to_owned()),
        opaque: new.opaque_subject.into(),
        customer: new.customer,
    };
    let made = signals::add(&ask.tenancy, ask.providers(), &tenant.id, asked).await?;
    let mut value = described(&ask, &made.stream).await?;
    let mut remarks = made.remarks;
    match made.asked {
        Ok(true) => remarks.push("Its verification event was asked for: `verified_at` says when it came.".to_owned()),
        Ok(false) => {
            remarks.push("The transmitter has no verification endpoint: have it send a test event.".to_owned())
        }
        Err(fault) => remarks.push(format!("Its verification event could not be asked for: {fault}.")),
    }
    value["remarks"] = json!(remarks);
    Ok(Reply::created(value))
}

/// `createRevocationEndpoint`
pub(crate) async fn endpoint(ask: Ask, tenant: Tenant) -> Answer {
    let new: NewRevocation = ask.body()?;
    let connection = ask.tenancy.connection(&tenant.id, &new.connection).await?;
    let (issuer, bearer) = (new.issuer, new.bearer);
    let asked = NewRevocationEndpoint { connection, issuer, bearer, opaque: new.opaque_subject.into() };
    let (stream, token) = signals::revocation_endpoint(&ask.tenancy, ask.providers(), asked).await?;
    let mut value = described(&ask, &stream).await?;
    if let Some(token) = token {
        value["token"] = json!(token.expose());
    }
    Ok(Reply::created(value))
}

/// `getSignalStream`
pub(crate) async fn get(ask: Ask, tenant: Tenant) -> Answer {
    let stream = signals::find(&ask.tenancy, &tenant.id, ask.path("stream")).await?;
    Ok(Reply::ok(described(&ask, &stream).await?))
}

/// `removeSignalStream`
pub(crate) async fn remove(ask: Ask, tenant: Tenant) -> Answer {
    let stream = signals::find(&ask.tenancy, &tenant.id, ask.path("stream")).await?;
    let fault = signals::remove(&ask.tenancy, ask.providers(), &stream).await?;
    Ok(Reply::ok(json!({
        "id": stream.id, "removed": true, "removed_at_transmitter": fault.is_none(),
        "fault": fault.map(|fault| fault.to_string()),
    })))
}
