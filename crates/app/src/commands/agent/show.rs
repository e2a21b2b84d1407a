//! The inventory.

use anyhow::Result;
use sallyport_identity::agents::{Listed, Risk};
use sallyport_model::{TenantId, Timestamp};
use sallyport_storage::AgentBounds;
use serde_json::{Value, json};

use super::{Desk, credential, said};
use crate::commands::tenant::{
    answer::{Answer, table},
    opened::{refused, shown},
};

/// Every word that `--risk` takes.
const RISKS: [Risk; 8] = [
    Risk::NoOwner,
    Risk::OwnerGone,
    Risk::Secret,
    Risk::OldCredential,
    Risk::EndsSoon,
    Risk::NoCredential,
    Risk::NeverUsed,
    Risk::UnusedScopes,
];

/// `sallyport agent list`
pub(super) async fn list(desk: &Desk<'_>, tenant: &TenantId, risk: Option<&str>) -> Result<Answer> {
    desk.opened.tenant(tenant).await?;
    let wanted = match risk {
        None => None,
        Some(word) => Some(RISKS.into_iter().find(|risk| risk.word() == word).ok_or_else(|| {
            let words: Vec<_> = RISKS.iter().map(|risk| risk.word()).collect();
            refused("--risk", &format!("`{}` is no risk; there are: {}", shown(word), words.join(", ")))
        })?),
    };
    let mut values = Vec::new();
    let mut rows = Vec::new();
    for agent in desk.opened.store().agents(tenant).await? {
        let listed = desk.rules().listed(agent).await.map_err(said)?;
        if wanted.is_some_and(|wanted| !listed.risks.contains(&wanted)) {
            continue;
        }
        rows.push(row(&listed, desk.now));
        values.push(listed_json(&listed, desk.now));
    }
    let heads = ["agent", "name", "owner", "state", "last used", "credential ends", "risks"];
    Ok(Answer::done(Value::Array(values), table(&heads, &rows)))
}

fn row(listed: &Listed, now: Timestamp) -> Vec<String> {
    let agent = &listed.agent;
    let risks: Vec<_> = listed.risks.iter().map(|risk| risk.word()).collect();
    vec![
        agent.id.to_string(),
        shown(&agent.name),
        listed.owner.as_ref().map_or_else(|| "nobody".to_owned(), |owner| shown(&owner.called)),
        if agent.suspended { "suspended" } else { "active" }.to_owned(),
        at(agent.last_used_at, "never"),
        listed.newest_living(now).map_or_else(|| "-".to_owned(), |one| one.expires_at.to_string()),
        if risks.is_empty() { "-".to_owned() } else { risks.join(", ") },
    ]
}

fn at(time: Option<Timestamp>, otherwise: &str) -> String {
    time.map_or_else(|| otherwise.to_owned(), |at| at.to_string())
}

/// `sallyport agent show`
pub(super) async fn show(desk: &Desk<'_>, id: &str) -> Result<Answer> {
    let agent = desk.agent(id).await?;
    let listed = desk.rules().listed(agent).await.map_err(said)?;
    let agent = &listed.agent;
    let owner = listed.owner.as_ref().map_or_else(
        || "nobody".to_owned(),
        |owner| format!("{}{}", shown(&owner.called), if owner.living { "" } else { ", who is gone or switched off" }),
    );
    let mut lines = vec![
        format!("{} ({}) of {}", shown(&agent.name), agent.id, agent.tenant),
        format!("  {}", if agent.suspended { "suspended: it gets no token" } else { "active" }),
        format!("  owner: {owner}"),
        format!("  purpose: {}", shown(&agent.purpose)),
        format!("  servers: {}", agent.resources.join(", ")),
        format!("  since {}, last used {}", agent.created_at, at(agent.last_used_at, "never")),
    ];
    lines.extend(bounds_lines(&agent.bounds));
    let risks: Vec<_> = listed.risks.iter().map(|risk| risk.word()).collect();
    if !risks.is_empty() {
        lines.push(format!("  risks: {}", risks.join(", ")));
    }
    lines.push(String::new());
    let scopes: Vec<Vec<String>> = listed
        .scopes
        .iter()
        .map(|held| {
            let idle = held.unused_since.map_or_else(|| "-".to_owned(), |since| format!("since {since}"));
            vec![held.scope.to_string(), at(held.last_used_at, "never"), idle]
        })
        .collect();
    lines.extend(table(&["scope", "last used", "unused"], &scopes));
    lines.push(String::new());
    lines.extend(credential::lines(&listed.credentials, desk.now));
    Ok(Answer::done(listed_json(&listed, desk.now), lines))
}

fn bounds_lines(bounds: &AgentBounds) -> Vec<String> {
    let mut lines = Vec::new();
    if !bounds.networks.is_empty() {
        lines.push(format!("  networks: {}", bounds.networks.join(", ")));
    }
    if let Some(hours) = &bounds.hours {
        let clock = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        let names = ["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"];
        let days = hours.days.iter().filter_map(|day| names.get(usize::from(*day).wrapping_sub(1)).copied());
        let days = days.collect::<Vec<_>>().join(",");
        lines.push(format!("  hours: {days} {}-{} {}", clock(hours.from), clock(hours.to), shown(&hours.zone)));
    }
    lines.extend(bounds.ends_at.map(|end| format!("  ends: {end}")));
    lines.extend(bounds.token_seconds.map(|seconds| format!("  tokens: at most {seconds} s")));
    if bounds.sender_bound {
        lines.push("  tokens: bound to a key".to_owned());
    }
    if !bounds.redirect_uris.is_empty() {
        lines.push(format!("  people may let it act for them: {}", shown(&bounds.redirect_uris.join(" "))));
    }
    if !bounds.delegates.is_empty() {
        let delegates: Vec<_> = bounds.delegates.iter().map(|id| id.as_str()).collect();
        lines.push(format!("  agents that may act for it: {}", shown(&delegates.join(", "))));
    }
    lines.extend(bounds.successor.as_ref().map(|id| format!("  when its owner leaves: it passes to {id}")));
    if bounds.personal {
        lines.push("  made by a person for herself".to_owned());
    }
    lines
}

/// `{"id", "client_id", …, "credentials": […], "unused_scopes": […], "risks": […]}`
pub(super) fn listed_json(listed: &Listed, now: Timestamp) -> Value {
    let agent = &listed.agent;
    let scopes = listed.scopes.iter().map(|held| {
        json!({
            "scope": held.scope,
            "last_used_at": held.last_used_at.map(|at| at.to_string()),
            "unused_since": held.unused_since.map(|at| at.to_string()),
        })
    });
    let unused = listed
        .scopes
        .iter()
        .filter_map(|held| held.unused_since.map(|since| json!({ "scope": held.scope, "since": since.to_string() })));
    json!({
        "id": agent.id,
        "client_id": agent.client,
        "tenant": agent.tenant,
        "name": agent.name,
        "owner": listed.owner.as_ref().map(|owner| json!({ "id": owner.id, "called": owner.called, "living": owner.living })),
        "purpose": agent.purpose,
        "scopes": scopes.collect::<Vec<_>>(),
        "servers": agent.resources,
        "bounds": agent.bounds,
        "suspended": agent.suspended,
        "created_at": agent.created_at.to_string(),
        "last_used_at": agent.last_used_at.map(|at| at.to_string()),
        "credentials": listed.credentials.iter().map(|one| credential::credential_json(one, now)).collect::<Vec<_>>(),
        "unused_scopes": unused.collect::<Vec<_>>(),
        "risks": listed.risks.iter().map(|risk| risk.word()).collect::<Vec<_>>(),
    })
}
