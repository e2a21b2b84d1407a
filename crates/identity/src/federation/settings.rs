//! What an administrator says about a connection, as it is stored (JSON, sealed).

use std::collections::BTreeMap;

use sallyport_storage::{Connection, ConnectionProtocol, Role};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::IdentityError;

/// The settings of one connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "protocol", rename_all = "snake_case")]
pub enum ConnectionSettings {
    /// OpenID Connect.
    Oidc(Box<OidcSettings>),
    /// SAML 2.0.
    Saml(Box<SamlSettings>),
}

/// An OpenID provider.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcSettings {
    /// `okta`, `entra`, `google`, `keycloak`, `ping` or `standard`.
    pub preset: String,
    /// The issuer, to the letter: a slash at its end counts.
    pub issuer: String,
    /// Our client id there.
    pub client_id: String,
    /// Our secret there; absent with `private_key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// PKCS #8 of a P-256 or RSA key in base64, for `private_key_jwt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<String>,
    /// That key's certificate (PEM, or DER in base64), which Entra wants named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Scopes besides those of the preset.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// The customer at a provider that many share: Entra's `tid`, Google's `hd`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// What is demanded of the sign-in there.
    #[serde(default)]
    pub demands: Demands,
    /// Who becomes whom.
    #[serde(default)]
    pub mapping: Mapping,
    /// Whether every refresh asks the provider about the person again.
    #[serde(default = "yes")]
    pub ask_again: bool,
    /// Whether its word brings clients of ours access for its people without a browser: ID-JAGs
    /// (Enterprise-Managed Authorization, Cross App Access).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub id_jag: bool,
}

/// A SAML identity provider.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamlSettings {
    /// The provider's entity id.
    pub idp_entity_id: String,
    /// Where its metadata are fetched from, again and again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata_url: Option<Url>,
    /// Its metadata, where they were handed over as a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// PEM of the certificate that signs the metadata; with it unsigned metadata are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata_certificate: Option<String>,
    /// Our keys, as [`crate::new_saml_keys`] makes them.
    pub keys: String,
    /// The attribute that says who somebody is, for ever, where that is not the NameID: needed where the
    /// provider sends transient ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_attribute: Option<String>,
    /// Whether it may sign people in without being asked.
    #[serde(default)]
    pub allow_unsolicited: bool,
    /// What is demanded of the sign-in there.
    #[serde(default)]
    pub demands: Demands,
    /// Who becomes whom.
    #[serde(default = "Mapping::saml")]
    pub mapping: Mapping,
}

/// What a sign-in at the provider must have been.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Demands {
    /// One of these authentication context classes (`acr`, SAML's `AuthnContextClassRef`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub acr: Vec<String>,
    /// Whether more than one factor is demanded (`amr`).
    pub mfa: bool,
    /// Classes (at Entra: authentication contexts) that at this provider stand for more than one factor.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mfa_acr: Vec<String>,
    /// How long ago it may have been at most, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age_seconds: Option<u64>,
}

/// Who becomes whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mapping {
    /// The claims or attributes that hold the e-mail address; the first that is there counts.
    pub email: Vec<String>,
    /// The claim that says whether the address was verified. Absent: the provider vouches for addresses of
    /// the tenant's proved domains. Written when absent too, for absence in what is stored is the default.
    pub email_verified: Option<String>,
    /// Those that hold the name.
    pub name: Vec<String>,
    /// Those that hold groups.
    pub groups: Vec<String>,
    /// What a group is called here, where that differs.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rename_groups: BTreeMap<String, String>,
    /// Groups (by their names here) whose members may administer the tenant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub administrators: Vec<String>,
    /// Groups (by their names here) one of which a person must be in; empty: everybody may sign in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub admitted: Vec<String>,
    /// How somebody is found among those whom SCIM brought; absent: nobody is looked for. Written when absent too.
    pub scim: Option<ScimMatch>,
    /// Whether a first sign-in creates a person. Off: only who was provisioned may sign in.
    pub create: bool,
    /// Whether somebody whose verified address is of a proved domain becomes the one person of the tenant
    /// who has it already.
    pub link_by_email: bool,
}

