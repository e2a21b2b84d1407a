//! What all SAML messages have in common (saml-core-2.0-os, section 3.2), both ways.

use std::time::Duration;

use sallyport_model::{Rng, Timestamp, hex};

use crate::{
    IdpMetadata, NameId, SamlFault, ServiceProvider,
    fault::shown,
    names::{ENTITY_FORMAT, SAML, SAMLP, SUCCESS},
    time::{time, written},
    xml::{Element, Writer},
};

/// The most that clocks may be apart; a larger allowance is cut to this.
pub const MOST_SKEW: Duration = Duration::from_secs(300);
/// How old a message may be when it comes in.
pub(crate) const OLDEST: Duration = Duration::from_secs(3600);

/// The time here, and how far the sender's clock may be from it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clocks {
    pub(crate) now: Timestamp,
    pub(crate) skew: Duration,
}

impl Clocks {
    pub(crate) fn new(now: Timestamp, skew: Duration) -> Self {
        Self { now, skew: skew.min(MOST_SKEW) }
    }

    /// Not before `from`.
    pub(crate) fn begun(&self, what: &'static str, from: Timestamp) -> Result<(), SamlFault> {
        if self.now.plus(self.skew) >= from {
            Ok(())
        } else {
            Err(SamlFault::NotYetValid { what, from, now: self.now })
        }
    }

    /// Before `until`, which is itself too late.
    pub(crate) fn not_over(&self, what: &'static str, until: Timestamp) -> Result<(), SamlFault> {
        if self.now < until.plus(self.skew) { Ok(()) } else { Err(SamlFault::Expired { what, until, now: self.now }) }
    }

    /// Dated neither in the future nor long ago.
    pub(crate) fn fresh(&self, what: &'static str, issued: Timestamp) -> Result<(), SamlFault> {
        if issued > self.now.plus(self.skew) {
            return Err(SamlFault::FromTheFuture { what, issued, now: self.now });
        }
        if issued.plus(OLDEST).plus(self.skew) <= self.now {
            return Err(SamlFault::TooOld { what, issued, now: self.now });
        }
        Ok(())
    }
}

/// The root of a message is this one, in SAML 2.0.
pub(crate) fn expect_root(root: Element<'_>, expected: &'static str) -> Result<(), SamlFault> {
    if !root.is(SAMLP, expected) {
        return Err(SamlFault::WrongMessage { expected, found: root.shown() });
    }
    version(root)
}

pub(crate) fn version(element: Element<'_>) -> Result<(), SamlFault> {
    match element.required("Version")? {
        "2.0" => Ok(()),
        found => Err(SamlFault::WrongVersion { found: shown(found) }),
    }
}

/// An id of a message or assertion: not empty, not endless.
pub(crate) fn id(element: Element<'_>) -> Result<String, SamlFault> {
    let id = element.required("ID")?;
    match id.len() {
        0 => Err(SamlFault::MissingAttribute { element: element.shown(), attribute: "ID" }),
        1..=256 => Ok(id.to_owned()),
        _ => Err(SamlFault::TooLarge { what: "bytes in an id", limit: 256 }),
    }
}

/// The issuer is this identity provider.
pub(crate) fn issuer(issuer: Element<'_>, what: &'static str, idp: &IdpMetadata) -> Result<(), SamlFault> {
    let found = issuer.token()?;
    let entity = issuer.attribute("Format").is_none_or(|format| format == ENTITY_FORMAT);
    if entity && found == idp.entity_id {
        return Ok(());
    }
    Err(SamlFault::WrongIssuer { what, expected: idp.entity_id.clone(), found: shown(&found) })
}

/// Whether a message from this provider can be read at all.
pub(crate) fn usable(idp: &IdpMetadata, clocks: &Clocks) -> Result<(), SamlFault> {
    if let Some(until) = idp.valid_until.filter(|until| clocks.not_over("metadata", *until).is_err()) {
        return Err(SamlFault::MetadataExpired { until, now: clocks.now });
    }
    if idp.signing.is_empty() { Err(SamlFault::NoCertificate { why: None }) } else { Ok(()) }
}

