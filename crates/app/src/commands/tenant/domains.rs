//! E-mail domains: claimed, proved, given up.

use std::net::SocketAddr;

use anyhow::Result;
use sallyport_model::{Rng, TenantId};
use sallyport_outbound::dns::{Dns, DnsError};
use sallyport_storage::{Domain, DomainProof, StoreError, Tenant};
use serde_json::{Value, json};
use url::Host;

use super::{
    answer::{Answer, table},
    arguments::DomainVerb,
    opened::{Opened, refused, shown},
    token::random,
};

/// Second-level names that registries share out below a country's domain: `co.uk`.
const SHARED: [&str; 7] = ["ac", "co", "com", "edu", "gov", "net", "org"];

/// Runs one.
pub async fn run(opened: &Opened, verb: &DomainVerb) -> Result<Answer> {
    match verb {
        DomainVerb::Add { id, domain, connection } => add(opened, id, domain, connection.as_deref()).await,
        DomainVerb::Verify { id, domain, by_operator, name_server } => {
            let by = if *by_operator { By::Operator } else { By::Record(*name_server) };
            verify(opened, id, domain, by).await
        }
        DomainVerb::List { id } => list(opened, id).await,
        DomainVerb::Remove { id, domain } => remove(opened, id, domain).await,
    }
}

async fn add(opened: &Opened, id: &TenantId, given: &str, connection: Option<&str>) -> Result<Answer> {
    let tenant = opened.tenant(id).await?;
    let name = normal(given)?;
    let connection = match connection {
        Some(connection) => Some(opened.connection(&tenant, connection).await?.id),
        None => None,
    };
    let known = opened.store().domains(id).await?.into_iter().find(|known| known.name == name);
    let domain = match known {
        // Claimed before: the record that may be in the DNS by now stays good.
        Some(known) => Domain { connection: connection.or_else(|| known.connection.clone()), ..known },
        None => Domain {
            tenant: id.clone(),
            name: name.clone(),
            challenge: challenge(opened.rng()),
            connection,
            claimed_at: opened.now(),
            proved: None,
        },
    };
    let owner = opened.store().domain(&name).await?.filter(|proved| proved.tenant != *id);
    let facts = json!({ "domain": name, "connection": domain.connection });
    opened.notice("tenant.domain.add", Some(id), facts).await?;
    opened.store().put_domain(&domain).await?;
    let answer = Answer::done(domain_json(opened, &tenant, &domain).await?, [record(&domain)]);
    Ok(match owner {
        Some(owner) => answer.remark(format!(
            "{} has proved {name}: here it can be verified only after `sallyport tenant domain remove {} {name}`.",
            owner.tenant, owner.tenant
        )),
        None if domain.proved.is_some() => answer.remark(format!("{name} is proved.")),
        None => answer.remark(format!(
            "Nobody is sent to {id} by an address of {name} before it is verified: `sallyport tenant domain verify {id} \
             {name}`."
        )),
    })
}

/// Whose word counts.
enum By {
    /// The operator's.
    Operator,
    /// The domain's own, as this name server (or the system's) knows it.
    Record(Option<SocketAddr>),
}

