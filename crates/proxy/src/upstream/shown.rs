//! What a leg shows of the gate with each request, and what it does when that is refused.

use std::{fmt, sync::Arc};

use ::http::{HeaderMap, HeaderValue, Method, StatusCode, header::HeaderName};

use super::{
    Caller, UpstreamCredential, UpstreamError,
    http::is_ours,
    tokens::{At, IDENTITY_HEADER, UpstreamToken, UpstreamTokens},
};

/// One caller's credential at one upstream.
#[derive(Clone)]
pub(super) struct Shown(Arc<Inner>);

struct Inner {
    at: At,
    caller: Caller,
    /// A credential that stands in the configuration.
    fixed: Option<(HeaderName, HeaderValue)>,
    tokens: Option<Arc<UpstreamTokens>>,
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shown").field(&self.0.at.credential.kind()).finish()
    }
}

impl Shown {
    pub(super) fn new(at: At, caller: &Caller, tokens: Option<&Arc<UpstreamTokens>>) -> Result<Self, UpstreamError> {
        let fixed = match &at.credential {
            UpstreamCredential::Bearer(token) => {
                Some((::http::header::AUTHORIZATION, value(&format!("Bearer {}", token.expose()))?))
            }
            UpstreamCredential::Header { name, value: secret } => Some((free(name)?.clone(), value(secret.expose())?)),
            UpstreamCredential::Command { header: Some(name), .. } => {
                free(name)?;
                None
            }
            _ => None,
        };
        let fetched = fixed.is_none() && !matches!(at.credential, UpstreamCredential::None);
        if (fetched || at.identity_header) && tokens.is_none() {
            return Err(wrong("this gate was started without what its credential needs"));
        }
        Ok(Self(Arc::new(Inner { at, caller: caller.clone(), fixed, tokens: tokens.cloned() })))
    }

    /// Writes the credential into a request's headers, over whatever is there; what was fetched for it.
    pub(super) async fn dress(
        &self,
        method: &Method,
        headers: &mut HeaderMap,
    ) -> Result<Option<Arc<UpstreamToken>>, UpstreamError> {
        let Inner { at, caller, fixed, tokens } = self.0.as_ref();
        if let Some((name, value)) = fixed {
            headers.insert(name.clone(), value.clone());
        }
        let Some(tokens) = tokens else { return Ok(None) };
        if at.identity_header {
            headers.insert(HeaderName::from_static(IDENTITY_HEADER), tokens.identity(at, caller)?);
        }
        if fixed.is_some() || self.shows_nothing() {
            return Ok(None);
        }
        let token = tokens.token(at, caller).await?;
        tokens.show(at, &token, method.as_str(), headers)?;
        Ok(Some(token))
    }

    /// Whether a request that was answered so, and of which therefore nothing was executed, is worth another try
    /// with another token.
    pub(super) async fn another_try(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        token: Option<&Arc<UpstreamToken>>,
    ) -> bool {
        let (Some(tokens), Some(token)) = (&self.0.tokens, token) else { return false };
        if status != StatusCode::UNAUTHORIZED {
            tokens.learn_nonce(&self.0.at.url, headers);
            return false;
        }
        tokens.refused(&self.0.at, &self.0.caller, token, headers).await
    }

    /// Where the upstream wants no credential, or the gate for itself has none.
    fn shows_nothing(&self) -> bool {
        let open =
            |linked: &super::credential::Linked| matches!(linked.catalogue, super::credential::CatalogueAccess::Open);
        match &self.0.at.credential {
            UpstreamCredential::None => true,
            UpstreamCredential::LinkedAccount(linked) => matches!(self.0.caller, Caller::Gate(_)) && open(linked),
            _ => false,
        }
    }
}

fn wrong(what: &str) -> UpstreamError {
    UpstreamError::Configuration(what.to_owned())
}

fn value(text: &str) -> Result<HeaderValue, UpstreamError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| wrong("its credential is no valid header value"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A header that neither the protocol nor HTTP itself gives a meaning.
fn free(name: &HeaderName) -> Result<&HeaderName, UpstreamError> {
    if is_ours(name) || *name == IDENTITY_HEADER || *name == sallyport_oauth::dpop::HEADER {
        return Err(wrong("its credential's header is one that the protocol uses"));
    }
    Ok(name)
}
