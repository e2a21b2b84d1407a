//! Client metadata (RFC 7591 section 2, OpenID Connect Registration): what a stranger says about
//! itself, and what is left of it once checked.
//!
//! Fields that are not known are ignored, as RFC 7591 asks. A software statement is refused, since
//! nothing here could verify it. No grant but the code flow can be had by registering.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    error::{ErrorCode, OAuthError},
    redirect::{self, RedirectKind},
};

/// The most redirect URIs of one client.
const MAX_REDIRECT_URIS: usize = 20;
/// The longest name, characters.
const MAX_NAME: usize = 100;

/// RFC 7591 / OpenID Connect `application_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplicationType {
    /// Runs on the person's machine.
    Native,
    /// Runs on a server.
    Web,
}

/// How a client wants to authenticate.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientAuthentication {
    /// Not at all: a public client.
    None,
    /// By a secret that we make; the value is the method's name.
    Secret(&'static str),
    /// By assertions signed with these keys (a JWK set).
    PrivateKeyJwt(KeyLocation),
}

/// Where a client's keys are.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyLocation {
    /// In the metadata: a JWK set.
    Inline(Value),
    /// At an https URL.
    At(String),
}

/// Client metadata that passed the checks.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientMetadata {
    /// What it calls itself; self-asserted.
    pub name: String,
    /// Where answers may go.
    pub redirect_uris: Vec<String>,
    /// Native or web; guessed from the redirect URIs where it does not say.
    pub application_type: ApplicationType,
    /// How it authenticates.
    pub authentication: ClientAuthentication,
    /// `authorization_code`, and `refresh_token` unless it says otherwise.
    pub grant_types: Vec<String>,
    /// Its home page, https only.
    pub uri: Option<String>,
}

/// The answer to a registration (RFC 7591 section 3.2.1).
#[derive(Debug, Serialize)]
pub struct RegistrationResponse<'a> {
    /// The new id.
    pub client_id: &'a str,
    /// Seconds since the epoch.
    pub client_id_issued_at: u64,
    /// Shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<&'a str>,
    /// 0: it does not end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret_expires_at: Option<u64>,
    /// As registered.
    pub client_name: &'a str,
    /// As registered.
    pub redirect_uris: &'a [String],
    /// As registered.
    pub grant_types: &'a [String],
    /// `code`.
    pub response_types: [&'static str; 1],
    /// As registered.
    pub token_endpoint_auth_method: &'a str,
    /// As registered.
    pub application_type: ApplicationType,
    /// As registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_uri: Option<&'a str>,
}

const fn metadata(description: &'static str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidClientMetadata, description)
}

impl ClientMetadata {
    /// Checks what a stranger says.
    ///
    /// # Errors
    /// `invalid_redirect_uri`, `invalid_client_metadata` or `unapproved_software_statement`.
    pub fn check(document: &Map<String, Value>) -> Result<Self, OAuthError> {
        if document.contains_key("software_statement") {
            return Err(OAuthError::new(
                ErrorCode::UnapprovedSoftwareStatement,
                "software statements are not accepted: leave software_statement out",
            ));
        }
        let redirect_uris = redirect_uris(document)?;
        let application_type = application_type(document, &redirect_uris)?;
        if let Some(types) = strings(document, "response_types", "response_types must be an array of strings")?
            && !types.iter().any(|kind| kind == "code")
        {
            return Err(metadata("response_types must include code"));
        }
        Ok(Self {
            name: name(document)?,
            redirect_uris,
            application_type,
            authentication: authentication(document)?,
            grant_types: grant_types(document)?,
            uri: string(document, "client_uri", "client_uri must be a string")?
                .filter(|uri| uri.starts_with("https://") && uri.len() <= 2000 && url::Url::parse(uri).is_ok()),
        })
    }
}

