use std::sync::atomic::{AtomicUsize, Ordering};

use axum::{Router, response::IntoResponse, routing::get};

use super::*;
use crate::{RefusedAddress, tls_server::serve_tls};

/// Answers each question with the next of its answers; the last one repeats.
#[derive(Debug)]
struct Scripted {
    answers: Vec<Vec<&'static str>>,
    asked: AtomicUsize,
}

impl Scripted {
    fn new(answers: &[&[&'static str]]) -> Arc<Self> {
        Arc::new(Self { answers: answers.iter().map(|a| a.to_vec()).collect(), asked: AtomicUsize::new(0) })
    }
}

#[async_trait]
impl Resolver for Scripted {
    async fn resolve(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
        let turn = self.asked.fetch_add(1, Ordering::SeqCst).min(self.answers.len() - 1);
        Ok(self.answers[turn].iter().map(|address| address.parse().unwrap()).collect())
    }
}

fn loopback() -> AddressPolicy {
    AddressPolicy::Allowing(vec!["127.0.0.0/8".parse().unwrap()])
}

fn client(policy: AddressPolicy, resolver: Arc<Scripted>) -> DocumentClient {
    DocumentClient::new(policy, resolver, &[]).unwrap()
}

async fn serve(router: Router) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    port
}

async fn fetch(router: Router, path: &str) -> Result<Document, Error> {
    let port = serve(router).await;
    let url = Url::parse(&format!("http://docs.test:{port}{path}")).unwrap();
    let limits = Limits { max_bytes: 1000, total: Duration::from_millis(500), ..JSON_LIMITS };
    client(loopback(), Scripted::new(&[&["127.0.0.1"]])).fetch(&url, &limits).await
}

const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");

#[tokio::test]
async fn a_document_comes_with_its_caching_facts() {
    let answer =
        || async { ([JSON, ("cache-control", "public, max-age=300"), ("etag", "\"v1\"")], "{}").into_response() };
    let document = fetch(Router::new().route("/d", get(answer)), "/d?x=1#frag").await.unwrap();
    assert_eq!(document.status, StatusCode::OK);
    assert_eq!((document.content_type.as_str(), &document.body[..]), ("application/json", &b"{}"[..]));
    assert_eq!((document.max_age, document.etag.as_deref()), (Some(Duration::from_secs(300)), Some("\"v1\"")));
}

#[tokio::test]
async fn a_request_carries_no_credential_and_the_url_as_host() {
    let answer = |headers: HeaderMap| async move {
        let names: Vec<&str> = headers.keys().map(|k| k.as_str()).collect();
        let host = headers["host"].to_str().unwrap().split(':').next().unwrap().to_owned();
        ([JSON], format!("{host} {}", names.join(",")))
    };
    let document = fetch(Router::new().route("/", get(answer)), "/").await.unwrap();
    assert_eq!(&document.body[..], b"docs.test host,accept,accept-encoding,user-agent");
}

#[tokio::test]
async fn a_redirect_is_an_error_that_names_where_to() {
    let answer = || async { (StatusCode::FOUND, [("location", "http://169.254.169.254/latest")]) };
    let error = fetch(Router::new().route("/", get(answer)), "/").await.unwrap_err();
    assert!(matches!(&error, Error::Redirect { location, .. } if location == "169.254.169.254"), "{error}");
}

#[tokio::test]
async fn limits_hold_on_size_time_and_type() {
    let big = || async { ([JSON], "x".repeat(1001)) };
    let error = fetch(Router::new().route("/", get(big)), "/").await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 1000, .. }), "{error}");
    let fits = || async { ([JSON], "x".repeat(1000)) };
    assert_eq!(fetch(Router::new().route("/", get(fits)), "/").await.unwrap().body.len(), 1000);
    let slow = || async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        ([JSON], "{}")
    };
    let error = fetch(Router::new().route("/", get(slow)), "/").await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    let html = || async { ([("content-type", "text/html")], "<p>") };
    let error = fetch(Router::new().route("/", get(html)), "/").await.unwrap_err();
    assert!(matches!(&error, Error::ContentType { found, .. } if found == "text/html"), "{error}");
    let zipped = || async { ([JSON, ("content-encoding", "gzip")], "?") };
    let error = fetch(Router::new().route("/", get(zipped)), "/").await.unwrap_err();
    assert!(matches!(error, Error::ContentType { .. }), "{error}");
}

