//! What is known of particular identity providers, as data.
//!
//! Facts are from the vendors' documentation (named at each preset). A preset fills in what an
//! administrator would otherwise have to look up, and narrows; it never relaxes a check.

use url::Url;

use super::{AssertionAudience, Claims, IssuerRule, OidcFault, Transport, foreign::shown};

/// More groups than this are not read from one token.
const MAX_GROUPS: usize = 2000;

/// Entra's directory of personal Microsoft accounts.
const PERSONAL: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

/// Which preset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PresetId {
    /// Okta, organisation or custom authorization server.
    Okta,
    /// Microsoft Entra ID, v2.0 endpoints.
    Entra,
    /// Google Workspace.
    Google,
    /// Keycloak and what is built on it.
    Keycloak,
    /// PingOne.
    Ping,
    /// Any provider that follows the specifications.
    Standard,
}

impl PresetId {
    /// Every preset, in the order of a form's list.
    pub const ALL: [Self; 6] = [Self::Okta, Self::Entra, Self::Google, Self::Keycloak, Self::Ping, Self::Standard];

    /// As in configuration.
    pub fn as_str(self) -> &'static str {
        self.preset().name
    }

    /// The preset with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|id| id.as_str() == name)
    }

    /// What is known.
    pub fn preset(self) -> &'static Preset {
        match self {
            Self::Okta => &OKTA,
            Self::Entra => &ENTRA,
            Self::Google => &GOOGLE,
            Self::Keycloak => &KEYCLOAK,
            Self::Ping => &PING,
            Self::Standard => &STANDARD,
        }
    }
}

/// How a request names the domain whose accounts are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainHint {
    /// It cannot.
    None,
    /// By this parameter.
    Parameter(&'static str),
}

/// How a provider shows that the person used several factors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MfaMapping {
    /// One of these in `amr` is proof (RFC 8176).
    pub amr: &'static [&'static str],
    /// One of these as `acr` is proof.
    pub acr: &'static [&'static str],
    /// What to ask for, as `acr_values`.
    pub acr_values: &'static [&'static str],
    /// What to tell an administrator who demands what cannot be shown.
    pub remedy: &'static str,
}

/// What is known of one kind of provider.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// Which.
    pub id: PresetId,
    /// As in configuration.
    pub name: &'static str,
    /// As on a page.
    pub title: &'static str,
    /// An issuer as an example for the form.
    pub issuer_example: &'static str,
    /// Scopes to ask for.
    pub scopes: &'static [&'static str],
    /// A scope that brings the groups, if one does.
    pub groups_scope: Option<&'static str>,
    /// The claim that holds groups, unless the connection names another.
    pub groups_claim: &'static str,
    /// Whether groups come as names; otherwise as the provider's ids.
    pub groups_are_names: bool,
    /// The claim that stays with a person for good.
    pub subject_claim: &'static str,
    /// The claim to look up as SCIM's `externalId`, when the connection does not name another.
    pub scim_external_id: &'static str,
    /// How a request narrows to a domain.
    pub domain_hint: DomainHint,
    /// MFA.
    pub mfa: MfaMapping,
    /// What a client assertion is addressed to.
    pub assertion_audience: AssertionAudience,
    /// RSA keys sign client assertions with PS256 here, whatever is advertised.
    pub assertions_ps256: bool,
    /// Whether `email` without `email_verified` may count as an address that the provider stands for. Even
    /// so it never links accounts by itself.
    pub owns_email_domain: bool,
    /// For the connection's page.
    pub notes: &'static [&'static str],
}

const RFC_8176: &[&str] = &["mfa"];

