//! Who becomes whom: a mapping that can work, its change, its preview.

use std::collections::BTreeMap;

use sallyport_identity::{
    Profile, preview,
    settings::{ConnectionSettings, Mapping},
};
use sallyport_model::TenantId;
use sallyport_oauth::oidc::PresetId;
use sallyport_storage::{Connection, Link};
use serde_json::{Value, json};

use super::{Tenancy, text};
use crate::Fault;

/// Characters of a claim's or a group's name.
const MOST_NAME: usize = 256;
/// Names in one list.
const MOST_NAMES: usize = 500;

/// Claims or attributes by name, each with its values.
pub type Asserted = BTreeMap<String, Vec<String>>;

/// What a connection begins with; without a preset it speaks SAML.
pub fn standard(preset: Option<PresetId>) -> Mapping {
    let Some(preset) = preset else { return Mapping::saml() };
    Mapping { groups: vec![preset.preset().groups_claim.to_owned()], ..Mapping::default() }
}

/// What the settings began with.
pub fn standard_of(settings: &ConnectionSettings) -> Mapping {
    match settings {
        ConnectionSettings::Oidc(oidc) => standard(Some(PresetId::named(&oidc.preset).unwrap_or(PresetId::Standard))),
        ConnectionSettings::Saml(_) => standard(None),
    }
}

/// The mapping with names trimmed and each of them once.
///
/// # Errors
/// When a name cannot be one, a list is too long, or nobody new could ever sign in.
pub fn checked(mut mapping: Mapping) -> Result<Mapping, Fault> {
    for (field, list) in [
        ("mapping.admitted", &mut mapping.admitted),
        ("mapping.administrators", &mut mapping.administrators),
        ("mapping.email", &mut mapping.email),
        ("mapping.name", &mut mapping.name),
        ("mapping.groups", &mut mapping.groups),
    ] {
        *list = names(field, list)?;
    }
    mapping.rename_groups = renamed(mapping.rename_groups)?;
    if let Some(claim) = &mut mapping.email_verified {
        *claim = text("mapping.email_verified", claim, MOST_NAME)?;
    }
    if let Some(scim) = &mut mapping.scim {
        scim.claim = text("mapping.scim", &scim.claim, MOST_NAME)?;
    }
    if !mapping.create && mapping.scim.is_none() && !mapping.link_by_email {
        let what = "nobody new could ever sign in";
        let remedy = "with it, say how those who are there are found: by SCIM or by verified address";
        return Err(Fault::invalid("mapping.create", what, remedy));
    }
    Ok(mapping)
}

