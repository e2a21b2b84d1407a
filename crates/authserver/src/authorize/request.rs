//! The checks on an authorization request (OAuth 2.1 section 4.1.1, RFC 7636, RFC 8707, OpenID Connect
//! Core section 3.1.2.1).

use sallyport_model::{AgentId, ClientId, Scope, ScopeSet};
use sallyport_oauth::{ErrorCode, OAuthError, pkce, redirect, thumbprint};
use sallyport_storage::{Agent, ApplicationType, ClientAuthMethod, ClientRecord};
use sallyport_web::Caller;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Ended, Refusal},
    parameters::Parameters,
    record::Known,
    resources,
    server::Server,
};

/// Scopes that are about the authorization server and not about a resource.
pub(crate) const OWN_SCOPES: [&str; 2] = ["openid", "offline_access"];

/// Where an answer may be sent: checked, so that holding one is leave to redirect.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) client: ClientRecord,
    /// Whose client it is, if it is an agent's.
    pub(crate) agent: Option<Agent>,
    pub(crate) redirect_uri: String,
    pub(crate) state: Option<String>,
}

/// A request that is good but for the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuthorizationRequest {
    pub(crate) client: ClientId,
    pub(crate) redirect_uri: String,
    pub(crate) state: Option<String>,
    pub(crate) code_challenge: String,
    pub(crate) resource: String,
    pub(crate) scopes: ScopeSet,
    pub(crate) nonce: Option<String>,
    pub(crate) prompt: Prompt,
    pub(crate) max_age: Option<u64>,
    /// Who is expected to sign in; leads to her identity provider. Never believed.
    #[serde(default)]
    pub(crate) login_hint: Option<String>,
    /// The agent that asks to act for her.
    #[serde(default)]
    pub(crate) agent: Option<AgentId>,
    /// The thumbprint of the DPoP key that must redeem the code (RFC 9449 section 10).
    #[serde(default)]
    pub(crate) dpop_jkt: Option<String>,
}

/// `prompt` (OpenID Connect Core section 3.1.2.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Prompt {
    pub(crate) none: bool,
    pub(crate) login: bool,
    pub(crate) consent: bool,
}

/// Checks client and redirect URI. Whatever is refused here is shown on a page and never redirected.
pub(crate) async fn target(
    server: &Server,
    caller: &Caller,
    parameters: &Parameters,
    known: &mut Known,
) -> Result<Target, Ended> {
    known.claim("client_id", parameters.get("client_id"));
    known.claim("redirect_uri", parameters.get("redirect_uri"));
    let id = parameters.require("client_id", "client_id is missing")?;
    let client = server.client_now(id, caller).await?;
    known.client = Some(client.id.clone());
    let redirect_uri = parameters.require("redirect_uri", "redirect_uri is missing")?.to_owned();
    if !is_registered(&client, &redirect_uri) {
        let wrong = "redirect_uri is not one that the client registered";
        return Err(Refusal::new(ErrorCode::InvalidRequest, wrong, "redirect_uri_unregistered").into());
    }
    let agent = match &client.agent {
        Some(id) => server.store.agent(id).await?.filter(|agent| agent.client == client.id),
        None => None,
    };
    Ok(Target { client, agent, redirect_uri, state: parameters.get("state").map(str::to_owned) })
}

/// Whether an answer may go to `redirect_uri`.
pub(crate) fn is_registered(client: &ClientRecord, redirect_uri: &str) -> bool {
    let any_port = client.application_type == ApplicationType::Native;
    redirect::check(redirect_uri).is_ok()
        && client.redirect_uris.iter().any(|registered| redirect::matches(registered, redirect_uri, any_port))
}

