//! The door: one bearer token gets in, and every arrival leaves a trace of its credentials.
//!
//! Keeps digests of credentials, never the credentials.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_lc_rs::digest::{SHA256, digest as hash};
use axum::{Router, extract::Request, middleware, response::IntoResponse};
use http::{HeaderMap, StatusCode, header};
use sallyport_model::Secret;
use subtle::ConstantTimeEq;

/// Distinct digests and header names that are kept; more are counted, not kept.
const KEPT: usize = 1024;

/// What one request brought along. A digest is lower-case hex SHA-256 of the header's value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arrival {
    /// Digest of `Authorization` as sent, scheme included. Several headers are joined by a line feed.
    pub authorization: Option<String>,
    /// Digest of `Cookie`.
    pub cookie: Option<String>,
    /// Whether it got in.
    pub admitted: bool,
}

#[derive(Default)]
struct Log {
    admitted: u64,
    refused: u64,
    last: Option<Arrival>,
    authorizations: BTreeSet<String>,
    cookies: u64,
    header_names: BTreeSet<String>,
}

/// Everything that arrived at the door, admitted or refused.
#[derive(Default)]
pub struct Seen(Mutex<Log>);

impl Seen {
    /// Requests with exactly the right token.
    pub fn admitted(&self) -> u64 {
        self.log().admitted
    }
    /// Requests answered 401.
    pub fn refused(&self) -> u64 {
        self.log().refused
    }
    /// Requests that carried any cookie.
    pub fn with_cookie(&self) -> u64 {
        self.log().cookies
    }
    /// The latest request.
    pub fn last(&self) -> Option<Arrival> {
        self.log().last.clone()
    }
    /// Whether `Authorization: VALUE` ever arrived, right or wrong (of the first 1024 distinct ones).
    pub fn saw_authorization(&self, value: &str) -> bool {
        self.log().authorizations.contains(&digest(value.as_bytes()))
    }
    /// Every header name that ever arrived, lower-case (the first 1024).
    pub fn header_names(&self) -> Vec<String> {
        self.log().header_names.iter().cloned().collect()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, headers: &HeaderMap, admitted: bool) {
        let arrival = Arrival {
            authorization: digest_of(headers, header::AUTHORIZATION),
            cookie: digest_of(headers, header::COOKIE),
            admitted,
        };
        let mut log = self.log();
        *(if admitted { &mut log.admitted } else { &mut log.refused }) += 1;
        log.cookies += u64::from(arrival.cookie.is_some());
        if let Some(digest) = &arrival.authorization
            && log.authorizations.len() < KEPT
        {
            log.authorizations.insert(digest.clone());
        }
        for name in headers.keys() {
            if log.header_names.len() < KEPT && !log.header_names.contains(name.as_str()) {
                log.header_names.insert(name.as_str().to_owned());
            }
        }
        log.last = Some(arrival);
    }
}

/// Lower-case hex SHA-256, as in [`Arrival`].
pub fn digest(bytes: &[u8]) -> String {
    hash(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest_of(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    let values: Vec<&[u8]> = headers.get_all(name).iter().map(|value| value.as_bytes()).collect();
    (!values.is_empty()).then(|| digest(&values.join(&b'\n')))
}

/// Puts the door in front of `router`: `Bearer TOKEN`, once and exactly, or 401 (RFC 6750 section 3).
pub(crate) fn guard(router: Router, token: &Secret, seen: &Arc<Seen>) -> Router {
    let (token, seen) = (token.clone(), Arc::clone(seen));
    router.layer(middleware::from_fn(move |request: Request, next: middleware::Next| {
        let (token, seen) = (token.clone(), Arc::clone(&seen));
        async move {
            let admitted = has_token(request.headers(), &token);
            seen.record(request.headers(), admitted);
            if admitted { next.run(request).await } else { refusal().into_response() }
        }
    }))
}

fn has_token(headers: &HeaderMap, token: &Secret) -> bool {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Some((scheme, credential)) = value.as_bytes().split_at_checked("Bearer ".len()) else { return false };
    !token.expose().is_empty()
        && scheme.eq_ignore_ascii_case(b"Bearer ")
        && bool::from(credential.ct_eq(token.expose().as_bytes()))
}

fn refusal() -> impl IntoResponse {
    (
        StatusCode::UNAUTHORIZED,
        [(header::WWW_AUTHENTICATE, r#"Bearer realm="help desk", error="invalid_token""#)],
        "This server takes its own token only.\n",
    )
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for value in values {
            map.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    #[test]
    fn only_the_exact_token_once_gets_in() {
        let token = Secret::new("s3cret");
        assert!(has_token(&headers(&["Bearer s3cret"]), &token));
        assert!(has_token(&headers(&["bearer s3cret"]), &token));
        for wrong in [
            &[][..],
            &[""],
            &["Bearer"],
            &["Bearer "],
            &["Bearer s3cre"],
            &["Bearer s3cret2"],
            &["Bearer  s3cret"],
            &["Basic s3cret"],
            &["Bearer s3cret, Bearer s3cret"],
            &["Bearer s3cret", "Bearer s3cret"],
            &["Bearer other", "Bearer s3cret"],
        ] {
            assert!(!has_token(&headers(wrong), &token), "{wrong:?}");
        }
        assert!(!has_token(&headers(&["Bearer "]), &Secret::new("")), "an empty token opens nothing");
    }

    #[test]
    fn what_arrives_is_kept_as_a_digest() {
        let seen = Seen::default();
        let mut map = headers(&["Bearer client"]);
        map.insert(header::COOKIE, HeaderValue::from_static("a=b"));
        seen.record(&map, false);
        assert_eq!((seen.admitted(), seen.refused(), seen.with_cookie()), (0, 1, 1));
        assert!(seen.saw_authorization("Bearer client") && !seen.saw_authorization("Bearer other"));
        let last = seen.last().unwrap();
        assert_eq!(last.cookie, Some(digest(b"a=b")));
        assert_eq!(last.cookie.unwrap().len(), 64);
        assert_eq!(seen.header_names(), ["authorization", "cookie"]);
    }
}
