use serde_json::json;

use super::*;
use crate::bench::Challenge;

fn found(url: &str, document: Value) -> Found<Value> {
    Found { url: url.parse().unwrap(), document, exchange: 1 }
}

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

const AS_PLACE: &str = "https://as.example/.well-known/oauth-authorization-server";
const PATH_PLACE: &str = "https://h.example/.well-known/oauth-protected-resource/mcp";
const ROOT_PLACE: &str = "https://h.example/.well-known/oauth-protected-resource";

fn server() -> Value {
    json!({
        "issuer": "https://as.example",
        "authorization_endpoint": "https://as.example/authorize",
        "token_endpoint": "https://as.example/token",
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
    })
}

fn with(member: &str, value: Value) -> Value {
    let mut document = server();
    document[member] = value;
    document
}

fn without(member: &str) -> Value {
    let mut document = server();
    document.as_object_mut().unwrap().shift_remove(member);
    document
}

fn servers(document: Value) -> Vec<Found<Value>> {
    vec![found(AS_PLACE, document)]
}

fn discovery(resource: Value, server: Value) -> Discovery {
    Discovery { resource: Some(found(PATH_PLACE, resource)), servers: servers(server), ..Discovery::default() }
}

fn identifies(resource: &str, place: &str, challenged: bool) -> bool {
    let challenge = challenged.then(|| Challenge {
        params: [("resource_metadata".to_owned(), place.to_owned())].into(),
        ..Challenge::default()
    });
    let found = found(place, json!({"resource": resource}));
    let discovery = Discovery { challenge, ..Discovery::default() };
    judge::identifier(&url("https://h.example/mcp"), &found, &discovery).held
}

#[test]
fn the_resource_is_what_the_client_asked_for() {
    for (resource, place, challenged, held) in [
        ("https://h.example/mcp", PATH_PLACE, true, true),
        ("https://h.example/mcp", PATH_PLACE, false, true),
        ("HTTPS://H.example:443/mcp", PATH_PLACE, false, true),
        ("https://h.example/mcp/", PATH_PLACE, false, true),
        // The suffix was inserted into the origin, so the origin is what it describes.
        ("https://h.example", ROOT_PLACE, false, true),
        ("https://h.example/mcp", ROOT_PLACE, false, true),
        // A challenge speaks for the URL that was asked.
        ("https://h.example", ROOT_PLACE, true, false),
        ("https://h.example", PATH_PLACE, false, false),
        ("https://somewhere-else.example/mcp", PATH_PLACE, true, false),
        ("https://h.example/mcp2", PATH_PLACE, false, false),
        ("mcp", PATH_PLACE, false, false),
    ] {
        assert_eq!(identifies(resource, place, challenged), held, "{resource} at {place}, challenged {challenged}");
    }
}

#[test]
fn each_missing_member_is_named() {
    assert!(judge::complete(&servers(server())).held);
    assert!(!judge::complete(&[]).held);
    for member in ["issuer", "authorization_endpoint", "token_endpoint", "response_types_supported"] {
        let judged = judge::complete(&servers(without(member)));
        assert!(!judged.held && judged.observed.contains(member), "{judged:?}");
    }
}

#[test]
fn an_issuer_is_compared_to_the_letter() {
    let resource = json!({"resource": "https://h.example/mcp", "authorization_servers": ["https://as.example"]});
    for (said, held) in
        [("https://as.example", true), ("https://as.example/", false), ("https://AS.example", false), ("", false)]
    {
        let discovery = discovery(resource.clone(), with("issuer", json!(said)));
        let asked = asked_for(&url("https://h.example/mcp"), &discovery, &discovery.servers[0]);
        assert_eq!(asked, Asked::Issuer("https://as.example".to_owned()));
        assert_eq!(judge::issuers(&[(asked, &discovery.servers[0])]).held, held, "{said}");
    }
}

#[test]
fn without_resource_metadata_the_origin_is_the_issuer() {
    let place = "http://127.0.0.1:9/.well-known/oauth-authorization-server";
    for (said, held) in [("http://127.0.0.1:9", true), ("http://127.0.0.1:9/", true), ("http://127.0.0.1:8", false)] {
        let discovery = Discovery { servers: vec![found(place, json!({"issuer": said}))], ..Discovery::default() };
        let asked = asked_for(&url("http://127.0.0.1:9/mcp"), &discovery, &discovery.servers[0]);
        assert_eq!(judge::issuers(&[(asked, &discovery.servers[0])]).held, held, "{said}");
    }
}

