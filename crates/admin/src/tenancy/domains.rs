//! E-mail domains: claimed, proved, given up.

use sallyport_model::TenantId;
use sallyport_outbound::dns::{Dns, DnsError};
use sallyport_storage::{Domain, DomainProof, StoreError};
use serde_json::{Value, json};
use url::Host;

use super::{Tenancy, random};
use crate::{Code, Fault};

/// Second-level names that registries share out below a country's domain: `co.uk`.
const SHARED: [&str; 7] = ["ac", "co", "com", "edu", "gov", "net", "org"];

/// A claim, and whether another tenant has proved the same domain.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The claim.
    pub domain: Domain,
    /// Who has proved it, if that is somebody else. The operator's to know.
    pub owner: Option<TenantId>,
}

/// Claims a domain for a tenant. A claim that is there keeps its record.
///
/// # Errors
/// When it is no domain that somebody can own, or the connection is not there.
pub async fn claim(tenancy: &Tenancy, id: &TenantId, given: &str, connection: Option<&str>) -> Result<Claimed, Fault> {
    let name = normal(given)?;
    let connection = match connection {
        Some(connection) => Some(tenancy.connection(id, connection).await?.id),
        None => None,
    };
    let known = tenancy.store().domains(id).await?.into_iter().find(|known| known.name == name);
    let domain = match known {
        // Claimed before: the record that may be in the DNS by now stays good.
        Some(known) => Domain { connection: connection.or_else(|| known.connection.clone()), ..known },
        None => Domain {
            tenant: id.clone(),
            name: name.clone(),
            challenge: random(tenancy.rng()),
            connection,
            claimed_at: tenancy.now(),
            proved: None,
        },
    };
    let owner = tenancy.store().domain(&name).await?.filter(|proved| proved.tenant != *id);
    let facts = json!({ "domain": name, "connection": domain.connection });
    tenancy.note("tenant.domain.add", Some(id), facts).await?;
    tenancy.store().claim_domain(&domain).await?;
    // As it is kept: of two who claim at once one was faster, and the record that counts is that one's.
    let domain = claimed(tenancy, id, &name).await?;
    Ok(Claimed { domain, owner: owner.map(|owner| owner.tenant) })
}

/// Whose word counts.
pub enum By {
    /// The operator's.
    Operator,
    /// The domain's own, as this name server knows it.
    Record(Box<Dns>),
}

/// A claim after it was looked at.
#[derive(Debug, Clone)]
pub struct Proved {
    /// The claim.
    pub domain: Domain,
    /// Whether it was proved before.
    pub already: bool,
}

/// Proves a claim.
///
/// # Errors
/// When the tenant does not claim it, the record is not there, another tenant has proved it, or [`Code::Stale`] when
/// the claim changed meanwhile.
pub async fn prove(tenancy: &Tenancy, id: &TenantId, given: &str, by: By) -> Result<Proved, Fault> {
    let domain = claimed(tenancy, id, given).await?;
    if domain.proved.is_some() {
        return Ok(Proved { domain, already: true });
    }
    let proof = match by {
        By::Operator => DomainProof::Operator,
        By::Record(dns) => {
            look(&domain, &dns).await?;
            DomainProof::Dns
        }
    };
    // Only now: which domains others have proved is told to nobody but the operator and whoever holds the domain.
    if tenancy.store().domain(&domain.name).await?.is_some_and(|proved| proved.tenant != *id) {
        return Err(taken(&domain));
    }
    let facts = json!({ "domain": domain.name, "proof": proof });
    tenancy.note("tenant.domain.verify", Some(id), facts).await?;
    let at = tenancy.now();
    match tenancy.store().prove_domain(&domain, proof, at).await {
        Ok(true) => Ok(Proved { domain: Domain { proved: Some((proof, at)), ..domain }, already: false }),
        // Given up, claimed anew or proved meanwhile: what was looked for is not what counts now.
        Ok(false) => Err(Fault::stale()),
        // Another tenant was faster.
        Err(StoreError::Exists(_)) => Err(taken(&domain)),
        Err(error) => Err(error.into()),
    }
}

