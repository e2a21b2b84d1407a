//! A provider's metadata (OpenID Connect Discovery 1.0 section 3, RFC 8414 section 2), read as a
//! stranger's document.
//!
//! What it advertises never widens what we do: `none` and HMAC signatures, the `plain` challenge method
//! and unencrypted URLs stay out whatever it says.

use serde_json::{Map, Value};
use url::{Host, Url};

use super::{Algorithm, IssuerRule, OidcFault, foreign::shown};
use crate::{pkce, strict};

/// Larger documents are refused unread.
pub const MAX_BYTES: usize = 128 * 1024;
/// Longer lists are refused.
const MAX_LIST: usize = 512;

/// Which URLs a provider may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `https` only.
    Https,
    /// `https`, and `http` to a loopback address or `localhost`: for tests and the demo.
    HttpsOrLoopback,
}

impl Transport {
    /// Reads a URL that we would send something to. `name` says which one.
    ///
    /// # Errors
    /// [`OidcFault::Url`].
    pub fn url(self, name: &'static str, value: &str) -> Result<Url, OidcFault> {
        let fault = |why| OidcFault::Url { name, value: shown(value), why };
        if value.len() > 2048 {
            return Err(fault("is longer than 2048 bytes"));
        }
        let url = Url::parse(value).map_err(|_| fault("is no URL"))?;
        let loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => return Err(fault("has no host")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(fault("holds a user name or password"));
        }
        if url.fragment().is_some() {
            return Err(fault("has a fragment"));
        }
        match url.scheme() {
            "https" => Ok(url),
            "http" if loopback && self == Self::HttpsOrLoopback => Ok(url),
            _ => Err(fault("is not https")),
        }
    }
}

/// How we can authenticate at a token endpoint (OpenID Connect Core section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthenticationMethod {
    /// `client_secret_basic`.
    SecretBasic,
    /// `client_secret_post`.
    SecretPost,
    /// `private_key_jwt`.
    PrivateKeyJwt,
}

impl AuthenticationMethod {
    /// As in the metadata.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SecretBasic => "client_secret_basic",
            Self::SecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::SecretBasic, Self::SecretPost, Self::PrivateKeyJwt].into_iter().find(|method| method.as_str() == name)
    }
}

/// Something that a provider advertises and that we shall not do; for the administrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Remark {
    /// ID tokens without a signature are offered.
    OffersNone,
    /// ID tokens signed with the client secret are offered.
    OffersHmac,
    /// The `plain` challenge method is offered.
    OffersPlain,
    /// S256 is not advertised; it is used all the same.
    SilentAboutPkce,
    /// RFC 9207 is not advertised: answers are told apart by `state` alone.
    SilentAboutIssuer,
    /// Back-channel log-out is not offered: sessions end by lifetime, SCIM or signals.
    NoBackchannelLogout,
}

impl Remark {
    /// A sentence for the connection's page.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::OffersNone => "it offers ID tokens without a signature; they are never accepted",
            Self::OffersHmac => "it offers ID tokens signed with the client secret; they are never accepted",
            Self::OffersPlain => "it offers the PKCE method `plain`; S256 is used",
            Self::SilentAboutPkce => "it does not say that it checks PKCE; S256 is sent all the same",
            Self::SilentAboutIssuer => "its answers do not say who sent them (RFC 9207)",
            Self::NoBackchannelLogout => "it offers no back-channel log-out",
        }
    }
}

