//! Between authenticating and authorizing: the body's bytes become messages.
//!
//! Reads no more than the limit and no longer than the limit; truncated or compressed bodies are
//! refused, never judged by a part of them.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use sallyport_mcp::{
    Incoming, Limits as EnvelopeLimits,
    era::{PROTOCOL_VERSION_HEADER, ProtocolVersion},
    headers::single,
};

use crate::{config::Limits, refusal::Refusal};

/// Takes the body's bytes.
pub(crate) async fn read(limits: &Limits, headers: &HeaderMap, body: axum::body::Body) -> Result<Bytes, Refusal> {
    check_headers(headers)?;
    let limited = Limited::new(body, limits.body_bytes).collect();
    match tokio::time::timeout(limits.body_time, limited).await {
        Err(_) => Err(http(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time".into())),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => {
            let what = format!("the body is larger than {} bytes; send less at once", limits.body_bytes);
            Err(http(StatusCode::PAYLOAD_TOO_LARGE, what))
        }
        Ok(Err(_)) => Err(http(StatusCode::BAD_REQUEST, "the body broke off".into())),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
    }
}

/// Parses them. Batches exist under 2025-03-26 alone, which a request names by header or by none.
pub(crate) fn parse(limits: &Limits, headers: &HeaderMap, bytes: &[u8]) -> Result<Incoming, Refusal> {
    let version = single(headers, PROTOCOL_VERSION_HEADER).map_err(|error| Refusal::Malformed(error.refuse(None)))?;
    let batches = match version {
        None => true,
        Some(text) => ProtocolVersion::parse(text).is_some_and(ProtocolVersion::has_batches),
    };
    let batch = if batches { limits.batch } else { 0 };
    sallyport_mcp::envelope::parse(bytes, EnvelopeLimits { depth: limits.json_depth, batch })
        .map_err(Refusal::Malformed)
}

fn check_headers(headers: &HeaderMap) -> Result<(), Refusal> {
    let kind = one(headers, header::CONTENT_TYPE.as_str())?.unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(http(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send Content-Type: application/json".into()));
    }
    let coding = one(headers, header::CONTENT_ENCODING.as_str())?;
    if coding.is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(http(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send the body without Content-Encoding".into()));
    }
    accepts(headers)
}

/// A client must be ready for both forms of an answer; one that names types and leaves both out is not.
fn accepts(headers: &HeaderMap) -> Result<(), Refusal> {
    let all: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let named = |wanted: &str| {
        let kind = wanted.split('/').next().unwrap_or_default();
        all.iter().flat_map(|line| line.split(',')).any(|item| {
            let item = item.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            item == wanted || item == "*/*" || item == format!("{kind}/*")
        })
    };
    if all.is_empty() || (named("application/json") && named("text/event-stream")) {
        return Ok(());
    }
    Err(http(StatusCode::NOT_ACCEPTABLE, "send Accept: application/json, text/event-stream".into()))
}

fn one<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(http(StatusCode::BAD_REQUEST, format!("the header {name} is there twice; send it once")));
    }
    first
        .map(|value| value.to_str())
        .transpose()
        .map_err(|_| http(StatusCode::BAD_REQUEST, format!("the header {name} is not ASCII")))
}

fn http(status: StatusCode, what: String) -> Refusal {
    Refusal::Http { status, what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn status(pairs: &[(&'static str, &'static str)]) -> Option<StatusCode> {
        match check_headers(&headers(pairs)) {
            Err(Refusal::Http { status, .. }) => Some(status),
            Err(other) => panic!("{other}"),
            Ok(()) => None,
        }
    }

    #[test]
    fn a_body_is_plain_json_and_the_client_takes_both_forms() {
        let json = ("content-type", "application/json; charset=utf-8");
        assert_eq!(status(&[json, ("accept", "application/json, text/event-stream")]), None);
        assert_eq!(status(&[json, ("accept", "*/*")]), None);
        assert_eq!(status(&[json]), None);
        assert_eq!(status(&[json, ("accept", "application/json")]), Some(StatusCode::NOT_ACCEPTABLE));
        assert_eq!(status(&[("content-type", "text/plain")]), Some(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        assert_eq!(status(&[]), Some(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        assert_eq!(status(&[json, json]), Some(StatusCode::BAD_REQUEST));
        assert_eq!(status(&[json, ("content-encoding", "gzip")]), Some(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }

    #[tokio::test]
    async fn a_body_one_byte_over_the_limit_is_refused_and_one_at_it_is_not() {
        let limits = Limits { body_bytes: 10, ..Limits::default() };
        let headers = headers(&[("content-type", "application/json")]);
        assert_eq!(read(&limits, &headers, "0123456789".into()).await.unwrap(), "0123456789");
        let over = read(&limits, &headers, "01234567890".into()).await;
        assert!(matches!(over, Err(Refusal::Http { status: StatusCode::PAYLOAD_TOO_LARGE, .. })));
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_given_up() {
        let forever = axum::body::Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        let headers = headers(&[("content-type", "application/json")]);
        let limits = Limits { body_time: std::time::Duration::from_millis(20), ..Limits::default() };
        let answer = read(&limits, &headers, forever).await;
        assert!(matches!(answer, Err(Refusal::Http { status: StatusCode::REQUEST_TIMEOUT, .. })));
    }
}