#[test]
fn plain_http_is_for_loopback_alone() {
    assert!(judge::endpoints(&servers(server())).held);
    for (value, held) in [
        (json!("http://127.0.0.1:9/token"), true),
        (json!("http://localhost/token"), true),
        (json!("http://[::1]:9/token"), true),
        (json!("http://[::ffff:127.0.0.1]/token"), true),
        (json!("http://as.example.com/token"), false),
        (json!("http://127.0.0.1.example.com/token"), false),
        (json!("http://localhost.example.com/token"), false),
        (json!("ftp://127.0.0.1/token"), false),
        (json!("/token"), false),
        (json!(7), false),
    ] {
        assert_eq!(judge::endpoints(&servers(with("token_endpoint", value.clone()))).held, held, "{value}");
    }
    assert!(!judge::endpoints(&servers(with("jwks_uri", json!("http://as.example/keys")))).held);
    assert!(!judge::endpoints(&[]).held);
}

#[test]
fn s256_and_nothing_weaker() {
    for (methods, held) in
        [(json!(["S256"]), true), (json!(["plain", "S256"]), false), (json!(["plain"]), false), (json!([]), false)]
    {
        assert_eq!(
            judge::pkce(&servers(with("code_challenge_methods_supported", methods.clone()))).held,
            held,
            "{methods}"
        );
    }
    let silent = without("code_challenge_methods_supported");
    assert!(!judge::pkce(&servers(silent.clone())).held);
    let both = vec![found(AS_PLACE, server()), found("https://as.example/.well-known/openid-configuration", silent)];
    assert!(judge::pkce(&both).held, "one of two documents of the same issuer may be silent");
    assert!(!judge::pkce(&[]).held);
}

#[test]
fn ways_in_for_clients_agents_and_keys() {
    assert!(!judge::registration_path(&servers(server())).held);
    assert!(judge::registration_path(&servers(with("registration_endpoint", json!("https://as.example/r")))).held);
    assert!(judge::registration_path(&servers(with("client_id_metadata_document_supported", json!(true)))).held);
    assert!(!judge::registration_path(&servers(with("client_id_metadata_document_supported", json!("true")))).held);

    let absent = judge::agent_grant(&servers(server()));
    assert!(!absent.held && absent.observed.contains("absent"), "{absent:?}");
    for (grants, held) in [
        (json!(["authorization_code", "refresh_token"]), false),
        (json!(["client_credentials"]), true),
        (json!(["urn:ietf:params:oauth:grant-type:jwt-bearer"]), true),
    ] {
        assert_eq!(judge::agent_grant(&servers(with("grant_types_supported", grants.clone()))).held, held, "{grants}");
    }

    assert!(!judge::sender_bound(&discovery(json!({}), server())).held);
    assert!(judge::sender_bound(&discovery(json!({"dpop_signing_alg_values_supported": ["ES256"]}), server())).held);
    assert!(
        judge::sender_bound(&discovery(json!({}), with("tls_client_certificate_bound_access_tokens", json!(true))))
            .held
    );
}

fn scopes_of(resource: Value, of_server: Value) -> [bool; 3] {
    let discovery = discovery(resource, with("scopes_supported", of_server));
    [scopes::published(&discovery).held, scopes::specific(&discovery).held, scopes::separate(&discovery).held]
}

#[test]
fn scopes_are_published_limited_and_apart() {
    for (of_resource, of_server, expected) in [
        (json!(["mail.read", "mail.send"]), json!([]), [true, true, true]),
        (json!(["mcp:tools", "mcp:resources"]), json!(["mcp:tools", "mcp:admin"]), [true, true, true]),
        (json!(["mcp:tools", "mcp:resources"]), json!([]), [true, true, false]),
        (json!(["user"]), json!(["openid", "email"]), [true, true, false]),
        (json!(["mcp:tools", "*", "offline_access"]), json!(["mcp:tools", "mcp:admin"]), [true, false, true]),
        (json!(["mail.read", "mail.send", "offline_access"]), json!([]), [true, false, true]),
        (json!([]), json!([]), [false, false, false]),
    ] {
        let resource = json!({"scopes_supported": of_resource});
        assert_eq!(scopes_of(resource, of_server.clone()), expected, "{of_resource} {of_server}");
    }
    let alone =
        Discovery { servers: servers(with("scopes_supported", json!(["a.read", "a.write"]))), ..Discovery::default() };
    assert!(!scopes::published(&alone).held, "the resource itself says nothing");
    assert!(scopes::specific(&alone).held && scopes::separate(&alone).held, "but there are scopes, and they are apart");
}

#[test]
fn names_for_everything_are_known() {
    for scope in [
        "*",
        "all",
        "admin",
        "admin:*",
        "full_access",
        "full-access",
        "read:all",
        "repo.*",
        "Root",
        "https://api.example/*",
    ] {
        assert!(scopes::is_everything(scope), "{scope}");
    }
    for scope in
        ["mcp:admin", "admin:read", "calls.read", "fulfilment:write", "allergies.read", "https://api.example/mail.read"]
    {
        assert!(!scopes::is_everything(scope), "{scope}");
    }
}
