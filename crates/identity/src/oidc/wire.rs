//! Requests to a provider's endpoints.

use axum::body::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use sallyport_oauth::{
    SigningKey,
    oidc::{
        FormRequest, OidcFault, TokenResponse, dpop,
        dpop::Proof,
        exchange::{self, TokenType},
    },
};
use sallyport_outbound::provider::{ProviderAnswer, ProviderRequest};
use url::Url;

use super::{peer::Peer, trouble::Trouble};

/// The largest answer of a token endpoint or UserInfo that is read, bytes.
const MAX_ANSWER: usize = 256 * 1024;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

impl Peer<'_> {
    /// The body of a document.
    pub(super) async fn document(&self, what: &'static str, url: &Url, max_bytes: usize) -> Result<Bytes, Trouble> {
        let headers = HeaderMap::from_iter([(header::ACCEPT, JSON)]);
        let answer = self.send(what, Method::GET, url, headers, Bytes::new(), max_bytes).await?;
        match answer.status {
            StatusCode::OK => Ok(answer.body),
            status => Err(Trouble::Status { what, status: status.as_u16() }),
        }
    }

    /// Posts a form.
    pub(super) async fn post(&self, what: &'static str, request: &FormRequest) -> Result<ProviderAnswer, Trouble> {
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        let mut headers = HeaderMap::from_iter([(header::ACCEPT, JSON), (header::CONTENT_TYPE, form)]);
        if let Some(authorization) = &request.authorization {
            headers.insert(header::AUTHORIZATION, secret(authorization.expose())?);
        }
        if let Some(proof) = &request.dpop {
            headers.insert("dpop", secret(proof)?);
        }
        let body = Bytes::from(request.body.expose().to_owned());
        self.send(what, Method::POST, &request.url, headers, body, MAX_ANSWER).await
    }

    /// A token request as `make` writes it, with a proof by `key` where there is one; once more where the
    /// provider wants its nonce in that proof (RFC 9449 section 8).
    pub(super) async fn tokens(
        &self,
        key: Option<&SigningKey>,
        make: impl Fn() -> Result<FormRequest, OidcFault>,
    ) -> Result<TokenResponse, Trouble> {
        let mut nonce: Option<String> = None;
        loop {
            let mut request = make()?;
            if let Some(key) = key {
                dpop::attach(&mut request, nonce.as_deref(), key, self.identity.now(), self.identity.rng())?;
            }
            let answer = self.post("token endpoint", &request).await?;
            match exchange::read(answer.status.as_u16(), &answer.body) {
                Err(OidcFault::DpopNonce) if key.is_some() && nonce.is_none() => {
                    nonce = Some(dpop_nonce(&answer.headers).ok_or(OidcFault::DpopNonce)?);
                }
                read => return Ok(read?),
            }
        }
    }

    /// The UserInfo answer, unread.
    pub(super) async fn user_info(
        &self,
        url: &Url,
        tokens: &TokenResponse,
        key: Option<&SigningKey>,
    ) -> Result<Bytes, Trouble> {
        const WHAT: &str = "UserInfo answer";
        let mut nonce: Option<String> = None;
        loop {
            let mut headers = HeaderMap::from_iter([(header::ACCEPT, JSON)]);
            let token = tokens.access_token.expose();
            let scheme = if tokens.token_type == TokenType::DPoP { "DPoP" } else { "Bearer" };
            headers.insert(header::AUTHORIZATION, secret(&format!("{scheme} {token}"))?);
            if let (TokenType::DPoP, Some(key)) = (tokens.token_type, key) {
                let proof = Proof { method: "GET", url, nonce: nonce.as_deref(), access_token: Some(token) };
                let proof = dpop::prove(&proof, key, self.identity.now(), self.identity.rng())?;
                headers.insert("dpop", secret(&proof)?);
            }
            let answer = self.send(WHAT, Method::GET, url, headers, Bytes::new(), MAX_ANSWER).await?;
            match (answer.status, dpop_nonce(&answer.headers)) {
                (StatusCode::OK, _) => return Ok(answer.body),
                (StatusCode::UNAUTHORIZED, Some(theirs)) if nonce.is_none() => nonce = Some(theirs),
                (status, _) => return Err(Trouble::Status { what: WHAT, status: status.as_u16() }),
            }
        }
    }

    async fn send(
        &self,
        what: &'static str,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
        max_bytes: usize,
    ) -> Result<ProviderAnswer, Trouble> {
        let request = ProviderRequest { method, url: url.clone(), headers, body, max_bytes };
        self.identity.providers().send(request).await.map_err(|why| Trouble::Unreachable { what, why })
    }
}

/// At most 512 bytes, as it stands.
fn dpop_nonce(headers: &HeaderMap) -> Option<String> {
    let nonce = headers.get("dpop-nonce")?.to_str().ok()?;
    (!nonce.is_empty() && nonce.len() <= 512).then(|| nonce.to_owned())
}

/// A header value that no log shows.
fn secret(text: &str) -> Result<HeaderValue, OidcFault> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| OidcFault::TokenResponse { why: "holds a token that no header can carry" })?;
    value.set_sensitive(true);
    Ok(value)
}