/// Time, issuer and address of a message. `signed`: then issuer and address must be there (saml-core 3.2.2 with
/// saml-profiles 4.1.4.2, saml-bindings 3.4.5.2 and 3.5.5.2).
pub(crate) fn check_header(
    root: Element<'_>,
    what: &'static str,
    idp: &IdpMetadata,
    here: &str,
    signed: bool,
    clocks: &Clocks,
) -> Result<Timestamp, SamlFault> {
    match root.at_most_one(SAML, "Issuer")? {
        Some(one) => issuer(one, what, idp)?,
        None if signed => return Err(SamlFault::MissingElement { parent: root.shown(), element: "Issuer" }),
        None => {}
    }
    match root.attribute("Destination") {
        Some(found) if found == here => {}
        Some(found) => return Err(SamlFault::WrongDestination { expected: here.to_owned(), found: shown(found) }),
        None if signed => {
            return Err(SamlFault::MissingAttribute { element: root.shown(), attribute: "Destination" });
        }
        None => {}
    }
    let issued = time("IssueInstant", root.required("IssueInstant")?)?;
    clocks.fresh(what, issued)?;
    Ok(issued)
}

/// What `Status` says.
pub(crate) struct Status {
    pub(crate) code: String,
    pub(crate) second: Option<String>,
    pub(crate) message: Option<String>,
}

impl Status {
    pub(crate) fn of(root: Element<'_>) -> Result<Self, SamlFault> {
        let status = root.one(SAMLP, "Status")?;
        let first = status.one(SAMLP, "StatusCode")?;
        let second = first.at_most_one(SAMLP, "StatusCode")?;
        let message = status.at_most_one(SAMLP, "StatusMessage")?.map(|e| e.token()).transpose()?;
        Ok(Self {
            code: first.required("Value")?.to_owned(),
            second: second.map(|e| e.required("Value").map(ToOwned::to_owned)).transpose()?,
            message: message.filter(|text| !text.is_empty()),
        })
    }

    pub(crate) fn is_success(&self) -> bool {
        self.code == SUCCESS
    }

    pub(crate) fn into_fault(self) -> SamlFault {
        let last = |uri: &str| shown(uri.rsplit(':').next().unwrap_or(uri));
        SamlFault::Status {
            code: last(&self.code),
            second: self.second.as_deref().map(last),
            message: self.message.as_deref().map(shown),
        }
    }
}

/// A fresh id: 128 random bits; an `xs:ID` begins with no digit.
pub(crate) fn fresh_id(rng: &dyn Rng) -> String {
    let mut bytes = [0u8; 16];
    rng.fill(&mut bytes);
    format!("_{}", hex(&bytes))
}

/// Begins one of our messages; its `Issuer` is written, what follows is the caller's. Returns the byte where a
/// signature belongs.
pub(crate) fn begin(
    name: &'static str,
    id: &str,
    sp: &ServiceProvider,
    destination: &str,
    now: Timestamp,
    more: &[(&str, Option<&str>)],
) -> (Writer, usize) {
    let issued = written(now);
    let mut attributes = vec![
        ("xmlns:samlp", Some(SAMLP)),
        ("xmlns:saml", Some(SAML)),
        ("ID", Some(id)),
        ("Version", Some("2.0")),
        ("IssueInstant", Some(issued.as_str())),
        ("Destination", Some(destination)),
    ];
    attributes.extend_from_slice(more);
    let mut writer = Writer::new();
    writer.open(name, &attributes).leaf("saml:Issuer", &[], &sp.entity_id);
    let at = writer.len();
    (writer, at)
}

/// Reads a `NameID` exactly as it stands: no trimming, no folding, nothing that would make two people one.
pub(crate) fn name_id(element: Element<'_>) -> Result<NameId, SamlFault> {
    const MOST: usize = 1024;
    let value = element.text()?;
    let bad = |what| Err(SamlFault::BadNameId { what });
    if value.is_empty() {
        return bad("empty");
    }
    if value.len() > MOST {
        return bad("longer than 1024 bytes");
    }
    if value.trim() != value {
        return bad("surrounded by white space");
    }
    if value.chars().any(char::is_control) {
        return bad("broken by control characters");
    }
    let owned = |name| element.attribute(name).map(ToOwned::to_owned);
    Ok(NameId {
        value,
        format: owned("Format"),
        name_qualifier: owned("NameQualifier"),
        sp_name_qualifier: owned("SPNameQualifier"),
    })
}
