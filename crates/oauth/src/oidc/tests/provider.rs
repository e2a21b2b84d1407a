use proptest::prelude::*;

use super::*;
use crate::oidc::provider::{AuthenticationMethod, Remark};

fn code(changes: Value) -> &'static str {
    parse_metadata(&with(metadata_document(), changes)).map(|_| "fine").unwrap_or_else(|fault| fault.code())
}

#[test]
fn good_metadata_are_read() {
    let metadata = metadata();
    assert_eq!(metadata.token_endpoint.as_str(), "https://idp.example/token");
    assert_eq!(metadata.id_token_algorithms, [Algorithm::Es256, Algorithm::Rs256]);
    assert!(metadata.authorization_response_iss && metadata.pkce_s256 && metadata.backchannel_logout_session);
    assert!(!metadata.dpop_es256 && metadata.pushed_authorization_request_endpoint.is_none());
    assert_eq!(
        metadata.token_endpoint_auth_methods,
        [AuthenticationMethod::SecretBasic, AuthenticationMethod::PrivateKeyJwt]
    );
    assert!(metadata.remarks.is_empty());
}

/// What Canaille 0.3.6 advertises: unsigned ID tokens and the `plain` method, among sound things.
#[test]
fn what_is_advertised_never_widens_what_is_taken() {
    let hostile = with(
        metadata_document(),
        json!({
            "id_token_signing_alg_values_supported": ["none", "HS256", "RS256", "ES256K"],
            "code_challenge_methods_supported": ["plain", "S256"],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_post", "client_secret_jwt"],
            "backchannel_logout_supported": null,
            "authorization_response_iss_parameter_supported": null,
        }),
    );
    let metadata = parse_metadata(&hostile).unwrap();
    assert_eq!(metadata.id_token_algorithms, [Algorithm::Rs256]);
    assert_eq!(metadata.token_endpoint_auth_methods, [AuthenticationMethod::SecretPost]);
    let remarks = [
        Remark::OffersNone,
        Remark::OffersHmac,
        Remark::OffersPlain,
        Remark::SilentAboutIssuer,
        Remark::NoBackchannelLogout,
    ];
    assert_eq!(metadata.remarks, remarks);
    for remark in remarks {
        assert!(!remark.sentence().is_empty());
    }
}

#[test]
fn a_provider_that_offers_nothing_sound_is_refused() {
    for (changes, wanted) in [
        (json!({"id_token_signing_alg_values_supported": ["none"]}), "oidc_no_algorithm"),
        (json!({"id_token_signing_alg_values_supported": ["HS256", "HS512"]}), "oidc_no_algorithm"),
        (json!({"id_token_signing_alg_values_supported": []}), "oidc_no_algorithm"),
        (json!({"id_token_signing_alg_values_supported": null}), "oidc_metadata_missing"),
        (json!({"id_token_signing_alg_values_supported": "RS256"}), "oidc_metadata_type"),
        (json!({"code_challenge_methods_supported": ["plain"]}), "oidc_no_pkce"),
        (json!({"code_challenge_methods_supported": []}), "oidc_no_pkce"),
        (json!({"code_challenge_methods_supported": null}), "fine"),
        (json!({"response_types_supported": ["id_token"]}), "oidc_no_code_flow"),
        (json!({"token_endpoint_auth_methods_supported": ["none", "client_secret_jwt"]}), "oidc_no_authentication"),
        (json!({"token_endpoint_auth_methods_supported": null}), "fine"),
        (json!({"token_endpoint": null}), "oidc_metadata_missing"),
        (json!({"jwks_uri": null}), "oidc_metadata_missing"),
        (json!({"authorization_endpoint": null}), "oidc_metadata_missing"),
        (json!({"backchannel_logout_supported": "true"}), "oidc_metadata_type"),
    ] {
        assert_eq!(code(changes.clone()), wanted, "{changes}");
    }
}

#[test]
fn metadata_of_another_issuer_are_refused() {
    for issuer in ["https://idp.example/", "https://IDP.example", "https://evil.example", "http://idp.example", ""] {
        assert_eq!(code(json!({ "issuer": issuer })), "oidc_metadata_issuer", "{issuer}");
    }
    assert_eq!(code(json!({"issuer": null})), "oidc_metadata_missing");
    assert_eq!(code(json!({"issuer": 1})), "oidc_metadata_type");
}

#[test]
fn only_safe_addresses_are_taken() {
    for url in [
        "http://idp.example/token",
        "ftp://idp.example/token",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "//idp.example/token",
        "https://user:pass@idp.example/token",
        "https://idp.example/token#fragment",
        "https://",
        "http://127.0.0.1:8080/token",
        "",
    ] {
        for name in
            ["token_endpoint", "jwks_uri", "authorization_endpoint", "userinfo_endpoint", "end_session_endpoint"]
        {
            assert_eq!(code(json!({ name: url })), "oidc_url", "{name} {url}");
        }
    }
    assert_eq!(code(json!({"token_endpoint": format!("https://idp.example/{}", "a".repeat(3000))})), "oidc_url");
    // Another host is common (Google's).
    assert_eq!(code(json!({"jwks_uri": "https://keys.example/jwks"})), "fine");
}

#[test]
fn loopback_without_tls_is_for_tests_and_the_demo() {
    let lax = Transport::HttpsOrLoopback;
    for url in ["http://127.0.0.1:5000/x", "http://[::1]:5000/x", "http://localhost/x", "https://idp.example/x"] {
        assert!(lax.url("x", url).is_ok(), "{url}");
    }
    for url in ["http://127.0.0.1.evil.example/", "http://localhost.evil.example/", "http://10.0.0.1/", "http://[::]/"]
    {
        assert!(lax.url("x", url).is_err(), "{url}");
    }
    assert!(Transport::Https.url("x", "http://localhost/x").is_err());
}

#[test]
fn a_document_is_bounded_and_unambiguous() {
    let parse = |bytes: &[u8]| ProviderMetadata::parse(bytes, &rule(), Transport::Https).unwrap_err().code();
    let text = metadata_document().to_string();
    let twice =
        text.replacen("\"token_endpoint\"", "\"token_endpoint\":\"https://evil.example\",\"token_endpoint\"", 1);
    assert_eq!(parse(twice.as_bytes()), "oidc_document");
    assert_eq!(parse(&vec![b' '; 200 * 1024]), "oidc_document_too_large");
    assert_eq!(parse(b"<html>"), "oidc_document");
    assert_eq!(parse(format!("\u{feff}{text}").as_bytes()), "oidc_document");
}

proptest! {
    #[test]
    fn no_document_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = ProviderMetadata::parse(&bytes, &rule(), Transport::Https);
    }

    #[test]
    fn no_address_panics_and_only_https_passes(url in "(https?|ftp)?:?/{0,3}[a-z0-9.@:\\[\\]#?/-]{0,30}") {
        if let Ok(url) = Transport::Https.url("x", &url) {
            prop_assert_eq!(url.scheme(), "https");
        }
    }
}
