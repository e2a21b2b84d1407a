//! Discovery, keys and cross-origin rules.

use axum::body::Body;
use http::{Request, StatusCode, header};
use serde_json::json;

use crate::app::*;

#[tokio::test]
async fn both_documents_say_the_same_and_only_what_is_so() {
    let app = App::new().await;
    let oauth = app.get("/.well-known/oauth-authorization-server").await;
    let openid = app.get("/.well-known/openid-configuration").await;
    assert_eq!(oauth.json(), openid.json());
    let document = oauth.json();
    assert_eq!(document["issuer"], ISSUER);
    assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(document["response_types_supported"], json!(["code"]));
    assert_eq!(document["authorization_response_iss_parameter_supported"], true);
    assert_eq!(document["client_id_metadata_document_supported"], true);
    assert_eq!(document["registration_endpoint"], "https://gate.example/oauth/register");
    for (name, value) in document.as_object().unwrap() {
        let Some(path) = value.as_str().and_then(|url| url.strip_prefix(ISSUER)).filter(|path| !path.is_empty()) else {
            continue;
        };
        assert_ne!(app.get(path).await.status, StatusCode::NOT_FOUND, "{name}");
    }
}

#[tokio::test]
async fn an_issuer_with_a_path_is_found_in_all_three_places() {
    let app = App::with(|config| config.issuer = "https://gate.example/acme".into()).await;
    for path in [
        "/.well-known/oauth-authorization-server/acme",
        "/.well-known/openid-configuration/acme",
        "/acme/.well-known/openid-configuration",
    ] {
        let document = app.get(path).await.json();
        assert_eq!(document["issuer"], "https://gate.example/acme", "{path}");
        assert_eq!(document["token_endpoint"], "https://gate.example/oauth/token", "{path}");
    }
    assert_eq!(app.get("/.well-known/oauth-authorization-server").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn registration_is_announced_only_where_it_is_on() {
    let app = App::with(|config| config.dynamic_registration = false).await;
    let document = app.get("/.well-known/oauth-authorization-server").await.json();
    assert!(document.get("registration_endpoint").is_none());
}

#[tokio::test]
async fn what_agents_may_do_is_announced_and_certificates_only_where_they_are_asked_for() {
    let app = App::new().await;
    let document = app.get("/.well-known/oauth-authorization-server").await.json();
    let lists = |document: &serde_json::Value, name: &str, value: &str| {
        document[name].as_array().unwrap().iter().any(|one| one == value)
    };
    for grant in [crate::kit::JWT_BEARER, crate::kit::EXCHANGE, "client_credentials"] {
        assert!(lists(&document, "grant_types_supported", grant), "{grant}");
    }
    assert_eq!(
        document["authorization_grant_profiles_supported"],
        json!(["urn:ietf:params:oauth:grant-profile:id-jag"])
    );
    assert!(lists(&document, "dpop_signing_alg_values_supported", "ES256"));
    assert!(!lists(&document, "dpop_signing_alg_values_supported", "none"));
    assert!(!lists(&document, "token_endpoint_auth_methods_supported", "tls_client_auth"));
    assert!(document.get("tls_client_certificate_bound_access_tokens").is_none());
    let app = App::with(|config| config.client_certificates = true).await;
    let document = app.get("/.well-known/oauth-authorization-server").await.json();
    assert!(lists(&document, "token_endpoint_auth_methods_supported", "self_signed_tls_client_auth"));
    assert_eq!(document["tls_client_certificate_bound_access_tokens"], true);
}

#[tokio::test]
async fn a_browser_client_may_call_what_needs_no_cookie_and_nothing_else() {
    let app = App::new().await;
    let preflight = |path: &str| {
        Request::options(path)
            .header(header::ORIGIN, "https://inspector.example")
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .body(Body::empty())
            .unwrap()
    };
    for path in [
        "/oauth/token",
        "/oauth/register",
        "/oauth/revoke",
        "/oauth/jwks",
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
    ] {
        let answer = app.send(preflight(path)).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{path}");
        assert_eq!(answer.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*", "{path}");
        assert!(!answer.headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS), "{path}");
    }
    assert_eq!(app.token(&[]).await.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    for path in ["/oauth/authorize", "/oauth/consent", "/oauth/authorize/resume", "/oauth/par", "/oauth/introspect"] {
        let answer = app.send(preflight(path)).await;
        assert!(!answer.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), "{path}");
    }
}
