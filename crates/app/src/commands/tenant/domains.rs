//! E-mail domains: claimed, proved, given up.

use std::net::SocketAddr;

use anyhow::Result;
use sallyport_admin::{
    Code, Fault,
    tenancy::domains::{self, By, domain_json, record_name, record_value},
};
use sallyport_model::TenantId;
use sallyport_outbound::dns::Dns;
use sallyport_storage::{Domain, DomainProof};
use serde_json::{Value, json};

use super::{
    answer::{Answer, table},
    arguments::DomainVerb,
    opened::{Opened, refused, shown, told},
};

/// Runs one.
pub async fn run(opened: &Opened, verb: &DomainVerb) -> Result<Answer> {
    match verb {
        DomainVerb::Add { id, domain, connection } => add(opened, id, domain, connection.as_deref()).await,
        DomainVerb::Verify { id, domain, by_operator, name_server } => {
            let by = if *by_operator { By::Operator } else { By::Record(Box::new(dns(*name_server)?)) };
            verify(opened, id, domain, by).await
        }
        DomainVerb::List { id } => list(opened, id).await,
        DomainVerb::Remove { id, domain } => remove(opened, id, domain).await,
    }
}

fn dns(server: Option<SocketAddr>) -> Result<Dns> {
    Ok(match server {
        Some(address) => Dns::at(address)?,
        None => Dns::system()?,
    })
}

async fn json_of(opened: &Opened, domain: &Domain) -> Result<Value> {
    domain_json(opened.tenancy(), domain).await.map_err(told)
}

async fn add(opened: &Opened, id: &TenantId, given: &str, connection: Option<&str>) -> Result<Answer> {
    opened.tenant(id).await?;
    let claimed = domains::claim(opened.tenancy(), id, given, connection).await.map_err(told)?;
    let (domain, name) = (&claimed.domain, &claimed.domain.name);
    let answer = Answer::done(json_of(opened, domain).await?, [record(domain)]);
    Ok(match claimed.owner {
        Some(owner) => answer.remark(format!(
            "{owner} has proved {name}: here it can be verified only after `sallyport tenant domain remove {owner} {name}`."
        )),
        None if domain.proved.is_some() => answer.remark(format!("{name} is proved.")),
        None => answer.remark(format!(
            "Nobody is sent to {id} by an address of {name} before it is verified: `sallyport tenant domain verify {id} \
             {name}`."
        )),
    })
}

async fn verify(opened: &Opened, id: &TenantId, given: &str, by: By) -> Result<Answer> {
    opened.tenant(id).await?;
    let proved = match domains::prove(opened.tenancy(), id, given, by).await {
        Ok(proved) => proved,
        Err(fault) => return Err(refusal(opened, id, given, fault).await?),
    };
    let name = &proved.domain.name;
    let line = match proved.already {
        true => format!("{name}: it was proved already"),
        false => format!("{name}: proved; its people sign in at {id}'s provider"),
    };
    Ok(Answer::done(json_of(opened, &proved.domain).await?, [line]))
}

/// Whoever runs this may know which tenant is in the way.
async fn refusal(opened: &Opened, id: &TenantId, given: &str, fault: Fault) -> Result<anyhow::Error> {
    let in_the_way = matches!(&fault, Fault::Refused(refusal) if refusal.code == Code::Conflict);
    if in_the_way
        && let Ok(name) = domains::normal(given)
        && let Some(owner) = opened.store().domain(&name).await?.filter(|proved| proved.tenant != *id)
    {
        let owner = owner.tenant;
        let what = format!(
            "{owner} has proved {name}: one domain leads to one tenant. `sallyport tenant domain remove {owner} {name}` \
             comes first"
        );
        return Ok(refused("DOMAIN", &what));
    }
    Ok(told(fault))
}

async fn list(opened: &Opened, id: &TenantId) -> Result<Answer> {
    opened.tenant(id).await?;
    let mut values = Vec::new();
    let mut rows = Vec::new();
    for domain in opened.store().domains(id).await? {
        let value = json_of(opened, &domain).await?;
        let proved = match &domain.proved {
            Some((DomainProof::Dns, at)) => format!("by DNS, {at}"),
            Some((DomainProof::Operator, at)) => format!("by the operator, {at}"),
            None => "no".to_owned(),
        };
        let leads = value["connection"].as_str().map_or_else(|| "(the first that is on)".to_owned(), shown);
        rows.push(vec![domain.name.clone(), proved, leads, record(&domain)]);
        values.push(value);
    }
    Ok(Answer::done(Value::Array(values), table(&["domain", "proved", "connection", "record"], &rows)))
}

async fn remove(opened: &Opened, id: &TenantId, given: &str) -> Result<Answer> {
    opened.tenant(id).await?;
    let domain = domains::give_up(opened.tenancy(), id, given).await.map_err(told)?;
    let json = json!({ "domain": domain.name, "removed": true });
    let line = format!("{}: {id} claims it no longer; who is signed in stays signed in", domain.name);
    Ok(Answer::done(json, [line]))
}

fn record(domain: &Domain) -> String {
    format!("{} TXT \"{}\"", record_name(domain), record_value(domain))
}
