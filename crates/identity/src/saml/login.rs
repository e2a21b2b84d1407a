//! A verified login: whether it is what the connection demands, and who it is about.

use std::collections::BTreeMap;

use sallyport_model::Timestamp;
use sallyport_saml::{Assertion, name_id_format};

use super::{Party, SKEW, subject::of_attribute};
use crate::{
    federation::{Asserted, refused::Refused},
    settings::Demands,
};

/// Authentication context classes that mean more than one factor: REFEDS' MFA profile, Microsoft's, and those that
/// saml-authn-context-2.0-os defines by two factors.
const MFA: [&str; 5] = [
    "https://refeds.org/profile/mfa",
    "http://schemas.microsoft.com/claims/multipleauthn",
    "urn:oasis:names:tc:SAML:2.0:ac:classes:MobileTwoFactorUnregistered",
    "urn:oasis:names:tc:SAML:2.0:ac:classes:MobileTwoFactorContract",
    "urn:oasis:names:tc:SAML:2.0:ac:classes:SmartcardPKI",
];
/// Where Entra ID and AD FS say in an attribute how somebody proved who she is.
const METHODS: &str = "http://schemas.microsoft.com/claims/authnmethodsreferences";
const PASSWORDS: [&str; 2] = [
    "urn:oasis:names:tc:SAML:2.0:ac:classes:Password",
    "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport",
];
/// Bytes in the value of the attribute that says who somebody is.
const MOST_SUBJECT: usize = 1024;

/// Which demand a login does not meet.
#[derive(Debug)]
pub(super) enum Unmet {
    /// It was too long ago: she can be asked to prove it anew.
    TooOld(Refused),
    /// Something else.
    Refused(Refused),
}

/// What a request asks for: one of these contexts, exactly. Nothing where only more than one factor is demanded and
/// this provider's word for it is not known: many refuse a request for a context that they do not know.
pub(super) fn contexts(demands: &Demands) -> Vec<&str> {
    let strong = demands.mfa_acr.iter().filter(|_| demands.mfa && demands.acr.is_empty());
    demands.acr.iter().chain(strong).map(String::as_str).collect()
}

/// Holds `assertion` against `demands`.
pub(super) fn check_demands(demands: &Demands, assertion: &Assertion, now: Timestamp) -> Result<(), Unmet> {
    let context = assertion.authn_context.as_deref();
    if !demands.acr.is_empty() && !context.is_some_and(|context| demands.acr.iter().any(|wanted| wanted == context)) {
        let found = context.unwrap_or("nothing about how");
        let what = format!(
            "This sign-in takes the authentication context {}; asserted was {found}.",
            demands.acr.join(" or ")
        );
        let remedy = "Set the identity provider to demand it for this application, and to say so.";
        return Err(Unmet::Refused(Refused::new("saml_context_unmet", what, Some(remedy))));
    }
    if demands.mfa && !more_than_one_factor(assertion, &demands.mfa_acr) {
        let found = context.unwrap_or("nothing about how");
        let what = format!("Signing in here takes more than one factor; asserted was {found}.");
        let remedy = "Set the identity provider to demand a second factor for this application, and to say so.";
        return Err(Unmet::Refused(Refused::new("saml_mfa_missing", what, Some(remedy))));
    }
    let Some(most) = demands.max_age_seconds else { return Ok(()) };
    let age = now.since(assertion.authn_instant);
    if age.saturating_sub(SKEW).as_secs() > most {
        let at = assertion.authn_instant;
        let what = format!(
            "You proved who you are at {at}, and here it is {now}: {} s ago, where at most {most} s are allowed.",
            age.as_secs()
        );
        return Err(Unmet::TooOld(Refused::again("saml_login_too_old", what)));
    }
    Ok(())
}

/// `also`: what stands for it at this provider.
fn more_than_one_factor(assertion: &Assertion, also: &[String]) -> bool {
    let means_it = |context: &str| MFA.contains(&context) || also.iter().any(|one| one == context);
    assertion.authn_context.as_deref().is_some_and(means_it)
        || assertion.values(METHODS).any(|value| MFA.contains(&value))
}

