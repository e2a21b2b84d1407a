//! Finding an upstream's authorization server: 401 → RFC 9728 → RFC 8414 (2025-11-25 and 2026-07-28
//! basic/authorization, Authorization Server Discovery).
//!
//! All of it is data: a URL in it is fetched only where [`super::reach`] lets it lead, over https unless the
//! upstream itself is plain, and a document that is about somebody else is not used.

use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use sallyport_oauth::{oidc::Transport, strict};
use sallyport_outbound::guard::Resolver;
use serde_json::{Map, Value};
use url::Url;

use super::{challenge::Challenge, fault::TokenFault, reach, wire::Wire};
use crate::upstream::credential::TokenServer;

/// An authorization server as far as we use it, and the way to it.
#[derive(Debug, Clone)]
pub(super) struct Server {
    /// Whom assertions for it name.
    pub issuer: String,
    pub token_endpoint: Url,
    pub authorization_endpoint: Option<Url>,
    pub revocation_endpoint: Option<Url>,
    /// Whether PKCE with S256 is advertised.
    pub s256: bool,
    /// RFC 9207.
    pub names_itself: bool,
    /// Whether it reads clients' metadata documents.
    pub reads_documents: bool,
    /// What the upstream calls itself (RFC 9728 `resource`).
    pub resource: Option<String>,
    pub wire: Wire,
}

/// Who looks, and from where.
pub(super) struct Looking<'a> {
    /// The upstream.
    pub url: &'a Url,
    pub resolver: &'a Arc<dyn Resolver>,
    pub roots: &'a [CertificateDer<'static>],
}

impl Looking<'_> {
    /// The authorization server that is configured.
    pub(super) async fn find(&self, server: &TokenServer) -> Result<Server, TokenFault> {
        match server {
            TokenServer::Endpoint { token_endpoint, issuer } => Ok(Server {
                issuer: issuer.clone().unwrap_or_else(|| token_endpoint.to_string()),
                token_endpoint: token_endpoint.clone(),
                authorization_endpoint: None,
                revocation_endpoint: None,
                s256: false,
                names_itself: false,
                reads_documents: false,
                resource: None,
                wire: self.anywhere(),
            }),
            TokenServer::Issuer(issuer) => self.described(issuer, issuer, None).await,
            TokenServer::Discovered => self.named_by_upstream().await,
        }
    }

    async fn named_by_upstream(&self) -> Result<Server, TokenFault> {
        // A server that says nothing to a stranger may still have its metadata at their place.
        let headers = self.anywhere().challenges(self.url).await.unwrap_or_default();
        let challenge = Challenge::read(&headers);
        let transport = transport(self.url);
        let mut places = Vec::new();
        match &challenge.resource_metadata {
            Some(place) => places.push(transport.url("resource_metadata", place).map_err(found_bad)?),
            None => places.extend(well_known(self.url, "oauth-protected-resource")),
        }
        let mut document = None;
        for place in places {
            if let Some(bytes) =
                self.wire_to(self.url, &place).await.document("the upstream's metadata", &place).await?
            {
                document = Some(object(&bytes)?);
                break;
            }
        }
        let document = document.ok_or_else(|| fault("it has no protected resource metadata"))?;
        let resource = text(&document, "resource").ok_or_else(|| fault("its metadata name no `resource`"))?;
        if !covers(&resource, self.url) {
            return Err(fault("its metadata are about another resource"));
        }
        let servers = document.get("authorization_servers").and_then(Value::as_array);
        let issuer = servers.and_then(|servers| servers.first()?.as_str());
        let issuer = issuer.ok_or_else(|| fault("its metadata name no authorization server"))?;
        let issuer = transport.url("authorization_servers", issuer).map_err(found_bad)?;
        self.described(&issuer, self.url, Some(resource)).await
    }

    /// The server of `issuer` by its metadata. `named` is the URL of the operator's that leads there.
    async fn described(&self, issuer: &Url, named: &Url, resource: Option<String>) -> Result<Server, TokenFault> {
        let places = well_known(issuer, "oauth-authorization-server")
            .into_iter()
            .take(1)
            .chain(well_known(issuer, "openid-configuration").into_iter().take(1))
            .chain(appended(issuer, "openid-configuration"));
        let mut document = None;
        for place in places {
            let wire = self.wire_to(named, &place).await;
            if let Some(bytes) = wire.document("the authorization server's metadata", &place).await? {
                document = Some(object(&bytes)?);
                break;
            }
        }
        let document = document.ok_or_else(|| fault("it has no metadata"))?;
        let theirs = text(&document, "issuer").unwrap_or_default();
        // RFC 8414 section 3.3, to the letter but for the slash that URLs gain when they are read.
        if theirs.trim_end_matches('/') != issuer.as_str().trim_end_matches('/') {
            return Err(fault("its metadata are of another issuer"));
        }
        let transport = transport(named);
        let endpoint = |name: &'static str| match text(&document, name) {
            Some(url) => transport.url(name, &url).map(Some).map_err(found_bad),
            None => Ok(None),
        };
        let flag = |name: &str| document.get(name).and_then(Value::as_bool).unwrap_or_default();
        let methods = document.get("code_challenge_methods_supported").and_then(Value::as_array);
        let token_endpoint = endpoint("token_endpoint")?.ok_or_else(|| fault("its metadata name no token endpoint"))?;
        let authorization_endpoint = endpoint("authorization_endpoint")?;
        let revocation_endpoint = endpoint("revocation_endpoint")?;
        if resource.is_some() {
            let optional = [&authorization_endpoint, &revocation_endpoint].into_iter().flatten();
            at_home(issuer, optional.chain([&token_endpoint]))?;
        }
        Ok(Server {
            authorization_endpoint,
            revocation_endpoint,
            s256: methods.is_some_and(|methods| methods.iter().any(|method| method == "S256")),
            names_itself: flag("authorization_response_iss_parameter_supported"),
            reads_documents: flag("client_id_metadata_document_supported"),
            wire: self.wire_to(named, &token_endpoint).await,
            issuer: theirs,
            token_endpoint,
            resource,
        })
    }

    fn anywhere(&self) -> Wire {
        Wire::new(reach::anywhere(), Arc::clone(self.resolver), self.roots.to_vec())
    }

    /// The way to `url`, which something at `named` named.
    async fn wire_to(&self, named: &Url, url: &Url) -> Wire {
        if url.origin() == named.origin() {
            return self.anywhere();
        }
        let policy = reach::from(named, self.resolver.as_ref()).await;
        Wire::new(policy, Arc::clone(self.resolver), self.roots.to_vec())
    }
}

