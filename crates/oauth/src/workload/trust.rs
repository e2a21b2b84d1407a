//! What an administrator configures: whose tokens prove an agent, and what they must say.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ClaimRule;
use crate::oidc::{IssuerRule, Transport, foreign::shown};

/// A trust has at most this many rules.
const MAX_RULES: usize = 16;

/// Who issues the tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Platform {
    /// Projected tokens of Kubernetes service accounts.
    Kubernetes,
    /// GitHub Actions.
    GithubActions,
    /// GitLab CI.
    Gitlab,
    /// SPIFFE JWT-SVIDs.
    Spiffe,
    /// Identity tokens of Google Cloud's service accounts.
    Google,
    /// Entra ID's managed identities and applications.
    Entra,
    /// AWS's tokens for outside services.
    Aws,
    /// Any other issuer.
    Other,
}

/// Where an issuer's keys come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkloadKeys {
    /// From the issuer's metadata (OpenID Connect Discovery).
    Discovery,
    /// From this https address.
    JwksUri(String),
    /// From this JWK set; for issuers that cannot be reached.
    Jwks(Value),
}

/// Whose tokens prove an agent, and what they must say. Made by an administrator, kept as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadTrust {
    /// Who issues.
    pub platform: Platform,
    /// `iss`, to the letter; `spiffe://TRUST-DOMAIN` for JWT-SVIDs without one.
    pub issuer: String,
    /// Whose keys.
    pub keys: WorkloadKeys,
    /// What `aud` must contain; absent: our issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// What the claims must be; all of these.
    pub rules: Vec<ClaimRule>,
}

/// Why a trust cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustFault {
    /// The issuer is no https URL, or no trust domain.
    #[error("the issuer `{found}` is no https URL without query, nor `spiffe://` and a trust domain")]
    Issuer {
        /// What is configured.
        found: String,
    },
    /// The issuer belongs to another platform.
    #[error("the issuer `{issuer}` is {platform:?}'s, and the trust names another platform")]
    OtherPlatform {
        /// The issuer.
        issuer: String,
        /// Whose it is.
        platform: Platform,
    },
    /// The keys cannot be had like that.
    #[error("the keys {why}")]
    Keys {
        /// What is wrong.
        why: &'static str,
    },
    /// No audience.
    #[error("the audience is empty or longer than 512 characters")]
    Audience,
    /// No rule, or too many.
    #[error("{found} claim rules; use 1 to 16")]
    RuleCount {
        /// How many.
        found: usize,
    },
    /// A rule is malformed.
    #[error("the rule on `{claim}` {why}")]
    Rule {
        /// The claim.
        claim: String,
        /// What is wrong.
        why: &'static str,
    },
    /// Every workload of the issuer, or far too many of them, would pass for the agent.
    #[error("the rules name no workload, so that every one of the issuer's would pass; {remedy}")]
    TooWide {
        /// What a rule of this platform must pin.
        remedy: &'static str,
    },
}

impl TrustFault {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Issuer { .. } => "workload_trust_issuer",
            Self::OtherPlatform { .. } => "workload_trust_platform",
            Self::Keys { .. } => "workload_trust_keys",
            Self::Audience => "workload_trust_audience",
            Self::RuleCount { .. } | Self::Rule { .. } => "workload_trust_rule",
            Self::TooWide { .. } => "workload_trust_too_wide",
        }
    }
}

impl WorkloadTrust {
    /// Whether the trust can be used and names particular workloads. Call it before it is kept.
    ///
    /// # Errors
    /// [`TrustFault`].
    pub fn check(&self, transport: Transport) -> Result<(), TrustFault> {
        self.check_issuer(transport)?;
        match &self.keys {
            WorkloadKeys::Discovery if self.trust_domain().is_some() => {
                return Err(TrustFault::Keys {
                    why: "of a trust domain are not discovered; give their address or the set",
                });
            }
            WorkloadKeys::Discovery => {}
            WorkloadKeys::JwksUri(uri) => {
                let fault = TrustFault::Keys { why: "have an address that is no https URL" };
                transport.url("jwks_uri", uri).map_err(|_| fault)?;
            }
            WorkloadKeys::Jwks(set) => {
                let fault = TrustFault::Keys { why: "are no JWK set with a public key that verifies signatures" };
                super::verify::key_set(self.platform, set.to_string().as_bytes()).map_err(|_| fault)?;
            }
        }
        if self.audience.as_ref().is_some_and(|audience| audience.is_empty() || audience.len() > 512) {
            return Err(TrustFault::Audience);
        }
        if self.rules.is_empty() || self.rules.len() > MAX_RULES {
            return Err(TrustFault::RuleCount { found: self.rules.len() });
        }
        self.rules.iter().try_for_each(ClaimRule::check)?;
        match self.rules.iter().any(|rule| self.platform.names_a_workload(rule)) {
            true => Ok(()),
            false => Err(TrustFault::TooWide { remedy: self.platform.remedy() }),
        }
    }

