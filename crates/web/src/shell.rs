//! What every page needs to know of its deployment.

use axum::Router;
use url::{Host, Url};

use crate::{Asset, Branding, Cookies, CsrfKey, Page, WebError};

/// The deployment as its pages see it: public URL, branding, stylesheet, cookie and form rules.
#[derive(Debug)]
pub struct Shell {
    public_url: Url,
    origin: String,
    branding: Branding,
    stylesheet: Asset,
    cookies: Cookies,
    csrf: CsrfKey,
}

impl Shell {
    /// Checks `public_url`: an origin (no path, query or credentials), https unless it is on loopback.
    pub fn new(public_url: Url, branding: Branding, csrf: CsrfKey) -> Result<Self, WebError> {
        let bad = |why| WebError::BadPublicUrl { url: public_url.to_string(), why };
        let secure = match public_url.scheme() {
            "https" => true,
            "http" if is_loopback(&public_url) => false,
            "http" => return Err(WebError::InsecurePublicUrl(public_url.to_string())),
            _ => return Err(bad("is neither http nor https")),
        };
        if !public_url.username().is_empty() || public_url.password().is_some() {
            return Err(bad("holds credentials"));
        }
        if public_url.path() != "/" || public_url.query().is_some() || public_url.fragment().is_some() {
            return Err(bad("has a path, query or fragment: give only scheme, host and port"));
        }
        let origin = public_url.origin().ascii_serialization();
        let stylesheet = Asset::stylesheet(include_str!("../assets/sallyport.css"));
        Ok(Self { public_url, origin, branding, stylesheet, cookies: Cookies::new(secure), csrf })
    }

    /// The public URL, with `/` as its path.
    pub fn public_url(&self) -> &Url {
        &self.public_url
    }

    /// Its origin as browsers write it in `Origin`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Names and addresses.
    pub fn branding(&self) -> &Branding {
        &self.branding
    }

    /// How cookies are written.
    pub fn cookies(&self) -> &Cookies {
        &self.cookies
    }

    /// Serves the stylesheet. Merge it once.
    pub fn router(&self) -> Router {
        self.stylesheet.router()
    }

    /// Begins a page.
    pub fn page(&self, title: impl Into<String>) -> Page<'_> {
        Page::new(self, title.into())
    }

    pub(crate) fn stylesheet(&self) -> &Asset {
        &self.stylesheet
    }

    pub(crate) fn csrf_key(&self) -> &CsrfKey {
        &self.csrf
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    #[test]
    fn only_an_origin_over_https_or_on_loopback_will_do() {
        let shell =
            |url: &str| Shell::new(url.parse().unwrap(), Branding::default(), CsrfKey::new(Zeroizing::new([0; 32])));
        for ok in ["https://gate.example", "http://127.0.0.1:8080/", "http://[::1]:1", "http://localhost:8080"] {
            assert!(shell(ok).is_ok(), "{ok}");
        }
        for no in ["http://gate.example", "https://gate.example/x", "ftp://localhost", "https://a:b@gate.example"] {
            assert!(shell(no).is_err(), "{no}");
        }
    }
}
