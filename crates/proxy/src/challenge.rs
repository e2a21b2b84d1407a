//! What an answer says about how to come again: its challenges, by the scheme that the client speaks, and the nonce
//! for its next proof (RFC 9449 sections 7.1, 8.2 and 9).
//!
//! Which error there is and which scopes are needed was decided before; here nothing is added to it.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use sallyport_model::Timestamp;
use sallyport_oauth::dpop;

use crate::{possession::Possession, presented::Scheme};

/// The algorithms that proofs may be signed with, as `algs` lists them.
fn algorithms() -> String {
    dpop::ALGORITHMS.join(" ")
}

/// Writes the challenges of `response` for a client that came with `scheme`, and puts the nonce of `now` where one is
/// of use.
pub(crate) fn dress(possession: &Possession, now: Timestamp, scheme: Scheme, mut response: Response) -> Response {
    let status = response.status();
    let written = response.headers().get(header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
    let challenges = written.and_then(|bearer| challenges(bearer, scheme, status));
    let headers = response.headers_mut();
    if let Some(challenges) = &challenges {
        headers.remove(header::WWW_AUTHENTICATE);
        for text in challenges {
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.append(header::WWW_AUTHENTICATE, value);
            }
        }
    }
    // Where DPoP is offered, and on every answer to one who speaks it: the next proof has a nonce at once.
    let offered = challenges.is_some() && status == StatusCode::UNAUTHORIZED;
    if (offered || scheme == Scheme::Dpop)
        && let Ok(nonce) = HeaderValue::from_str(&possession.nonce(now))
    {
        headers.insert(dpop::NONCE_HEADER, nonce);
    }
    response
}

/// The challenges in place of a Bearer challenge: that of the client's own scheme, with the error, first. 401 offers
/// the other one too.
fn challenges(bearer: &str, scheme: Scheme, status: StatusCode) -> Option<Vec<String>> {
    let parameters = bearer.strip_prefix("Bearer ")?;
    let plain = parameters.split_once(", error=").map_or(parameters, |(before, _)| before);
    let as_dpop = |parameters: &str| format!("{} {parameters}, algs=\"{}\"", dpop::SCHEME, algorithms());
    let both = status == StatusCode::UNAUTHORIZED;
    let (own, other) = match scheme {
        Scheme::Bearer => (bearer.to_owned(), as_dpop(plain)),
        Scheme::Dpop => (as_dpop(parameters), format!("Bearer {plain}")),
    };
    Some(if both { vec![own, other] } else { vec![own] })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEARER: &str =
        "Bearer resource_metadata=\"https://g/m\", scope=\"a:read\", error=\"use_dpop_nonce\", error_description=\"x\"";
    const PLAIN: &str = "resource_metadata=\"https://g/m\", scope=\"a:read\"";

    #[test]
    fn the_scheme_that_was_used_has_the_error_and_comes_first() {
        let algs = format!("algs=\"{}\"", algorithms());
        let own = challenges(BEARER, Scheme::Dpop, StatusCode::UNAUTHORIZED).unwrap();
        let error = "error=\"use_dpop_nonce\", error_description=\"x\"";
        assert_eq!(own, [format!("DPoP {PLAIN}, {error}, {algs}"), format!("Bearer {PLAIN}")]);
        let own = challenges(BEARER, Scheme::Bearer, StatusCode::UNAUTHORIZED).unwrap();
        assert_eq!(own, [BEARER.to_owned(), format!("DPoP {PLAIN}, {algs}")]);
        assert!(algs.contains("ES256"));
    }

    #[test]
    fn whoever_is_known_is_offered_no_other_scheme() {
        for (scheme, name) in [(Scheme::Bearer, "Bearer "), (Scheme::Dpop, "DPoP ")] {
            let all = challenges(BEARER, scheme, StatusCode::FORBIDDEN).unwrap();
            assert!(all.len() == 1 && all[0].starts_with(name), "{all:?}");
        }
        assert_eq!(challenges("Basic x", Scheme::Dpop, StatusCode::UNAUTHORIZED), None);
    }
}