fn names(field: &'static str, given: &[String]) -> Result<Vec<String>, Fault> {
    if given.len() > MOST_NAMES {
        return Err(Fault::invalid(field, format!("it has more than {MOST_NAMES} names"), "name fewer"));
    }
    let mut names = Vec::new();
    for name in given {
        let name = text(field, name, MOST_NAME)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

fn renamed(given: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Fault> {
    let field = "mapping.rename_groups";
    if given.len() > MOST_NAMES {
        return Err(Fault::invalid(field, format!("it has more than {MOST_NAMES} names"), "name fewer"));
    }
    let mut all = BTreeMap::new();
    for (from, to) in given {
        let (from, to) = (text(field, &from, MOST_NAME)?, text(field, &to, MOST_NAME)?);
        if let Some(other) = all.insert(from.clone(), to.clone())
            && other != to
        {
            let what = format!("`{from}` would be called both `{other}` and `{to}`");
            return Err(Fault::invalid(field, what, "choose one"));
        }
    }
    Ok(all)
}

/// A mapping before and after, and the connection as it is kept now.
#[derive(Debug, Clone)]
pub struct Remapped {
    /// As it was.
    pub before: Mapping,
    /// As it is.
    pub after: Mapping,
    /// The connection.
    pub connection: Connection,
}

/// Gives the connection another mapping, if it still is `was`.
///
/// # Errors
/// When the mapping cannot work, or [`Code::Stale`](crate::Code) when somebody was faster.
pub async fn set(tenancy: &Tenancy, was: Connection, mapping: Mapping) -> Result<Remapped, Fault> {
    let mut settings = ConnectionSettings::of(&was)?;
    let before = settings.mapping().clone();
    let after = checked(mapping)?;
    if before == after {
        return Ok(Remapped { before, after, connection: was });
    }
    *settings.mapping_mut() = after.clone();
    let connection = Connection { settings: settings.to_json(), changed_at: tenancy.now(), ..was.clone() };
    let facts = json!({ "connection": was.id, "before": before, "after": after });
    tenancy.note("tenant.set_mapping", Some(&was.tenant), facts).await?;
    if !tenancy.store().exchange_connection(&was, &connection).await? {
        return Err(Fault::stale());
    }
    Ok(Remapped { before, after, connection })
}

/// What a mapping makes of what somebody asserted.
#[derive(Debug, Clone)]
pub struct Preview {
    /// What was asserted.
    pub asserted: Asserted,
    /// Where it comes from, for programs.
    pub source: Value,
    /// What becomes of it.
    pub profile: Profile,
    /// The mapping.
    pub mapping: Mapping,
}

/// What the mapping makes of `asserted`, or of what a provider asserted last: about one person, or about anybody.
///
/// # Errors
/// When nobody has signed in by it yet.
pub async fn preview_of(
    tenancy: &Tenancy,
    connection: &Connection,
    asserted: Option<(Value, Asserted)>,
    person: Option<&sallyport_storage::Person>,
) -> Result<Preview, Fault> {
    let settings = ConnectionSettings::of(connection)?;
    let (source, asserted) = match asserted {
        Some(given) => given,
        None => {
            let link = last_seen(tenancy, &connection.tenant, connection, person).await?;
            let asserted = serde_json::from_str(&link.asserted).map_err(|_| Fault::Internal("reading a link"))?;
            (json!({ "user": link.user, "at": link.last_seen_at.to_string() }), asserted)
        }
    };
    let profile = preview(settings.mapping(), &asserted);
    Ok(Preview { asserted, source, profile, mapping: settings.mapping().clone() })
}

/// The last that was asserted at this connection.
async fn last_seen(
    tenancy: &Tenancy,
    tenant: &TenantId,
    connection: &Connection,
    person: Option<&sallyport_storage::Person>,
) -> Result<Link, Fault> {
    let people = match person {
        Some(person) => vec![person.clone()],
        None => tenancy.store().people(tenant).await?,
    };
    let mut last: Option<Link> = None;
    for person in people {
        for link in tenancy.store().links(&person.id).await? {
            let later = last.as_ref().is_none_or(|last| last.last_seen_at < link.last_seen_at);
            if link.connection == connection.id && later {
                last = Some(link);
            }
        }
    }
    last.ok_or_else(|| {
        let who = person.map_or_else(|| "nobody has".to_owned(), |person| format!("`{}` has not", person.display_name));
        let what = format!("{who} signed in by {} yet", connection.name);
        let field = if person.is_some() { "user" } else { "asserted" };
        Fault::invalid(field, what, "try it with claims or attributes of your own")
    })
}

/// Claims of a JSON object, and the names of those that are neither text nor a list of texts.
pub fn asserted_of(members: serde_json::Map<String, Value>) -> (Asserted, Vec<String>) {
    let mut asserted = BTreeMap::new();
    let mut left_out = Vec::new();
    for (name, value) in members {
        match texts(&value) {
            Some(texts) => drop(asserted.insert(name, texts)),
            None => left_out.push(name),
        }
    }
    (asserted, left_out)
}

fn texts(value: &Value) -> Option<Vec<String>> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    };
    match value {
        Value::Array(all) => all.iter().map(one).collect(),
        other => one(other).map(|text| vec![text]),
    }
}
