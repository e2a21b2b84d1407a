//! From verified claims to the attributes that a mapping reads.

use std::collections::BTreeMap;

use sallyport_oauth::SigningKey;
use sallyport_oauth::oidc::{Claims, OidcFault, ProviderMetadata, TokenResponse, claims::user_info, presets::Groups};
use serde_json::{Map, Value};

use super::{peer::Peer, trouble::Trouble};
use crate::settings::Mapping;

/// Claims that say something of the token and nothing of the person.
const OF_THE_TOKEN: [&str; 13] =
    ["iss", "aud", "azp", "exp", "iat", "nbf", "jti", "nonce", "at_hash", "c_hash", "s_hash", "sid", "auth_time"];
/// UserInfo is no proof of how or where somebody signed in.
const OF_THE_SIGN_IN: [&str; 8] = ["sub", "acr", "acrs", "amr", "tid", "oid", "hd", "xms_edov"];
/// More values of one claim are not kept.
const MOST_VALUES: usize = 2000;
/// Longer values are not kept, bytes.
const LONGEST_VALUE: usize = 4096;

/// A person's claims by name.
pub(super) type Attributes = BTreeMap<String, Vec<String>>;

impl Peer<'_> {
    /// What is known of a person: from the ID token, and where that lacks what the mapping reads, from UserInfo.
    pub(super) async fn attributes(
        &self,
        metadata: &ProviderMetadata,
        claims: &Claims,
        tokens: &TokenResponse,
        key: Option<&SigningKey>,
    ) -> Result<Attributes, Trouble> {
        let mapping = &self.settings.mapping;
        self.check_groups(claims)?;
        let mut raw = claims.raw.clone();
        if let Some(url) = metadata.userinfo_endpoint.as_ref().filter(|_| is_lacking(mapping, &raw)) {
            let body = self.user_info(url, tokens, key).await?;
            fill(mapping, &mut raw, user_info(&body, &claims.subject)?);
        }
        Ok(attributes(mapping, claims, &raw))
    }

    /// Groups that are malformed, or left out because there are too many, are not the same as none.
    pub(super) fn check_groups(&self, claims: &Claims) -> Result<(), OidcFault> {
        for name in &self.settings.mapping.groups {
            if self.preset.groups(claims, Some(name))? == Groups::Overage {
                return Err(OidcFault::GroupsOverage);
            }
        }
        Ok(())
    }
}

/// Whether one of the things that the mapping reads is nowhere in the ID token.
fn is_lacking(mapping: &Mapping, raw: &Map<String, Value>) -> bool {
    let one = |name: &String| raw.contains_key(name);
    let any = |names: &[String]| names.is_empty() || names.iter().any(one);
    let verified = mapping.email_verified.iter().all(one);
    let scim = mapping.scim.iter().all(|scim| one(&scim.claim));
    !(any(&mapping.email) && verified && any(&mapping.name) && any(&mapping.groups) && scim)
}

/// Adds what UserInfo says besides; what the ID token says stands. The word that an address is verified goes with
/// that very address.
fn fill(mapping: &Mapping, raw: &mut Map<String, Value>, more: Map<String, Value>) {
    let same = mapping.email.iter().all(|name| match (raw.get(name), more.get(name)) {
        (Some(ours), theirs) => theirs == Some(ours),
        (None, _) => true,
    });
    for (name, value) in more {
        let vouches = mapping.email_verified.as_ref() == Some(&name);
        let proof = OF_THE_SIGN_IN.contains(&name.as_str()) || OF_THE_TOKEN.contains(&name.as_str());
        if !proof && (same || !vouches) && !raw.contains_key(&name) {
            raw.insert(name, value);
        }
    }
}

/// Every claim that is a scalar or a list of scalars, as text.
pub(super) fn attributes(mapping: &Mapping, claims: &Claims, raw: &Map<String, Value>) -> Attributes {
    let mut all = Attributes::new();
    for (name, value) in raw {
        let vouches = mapping.email_verified.as_ref() == Some(name);
        // Text that says "true" is no boolean; see `Claims::email_verified`.
        if OF_THE_TOKEN.contains(&name.as_str()) || (vouches && !value.is_boolean()) {
            continue;
        }
        if let Some(values) = values(value) {
            all.insert(name.clone(), values);
        }
    }
    let first = mapping.email.iter().find(|name| all.contains_key(*name));
    if let Some(claim) = &mapping.email_verified
        && first.is_some_and(|name| name == "email")
        && claims.email_verified()
    {
        all.insert(claim.clone(), vec!["true".to_owned()]);
    }
    all
}