    /// The trust domain of a SPIFFE trust without an https issuer.
    pub(super) fn trust_domain(&self) -> Option<&str> {
        let domain = self.issuer.strip_prefix("spiffe://")?;
        (self.platform == Platform::Spiffe).then_some(domain)
    }

    fn check_issuer(&self, transport: Transport) -> Result<(), TrustFault> {
        let fault = || TrustFault::Issuer { found: shown(&self.issuer) };
        if let Some(domain) = self.trust_domain() {
            return if is_trust_domain(domain) { Ok(()) } else { Err(fault()) };
        }
        if self.issuer.len() > 1024 || IssuerRule::exact(&self.issuer, transport).is_err() {
            return Err(fault());
        }
        match Platform::of_issuer(&self.issuer) {
            Some(platform) if platform != self.platform => {
                Err(TrustFault::OtherPlatform { issuer: shown(&self.issuer), platform })
            }
            _ => Ok(()),
        }
    }
}

/// SPIFFE-ID section 2.1.
fn is_trust_domain(domain: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    !domain.is_empty() && domain.len() <= 255 && domain.bytes().all(legal)
}

impl Platform {
    /// The platform of an issuer that all of its customers share.
    pub fn of_issuer(issuer: &str) -> Option<Self> {
        Some(match issuer {
            "https://token.actions.githubusercontent.com" => Self::GithubActions,
            "https://gitlab.com" => Self::Gitlab,
            "https://accounts.google.com" => Self::Google,
            _ => return None,
        })
    }

    /// Whether the rule pins a workload, or a group of workloads that its owner set apart: by a claim that the
    /// platform alone writes, and by more than what all of its tokens have in common.
    fn names_a_workload(self, rule: &ClaimRule) -> bool {
        let exactly = |claim: &[&str]| rule.is_on(claim) && rule.exact().is_some();
        let texts = |claim: &[&str], fine: &dyn Fn(&str) -> bool| {
            let exact = rule.exact().is_some_and(|texts| texts.into_iter().all(fine));
            rule.is_on(claim) && (exact || rule.prefix().is_some_and(fine))
        };
        match self {
            Self::Kubernetes => {
                texts(&["sub"], &|sub| segment(sub, "system:serviceaccount:", ':'))
                    || exactly(&["kubernetes.io", "namespace"])
                    || exactly(&["kubernetes.io", "serviceaccount", "uid"])
            }
            // `actor` and `job_workflow_ref` are not among them: anybody may be the actor of a run in a repository
            // of his own, and call a public workflow.
            Self::GithubActions => {
                texts(&["sub"], &|sub| segment(sub, "repo:", '/'))
                    || texts(&["repository"], &|repository| segment(repository, "", '/'))
                    || ["repository_id", "repository_owner", "repository_owner_id"]
                        .into_iter()
                        .any(|name| exactly(&[name]))
            }
            Self::Gitlab => {
                texts(&["sub"], &|sub| segment(sub, "project_path:", '/'))
                    || texts(&["project_path"], &|path| segment(path, "", '/'))
                    || ["project_id", "namespace_id", "namespace_path"].into_iter().any(|name| exactly(&[name]))
            }
            Self::Spiffe => texts(&["sub"], &|sub| {
                let path = sub.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/'));
                path.is_some_and(|(domain, path)| is_trust_domain(domain) && !path.trim_matches('/').is_empty())
            }),
            Self::Google => exactly(&["sub"]) || exactly(&["email"]),
            Self::Entra => ["sub", "oid", "azp", "appid"].into_iter().any(|name| exactly(&[name])),
            Self::Aws | Self::Other => exactly(&["sub"]),
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::Kubernetes => {
                "pin `sub` to `system:serviceaccount:NAMESPACE:NAME`, or at least `/kubernetes.io/namespace`"
            }
            Self::GithubActions => "pin `repository` to `OWNER/NAME`, or `sub` to what begins with `repo:OWNER/`",
            Self::Gitlab => "pin `project_path` to `GROUP/PROJECT`, or `sub` to what begins with `project_path:GROUP/`",
            Self::Spiffe => "pin `sub` to a SPIFFE ID, or to a path below the trust domain",
            Self::Google => "pin `sub` or `email` to the service account's",
            Self::Entra => "pin `oid`, `sub`, `azp` or `appid` to the application's",
            Self::Aws => "pin `sub` to the role's ARN",
            Self::Other => "pin `sub`, exactly",
        }
    }
}

/// Whether `text` is `start`, a segment that is not empty, and `end`.
fn segment(text: &str, start: &str, end: char) -> bool {
    let rest = text.strip_prefix(start);
    rest.and_then(|rest| rest.split_once(end)).is_some_and(|(segment, _)| !segment.is_empty())
}
