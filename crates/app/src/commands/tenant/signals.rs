//! Streams of security events (OpenID Shared Signals), and endpoints for Global Token Revocation. These commands,
//! unlike the others, speak with the identity provider: a stream is made there and here.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use sallyport_admin::tenancy::signals::{self, NewRevocationEndpoint, NewSignals, stream_json};
use sallyport_identity::ssf::{
    settings::OpaqueSubject,
    setup::{VERIFICATION_PATIENCE, push_url},
};
use sallyport_model::{Secret, SignalStreamId, TenantId};
use sallyport_outbound::{guard::SystemResolver, provider::ProviderClient};
use sallyport_storage::{Connection, SignalStream, Tenant};
use serde_json::{Value, json};

use super::{
    answer::{Answer, table},
    connect::Environment,
    opened::{Opened, refused, shown, told},
};

/// How often it is looked whether the verification event has come.
const STEP: Duration = Duration::from_millis(250);

/// `sallyport tenant signals …`
#[derive(Debug, Subcommand)]
pub enum SignalsVerb {
    /// Have a transmitter tell when access should end: makes a stream there and here and has it verified.
    Add(Box<Add>),
    /// Make an endpoint for Global Token Revocation (Okta's Universal Logout).
    RevocationEndpoint(Box<RevocationEndpoint>),
    /// A tenant's streams and endpoints.
    List {
        /// The tenant.
        id: TenantId,
    },
    /// Remove a stream or an endpoint; a stream at the transmitter too.
    Remove {
        /// The tenant.
        id: TenantId,
        /// Its id, as `list` shows it.
        stream: String,
    },
}

/// `sallyport tenant signals add`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("delivery").required(true))]
pub struct Add {
    /// The tenant.
    pub id: TenantId,
    /// The transmitter's issuer, exactly as it writes it.
    #[arg(long, value_name = "ISSUER")]
    pub transmitter: String,
    /// The variable of the environment that holds the token that the transmitter gave for managing streams.
    #[arg(long, value_name = "VAR")]
    pub token_env: String,
    /// The connection whose people it speaks of; without it, all of the tenant's.
    #[arg(long, value_name = "NAME")]
    pub connection: Option<String>,
    /// The transmitter posts events to the gate.
    #[arg(long, group = "delivery")]
    pub push: bool,
    /// The gate fetches events, every five seconds.
    #[arg(long, group = "delivery")]
    pub poll: bool,
    /// What the transmitter shows for the stream.
    #[arg(long, value_name = "TEXT", default_value = "Sallyport")]
    pub description: String,
    /// What an opaque id or account name of the transmitter is here.
    #[arg(long, value_enum, default_value_t = Opaque::Subject)]
    pub opaque_subject: Opaque,
    /// The customer's id at a transmitter that many share: what a subject's `tenant` must be, where it has one.
    #[arg(long, value_name = "ID")]
    pub customer: Option<String>,
}

/// `sallyport tenant signals revocation-endpoint`
#[derive(Debug, Args)]
pub struct RevocationEndpoint {
    /// The tenant.
    pub id: TenantId,
    /// The connection whose people may be named.
    #[arg(long, value_name = "NAME")]
    pub connection: String,
    /// Who signs the callers' tokens, where that is not the connection's own issuer (Okta: the organisation's URL).
    #[arg(long, value_name = "ISSUER")]
    pub issuer: Option<String>,
    /// Make a bearer token instead; for a caller that does not sign.
    #[arg(long, conflicts_with = "issuer")]
    pub bearer: bool,
    /// What an opaque id or account name of the caller is here.
    #[arg(long, value_enum, default_value_t = Opaque::Subject)]
    pub opaque_subject: Opaque,
}

/// What an opaque id or account name is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Opaque {
    /// The person's subject at the connection.
    Subject,
    /// The id that our SCIM server gave her.
    ScimId,
    /// SCIM's `externalId`.
    ExternalId,
    /// SCIM's `userName`.
    UserName,
}

impl Opaque {
    fn kept(self) -> OpaqueSubject {
        match self {
            Self::Subject => OpaqueSubject::Subject,
            Self::ScimId => OpaqueSubject::ScimId,
            Self::ExternalId => OpaqueSubject::ExternalId,
            Self::UserName => OpaqueSubject::UserName,
        }
    }
}

/// Runs one.
pub async fn run(opened: &Opened, verb: &SignalsVerb, environment: Environment<'_>) -> Result<Answer> {
    match verb {
        SignalsVerb::Add(asked) => add(opened, asked, environment).await,
        SignalsVerb::RevocationEndpoint(asked) => revocation_endpoint(opened, asked).await,
        SignalsVerb::List { id } => list(opened, id).await,
        SignalsVerb::Remove { id, stream } => remove(opened, id, stream).await,
    }
}

/// The way to transmitters, as the gate has it.
fn providers(opened: &Opened) -> Result<ProviderClient> {
    let identity = &opened.config().identity;
    Ok(ProviderClient::new(identity.providers(), Arc::new(SystemResolver), identity.provider_roots()?))
}

