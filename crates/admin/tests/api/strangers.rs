//! Where requests come from, and what they may look like.

use axum::body::Body;
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::json;

use crate::bench::Bench;

#[tokio::test]
async fn a_page_of_another_site_gets_nothing() {
    let bench = Bench::new().await;
    for (name, value) in [
        (header::HOST, "evil.example"),
        (header::HOST, "evil.example:9090"),
        (header::HOST, "127.0.0.1.evil.example"),
        (header::ORIGIN, "https://evil.example"),
        (header::ORIGIN, "null"),
        (header::ORIGIN, "http://127.0.0.1:8080"),
    ] {
        let mut request = bench.request(&bench.operator, Method::GET, "/tenants", None);
        request.headers_mut().insert(name.clone(), HeaderValue::from_static(value));
        let answered = bench.raw(request).await;
        assert_eq!(
            (answered.status, &answered.json["code"]),
            (StatusCode::FORBIDDEN, &json!("foreign_origin")),
            "{value}"
        );
    }
    let mut request = bench.request(&bench.operator, Method::GET, "/tenants", None);
    request.headers_mut().remove(header::HOST);
    assert_eq!(bench.raw(request).await.status, StatusCode::FORBIDDEN, "without a Host");
    let mut request = bench.request(&bench.operator, Method::GET, "/tenants", None);
    request.headers_mut().insert(header::ORIGIN, HeaderValue::from_static("http://127.0.0.1:9090"));
    assert_eq!(bench.raw(request).await.status, StatusCode::OK, "its own page");
}

#[tokio::test]
async fn what_is_not_there_is_told_to_those_who_may_know() {
    let bench = Bench::new().await;
    for path in ["/nothing", "/tenants/acme/nothing", "/", "/tenants/acme/people/%ff"] {
        assert_eq!(bench.get("", path).await.status, StatusCode::UNAUTHORIZED, "{path}");
        let answered = bench.get(&bench.operator, path).await;
        assert_eq!((answered.status, &answered.json["code"]), (StatusCode::NOT_FOUND, &json!("not_found")), "{path}");
    }
    assert_eq!(bench.delete("", "/tenants").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(bench.delete(&bench.operator, "/tenants").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_slip_of_the_pen_is_refused() {
    let bench = Bench::new().await;
    let wrong = async |path: &str, body: &str| {
        let mut request = bench.request(&bench.operator, Method::POST, path, None);
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = Body::from(body.to_owned());
        bench.raw(request).await
    };
    for (body, field) in [
        ("", None),
        ("[]", None),
        ("{", None),
        (r#"{"id":"delta"}"#, Some("name")),
        (r#"{"id":"delta","name":"D","nmae":"x"}"#, Some("nmae")),
        (r#"{"id":"delta","name":"D","name":"E"}"#, Some("name")),
        (r#"{"id":"delta","name":7}"#, None),
    ] {
        let answered = wrong("/tenants", body).await;
        assert_eq!(
            (answered.status, &answered.json["code"]),
            (StatusCode::BAD_REQUEST, &json!("invalid_body")),
            "{body}"
        );
        assert_eq!(answered.json["field"].as_str(), field, "{body}: {}", answered.json);
    }
    assert_eq!(wrong("/tenants/acme/suspend", "{}").await.status, StatusCode::BAD_REQUEST, "it takes no body");
    let large = format!(r#"{{"id":"delta","name":"{}"}}"#, "x".repeat(70_000));
    assert_eq!(wrong("/tenants", &large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let mut form = bench.request(&bench.operator, Method::POST, "/tenants", None);
    *form.body_mut() = Body::from(r#"{"id":"delta","name":"D"}"#);
    assert_eq!(bench.raw(form).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    for query in ["?limit=0", "?limit=201", "?cursor=%2A", "?nobody=1", "?limit=1&limit=1"] {
        let answered = bench.get(&bench.operator, &format!("/tenants{query}")).await;
        assert_eq!(
            (answered.status, &answered.json["code"]),
            (StatusCode::BAD_REQUEST, &json!("invalid_query")),
            "{query}"
        );
    }
    assert!(bench.events().is_empty());
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_done() {
    let bench = Bench::new().await;
    bench.kept.full.store(true, std::sync::atomic::Ordering::SeqCst);
    let before = bench.everything("acme").await;
    for path in ["suspend", "people/u-acme/disable", "people/u-acme/end", "connections/c-acme/disable"] {
        let answered = bench.post(&bench.operator, &format!("/tenants/acme/{path}"), json!(null)).await;
        assert_eq!(
            (answered.status, &answered.json["code"]),
            (StatusCode::SERVICE_UNAVAILABLE, &json!("not_recorded")),
            "{path}"
        );
    }
    for path in
        ["sessions/s-acme", "grants/g-acme", "connections/c-acme", "domains/acme.example", "scim-tokens/sc-acme"]
    {
        let answered = bench.delete(&bench.acme, &format!("/tenants/acme/{path}")).await;
        assert_eq!(answered.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
    let answered = bench.post(&bench.acme, "/tenants/acme/scim-tokens", json!({ "name": "x" })).await;
    assert_eq!(answered.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(before == bench.everything("acme").await);
}

#[tokio::test]
async fn a_suspended_tenants_tokens_are_worth_nothing() {
    let bench = Bench::new().await;
    assert_eq!(bench.get(&bench.acme, "/self").await.json["tenant"], "acme");
    assert_eq!(bench.post(&bench.operator, "/tenants/acme/suspend", json!(null)).await.status, StatusCode::OK);
    assert_eq!(bench.get(&bench.acme, "/self").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(bench.get(&bench.beta, "/self").await.status, StatusCode::OK);
    assert_eq!(bench.post(&bench.operator, "/tenants/acme/resume", json!(null)).await.status, StatusCode::OK);
    assert_eq!(bench.get(&bench.acme, "/self").await.status, StatusCode::OK);
}