/// Checks the rest. Whatever is refused here is told to the client by redirect.
pub(crate) fn check(
    server: &Server,
    target: &Target,
    parameters: &Parameters,
) -> Result<AuthorizationRequest, Refusal> {
    if parameters.get("request").is_some() {
        return Err(OAuthError::new(ErrorCode::RequestNotSupported, "request objects are not supported").into());
    }
    match parameters.get("response_type") {
        Some("code") => {}
        Some(_) => {
            return Err(OAuthError::new(ErrorCode::UnsupportedResponseType, "response_type must be code").into());
        }
        None => return Err(invalid("response_type is missing", "response_type_missing")),
    }
    if parameters.get("response_mode").is_some_and(|mode| mode != "query") {
        return Err(invalid("response_mode must be query", "response_mode"));
    }
    may_ask(target)?;
    let code_challenge = challenge(parameters)?;
    let resource = resources::named(server.resources.as_ref(), parameters.get("resource")).ok_or(Refusal::new(
        ErrorCode::InvalidTarget,
        "resource must be the identifier of one of our resources",
        "resource_unknown",
    ))?;
    let scopes = scopes(&resource, parameters.get("scope"))?;
    let scopes = match &target.agent {
        Some(agent) => within(agent, &resource, &scopes)?,
        None => scopes,
    };
    let dpop_jkt = parameters.get("dpop_jkt");
    if dpop_jkt.is_some_and(|jkt| !thumbprint::is_one(jkt)) {
        return Err(invalid("dpop_jkt must be the thumbprint of a key: 43 characters of base64url", "dpop_jkt"));
    }
    if parameters.get("nonce").is_some_and(|nonce| nonce.len() > 512) {
        return Err(invalid("nonce is longer than 512 bytes", "nonce"));
    }
    Ok(AuthorizationRequest {
        client: target.client.id.clone(),
        redirect_uri: target.redirect_uri.clone(),
        state: target.state.clone(),
        code_challenge,
        scopes,
        resource: resource.uri,
        nonce: parameters.get("nonce").map(str::to_owned),
        prompt: prompt(parameters.get("prompt"))?,
        max_age: max_age(parameters.get("max_age"))?,
        login_hint: parameters.get("login_hint").filter(|hint| hint.len() <= 254).map(str::to_owned),
        agent: target.agent.as_ref().map(|agent| agent.id.clone()),
        dpop_jkt: dpop_jkt.map(str::to_owned),
    })
}

/// Whether the client may ask people for anything. An agent's client may where the agent was given this redirect URI.
fn may_ask(target: &Target) -> Result<(), Refusal> {
    let registered = target.client.grant_types.iter().any(|grant| grant == "authorization_code");
    let any_port = target.client.application_type == ApplicationType::Native;
    let delegable = match (&target.client.agent, &target.agent) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(_), Some(agent)) => {
            let mut given = agent.bounds.redirect_uris.iter();
            given.any(|given| redirect::matches(given, &target.redirect_uri, any_port))
        }
    };
    if registered && delegable {
        return Ok(());
    }
    let refused = "the client may not ask for a person's authorization";
    Err(Refusal::new(ErrorCode::UnauthorizedClient, refused, "client_grant_type"))
}

/// What an agent may have of what it asks a person for: never more than it may have for itself.
pub(crate) fn within(agent: &Agent, resource: &resources::ResourceInfo, asked: &ScopeSet) -> Result<ScopeSet, Refusal> {
    if !agent.resources.contains(&resource.uri) {
        let wrong = "resource must be the identifier of one resource that the agent may use";
        return Err(Refusal::new(ErrorCode::InvalidTarget, wrong, "resource_not_the_agents"));
    }
    let own: ScopeSet = asked.iter().filter(|scope| is_own(scope)).cloned().collect();
    let granted = of_resource(asked).intersection(&resource.closure(&agent.scopes));
    if granted.is_empty() {
        let none = "the agent may have none of these scopes";
        return Err(Refusal::new(ErrorCode::InvalidScope, none, "scope_not_the_agents"));
    }
    Ok(granted.union(&own))
}

const fn invalid(description: &'static str, reason: &'static str) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, description, reason)
}

fn challenge(parameters: &Parameters) -> Result<String, Refusal> {
    use pkce::PkceFault as F;
    let checked = pkce::challenge(parameters.get("code_challenge"), parameters.get("code_challenge_method"));
    checked.map(str::to_owned).map_err(|fault| match fault {
        F::Missing => invalid("PKCE is required: send code_challenge with code_challenge_method=S256", "pkce_missing"),
        F::Method => invalid("code_challenge_method must be S256", "pkce_method"),
        F::Malformed => invalid("code_challenge must be 43 characters of base64url", "pkce_malformed"),
    })
}

