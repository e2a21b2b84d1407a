use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Router, extract::ConnectInfo, routing::any};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use sallyport_model::Secret;

use super::*;
use crate::tls_server::{serve_mtls, serve_tls};

async fn serve(router: Router) -> Url {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap()).parse().unwrap();
    let service = router.into_make_service_with_connect_info::<std::net::SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
    url
}

fn post(url: &str) -> Request<Full<Bytes>> {
    Request::post(url).body(Full::new(Bytes::from("{}"))).unwrap()
}

async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn no_header_is_added_but_host_and_length() {
    let names = |headers: HeaderMap| async move {
        headers.keys().map(|name| name.as_str().to_owned()).collect::<Vec<_>>().join(",")
    };
    let url = serve(Router::new().route("/mcp", any(names))).await;
    let client = UpstreamClient::new(&url, &HttpOptions::default()).unwrap();
    assert_eq!(text(client.send(post(url.as_str())).await.unwrap()).await, "host,content-length");
}

#[tokio::test]
async fn connections_are_used_again_and_redirects_are_not_followed() {
    let hits = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&hits);
    let peer = move |ConnectInfo(peer): ConnectInfo<std::net::SocketAddr>| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { (StatusCode::TEMPORARY_REDIRECT, [("location", "/other")], peer.to_string()) }
    };
    let url = serve(Router::new().fallback(peer)).await;
    let client = UpstreamClient::new(&url, &HttpOptions::default()).unwrap();
    let first = client.send(post(url.as_str())).await.unwrap();
    assert_eq!(first.status(), StatusCode::TEMPORARY_REDIRECT);
    let first = text(first).await;
    assert_eq!(first, text(client.send(post(url.as_str())).await.unwrap()).await);
    assert_eq!(hits.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn another_origin_is_refused_before_anything_is_sent() {
    let url: Url = "https://upstream.test/mcp".parse().unwrap();
    let client = UpstreamClient::new(&url, &HttpOptions::default()).unwrap();
    for other in [
        "http://upstream.test/mcp",
        "https://upstream.test:444/mcp",
        "https://upstream.test.evil.test/mcp",
        "https://user@upstream.test/mcp",
        "/mcp",
    ] {
        let error = client.send(post(other)).await.unwrap_err();
        assert!(matches!(error, Error::ForeignHost { .. }) && !error.may_have_been_sent(), "{other}: {error}");
    }
    for bad in ["ftp://upstream.test/", "https://u:p@upstream.test/", "data:text/plain,x"] {
        let error = UpstreamClient::new(&bad.parse().unwrap(), &HttpOptions::default()).unwrap_err();
        assert!(matches!(error, Error::BadUrl { .. }), "{bad}: {error}");
    }
}

#[tokio::test]
async fn an_extra_root_is_trusted_and_http_2_spoken() {
    let (port, root) = serve_tls(&["localhost"]).await;
    let url: Url = format!("https://localhost:{port}/mcp").parse().unwrap();
    let options = HttpOptions { extra_roots: vec![root], ..HttpOptions::default() };
    let client = UpstreamClient::new(&url, &options).unwrap();
    let response = client.send(post(url.as_str())).await.unwrap();
    assert_eq!(response.headers()["x-version"], "HTTP/2.0");
    let distrusting = UpstreamClient::new(&url, &HttpOptions::default()).unwrap();
    let error = distrusting.send(post(url.as_str())).await.unwrap_err();
    assert!(!error.may_have_been_sent(), "{error}");
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let me = rcgen::generate_simple_self_signed(vec!["gate.test".to_owned()]).unwrap();
    let (port, root) = serve_mtls(&["localhost"], me.cert.der().clone()).await;
    let url: Url = format!("https://localhost:{port}/mcp").parse().unwrap();
    let roots = vec![root];
    let identity = ClientIdentity { chain_pem: me.cert.pem(), key_pem: Secret::new(me.signing_key.serialize_pem()) };
    let with = HttpOptions { extra_roots: roots.clone(), identity: Some(identity), ..HttpOptions::default() };
    let client = UpstreamClient::new(&url, &with).unwrap();
    assert_eq!(client.send(post(url.as_str())).await.unwrap().status(), StatusCode::OK);
    let without = HttpOptions { extra_roots: roots, ..HttpOptions::default() };
    let client = UpstreamClient::new(&url, &without).unwrap();
    assert!(client.send(post(url.as_str())).await.is_err());
}

#[test]
fn a_pem_without_certificates_is_refused() {
    assert!(crate::certificates_from_pem("").is_err());
    assert!(crate::certificates_from_pem("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----").is_err());
}