/// Looks for the record that only the domain's owner can have set.
async fn look(domain: &Domain, server: Option<SocketAddr>) -> Result<()> {
    let dns = match server {
        Some(address) => Dns::at(address)?,
        None => Dns::system()?,
    };
    let name = record_name(domain);
    let found = match dns.txt(&name).await {
        Ok(found) => found,
        Err(DnsError::NoRecord(_)) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let wanted = record_value(domain);
    if found.iter().any(|value| value.trim() == wanted) {
        return Ok(());
    }
    let what = format!(
        "{name} has no TXT record `{wanted}` ({} others): publish it, wait until its zone is served, and try again",
        found.len()
    );
    Err(refused("DOMAIN", &what))
}

async fn verify(opened: &Opened, id: &TenantId, given: &str, by: By) -> Result<Answer> {
    let tenant = opened.tenant(id).await?;
    let domain = claimed(opened, id, given).await?;
    if let Some(proved) = opened.store().domain(&domain.name).await? {
        if proved.tenant != *id {
            return Err(taken(&domain, &proved.tenant));
        }
        let json = domain_json(opened, &tenant, &domain).await?;
        return Ok(Answer::done(json, [format!("{}: it was proved already", domain.name)]));
    }
    let proof = match by {
        By::Operator => DomainProof::Operator,
        By::Record(server) => {
            look(&domain, server).await?;
            DomainProof::Dns
        }
    };
    let domain = Domain { proved: Some((proof, opened.now())), ..domain };
    let facts = json!({ "domain": domain.name, "proof": proof });
    opened.notice("tenant.domain.verify", Some(id), facts).await?;
    match opened.store().put_domain(&domain).await {
        // Another tenant was faster.
        Err(StoreError::Exists(_)) => {
            let what = format!("another tenant has proved {}; `sallyport tenant list` says which", domain.name);
            return Err(refused("DOMAIN", &what));
        }
        put => put?,
    }
    let line = format!("{}: proved; its people sign in at {id}'s provider", domain.name);
    Ok(Answer::done(domain_json(opened, &tenant, &domain).await?, [line]))
}

fn taken(domain: &Domain, owner: &TenantId) -> anyhow::Error {
    let what = format!(
        "{owner} has proved {}: one domain leads to one tenant. `sallyport tenant domain remove {owner} {}` comes first",
        domain.name, domain.name
    );
    refused("DOMAIN", &what)
}

async fn list(opened: &Opened, id: &TenantId) -> Result<Answer> {
    let tenant = opened.tenant(id).await?;
    let mut values = Vec::new();
    let mut rows = Vec::new();
    for domain in opened.store().domains(id).await? {
        let value = domain_json(opened, &tenant, &domain).await?;
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
    let domain = claimed(opened, id, given).await?;
    opened.notice("tenant.domain.remove", Some(id), json!({ "domain": domain.name })).await?;
    let removed = opened.store().remove_domain(id, &domain.name).await?;
    let json = json!({ "domain": domain.name, "removed": removed });
    let line = format!("{}: {id} claims it no longer; who is signed in stays signed in", domain.name);
    Ok(Answer::done(json, [line]))
}

async fn claimed(opened: &Opened, id: &TenantId, given: &str) -> Result<Domain> {
    let name = normal(given)?;
    let found = opened.store().domains(id).await?.into_iter().find(|known| known.name == name);
    found.ok_or_else(|| {
        let what = format!("{id} does not claim {name}; `sallyport tenant domain add {id} {name}` does");
        refused("DOMAIN", &what)
    })
}

async fn domain_json(opened: &Opened, tenant: &Tenant, domain: &Domain) -> Result<Value> {
    let connections = opened.store().connections(&tenant.id).await?;
    let leads = domain.connection.as_ref().and_then(|id| connections.iter().find(|known| known.id == *id));
    let (proof, at) = domain.proved.unzip();
    Ok(json!({
        "domain": domain.name,
        "tenant": tenant.id,
        "connection": leads.map(|connection| &connection.name),
        "claimed_at": domain.claimed_at.to_string(),
        "proved": proof,
        "proved_at": at.map(|at| at.to_string()),
        "record": { "name": record_name(domain), "type": "TXT", "value": record_value(domain) },
    }))
}

fn record_name(domain: &Domain) -> String {
    format!("_sallyport-challenge.{}", domain.name)
}

fn record_value(domain: &Domain) -> String {
    format!("sallyport-domain-verification={}", domain.challenge)
}

fn record(domain: &Domain) -> String {
    format!("{} TXT \"{}\"", record_name(domain), record_value(domain))
}

/// 256 random bits, base64url.
fn challenge(rng: &dyn Rng) -> String {
    random(rng)
}

/// A domain as it is kept: ASCII (IDNA), lowercase, without a dot at its end. One that somebody can own.
pub fn normal(given: &str) -> Result<String> {
    let wrong = |what: &str| refused("DOMAIN", &format!("`{}` {what}", shown(given)));
    let trimmed = given.trim().trim_end_matches('.');
    if trimmed.contains('@') {
        return Err(wrong("is an address: leave out the part up to the @"));
    }
    if trimmed.contains(['/', ':', '%', ' ']) {
        return Err(wrong("is no domain: write the name alone, such as acme.example"));
    }
    let name = match Host::parse(trimmed) {
        Ok(Host::Domain(name)) => name,
        Ok(Host::Ipv4(_) | Host::Ipv6(_)) => return Err(wrong("is an IP address: claim a domain name")),
        Err(_) => return Err(wrong("is no domain name: write one such as acme.example")),
    };
    let labels: Vec<&str> = name.split('.').collect();
    if name.len() > 253 || !labels.iter().all(|label| is_label(label)) {
        return Err(wrong("is no domain name: write one such as acme.example"));
    }
    match labels.as_slice() {
        [_] => Err(wrong("is a single label, which nobody owns: write a whole domain, such as acme.example")),
        [second, top] if top.len() == 2 && SHARED.contains(second) => {
            Err(wrong("is shared by many: claim the domain that the tenant registered below it"))
        }
        _ => Ok(name),
    }
}

fn is_label(label: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&label.len()) && label.bytes().all(plain) && !label.starts_with('-') && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_domain_is_kept_in_lowercase_ascii() {
        for (given, kept) in [
            ("Acme.Example.", "acme.example"),
            (" mail.acme.example ", "mail.acme.example"),
            ("Bücher.example", "xn--bcher-kva.example"),
            ("acme.co.uk", "acme.co.uk"),
        ] {
            assert_eq!(normal(given).unwrap(), kept, "{given}");
        }
    }

    #[test]
    fn what_nobody_can_own_is_refused_with_the_reason() {
        for (given, why) in [
            ("localhost", "single label"),
            ("com", "single label"),
            ("co.uk", "shared by many"),
            ("192.0.2.1", "IP address"),
            ("0x7f.1", "IP address"),
            ("[2001:db8::1]", "no domain"),
            ("ann@acme.example", "leave out"),
            ("https://acme.example", "name alone"),
            ("acme.example:25", "name alone"),
            ("", "no domain"),
            ("a..b", "no domain"),
            ("-a.example", "no domain"),
            ("a_b.example", "no domain"),
            (&format!("{}.example", "a".repeat(64)), "no domain"),
            (&format!("{}example", "a.".repeat(130)), "no domain"),
            ("a\u{0}.example", "no domain"),
        ] {
            let error = normal(given).unwrap_err().to_string();
            assert!(error.contains(why), "{given}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_kept_is_kept_again_as_it_is(given in "[a-zA-Z0-9.éß。-]{1,30}|\\PC{0,40}") {
            if let Ok(kept) = normal(&given) {
                prop_assert_eq!(normal(&kept).unwrap(), kept.clone());
                prop_assert!(kept.is_ascii() && kept.contains('.') && kept.to_ascii_lowercase() == kept);
            }
        }
    }
}
