//! Reads an identity provider's metadata out of a document of one or many entities.

use sallyport_model::Timestamp;

use super::{Binding, Endpoint, IdpMetadata, check_location};
use crate::{
    Certificate, SamlFault,
    fault::shown,
    message::Clocks,
    names::{DS, MD, SAMLP},
    signature::{Verified, signature_of, verify},
    time::time_of,
    xml::{Document, Element, Limits, read},
};

/// Names in a sentence.
const MOST_SHOWN: usize = 10;
/// Signing certificates of one provider.
const MOST_CERTIFICATES: usize = 16;
/// Bytes in an entity id (saml-metadata-2.0-os, section 2.2.1).
const MOST_ENTITY_ID: usize = 1024;

/// Why metadata is believed.
#[derive(Debug, Clone, Copy)]
pub enum MetadataTrust<'a> {
    /// Because of where it came from: an administrator's file, or an https address that an administrator named.
    Source,
    /// Because it is signed by one of these.
    SignedBy(&'a [Certificate]),
}

/// Reads `document`. `wanted` is the entity id; it may be absent where only one identity provider is described.
///
/// With [`MetadataTrust::SignedBy`] the document (or the wanted entity in it) must be signed, and everything is read
/// from the bytes that were.
pub fn read_metadata(
    document: &[u8],
    wanted: Option<&str>,
    trust: MetadataTrust<'_>,
    now: Timestamp,
) -> Result<IdpMetadata, SamlFault> {
    let limits = Limits::METADATA;
    let whole = read(document, &limits)?;
    let clocks = Clocks::new(now, std::time::Duration::ZERO);
    let (believed, verified_by) = match trust {
        MetadataTrust::Source => (whole, None),
        MetadataTrust::SignedBy(keys) => {
            let verified = signed(&whole, wanted, keys, &limits)?;
            (verified.document, Some(verified.certificate))
        }
    };
    let entity = entity(&believed, wanted)?;
    let mut read = role(entity)?;
    read.verified_by = verified_by;
    if let Some(until) = read.valid_until {
        clocks.not_over("metadata", until).map_err(|_| SamlFault::MetadataExpired { until, now })?;
    }
    Ok(read)
}

/// The signed part: the whole document or, where the root is not signed, the wanted entity.
fn signed(
    whole: &Document,
    wanted: Option<&str>,
    keys: &[Certificate],
    limits: &Limits,
) -> Result<Verified, SamlFault> {
    let root = whole.root();
    if let Some(signature) = signature_of(root)? {
        return verify(root, signature, keys, limits);
    }
    let entity = entity(whole, wanted)?;
    match signature_of(entity)? {
        Some(signature) => verify(entity, signature, keys, limits),
        None => Err(SamlFault::Unsigned { what: "metadata" }),
    }
}

/// The wanted `EntityDescriptor`, or the only one that is an identity provider.
fn entity<'a>(document: &'a Document, wanted: Option<&str>) -> Result<Element<'a>, SamlFault> {
    let root = document.root();
    if !root.is(MD, "EntityDescriptor") && !root.is(MD, "EntitiesDescriptor") {
        return Err(SamlFault::WrongMessage { expected: "EntityDescriptor", found: root.shown() });
    }
    let all: Vec<Element<'_>> = document.elements().filter(|e| is_entity(*e)).collect();
    let candidates: Vec<Element<'_>> = match wanted {
        Some(id) => all.iter().copied().filter(|e| e.attribute("entityID") == Some(id)).collect(),
        None if all.len() == 1 => all.clone(),
        None => all.iter().copied().filter(|e| idp_roles(*e).next().is_some()).collect(),
    };
    let names = |of: &[Element<'_>]| -> Vec<String> {
        of.iter().take(MOST_SHOWN).filter_map(|e| e.attribute("entityID")).map(shown).collect()
    };
    match (candidates.as_slice(), wanted) {
        ([one], _) => Ok(*one),
        ([], Some(wanted)) => Err(SamlFault::NoSuchEntity { wanted: shown(wanted), found: names(&all) }),
        ([], None) => Err(SamlFault::NoIdpRole { entity: names(&all).join(", ") }),
        // Two descriptions of one entity: which one counts would be a guess.
        (_, Some(_)) => Err(SamlFault::Repeated { parent: root.shown(), element: "EntityDescriptor" }),
        (several, None) => Err(SamlFault::SeveralEntities { found: names(several) }),
    }
}

/// An `EntityDescriptor` in its place: the root, or in groups that reach up to the root.
fn is_entity(element: Element<'_>) -> bool {
    let mut at = element.parent();
    while let Some(group) = at {
        if !group.is(MD, "EntitiesDescriptor") {
            return false;
        }
        at = group.parent();
    }
    element.is(MD, "EntityDescriptor")
}