fn values(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(all) => all.iter().take(MOST_VALUES).map(scalar).collect(),
        one => scalar(one).map(|one| vec![one]),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.len() <= LONGEST_VALUE => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sallyport_model::Timestamp;
    use serde_json::json;

    use super::*;

    fn claims(raw: Value) -> Claims {
        let Value::Object(raw) = raw else { panic!("{raw}") };
        let now = Timestamp::from_secs(1);
        Claims {
            issuer: "https://idp.example".into(),
            subject: "s".into(),
            audience: vec!["gate".into()],
            issued_at: now,
            expires_at: now,
            auth_time: None,
            acr: None,
            acrs: Vec::new(),
            amr: Vec::new(),
            sid: None,
            email: raw.get("email").and_then(Value::as_str).map(str::to_owned),
            name: None,
            raw,
        }
    }

    fn read(mapping: &Mapping, raw: Value) -> Attributes {
        let claims = claims(raw);
        attributes(mapping, &claims, &claims.raw)
    }

    #[test]
    fn scalars_and_lists_of_them_become_text_and_the_tokens_own_claims_stay_out() {
        let all = read(
            &Mapping::default(),
            json!({"sub": "s", "nonce": "n", "aud": "gate", "email": "a@b.example", "email_verified": true, "n": 7,
                "groups": ["a", "b"], "address": {"country": "x"}, "mixed": ["a", {}], "none": null}),
        );
        let names: Vec<_> = all.keys().map(String::as_str).collect();
        assert_eq!(names, ["email", "email_verified", "groups", "n", "sub"]);
        assert_eq!((&all["email_verified"][0], &all["n"][0], all["groups"].len()), (&"true".into(), &"7".into(), 2));
    }

    #[test]
    fn text_does_not_verify_an_address() {
        let all = read(&Mapping::default(), json!({"email": "a@b.example", "email_verified": "true"}));
        assert!(!all.contains_key("email_verified"));
        let all = read(&Mapping::default(), json!({"email": "a@b.example", "xms_edov": true}));
        assert_eq!(all["email_verified"], ["true"]);
        // Entra's word is about `email`, not about what the mapping reads instead.
        let mapping = Mapping { email: vec!["upn".into()], ..Mapping::default() };
        let all = read(&mapping, json!({"email": "a@b.example", "upn": "ceo@b.example", "xms_edov": true}));
        assert!(!all.contains_key("email_verified"));
    }

    #[test]
    fn user_info_adds_and_never_replaces() {
        let mapping = Mapping::default();
        let object = |value: Value| value.as_object().unwrap().clone();
        let filled = |raw: Value, more: Value| {
            let mut raw = object(raw);
            fill(&mapping, &mut raw, object(more));
            Value::Object(raw)
        };
        let both = json!({"sub": "s", "email": "a@b.example", "email_verified": true, "amr": ["mfa"], "hd": "x"});
        assert_eq!(
            filled(json!({"sub": "s"}), both.clone()),
            json!({"sub": "s", "email": "a@b.example", "email_verified": true})
        );
        let other = json!({"email": "ceo@b.example"});
        assert_eq!(filled(other.clone(), both.clone()), other, "another address is not vouched for");
        let same = json!({"email": "a@b.example"});
        assert_eq!(filled(same, both)["email_verified"], true);
    }

    #[test]
    fn user_info_is_asked_only_for_what_is_lacking() {
        let object = |value: Value| value.as_object().unwrap().clone();
        let whole = json!({"email": "a", "email_verified": true, "name": "n", "groups": [], "preferred_username": "p"});
        assert!(!is_lacking(&Mapping::default(), &object(whole.clone())));
        for name in ["email", "email_verified", "groups", "preferred_username"] {
            let mut less = object(whole.clone());
            less.shift_remove(name);
            assert!(is_lacking(&Mapping::default(), &less), "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_claim_becomes_a_verified_address_by_being_text(text in ".*") {
            let all = read(&Mapping::default(), json!({"email": "a@b.example", "email_verified": text}));
            prop_assert!(!all.contains_key("email_verified"));
        }
    }
}