impl Party {
    /// What the assertion says, in the words that both protocols share.
    pub(super) fn asserted(&self, assertion: &Assertion) -> Result<Asserted, Refused> {
        let name = self.kept_name(&assertion.name_id);
        // The provider ends a session by the NameID. Where that is not who she is, it is kept beside.
        let (subject, session) = match &self.settings.subject_attribute {
            Some(attribute) => (of_attribute(attribute, subject_value(assertion, attribute)?), Some(name)),
            None => (name, assertion.session_index.clone()),
        };
        let transient = assertion.name_id.format.as_deref() == Some(name_id_format::TRANSIENT);
        if transient && self.settings.subject_attribute.is_none() {
            let what = "The identity provider names you by a transient NameID, which is another one at each sign-in.";
            let remedy = "Let it send a persistent NameID, or name the attribute of this connection that says who \
                          somebody is.";
            return Err(Refused::new("saml_transient_name_id", what, Some(remedy)));
        }
        Ok(Asserted {
            tenant: self.connection.tenant.clone(),
            connection: self.connection.id.clone(),
            subject,
            attributes: attributes(assertion, transient),
            methods: methods(assertion, &self.settings.demands.mfa_acr),
            session,
            not_after: assertion.session_not_on_or_after,
            refresh_token: None,
            partial: false,
        })
    }
}

/// The one value of the attribute that says who somebody is.
fn subject_value<'a>(assertion: &'a Assertion, name: &str) -> Result<&'a str, Refused> {
    let mut named = assertion.attributes.iter().filter(|attribute| attribute.name == name).flat_map(|a| &a.values);
    let refuse = |code, what: String| {
        let remedy = "Let the identity provider release it to this application, with one value that stays.";
        Err(Refused::new(code, what, Some(remedy)))
    };
    match (named.next(), named.next()) {
        (None, _) => refuse("saml_attribute_missing", format!("The assertion lacks the attribute `{name}`.")),
        (Some(_), Some(_)) => {
            refuse("saml_attribute_ambiguous", format!("The assertion has several values of the attribute `{name}`."))
        }
        (Some(value), None) => {
            let clean = !value.is_empty() && value.trim() == value && !value.chars().any(char::is_control);
            if clean && value.len() <= MOST_SUBJECT {
                return Ok(value);
            }
            let what = format!("The value of the attribute `{name}` is empty, too long or surrounded by white space.");
            refuse("saml_attribute_malformed", what)
        }
    }
}

/// Attributes by name and, where nothing is called so, by friendly name; `name_id` besides, if it stays.
fn attributes(assertion: &Assertion, transient: bool) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for attribute in &assertion.attributes {
        all.entry(attribute.name.clone()).or_default().extend(attribute.values.iter().cloned());
    }
    let named = |name: &str| assertion.attributes.iter().any(|attribute| attribute.name == name);
    for attribute in &assertion.attributes {
        let Some(friendly) = attribute.friendly_name.as_deref().filter(|friendly| !named(friendly)) else { continue };
        let values = all.entry(friendly.to_owned()).or_default();
        for value in &attribute.values {
            if !values.contains(value) {
                values.push(value.clone());
            }
        }
    }
    all.remove("name_id");
    if !transient {
        all.insert("name_id".to_owned(), vec![assertion.name_id.value.clone()]);
    }
    all
}

/// RFC 8176 words, where the provider says as much.
fn methods(assertion: &Assertion, strong: &[String]) -> Vec<String> {
    let context = assertion.authn_context.as_deref().unwrap_or_default();
    let mut methods = Vec::new();
    if PASSWORDS.contains(&context) {
        methods.push("pwd".to_owned());
    }
    if more_than_one_factor(assertion, strong) {
        methods.push("mfa".to_owned());
    }
    methods
}

#[cfg(test)]
mod tests {
    use sallyport_saml::{Attribute, NameId};

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn assertion(context: Option<&str>, attributes: Vec<Attribute>) -> Assertion {
        let name_id = NameId { value: "ann".into(), format: None, name_qualifier: None, sp_name_qualifier: None };
        Assertion {
            id: "_a".into(),
            issuer: "https://idp.example".into(),
            issued: Timestamp::from_secs(NOW),
            name_id,
            session_index: None,
            session_not_on_or_after: None,
            authn_instant: Timestamp::from_secs(NOW - 600),
            authn_context: context.map(ToOwned::to_owned),
            attributes,
            usable_until: Timestamp::from_secs(NOW + 300),
            in_response_to: None,
        }
    }

    fn attribute(name: &str, friendly: Option<&str>, values: &[&str]) -> Attribute {
        Attribute {
            name: name.into(),
            name_format: None,
            friendly_name: friendly.map(ToOwned::to_owned),
            values: values.iter().map(|&value| value.to_owned()).collect(),
        }
    }

