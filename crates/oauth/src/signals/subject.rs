//! Whom an event is about (RFC 9493; Shared Signals Framework 1.0 section 3).
//!
//! An identifier names somebody in the transmitter's world only. Whether that is a person of the tenant
//! is found out with the connection's own links; an e-mail address that is not of the tenant's verified
//! domains matches nobody.

use serde_json::{Map, Value};

use super::SignalFault;
use crate::oidc::foreign::shown;

/// Longer values are refused.
const MAX_TEXT: usize = 1024;
/// More aliases, or members of a complex subject, are refused.
const MAX_PARTS: usize = 16;

/// One identifier (RFC 9493 section 3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectId {
    /// `acct:` URI (RFC 7565).
    Account(String),
    /// An address.
    Email(String),
    /// A person of an issuer, as in its ID tokens.
    IssuerSubject {
        /// `iss`.
        issuer: String,
        /// `sub`.
        subject: String,
    },
    /// An id that the two sides agreed on: SCIM's `id` or `externalId`, a session, a stream.
    Opaque(String),
    /// E.164.
    Phone(String),
    /// A DID URL.
    Did(String),
    /// Any other URI.
    Uri(String),
    /// One JWT (Shared Signals Framework section 3.4.1).
    Jwt {
        /// `iss`.
        issuer: String,
        /// `jti`.
        id: String,
    },
    /// One SAML assertion (section 3.4.2).
    SamlAssertion {
        /// The assertion's issuer.
        issuer: String,
        /// Its `ID`.
        id: String,
    },
    /// Several identifiers of one subject, none of them aliases again.
    Aliases(Vec<SubjectId>),
}

/// The subject of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// One identifier.
    Simple(SubjectId),
    /// Several sides of one subject; all of them must fit.
    Complex(Box<Complex>),
}

/// A complex subject. A member of another name is kept by name in `others`, so that a transmitter's
/// `critical_subject_members` can be honoured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Complex {
    /// The person.
    pub user: Option<SubjectId>,
    /// The session.
    pub session: Option<SubjectId>,
    /// The customer.
    pub tenant: Option<SubjectId>,
    /// The device.
    pub device: Option<SubjectId>,
    /// The application.
    pub application: Option<SubjectId>,
    /// The group.
    pub group: Option<SubjectId>,
    /// The organisational unit.
    pub org_unit: Option<SubjectId>,
    /// Members of other names.
    pub others: Vec<String>,
}

impl Subject {
    /// Reads a subject identifier.
    ///
    /// # Errors
    /// [`SignalFault::Subject`], [`SignalFault::SubjectFormat`].
    pub fn read(value: &Value) -> Result<Self, SignalFault> {
        let object = value.as_object().ok_or(SignalFault::Subject { why: "is no object" })?;
        match object.get("format") {
            Some(Value::String(format)) if format == "complex" => complex(object).map(Box::new).map(Self::Complex),
            Some(Value::String(_)) => SubjectId::read(object).map(Self::Simple),
            // CAEP before SSF 1.0, still sent inside events: a complex subject was known by its members.
            None if object.values().any(Value::is_object) => complex(object).map(Box::new).map(Self::Complex),
            None => Err(SignalFault::Subject { why: "has no `format`" }),
            Some(_) => Err(SignalFault::Subject { why: "has a `format` that is no text" }),
        }
    }

    /// The person whom it is about, if it names one.
    pub fn user(&self) -> Option<&SubjectId> {
        match self {
            Self::Simple(id) => Some(id),
            Self::Complex(complex) => complex.user.as_ref(),
        }
    }

    /// Whether it names sides of its subject that `understood` does not, and that the transmitter calls
    /// critical: the event must then be discarded (Shared Signals Framework section 3.5).
    pub fn misses(&self, critical: &[String], understood: &[&str]) -> bool {
        let Self::Complex(complex) = self else { return false };
        let named = [
            ("user", &complex.user),
            ("session", &complex.session),
            ("tenant", &complex.tenant),
            ("device", &complex.device),
            ("application", &complex.application),
            ("group", &complex.group),
            ("org_unit", &complex.org_unit),
        ];
        let present = named.into_iter().filter(|(_, side)| side.is_some()).map(|(name, _)| name);
        let mut present = present.chain(complex.others.iter().map(String::as_str));
        present.any(|name| critical.iter().any(|critical| critical == name) && !understood.contains(&name))
    }
}

