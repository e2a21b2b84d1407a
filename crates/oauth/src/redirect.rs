//! Redirect URIs: which may be registered and which match (OAuth 2.1 section 2.3, RFC 8252).
//!
//! Matching compares bytes, never parsed URLs, so that no two readings of a URI can differ. The only
//! freedom is the port of an `http` loopback URI. There are no wildcards and no prefixes.

use url::Url;

/// The longest redirect URI, bytes.
const MAX_BYTES: usize = 2000;

/// Schemes that run code, read files or have a meaning of their own in a browser.
const FORBIDDEN_SCHEMES: [&str; 19] = [
    "about",
    "blob",
    "chrome",
    "content",
    "cid",
    "data",
    "file",
    "filesystem",
    "ftp",
    "intent",
    "jar",
    "javascript",
    "mailto",
    "sms",
    "tel",
    "vbscript",
    "view-source",
    "ws",
    "wss",
];

/// Parameters that we add; a URI that brings one would let two readers see two values.
const RESPONSE_PARAMETERS: [&str; 6] = ["code", "error", "error_description", "iss", "state", "response"];

/// Why a redirect URI may not be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RedirectFault {
    /// Not an absolute URI of at most 2000 printable ASCII characters.
    #[error("a redirect URI must be an absolute URI of at most 2000 printable ASCII characters")]
    Malformed,
    /// It has a fragment.
    #[error("a redirect URI must have no fragment")]
    Fragment,
    /// It has a user name or password.
    #[error("a redirect URI must have no user information")]
    UserInfo,
    /// Its host has a wildcard.
    #[error("a redirect URI must have no wildcard")]
    Wildcard,
    /// Plain `http` to somewhere else than the loopback interface.
    #[error("a redirect URI must be https, or http on 127.0.0.1, [::1] or localhost")]
    NotSecure,
    /// A scheme that no application may claim.
    #[error("the redirect URI's scheme is not allowed")]
    Scheme,
    /// A web client with a loopback or private-use URI.
    #[error("application_type web takes https redirect URIs only")]
    NativeOnly,
    /// Its query holds a parameter of an authorization response.
    #[error("a redirect URI must not bring parameters of an authorization response")]
    ResponseParameter,
}

/// What kind of URI it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirectKind {
    /// `https`.
    Https,
    /// `http` on the loopback interface (RFC 8252 section 7.3).
    Loopback,
    /// A private-use scheme (RFC 8252 section 7.1).
    PrivateUse,
}

/// Checks a URI that a client wants to register, and says what it is.
///
/// # Errors
/// [`RedirectFault`].
pub fn check(uri: &str) -> Result<RedirectKind, RedirectFault> {
    let odd =
        |b: u8| !(0x21..=0x7e).contains(&b) || matches!(b, b'\\' | b'"' | b'<' | b'>' | b'`' | b'^' | b'{' | b'}');
    if uri.is_empty() || uri.len() > MAX_BYTES || uri.bytes().any(odd) {
        return Err(RedirectFault::Malformed);
    }
    if uri.contains('#') {
        return Err(RedirectFault::Fragment);
    }
    let url = Url::parse(uri).map_err(|_| RedirectFault::Malformed)?;
    if !url.username().is_empty() || url.password().is_some() || authority(uri).contains('@') {
        return Err(RedirectFault::UserInfo);
    }
    // Legal in a host, and syntax wherever one is listed, as in a Content-Security-Policy.
    if authority(uri).contains([';', ',', '\'']) {
        return Err(RedirectFault::Malformed);
    }
    if authority(uri).contains('*') {
        return Err(RedirectFault::Wildcard);
    }
    if url.query_pairs().any(|(name, _)| RESPONSE_PARAMETERS.contains(&name.as_ref())) {
        return Err(RedirectFault::ResponseParameter);
    }
    kind(uri, &url)
}

fn kind(uri: &str, url: &Url) -> Result<RedirectKind, RedirectFault> {
    match url.scheme() {
        "https" if uri.starts_with("https://") && url.host_str().is_some_and(|host| !host.is_empty()) => {
            Ok(RedirectKind::Https)
        }
        "https" => Err(RedirectFault::Malformed),
        "http" if loopback(uri).is_some() => Ok(RedirectKind::Loopback),
        "http" => Err(RedirectFault::NotSecure),
        scheme if FORBIDDEN_SCHEMES.contains(&scheme) => Err(RedirectFault::Scheme),
        // An application's own scheme: a reversed domain name, or one with an authority
        // (`cursor://…`), which is what desktop clients register in practice.
        scheme if scheme.contains('.') || uri[scheme.len()..].starts_with("://") => Ok(RedirectKind::PrivateUse),
        _ => Err(RedirectFault::Scheme),
    }
}

/// Whether a requested URI is the registered one: to the letter, but for the port of a loopback URI
/// when `any_loopback_port` (native clients).
pub fn matches(registered: &str, requested: &str, any_loopback_port: bool) -> bool {
    if registered == requested {
        return true;
    }
    any_loopback_port
        && match (loopback(registered), loopback(requested)) {
            (Some(one), Some(other)) => one == other,
            _ => false,
        }
}

/// Whether this is `http` on the loopback interface.
pub fn is_loopback(uri: &str) -> bool {
    loopback(uri).is_some()
}

/// The host that a person sees on the consent page; for a private-use scheme, the scheme.
pub fn shown_host(uri: &str) -> String {
    match Url::parse(uri) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => url.host_str().unwrap_or_default().to_owned(),
        Ok(url) => format!("{}:", url.scheme()),
        Err(_) => String::new(),
    }
}

