//! Cookies: every one is `HttpOnly`, `SameSite=Lax` and `Path=/`; over https also `Secure` under a
//! `__Host-` name, so that no neighbouring host can set it.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

/// A kind of cookie, by name and lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cookie {
    name: &'static str,
    max_age: Option<Duration>,
}

impl Cookie {
    /// A cookie that ends with the browser's session. `name` is lowercase ASCII.
    pub const fn new(name: &'static str) -> Self {
        Self { name, max_age: None }
    }

    /// The same cookie with a lifetime (`Max-Age`).
    pub const fn lasting(self, max_age: Duration) -> Self {
        Self { max_age: Some(max_age), ..self }
    }
}

/// How this deployment writes cookies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cookies {
    secure: bool,
}

impl Cookies {
    pub(crate) fn new(secure: bool) -> Self {
        Self { secure }
    }

    /// The name on the wire.
    pub fn name(&self, cookie: &Cookie) -> String {
        let prefix = if self.secure { "__Host-" } else { "" };
        format!("{prefix}{}", cookie.name)
    }

    /// The value that the browser sent. `None` also when it sent two different ones: then nobody
    /// knows which of them is ours.
    pub fn read(&self, headers: &HeaderMap, cookie: &Cookie) -> Option<String> {
        let name = self.name(cookie);
        let mut found: Option<&str> = None;
        for line in headers.get_all(header::COOKIE) {
            let line = line.to_str().ok()?;
            for pair in line.split(';') {
                let Some((key, value)) = pair.trim().split_once('=') else { continue };
                if key != name {
                    continue;
                }
                if found.is_some_and(|before| before != value) {
                    return None;
                }
                found = Some(value);
            }
        }
        found.map(str::to_owned)
    }

    /// A `Set-Cookie` value. `value` must be base64url or hexadecimal; anything else is dropped, which
    /// unsets the cookie rather than forging an attribute.
    pub fn set(&self, cookie: &Cookie, value: &str) -> HeaderValue {
        let age = cookie.max_age.map(|age| format!("; Max-Age={}", age.as_secs())).unwrap_or_default();
        self.write(cookie, value, &age)
    }

    /// A `Set-Cookie` value that removes the cookie.
    pub fn clear(&self, cookie: &Cookie) -> HeaderValue {
        self.write(cookie, "", "; Max-Age=0")
    }

    fn write(&self, cookie: &Cookie, value: &str, age: &str) -> HeaderValue {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let value = if value.chars().all(plain) { value } else { "" };
        let secure = if self.secure { "; Secure" } else { "" };
        let text = format!("{}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}", self.name(cookie));
        HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SESSION: Cookie = Cookie::new("sallyport-session");

    #[test]
    fn https_gets_the_host_prefix_and_secure_and_loopback_http_gets_neither() {
        assert_eq!(
            Cookies::new(true).set(&SESSION, "abc"),
            "__Host-sallyport-session=abc; Path=/; HttpOnly; SameSite=Lax; Secure"
        );
        assert_eq!(
            Cookies::new(false).set(&SESSION.lasting(Duration::from_secs(60)), "abc"),
            "sallyport-session=abc; Path=/; HttpOnly; SameSite=Lax; Max-Age=60"
        );
        assert_eq!(
            Cookies::new(true).clear(&SESSION),
            "__Host-sallyport-session=; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=0"
        );
    }

    #[test]
    fn over_https_the_unprefixed_name_is_not_read_and_two_values_are_none() {
        let headers = |text: &str| HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(text).unwrap())]);
        let https = Cookies::new(true);
        assert_eq!(https.read(&headers("sallyport-session=evil"), &SESSION), None);
        assert_eq!(https.read(&headers("a=b; __Host-sallyport-session=good"), &SESSION).as_deref(), Some("good"));
        let twice = "__Host-sallyport-session=good; __Host-sallyport-session=evil";
        assert_eq!(https.read(&headers(twice), &SESSION), None);
    }

    proptest! {
        #[test]
        fn no_value_can_add_an_attribute(value in ".*") {
            let text = Cookies::new(true).set(&SESSION, &value).to_str().unwrap().to_owned();
            prop_assert_eq!(text.matches(';').count(), 4);
        }

        #[test]
        fn no_header_makes_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let headers = HeaderMap::from_iter([(header::COOKIE, value)]);
                let _ = Cookies::new(false).read(&headers, &SESSION);
            }
        }
    }
}