#[tokio::test]
async fn an_error_status_is_a_document() {
    let document = fetch(Router::new(), "/nothing").await.unwrap();
    assert_eq!(document.status, StatusCode::NOT_FOUND);
}

async fn refused(url: &str, answers: &[&[&'static str]], policy: AddressPolicy) -> Error {
    client(policy, Scripted::new(answers)).fetch(&Url::parse(url).unwrap(), &JSON_LIMITS).await.unwrap_err()
}

#[tokio::test]
async fn private_answers_and_literals_are_refused() {
    use AddressPolicy::PublicOnly;
    for (url, answer) in [
        ("https://a.test/", "127.0.0.1"),
        ("https://a.test/", "::ffff:10.0.0.1"),
        ("https://a.test:8443/", "fd00:ec2::254"),
        ("https://127.0.0.1/", "8.8.8.8"),
        ("https://[::1]/", "8.8.8.8"),
        ("https://2130706433/", "8.8.8.8"),
        ("https://0x7f.1/", "8.8.8.8"),
        ("https://[::ffff:a9fe:a9fe]/", "8.8.8.8"),
    ] {
        let error = refused(url, &[&[answer]], PublicOnly).await;
        assert!(matches!(error, Error::AddressRefused { .. }), "{url}: {error}");
    }
    let error = refused("https://a.test/", &[&["8.8.8.8", "10.0.0.1"]], PublicOnly).await;
    assert!(matches!(error, Error::AddressRefused { why: RefusedAddress::Private, .. }), "a mixed answer: {error}");
}

#[tokio::test]
async fn a_name_is_asked_for_once_so_that_rebinding_changes_nothing() {
    let port = serve(Router::new().route("/", get(|| async { ([JSON], "{}") }))).await;
    let resolver = Scripted::new(&[&["127.0.0.1"], &["10.0.0.1"]]);
    let url = Url::parse(&format!("http://a.test:{port}/")).unwrap();
    let client = client(loopback(), Arc::clone(&resolver));
    assert_eq!(client.fetch(&url, &JSON_LIMITS).await.unwrap().status, StatusCode::OK);
    assert_eq!(resolver.asked.load(Ordering::SeqCst), 1);
    let error = client.fetch(&url, &JSON_LIMITS).await.unwrap_err();
    assert!(matches!(error, Error::AddressRefused { .. }), "{error}");
}

#[tokio::test]
async fn only_https_without_user_information_is_fetched() {
    for url in ["http://a.test/", "ftp://a.test/", "file:///etc/passwd", "https://u:p@a.test/", "https://u@a.test/"] {
        let error = refused(url, &[&["8.8.8.8"]], AddressPolicy::PublicOnly).await;
        assert!(matches!(error, Error::BadUrl { .. }), "{url}: {error}");
    }
    let error = refused("http://a.test/", &[&["8.8.8.8"]], loopback()).await;
    assert!(matches!(error, Error::BadUrl { .. }), "http outside the allowed networks: {error}");
}

#[tokio::test]
async fn https_verifies_the_name_in_the_url_against_trusted_roots() {
    let (port, root) = serve_tls(&["docs.test"]).await;
    let resolver = Scripted::new(&[&["127.0.0.1"]]);
    let trusting = DocumentClient::new(loopback(), Arc::clone(&resolver) as _, &[root]).unwrap();
    let good = Url::parse(&format!("https://docs.test:{port}/")).unwrap();
    assert_eq!(trusting.fetch(&good, &JSON_LIMITS).await.unwrap().status, StatusCode::OK);
    let other = Url::parse(&format!("https://other.test:{port}/")).unwrap();
    assert!(matches!(trusting.fetch(&other, &JSON_LIMITS).await, Err(Error::Connect { .. })));
    let distrusting = client(loopback(), resolver);
    assert!(matches!(distrusting.fetch(&good, &JSON_LIMITS).await, Err(Error::Connect { .. })));
}

#[test]
fn caching_directives_are_read_narrowly() {
    let age = |values: &[&str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CACHE_CONTROL, value.parse().unwrap());
        }
        max_age(&headers)
    };
    assert_eq!(age(&[]), None);
    assert_eq!(age(&["private"]), None);
    assert_eq!(age(&["Max-Age=60"]), Some(Duration::from_secs(60)));
    assert_eq!(age(&["max-age=60", "no-store"]), Some(Duration::ZERO));
    assert_eq!(age(&["max-age=soon"]), Some(Duration::ZERO));
}
