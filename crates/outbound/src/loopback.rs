//! Waiting on 127.0.0.1 for one redirect that ends a sign-in in a browser (RFC 8252 section 7.3).
//!
//! It listens on the loopback address only, answers one fixed page, reads the request line and headers and
//! never a body, and shows nothing that the browser sent.

use std::{net::Ipv4Addr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout, timeout_at},
};
use url::Url;

use crate::Error;

/// A request's head is read so far, bytes.
const MAX_HEAD: usize = 16 * 1024;
/// One browser's connection gets so long.
const PATIENCE: Duration = Duration::from_secs(5);

const PAGE: &str = "<!doctype html><meta charset=utf-8><title>Signed in</title>\
    <p>The answer has arrived. You can close this page and go back to the terminal.</p>";

/// A port of this machine that waits for a redirect.
#[derive(Debug)]
pub struct LoopbackListener {
    listener: TcpListener,
    redirect_uri: Url,
}

impl LoopbackListener {
    /// Listens on a free port of 127.0.0.1 for redirects to `path`, which begins with `/`.
    ///
    /// # Errors
    /// [`Error::Listen`] when no port can be had.
    pub async fn open(path: &str) -> Result<Self, Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Error::Listen)?;
        let port = listener.local_addr().map_err(Error::Listen)?.port();
        let bad = |_| Error::BadUrl { host: "127.0.0.1".into(), why: "the redirect's path makes no URL" };
        let redirect_uri = Url::parse(&format!("http://127.0.0.1:{port}{path}")).map_err(bad)?;
        Ok(Self { listener, redirect_uri })
    }

    /// The redirect URI to register and to send.
    pub fn redirect_uri(&self) -> &Url {
        &self.redirect_uri
    }

    /// The URL of the next redirect, query included; `None` when none came within `limit`. Requests for
    /// other paths (a browser asks for an icon) are answered 404 and change nothing.
    ///
    /// # Errors
    /// [`Error::Listen`] when the port fails.
    pub async fn next(&self, limit: Duration) -> Result<Option<Url>, Error> {
        let until = Instant::now() + limit;
        loop {
            let Ok(accepted) = timeout_at(until, self.listener.accept()).await else { return Ok(None) };
            let (mut stream, _) = accepted.map_err(Error::Listen)?;
            let url = timeout(PATIENCE, self.serve(&mut stream)).await.ok().flatten();
            if url.is_some() {
                return Ok(url);
            }
        }
    }

    /// Reads one request and answers it; the URL when it is the redirect.
    async fn serve(&self, stream: &mut TcpStream) -> Option<Url> {
        let head = head(stream).await?;
        let url = target(&head).and_then(|target| self.redirect_uri.join(target).ok());
        let url =
            url.filter(|url| url.origin() == self.redirect_uri.origin() && url.path() == self.redirect_uri.path());
        let (status, page) = if url.is_some() { ("200 OK", PAGE) } else { ("404 Not Found", "") };
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nConnection: close\r\n\r\n{page}",
            page.len()
        );
        // The URL counts even when the browser is gone before it saw the page.
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
        url
    }
}

async fn head(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::with_capacity(1024);
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if head.len() >= MAX_HEAD || stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

/// The target of `GET <target> HTTP/1.1`, in origin form.
fn target(head: &[u8]) -> Option<&str> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let target = line.strip_prefix("GET ")?.split(' ').next()?;
    (target.starts_with('/') && !target.starts_with("//")).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(redirect: &Url, target: &str) -> String {
        #[expect(clippy::disallowed_methods, reason = "the test plays the browser")]
        let mut stream = TcpStream::connect(("127.0.0.1", redirect.port().unwrap())).await.unwrap();
        stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_redirect_is_taken_and_other_requests_are_not() {
        let listener = LoopbackListener::open("/callback").await.unwrap();
        let redirect = listener.redirect_uri().clone();
        let browser = async {
            assert!(ask(&redirect, "/favicon.ico").await.starts_with("HTTP/1.1 404"));
            let page = ask(&redirect, "/callback?code=<b>&state=s").await;
            assert!(page.starts_with("HTTP/1.1 200") && !page.contains("code"));
        };
        let (url, ()) = tokio::join!(listener.next(Duration::from_secs(5)), browser);
        assert_eq!(url.unwrap().unwrap().query(), Some("code=%3Cb%3E&state=s"));
    }

    #[tokio::test]
    async fn nobody_comes() {
        let listener = LoopbackListener::open("/callback").await.unwrap();
        assert!(listener.next(Duration::from_millis(20)).await.unwrap().is_none());
    }

    #[test]
    fn only_a_plain_get_has_a_target() {
        assert_eq!(target(b"GET /a?b HTTP/1.1\r\n"), Some("/a?b"));
        for bad in ["POST /a HTTP/1.1\r\n", "GET //evil/ HTTP/1.1\r\n", "GET http://evil/ HTTP/1.1\r\n", "", "GET"] {
            assert_eq!(target(bad.as_bytes()), None, "{bad}");
        }
    }
}