/// Okta: "OpenID Connect & OAuth 2.0 API", "Authorization servers" and "Step-up authentication using ACR
/// values" at developer.okta.com. The organisation's server issues as `https://ORG`, a custom one as
/// `https://ORG/oauth2/ID`; only the former has a `groups` scope by itself.
const OKTA: Preset = Preset {
    id: PresetId::Okta,
    name: "okta",
    title: "Okta",
    issuer_example: "https://example.okta.com",
    scopes: &["openid", "profile", "email", "offline_access"],
    groups_scope: Some("groups"),
    groups_claim: "groups",
    groups_are_names: true,
    subject_claim: "sub",
    scim_external_id: "sub",
    domain_hint: DomainHint::None,
    mfa: MfaMapping {
        amr: RFC_8176,
        // `phr` and `phrh` are one strong factor, `…:ifpossible` may be one weak one.
        acr: &["urn:okta:loa:2fa:any"],
        acr_values: &["urn:okta:loa:2fa:any"],
        remedy: "demand two factors in the sign-on policy of the application at Okta",
    },
    assertion_audience: AssertionAudience::TokenEndpoint,
    assertions_ps256: false,
    owns_email_domain: false,
    notes: &[
        "A custom authorization server sends groups only when it has a groups claim and scope of its own.",
        "More than 100 matching groups make Okta refuse the request: narrow the claim's filter.",
    ],
};

/// Microsoft Entra ID: "ID token claims reference", "OpenID Connect on the Microsoft identity platform",
/// "Configure group claims", "Certificate credentials" and "Validate tokens" at learn.microsoft.com.
const ENTRA: Preset = Preset {
    id: PresetId::Entra,
    name: "entra",
    title: "Microsoft Entra ID",
    issuer_example: "https://login.microsoftonline.com/00000000-0000-0000-0000-000000000000/v2.0",
    scopes: &["openid", "profile", "email", "offline_access"],
    groups_scope: None,
    groups_claim: "groups",
    groups_are_names: false,
    // `sub` differs from application to application; `oid` is the person within the directory.
    subject_claim: "oid",
    scim_external_id: "oid",
    domain_hint: DomainHint::Parameter("domain_hint"),
    mfa: MfaMapping {
        amr: RFC_8176,
        acr: &[],
        acr_values: &[],
        remedy: "require multifactor authentication for this application with a Conditional Access policy whose \
                 authentication context (`acrs`, such as c1) this connection lists as standing for two factors, or \
                 add the optional claim `amr` to the application's ID token",
    },
    assertion_audience: AssertionAudience::TokenEndpoint,
    assertions_ps256: true,
    owns_email_domain: false,
    notes: &[
        "Groups arrive as object ids. Beyond 200 they are left out: assign app roles, or only groups of the application.",
        "The e-mail address is not verified by Entra ID unless the optional claim xms_edov says so.",
        "Add the optional claim auth_time to the ID token where recency is demanded.",
        "A client key must be RSA, with its certificate uploaded to the application.",
    ],
};

/// Google Workspace: "OpenID Connect" at developers.google.com. `hd` in the request is a hint; the claim
/// is what counts. No groups, no `acr`, no `amr`.
const GOOGLE: Preset = Preset {
    id: PresetId::Google,
    name: "google",
    title: "Google Workspace",
    issuer_example: "https://accounts.google.com",
    scopes: &["openid", "profile", "email"],
    groups_scope: None,
    groups_claim: "groups",
    groups_are_names: true,
    subject_claim: "sub",
    scim_external_id: "sub",
    domain_hint: DomainHint::Parameter("hd"),
    mfa: MfaMapping {
        amr: &[],
        acr: &[],
        acr_values: &[],
        remedy: "Google's ID tokens do not say how somebody signed in: enforce 2-Step Verification in the \
                 Workspace's admin console, and do not demand it of this connection",
    },
    assertion_audience: AssertionAudience::TokenEndpoint,
    assertions_ps256: false,
    owns_email_domain: true,
    notes: &[
        "Google sends no groups and no log-out: use SCIM, or sign-in through SAML, for groups.",
        "A refresh token comes only with access_type=offline, which is sent.",
    ],
};

