use axum::{Router, routing::any};

use super::*;
use crate::{guard::SystemResolver, tls_server::serve_tls};

#[derive(Debug)]
struct Turning(Mutex<Vec<IpAddr>>);

#[async_trait::async_trait]
impl Resolver for Turning {
    async fn resolve(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(self.0.lock().unwrap().pop().into_iter().collect())
    }
}

fn loopback() -> AddressPolicy {
    AddressPolicy::Allowing(vec!["127.0.0.0/8".parse().unwrap()])
}

fn client(roots: &[CertificateDer<'static>]) -> ProbeClient {
    ProbeClient::new(Arc::new(SystemResolver), roots, Duration::from_secs(5)).unwrap()
}

async fn send(client: &ProbeClient, policy: &AddressPolicy, url: &str) -> Result<ProbeAnswer, Error> {
    client.send(policy, Method::GET, &url.parse().unwrap(), HeaderMap::new(), Bytes::new()).await
}

#[tokio::test]
async fn the_tls_version_and_the_body_are_told() {
    let (port, root) = serve_tls(&["localhost", "127.0.0.1"]).await;
    let mut answer = send(&client(&[root]), &loopback(), &format!("https://127.0.0.1:{port}/x")).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.tls), (200, Some("1.3")));
    assert_eq!(answer.headers["x-version"], "HTTP/1.1");
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "{}");
    assert_eq!(answer.chunk().await.unwrap(), None);
    let refused = send(&client(&[]), &loopback(), &format!("https://127.0.0.1:{port}/x")).await;
    assert!(matches!(refused, Err(Error::Connect { .. })));
}

#[tokio::test]
async fn a_name_keeps_its_first_address_and_each_is_checked() {
    let second = "169.254.169.254".parse().unwrap();
    let answers = Turning(Mutex::new(vec![second, "127.0.0.1".parse().unwrap()]));
    let client = ProbeClient::new(Arc::new(answers), &[], Duration::from_secs(5)).unwrap();
    let url: Url = "http://turning.test:1/".parse().unwrap();
    assert_eq!(client.addresses(&url).await.unwrap(), ["127.0.0.1".parse::<IpAddr>().unwrap()]);
    assert_eq!(client.addresses(&url).await.unwrap(), ["127.0.0.1".parse::<IpAddr>().unwrap()]);
    let refused = send(&client, &AddressPolicy::PublicOnly, "http://turning.test:1/").await;
    assert!(matches!(refused, Err(Error::AddressRefused { .. })));
    let other = send(&client, &loopback(), "http://other.test:1/").await;
    assert!(matches!(other, Err(Error::AddressRefused { address, .. }) if address == second));
    for odd in ["ftp://h/", "http://u:p@h/", "data:,x"] {
        assert!(matches!(send(&client, &loopback(), odd).await, Err(Error::BadUrl { .. })), "{odd}");
    }
}

#[tokio::test]
async fn a_flood_of_headers_is_refused() {
    let flood = || async {
        let mut headers = HeaderMap::new();
        for number in 0..30 {
            headers
                .insert(http::HeaderName::try_from(format!("x-{number}")).unwrap(), "y".repeat(4000).parse().unwrap());
        }
        headers
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(any(flood))).await.unwrap() });
    assert!(matches!(send(&client(&[]), &loopback(), &url).await, Err(Error::Exchange { .. })));
}
