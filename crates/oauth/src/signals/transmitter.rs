//! A transmitter's metadata (Shared Signals Framework 1.0 section 7).

use serde_json::Value;
use url::Url;

use super::SignalFault;
use crate::{
    oidc::{Transport, foreign::shown},
    strict,
};

/// Larger documents are refused unread.
const MAX_BYTES: usize = 128 * 1024;
/// Longer lists are refused.
const MAX_LIST: usize = 128;

/// Whether a new stream is about everybody or about nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultSubjects {
    /// Everybody for whom the transmitter finds it right.
    All,
    /// Nobody until subjects are added.
    None,
    /// The transmitter does not say.
    Unspecified,
}

/// What a transmitter says about itself, as far as we use it.
#[derive(Debug, Clone)]
pub struct TransmitterMetadata {
    /// `issuer`, as in its tokens.
    pub issuer: String,
    /// `spec_version`; absent means the first draft.
    pub spec_version: Option<String>,
    /// Where its keys are. Without them nothing can be verified, so it is demanded.
    pub jwks_uri: Url,
    /// Push ([`super::delivery::PUSH`]) is offered; so when it is silent.
    pub push: bool,
    /// Poll ([`super::delivery::POLL`]) is offered; so when it is silent.
    pub poll: bool,
    /// Streams are made, read and deleted here.
    pub configuration_endpoint: Option<Url>,
    /// A stream's state.
    pub status_endpoint: Option<Url>,
    /// Verification events are asked for here.
    pub verification_endpoint: Option<Url>,
    /// Subjects are added here.
    pub add_subject_endpoint: Option<Url>,
    /// Subjects are removed here.
    pub remove_subject_endpoint: Option<Url>,
    /// Members of complex subjects that must be understood.
    pub critical_subject_members: Vec<String>,
    /// How the management API is authorised, such as `urn:ietf:rfc:6749`.
    pub authorization_schemes: Vec<String>,
    /// See [`DefaultSubjects`].
    pub default_subjects: DefaultSubjects,
}

/// Where a transmitter's metadata are (section 7.2): the well-known path goes before the issuer's own.
///
/// # Errors
/// [`SignalFault::Oidc`] for a URL that nothing would be sent to.
pub fn metadata_url(issuer: &str, transport: Transport) -> Result<Url, SignalFault> {
    let mut url = transport.url("issuer", issuer)?;
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("/.well-known/ssf-configuration{path}"));
    url.set_query(None);
    Ok(url)
}

impl TransmitterMetadata {
    /// Reads a metadata document that was fetched from [`metadata_url`] of `issuer`.
    ///
    /// # Errors
    /// [`SignalFault`]: form, another issuer, a missing key set, an unsafe URL.
    pub fn parse(bytes: &[u8], issuer: &str, transport: Transport) -> Result<Self, SignalFault> {
        const WHAT: &str = "transmitter metadata";
        if bytes.len() > MAX_BYTES {
            return Err(SignalFault::TooLarge { what: WHAT });
        }
        let object = strict::object(bytes).map_err(|why| SignalFault::Document { what: WHAT, why })?;
        let text = |name: &'static str| match object.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(SignalFault::Member { name, why: "is no text" }),
        };
        let url = |name: &'static str| -> Result<Option<Url>, SignalFault> {
            Ok(text(name)?.map(|value| transport.url(name, value)).transpose()?)
        };
        let found = text("issuer")?.ok_or(SignalFault::Member { name: "issuer", why: "is missing" })?;
        if found != issuer {
            return Err(SignalFault::Transmitter { found: shown(found), expected: issuer.to_owned() });
        }
        let methods = texts(object.get("delivery_methods_supported"), "delivery_methods_supported")?;
        let offers = |method: &str| methods.is_empty() || methods.iter().any(|offered| offered == method);
        Ok(Self {
            issuer: found.to_owned(),
            spec_version: text("spec_version")?.map(shown),
            jwks_uri: url("jwks_uri")?.ok_or(SignalFault::Member { name: "jwks_uri", why: "is missing" })?,
            push: offers(super::delivery::PUSH),
            poll: offers(super::delivery::POLL),
            configuration_endpoint: url("configuration_endpoint")?,
            status_endpoint: url("status_endpoint")?,
            verification_endpoint: url("verification_endpoint")?,
            add_subject_endpoint: url("add_subject_endpoint")?,
            remove_subject_endpoint: url("remove_subject_endpoint")?,
            critical_subject_members: texts(object.get("critical_subject_members"), "critical_subject_members")?,
            authorization_schemes: schemes(object.get("authorization_schemes"))?,
            default_subjects: match text("default_subjects")? {
                Some("ALL") => DefaultSubjects::All,
                Some("NONE") => DefaultSubjects::None,
                _ => DefaultSubjects::Unspecified,
            },
        })
    }
}

/// A list of texts; absence is an empty one.
pub(super) fn texts(value: Option<&Value>, name: &'static str) -> Result<Vec<String>, SignalFault> {
    let fault = SignalFault::Member { name, why: "is no list of texts" };
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(all)) if all.len() <= MAX_LIST => {
            all.iter().map(|one| one.as_str().map(str::to_owned)).collect::<Option<_>>().ok_or(fault)
        }
        Some(_) => Err(fault),
    }
}

fn schemes(value: Option<&Value>) -> Result<Vec<String>, SignalFault> {
    let fault = SignalFault::Member { name: "authorization_schemes", why: "is no list of schemes" };
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(all)) if all.len() <= MAX_LIST => {
            let urn = |scheme: &Value| scheme.get("spec_urn").and_then(Value::as_str).map(shown);
            all.iter().map(urn).collect::<Option<_>>().ok_or(fault)
        }
        Some(_) => Err(fault),
    }
}