/// Keycloak: "Server administration guide" (realms, step-up authentication, authenticator reference) at
/// keycloak.org.
const KEYCLOAK: Preset = Preset {
    id: PresetId::Keycloak,
    name: "keycloak",
    title: "Keycloak",
    issuer_example: "https://sso.example.com/realms/example",
    scopes: &["openid", "profile", "email"],
    groups_scope: None,
    groups_claim: "groups",
    groups_are_names: true,
    subject_claim: "sub",
    scim_external_id: "sub",
    domain_hint: DomainHint::None,
    mfa: MfaMapping {
        amr: RFC_8176,
        acr: &[],
        acr_values: &[],
        remedy: "map an ACR to a level of authentication in the realm and list that `acr` as standing for two \
                 factors, or give the second factor's execution the authenticator reference `mfa`",
    },
    assertion_audience: AssertionAudience::Issuer,
    assertions_ps256: false,
    owns_email_domain: false,
    notes: &["Groups arrive only with a Group Membership mapper in the client's scope; switch its full path off."],
};

/// PingOne: "OpenID Connect/OAuth 2.0" in the PingOne Platform API reference at developer.pingidentity.com.
const PING: Preset = Preset {
    id: PresetId::Ping,
    name: "ping",
    title: "PingOne",
    issuer_example: "https://auth.pingone.com/00000000-0000-0000-0000-000000000000/as",
    scopes: &["openid", "profile", "email"],
    groups_scope: None,
    groups_claim: "groups",
    groups_are_names: true,
    subject_claim: "sub",
    scim_external_id: "sub",
    domain_hint: DomainHint::None,
    mfa: MfaMapping {
        amr: RFC_8176,
        acr: &[],
        acr_values: &[],
        remedy: "list the sign-on or DaVinci policy that asks for two factors as an `acr` that stands for them",
    },
    assertion_audience: AssertionAudience::TokenEndpoint,
    assertions_ps256: false,
    owns_email_domain: false,
    notes: &["Map the attribute Group Names to the claim `groups` in the application's attribute mappings."],
};

/// Any provider: OpenID Connect Core and RFC 8176 only.
const STANDARD: Preset = Preset {
    id: PresetId::Standard,
    name: "standard",
    title: "OpenID Connect",
    issuer_example: "https://idp.example.com",
    scopes: &["openid", "profile", "email"],
    groups_scope: None,
    groups_claim: "groups",
    groups_are_names: true,
    subject_claim: "sub",
    scim_external_id: "sub",
    domain_hint: DomainHint::None,
    mfa: MfaMapping {
        amr: RFC_8176,
        acr: &[],
        acr_values: &[],
        remedy: "have the provider write `amr` with the value `mfa`, or list an `acr` that stands for two factors",
    },
    assertion_audience: AssertionAudience::TokenEndpoint,
    assertions_ps256: false,
    owns_email_domain: false,
    notes: &[],
};

/// The groups that a token names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Groups {
    /// These; possibly none.
    Listed(Vec<String>),
    /// The token has no such claim: the person's groups are unknown, not empty.
    Absent,
    /// There were too many to list; the token says so (Entra's `_claim_names` and `hasgroups`).
    Overage,
}

impl Preset {
    /// The issuer rule of a connection. `directories` are Entra's tenant ids; they are demanded when the
    /// configured issuer is a shared one (`common`, `organizations`).
    ///
    /// # Errors
    /// [`OidcFault::Url`] and [`OidcFault::IssuerForm`].
    pub fn issuer_rule(
        &self,
        configured: &str,
        directories: &[String],
        transport: Transport,
    ) -> Result<IssuerRule, OidcFault> {
        let rule = IssuerRule::exact(configured, transport)?;
        // `exact` has read it as a URL.
        let Ok(url) = Url::parse(configured) else { return Err(self.form(configured)) };
        let path: Vec<&str> = url.path().trim_matches('/').split('/').collect();
        match self.id {
            PresetId::Okta => match path.as_slice() {
                [""] | ["oauth2", _] => Ok(rule),
                _ => Err(self.form(configured)),
            },
            PresetId::Google if configured == GOOGLE.issuer_example => Ok(rule.with_alias("accounts.google.com")),
            PresetId::Google if url.scheme() == "https" => Err(self.form(configured)),
            PresetId::Google => Ok(rule),
            PresetId::Keycloak => match path.as_slice() {
                [.., "realms", realm] if !realm.is_empty() => Ok(rule),
                _ => Err(self.form(configured)),
            },
            PresetId::Ping if path.last() == Some(&"as") => Ok(rule),
            PresetId::Ping => Err(self.form(configured)),
            PresetId::Entra => self.entra(rule, &url, &path, directories),
            PresetId::Standard => Ok(rule),
        }
    }

