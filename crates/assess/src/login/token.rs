//! The token endpoint, asked as any client asks it (RFC 6749 section 3.2), and what it answers.

use http::StatusCode;
use sallyport_model::Secret;
use serde_json::{Map, Value};
use url::Url;

use super::{
    cookies::is_loopback,
    fault::{Fault, quote},
    server::Server,
};
use crate::{
    bench::{Bench, Client, Grant},
    wire::{Ask, Heard},
};

/// A successful token response.
#[derive(Debug)]
pub(crate) struct Issued {
    /// The response.
    pub(crate) members: Map<String, Value>,
    /// What shows it.
    pub(crate) exchange: u32,
}

/// Sends `form` with the client's authentication to the endpoint called `endpoint` in the metadata.
///
/// # Errors
/// [`Fault::NoEndpoint`], [`Fault::Insecure`], [`Fault::Wire`].
pub(crate) async fn post(
    bench: &Bench,
    check: &'static str,
    (server, client): (&Server, &Client),
    endpoint: &'static str,
    form: &[(&str, &str)],
) -> Result<Heard, Fault> {
    let url = server.endpoint(endpoint).ok_or(Fault::NoEndpoint(endpoint))?;
    if url.scheme() != "https" && !is_loopback(&url) {
        return Err(Fault::Insecure(endpoint));
    }
    Ok(bench.wire.send(check, authenticated(url, client, form)).await?)
}

fn authenticated(url: Url, client: &Client, form: &[(&str, &str)]) -> Ask {
    let mut form = form.to_vec();
    match &client.secret {
        Some(secret) if client.auth_method == "client_secret_basic" => {
            return Ask::post_form(url, &form).plain().basic(&client.id, secret.expose());
        }
        Some(secret) => form.extend([("client_id", client.id.as_str()), ("client_secret", secret.expose())]),
        None => form.push(("client_id", &client.id)),
    }
    Ask::post_form(url, &form).plain()
}

/// Asks for tokens.
///
/// # Errors
/// [`Fault::Refused`] with the server's words, [`Fault::NoEndpoint`], [`Fault::Wire`].
pub(crate) async fn request(
    bench: &Bench,
    check: &'static str,
    at: (&Server, &Client),
    form: &[(&str, &str)],
) -> Result<Issued, Fault> {
    let heard = post(bench, check, at, "token_endpoint", form).await?;
    let members = match heard.json() {
        Some(Value::Object(members)) if heard.status.is_success() => members,
        _ => return Err(refusal(&heard)),
    };
    if members.get("access_token").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err(refusal(&heard));
    }
    for name in ["access_token", "refresh_token", "id_token"] {
        if let Some(value) = members.get(name).and_then(Value::as_str) {
            bench.wire.keep_secret(&Secret::new(value));
        }
    }
    Ok(Issued { members, exchange: heard.exchange })
}

/// What an endpoint's refusal says (RFC 6749 section 5.2). One that has no time is [`Fault::Busy`]: whoever asks
/// again may get what was asked for.
pub(crate) fn refusal(heard: &Heard) -> Fault {
    let body = heard.json();
    let text = |name: &str| body.as_ref().and_then(|body| body.get(name)?.as_str()).unwrap_or_default();
    let (error, description) = (quote(text("error")), quote(text("error_description")));
    let said = match (error.as_str(), description.as_str()) {
        ("", _) => format!("{}", heard.status),
        (error, "") => format!("{}, {error}", heard.status.as_u16()),
        (error, description) => format!("{}, {error}: {description}", heard.status.as_u16()),
    };
    let exchanges = vec![heard.exchange];
    if is_busy(heard.status, &error) {
        Fault::Busy { said, exchanges }
    } else {
        Fault::Refused { error, said, exchanges }
    }
}

/// 500 is not among them: it is how sloppy servers refuse what they did not expect.
fn is_busy(status: StatusCode, error: &str) -> bool {
    matches!(status.as_u16(), 429 | 502..=504) || error == "temporarily_unavailable"
}

impl Issued {
    /// As a grant. `asked` is the scope that was asked for: a response without `scope` means that one.
    pub(crate) fn grant(self, bench: &Bench, client: &Client, subject: &str, asked: Option<&str>) -> Grant {
        let text = |name: &str| self.members.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        Grant {
            access_token: Secret::new(text("access_token").unwrap_or_default()),
            refresh_token: text("refresh_token").map(Secret::new),
            id_token: text("id_token").map(Secret::new),
            expires_in: self.members.get("expires_in").and_then(seconds),
            obtained_at: bench.clock.now(),
            scope: text("scope").or(asked).map(str::to_owned),
            client: client.clone(),
            token_type: text("token_type").unwrap_or("Bearer").to_owned(),
            subject: subject.to_owned(),
        }
    }
}

/// A number of seconds; some servers write it as a string, some with a fraction.
fn seconds(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64().or_else(|| Some(number.as_f64()?.max(0.0) as u64)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The claims of a token that is a JWT, unverified; `None` where it is none.
pub(crate) fn claims(token: &str) -> Option<Map<String, Value>> {
    part(token, 1)
}

/// The header of a token that is a JWT.
pub(crate) fn header(token: &str) -> Option<Map<String, Value>> {
    part(token, 0).filter(|header| header.contains_key("alg"))
}

fn part(token: &str, index: usize) -> Option<Map<String, Value>> {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let parts: Vec<&str> = token.split('.').collect();
    if parts.len() != 3 || token.len() > 64 * 1024 {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(parts[index].trim_end_matches('=')).ok()?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(members)) => Some(members),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn seconds_are_read_however_they_are_written() {
        let all = [json!(300), json!("300"), json!(300.9), json!(-5.0), json!("soon"), json!(null)];
        assert_eq!(all.map(|value| seconds(&value)), [Some(300), Some(300), Some(300), Some(0), None, None]);
    }

    #[test]
    fn a_server_that_has_no_time_refuses_nothing() {
        for (status, error) in
            [(503, "temporarily_unavailable"), (429, ""), (502, ""), (400, "temporarily_unavailable")]
        {
            assert!(is_busy(StatusCode::from_u16(status).unwrap(), error), "{status} {error}");
        }
        for (status, error) in
            [(400, "invalid_grant"), (401, "invalid_client"), (403, ""), (500, ""), (500, "server_error")]
        {
            assert!(!is_busy(StatusCode::from_u16(status).unwrap(), error), "{status} {error}");
        }
    }

    #[test]
    fn only_a_jwt_has_claims() {
        let token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.";
        assert_eq!(claims(token).unwrap()["sub"], "a");
        assert_eq!(header(token).unwrap()["alg"], "none");
        for opaque in ["", "a.b", "a.b.c", "a.b.c.d", "eyJhbGciOiJub25lIn0"] {
            assert!(claims(opaque).is_none(), "{opaque}");
        }
    }

    proptest! {
        #[test]
        fn no_token_panics(token in "[A-Za-z0-9_.=\u{e9}-]{0,80}") {
            let _ = (claims(&token), header(&token));
        }
    }
}
