//! An OAuth client that knows nothing but the MCP endpoint's address.

use anyhow::{Context, Result, ensure};
use sallyport_model::SystemRng;
use sallyport_oauth::pkce;
use serde_json::{Value, json};
use url::Url;

use super::{
    browser::Browser,
    mcp,
    web::{Reply, Web, encoded},
};
use crate::{commands::demo::Account, secrets};

/// Where answers go. Nobody listens there: the browser stops at the redirect.
pub const REDIRECT: &str = "http://127.0.0.1:1/callback";

/// What was discovered and registered.
pub struct Client {
    /// HTTP.
    pub web: Web,
    /// The answer to a call without a token.
    pub unauthorized: Reply,
    /// RFC 9728.
    pub resource_metadata: Value,
    /// RFC 8414.
    pub metadata: Value,
    /// The answer to the registration.
    pub client_id: String,
}

/// Tokens as they came.
#[derive(Clone)]
pub struct Tokens {
    /// For calls.
    pub access: String,
    /// For the next ones.
    pub refresh: Option<String>,
    /// The whole answer.
    pub answer: Value,
}

/// Parameters that replace the ordinary ones of a request; `None` leaves one out.
pub type Instead<'a> = [(&'a str, Option<&'a str>)];

impl Client {
    /// Finds everything out from a 401 and registers.
    pub async fn discover(web: Web, endpoint: &str) -> Result<Self> {
        let unauthorized = mcp::send(&web, endpoint, None, "tools/list", json!({})).await?;
        let at = unauthorized.challenge("resource_metadata");
        let at = at.with_context(|| format!("{} from {endpoint} without resource_metadata", unauthorized.status))?;
        let resource_metadata = web.get(&at).await?.json();
        let issuer = text(&resource_metadata["authorization_servers"], "0");
        let metadata = web.get(&well_known(&issuer, "oauth-authorization-server")?).await?.json();
        let mut client = Self { web, unauthorized, resource_metadata, metadata, client_id: String::new() };
        client.client_id = client.register().await?;
        Ok(client)
    }

    async fn register(&self) -> Result<String> {
        let body = json!({"client_name": "Sallyport tour", "redirect_uris": [REDIRECT], "application_type": "native",
            "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
            "token_endpoint_auth_method": "none"});
        let reply = self.web.post_json(&self.endpoint("registration_endpoint"), &body).await?;
        ensure!(reply.status == 201, "registration answered {}", reply.outcome());
        Ok(text(&reply.json(), "client_id"))
    }

    /// An address out of the metadata.
    pub fn endpoint(&self, name: &str) -> String {
        text(&self.metadata, name)
    }

    /// The authorization server.
    pub fn issuer(&self) -> String {
        text(&self.metadata, "issuer")
    }

    /// The resource identifier.
    pub fn resource(&self) -> String {
        text(&self.resource_metadata, "resource")
    }

    /// The scope that the challenge asks for.
    pub fn first_scope(&self) -> String {
        self.unauthorized.challenge("scope").unwrap_or_default()
    }

    /// The address of an authorization request, and its verifier.
    pub fn request(&self, scope: &str, instead: &Instead<'_>) -> Result<(Url, String)> {
        let (verifier, state) = (secrets::random(&SystemRng), secrets::random(&SystemRng));
        let (challenge, resource) = (pkce::challenge_of(verifier.expose()), self.resource());
        let mut query = vec![
            ("response_type", "code"),
            ("client_id", &self.client_id),
            ("redirect_uri", REDIRECT),
            ("state", state.expose()),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("resource", &resource),
            ("scope", scope),
        ];
        replace(&mut query, instead);
        let url = format!("{}?{}", self.endpoint("authorization_endpoint"), encoded(&query));
        Ok((url.parse()?, verifier.expose().to_owned()))
    }

