//! The credential of a request as its sender wrote it: one token under one scheme, and the proof that goes with
//! it. Takes headers apart and believes nothing of them.

use http::{HeaderMap, header};
use sallyport_oauth::dpop;

use crate::refusal::Refusal;

/// How a token was presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// RFC 6750; also the scheme of a token that is bound to a certificate (RFC 8705).
    Bearer,
    /// RFC 9449 section 7.1.
    Dpop,
}

/// A token where one may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Presented<'a> {
    pub(crate) scheme: Scheme,
    pub(crate) token: &'a str,
    pub(crate) proof: Proof<'a>,
}

/// What stands in the `DPoP` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof<'a> {
    /// Nothing.
    None,
    /// One proof.
    One(&'a str),
    /// Several, or something that is no text: never chosen from (RFC 9449 section 4.3, item 1).
    Unclear,
}

/// The one token of a request (RFC 6750 section 2.1; the other two ways are forbidden by MCP).
pub(crate) fn presented<'a>(headers: &'a HeaderMap, query: Option<&str>) -> Result<Presented<'a>, Refusal> {
    let in_query =
        query.is_some_and(|query| query.split('&').any(|pair| pair.split('=').next() == Some("access_token")));
    if in_query {
        return Err(Refusal::TokenPlace);
    }
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Err(Refusal::NoToken) };
    if values.next().is_some() {
        return Err(Refusal::TokenPlace);
    }
    let value = value.to_str().map_err(|_| Refusal::TokenPlace)?;
    let (scheme, token) = value.split_once(' ').ok_or(Refusal::TokenPlace)?;
    let token = token.trim_start_matches(' ');
    if token.is_empty() || token.contains([' ', ',']) {
        return Err(Refusal::TokenPlace);
    }
    let scheme = named(scheme).ok_or(Refusal::TokenPlace)?;
    Ok(Presented { scheme, token, proof: proof(headers) })
}

/// Whether whoever asks speaks DPoP: what its challenge and its nonce depend on, whatever else is wrong.
pub(crate) fn speaks_dpop(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| value.to_str().ok());
    values.any(|value| value.split(' ').next().and_then(named) == Some(Scheme::Dpop))
}

fn named(scheme: &str) -> Option<Scheme> {
    if scheme.eq_ignore_ascii_case("bearer") {
        Some(Scheme::Bearer)
    } else if scheme.eq_ignore_ascii_case(dpop::SCHEME) {
        Some(Scheme::Dpop)
    } else {
        None
    }
}

fn proof(headers: &HeaderMap) -> Proof<'_> {
    let mut values = headers.get_all(dpop::HEADER).iter();
    match (values.next(), values.next()) {
        (None, _) => Proof::None,
        (Some(one), None) => one.to_str().map_or(Proof::Unclear, Proof::One),
        (Some(_), Some(_)) => Proof::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_token_stands_in_one_header_and_nowhere_else() {
        let (bearer, dpop) = (headers(&["bEaReR abc"]), headers(&["dpoP  abc"]));
        let taken = presented(&bearer, Some("x=1")).unwrap();
        assert_eq!((taken.token, taken.scheme), ("abc", Scheme::Bearer));
        let taken = presented(&dpop, None).unwrap();
        assert_eq!((taken.token, taken.scheme), ("abc", Scheme::Dpop));
        assert!(speaks_dpop(&dpop) && !speaks_dpop(&bearer));
        assert!(matches!(presented(&headers(&[]), None), Err(Refusal::NoToken)));
        for bad in [
            &["Bearer a", "Bearer b"][..],
            &["DPoP a", "Bearer a"],
            &["Basic abc"],
            &["Bearer"],
            &["Bearer "],
            &["DPoP"],
            &["DPoP "],
            &["Bearer a b"],
            &["Bearer a, Bearer b"],
            &["Bearer a, DPoP b"],
            &["DPoP,Bearer a"],
        ] {
            assert!(matches!(presented(&headers(bad), None), Err(Refusal::TokenPlace)), "{bad:?}");
        }
    }

    #[test]
    fn a_token_in_the_query_is_refused_even_beside_a_good_header() {
        let good = headers(&["Bearer abc"]);
        assert!(matches!(presented(&good, Some("a=b&access_token=abc")), Err(Refusal::TokenPlace)));
    }

    #[test]
    fn of_two_proofs_none_is_chosen() {
        let mut headers = headers(&["DPoP abc"]);
        assert_eq!(presented(&headers, None).unwrap().proof, Proof::None);
        headers.append("dpop", HeaderValue::from_static("a.b.c"));
        assert_eq!(presented(&headers, None).unwrap().proof, Proof::One("a.b.c"));
        headers.append("DPoP", HeaderValue::from_static("a.b.c"));
        assert_eq!(presented(&headers, None).unwrap().proof, Proof::Unclear, "not even of two that are equal");
        headers.insert("dpop", HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(presented(&headers, None).unwrap().proof, Proof::Unclear);
    }

    proptest! {
        #[test]
        fn whatever_stands_in_the_header_a_token_is_one_word(value in "[ -~]{0,40}", prefix in "(bearer |DPoP |)") {
            let headers = headers(&[&format!("{prefix}{value}")]);
            if let Ok(taken) = presented(&headers, None) {
                prop_assert!(!taken.token.is_empty() && !taken.token.contains([' ', ',']));
            }
        }
    }
}
