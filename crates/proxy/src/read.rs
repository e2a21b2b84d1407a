//! Between authenticating and authorizing: the body's bytes become messages.
//!
//! Reads no more than the limit and no longer than the limit; truncated or compressed bodies are
//! refused, never judged by a part of them.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use sallyport_mcp::{
    Incoming, Limits as EnvelopeLimits,
    era::{PROTOCOL_VERSION_HEADER, ProtocolVersion},
    headers::single,
};

use crate::{config::Limits, refusal::Refusal, slots::Slot};

/// Bodies larger than this have a bound of their own and are parsed beside the async threads, bytes.
pub(crate) const LARGE: usize = 64 * 1024;

/// Takes the body's bytes. One that grows beyond [`LARGE`] needs the place that `large` gives, which has
/// to be kept for as long as what was read.
pub(crate) async fn read(
    limits: &Limits,
    headers: &HeaderMap,
    body: axum::body::Body,
    large: impl Fn() -> Result<Slot, Refusal>,
) -> Result<(Bytes, Option<Slot>), Refusal> {
    check_headers(headers)?;
    let taken = take(limits, body, large);
    tokio::time::timeout(limits.body_time, taken)
        .await
        .unwrap_or_else(|_| Err(http(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time".into())))
}

async fn take(
    limits: &Limits,
    body: axum::body::Body,
    large: impl Fn() -> Result<Slot, Refusal>,
) -> Result<(Bytes, Option<Slot>), Refusal> {
    let mut body = Limited::new(body, limits.body_bytes);
    let mut bytes = BytesMut::new();
    let mut place = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => {
                let what = format!("the body is larger than {} bytes; send less at once", limits.body_bytes);
                http(StatusCode::PAYLOAD_TOO_LARGE, what)
            }
            None => http(StatusCode::BAD_REQUEST, "the body broke off".into()),
        })?;
        let Ok(part) = frame.into_data() else { continue };
        bytes.extend_from_slice(&part);
        if place.is_none() && bytes.len() > LARGE {
            place = Some(large()?);
        }
    }
    Ok((bytes.freeze(), place))
}

/// Parses them; a large text in a thread where it holds nobody up.
pub(crate) async fn parse(limits: &Limits, headers: &HeaderMap, bytes: &Bytes) -> Result<Incoming, Refusal> {
    if bytes.len() <= LARGE {
        return parse_now(limits, headers, bytes);
    }
    let (limits, headers, bytes) = (*limits, headers.clone(), bytes.clone());
    let parsed = tokio::task::spawn_blocking(move || parse_now(&limits, &headers, &bytes)).await;
    parsed.unwrap_or_else(|_| Err(http(StatusCode::INTERNAL_SERVER_ERROR, "the body could not be parsed".into())))
}

/// Batches exist under 2025-03-26 alone, which a request names by header or by none.
fn parse_now(limits: &Limits, headers: &HeaderMap, bytes: &[u8]) -> Result<Incoming, Refusal> {
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

    fn full() -> Result<Slot, Refusal> {
        Err(http(StatusCode::TOO_MANY_REQUESTS, "no place".to_owned()))
    }

    #[tokio::test]
    async fn a_large_body_needs_a_place_before_it_is_read_on() {
        let headers = headers(&[("content-type", "application/json")]);
        let body = |length: usize| axum::body::Body::from(vec![b' '; length]);
        let limits = Limits::default();
        assert!(read(&limits, &headers, body(LARGE), full).await.unwrap().1.is_none());
        let refused = read(&limits, &headers, body(LARGE + 1), full).await;
        assert!(matches!(refused, Err(Refusal::Http { status: StatusCode::TOO_MANY_REQUESTS, .. })));
        let slots = crate::slots::Slots::default();
        let binding = crate::testing::principal().binding();
        let take = || slots.take(crate::slots::What::LargeBodies, binding.clone(), 1);
        let (_, place) = read(&limits, &headers, body(LARGE + 1), take).await.unwrap();
        assert!(place.is_some() && take().is_err(), "kept with the bytes");
    }

    #[tokio::test]
    async fn a_body_one_byte_over_the_limit_is_refused_and_one_at_it_is_not() {
        let limits = Limits { body_bytes: 10, ..Limits::default() };
        let headers = headers(&[("content-type", "application/json")]);
        assert_eq!(read(&limits, &headers, "0123456789".into(), full).await.unwrap().0, "0123456789");
        let over = read(&limits, &headers, "01234567890".into(), full).await;
        assert!(matches!(over, Err(Refusal::Http { status: StatusCode::PAYLOAD_TOO_LARGE, .. })));
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_given_up() {
        let forever = axum::body::Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        let headers = headers(&[("content-type", "application/json")]);
        let limits = Limits { body_time: std::time::Duration::from_millis(20), ..Limits::default() };
        let answer = read(&limits, &headers, forever, full).await;
        assert!(matches!(answer, Err(Refusal::Http { status: StatusCode::REQUEST_TIMEOUT, .. })));
    }
}
