//! Metadata, theirs and ours (saml-metadata-2.0-os).

mod read;
mod write;

use sallyport_model::Timestamp;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

pub use read::{MetadataTrust, read_metadata};
pub use write::{SpMetadata, sp_metadata};

use crate::{Certificate, SamlFault, fault::shown};

/// How a message travels through the browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binding {
    /// In the query of a redirect (saml-bindings-2.0-os, section 3.4).
    Redirect,
    /// In a form that is posted (section 3.5).
    Post,
}

impl Binding {
    pub(crate) const ALL: [Self; 2] = [Self::Redirect, Self::Post];

    /// The binding's URI.
    pub fn uri(self) -> &'static str {
        match self {
            Self::Redirect => "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect",
            Self::Post => "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST",
        }
    }

    fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|binding| binding.uri() == uri)
    }
}

/// Where a kind of message is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// How.
    pub binding: Binding,
    /// Where requests go; an https URL.
    pub location: String,
    /// Where responses go, if elsewhere.
    pub response_location: Option<String>,
}

/// What is known of an identity provider: read from its metadata, or typed in by an administrator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdpMetadata {
    /// Its entity id: every message must be by it.
    pub entity_id: String,
    /// The certificates whose keys it may sign with; several while it rolls over.
    pub signing: Vec<Certificate>,
    /// Single sign-on services, in its order.
    pub sso: Vec<Endpoint>,
    /// Single logout services, in its order.
    pub slo: Vec<Endpoint>,
    /// Formats of `NameID` that it has.
    pub name_id_formats: Vec<String>,
    /// Whether it takes signed requests only. Ours always are.
    pub want_signed_requests: bool,
    /// Until when this may be used.
    pub valid_until: Option<Timestamp>,
    /// Seconds after which it should be read again.
    pub cache_seconds: Option<u64>,
    /// Fingerprint of the certificate that verified the document, where one was asked for.
    pub verified_by: Option<String>,
    /// Why certificates in the document were left out, one sentence each.
    pub left_out: Vec<String>,
}

impl IdpMetadata {
    /// What an administrator who has no metadata types in.
    ///
    /// # Errors
    /// [`SamlFault::BadLocation`] for an address that is not https (http on loopback is taken).
    pub fn by_hand(
        entity_id: &str,
        sso: (Binding, &str),
        slo: Option<(Binding, &str)>,
        signing: Vec<Certificate>,
    ) -> Result<Self, SamlFault> {
        let endpoint = |(binding, location): (Binding, &str)| {
            check_location(location)?;
            Ok(Endpoint { binding, location: location.to_owned(), response_location: None })
        };
        if signing.is_empty() {
            return Err(SamlFault::NoCertificate { why: None });
        }
        Ok(Self {
            entity_id: entity_id.to_owned(),
            signing,
            sso: vec![endpoint(sso)?],
            slo: slo.map(endpoint).transpose()?.into_iter().collect(),
            name_id_formats: Vec::new(),
            want_signed_requests: false,
            valid_until: None,
            cache_seconds: None,
            verified_by: None,
            left_out: Vec::new(),
        })
    }

    /// The single sign-on endpoint: by redirect if it has one, unless `prefer` says otherwise.
    pub fn sso(&self, prefer: Option<Binding>) -> Result<&Endpoint, SamlFault> {
        choose(&self.sso, prefer).ok_or(SamlFault::NoEndpoint { what: "single sign-on" })
    }

    /// The single logout endpoint, chosen likewise.
    pub fn slo(&self, prefer: Option<Binding>) -> Result<&Endpoint, SamlFault> {
        choose(&self.slo, prefer).ok_or(SamlFault::NoEndpoint { what: "single logout" })
    }
}

fn choose(all: &[Endpoint], prefer: Option<Binding>) -> Option<&Endpoint> {
    let by = |binding| all.iter().find(|endpoint| endpoint.binding == binding);
    prefer.and_then(by).or_else(|| by(Binding::Redirect)).or_else(|| by(Binding::Post))
}

/// An address that a browser may be sent to: https, or http on loopback, without credentials or fragment.
fn check_location(location: &str) -> Result<(), SamlFault> {
    let bad = || SamlFault::BadLocation { location: shown(location) };
    let url = Url::parse(location).map_err(|_| bad())?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(bad()),
    };
    let secure = url.scheme() == "https" || (url.scheme() == "http" && loopback);
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    if secure && plain && location.is_ascii() { Ok(()) } else { Err(bad()) }
}
