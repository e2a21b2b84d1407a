//! Other ways to the endpoint (seen in Starlette CVE-2026-48710 and in a `/sse` suffix that skipped the
//! checks), and pages that call it (rmcp CVE-2026-42559, the Inspector's CVE-2025-49596).

use axum::body::Body;
use http::{Request, StatusCode};
use sallyport_mcp::Era;
use serde_json::json;

use crate::rig::{HOST, PUBLIC, Rig, client::Client, http_offer, upstream::Upstream};

#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_path_to_an_upstream() {
    let (upstream, url) = Upstream::start(Era::Legacy).await;
    let rig = Rig::new(vec![http_offer("files", &url)]).await;
    let client = Client::connect(&rig, "files", Era::Legacy).await;
    let before = upstream.arrived().len();
    let body = client.message(Some(1), "tools/call", json!({"name": "echo", "arguments": {}}));
    for path in [
        "/mcp/files/",
        "//mcp/files",
        "/mcp//files",
        "/mcp/%66iles",
        "/mcp/files%2e",
        "/mcp/files/sse",
        "/mcp/files/message",
        "/mcp/./files",
        "/mcp/x/../files",
        "/mcp/x/%2e%2e/files",
        "/mcp/files%00",
        "/mcp/files;x=1",
        "/mcp/FILES",
        "/MCP/files",
        "/mcp/files%2f",
        "/sse",
        "/mcp",
        "/",
        "/message",
        "/mcp/files%3Fx",
    ] {
        for good in [true, false] {
            let mut request = client.post_request(&body);
            *request.uri_mut() = path.parse().unwrap();
            if !good {
                request.headers_mut().remove("authorization");
            }
            let reply = rig.send(request).await;
            assert!(
                reply.status == StatusCode::NOT_FOUND || reply.status == StatusCode::BAD_REQUEST,
                "{path}: {}",
                reply.status
            );
        }
    }
    for verb in ["PUT", "PATCH", "HEAD", "TRACE", "CONNECT", "PROPFIND"] {
        let mut request = client.post_request(&body);
        *request.method_mut() = verb.parse().unwrap();
        let status = rig.send(request).await.status;
        assert!(matches!(status.as_u16(), 404 | 405), "{verb}: {status}");
    }
    assert_eq!(upstream.arrived().len(), before, "nothing was forwarded");
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_hosts_and_origins_are_refused_before_anything_else() {
    let (upstream, url) = Upstream::start(Era::Legacy).await;
    let rig = Rig::new(vec![http_offer("files", &url)]).await;
    let client = Client::connect(&rig, "files", Era::Legacy).await;
    let before = upstream.arrived().len();
    let body = client.message(Some(1), "tools/call", json!({"name": "echo", "arguments": {}}));
    let with = |headers: &[(&'static str, &'static str)]| {
        let mut request = client.post_request(&body);
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        request
    };
    for headers in [
        &[("host", "evil.example")][..],
        &[("host", "127.0.0.1")],
        &[("host", "gate.example.evil.example")],
        &[("host", "gate.example:8080")],
        &[("host", "user@gate.example")],
        &[("host", HOST), ("host", "evil.example")],
        &[("host", "")],
        &[("host", HOST), ("origin", "https://evil.example")],
        &[("host", HOST), ("origin", "null")],
        &[("host", HOST), ("origin", "http://gate.example")],
        &[("host", HOST), ("origin", "https://gate.example.evil.example")],
        &[("host", HOST), ("origin", "https://app.example"), ("origin", "https://evil.example")],
    ] {
        assert_eq!(rig.send(with(headers)).await.status, StatusCode::FORBIDDEN, "{headers:?}");
    }
    let mut absolute = client.post_request(&body);
    *absolute.uri_mut() = "https://evil.example/mcp/files".parse().unwrap();
    assert_eq!(rig.send(absolute).await.status, StatusCode::FORBIDDEN, "an absolute target names a foreign host");
    assert_eq!(upstream.arrived().len(), before, "nothing was forwarded");
    for origin in [PUBLIC, "https://app.example"] {
        let reply = rig.send(with(&[("host", HOST), ("origin", origin)])).await;
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (StatusCode::OK, origin));
        assert_eq!(reply.header("access-control-allow-credentials"), "");
    }
    let preflight = |origin: &str| {
        let request =
            Request::options("/mcp/files").header("origin", origin).header("access-control-request-method", "POST");
        request.body(Body::empty()).unwrap()
    };
    assert_eq!(rig.send(preflight("https://app.example")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(rig.send(preflight("https://evil.example")).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_counts_in_one_header_only() {
    let (upstream, url) = Upstream::start(Era::Legacy).await;
    let rig = Rig::new(vec![http_offer("files", &url)]).await;
    let client = Client::connect(&rig, "files", Era::Legacy).await;
    let before = upstream.arrived().len();
    let body = client.message(Some(1), "tools/call", json!({"name": "echo", "arguments": {}}));
    let mut in_query = client.post_request(&body);
    in_query.headers_mut().remove("authorization");
    *in_query.uri_mut() = format!("/mcp/files?access_token={}", client.token).parse().unwrap();
    let mut beside = client.post_request(&body);
    *beside.uri_mut() = "/mcp/files?access_token=x".parse().unwrap();
    let mut twice = client.post_request(&body);
    let again = twice.headers()["authorization"].clone();
    twice.headers_mut().append("authorization", again);
    let mut cookie = client.post_request(&body);
    cookie.headers_mut().remove("authorization");
    cookie.headers_mut().insert("cookie", format!("access_token={}", client.token).parse().unwrap());
    let mut basic = client.post_request(&body);
    basic.headers_mut().insert("authorization", format!("Basic {}", client.token).parse().unwrap());
    let mut forwarded = client.post_request(&body);
    let value = forwarded.headers_mut().remove("authorization").unwrap();
    forwarded.headers_mut().insert("x-forwarded-authorization", value);
    for (what, request) in [
        ("query", in_query),
        ("beside", beside),
        ("twice", twice),
        ("cookie", cookie),
        ("basic", basic),
        ("forwarded", forwarded),
    ] {
        let reply = rig.send(request).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{what}");
        assert!(reply.header("www-authenticate").starts_with("Bearer "), "{what}");
    }
    assert_eq!(upstream.arrived().len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metadata_says_where_to_sign_in_and_what_for() {
    let (_, url) = Upstream::start(Era::Legacy).await;
    let rig = Rig::new(vec![http_offer("files", &url)]).await;
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    for path in ["/.well-known/oauth-protected-resource/mcp/files", "/.well-known/oauth-protected-resource"] {
        let document = rig.send(get(path)).await.json().await;
        assert_eq!(document["resource"], format!("{PUBLIC}/mcp/files"));
        assert_eq!(document["authorization_servers"], json!([crate::rig::ISSUER]));
        assert_eq!(document["bearer_methods_supported"], json!(["header"]));
        let scopes = document["scopes_supported"].as_array().unwrap();
        for scope in ["files:read", "files:write", "files:echo", "files:%77rite"] {
            assert!(scopes.contains(&scope.into()), "{scope} in {scopes:?}");
        }
        assert!(!scopes.contains(&"offline_access".into()));
    }
    assert_eq!(rig.send(get("/.well-known/oauth-protected-resource/mcp/none")).await.status, StatusCode::NOT_FOUND);
}