/// What a provider says about itself, as far as we use it.
#[derive(Debug, Clone)]
pub struct ProviderMetadata {
    /// `issuer`; a template with Entra's shared endpoints.
    pub issuer: String,
    /// Where the person is sent.
    pub authorization_endpoint: Url,
    /// Where codes and refresh tokens are redeemed.
    pub token_endpoint: Url,
    /// Where the keys are.
    pub jwks_uri: Url,
    /// Claims by access token.
    pub userinfo_endpoint: Option<Url>,
    /// RP-initiated log-out.
    pub end_session_endpoint: Option<Url>,
    /// RFC 9126.
    pub pushed_authorization_request_endpoint: Option<Url>,
    /// RFC 9126: the provider takes pushed requests only.
    pub require_pushed_authorization_requests: bool,
    /// RFC 7009.
    pub revocation_endpoint: Option<Url>,
    /// Signatures of ID tokens that are offered and that we take; never empty.
    pub id_token_algorithms: Vec<Algorithm>,
    /// RFC 9207: an answer without `iss` is not of this provider.
    pub authorization_response_iss: bool,
    /// S256 is advertised.
    pub pkce_s256: bool,
    /// RFC 9449: ES256 proofs are taken.
    pub dpop_es256: bool,
    /// Those that we can do; `client_secret_basic` when the provider is silent (RFC 8414 section 2).
    pub token_endpoint_auth_methods: Vec<AuthenticationMethod>,
    /// For `private_key_jwt`; empty when the provider is silent.
    pub token_endpoint_auth_algorithms: Vec<Algorithm>,
    /// Back-channel log-out is offered.
    pub backchannel_logout: bool,
    /// Its log-out tokens name the session (`sid`).
    pub backchannel_logout_session: bool,
    /// Front-channel log-out is offered.
    pub frontchannel_logout: bool,
    /// Its log-out requests name the session (`sid`).
    pub frontchannel_logout_session: bool,
    /// The `claims` parameter is understood.
    pub claims_parameter: bool,
    /// Scopes that are advertised; empty when the provider is silent.
    pub scopes_supported: Vec<String>,
    /// `acr` values that are advertised.
    pub acr_values_supported: Vec<String>,
    /// What is offered and not done.
    pub remarks: Vec<Remark>,
}

impl ProviderMetadata {
    /// Reads a metadata document that was fetched from one of `rule`'s addresses.
    ///
    /// # Errors
    /// [`OidcFault`]: the document's form, another issuer, a missing or unsafe endpoint, no acceptable
    /// signature algorithm, only `plain` PKCE, no way to authenticate.
    pub fn parse(bytes: &[u8], rule: &IssuerRule, transport: Transport) -> Result<Self, OidcFault> {
        const WHAT: &str = "provider metadata";
        if bytes.len() > MAX_BYTES {
            return Err(OidcFault::DocumentTooLarge { what: WHAT });
        }
        let object = strict::object(bytes).map_err(|why| OidcFault::Document { what: WHAT, why })?;
        let document = Document { object: &object, transport };
        let issuer = document.text("issuer")?.ok_or(OidcFault::Missing { name: "issuer" })?;
        if !rule.described(issuer) {
            return Err(OidcFault::MetadataIssuer { found: shown(issuer), expected: rule.configured().to_owned() });
        }
        if document.list("response_types_supported")?.is_some_and(|types| !types.contains(&"code")) {
            return Err(OidcFault::NoCodeFlow);
        }
        let mut remarks = Vec::new();
        let id_token_algorithms = id_token_algorithms(&document, &mut remarks)?;
        let pkce_s256 = pkce(&document, &mut remarks)?;
        let authorization_response_iss = document.flag("authorization_response_iss_parameter_supported")?;
        let backchannel_logout = document.flag("backchannel_logout_supported")?;
        if !authorization_response_iss {
            remarks.push(Remark::SilentAboutIssuer);
        }
        if !backchannel_logout {
            remarks.push(Remark::NoBackchannelLogout);
        }
        let texts = |name| document.list(name).map(|list| list.unwrap_or_default().into_iter().map(shown).collect());
        Ok(Self {
            issuer: issuer.to_owned(),
            authorization_endpoint: document.endpoint("authorization_endpoint")?,
            token_endpoint: document.endpoint("token_endpoint")?,
            jwks_uri: document.endpoint("jwks_uri")?,
            userinfo_endpoint: document.url("userinfo_endpoint")?,
            end_session_endpoint: document.url("end_session_endpoint")?,
            pushed_authorization_request_endpoint: document.url("pushed_authorization_request_endpoint")?,
            require_pushed_authorization_requests: document.flag("require_pushed_authorization_requests")?,
            revocation_endpoint: document.url("revocation_endpoint")?,
            id_token_algorithms,
            authorization_response_iss,
            pkce_s256,
            dpop_es256: document.list("dpop_signing_alg_values_supported")?.is_some_and(|all| all.contains(&"ES256")),
            token_endpoint_auth_methods: authentication_methods(&document)?,
            token_endpoint_auth_algorithms: document.algorithms("token_endpoint_auth_signing_alg_values_supported")?,
            backchannel_logout,
            backchannel_logout_session: document.flag("backchannel_logout_session_supported")?,
            frontchannel_logout: document.flag("frontchannel_logout_supported")?,
            frontchannel_logout_session: document.flag("frontchannel_logout_session_supported")?,
            claims_parameter: document.flag("claims_parameter_supported")?,
            scopes_supported: texts("scopes_supported")?,
            acr_values_supported: texts("acr_values_supported")?,
            remarks,
        })
    }
}

