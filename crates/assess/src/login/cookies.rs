//! The cookies of one walk (RFC 6265), held per origin.
//!
//! Never sends a cookie to another origin than set it, a declared parent domain within the setter's own site
//! apart, and never a secure one over plain http off loopback.

use http::{HeaderMap, header};
use url::{Host, Url};

/// So many cookies are kept; what comes after them is dropped.
const MAX_COOKIES: usize = 100;
/// A longer cookie is dropped (bytes, name and value).
const MAX_BYTES: usize = 8 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Cookie {
    origin: String,
    domain: Option<String>,
    path: String,
    secure: bool,
    name: String,
    value: String,
}

/// A browser's cookies.
#[derive(Debug, Default, Clone)]
pub(super) struct Cookies(Vec<Cookie>);

impl Cookies {
    /// Takes what a response of `url` sets. A cookie that has run out, or is emptied, is removed.
    pub(super) fn take(&mut self, url: &Url, headers: &HeaderMap) {
        for line in headers.get_all(header::SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            let Some((cookie, ends)) = parse(url, line) else { continue };
            self.0.retain(|other| {
                (&other.origin, &other.domain, &other.path, &other.name)
                    != (&cookie.origin, &cookie.domain, &cookie.path, &cookie.name)
            });
            if !ends && self.0.len() < MAX_COOKIES {
                self.0.push(cookie);
            }
        }
    }

    /// The `Cookie` header for a request to `url`; `None` where there is nothing to send.
    pub(super) fn header(&self, url: &Url) -> Option<String> {
        let safe = url.scheme() == "https" || is_loopback(url);
        let fitting = self.0.iter().filter(|cookie| {
            let host = url.host_str().unwrap_or_default();
            let here = match &cookie.domain {
                Some(domain) => within(host, domain),
                None => cookie.origin == url.origin().ascii_serialization(),
            };
            here && (safe || !cookie.secure) && path_fits(url.path(), &cookie.path)
        });
        let pairs: Vec<String> = fitting.map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

fn parse(url: &Url, line: &str) -> Option<(Cookie, bool)> {
    let mut parts = line.split(';').map(str::trim);
    let (name, value) = parts.next()?.split_once('=')?;
    if name.is_empty() || name.len() + value.len() > MAX_BYTES || !value.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return None;
    }
    let mut cookie = Cookie {
        origin: url.origin().ascii_serialization(),
        domain: None,
        path: default_path(url.path()).to_owned(),
        secure: false,
        name: name.trim().to_owned(),
        value: value.trim().to_owned(),
    };
    let mut ends = false;
    for part in parts {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        match key.to_ascii_lowercase().as_str() {
            "secure" => cookie.secure = true,
            "path" if value.starts_with('/') => cookie.path = value.to_owned(),
            "max-age" => ends = value.parse::<i64>().is_ok_and(|seconds| seconds <= 0),
            // Servers delete a cookie with the epoch; a real date means that it lives on for a while.
            "expires" => ends |= value.contains("1970"),
            "domain" => {
                let domain = value.trim_start_matches('.').to_ascii_lowercase();
                let is_name = matches!(url.host(), Some(Host::Domain(_)));
                if is_name && domain.contains('.') && within(url.host_str().unwrap_or_default(), &domain) {
                    cookie.domain = Some(domain);
                }
            }
            _ => {}
        }
    }
    Some((cookie, ends))
}

fn within(host: &str, domain: &str) -> bool {
    host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

/// RFC 6265 section 5.1.4.
fn default_path(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(at) => &path[..at],
    }
}

fn path_fits(path: &str, cookie: &str) -> bool {
    path.strip_prefix(cookie).is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
}

/// Whether `url` names this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn jar(url: &str, lines: &[&str]) -> Cookies {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::SET_COOKIE, HeaderValue::from_str(line).unwrap());
        }
        let mut cookies = Cookies::default();
        cookies.take(&Url::parse(url).unwrap(), &headers);
        cookies
    }

    fn sent(cookies: &Cookies, url: &str) -> Option<String> {
        cookies.header(&Url::parse(url).unwrap())
    }

    #[test]
    fn a_cookie_goes_back_to_its_origin_and_nowhere_else() {
        let cookies =
            jar("https://as.example/login", &["a=1; Path=/; Secure; HttpOnly; SameSite=Lax", "b=2; Path=/login"]);
        assert_eq!(sent(&cookies, "https://as.example/login/next").as_deref(), Some("a=1; b=2"));
        assert_eq!(sent(&cookies, "https://as.example/loginfoo").as_deref(), Some("a=1"));
        for elsewhere in
            ["https://as.example:8443/", "http://as.example/", "https://evil.example/", "https://x.as.example/"]
        {
            assert_eq!(sent(&cookies, elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn a_parent_domain_is_shared_and_a_foreign_or_whole_one_is_not() {
        let cookies = jar("https://a.example.com/", &["s=1; Domain=.example.com; Path=/"]);
        assert_eq!(sent(&cookies, "https://b.example.com/").as_deref(), Some("s=1"));
        assert_eq!(sent(&cookies, "https://badexample.com/"), None);
        let cookies = jar("https://a.example.com/", &["s=1; Domain=other.com; Path=/", "t=1; Domain=com; Path=/"]);
        assert_eq!(sent(&cookies, "https://other.com/"), None);
        assert_eq!(sent(&cookies, "https://x.com/"), None);
    }

    #[test]
    fn a_cookie_is_replaced_and_removed() {
        let url = Url::parse("http://127.0.0.1:9/").unwrap();
        let mut cookies = jar(url.as_str(), &["a=1; Path=/", "a=2; Path=/"]);
        assert_eq!(cookies.header(&url).as_deref(), Some("a=2"));
        let mut headers = HeaderMap::new();
        headers.append(header::SET_COOKIE, HeaderValue::from_static("a=; Path=/; Max-Age=0"));
        cookies.take(&url, &headers);
        assert_eq!(cookies.header(&url), None);
    }

    proptest! {
        #[test]
        fn no_line_panics_or_breaks_the_header(line in "[ -~]{0,60}") {
            if let Ok(value) = HeaderValue::from_str(&line) {
                let mut headers = HeaderMap::new();
                headers.append(header::SET_COOKIE, value);
                let url = Url::parse("https://as.example/x").unwrap();
                let mut cookies = Cookies::default();
                cookies.take(&url, &headers);
                prop_assert!(cookies.header(&url).is_none_or(|line| HeaderValue::from_str(&line).is_ok()));
            }
        }
    }
}