    fn entra(
        &self,
        rule: IssuerRule,
        url: &Url,
        path: &[&str],
        directories: &[String],
    ) -> Result<IssuerRule, OidcFault> {
        let [directory, "v2.0"] = path else { return Err(self.form(rule.configured())) };
        match *directory {
            // Personal accounts belong to no organisation.
            "consumers" | PERSONAL => Err(self.form(rule.configured())),
            "common" | "organizations" => {
                let known = |id: &String| {
                    id.len() == 36 && id != PERSONAL && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
                };
                if directories.is_empty() || !directories.iter().all(known) {
                    return Err(OidcFault::DirectoriesMissing);
                }
                let template = format!("{}/{{tenantid}}/v2.0", url.origin().ascii_serialization());
                Ok(rule.template(template, directories.to_vec()))
            }
            _ => Ok(rule),
        }
    }

    fn form(&self, configured: &str) -> OidcFault {
        OidcFault::IssuerForm { title: self.title, found: shown(configured), example: self.issuer_example }
    }

    /// Whether `claims` show several factors.
    pub fn shows_mfa(&self, claims: &Claims) -> bool {
        claims.amr.iter().any(|method| self.mfa.amr.contains(&method.as_str()))
            || claims.acr.as_deref().is_some_and(|acr| self.mfa.acr.contains(&acr))
    }

    /// The groups in `claim`, or in the preset's claim when `claim` is `None`. A single string is one group.
    ///
    /// # Errors
    /// [`OidcFault::Groups`] when the claim holds something else, or too many.
    pub fn groups(&self, claims: &Claims, claim: Option<&str>) -> Result<Groups, OidcFault> {
        let name = claim.unwrap_or(self.groups_claim);
        let fault = |why| OidcFault::Groups { claim: shown(name), why };
        match claims.raw.get(name) {
            Some(serde_json::Value::String(one)) => Ok(Groups::Listed(vec![one.clone()])),
            Some(serde_json::Value::Array(all)) if all.len() > MAX_GROUPS => Err(fault("has too many members")),
            Some(serde_json::Value::Array(all)) => {
                let texts: Option<Vec<_>> = all.iter().map(|group| group.as_str().map(str::to_owned)).collect();
                match texts {
                    Some(texts) if texts.iter().all(|group| !group.is_empty() && group.len() <= 512) => {
                        Ok(Groups::Listed(texts))
                    }
                    _ => Err(fault("holds something that is no group")),
                }
            }
            Some(serde_json::Value::Null) | None => {
                Ok(if overage(claims, name) { Groups::Overage } else { Groups::Absent })
            }
            Some(_) => Err(fault("is no list")),
        }
    }
}

/// Entra: "Configure group claims", groups overage: a distributed claim in most flows, `hasgroups` where
/// the address must stay short.
fn overage(claims: &Claims, name: &str) -> bool {
    let distributed = claims.raw.get("_claim_names").and_then(|names| names.get(name)).is_some();
    let flagged = match claims.raw.get("hasgroups") {
        Some(serde_json::Value::Bool(flag)) => *flag,
        Some(serde_json::Value::String(flag)) => flag == "true",
        _ => false,
    };
    distributed || flagged
}