fn id_token_algorithms(document: &Document<'_>, remarks: &mut Vec<Remark>) -> Result<Vec<Algorithm>, OidcFault> {
    const NAME: &str = "id_token_signing_alg_values_supported";
    let advertised = document.list(NAME)?.ok_or(OidcFault::Missing { name: NAME })?;
    if advertised.contains(&"none") {
        remarks.push(Remark::OffersNone);
    }
    if advertised.iter().any(|name| name.starts_with("HS")) {
        remarks.push(Remark::OffersHmac);
    }
    let taken = document.algorithms(NAME)?;
    if taken.is_empty() {
        return Err(OidcFault::NoAlgorithm { advertised: shown(&advertised.join(", ")) });
    }
    Ok(taken)
}

fn pkce(document: &Document<'_>, remarks: &mut Vec<Remark>) -> Result<bool, OidcFault> {
    let Some(methods) = document.list("code_challenge_methods_supported")? else {
        remarks.push(Remark::SilentAboutPkce);
        return Ok(false);
    };
    if methods.contains(&"plain") {
        remarks.push(Remark::OffersPlain);
    }
    match methods.contains(&pkce::METHOD) {
        true => Ok(true),
        // Whoever lists methods without S256 would refuse, or misread, ours.
        false => Err(OidcFault::NoPkce),
    }
}

fn authentication_methods(document: &Document<'_>) -> Result<Vec<AuthenticationMethod>, OidcFault> {
    let Some(advertised) = document.list("token_endpoint_auth_methods_supported")? else {
        return Ok(vec![AuthenticationMethod::SecretBasic]);
    };
    let ours: Vec<_> = advertised.iter().filter_map(|name| AuthenticationMethod::named(name)).collect();
    if ours.is_empty() {
        return Err(OidcFault::NoAuthentication { advertised: shown(&advertised.join(", ")) });
    }
    Ok(ours)
}

/// Typed looks into a stranger's document: a member of a wrong type is a fault, never an absence.
struct Document<'a> {
    object: &'a Map<String, Value>,
    transport: Transport,
}

impl<'a> Document<'a> {
    fn text(&self, name: &'static str) -> Result<Option<&'a str>, OidcFault> {
        match self.object.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(OidcFault::WrongType { name }),
        }
    }

    fn flag(&self, name: &'static str) -> Result<bool, OidcFault> {
        match self.object.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(OidcFault::WrongType { name }),
        }
    }

    fn list(&self, name: &'static str) -> Result<Option<Vec<&'a str>>, OidcFault> {
        match self.object.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(items)) if items.len() <= MAX_LIST => {
                let texts: Option<Vec<_>> = items.iter().map(Value::as_str).collect();
                texts.map(Some).ok_or(OidcFault::WrongType { name })
            }
            Some(_) => Err(OidcFault::WrongType { name }),
        }
    }

    /// Those of a list that we take, in our order.
    fn algorithms(&self, name: &'static str) -> Result<Vec<Algorithm>, OidcFault> {
        let advertised: Vec<_> =
            self.list(name)?.unwrap_or_default().into_iter().filter_map(Algorithm::named).collect();
        Ok(Algorithm::ALL.into_iter().filter(|algorithm| advertised.contains(algorithm)).collect())
    }

    fn url(&self, name: &'static str) -> Result<Option<Url>, OidcFault> {
        self.text(name)?.map(|text| self.transport.url(name, text)).transpose()
    }

    fn endpoint(&self, name: &'static str) -> Result<Url, OidcFault> {
        self.url(name)?.ok_or(OidcFault::Missing { name })
    }
}
