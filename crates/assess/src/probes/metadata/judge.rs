//! One function a check, from documents to a sentence.

use std::net::IpAddr;

use serde_json::Value;
use url::{Host, Url};

use super::{Asked, strings};
use crate::{
    bench::{Discovery, Found},
    probes::discovery::{places, shown},
};

/// How a check ended, and what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judged {
    /// Whether the control is there.
    pub(crate) held: bool,
    /// One sentence.
    pub(crate) observed: String,
}

impl Judged {
    pub(crate) fn pass(observed: impl Into<String>) -> Self {
        Self { held: true, observed: observed.into() }
    }

    pub(crate) fn fail(observed: impl Into<String>) -> Self {
        Self { held: false, observed: observed.into() }
    }

    /// Passes when nothing is wrong.
    fn unless(wrong: &[String], sound: impl Into<String>) -> Self {
        if wrong.is_empty() { Self::pass(sound) } else { Self::fail(wrong.join("; ")) }
    }
}

const NO_SERVER: &str = "no authorization server's metadata was found";

/// RFC 9728 section 3.3: the identifier that the metadata was asked for, which is the URL of the request where
/// a challenge pointed to it, and what the well-known suffix was inserted into elsewhere.
pub(super) fn identifier(target: &Url, found: &Found<Value>, discovery: &Discovery) -> Judged {
    let Some(resource) = found.document.get("resource").and_then(Value::as_str) else {
        return Judged::fail("the metadata has no `resource`");
    };
    let challenged =
        discovery.challenge.as_ref().is_some_and(|challenge| challenge.params.contains_key("resource_metadata"));
    let at_root = !challenged && found.url.path() == "/.well-known/oauth-protected-resource";
    let expected = if at_root { places::origin(target) } else { target.clone() };
    let Ok(said) = Url::parse(resource) else {
        return Judged::fail(format!("`resource` is no URL: {}", shown(resource)));
    };
    let bare = |url: &Url| url.as_str().trim_end_matches('/').to_owned();
    if said == *target || said == expected {
        Judged::pass(format!("`resource` is {}", shown(resource)))
    } else if bare(&said) == bare(target) || bare(&said) == bare(&expected) {
        Judged::pass(format!("`resource` is {}, which differs by a final slash alone", shown(resource)))
    } else {
        Judged::fail(format!("`resource` is {}, but clients ask for {}", shown(resource), shown(expected.as_str())))
    }
}

/// RFC 8414 section 2: the members that a client of the code grant cannot do without.
pub(super) fn complete(servers: &[Found<Value>]) -> Judged {
    if servers.is_empty() {
        return Judged::fail(NO_SERVER);
    }
    let wrong: Vec<String> = servers.iter().filter_map(incomplete).collect();
    let places: Vec<_> = servers.iter().map(|found| shown(found.url.as_str())).collect();
    Judged::unless(&wrong, format!("complete at {}", places.join(" and ")))
}

fn incomplete(found: &Found<Value>) -> Option<String> {
    let is_text = |member: &&&str| !found.document.get(**member).is_some_and(Value::is_string);
    let mut missing: Vec<&str> =
        ["issuer", "authorization_endpoint", "token_endpoint"].iter().filter(is_text).copied().collect();
    if strings(&found.document, "response_types_supported").is_empty() {
        missing.push("response_types_supported");
    }
    (!missing.is_empty()).then(|| format!("{} lacks {}", shown(found.url.as_str()), missing.join(", ")))
}

/// RFC 8414 section 3.3, to the letter; an origin that nobody spelled may end in a slash or not.
pub(super) fn issuers(asked: &[(Asked, &Found<Value>)]) -> Judged {
    if asked.is_empty() {
        return Judged::fail(NO_SERVER);
    }
    let mut wrong = Vec::new();
    let mut same = Vec::new();
    for (asked, found) in asked {
        let said = found.document.get("issuer").and_then(Value::as_str).unwrap_or_default();
        let (held, expected) = match asked {
            Asked::Issuer(issuer) => (said == issuer, issuer.as_str()),
            Asked::Origin(origin) => {
                (said.trim_end_matches('/') == origin.as_str().trim_end_matches('/'), origin.as_str())
            }
        };
        if held {
            same.push(shown(said));
        } else {
            wrong.push(format!(
                "{} says {}, asked for was {}",
                shown(found.url.as_str()),
                quoted(said),
                quoted(expected)
            ));
        }
    }
    same.dedup();
    Judged::unless(&wrong, format!("the issuer is {}", same.join(" and ")))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", shown(text))
}