/// Host and remainder of an `http` loopback URI, without the port. Read from the bytes: whatever does
/// not look exactly like one is none.
fn loopback(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("http://")?;
    let host = ["127.0.0.1", "[::1]", "localhost"].into_iter().find(|host| rest.starts_with(host))?;
    let rest = &rest[host.len()..];
    let rest = match rest.strip_prefix(':') {
        None => rest,
        Some(after) => {
            let digits = after.bytes().take_while(u8::is_ascii_digit).count();
            after[..digits].parse::<u16>().ok()?;
            &after[digits..]
        }
    };
    (rest.is_empty() || rest.starts_with('/') || rest.starts_with('?')).then_some((host, rest))
}

fn authority(uri: &str) -> &str {
    let after = uri.split_once("://").map_or("", |(_, after)| after);
    after.split(['/', '?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_may_be_registered() {
        for (uri, kind) in [
            ("https://app.example/cb", RedirectKind::Https),
            ("https://app.example:8443/cb?x=1", RedirectKind::Https),
            ("http://127.0.0.1/cb", RedirectKind::Loopback),
            ("http://localhost:3118/oauth/callback", RedirectKind::Loopback),
            ("http://[::1]:1/", RedirectKind::Loopback),
            ("com.example.app:/cb", RedirectKind::PrivateUse),
            ("cursor://anysphere.cursor-retrieval/oauth/callback", RedirectKind::PrivateUse),
        ] {
            assert_eq!(check(uri), Ok(kind), "{uri}");
        }
    }

    #[test]
    fn what_may_not() {
        for (uri, fault) in [
            ("", RedirectFault::Malformed),
            ("/cb", RedirectFault::Malformed),
            ("https://a b/", RedirectFault::Malformed),
            ("https://app.example\\@evil.example/", RedirectFault::Malformed),
            ("https:app.example/cb", RedirectFault::Malformed),
            ("https://app.example/\u{e9}", RedirectFault::Malformed),
            ("https://a;sandbox;b.example/cb", RedirectFault::Malformed),
            ("https://a,b.example/cb", RedirectFault::Malformed),
            ("https://a'b.example/cb", RedirectFault::Malformed),
            ("cursor://a;b/cb", RedirectFault::Malformed),
            ("https://a\tb.example/cb", RedirectFault::Malformed),
            ("https://app.example/cb#x", RedirectFault::Fragment),
            ("https://user@app.example/cb", RedirectFault::UserInfo),
            ("http://127.0.0.1:80@evil.example/", RedirectFault::UserInfo),
            ("https://*.example/cb", RedirectFault::Wildcard),
            ("http://app.example/cb", RedirectFault::NotSecure),
            ("http://localhost.evil.example/", RedirectFault::NotSecure),
            ("http://127.0.0.1.evil.example/", RedirectFault::NotSecure),
            ("http://127.1/", RedirectFault::NotSecure),
            ("HTTP://localhost/", RedirectFault::NotSecure),
            ("javascript:alert(1)", RedirectFault::Scheme),
            ("javascript://x/%0aalert(1)", RedirectFault::Scheme),
            ("JaVaScRiPt://x", RedirectFault::Scheme),
            ("data:text/html,x", RedirectFault::Scheme),
            ("file:///etc/passwd", RedirectFault::Scheme),
            ("app:cb", RedirectFault::Scheme),
            ("https://app.example/cb?code=1", RedirectFault::ResponseParameter),
            ("https://app.example/cb?%69ss=1", RedirectFault::ResponseParameter),
        ] {
            assert_eq!(check(uri), Err(fault), "{uri}");
        }
        assert_eq!(check(&format!("https://a/{}", "x".repeat(2000))), Err(RedirectFault::Malformed));
    }

    #[test]
    fn only_the_port_of_a_loopback_uri_is_free() {
        let yes = [
            ("http://127.0.0.1/cb", "http://127.0.0.1:5000/cb"),
            ("http://localhost:1/cb", "http://localhost:2/cb"),
            ("http://[::1]:1/cb?a=b", "http://[::1]/cb?a=b"),
        ];
        for (registered, requested) in yes {
            assert!(matches(registered, requested, true), "{requested}");
            assert!(!matches(registered, requested, false), "{requested}");
        }
        for (registered, requested) in [
            ("http://127.0.0.1/cb", "http://localhost/cb"),
            ("http://127.0.0.1/cb", "http://127.0.0.1/cb/"),
            ("http://127.0.0.1/cb", "http://127.0.0.1/cb?x"),
            ("http://127.0.0.1/cb", "https://127.0.0.1/cb"),
            ("http://127.0.0.1/cb", "http://127.0.0.1:99999/cb"),
            ("http://127.0.0.1/cb", "http://127.0.0.1:/cb"),
            ("http://127.0.0.1/cb", "http://127.0.0.1:80@evil.example/cb"),
            ("http://127.0.0.1/cb", "http://127.0.0.1/../cb"),
            ("https://app.example/cb", "https://app.example:8443/cb"),
            ("https://app.example/cb", "https://APP.example/cb"),
            ("https://app.example/cb", "https://app.example/cb/../cb"),
            ("https://app.example/cb", "https://app.example/cb%2f"),
        ] {
            assert!(!matches(registered, requested, true), "{requested}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_called_loopback_a_browser_also_takes_for_loopback(uri in "http://(127\\.0\\.0\\.1|localhost|\\[::1\\])[:@/?#\\\\a-z0-9.]{0,12}") {
            if is_loopback(&uri) {
                let url = Url::parse(&uri).unwrap();
                prop_assert!(matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]")), "{}", uri);
            }
        }
        #[test]
        fn no_string_panics(uri in "\\PC{0,60}") {
            let _ = (check(&uri), shown_host(&uri), is_loopback(&uri));
        }
    }
}
