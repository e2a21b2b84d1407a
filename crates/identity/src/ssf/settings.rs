//! What is kept about a stream of security events (JSON, sealed at rest).

use sallyport_model::Timestamp;
use sallyport_storage::SignalStream;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::IdentityError;

/// The settings of one stream, or of one endpoint for Global Token Revocation.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StreamSettings {
    /// Who signs. Absent only where a bearer token alone proves the caller (Global Token Revocation).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signer: Option<Signer>,
    /// The stream's id at the transmitter; absent while it is being set up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_id: Option<String>,
    /// The audience of its tokens: one of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<String>,
    /// The token that the transmitter gave us, for its management API and for polling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Where events are fetched, with delivery by poll.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll_endpoint: Option<Url>,
    /// The event types that the transmitter said will come.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// Members of complex subjects that must be understood.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub critical_subject_members: Vec<String>,
    /// What an opaque id or an account name of the transmitter is here.
    pub opaque: OpaqueSubject,
    /// The customer's id at a transmitter that many share: what a subject's `tenant` must be, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// What we asked to have sent back in a verification event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification_state: Option<String>,
    /// Our client id at the provider, as Okta writes it into a caller's `sub`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}

/// Who signs security events, or callers' tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signer {
    /// The issuer, to the letter.
    pub issuer: String,
    /// Where its keys are.
    pub jwks_uri: Url,
    /// Its keys as they were when the stream was set up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<KeptKeys>,
}

/// A key set as it was fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptKeys {
    /// The document.
    pub document: String,
    /// When.
    pub fetched_at: Timestamp,
}

/// What an opaque id (RFC 9493 section 3.2.4) or an account name is here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpaqueSubject {
    /// The person's subject at the connection.
    #[default]
    Subject,
    /// The id that our SCIM server gave her.
    ScimId,
    /// SCIM's `externalId`.
    ExternalId,
    /// SCIM's `userName`.
    UserName,
}

impl StreamSettings {
    /// Of a stored stream.
    ///
    /// # Errors
    /// [`IdentityError::Settings`] when they are of another version.
    pub fn of(stream: &SignalStream) -> Result<Self, IdentityError> {
        let bad = |why: serde_json::Error| IdentityError::Settings(stream.id.to_string(), why.to_string());
        serde_json::from_str(&stream.settings).map_err(bad)
    }

    /// As they are stored.
    pub fn to_json(&self) -> String {
        // A struct of texts, lists and numbers always serialises.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl std::fmt::Debug for StreamSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let issuer = self.signer.as_ref().map(|signer| signer.issuer.as_str());
        write!(f, "StreamSettings(of {})", issuer.unwrap_or("nobody who signs"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_storage_and_show_no_token() {
        let settings = StreamSettings {
            signer: Some(Signer {
                issuer: "https://t.example".into(),
                jwks_uri: "https://t.example/jwks".parse().unwrap(),
                keys: Some(KeptKeys { document: "{}".into(), fetched_at: Timestamp::from_secs(7) }),
            }),
            token: Some("secret".into()),
            opaque: OpaqueSubject::ExternalId,
            ..StreamSettings::default()
        };
        assert_eq!(serde_json::from_str::<StreamSettings>(&settings.to_json()).unwrap(), settings);
        assert_eq!(format!("{settings:?}"), "StreamSettings(of https://t.example)");
        assert!(serde_json::from_str::<StreamSettings>(r#"{"unknown": 1}"#).is_err());
    }
}
