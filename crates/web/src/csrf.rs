//! Protection against forged requests. A form's token is an HMAC over a random cookie of the browser
//! and the form's purpose; the request's `Origin` and `Sec-Fetch-Site` are checked as well.
//!
//! A token of one browser or one form is worth nothing in another. Nothing is stored.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, header};
use sallyport_model::Rng;
use zeroize::Zeroizing;

use crate::{Cookie, Shell};

/// The name of the hidden field that holds the token.
pub const CSRF_FIELD: &str = "csrf";

const BROWSER: Cookie = Cookie::new("sallyport-browser");
const COOKIE_BYTES: usize = 32;

/// The deployment's key for form tokens: 256 bits, the same on every node.
pub struct CsrfKey(hmac::Key);

impl CsrfKey {
    /// Wraps `key`, which must be random and used for nothing else.
    pub fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()))
    }
}

impl std::fmt::Debug for CsrfKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CsrfKey(…)")
    }
}

/// A token for one form, and the cookie that it needs where the browser has none yet.
#[derive(Debug, Clone)]
pub struct FormToken {
    /// For the form's hidden field.
    pub token: String,
    /// To be sent with the page.
    pub set_cookie: Option<HeaderValue>,
}

/// Why a request is taken for a forgery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CsrfError {
    /// Another site, or nobody knows which, sent it.
    #[error("the request came from another site")]
    CrossSite,
    /// The browser sent no cookie of ours.
    #[error("the browser sent no cookie")]
    NoCookie,
    /// The form's token is missing, or belongs to another browser, form or deployment.
    #[error("the form's token does not match")]
    BadToken,
}

impl Shell {
    /// A token for the form called `purpose` in the browser that sent `headers`. Put what must not be
    /// swapped into the purpose: the session's id, the handle of what is consented to.
    pub fn form_token(&self, headers: &HeaderMap, purpose: &str, rng: &dyn Rng) -> FormToken {
        if let Some(browser) = self.browser(headers) {
            return FormToken { token: self.token(&browser, purpose), set_cookie: None };
        }
        let mut bytes = [0u8; COOKIE_BYTES];
        rng.fill(&mut bytes);
        let value = URL_SAFE_NO_PAD.encode(bytes);
        FormToken { token: self.token(&bytes, purpose), set_cookie: Some(self.cookies().set(&BROWSER, &value)) }
    }

    /// Checks a submitted form: where it came from, then its token, in constant time.
    pub fn check_form(&self, headers: &HeaderMap, purpose: &str, token: &str) -> Result<(), CsrfError> {
        self.check_same_origin(headers)?;
        let browser = self.browser(headers).ok_or(CsrfError::NoCookie)?;
        let token = URL_SAFE_NO_PAD.decode(token).map_err(|_| CsrfError::BadToken)?;
        hmac::verify(&self.csrf_key().0, &message(&browser, purpose), &token).map_err(|_| CsrfError::BadToken)
    }

    /// Whether the request comes from a page of ours, as far as the browser says. A client that sends
    /// neither header is no browser of this decade; the token alone must do for it.
    pub fn check_same_origin(&self, headers: &HeaderMap) -> Result<(), CsrfError> {
        if headers.get_all(header::ORIGIN).iter().any(|origin| origin != self.origin()) {
            return Err(CsrfError::CrossSite);
        }
        if headers.get_all("sec-fetch-site").iter().any(|site| site != "same-origin") {
            return Err(CsrfError::CrossSite);
        }
        Ok(())
    }

    fn browser(&self, headers: &HeaderMap) -> Option<[u8; COOKIE_BYTES]> {
        let value = self.cookies().read(headers, &BROWSER)?;
        URL_SAFE_NO_PAD.decode(value).ok()?.try_into().ok()
    }

    fn token(&self, browser: &[u8; COOKIE_BYTES], purpose: &str) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.csrf_key().0, &message(browser, purpose)))
    }
}

// The cookie has a fixed length, so that no purpose can reach into it.
fn message(browser: &[u8; COOKIE_BYTES], purpose: &str) -> Vec<u8> {
    [browser.as_slice(), purpose.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sallyport_model::SeededRng;

    use super::*;
    use crate::Branding;

    fn shell(key: u8) -> Shell {
        let url = "https://gate.example".parse().unwrap();
        Shell::new(url, Branding::default(), CsrfKey::new(Zeroizing::new([key; 32]))).unwrap()
    }

    fn browser(seed: u64) -> (HeaderMap, String) {
        let issued = shell(1).form_token(&HeaderMap::new(), "sign-in", &SeededRng::new(seed));
        let cookie = issued.set_cookie.unwrap().to_str().unwrap().split(';').next().unwrap().to_owned();
        (HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(&cookie).unwrap())]), issued.token)
    }

    fn with(mut headers: HeaderMap, name: &'static str, value: &'static str) -> HeaderMap {
        headers.insert(name, HeaderValue::from_static(value));
        headers
    }

    #[test]
    fn a_token_fits_one_browser_one_form_and_one_deployment() {
        let (mine, token) = browser(1);
        let (other, _) = browser(2);
        assert_eq!(shell(1).check_form(&mine, "sign-in", &token), Ok(()));
        assert_eq!(shell(1).check_form(&other, "sign-in", &token), Err(CsrfError::BadToken));
        assert_eq!(shell(1).check_form(&mine, "consent", &token), Err(CsrfError::BadToken));
        assert_eq!(shell(2).check_form(&mine, "sign-in", &token), Err(CsrfError::BadToken));
        assert_eq!(shell(1).check_form(&HeaderMap::new(), "sign-in", &token), Err(CsrfError::NoCookie));
        assert_eq!(shell(1).check_form(&mine, "sign-in", ""), Err(CsrfError::BadToken));
    }

    #[test]
    fn a_browser_keeps_its_cookie_and_gets_the_same_token_again() {
        let (mine, token) = browser(1);
        let again = shell(1).form_token(&mine, "sign-in", &SeededRng::new(9));
        assert_eq!(again.token, token);
        assert!(again.set_cookie.is_none());
    }

    #[test]
    fn another_origin_is_refused_even_with_a_good_token() {
        let (mine, token) = browser(1);
        for (name, value) in [
            ("origin", "https://evil.example"),
            ("origin", "http://gate.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            let headers = with(mine.clone(), name, value);
            assert_eq!(shell(1).check_form(&headers, "sign-in", &token), Err(CsrfError::CrossSite), "{name}: {value}");
        }
        let ours = with(with(mine, "origin", "https://gate.example"), "sec-fetch-site", "same-origin");
        assert_eq!(shell(1).check_form(&ours, "sign-in", &token), Ok(()));
    }

    proptest! {
        #[test]
        fn no_made_up_token_passes(token in ".*") {
            let (mine, _) = browser(1);
            prop_assert_eq!(shell(1).check_form(&mine, "sign-in", &token), Err(CsrfError::BadToken));
        }
    }
}
