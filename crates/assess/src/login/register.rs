//! Getting a client to sign in with: the operator's, else one that the server registers (RFC 7591).
//!
//! A Client ID Metadata Document would have to be published where the server can read it; the assessor
//! publishes nothing.

use sallyport_model::Secret;
use serde_json::{Value, json};

use super::{fault::Fault, server::Server, token};
use crate::{
    bench::{Bench, Client},
    wire::Ask,
};

/// What a registered client is called: an ordinary name, so that nothing treats the assessor apart.
const NAME: &str = "MCP client";

/// The client for the person's sign-in; its redirect URI is `redirect_uri`.
///
/// # Errors
/// [`Fault::NoClient`] when the server registers none, [`Fault::Unregistered`] when it does not register this one,
/// [`Fault::Wire`] when it does not answer.
pub(super) async fn client(bench: &Bench, server: &Server, redirect_uri: &str) -> Result<Client, Fault> {
    if let Some(given) = &bench.access.oauth_client {
        let auth_method = method(server, given.client_secret.is_some());
        return Ok(Client {
            id: given.client_id.clone(),
            secret: given.client_secret.clone(),
            auth_method: auth_method.to_owned(),
            redirect_uri: Some(redirect_uri.to_owned()),
        });
    }
    let Some(endpoint) = server.endpoint("registration_endpoint") else {
        let why = match server.flag("client_id_metadata_document_supported") {
            true => {
                "it takes Client ID Metadata Documents, of which the assessor publishes none, and registers no clients"
            }
            false => "it registers no clients",
        };
        return Err(Fault::NoClient { why: why.to_owned(), exchanges: vec![server.exchange] });
    };
    let mut exchanges = Vec::new();
    let mut why = String::new();
    // A public client first; some servers register confidential ones only.
    for auth_method in ["none", method(server, true)] {
        let asked = json!({
            "client_name": NAME,
            "redirect_uris": [redirect_uri],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": auth_method,
            "application_type": "native",
        });
        let heard = bench.wire.send("registration-path", Ask::post_json(endpoint.clone(), &asked).plain()).await?;
        exchanges.push(heard.exchange);
        let answer = heard.json().filter(|_| heard.status.is_success());
        if let Some(client) = answer.and_then(|answer| read(&answer, auth_method, redirect_uri)) {
            client.secret.iter().for_each(|secret| bench.wire.keep_secret(secret));
            return Ok(client);
        }
        why = token::refusal(&heard).to_string();
    }
    Err(Fault::Unregistered { why, exchanges })
}

fn read(answer: &Value, asked: &str, redirect_uri: &str) -> Option<Client> {
    let text = |name: &str| answer.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let secret = text("client_secret").map(Secret::new);
    let auth_method = match (&secret, text("token_endpoint_auth_method").unwrap_or(asked)) {
        (None, _) | (_, "none") => "none",
        (_, "client_secret_post") => "client_secret_post",
        _ => "client_secret_basic",
    };
    Some(Client {
        id: text("client_id")?.to_owned(),
        secret: secret.filter(|_| auth_method != "none"),
        auth_method: auth_method.to_owned(),
        redirect_uri: Some(redirect_uri.to_owned()),
    })
}

/// How a client with a secret shows it: as the metadata allows, Basic where it says nothing (RFC 8414).
pub(super) fn method(server: &Server, secret: bool) -> &'static str {
    if !secret {
        return "none";
    }
    match server.list("token_endpoint_auth_methods_supported") {
        Some(list) if !list.contains(&"client_secret_basic") && list.contains(&"client_secret_post") => {
            "client_secret_post"
        }
        _ => "client_secret_basic",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_registration_says_decides_how_the_client_shows_itself() {
        let method = |answer: Value| read(&answer, "none", "http://127.0.0.1/cb").map(|client| client.auth_method);
        assert_eq!(method(json!({"client_id": "a"})).as_deref(), Some("none"));
        let basic =
            json!({"client_id": "a", "client_secret": "s", "token_endpoint_auth_method": "client_secret_basic"});
        assert_eq!(method(basic).as_deref(), Some("client_secret_basic"));
        assert_eq!(
            method(json!({"client_id": "a", "token_endpoint_auth_method": "client_secret_post"})).as_deref(),
            Some("none")
        );
        for none in [json!({}), json!({"client_id": ""}), json!([]), json!({"client_id": 7})] {
            assert_eq!(method(none), None);
        }
    }
}
