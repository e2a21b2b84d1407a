//! From what a provider asserts to a profile here. Pure, so that a preview shows exactly what a sign-in would
//! do.

use std::collections::BTreeMap;

use sallyport_storage::Role;
use serde::Serialize;

use super::{
    Asserted,
    settings::{Mapping, role_of},
};

/// The longest value of any attribute that is looked at, characters.
const LONGEST: usize = 256;
/// The most groups of a person that are kept.
const MOST_GROUPS: usize = 500;

/// A person as a provider's words make her.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Profile {
    /// Her address, if one was asserted.
    pub email: Option<String>,
    /// Whether the provider says that it is hers.
    pub email_verified: bool,
    /// How she is called.
    pub display_name: String,
    /// Her groups, by their names here.
    pub groups: Vec<String>,
    /// What she may do.
    pub role: Role,
    /// Whether she is in one of the groups that are admitted.
    pub admitted: bool,
    /// What the mapping asks for and nobody asserted.
    pub missing: Vec<String>,
    /// What was asserted and the mapping does not use.
    pub unused: Vec<String>,
}

/// Claims or attributes by name, each with its values.
type Attributes = BTreeMap<String, Vec<String>>;

/// What `mapping` makes of `asserted`.
pub(crate) fn profile(mapping: &Mapping, asserted: &Asserted) -> Profile {
    preview(mapping, &asserted.attributes)
}

/// What `mapping` would make of somebody of whom these claims or attributes are asserted. Nothing comes of it.
pub fn preview(mapping: &Mapping, attributes: &BTreeMap<String, Vec<String>>) -> Profile {
    let first = |names: &[String]| names.iter().find_map(|name| value_in(attributes, name));
    let email = first(&mapping.email).filter(|email| is_address(email));
    let verified = match &mapping.email_verified {
        Some(claim) => value_in(attributes, claim).is_some_and(|value| value == "true"),
        None => true,
    };
    let groups = groups(mapping, attributes);
    let name = first(&mapping.name).or_else(|| email.clone()).unwrap_or_else(|| "Somebody".to_owned());
    let admitted = mapping.admitted.is_empty() || mapping.admitted.iter().any(|group| groups.contains(group));
    let (missing, unused) = compared(mapping, attributes, email.is_some());
    Profile {
        email_verified: email.is_some() && verified,
        email,
        display_name: name,
        role: role_of(mapping, &groups),
        groups,
        admitted,
        missing,
        unused,
    }
}

/// The first value of an attribute, short and without control characters.
pub(crate) fn value(asserted: &Asserted, name: &str) -> Option<String> {
    value_in(&asserted.attributes, name)
}

fn value_in(attributes: &Attributes, name: &str) -> Option<String> {
    let value = attributes.get(name)?.first()?.trim();
    let clean = !value.is_empty() && !value.chars().any(char::is_control) && value.chars().count() <= LONGEST;
    clean.then(|| value.to_owned())
}

fn groups(mapping: &Mapping, attributes: &Attributes) -> Vec<String> {
    let named = mapping.groups.iter().filter_map(|name| attributes.get(name)).flatten();
    let mut groups: Vec<String> = named
        .filter(|group| !group.is_empty() && group.chars().count() <= LONGEST)
        .map(|group| mapping.rename_groups.get(group).unwrap_or(group).clone())
        .take(MOST_GROUPS)
        .collect();
    groups.sort();
    groups.dedup();
    groups
}

/// An address that can be compared: one `@`, a domain, no spaces.
fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let clean = |part: &str| !part.is_empty() && !part.contains(['@', ' ', ',', ';', '<', '>', '"']);
    clean(local) && clean(domain) && text.is_ascii()
}

/// The domain of an address, in lowercase.
pub(crate) fn domain_of(address: &str) -> Option<String> {
    let (_, domain) = address.rsplit_once('@')?;
    (!domain.is_empty()).then(|| domain.trim_end_matches('.').to_ascii_lowercase())
}

