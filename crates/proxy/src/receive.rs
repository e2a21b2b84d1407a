//! First stage: a request for an upstream's endpoint, from a place that may send one.
//!
//! Looks at the path, the verb, `Host` and `Origin`; reads no token and no body.

use std::{sync::Arc, time::Instant};

use axum::body::Body;
use http::{HeaderMap, Method, Request, header};
use sallyport_model::{PeerCertificate, UpstreamName, event::Source};

use crate::{gate::Gate, refusal::Refusal, served::Served};

/// The peer's address as the listener knows it; the app puts it on each request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub std::net::IpAddr);

/// What the verb asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// A message.
    Post,
    /// A stream of messages (legacy).
    Get,
    /// The end of a session (legacy).
    Delete,
}

impl Verb {
    /// As it stands in the request line.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Get => "GET",
            Self::Delete => "DELETE",
        }
    }
}

/// A request that reached an endpoint.
pub(crate) struct Arrived {
    pub(crate) served: Arc<Served>,
    pub(crate) verb: Verb,
    pub(crate) headers: HeaderMap,
    pub(crate) query: Option<String>,
    /// The TLS peer's, whose key the handshake proved.
    pub(crate) certificate: Option<PeerCertificate>,
    pub(crate) source: Source,
    pub(crate) at: Instant,
}

/// Where a request came from.
pub(crate) fn source_of(request: &Request<Body>) -> Source {
    let address = request.extensions().get::<Peer>().map_or_else(|| "unknown".to_owned(), |peer| peer.0.to_string());
    let agent = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    Source { address, user_agent: agent.map(|text| text.chars().take(200).collect()) }
}

/// Takes a request for `/mcp/{name}`; its body stays unread beside it.
pub(crate) fn receive(gate: &Gate, name: &str, request: Request<Body>) -> Result<(Arrived, Body), Refusal> {
    let at = Instant::now();
    let source = source_of(&request);
    let (mut parts, body) = request.into_parts();
    check_site(gate, &parts.headers, &parts.uri)?;
    // The path as it was sent: no encoding of a name is another name for it.
    if parts.uri.path().strip_prefix("/mcp/") != Some(name) {
        return Err(Refusal::NoSuchUpstream);
    }
    let name = UpstreamName::new(name).map_err(|_| Refusal::NoSuchUpstream)?;
    let served = gate.served(&name).ok_or(Refusal::NoSuchUpstream)?;
    let verb = match parts.method {
        Method::POST => Verb::Post,
        Method::GET => Verb::Get,
        Method::DELETE => Verb::Delete,
        _ => return Err(Refusal::Verb),
    };
    let query = parts.uri.query().map(str::to_owned);
    let certificate = parts.extensions.remove::<PeerCertificate>();
    Ok((Arrived { served, verb, headers: parts.headers, query, certificate, source, at }, body))
}

/// Refuses a foreign `Origin` (both transports' security sections) and a foreign `Host`, which a
/// rebound name would send.
fn check_site(gate: &Gate, headers: &HeaderMap, uri: &http::Uri) -> Result<(), Refusal> {
    let config = gate.config();
    let mut origins = headers.get_all(header::ORIGIN).iter();
    if let Some(origin) = origins.next() {
        let known = origin.to_str().is_ok_and(|origin| config.allows_origin(origin));
        if !known || origins.next().is_some() {
            return Err(Refusal::ForeignSite("Origin"));
        }
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    // A request target in absolute form, or of HTTP/2, names a host as well; both must be ours.
    let named = uri.authority().map(|authority| authority.as_str());
    let host = hosts.next().map_or(named, |host| host.to_str().ok());
    let ours = |host: &str| host.eq_ignore_ascii_case(config.authority());
    if !host.is_some_and(ours) || !named.is_none_or(ours) || hosts.next().is_some() {
        return Err(Refusal::ForeignSite("Host"));
    }
    Ok(())
}