/// Looks for the record that only the domain's owner can have set.
async fn look(domain: &Domain, dns: &Dns) -> Result<(), Fault> {
    let name = record_name(domain);
    let found = match dns.txt(&name).await {
        Ok(found) => found,
        Err(DnsError::NoRecord(_)) => Vec::new(),
        Err(error) => {
            let remedy = Some("look whether the name server is reached, and try again".to_owned());
            return Err(Fault::Elsewhere { what: error.to_string(), remedy });
        }
    };
    let wanted = record_value(domain);
    if found.iter().any(|value| value.trim() == wanted) {
        return Ok(());
    }
    let what = format!("{name} has no TXT record `{wanted}` ({} others)", found.len());
    Err(Fault::refused(Code::Conflict, "domain", what, "publish it, wait until its zone is served, and try again"))
}

fn taken(domain: &Domain) -> Fault {
    // Who that is, is not this tenant's to know.
    let what = format!("another tenant has proved {}", domain.name);
    Fault::refused(Code::Conflict, "domain", what, "one domain leads to one tenant: the other has to give it up first")
}

/// Gives a claim up; which one.
///
/// # Errors
/// When the tenant does not claim it.
pub async fn give_up(tenancy: &Tenancy, id: &TenantId, given: &str) -> Result<Domain, Fault> {
    let domain = claimed(tenancy, id, given).await?;
    tenancy.note("tenant.domain.remove", Some(id), json!({ "domain": domain.name })).await?;
    tenancy.store().remove_domain(id, &domain.name).await?;
    Ok(domain)
}

/// A tenant's claim.
///
/// # Errors
/// [`Code::NotFound`].
pub async fn claimed(tenancy: &Tenancy, id: &TenantId, given: &str) -> Result<Domain, Fault> {
    let name = normal(given)?;
    let found = tenancy.store().domains(id).await?.into_iter().find(|known| known.name == name);
    found.ok_or_else(|| Fault::not_found("domain", format!("{id} does not claim {name}"), "claim it first"))
}

/// A claim for programs.
///
/// # Errors
/// [`Fault::Store`].
pub async fn domain_json(tenancy: &Tenancy, domain: &Domain) -> Result<Value, Fault> {
    let connections = tenancy.store().connections(&domain.tenant).await?;
    let leads = domain.connection.as_ref().and_then(|id| connections.iter().find(|known| known.id == *id));
    let (proof, at) = domain.proved.unzip();
    Ok(json!({
        "domain": domain.name,
        "tenant": domain.tenant,
        "connection": leads.map(|connection| &connection.name),
        "claimed_at": domain.claimed_at.to_string(),
        "proved": proof,
        "proved_at": at.map(|at| at.to_string()),
        "record": { "name": record_name(domain), "type": "TXT", "value": record_value(domain) },
    }))
}

/// Where the record belongs.
pub fn record_name(domain: &Domain) -> String {
    format!("_sallyport-challenge.{}", domain.name)
}

/// What the record holds.
pub fn record_value(domain: &Domain) -> String {
    format!("sallyport-domain-verification={}", domain.challenge)
}

/// A domain as it is kept: ASCII (IDNA), lowercase, without a dot at its end. One that somebody can own.
///
/// # Errors
/// When it is none.
pub fn normal(given: &str) -> Result<String, Fault> {
    let wrong = |what: &str, remedy: &str| Fault::invalid("domain", format!("`{given}` {what}"), remedy);
    let trimmed = given.trim().trim_end_matches('.');
    if trimmed.contains('@') {
        return Err(wrong("is an address", "leave out the part up to the @"));
    }
    if trimmed.contains(['/', ':', '%', ' ']) {
        return Err(wrong("is no domain", "write the name alone, such as acme.example"));
    }
    let name = match Host::parse(trimmed) {
        Ok(Host::Domain(name)) => name,
        Ok(Host::Ipv4(_) | Host::Ipv6(_)) => return Err(wrong("is an IP address", "claim a domain name")),
        Err(_) => return Err(wrong("is no domain name", "write one such as acme.example")),
    };
    let labels: Vec<&str> = name.split('.').collect();
    if name.len() > 253 || !labels.iter().all(|label| is_label(label)) {
        return Err(wrong("is no domain name", "write one such as acme.example"));
    }
    match labels.as_slice() {
        [_] => Err(wrong("is a single label, which nobody owns", "write a whole domain, such as acme.example")),
        [second, top] if top.len() == 2 && SHARED.contains(second) => {
            Err(wrong("is shared by many", "claim the domain that the tenant registered below it"))
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