impl SubjectId {
    /// Reads a simple identifier.
    ///
    /// # Errors
    /// As [`Subject::read`].
    pub fn read(object: &Map<String, Value>) -> Result<Self, SignalFault> {
        let format = object.get("format").and_then(Value::as_str);
        let format = format.ok_or(SignalFault::Subject { why: "has no `format`" })?;
        if format == "aliases" {
            return aliases(object);
        }
        Self::plain(format, object)
    }

    fn plain(format: &str, object: &Map<String, Value>) -> Result<Self, SignalFault> {
        let text = |name: &str| match object.get(name) {
            Some(Value::String(text)) if !text.is_empty() && text.len() <= MAX_TEXT => {
                match text.chars().any(char::is_control) {
                    false => Ok(text.clone()),
                    true => Err(SignalFault::Subject { why: "holds a control character" }),
                }
            }
            _ => Err(SignalFault::Subject { why: "lacks what its format demands" }),
        };
        Ok(match format {
            "account" => Self::Account(text("uri")?),
            "email" => Self::Email(text("email")?),
            "iss_sub" => Self::IssuerSubject { issuer: text("iss")?, subject: text("sub")? },
            "opaque" => Self::Opaque(text("id")?),
            // `phone` stands in an example of the Shared Signals Framework.
            "phone_number" | "phone" => Self::Phone(text("phone_number")?),
            "did" => Self::Did(text("url")?),
            "uri" => Self::Uri(text("uri")?),
            "jwt_id" => Self::Jwt { issuer: text("iss")?, id: text("jti")? },
            "saml_assertion_id" => Self::SamlAssertion { issuer: text("issuer")?, id: text("assertion_id")? },
            other => return Err(SignalFault::SubjectFormat { format: shown(other) }),
        })
    }

    /// The identifiers that it stands for: itself, or its aliases.
    pub fn each(&self) -> &[SubjectId] {
        match self {
            Self::Aliases(all) => all,
            one => std::slice::from_ref(one),
        }
    }
}

/// RFC 9493 section 3.2.8: at least one, never nested. Those of unknown formats are passed over.
fn aliases(object: &Map<String, Value>) -> Result<SubjectId, SignalFault> {
    let identifiers = object.get("identifiers").and_then(Value::as_array);
    let identifiers = identifiers.ok_or(SignalFault::Subject { why: "lacks `identifiers`" })?;
    if identifiers.len() > MAX_PARTS {
        return Err(SignalFault::Subject { why: "has too many aliases" });
    }
    let mut all = Vec::new();
    for identifier in identifiers {
        let object = identifier.as_object().ok_or(SignalFault::Subject { why: "has an alias that is no object" })?;
        let format = object.get("format").and_then(Value::as_str);
        match format.ok_or(SignalFault::Subject { why: "has an alias without `format`" })? {
            "aliases" => return Err(SignalFault::Subject { why: "has aliases within aliases" }),
            format => match SubjectId::plain(format, object) {
                Ok(id) => all.push(id),
                Err(SignalFault::SubjectFormat { .. }) => {}
                Err(fault) => return Err(fault),
            },
        }
    }
    if all.is_empty() {
        Err(SignalFault::Subject { why: "has no alias that we know" })
    } else {
        Ok(SubjectId::Aliases(all))
    }
}

fn complex(object: &Map<String, Value>) -> Result<Complex, SignalFault> {
    if object.len() > MAX_PARTS {
        return Err(SignalFault::Subject { why: "has too many members" });
    }
    let mut complex = Complex::default();
    for (name, value) in object {
        let side = match name.as_str() {
            "format" => continue,
            "user" => &mut complex.user,
            "session" => &mut complex.session,
            "tenant" => &mut complex.tenant,
            "device" => &mut complex.device,
            "application" => &mut complex.application,
            "group" => &mut complex.group,
            "org_unit" => &mut complex.org_unit,
            other => {
                complex.others.push(shown(other));
                continue;
            }
        };
        let object = value.as_object().ok_or(SignalFault::Subject { why: "has a member that is no object" })?;
        match SubjectId::read(object) {
            Ok(id) => *side = Some(id),
            // A device by a private format must not hide the person beside it; but it narrows, so it stays known.
            Err(SignalFault::SubjectFormat { .. }) if name != "user" => complex.others.push(name.clone()),
            Err(fault) => return Err(fault),
        }
    }
    if complex == Complex::default() {
        return Err(SignalFault::Subject { why: "is complex and names nothing" });
    }
    Ok(complex)
}
