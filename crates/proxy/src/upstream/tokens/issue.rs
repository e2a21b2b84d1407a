//! Asking for a token: the grant of each kind.

use sallyport_model::{Actor, Secret};
use sallyport_oauth::exchange::{JWT_BEARER, TOKEN_EXCHANGE, token_type};
use serde_json::{Map, Value};

use super::{
    At, COMMAND_LIFE, Scheme, UpstreamToken, UpstreamTokens, assertion::AssertionType, cache::usable_until, client,
    discovery::Server, fault::TokenFault, wire::Form,
};
use crate::upstream::{
    Caller, UpstreamCredential,
    credential::{Exchanged, Issued},
};

impl UpstreamTokens {
    /// Fetches what `at` is shown for `caller`.
    pub(super) async fn fetch(&self, at: &At, caller: &Caller) -> Result<UpstreamToken, TokenFault> {
        match &at.credential {
            UpstreamCredential::Command { command, header } => {
                let scheme = header.clone().map_or(Scheme::Bearer, Scheme::Header);
                let secret = client::run(command).await?;
                let usable_until = usable_until(self.deps.clock.now(), COMMAND_LIFE);
                Ok(UpstreamToken { secret, scheme, usable_until, key: None, version: 0 })
            }
            UpstreamCredential::ClientCredentials(issued) => self.by_client_credentials(at, issued).await,
            UpstreamCredential::TokenExchange(exchanged) | UpstreamCredential::IdJag(exchanged)
                if matches!(caller, Caller::Gate(_)) =>
            {
                self.by_client_credentials(at, &exchanged.issued).await
            }
            UpstreamCredential::TokenExchange(exchanged) => self.by_exchange(at, exchanged, caller).await,
            UpstreamCredential::IdJag(exchanged) => self.by_id_jag(at, exchanged, caller).await,
            UpstreamCredential::None
            | UpstreamCredential::Bearer(_)
            | UpstreamCredential::Header { .. }
            | UpstreamCredential::LinkedAccount(_) => Err(TokenFault::NotWired),
        }
    }

    /// RFC 6749 section 4.4: the gate for itself.
    async fn by_client_credentials(&self, at: &At, issued: &Issued) -> Result<UpstreamToken, TokenFault> {
        let server = self.server(at, &issued.server).await?;
        let form = Form::of("client_credentials")
            .maybe("scope", issued.scope.as_deref())
            .with("resource", resource(at, issued, &server));
        self.issued(at, issued, &server, form).await
    }

    /// RFC 8693: the subject token is ours, made now, for this endpoint alone.
    async fn by_exchange(&self, at: &At, exchanged: &Exchanged, caller: &Caller) -> Result<UpstreamToken, TokenFault> {
        let issued = &exchanged.issued;
        let server = self.server(at, &issued.server).await?;
        let more = self.more(exchanged, caller).await?;
        let endpoint = server.token_endpoint.as_str();
        let subject = self.maker().about(AssertionType::Subject, caller, endpoint, &pairs(&more))?;
        let form = Form::of(TOKEN_EXCHANGE)
            .with("subject_token", subject.expose())
            .with("subject_token_type", token_type::JWT)
            .with("requested_token_type", token_type::ACCESS_TOKEN)
            .maybe("audience", exchanged.audience.as_deref())
            .maybe("scope", issued.scope.as_deref())
            .with("resource", resource(at, issued, &server));
        self.issued(at, issued, &server, form).await
    }

    /// The gate as the identity provider's side of Cross App Access: an ID-JAG for the upstream's authorization
    /// server, and RFC 7523 there (draft-ietf-oauth-identity-assertion-authz-grant sections 3 and 4).
    async fn by_id_jag(&self, at: &At, exchanged: &Exchanged, caller: &Caller) -> Result<UpstreamToken, TokenFault> {
        let issued = &exchanged.issued;
        let server = self.server(at, &issued.server).await?;
        let mut more = self.more(exchanged, caller).await?;
        more.insert("client_id".to_owned(), self.client_id(at, issued, &server)?.into());
        more.insert("resource".to_owned(), resource(at, issued, &server).into());
        if let Some(scope) = &issued.scope {
            more.insert("scope".to_owned(), scope.as_str().into());
        }
        let assertion = self.maker().about(AssertionType::IdJag, caller, &server.issuer, &pairs(&more))?;
        let form = Form::of(JWT_BEARER).with("assertion", assertion.expose()).maybe("scope", issued.scope.as_deref());
        self.issued(at, issued, &server, form).await
    }

    async fn issued(&self, at: &At, issued: &Issued, server: &Server, form: Form) -> Result<UpstreamToken, TokenFault> {
        let key = if issued.dpop { Some(self.key(&at.name)?) } else { None };
        let answer = self.ask(at, issued, server, form, key.as_ref()).await?;
        // RFC 8693 section 2.2.1: a server may give out something else than what it was asked for.
        if answer.issued_token_type.as_deref().is_some_and(|given| given != token_type::ACCESS_TOKEN) {
            return Err(TokenFault::Answer("it is no access token".to_owned()));
        }
        self.shown(&answer, key)
    }

    /// What an assertion tells of a person beyond her id, if that was chosen.
    async fn more(&self, exchanged: &Exchanged, caller: &Caller) -> Result<Map<String, Value>, TokenFault> {
        let mut more = Map::new();
        let Caller::Principal(principal) = caller else { return Ok(more) };
        if let (true, Actor::Human(user)) = (exchanged.send_email, &principal.subject) {
            let person = self.deps.store.person(user).await.map_err(|_| TokenFault::Store)?;
            if let Some(email) = person.and_then(|person| person.email) {
                more.insert("email".to_owned(), email.into());
            }
        }
        Ok(more)
    }
}

/// The RFC 8707 resource: as configured, as the upstream calls itself, or its URL.
pub(super) fn resource(at: &At, issued: &Issued, server: &Server) -> String {
    issued.resource.clone().or_else(|| server.resource.clone()).unwrap_or_else(|| at.url.to_string())
}

fn pairs(claims: &Map<String, Value>) -> Vec<(&str, Value)> {
    claims.iter().map(|(name, value)| (name.as_str(), value.clone())).collect()
}

/// A secret that is asked for by what has none of its own.
pub(super) fn plain(secret: &Secret, until: sallyport_model::Timestamp) -> UpstreamToken {
    UpstreamToken { secret: secret.clone(), scheme: Scheme::Bearer, usable_until: until, key: None, version: 0 }
}
