//! The authorization server as its metadata describes it.

use serde_json::{Map, Value};
use url::Url;

use crate::{
    bench::{Bench, Discovery, Found},
    probes::discovery::places,
};

/// One authorization server (RFC 8414 section 2). Nothing of it is believed; it says where to ask.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    document: Map<String, Value>,
    /// Where the metadata was.
    place: Url,
    /// The exchange that brought the metadata.
    pub(crate) exchange: u32,
}

impl Server {
    /// The one that the operator `pinned`, else the one that the resource names, else the first that was found.
    pub(crate) fn find(discovery: &Discovery, pinned: Option<&Url>) -> Option<Self> {
        if let Some(pinned) = pinned {
            let found = discovery.servers.iter().find(|found| is_of(found, pinned))?;
            return Self::of(found);
        }
        let named = |found: &&Found<Value>| {
            let issuer = found.document.get("issuer").and_then(Value::as_str);
            discovery.issuer.is_some() && issuer == discovery.issuer.as_deref()
        };
        let found = discovery.servers.iter().find(named).or_else(|| discovery.servers.first())?;
        Self::of(found)
    }

    fn of(found: &Found<Value>) -> Option<Self> {
        let document = found.document.as_object()?.clone();
        Some(Self { document, place: found.url.clone(), exchange: found.exchange })
    }

    /// Whether a code of an authorization response that names `iss` may go to the token endpoint: not where that
    /// is at another origin, which would be handed somebody else's code (RFC 9207 section 2.4).
    pub(crate) fn may_redeem(&self, iss: &str) -> bool {
        let Ok(iss) = Url::parse(iss) else { return true };
        let token = self.endpoint("token_endpoint").map(|url| url.origin());
        Some(iss.origin()) == token || iss.origin() == self.place.origin()
    }

    /// A URL of the metadata that may be asked; http(s) without user information.
    pub(crate) fn endpoint(&self, name: &str) -> Option<Url> {
        let url = Url::parse(self.text(name)?).ok()?;
        let plain = matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
        (plain && url.has_host()).then_some(url)
    }

    /// A string.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.document.get(name)?.as_str()
    }

    /// A list of strings; `None` where it is absent.
    pub(crate) fn list(&self, name: &str) -> Option<Vec<&str>> {
        Some(self.document.get(name)?.as_array()?.iter().filter_map(Value::as_str).collect())
    }

    /// Whether a list holds `value`.
    pub(crate) fn lists(&self, name: &str, value: &str) -> bool {
        self.list(name).is_some_and(|list| list.contains(&value))
    }

    /// A flag; false where it is absent.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.document.get(name).and_then(Value::as_bool).unwrap_or(false)
    }
}

/// Whether these are the metadata of `issuer`, found where it has them and naming it (RFC 8414 section 3.3).
fn is_of(found: &Found<Value>, issuer: &Url) -> bool {
    let named = found.document.get("issuer").and_then(Value::as_str).and_then(|text| Url::parse(text).ok());
    named.as_ref() == Some(issuer) && places::of_issuer(issuer).contains(&found.url)
}

/// The scopes that the resource's metadata lists, at most 100 of them, each one token (RFC 6749 section 3.3).
pub(crate) fn resource_scopes(bench: &Bench) -> Vec<String> {
    let resource = bench.seen.discovery.get().and_then(|discovery| discovery.resource.as_ref());
    let listed = resource.and_then(|found| found.document.get("scopes_supported")?.as_array());
    let texts = listed.into_iter().flatten().filter_map(Value::as_str);
    texts.filter(|scope| is_scope(scope)).take(100).map(str::to_owned).collect()
}

/// The scopes that the first challenge asks for.
pub(crate) fn challenge_scopes(bench: &Bench) -> Vec<String> {
    let challenge = bench.seen.discovery.get().and_then(|discovery| discovery.challenge.as_ref());
    let scope = challenge.and_then(|challenge| challenge.params.get("scope"));
    let words = scope.into_iter().flat_map(|scope| scope.split_whitespace());
    words.filter(|scope| is_scope(scope)).take(100).map(str::to_owned).collect()
}

fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.len() <= 256 && text.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

/// What the resource calls itself (RFC 9728), where that is a URL of the target's own origin; else the target.
pub(crate) fn resource_identifiers(bench: &Bench) -> Vec<String> {
    let Some(target) = bench.url() else { return Vec::new() };
    let resource = bench.seen.discovery.get().and_then(|discovery| discovery.resource.as_ref());
    let named = resource.and_then(|found| found.document.get("resource")?.as_str()).unwrap_or_default();
    let mut identifiers = Vec::new();
    if Url::parse(named).is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
        identifiers.push(named.to_owned());
    }
    if !identifiers.iter().any(|identifier| identifier == target.as_str()) {
        identifiers.push(target.to_string());
    }
    identifiers
}
