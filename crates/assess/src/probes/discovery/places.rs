//! Where metadata may be: well-known URIs by RFC 9728 section 3.1, RFC 8414 sections 3.1 and 5, OpenID Connect
//! Discovery 1.0 section 4, in the order of the MCP specification. It fetches nothing.

use url::Url;

/// Where a resource's metadata may be when no challenge says so: path-inserted, then at the root.
pub(crate) fn of_resource(resource: &Url) -> Vec<Url> {
    distinct([inserted(resource, "oauth-protected-resource"), at_root(resource, "oauth-protected-resource")])
}

/// Where an authorization server's metadata may be, by its issuer.
pub(crate) fn of_issuer(issuer: &Url) -> Vec<Url> {
    distinct([
        inserted(issuer, "oauth-authorization-server"),
        inserted(issuer, "openid-configuration"),
        appended(issuer, "openid-configuration"),
    ])
}

/// Where a server of MCP 2025-03-26 keeps it: at its own origin.
pub(crate) fn of_origin(resource: &Url) -> Vec<Url> {
    distinct([at_root(resource, "oauth-authorization-server"), at_root(resource, "openid-configuration")])
}

/// `resource` without path, query and fragment.
pub(crate) fn origin(resource: &Url) -> Url {
    with_path(resource, "/")
}

fn inserted(url: &Url, name: &str) -> Url {
    let mut place = with_path(url, &format!("/.well-known/{name}{}", url.path().trim_end_matches('/')));
    // RFC 9728 section 3.1 inserts before path and query.
    place.set_query(url.query());
    place
}

fn appended(url: &Url, name: &str) -> Url {
    with_path(url, &format!("{}/.well-known/{name}", url.path().trim_end_matches('/')))
}

fn at_root(url: &Url, name: &str) -> Url {
    with_path(url, &format!("/.well-known/{name}"))
}

fn with_path(url: &Url, path: &str) -> Url {
    let mut place = url.clone();
    place.set_path(path);
    place.set_query(None);
    place.set_fragment(None);
    place
}

fn distinct<const N: usize>(places: [Url; N]) -> Vec<Url> {
    let mut seen = Vec::with_capacity(N);
    for place in places {
        if !seen.contains(&place) {
            seen.push(place);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(places: &[Url]) -> Vec<&str> {
        places.iter().map(Url::as_str).collect()
    }

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn the_order_is_the_specifications() {
        assert_eq!(
            texts(&of_resource(&url("https://example.com/public/mcp"))),
            [
                "https://example.com/.well-known/oauth-protected-resource/public/mcp",
                "https://example.com/.well-known/oauth-protected-resource"
            ]
        );
        assert_eq!(
            texts(&of_issuer(&url("https://auth.example.com/tenant1"))),
            [
                "https://auth.example.com/.well-known/oauth-authorization-server/tenant1",
                "https://auth.example.com/.well-known/openid-configuration/tenant1",
                "https://auth.example.com/tenant1/.well-known/openid-configuration"
            ]
        );
    }

    #[test]
    fn without_a_path_there_is_no_place_twice() {
        assert_eq!(of_resource(&url("https://example.com/")).len(), 1);
        assert_eq!(
            texts(&of_issuer(&url("https://auth.example.com"))),
            [
                "https://auth.example.com/.well-known/oauth-authorization-server",
                "https://auth.example.com/.well-known/openid-configuration"
            ]
        );
        assert_eq!(
            texts(&of_origin(&url("http://127.0.0.1:9/mcp?x#y")))[0],
            "http://127.0.0.1:9/.well-known/oauth-authorization-server"
        );
    }

    #[test]
    fn a_query_stays_with_the_resource() {
        assert_eq!(
            of_resource(&url("https://h/mcp/?tenant=1"))[0].as_str(),
            "https://h/.well-known/oauth-protected-resource/mcp?tenant=1"
        );
    }
}