/// OAuth 2.1 section 1.5.
pub(super) fn endpoints(servers: &[Found<Value>]) -> Judged {
    if servers.is_empty() {
        return Judged::fail(NO_SERVER);
    }
    let mut wrong = Vec::new();
    let mut count = 0;
    for found in servers {
        let members = found.document.as_object().into_iter().flatten();
        for (name, value) in
            members.filter(|(name, _)| name.ends_with("_endpoint") || *name == "jwks_uri" || *name == "issuer")
        {
            count += 1;
            let safe = value.as_str().and_then(|text| Url::parse(text).ok()).is_some_and(|url| safe_transport(&url));
            if !safe {
                wrong.push(format!("{} is {}", shown(name), quoted(value.as_str().unwrap_or("no string"))));
            }
        }
    }
    wrong.dedup();
    match count {
        0 => Judged::fail("the metadata names no endpoint"),
        _ => Judged::unless(&wrong, "every endpoint is https or loopback"),
    }
}

/// Whether `url` is https, or http on this machine.
pub(crate) fn safe_transport(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
}

/// Whether `url` names this machine by a loopback address or `localhost`.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).to_canonical().is_loopback(),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
        None => false,
    }
}

/// MCP, Authorization Code Protection: S256 by every issuer, `plain` by none. One of an issuer's two documents
/// may be silent.
pub(super) fn pkce(servers: &[Found<Value>]) -> Judged {
    if servers.is_empty() {
        return Judged::fail(NO_SERVER);
    }
    let methods = |found: &Found<Value>| -> Vec<String> {
        strings(&found.document, "code_challenge_methods_supported").into_iter().map(str::to_owned).collect()
    };
    let issuer = |found: &Found<Value>| {
        found.document.get("issuer").and_then(Value::as_str).map(|i| i.trim_end_matches('/').to_owned())
    };
    let mut wrong = Vec::new();
    for found in servers {
        let place = shown(found.url.as_str());
        let own = methods(found);
        let mut of_issuer = servers.iter().filter(|other| issuer(other) == issuer(found)).flat_map(methods);
        let silent = found.document.get("code_challenge_methods_supported").is_none();
        let advertised = own.iter().any(|method| method == "S256");
        if !advertised && (!silent || !of_issuer.any(|method| method == "S256")) {
            wrong.push(format!("{place} does not advertise S256"));
        }
        if own.iter().any(|method| method == "plain") {
            wrong.push(format!("{place} advertises plain"));
        }
    }
    Judged::unless(&wrong, "S256 is advertised, plain is not")
}

/// CIMD or dynamic registration in one of the documents.
pub(super) fn registration_path(servers: &[Found<Value>]) -> Judged {
    let documents = || servers.iter().map(|found| &found.document);
    let cimd = documents().any(|d| d.get("client_id_metadata_document_supported") == Some(&Value::Bool(true)));
    let dynamic = documents().any(|d| d.get("registration_endpoint").is_some_and(Value::is_string));
    match (cimd, dynamic) {
        _ if servers.is_empty() => Judged::fail(NO_SERVER),
        (true, true) => Judged::pass("client ID metadata documents and dynamic registration"),
        (true, false) => Judged::pass("client ID metadata documents"),
        (false, true) => Judged::pass("dynamic registration"),
        (false, false) => Judged::fail("neither client ID metadata documents nor dynamic registration is advertised"),
    }
}

/// RFC 6749 section 4.4 or RFC 7523: an absent list means code and implicit (RFC 8414 section 2).
pub(super) fn agent_grant(servers: &[Found<Value>]) -> Judged {
    if servers.is_empty() {
        return Judged::fail(NO_SERVER);
    }
    const MACHINE: [&str; 2] = ["client_credentials", "urn:ietf:params:oauth:grant-type:jwt-bearer"];
    let mut offered: Vec<&str> = servers
        .iter()
        .flat_map(|found| strings(&found.document, "grant_types_supported"))
        .filter(|g| MACHINE.contains(g))
        .collect();
    offered.sort_unstable();
    offered.dedup();
    if !offered.is_empty() {
        return Judged::pass(format!("offered: {}", offered.join(", ")));
    }
    let stated = servers.iter().any(|found| found.document.get("grant_types_supported").is_some());
    Judged::fail(match stated {
        true => "grant_types_supported has neither client_credentials nor jwt-bearer",
        false => "grant_types_supported is absent, which means authorization_code and implicit",
    })
}

/// RFC 9449 section 5.1, RFC 8705 section 3.3, RFC 9728 section 2.
pub(super) fn sender_bound(discovery: &Discovery) -> Judged {
    let documents = discovery.servers.iter().chain(&discovery.resource).map(|found| &found.document);
    let mut ways = Vec::new();
    for document in documents {
        if !strings(document, "dpop_signing_alg_values_supported").is_empty() {
            ways.push("DPoP");
        }
        if document.get("tls_client_certificate_bound_access_tokens") == Some(&Value::Bool(true)) {
            ways.push("mTLS");
        }
    }
    ways.sort_unstable();
    ways.dedup();
    match ways.is_empty() {
        true => Judged::fail("neither DPoP nor certificate-bound tokens are advertised"),
        false => Judged::pass(format!("advertised: {}", ways.join(", "))),
    }
}
