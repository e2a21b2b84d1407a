//! Who a verified assertion is about (saml-core-2.0-os, section 2).

use sallyport_model::Timestamp;

use super::{Expected, conditions};
use crate::{
    IdpMetadata, SamlFault, ServiceProvider,
    message::{self, Clocks},
    names::SAML,
    time::{time, time_of},
    xml::Element,
};

/// The name of a person (saml-core-2.0-os, section 2.2).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct NameId {
    /// The name, exactly as it was signed.
    pub value: String,
    /// One of [`name_id_format`](crate::name_id_format), or another.
    pub format: Option<String>,
    /// In whose realm the name is one: by default the identity provider's.
    pub name_qualifier: Option<String>,
    /// For whom the name was made: by default for us.
    pub sp_name_qualifier: Option<String>,
}

/// Without the name: people are not for logs.
impl std::fmt::Debug for NameId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NameId({})", self.format.as_deref().unwrap_or("no format"))
    }
}

/// What the identity provider says about a person, one name with its values.
#[derive(Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its name, often a URI.
    pub name: String,
    /// How to read the name.
    pub name_format: Option<String>,
    /// A name for people; it means nothing.
    pub friendly_name: Option<String>,
    /// The values in their order, exactly as they were signed. A value that is a `NameID` gives its text; one with
    /// another structure is left out.
    pub values: Vec<String>,
}

impl std::fmt::Debug for Attribute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Attribute({:?}, {} values)", self.name, self.values.len())
    }
}

/// An assertion that holds: signed, by this identity provider, for us, now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    /// Its id, for the replay store.
    pub id: String,
    /// The identity provider's entity id.
    pub issuer: String,
    /// When it was issued, by the identity provider's clock.
    pub issued: Timestamp,
    /// The person.
    pub name_id: NameId,
    /// The session at the identity provider, by which it will ask for logout.
    pub session_index: Option<String>,
    /// When the session must end.
    pub session_not_on_or_after: Option<Timestamp>,
    /// When the person proved who they are.
    pub authn_instant: Timestamp,
    /// How (`AuthnContextClassRef`), if it says so.
    pub authn_context: Option<String>,
    /// Everything else about the person, in order; a name may stand several times.
    pub attributes: Vec<Attribute>,
    /// After this it would be refused as too old: until then its id must be remembered.
    pub usable_until: Timestamp,
    /// The request that it answers.
    pub in_response_to: Option<String>,
}

impl Assertion {
    /// All values of the attribute `name`, over all of its occurrences.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.attributes.iter().filter(move |attribute| attribute.name == name);
        named.flat_map(|attribute| attribute.values.iter().map(String::as_str))
    }
}

/// Reads `assertion`, which stands in a tree made of signed bytes.
pub(super) fn read_assertion(
    assertion: Result<Element<'_>, SamlFault>,
    sp: &ServiceProvider,
    idp: &IdpMetadata,
    expected: &Expected<'_>,
    clocks: &Clocks,
) -> Result<Assertion, SamlFault> {
    let assertion = assertion?;
    message::version(assertion)?;
    message::issuer(assertion.one(SAML, "Issuer")?, "assertion", idp)?;
    let issued = time("IssueInstant", assertion.required("IssueInstant")?)?;
    clocks.fresh("assertion", issued)?;
    let conditions_until = conditions::check_conditions(assertion.one(SAML, "Conditions")?, sp, clocks)?;
    let subject = assertion.one(SAML, "Subject")?;
    let confirmed = conditions::check_confirmation(subject, sp, expected.answers, clocks)?;
    let statement = assertion.one(SAML, "AuthnStatement")?;
    let authn_instant = time("AuthnInstant", statement.required("AuthnInstant")?)?;
    if authn_instant > clocks.now.plus(clocks.skew) {
        return Err(SamlFault::FromTheFuture { what: "authentication", issued: authn_instant, now: clocks.now });
    }
    let session_not_on_or_after = time_of(statement, "SessionNotOnOrAfter")?;
    if let Some(until) = session_not_on_or_after {
        clocks.not_over("session", until)?;
    }
    let until = [conditions_until, Some(confirmed.until), Some(issued.plus(message::OLDEST))].into_iter().flatten();
    Ok(Assertion {
        id: message::id(assertion)?,
        issuer: idp.entity_id.clone(),
        issued,
        name_id: person(subject)?,
        session_index: statement.attribute("SessionIndex").filter(|index| !index.is_empty()).map(ToOwned::to_owned),
        session_not_on_or_after,
        authn_instant,
        authn_context: context(statement)?,
        attributes: attributes(assertion)?,
        usable_until: until.min().unwrap_or(clocks.now).plus(clocks.skew),
        in_response_to: confirmed.in_response_to,
    })
}

fn person(subject: Element<'_>) -> Result<NameId, SamlFault> {
    if subject.at_most_one(SAML, "EncryptedID")?.is_some() {
        return Err(SamlFault::EncryptedPart { what: "NameID" });
    }
    message::name_id(subject.at_most_one(SAML, "NameID")?.ok_or(SamlFault::MissingNameId)?)
}

fn context(statement: Element<'_>) -> Result<Option<String>, SamlFault> {
    let class = statement.one(SAML, "AuthnContext")?.at_most_one(SAML, "AuthnContextClassRef")?;
    Ok(class.map(|class| class.token()).transpose()?.filter(|class| !class.is_empty()))
}

fn attributes(assertion: Element<'_>) -> Result<Vec<Attribute>, SamlFault> {
    let mut all = Vec::new();
    for statement in assertion.named(SAML, "AttributeStatement") {
        if statement.named(SAML, "EncryptedAttribute").next().is_some() {
            return Err(SamlFault::EncryptedPart { what: "Attribute" });
        }
        for attribute in statement.named(SAML, "Attribute") {
            let owned = |name| attribute.attribute(name).map(ToOwned::to_owned);
            all.push(Attribute {
                name: attribute.required("Name")?.to_owned(),
                name_format: owned("NameFormat"),
                friendly_name: owned("FriendlyName"),
                values: attribute.named(SAML, "AttributeValue").filter_map(value).collect(),
            });
        }
    }
    Ok(all)
}

/// The text of a value, or of the one `NameID` in it (as `eduPersonTargetedID` has).
fn value(element: Element<'_>) -> Option<String> {
    let mut inner = element.children();
    match (inner.next(), inner.next()) {
        (None, _) => element.text().ok(),
        (Some(name), None) if name.is(SAML, "NameID") => name.text().ok(),
        _ => None,
    }
}