/// What is granted of what is asked. Scopes that nobody here knows are left out, as RFC 6749 section
/// 3.3 allows (the token response says what is left); a request of nothing but those is refused. Who
/// asks for no scope of the resource gets its initial ones.
fn scopes(resource: &resources::ResourceInfo, asked: Option<&str>) -> Result<ScopeSet, Refusal> {
    let malformed = Refusal::new(ErrorCode::InvalidScope, "scope is malformed", "scope_malformed");
    let asked: ScopeSet = asked.unwrap_or_default().parse().map_err(|_| malformed)?;
    let own: ScopeSet = asked.iter().filter(|scope| is_own(scope)).cloned().collect();
    let of_resource = resource.known(&asked);
    if !of_resource.is_empty() {
        return Ok(of_resource.union(&own));
    }
    if own.is_empty() && !asked.is_empty() {
        return Err(Refusal::new(ErrorCode::InvalidScope, "none of these scopes exists here", "scope_unknown"));
    }
    Ok(resource.initial_scopes.union(&own))
}

/// Whether this scope is about us and not about a resource.
pub(crate) fn is_own(scope: &Scope) -> bool {
    OWN_SCOPES.contains(&scope.as_str())
}

/// The scopes of a set that are the resource's.
pub(crate) fn of_resource(scopes: &ScopeSet) -> ScopeSet {
    scopes.iter().filter(|scope| !is_own(scope)).cloned().collect()
}

fn prompt(value: Option<&str>) -> Result<Prompt, Refusal> {
    let mut prompt = Prompt::default();
    for word in value.unwrap_or_default().split(' ').filter(|word| !word.is_empty()) {
        match word {
            "none" => prompt.none = true,
            "login" | "select_account" => prompt.login = true,
            "consent" => prompt.consent = true,
            _ => return Err(invalid("prompt must be none, login or consent", "prompt")),
        }
    }
    if prompt.none && (prompt.login || prompt.consent) {
        return Err(invalid("prompt none goes with no other", "prompt"));
    }
    Ok(prompt)
}

fn max_age(value: Option<&str>) -> Result<Option<u64>, Refusal> {
    let seconds = |text: &str| text.parse().map_err(|_| invalid("max_age must be a number of seconds", "max_age"));
    value.map(seconds).transpose()
}

/// Whether nobody else's program can answer at this client's redirect URI: it has a host of its own,
/// or the client proves itself at the token endpoint. On loopback and behind private schemes any local
/// program can pose as a public client, so such a client's consent is never taken as given
/// (RFC 8252 section 8.6).
pub(crate) fn is_unmistakable(client: &ClientRecord, redirect_uri: &str) -> bool {
    client.auth != ClientAuthMethod::None || redirect::check(redirect_uri) == Ok(redirect::RedirectKind::Https)
}

#[cfg(test)]
mod tests {
    use sallyport_model::UpstreamName;

    use super::*;
    use crate::{ResourceInfo, ScopeInfo};

    fn resource() -> ResourceInfo {
        let scope = |name: &str| ScopeInfo {
            scope: Scope::new(name).unwrap(),
            title: name.into(),
            description: String::new(),
            includes: ScopeSet::empty(),
            risky: false,
        };
        ResourceInfo {
            uri: "https://g/mcp/a".into(),
            upstream: UpstreamName::new("a").unwrap(),
            title: "A".into(),
            scopes: vec![scope("a:read"), scope("a:write")],
            initial_scopes: "a:read".parse().unwrap(),
        }
    }

    #[test]
    fn unknown_scopes_fall_away_and_nothing_asked_is_the_initial_set() {
        for (asked, given) in [
            (None, "a:read"),
            (Some("a:write"), "a:write"),
            (Some("a:write b:write"), "a:write"),
            (Some("openid"), "a:read openid"),
            (Some("openid profile offline_access"), "a:read offline_access openid"),
            (Some("a:write openid"), "a:write openid"),
        ] {
            assert_eq!(scopes(&resource(), asked).unwrap().to_string(), given, "{asked:?}");
        }
        for asked in ["b:write", "*", "a:READ", "a:read\"", "profile"] {
            assert_eq!(scopes(&resource(), Some(asked)).unwrap_err().error.code, ErrorCode::InvalidScope, "{asked}");
        }
    }

    #[test]
    fn prompt_none_stands_alone() {
        assert_eq!(prompt(Some("login consent")).unwrap(), Prompt { none: false, login: true, consent: true });
        assert!(prompt(Some("none")).unwrap().none);
        assert!(prompt(Some("none login")).is_err());
        assert!(prompt(Some("create")).is_err());
        assert_eq!(max_age(Some("0")).unwrap(), Some(0));
        assert!(max_age(Some("-1")).is_err());
    }
}