/// Whether the endpoints are at the issuer's own origin. A server that nobody but the upstream named could else send
/// people to an honest server's page and take the code that they bring back (mix-up, RFC 9700 section 4.4).
fn at_home<'a>(issuer: &Url, endpoints: impl IntoIterator<Item = &'a Url>) -> Result<(), TokenFault> {
    if endpoints.into_iter().all(|endpoint| endpoint.origin() == issuer.origin()) {
        return Ok(());
    }
    Err(fault("the server that the upstream names has an endpoint at another origin than its issuer's"))
}

/// Which URLs a plain upstream, or one behind TLS, may name.
fn transport(named: &Url) -> Transport {
    if named.scheme() == "http" { Transport::HttpsOrLoopback } else { Transport::Https }
}

/// RFC 8615 with the path inserted, then at the root.
fn well_known(url: &Url, name: &str) -> Vec<Url> {
    let path = url.path().trim_end_matches('/');
    let at = |path: &str| {
        let mut place = url.clone();
        place.set_query(None);
        place.set_fragment(None);
        place.set_path(&format!("/.well-known/{name}{path}"));
        place
    };
    if path.is_empty() { vec![at("")] } else { vec![at(path), at("")] }
}

/// OpenID Connect Discovery section 4.
fn appended(issuer: &Url, name: &str) -> Option<Url> {
    let path = issuer.path().trim_end_matches('/');
    let mut place = issuer.clone();
    place.set_path(&format!("{path}/.well-known/{name}"));
    (!path.is_empty()).then_some(place)
}

/// Whether a resource identifier is the upstream's: of its origin, and its path or one above it.
fn covers(resource: &str, upstream: &Url) -> bool {
    let Ok(resource) = Url::parse(resource) else { return false };
    let above = resource.path().trim_end_matches('/');
    let rest = upstream.path().strip_prefix(above);
    resource.origin() == upstream.origin() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn object(bytes: &[u8]) -> Result<Map<String, Value>, TokenFault> {
    strict::object(bytes).map_err(|_| fault("a metadata document is not one unambiguous JSON object"))
}

fn text(document: &Map<String, Value>, name: &str) -> Option<String> {
    document.get(name).and_then(Value::as_str).filter(|text| text.len() <= 2048).map(str::to_owned)
}

fn fault(what: &str) -> TokenFault {
    TokenFault::Discovery(what.to_owned())
}

fn found_bad(error: sallyport_oauth::oidc::OidcFault) -> TokenFault {
    match error {
        sallyport_oauth::oidc::OidcFault::Url { name, why, .. } => {
            TokenFault::Discovery(format!("the `{name}` that it names {why}"))
        }
        _ => fault("it names what is no URL"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn metadata_are_looked_for_where_the_specifications_say() {
        let found: Vec<String> = well_known(&url("https://a.example/public/mcp?x=1"), "oauth-protected-resource")
            .iter()
            .map(Url::to_string)
            .collect();
        assert_eq!(
            found,
            [
                "https://a.example/.well-known/oauth-protected-resource/public/mcp",
                "https://a.example/.well-known/oauth-protected-resource"
            ]
        );
        assert_eq!(well_known(&url("https://a.example/"), "x").len(), 1);
        let appended = |text: &str| appended(&url(text), "openid-configuration").map(|url| url.to_string());
        assert_eq!(appended("https://a.example"), None);
        assert_eq!(
            appended("https://a.example/t1/"),
            Some("https://a.example/t1/.well-known/openid-configuration".into())
        );
    }

    #[test]
    fn a_server_that_the_upstream_names_has_its_endpoints_at_home() {
        let issuer = url("https://as.example/tenant");
        let [own, deeper] = ["https://as.example/token", "https://as.example:443/tenant/authorize"].map(url);
        assert!(at_home(&issuer, [&own, &deeper]).is_ok());
        for other in [
            "https://honest.example/authorize",
            "https://as.example:8443/",
            "http://as.example/",
            "https://a.as.example/",
        ] {
            let refused = at_home(&issuer, [&own, &url(other)]).unwrap_err();
            assert!(refused.to_string().contains("name it with `issuer`"), "{other}");
        }
    }

    #[test]
    fn a_resource_is_the_upstream_or_above_it_and_nobody_else() {
        let upstream = url("https://a.example/public/mcp");
        for ok in ["https://a.example", "https://a.example/public", "https://a.example/public/mcp"] {
            assert!(covers(ok, &upstream), "{ok}");
        }
        for no in [
            "https://b.example/public/mcp",
            "http://a.example/public/mcp",
            "https://a.example/pub",
            "https://a.example/public/mcp/x",
            "a.example",
            "https://a.example:8443/",
        ] {
            assert!(!covers(no, &upstream), "{no}");
        }
    }
}