fn compared(mapping: &Mapping, attributes: &Attributes, has_email: bool) -> (Vec<String>, Vec<String>) {
    let there = |name: &String| attributes.contains_key(name);
    let mut missing = Vec::new();
    if !has_email {
        missing.push(format!("an e-mail address ({})", mapping.email.join(", ")));
    }
    if !mapping.name.iter().any(there) {
        missing.push(format!("a name ({})", mapping.name.join(", ")));
    }
    let wants_groups = !mapping.admitted.is_empty() || !mapping.administrators.is_empty();
    if wants_groups && !mapping.groups.iter().any(there) {
        missing.push(format!("groups ({})", mapping.groups.join(", ")));
    }
    let used: Vec<&String> = mapping
        .email
        .iter()
        .chain(&mapping.email_verified)
        .chain(&mapping.name)
        .chain(&mapping.groups)
        .chain(mapping.scim.iter().map(|scim| &scim.claim))
        .collect();
    let unused = attributes.keys().filter(|name| !used.contains(name)).cloned().collect();
    (missing, unused)
}

#[cfg(test)]
mod tests {
    use sallyport_model::{ConnectionId, TenantId};

    use super::*;

    fn asserted(attributes: &[(&str, &[&str])]) -> Asserted {
        let owned = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect();
        Asserted {
            tenant: TenantId::new("acme").unwrap(),
            connection: ConnectionId::new("c").unwrap(),
            subject: "iss sub".into(),
            attributes: attributes.iter().map(|(name, values)| ((*name).to_owned(), owned(values))).collect(),
            methods: Vec::new(),
            session: None,
            not_after: None,
            refresh_token: None,
            partial: false,
        }
    }

    #[test]
    fn claims_become_a_profile() {
        let mapping = Mapping {
            rename_groups: BTreeMap::from([("0af3".into(), "ops".into())]),
            administrators: vec!["ops".into()],
            admitted: vec!["staff".into(), "ops".into()],
            ..Mapping::default()
        };
        let asserted = asserted(&[
            ("email", &["Ann@Acme.example"]),
            ("email_verified", &["true"]),
            ("name", &["Ann Lee"]),
            ("groups", &["b", "0af3", "b"]),
            ("locale", &["de"]),
        ]);
        let profile = profile(&mapping, &asserted);
        assert_eq!(profile.email.as_deref(), Some("Ann@Acme.example"));
        assert!(profile.email_verified && profile.admitted);
        assert_eq!(profile.groups, ["b", "ops"]);
        assert_eq!((profile.role, profile.display_name.as_str()), (Role::Administrator, "Ann Lee"));
        assert_eq!((profile.missing.len(), profile.unused), (0, vec!["locale".to_owned()]));
    }

    #[test]
    fn what_is_not_asserted_gives_nothing() {
        let mapping = Mapping { admitted: vec!["staff".into()], ..Mapping::default() };
        let profile = profile(&mapping, &asserted(&[("email", &["a@b@c"]), ("groups", &[])]));
        assert_eq!((profile.email, profile.email_verified, profile.admitted), (None, false, false));
        assert_eq!(profile.role, Role::User);
        assert_eq!(profile.missing.len(), 2, "{:?}", profile.missing);
    }

    #[test]
    fn an_address_is_verified_only_where_the_claim_says_so() {
        for (claim, verified) in [(Some("true"), true), (Some("false"), false), (Some("1"), false), (None, false)] {
            let mut all = vec![("email", vec!["a@b.example"])];
            all.extend(claim.map(|claim| ("email_verified", vec![claim])));
            let all: Vec<(&str, &[&str])> = all.iter().map(|(name, values)| (*name, values.as_slice())).collect();
            assert_eq!(profile(&Mapping::default(), &asserted(&all)).email_verified, verified, "{claim:?}");
        }
        assert!(profile(&Mapping::saml(), &asserted(&[("mail", &["a@b.example"])])).email_verified);
    }

    #[test]
    fn the_domain_is_what_follows_the_last_at() {
        assert_eq!(domain_of("a@B.example."), Some("b.example".to_owned()));
        assert_eq!(domain_of("nobody"), None);
    }
}