    /// Asks for authorization as `account`; the answer's parameters, and the verifier.
    pub async fn authorize(
        &self,
        browser: &mut Browser,
        account: &Account,
        scope: &str,
        instead: &Instead<'_>,
    ) -> Result<(Value, String)> {
        let (url, verifier) = self.request(scope, instead)?;
        let state = parameters(&url)["state"].clone();
        let back = browser.walk(url, REDIRECT, account).await?;
        let answer = parameters(&back);
        ensure!(answer["state"] == state, "`state` came back changed");
        Ok((answer, verifier))
    }

    /// Asks the token endpoint; `client_id` and `resource` are added.
    pub async fn token(&self, form: &[(&str, &str)], instead: &Instead<'_>) -> Result<Reply> {
        let resource = self.resource();
        let mut all = form.to_vec();
        all.extend([("client_id", self.client_id.as_str()), ("resource", &resource)]);
        replace(&mut all, instead);
        self.web.post_form(&self.endpoint("token_endpoint"), &all, &[]).await
    }

    /// Redeems a code.
    pub async fn redeem(&self, answer: &Value, verifier: &str, instead: &Instead<'_>) -> Result<Reply> {
        let code = text(answer, "code");
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", REDIRECT),
            ("code_verifier", verifier),
        ];
        self.token(&form, instead).await
    }

    /// Redeems a refresh token.
    pub async fn refresh(&self, token: &str) -> Result<Reply> {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", token)], &[]).await
    }

    /// Signs in as `account`, consents and redeems the code.
    pub async fn sign_in(&self, browser: &mut Browser, account: &Account, scope: &str) -> Result<Tokens> {
        let (answer, verifier) = self.authorize(browser, account, scope, &[]).await?;
        Tokens::of(&self.redeem(&answer, &verifier, &[]).await?)
    }

    /// A token for an agent by its secret.
    pub async fn agent_token(&self, id: &str, secret: &str, scope: Option<&str>) -> Result<Reply> {
        let instead = [("client_id", Some(id)), ("scope", scope)];
        self.token(&[("grant_type", "client_credentials"), ("client_secret", secret), ("scope", "")], &instead).await
    }
}

impl Tokens {
    /// Reads a token response.
    pub fn of(reply: &Reply) -> Result<Self> {
        let answer = reply.json();
        ensure!(reply.status == 200, "the token endpoint answered {}", reply.outcome());
        let refresh = answer["refresh_token"].as_str().map(str::to_owned);
        Ok(Self { access: text(&answer, "access_token"), refresh, answer })
    }

    /// The refresh token.
    pub fn refresh(&self) -> Result<&str> {
        self.refresh.as_deref().context("no refresh token came")
    }

    /// A claim of the access token, unverified: the tour only reads what it was given.
    pub fn claim(&self, name: &str) -> String {
        text(&claims(&self.access), name)
    }
}

/// The claims of a JWT, unverified; null if it is none.
pub fn claims(token: &str) -> Value {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let payload = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    payload.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// A member or an item as text; empty where there is none.
pub fn text(value: &Value, name: &str) -> String {
    let found = value.get(name).or_else(|| value.get(name.parse::<usize>().ok()?));
    found.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The items of a list as words.
pub fn words(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The query of an address as an object.
pub fn parameters(url: &Url) -> Value {
    url.query_pairs().map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))).collect()
}

/// The address of an issuer's metadata (RFC 8414 section 3.1).
pub fn well_known(issuer: &str, name: &str) -> Result<String> {
    let url: Url = issuer.parse().with_context(|| format!("the issuer `{issuer}` is no URL"))?;
    let path = url.path().trim_end_matches('/');
    Ok(format!("{}/.well-known/{name}{path}", url.origin().ascii_serialization()))
}

fn replace<'a>(parameters: &mut Vec<(&'a str, &'a str)>, instead: &Instead<'a>) {
    for (name, value) in instead {
        parameters.retain(|(kept, _)| kept != name);
        parameters.extend(value.map(|value| (*name, value)));
    }
}
