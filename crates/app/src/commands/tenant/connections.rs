//! A tenant's connections: what they are, what to enter at the provider, switching them, rolling keys over.

use anyhow::Result;
use sallyport_admin::tenancy::connections::{self, listed_json, public_key, step_word, urls};
use sallyport_identity::settings::{ConnectionSettings, Demands};
use sallyport_model::TenantId;
use sallyport_oauth::oidc::PresetId;
use sallyport_storage::Connection;
use serde_json::{Value, json};

use super::{
    answer::Answer,
    arguments::{ConnectionVerb, KeyStep},
    connect::of,
    mapping::mapping_lines,
    opened::{Opened, shown, told},
};

/// `sallyport tenant connections`
pub async fn list(opened: &Opened, id: &TenantId) -> Result<Answer> {
    let tenant = opened.tenant(id).await?;
    let mut values = Vec::new();
    let mut lines = Vec::new();
    for connection in opened.store().connections(id).await? {
        let value = listed_json(opened.tenancy(), &tenant, &connection).await.map_err(told)?;
        match ConnectionSettings::of(&connection) {
            Ok(settings) => {
                lines.extend(connection_lines(opened, &connection, &settings)?);
                lines.push(format!(
                    "  if the provider pushes nothing, access ends within {} s: {}",
                    value["worst_case_seconds"],
                    value["worst_case"].as_str().unwrap_or_default()
                ));
            }
            Err(error) => lines.push(format!("{}: {error}", shown(&connection.name))),
        }
        values.push(value);
    }
    let none = values
        .is_empty()
        .then(|| format!("{id} has none; `sallyport tenant connect-oidc {id}` or `connect-saml {id}` makes one"));
    Ok(Answer::done(Value::Array(values), lines).remarks(none))
}

/// Switches or removes one.
pub async fn run(opened: &Opened, verb: &ConnectionVerb) -> Result<Answer> {
    match verb {
        ConnectionVerb::Enable { id, name } => switch(opened, id, name, true).await,
        ConnectionVerb::Disable { id, name } => switch(opened, id, name, false).await,
        ConnectionVerb::Remove { id, name } => remove(opened, id, name).await,
        ConnectionVerb::SamlKeys { id, name, step } => keys(opened, id, name, *step).await,
    }
}

async fn switch(opened: &Opened, id: &TenantId, name: &str, on: bool) -> Result<Answer> {
    let tenant = opened.tenant(id).await?;
    let connection = opened.connection(&tenant, name).await?;
    let done = connections::switch(opened.tenancy(), connection, on).await.map_err(told)?;
    let (connection, count) = (&done.connection, done.sessions);
    let mut json = json!({ "id": connection.id, "name": connection.name, "enabled": on, "was_enabled": done.was });
    let of = of(id, connection);
    if !on {
        json["sessions"] = json!(count);
        return Ok(Answer::done(json, [format!("{of}: off; {count} sessions that were begun by it have ended")]));
    }
    let line = if done.was { format!("{of}: it was on already") } else { format!("{of}: on") };
    Ok(Answer::done(json, [line]))
}

async fn remove(opened: &Opened, id: &TenantId, name: &str) -> Result<Answer> {
    let tenant = opened.tenant(id).await?;
    let connection = opened.connection(&tenant, name).await?;
    let count = connections::remove(opened.tenancy(), &connection).await.map_err(told)?;
    let json = json!({ "id": connection.id, "name": connection.name, "removed": true, "sessions": count });
    let line = format!("{}: removed; {count} sessions that were begun by it have ended", of(id, &connection));
    let remark = "Who came by it alone is nobody's at another connection: people are made anew there, unless SCIM or \
                  --link-by-email finds them.";
    Ok(Answer::done(json, [line]).remark(remark))
}

/// One step of a roll-over of our keys at a SAML provider.
async fn keys(opened: &Opened, id: &TenantId, name: &str, step: KeyStep) -> Result<Answer> {
    let tenant = opened.tenant(id).await?;
    let connection = opened.connection(&tenant, name).await?;
    let step = step.step();
    let metadata = connections::roll_keys(opened.tenancy(), connection.clone(), step).await.map_err(told)?;
    let word = step_word(step);
    let line = format!("{}: {word} is done", of(id, &connection));
    let json = json!({ "id": connection.id, "name": connection.name, "step": word, "metadata": metadata });
    let remark = "Before the next step, wait until the provider has read our metadata again.";
    Ok(Answer::done(json, [line]).remark(remark))
}

/// A connection for people.
pub fn connection_lines(
    opened: &Opened,
    connection: &Connection,
    settings: &ConnectionSettings,
) -> Result<Vec<String>> {
    let state = if connection.enabled { "on" } else { "off" };
    let mut lines = Vec::new();
    let mut key = None;
    let demands = match settings {
        ConnectionSettings::Oidc(oidc) => {
            let title = PresetId::named(&oidc.preset).map_or("OpenID Connect", |preset| preset.preset().title);
            lines.push(format!("{}: {state}, {title}, {}", shown(&connection.name), shown(&oidc.issuer)));
            lines.push(format!("  client id: {}", shown(&oidc.client_id)));
            lines.extend(oidc.organisation.iter().map(|customer| format!("  organisation: {}", shown(customer))));
            key = public_key(oidc).map_err(told)?;
            &oidc.demands
        }
        ConnectionSettings::Saml(saml) => {
            lines.push(format!("{}: {state}, SAML, {}", shown(&connection.name), shown(&saml.idp_entity_id)));
            let signed = if saml.metadata_certificate.is_some() { ", signed ones only" } else { "" };
            let source = saml.metadata_url.as_ref().map_or_else(|| "a file".to_owned(), |url| shown(url.as_str()));
            lines.push(format!("  metadata: {source}{signed}"));
            let unsolicited = if saml.allow_unsolicited { "yes" } else { "no" };
            lines.push(format!("  may sign people in without being asked: {unsolicited}"));
            &saml.demands
        }
    };
    lines.push(format!("  id: {}", connection.id));
    lines.push(format!("  demanded: {}", demanded(demands)));
    lines.push("  enter at the provider:".to_owned());
    let urls = urls(opened.tenancy(), &connection.id, settings);
    lines.extend(urls.into_iter().map(|(what, _, url)| format!("    {what}: {url}")));
    match key {
        Some((_, Value::String(certificate))) => {
            lines.push("    certificate:".to_owned());
            lines.extend(certificate.lines().map(str::to_owned));
        }
        Some((_, jwk)) => lines.push(format!("    public key (JWK): {jwk}")),
        None => {}
    }
    lines.push("  who becomes whom:".to_owned());
    lines.extend(mapping_lines(settings.mapping()).into_iter().map(|line| format!("  {line}")));
    Ok(lines)
}

fn demanded(demands: &Demands) -> String {
    let acr = (!demands.acr.is_empty()).then(|| format!("one of {}", shown(&demands.acr.join(", "))));
    let stands =
        if demands.mfa_acr.is_empty() { String::new() } else { format!(" (or {})", demands.mfa_acr.join(", ")) };
    let mfa = demands.mfa.then(|| format!("more than one factor{}", shown(&stands)));
    let age = demands.max_age_seconds.map(|seconds| format!("not longer ago than {seconds} s"));
    let all: Vec<String> = acr.into_iter().chain(mfa).chain(age).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join("; ") }
}