async fn add(opened: &Opened, asked: &Add, environment: Environment<'_>) -> Result<Answer> {
    let tenant = opened.tenant(&asked.id).await?;
    let connection = match &asked.connection {
        Some(name) => Some(opened.connection(&tenant, name).await?),
        None => None,
    };
    let token = environment(&asked.token_env).filter(|token| !token.trim().is_empty());
    let token = token.ok_or_else(|| {
        refused("--token-env", &format!("the variable {} of the environment is not set", shown(&asked.token_env)))
    })?;
    let new = NewSignals {
        transmitter: asked.transmitter.clone(),
        token: Secret::new(token),
        connection: connection.clone(),
        push: asked.push,
        description: asked.description.clone(),
        opaque: asked.opaque_subject.kept(),
        customer: asked.customer.clone(),
    };
    let providers = providers(opened)?;
    let made = signals::add(opened.tenancy(), &providers, &tenant.id, new).await.map_err(told)?;
    let (asked_for, origin) = (made.asked, opened.origin());
    let stream = match &asked_for {
        Ok(true) => awaited(opened, &made.stream.id).await?.unwrap_or(made.stream),
        _ => made.stream,
    };
    let answer = described(opened, &tenant, connection.as_ref(), &stream)?.remarks(made.remarks);
    Ok(match (asked_for, stream.verified_at) {
        (_, Some(at)) => answer.remark(format!("Verified at {at}: the transmitter reaches the gate.")),
        (Ok(false), None) => answer.remark("The transmitter has no verification endpoint: have it send a test event."),
        (Ok(true), None) => {
            let seconds = VERIFICATION_PATIENCE.as_secs();
            let fault = stream.last_fault.as_deref().map(|fault| format!(" The gate says: {}.", shown(fault)));
            let whether = if asked.push {
                format!("whether {} is reached from the transmitter", push_url(&origin, &stream.id))
            } else {
                "whether the gate reaches the transmitter".to_owned()
            };
            answer.no().remark(format!(
                "Not verified within {seconds} s.{} Look whether the gate runs, and {whether}. The stream stays; \
                 `sallyport tenant signals list {}` says when its event has come.",
                fault.unwrap_or_default(),
                tenant.id
            ))
        }
        (Err(fault), None) => {
            let why = told(fault);
            answer.no().remark(format!("The stream is made, and its verification could not be asked for: {why}."))
        }
    })
}

/// The stream, once the gate has noted its verification event or when nobody should wait any longer.
async fn awaited(opened: &Opened, id: &SignalStreamId) -> Result<Option<SignalStream>> {
    let mut stream = None;
    for _ in 0..VERIFICATION_PATIENCE.as_millis() / STEP.as_millis() {
        stream = opened.store().stream(id).await?;
        if stream.as_ref().is_none_or(|stream| stream.verified_at.is_some()) {
            break;
        }
        tokio::time::sleep(STEP).await;
    }
    Ok(stream)
}

async fn revocation_endpoint(opened: &Opened, asked: &RevocationEndpoint) -> Result<Answer> {
    let tenant = opened.tenant(&asked.id).await?;
    let connection = opened.connection(&tenant, &asked.connection).await?;
    let new = NewRevocationEndpoint {
        connection: connection.clone(),
        issuer: asked.issuer.clone(),
        bearer: asked.bearer,
        opaque: asked.opaque_subject.kept(),
    };
    let providers = providers(opened)?;
    let made = signals::revocation_endpoint(opened.tenancy(), &providers, new).await;
    let (stream, bearer) = made.map_err(told)?;
    let mut answer = described(opened, &tenant, Some(&connection), &stream)?;
    if let Some(bearer) = bearer {
        answer.json["token"] = json!(bearer.expose());
        answer.lines.push(format!("token:      {}", bearer.expose()));
        answer = answer.remark("The token is shown this once.");
    }
    Ok(answer.remark("Enter the URL at the provider as the endpoint for global token revocation."))
}

async fn list(opened: &Opened, id: &TenantId) -> Result<Answer> {
    let tenant = opened.tenant(id).await?;
    let connections = opened.store().connections(id).await?;
    let (mut values, mut rows) = (Vec::new(), Vec::new());
    for stream in opened.store().streams(Some(id)).await? {
        let connection = connections.iter().find(|known| Some(&known.id) == stream.connection.as_ref());
        let value = stream_json(opened.tenancy(), connection, &stream).map_err(told)?;
        let cell = |name: &str| value[name].as_str().map_or_else(|| "-".to_owned(), shown);
        rows.push(
            ["id", "delivery", "issuer", "connection", "verified_at", "last_event_at", "last_fault"].map(cell).to_vec(),
        );
        values.push(value);
    }
    let heads = ["id", "delivery", "issuer", "connection", "verified", "last event", "fault"];
    let answer = Answer::done(Value::Array(values), table(&heads, &rows));
    Ok(if rows.is_empty() { answer.remark(format!("{} has no streams.", tenant.id)) } else { answer })
}

async fn remove(opened: &Opened, id: &TenantId, wanted: &str) -> Result<Answer> {
    opened.tenant(id).await?;
    let stream = signals::find(opened.tenancy(), id, wanted).await.map_err(told)?;
    let providers = providers(opened)?;
    let there = signals::remove(opened.tenancy(), &providers, &stream).await.map_err(told)?;
    let json = json!({ "id": stream.id, "removed": true, "removed_at_transmitter": there.is_none() });
    let answer = Answer::done(json, [format!("{}: removed", stream.id)]);
    Ok(match there {
        None => answer,
        Some(fault) => answer.no().remark(format!("At the transmitter it may still be there: {}.", told(fault))),
    })
}

fn described(
    opened: &Opened,
    tenant: &Tenant,
    connection: Option<&Connection>,
    stream: &SignalStream,
) -> Result<Answer> {
    let json = stream_json(opened.tenancy(), connection, stream).map_err(told)?;
    let mut lines = vec![format!("stream:     {} of {}", stream.id, tenant.id)];
    for (name, title) in
        [("issuer", "issuer"), ("delivery", "delivery"), ("connection", "connection"), ("endpoint", "endpoint")]
    {
        lines.extend(json[name].as_str().map(|value| format!("{:<12}{}", format!("{title}:"), shown(value))));
    }
    Ok(Answer::done(json, lines))
}

#[cfg(test)]
#[path = "signals_tests.rs"]
mod tests;
