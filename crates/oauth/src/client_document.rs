//! Client ID Metadata Documents (draft-ietf-oauth-client-id-metadata-document): clients whose id is
//! the https URL of a document about them.
//!
//! Decides whether an id is such a URL and whether a fetched document speaks for it. Never fetches.

use serde_json::Value;
use url::Url;

use crate::{
    error::{ErrorCode, OAuthError},
    registration::{ClientAuthentication, ClientMetadata},
    strict,
};

/// Larger documents are refused; whoever fetches stops reading there.
pub const MAX_BYTES: usize = 16 * 1024;

const fn refuse(description: &'static str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidClient, description)
}

/// Whether a client id looks like a document's URL at all.
pub fn is_url(client_id: &str) -> bool {
    client_id.starts_with("https://")
}

/// The URL that a client id is: https, a path, no fragment, no user information, no dot segments, and
/// written as a URL parser writes it, so that what is compared is what is fetched.
///
/// # Errors
/// `invalid_client`.
pub fn url(client_id: &str) -> Result<Url, OAuthError> {
    let parsed = Url::parse(client_id).map_err(|_| refuse("the client_id is no URL"))?;
    if parsed.scheme() != "https" || parsed.host_str().is_none_or(str::is_empty) {
        return Err(refuse("a client_id URL must be https"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() || client_id.contains('#') {
        return Err(refuse("a client_id URL must have no fragment and no user information"));
    }
    if parsed.path().len() < 2 {
        return Err(refuse("a client_id URL must have a path"));
    }
    // The parser folds case, default ports and dot segments (also percent-encoded ones): what differs
    // from its reading has two spellings.
    if parsed.as_str() != client_id {
        return Err(refuse("a client_id URL must be in its normal form, without dot segments"));
    }
    Ok(parsed)
}

/// Checks the document that was fetched from `client_id`.
///
/// # Errors
/// `invalid_client`, and what [`ClientMetadata::check`] says.
pub fn check(client_id: &str, document: &[u8]) -> Result<ClientMetadata, OAuthError> {
    url(client_id)?;
    if document.len() > MAX_BYTES {
        return Err(refuse("the client's metadata document is larger than 16 KiB"));
    }
    let object = strict::object(document)
        .map_err(|_| refuse("the client's metadata document is not one JSON object with unique keys"))?;
    if object.get("client_id").and_then(Value::as_str) != Some(client_id) {
        return Err(refuse("the client_id in the metadata document is not the document's URL"));
    }
    if ["client_secret", "client_secret_expires_at"].iter().any(|field| object.contains_key(*field)) {
        return Err(refuse("a metadata document must hold no client secret"));
    }
    if !object.get("client_name").is_some_and(Value::is_string) {
        return Err(refuse("the metadata document must have a client_name"));
    }
    let metadata = ClientMetadata::check(&object)?;
    if matches!(metadata.authentication, ClientAuthentication::Secret(_)) {
        return Err(refuse("a client known by its document cannot authenticate with a shared secret"));
    }
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "https://app.example/client.json";

    fn document() -> Value {
        json!({"client_id": ID, "client_name": "App", "redirect_uris": ["https://app.example/cb"]})
    }

    #[test]
    fn a_document_speaks_for_its_own_url_only() {
        assert_eq!(check(ID, document().to_string().as_bytes()).unwrap().name, "App");
        for (field, value) in [
            ("client_id", json!("https://app.example/client.json?")),
            ("client_id", json!(null)),
            ("client_secret", json!("x")),
            ("token_endpoint_auth_method", json!("client_secret_post")),
            ("client_name", json!(null)),
            ("redirect_uris", json!(["http://app.example/cb"])),
        ] {
            let mut wrong = document();
            wrong[field] = value;
            assert!(check(ID, wrong.to_string().as_bytes()).is_err(), "{field}");
        }
        let twice = format!("{{\"client_id\":\"https://evil.example/\",{}", &document().to_string()[1..]);
        assert!(check(ID, twice.as_bytes()).is_err());
        assert!(check(ID, &vec![b' '; MAX_BYTES + 1]).is_err());
    }

    #[test]
    fn which_urls_are_ids() {
        assert!(url(ID).is_ok());
        assert!(url("https://app.example:8443/a?b=c").is_ok());
        for wrong in [
            "http://app.example/client.json",
            "https://app.example",
            "https://app.example/",
            "https://app.example/a#b",
            "https://u@app.example/a",
            "https://app.example/a/../b",
            "https://app.example/%2e%2e/b",
            "https://APP.example/a",
            "https://app.example:443/a",
            "https://app.example/a b",
            "https:/app.example/a",
            "https://app.example\\a",
            "https://",
        ] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }
}
