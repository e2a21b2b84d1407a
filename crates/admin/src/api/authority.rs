//! Who calls. Every request of the API passes [`Caller::of`]; there is no other way to be a [`Caller`].
//!
//! `Host` and `Origin` are looked at first: a page of another site whose name was rebound to this machine, or that
//! sends requests here, gets no answer. Then the bearer token, which must be one of this API (RFC 6750 section 2.1).
//! Cookies are never read, and no header allows another origin to read an answer.

use std::net::IpAddr;

use http::{Extensions, HeaderMap, header};
use sallyport_model::{TenantId, event::Source};
use sallyport_storage::{ApiRole, ApiToken};
use sallyport_web::ClientAddress;

use super::{AdminApi, problem::Problem};
use crate::tenancy::{Author, Tenancy, api_tokens::PREFIX, sha256};

/// The most characters of a header that identifies a client's program.
const MOST_AGENT: usize = 200;
/// The most bytes of a token that are looked at.
const MOST_TOKEN: usize = 256;

/// Whoever holds a living token.
pub(crate) struct Caller {
    token: ApiToken,
    source: Option<Source>,
}

impl Caller {
    /// Whoever sent the request.
    ///
    /// # Errors
    /// 403 for a request from elsewhere, 401 without a living token, 503 when nobody can be known.
    pub(crate) async fn of(api: &AdminApi, headers: &HeaderMap, extensions: &Extensions) -> Result<Self, Problem> {
        of_here(headers)?;
        let value = bearer(headers).ok_or_else(Problem::stranger)?;
        let parts = &api.0.parts;
        let found = parts.store.api_token(&sha256(value), parts.clock.now()).await;
        let found = found.map_err(|error| Problem::from(crate::Fault::Store(error)))?;
        let token = found.ok_or_else(Problem::refused_token)?;
        Ok(Self { token, source: source(headers, extensions) })
    }

    /// Whether everything may be done, in every tenant.
    pub(crate) fn is_operator(&self) -> bool {
        self.token.role == ApiRole::Operator
    }

    /// Whether this tenant may be looked at. An administrator's is the only one there is for her.
    pub(crate) fn reaches(&self, tenant: &TenantId) -> bool {
        match &self.token.role {
            ApiRole::Operator => true,
            ApiRole::Administrator(own) => own == tenant,
        }
    }

    /// The token; its digest is nobody's business.
    pub(crate) fn token(&self) -> &ApiToken {
        &self.token
    }

    /// The operations, in this caller's name.
    pub(crate) fn tenancy(&self, api: &AdminApi) -> Tenancy {
        let author = Author::Token {
            id: self.token.id.clone(),
            name: self.token.name.clone(),
            role: self.token.role.clone(),
            source: self.source.clone(),
        };
        let tenancy = Tenancy::new(api.0.parts.clone(), author);
        if self.is_operator() { tenancy.of_operator() } else { tenancy }
    }
}

/// The one bearer token of a request, if it has the form of ours.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let only = all.next()?.to_str().ok()?;
    if all.next().is_some() {
        return None;
    }
    let (scheme, value) = only.split_once(' ')?;
    let value = value.trim_matches(' ');
    let ours = scheme.eq_ignore_ascii_case("bearer") && value.starts_with(PREFIX) && value.len() <= MOST_TOKEN;
    ours.then_some(value)
}

/// The private listener is this machine's: only a loopback `Host` is ours, and a page only if it came from there.
fn of_here(headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).unwrap_or_default();
    if hosts.next().is_some() || !is_loopback(host) {
        return Err(Problem::elsewhere("Host", "the admin API is reached as localhost or by a loopback address"));
    }
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let own = format!("http://{host}");
    match (origins.next(), origins.next()) {
        (None, _) => Ok(()),
        (Some(origin), None) if origin.as_bytes().eq_ignore_ascii_case(own.as_bytes()) => Ok(()),
        _ => Err(Problem::elsewhere("Origin", "the admin API answers no page of another site")),
    }
}

fn is_loopback(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, port)) => (name, port),
            None => return false,
        },
        None => host.split_once(':').map_or((host, ""), |(name, _)| (name, &host[name.len()..])),
    };
    let port_is_one = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    let name_is_ours = name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    port_is_one && name_is_ours
}

fn source(headers: &HeaderMap, extensions: &Extensions) -> Option<Source> {
    let address = extensions.get::<ClientAddress>()?.0.to_string();
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    Some(Source { address, user_agent: agent.map(|agent| agent.chars().take(MOST_AGENT).collect()) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_loopback_names_are_here() {
        for ours in ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:9090", "[::1]", "[::1]:9090", "127.9.9.9:1"] {
            assert!(is_loopback(ours), "{ours}");
        }
        for theirs in [
            "",
            "evil.example",
            "localhost.evil.example",
            "localhost:x",
            "localhost:99999",
            "localhost:1:2",
            "::1",
            "[::1",
            "[::1]x",
            "127.0.0.1.evil.example",
            "0.0.0.0",
            "192.0.2.1",
            "localhost ",
            "user@localhost",
            "127.0.0.1:",
        ] {
            assert!(!is_loopback(theirs), "{theirs}");
        }
    }

    #[test]
    fn a_page_is_here_only_if_it_is_this_listeners() {
        let with = |origin: &[&'static str]| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "127.0.0.1:9090".parse().unwrap());
            for one in origin {
                headers.append(header::ORIGIN, one.parse().unwrap());
            }
            of_here(&headers).is_ok()
        };
        assert!(with(&[]) && with(&["http://127.0.0.1:9090"]));
        for theirs in
            ["null", "http://127.0.0.1:9091", "https://127.0.0.1:9090", "http://localhost:9090", "https://evil.example"]
        {
            assert!(!with(&[theirs]), "{theirs}");
        }
        assert!(!with(&["http://127.0.0.1:9090", "https://evil.example"]));
    }

    #[test]
    fn a_token_is_one_and_ours() {
        let with = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(with(&["Bearer spadm_x"]).as_deref(), Some("spadm_x"));
        assert_eq!(with(&["bearer  spadm_x "]).as_deref(), Some("spadm_x"));
        for none in [
            &[][..],
            &["spadm_x"],
            &["Basic spadm_x"],
            &["Bearer eyJhbGciOi.x.y"],
            &["Bearer spadm_x", "Bearer spadm_x"],
        ] {
            assert_eq!(with(none), None, "{none:?}");
        }
        assert_eq!(with(&[&format!("Bearer spadm_{}", "x".repeat(300))]), None);
    }

    proptest! {
        #[test]
        fn no_host_breaks_the_look(host in "\\PC{0,60}|[\\[\\]:0-9a-z.]{0,40}") {
            let _ = is_loopback(&host);
        }
    }
}
