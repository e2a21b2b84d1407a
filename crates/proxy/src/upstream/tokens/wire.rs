//! Requests to upstreams' authorization servers and for their metadata.
//!
//! Nothing is sent that the callers here did not write, no redirect is followed, answers are bounded, and the
//! text of an answer goes into no error.

use std::sync::Arc;

use ::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use bytes::Bytes;
use rustls_pki_types::CertificateDer;
use sallyport_model::Secret;
use sallyport_outbound::{
    AddressPolicy,
    guard::Resolver,
    provider::{ProviderAnswer, ProviderClient, ProviderError, ProviderRequest},
};
use url::{Url, form_urlencoded};

use super::fault::TokenFault;

/// The largest metadata document or answer of a token endpoint that is read, bytes.
const MAX_ANSWER: usize = 128 * 1024;
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

/// The way to one upstream's servers.
#[derive(Debug, Clone)]
pub(super) struct Wire(ProviderClient);

/// A form, in the order in which it is written. It holds secrets and is never shown.
#[derive(Default)]
pub(super) struct Form(Vec<(&'static str, Secret)>);

impl Form {
    /// With this grant type.
    pub(super) fn of(grant_type: &str) -> Self {
        Self::default().with("grant_type", grant_type)
    }

    /// And this parameter.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.push((name, Secret::new(value)));
        self
    }

    /// And this one, if it is there.
    pub(super) fn maybe(self, name: &'static str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    fn encoded(&self) -> Bytes {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(self.0.iter().map(|(name, value)| (*name, value.expose())));
        Bytes::from(form.finish())
    }
}

impl Clone for Form {
    fn clone(&self) -> Self {
        Self(self.0.iter().map(|(name, value)| (*name, value.clone())).collect())
    }
}

impl Wire {
    pub(super) fn new(policy: AddressPolicy, resolver: Arc<dyn Resolver>, roots: Vec<CertificateDer<'static>>) -> Self {
        Self(ProviderClient::new(policy, resolver, roots))
    }

    /// A JSON document, `None` where the server has none.
    pub(super) async fn document(&self, what: &'static str, url: &Url) -> Result<Option<Bytes>, TokenFault> {
        let headers = HeaderMap::from_iter([(header::ACCEPT, JSON)]);
        let answer = self.send(what, Method::GET, url, headers, Bytes::new()).await?;
        Ok((answer.status == StatusCode::OK).then_some(answer.body))
    }

    /// What a server says to somebody without a token: its challenges.
    pub(super) async fn challenges(&self, url: &Url) -> Result<HeaderMap, TokenFault> {
        let event_stream = HeaderValue::from_static("application/json, text/event-stream");
        let headers = HeaderMap::from_iter([(header::ACCEPT, event_stream), (header::CONTENT_TYPE, JSON)]);
        // Whatever the upstream makes of it, nothing is executed.
        let ping = Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
        let answer = self.send("the upstream", Method::POST, url, headers, ping).await?;
        Ok(if answer.status == StatusCode::UNAUTHORIZED { answer.headers } else { HeaderMap::new() })
    }

    /// Posts a form.
    pub(super) async fn form(
        &self,
        url: &Url,
        form: &Form,
        authorization: Option<&Secret>,
        proof: Option<&str>,
    ) -> Result<ProviderAnswer, TokenFault> {
        let mut headers = HeaderMap::from_iter([(header::ACCEPT, JSON), (header::CONTENT_TYPE, FORM)]);
        if let Some(authorization) = authorization {
            headers.insert(header::AUTHORIZATION, secret_value(authorization.expose())?);
        }
        if let Some(proof) = proof {
            headers.insert("dpop", secret_value(proof)?);
        }
        self.send("the upstream's token endpoint", Method::POST, url, headers, form.encoded()).await
    }

    async fn send(
        &self,
        what: &'static str,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<ProviderAnswer, TokenFault> {
        let request = ProviderRequest { method, url: url.clone(), headers, body, max_bytes: MAX_ANSWER };
        self.0.send(request).await.map_err(|error| TokenFault::Unreachable { what, why: shown(&error) })
    }
}

/// The guard's and the network's words; neither quotes an answer.
fn shown(error: &ProviderError) -> String {
    error.to_string().chars().take(200).collect()
}

/// A header value that no log shows.
pub(super) fn secret_value(text: &str) -> Result<HeaderValue, TokenFault> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| TokenFault::Answer("it holds a token that no header can carry".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The server's last `DPoP-Nonce`, as it stands; at most 512 bytes.
pub(super) fn dpop_nonce(headers: &HeaderMap) -> Option<String> {
    let nonce = headers.get("dpop-nonce")?.to_str().ok()?;
    (!nonce.is_empty() && nonce.len() <= 512).then(|| nonce.to_owned())
}