fn redirect_uris(document: &Map<String, Value>) -> Result<Vec<String>, OAuthError> {
    let uris = strings(document, "redirect_uris", "redirect_uris must be an array of strings")?.unwrap_or_default();
    if uris.is_empty() || uris.len() > MAX_REDIRECT_URIS {
        return Err(OAuthError::new(ErrorCode::InvalidRedirectUri, "redirect_uris must hold 1 to 20 URIs"));
    }
    for uri in &uris {
        redirect::check(uri).map_err(|fault| OAuthError::new(ErrorCode::InvalidRedirectUri, explain(fault)))?;
    }
    Ok(uris)
}

fn explain(fault: redirect::RedirectFault) -> &'static str {
    use redirect::RedirectFault as F;
    match fault {
        F::Malformed => "a redirect URI must be an absolute URI of at most 2000 printable ASCII characters",
        F::Fragment => "a redirect URI must have no fragment",
        F::UserInfo => "a redirect URI must have no user information",
        F::Wildcard => "a redirect URI must have no wildcard",
        F::NotSecure => "a redirect URI must be https, or http on 127.0.0.1, [::1] or localhost",
        F::Scheme => "the redirect URI's scheme is not allowed",
        F::NativeOnly => "application_type web takes https redirect URIs only",
        F::ResponseParameter => "a redirect URI must not bring parameters of an authorization response",
    }
}

fn application_type(document: &Map<String, Value>, uris: &[String]) -> Result<ApplicationType, OAuthError> {
    let native = uris.iter().any(|uri| redirect::check(uri) != Ok(RedirectKind::Https));
    match string(document, "application_type", "application_type must be a string")?.as_deref() {
        Some("native") => Ok(ApplicationType::Native),
        Some("web") if native => {
            Err(OAuthError::new(ErrorCode::InvalidRedirectUri, explain(redirect::RedirectFault::NativeOnly)))
        }
        Some("web") => Ok(ApplicationType::Web),
        Some(_) => Err(metadata("application_type must be native or web")),
        None if native => Ok(ApplicationType::Native),
        None => Ok(ApplicationType::Web),
    }
}

fn authentication(document: &Map<String, Value>) -> Result<ClientAuthentication, OAuthError> {
    let method = string(document, "token_endpoint_auth_method", "token_endpoint_auth_method must be a string")?;
    match method.as_deref() {
        // RFC 7591 would make a secret of silence; a secret that nobody asked for is one to lose.
        None | Some("none") => Ok(ClientAuthentication::None),
        Some("client_secret_basic") => Ok(ClientAuthentication::Secret("client_secret_basic")),
        Some("client_secret_post") => Ok(ClientAuthentication::Secret("client_secret_post")),
        Some("private_key_jwt") => match (document.get("jwks"), document.get("jwks_uri")) {
            (Some(jwks @ Value::Object(_)), None) if jwks.get("keys").is_some_and(Value::is_array) => {
                Ok(ClientAuthentication::PrivateKeyJwt(KeyLocation::Inline(jwks.clone())))
            }
            (None, Some(Value::String(uri))) if uri.starts_with("https://") => {
                Ok(ClientAuthentication::PrivateKeyJwt(KeyLocation::At(uri.clone())))
            }
            _ => Err(metadata("private_key_jwt needs either jwks with keys or an https jwks_uri")),
        },
        Some(_) => Err(metadata(
            "token_endpoint_auth_method must be none, client_secret_basic, client_secret_post or private_key_jwt",
        )),
    }
}

fn grant_types(document: &Map<String, Value>) -> Result<Vec<String>, OAuthError> {
    let known = ["authorization_code", "refresh_token"];
    let Some(asked) = strings(document, "grant_types", "grant_types must be an array of strings")? else {
        return Ok(known.map(str::to_owned).to_vec());
    };
    // RFC 7591 section 3.2.1 lets a server leave out what it does not grant; the answer says so.
    let granted: Vec<String> = known.iter().filter(|k| asked.iter().any(|a| a == **k)).map(|k| (*k).into()).collect();
    if granted.iter().any(|grant| grant == "authorization_code") {
        Ok(granted)
    } else {
        Err(metadata("grant_types must include authorization_code"))
    }
}