fn idp_roles(entity: Element<'_>) -> impl Iterator<Item = Element<'_>> {
    entity.named(MD, "IDPSSODescriptor").filter(|role| {
        let protocols = role.attribute("protocolSupportEnumeration").unwrap_or_default();
        protocols.split_ascii_whitespace().any(|protocol| protocol == SAMLP)
    })
}

fn role(entity: Element<'_>) -> Result<IdpMetadata, SamlFault> {
    let entity_id = entity.required("entityID")?;
    if entity_id.is_empty() || entity_id.len() > MOST_ENTITY_ID || entity_id.trim() != entity_id {
        return Err(SamlFault::MissingAttribute { element: entity.shown(), attribute: "entityID" });
    }
    let mut roles = idp_roles(entity);
    let role = roles.next().ok_or_else(|| SamlFault::NoIdpRole { entity: shown(entity_id) })?;
    if roles.next().is_some() {
        return Err(SamlFault::Repeated { parent: entity.shown(), element: "IDPSSODescriptor" });
    }
    let (signing, left_out) = certificates(role)?;
    let sso = endpoints(role, "SingleSignOnService")?;
    if sso.is_empty() {
        return Err(SamlFault::NoEndpoint { what: "single sign-on" });
    }
    Ok(IdpMetadata {
        entity_id: entity_id.to_owned(),
        signing,
        sso,
        slo: endpoints(role, "SingleLogoutService")?,
        name_id_formats: role.named(MD, "NameIDFormat").map(|format| format.token()).collect::<Result<_, _>>()?,
        want_signed_requests: matches!(role.attribute("WantAuthnRequestsSigned"), Some("true" | "1")),
        valid_until: earliest(role)?,
        cache_seconds: cache(role),
        verified_by: None,
        left_out,
    })
}

/// The certificates for signing, or for no stated use. One that is of no use is left out, as long as one is of use.
fn certificates(role: Element<'_>) -> Result<(Vec<Certificate>, Vec<String>), SamlFault> {
    let mut good: Vec<Certificate> = Vec::new();
    let mut left_out = Vec::new();
    let mut why = None;
    for descriptor in role.named(MD, "KeyDescriptor") {
        if !matches!(descriptor.attribute("use"), None | Some("signing")) {
            continue;
        }
        let info = descriptor.one(DS, "KeyInfo")?;
        let boxes = info.named(DS, "X509Data").flat_map(|data| data.named(DS, "X509Certificate"));
        for text in boxes {
            if good.len() + left_out.len() >= MOST_CERTIFICATES {
                return Err(SamlFault::TooLarge { what: "certificates", limit: MOST_CERTIFICATES });
            }
            match Certificate::from_text(&text.text()?) {
                Ok(one) if good.contains(&one) => {}
                Ok(one) => good.push(one),
                Err(fault) => {
                    if let SamlFault::BadCertificate { why: reason } = fault {
                        why = Some(reason);
                    }
                    left_out.push(fault.to_string());
                }
            }
        }
    }
    if good.is_empty() { Err(SamlFault::NoCertificate { why }) } else { Ok((good, left_out)) }
}

/// The endpoints for bindings that we speak. Others (SOAP, artifact) are passed over.
fn endpoints(role: Element<'_>, name: &'static str) -> Result<Vec<Endpoint>, SamlFault> {
    let mut all = Vec::new();
    for service in role.named(MD, name) {
        let Some(binding) = Binding::from_uri(service.required("Binding")?) else { continue };
        let location = service.required("Location")?;
        let response_location = service.attribute("ResponseLocation");
        for address in [Some(location), response_location].into_iter().flatten() {
            check_location(address)?;
        }
        all.push(Endpoint {
            binding,
            location: location.to_owned(),
            response_location: response_location.map(ToOwned::to_owned),
        });
    }
    Ok(all)
}

/// The first end of validity on the way from the role to the root.
fn earliest(role: Element<'_>) -> Result<Option<Timestamp>, SamlFault> {
    let mut first: Option<Timestamp> = None;
    let mut at = Some(role);
    while let Some(element) = at {
        if let Some(until) = time_of(element, "validUntil")? {
            first = Some(first.map_or(until, |before| before.min(until)));
        }
        at = element.parent();
    }
    Ok(first)
}

/// The shortest `cacheDuration` on that way, in seconds. One that cannot be read is no reason to refuse.
fn cache(role: Element<'_>) -> Option<u64> {
    let mut shortest: Option<u64> = None;
    let mut at = Some(role);
    while let Some(element) = at {
        let seconds = element.attribute("cacheDuration").and_then(seconds);
        shortest = match (shortest, seconds) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        at = element.parent();
    }
    shortest
}

/// `xs:duration`; a month is 30 days and a year 365.
fn seconds(duration: &str) -> Option<u64> {
    let span: jiff::Span = duration.parse().ok().filter(|_| duration.starts_with('P'))?;
    let count = |value: i64, each: i64| value.checked_mul(each);
    let days = count(i64::from(span.get_years()), 365)?
        .checked_add(count(i64::from(span.get_months()), 30)?)?
        .checked_add(count(i64::from(span.get_weeks()), 7)?)?
        .checked_add(i64::from(span.get_days()))?;
    let clock = count(i64::from(span.get_hours()), 3600)?
        .checked_add(count(span.get_minutes(), 60)?)?
        .checked_add(span.get_seconds())?;
    u64::try_from(days.checked_mul(86_400)?.checked_add(clock)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_metadata_are_read() {
        assert_eq!(seconds("PT6H"), Some(21_600));
        assert_eq!(seconds("P1DT30M"), Some(88_200));
        assert_eq!(seconds("PT604800S"), Some(604_800));
        assert_eq!(seconds("a week"), None);
        assert_eq!(seconds("-PT6H"), None);
    }
}