/// How somebody is found among those whom SCIM brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScimMatch {
    /// The claim or attribute that holds it; `sub` and `name_id` too.
    pub claim: String,
    /// What it is there.
    pub attribute: ScimAttribute,
}

/// An attribute of a SCIM user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScimAttribute {
    /// `externalId`.
    ExternalId,
    /// `userName`.
    UserName,
}

fn yes() -> bool {
    true
}

fn words(all: &[&str]) -> Vec<String> {
    all.iter().map(|&word| word.to_owned()).collect()
}

impl Default for Mapping {
    fn default() -> Self {
        Self {
            email: words(&["email"]),
            email_verified: Some("email_verified".to_owned()),
            name: words(&["name", "preferred_username"]),
            groups: words(&["groups"]),
            rename_groups: BTreeMap::new(),
            administrators: Vec::new(),
            admitted: Vec::new(),
            scim: Some(ScimMatch { claim: "preferred_username".to_owned(), attribute: ScimAttribute::UserName }),
            create: true,
            link_by_email: false,
        }
    }
}

impl Mapping {
    /// The names that SAML providers commonly use.
    pub fn saml() -> Self {
        Self {
            email: words(&[
                "email",
                "mail",
                "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
                "urn:oid:0.9.2342.19200300.100.1.3",
            ]),
            email_verified: None,
            name: words(&[
                "displayName",
                "name",
                "cn",
                "http://schemas.microsoft.com/identity/claims/displayname",
                "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
                "urn:oid:2.16.840.1.113730.3.1.241",
            ]),
            groups: words(&[
                "groups",
                "eduPersonAffiliation",
                "http://schemas.microsoft.com/ws/2008/06/identity/claims/groups",
                "http://schemas.xmlsoap.org/claims/Group",
            ]),
            scim: Some(ScimMatch { claim: "name_id".to_owned(), attribute: ScimAttribute::UserName }),
            ..Self::default()
        }
    }
}

impl ConnectionSettings {
    /// Of a stored connection.
    ///
    /// # Errors
    /// [`IdentityError::Settings`] when they are of another version or protocol.
    pub fn of(connection: &Connection) -> Result<Self, IdentityError> {
        let bad = |why: String| IdentityError::Settings(connection.id.to_string(), why);
        let settings: Self = serde_json::from_str(&connection.settings).map_err(|error| bad(error.to_string()))?;
        if settings.protocol() != connection.protocol {
            return Err(bad("they are of another protocol".to_owned()));
        }
        Ok(settings)
    }

    /// As they are stored.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What the provider speaks.
    pub fn protocol(&self) -> ConnectionProtocol {
        match self {
            Self::Oidc(_) => ConnectionProtocol::Oidc,
            Self::Saml(_) => ConnectionProtocol::Saml,
        }
    }

    /// Who becomes whom.
    pub fn mapping(&self) -> &Mapping {
        match self {
            Self::Oidc(oidc) => &oidc.mapping,
            Self::Saml(saml) => &saml.mapping,
        }
    }

    /// The same, to be changed.
    pub fn mapping_mut(&mut self) -> &mut Mapping {
        match self {
            Self::Oidc(oidc) => &mut oidc.mapping,
            Self::Saml(saml) => &mut saml.mapping,
        }
    }
}

/// What role somebody has who is in `groups`.
pub(crate) fn role_of(mapping: &Mapping, groups: &[String]) -> Role {
    let administers = mapping.administrators.iter().any(|group| groups.contains(group));
    if administers { Role::Administrator } else { Role::User }
}

impl std::fmt::Debug for OidcSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OidcSettings({} as {})", self.issuer, self.client_id)
    }
}

impl std::fmt::Debug for SamlSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SamlSettings({})", self.idp_entity_id)
    }
}