/// A name without control and formatting characters, so that it cannot redraw the page around it.
fn name(document: &Map<String, Value>) -> Result<String, OAuthError> {
    let name = string(document, "client_name", "client_name must be a string")?.unwrap_or_default();
    let invisible = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    let clean: String = name.chars().filter(|c| !invisible(*c)).take(MAX_NAME).collect();
    let clean = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    Ok(if clean.is_empty() { "An application without a name".to_owned() } else { clean })
}

fn string(document: &Map<String, Value>, field: &str, otherwise: &'static str) -> Result<Option<String>, OAuthError> {
    match document.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(value)) => Ok(Some(value.clone())),
        Some(_) => Err(metadata(otherwise)),
    }
}

fn strings(
    document: &Map<String, Value>,
    field: &str,
    otherwise: &'static str,
) -> Result<Option<Vec<String>>, OAuthError> {
    let items = match document.get(field) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(metadata(otherwise)),
    };
    let items: Option<Vec<_>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
    items.map(Some).ok_or_else(|| metadata(otherwise))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn check(document: Value) -> Result<ClientMetadata, OAuthError> {
        ClientMetadata::check(document.as_object().unwrap())
    }

    #[test]
    fn a_usual_mcp_client_registers() {
        let client =
            check(json!({"client_name": "mcp-remote", "redirect_uris": ["http://127.0.0.1:3334/oauth/callback"],
            "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
            "token_endpoint_auth_method": "none", "software_id": "x", "whatever": {"a": 1}}))
            .unwrap();
        assert_eq!(client.application_type, ApplicationType::Native);
        assert_eq!(client.authentication, ClientAuthentication::None);
        assert_eq!(client.grant_types, ["authorization_code", "refresh_token"]);
    }

    #[test]
    fn what_is_refused() {
        let base = json!({"redirect_uris": ["https://a.example/cb"]});
        for (field, value, code) in [
            ("redirect_uris", json!([]), ErrorCode::InvalidRedirectUri),
            ("redirect_uris", json!(["javascript:alert(1)"]), ErrorCode::InvalidRedirectUri),
            ("redirect_uris", json!("https://a.example/cb"), ErrorCode::InvalidClientMetadata),
            ("redirect_uris", json!(vec!["https://a.example/cb"; 21]), ErrorCode::InvalidRedirectUri),
            ("grant_types", json!(["implicit"]), ErrorCode::InvalidClientMetadata),
            ("grant_types", json!(["client_credentials"]), ErrorCode::InvalidClientMetadata),
            ("response_types", json!(["token"]), ErrorCode::InvalidClientMetadata),
            ("token_endpoint_auth_method", json!("tls_client_auth"), ErrorCode::InvalidClientMetadata),
            ("token_endpoint_auth_method", json!("private_key_jwt"), ErrorCode::InvalidClientMetadata),
            ("application_type", json!("service"), ErrorCode::InvalidClientMetadata),
            ("software_statement", json!("e30.e30."), ErrorCode::UnapprovedSoftwareStatement),
            ("client_name", json!(1), ErrorCode::InvalidClientMetadata),
        ] {
            let mut document = base.clone();
            document[field] = value;
            assert_eq!(check(document).unwrap_err().code, code, "{field}");
        }
        let web = json!({"redirect_uris": ["http://localhost/cb"], "application_type": "web"});
        assert_eq!(check(web).unwrap_err().code, ErrorCode::InvalidRedirectUri);
    }

    #[test]
    fn a_name_cannot_redraw_the_page() {
        let client = check(json!({"redirect_uris": ["https://a.example/cb"],
            "client_name": "Good\u{202e}live\u{200b}\u{0}\n  App"}))
        .unwrap();
        assert_eq!(client.name, "Goodlive App");
    }

    proptest! {
        #[test]
        fn no_object_panics(text in "\\{(\"(redirect_uris|grant_types|client_name|jwks)\":(\\[\"\\PC{0,8}\"\\]|\"\\PC{0,8}\"|1|null),){0,3}\"a\":1\\}") {
            if let Ok(document) = crate::strict::object(text.as_bytes()) {
                let _ = ClientMetadata::check(&document);
            }
        }
    }
}