    fn unmet(demands: &Demands, assertion: &Assertion) -> Option<&'static str> {
        match check_demands(demands, assertion, Timestamp::from_secs(NOW)) {
            Ok(()) => None,
            Err(Unmet::Refused(refused) | Unmet::TooOld(refused)) => Some(refused.code),
        }
    }

    #[test]
    fn more_than_one_factor_is_believed_by_known_words_only() {
        let demands = Demands { mfa: true, ..Demands::default() };
        let entra = |value| assertion(Some(PASSWORDS[0]), vec![attribute(METHODS, None, &[value])]);
        assert_eq!(unmet(&demands, &assertion(Some("https://refeds.org/profile/mfa"), vec![])), None);
        assert_eq!(unmet(&demands, &entra("http://schemas.microsoft.com/claims/multipleauthn")), None);
        assert_eq!(unmet(&demands, &entra("https://evil.example/mfa")), Some("saml_mfa_missing"));
        assert_eq!(unmet(&demands, &assertion(Some(PASSWORDS[1]), vec![])), Some("saml_mfa_missing"));
        assert_eq!(unmet(&demands, &assertion(None, vec![])), Some("saml_mfa_missing"));
        assert_eq!(methods(&entra(MFA[1]), &[]), ["pwd", "mfa"]);
        let theirs = Demands { mfa_acr: vec!["urn:acme:strong".into()], ..demands.clone() };
        assert_eq!(unmet(&theirs, &assertion(Some("urn:acme:strong"), vec![])), None);
        assert_eq!(unmet(&demands, &assertion(Some("urn:acme:strong"), vec![])), Some("saml_mfa_missing"));
    }

    #[test]
    fn a_context_is_compared_to_the_letter_and_an_age_to_the_second() {
        let demands = Demands { acr: vec!["a".into(), "b".into()], ..Demands::default() };
        assert_eq!(unmet(&demands, &assertion(Some("b"), vec![])), None);
        assert_eq!(unmet(&demands, &assertion(Some("bb"), vec![])), Some("saml_context_unmet"));
        assert_eq!(unmet(&demands, &assertion(None, vec![])), Some("saml_context_unmet"));
        let aged =
            |most| unmet(&Demands { max_age_seconds: Some(most), ..Demands::default() }, &assertion(None, vec![]));
        assert_eq!((aged(540), aged(539)), (None, Some("saml_login_too_old")), "600 s, less 60 s of skew");
    }

    #[test]
    fn a_friendly_name_never_takes_the_place_of_a_name() {
        let all = attributes(
            &assertion(
                None,
                vec![
                    attribute("groups", None, &["staff"]),
                    attribute("urn:x", Some("groups"), &["admins"]),
                    attribute("urn:oid:1", Some("mail"), &["a@b.example"]),
                    attribute("urn:mace:mail", Some("mail"), &["a@b.example"]),
                    attribute("name_id", Some("name_id"), &["root"]),
                ],
            ),
            false,
        );
        assert_eq!(all["groups"], ["staff"]);
        assert_eq!(all["mail"], ["a@b.example"]);
        assert_eq!(all["name_id"], ["ann"]);
        assert!(
            !attributes(&assertion(None, vec![attribute("x", Some("name_id"), &["y"])]), true).contains_key("name_id")
        );
    }

    #[test]
    fn the_attribute_that_says_who_she_is_has_one_clean_value() {
        let code = |values: &[&str]| {
            let assertion = assertion(None, vec![attribute("uid", Some("login"), values)]);
            subject_value(&assertion, "uid").map(ToOwned::to_owned).map_err(|refused| refused.code)
        };
        assert_eq!(code(&["ann"]).unwrap(), "ann");
        assert_eq!(code(&[]).unwrap_err(), "saml_attribute_missing");
        assert_eq!(code(&["a", "b"]).unwrap_err(), "saml_attribute_ambiguous");
        for bad in ["", " a", "a\n", &"x".repeat(1025)] {
            assert_eq!(code(&[bad]).unwrap_err(), "saml_attribute_malformed", "{bad:?}");
        }
        let assertion = assertion(None, vec![attribute("x", Some("uid"), &["root"])]);
        assert!(subject_value(&assertion, "uid").is_err(), "a friendly name says nothing about who she is");
    }
}
