//! Credentials of agents: added, rotated with an overlap, revoked.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sallyport_model::{CredentialId, Secret, SigningKeyId};
use sallyport_oauth::{
    SigningKey,
    oidc::{Jwks, Transport},
    thumbprint,
    workload::WorkloadTrust,
};
use sallyport_storage::{Agent, AgentCredential, CredentialKind};
use serde_json::{Value, json};

use super::{AgentChange, AgentRules, CREDENTIAL_LIFE, change::Step, wrong};
use crate::{
    IdentityError,
    session::{bearer, sha256},
};

/// What every agent's secret begins with, so that one is recognised where it should not be.
const PREFIX: &str = "spa_";
/// More living credentials of one agent are refused.
const MOST: usize = 20;
/// More keys of one set are never looked at.
const MOST_KEYS: usize = 16;
/// No credential of use lives shorter.
const SHORTEST: Duration = Duration::from_secs(60);
/// Members of private and symmetric keys (RFC 7518 section 6).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// What a credential is to be.
#[derive(Debug, Clone)]
pub enum CredentialSource {
    /// `private_key_jwt` with these public keys (a JWK set).
    Jwks(Value),
    /// `private_key_jwt` with a key that is made now; its private half is shown once.
    NewKey,
    /// A secret that is made now and shown once; only where the tenant allows it.
    Secret,
    /// A client certificate (PEM), by itself: RFC 8705 section 2.2.
    Certificate(String),
    /// A name in client certificates of a trusted authority: RFC 8705 section 2.1.
    CertificateName {
        /// `dns`, `uri`, `email` or `subject_dn`.
        of: String,
        /// The name, exactly.
        name: String,
    },
    /// A platform's JWT: JSON in the words of `oauth::workload`.
    Workload(Value),
}

/// A credential that is asked for.
#[derive(Debug, Clone)]
pub struct AskedCredential {
    /// What it is to be.
    pub source: CredentialSource,
    /// How long it lives; absent: as long as the tenant allows.
    pub life: Option<Duration>,
}

/// What is shown once, to whoever asked.
#[derive(Debug, Clone)]
pub enum Shown {
    /// Nothing: the other side has it already.
    Nothing,
    /// The secret.
    Secret(Secret),
    /// The private key, PKCS #8 in PEM, with its `kid` and its public half.
    PrivateKey {
        /// PEM.
        pem: Secret,
        /// The `kid` for the header of assertions.
        kid: String,
        /// The public JWK.
        jwk: Value,
    },
}

/// A credential that the rules allow.
#[derive(Debug, Clone)]
pub struct MadeCredential {
    /// To be put on record and made.
    pub change: AgentChange,
    /// The credential.
    pub credential: AgentCredential,
    /// What is shown once.
    pub shown: Shown,
}

impl AgentRules<'_> {
    /// A new credential of an agent that is there, or is about to be.
    ///
    /// # Errors
    /// [`IdentityError::Agent`] with the field that cannot be, or when the store fails.
    pub async fn add_credential(&self, agent: &Agent, asked: AskedCredential) -> Result<MadeCredential, IdentityError> {
        let (credential, shown) = self.new_credential(agent, asked).await?;
        let facts = facts(&credential);
        let steps = vec![Step::AddCredential(Box::new(credential.clone()))];
        let change = AgentChange::new("agent.credential.add", agent.clone(), facts, steps);
        Ok(MadeCredential { change, credential, shown })
    }

    /// A successor of a credential, which itself ends after `overlap`. Without a source: of the same kind, with a new
    /// key or secret, the same name or the same trust.
    ///
    /// # Errors
    /// As [`Self::add_credential`].
    pub async fn rotate_credential(
        &self,
        agent: &Agent,
        old: &str,
        source: Option<CredentialSource>,
        life: Option<Duration>,
        overlap: Duration,
    ) -> Result<MadeCredential, IdentityError> {
        let old = self.credential(agent, old).await?;
        if !old.lives(self.now) {
            return Err(wrong("credential", "it has ended already: add a new one instead"));
        }
        let source = match source {
            Some(source) => source,
            None => same_again(&old.kind)?,
        };
        let (credential, shown) = self.new_credential(agent, AskedCredential { source, life }).await?;
        let end = self.now.plus(overlap).min(old.expires_at);
        let mut facts = facts(&credential);
        facts["replaces"] = json!(old.id);
        facts["old_expires_at"] = json!(end.to_string());
        let steps = vec![
            Step::AddCredential(Box::new(credential.clone())),
            Step::ExpireCredential(agent.id.clone(), old.id, end),
        ];
        let change = AgentChange::new("agent.credential.rotate", agent.clone(), facts, steps);
        Ok(MadeCredential { change, credential, shown })
    }

    /// Ends a credential, and every token of the agent: which of them it gave is not known.
    ///
    /// # Errors
    /// [`IdentityError::Agent`] where the agent has no such credential.
    pub async fn revoke_credential(&self, agent: &Agent, id: &str) -> Result<AgentChange, IdentityError> {
        let credential = self.credential(agent, id).await?;
        let facts = json!({ "credential": credential.id, "kind": credential.kind.word() });
        let steps = vec![Step::RevokeCredential(agent.id.clone(), credential.id), Step::Revoke(agent.id.clone())];
        Ok(AgentChange::new("agent.credential.revoke", agent.clone(), facts, steps))
    }

    async fn credential(&self, agent: &Agent, id: &str) -> Result<AgentCredential, IdentityError> {
        let found = self.store.credentials(&agent.id).await?.into_iter().find(|known| known.id.as_str() == id);
        found.ok_or_else(|| wrong("credential", format!("{} has no credential `{}`", agent.id, crate::audit::told(id))))
    }

    async fn new_credential(
        &self,
        agent: &Agent,
        asked: AskedCredential,
    ) -> Result<(AgentCredential, Shown), IdentityError> {
        let settings = self.tenant(&agent.tenant).await?.settings;
        let longest =
            settings.agent_credential_seconds.map_or(CREDENTIAL_LIFE, Duration::from_secs).min(CREDENTIAL_LIFE);
        let life = asked.life.unwrap_or(longest);
        if life > longest || life < SHORTEST {
            let what = format!(
                "a credential of {} lives from {} s to {} s ({} days): choose a life within that",
                agent.tenant,
                SHORTEST.as_secs(),
                longest.as_secs(),
                super::inventory::days(longest)
            );
            return Err(wrong("life", what));
        }
        let living = self.store.credentials(&agent.id).await?.iter().filter(|known| known.lives(self.now)).count();
        if living >= MOST {
            return Err(wrong("credential", format!("it has {living} credentials that live: revoke one first")));
        }
        let (kind, issuer, shown) = self.kind(asked.source, settings.agent_secrets)?;
        let credential = AgentCredential {
            id: CredentialId::mint(self.rng),
            agent: agent.id.clone(),
            tenant: agent.tenant.clone(),
            kind,
            issuer,
            created_at: self.now,
            expires_at: self.now.plus(life),
            revoked_at: None,
            last_used_at: None,
        };
        Ok((credential, shown))
    }

    fn kind(
        &self,
        source: CredentialSource,
        secrets: bool,
    ) -> Result<(CredentialKind, Option<String>, Shown), IdentityError> {
        Ok(match source {
            CredentialSource::Jwks(jwks) => (CredentialKind::Keys { jwks: public_keys(jwks)? }, None, Shown::Nothing),
            CredentialSource::NewKey => {
                let (jwk, shown) = new_key()?;
                (CredentialKind::Keys { jwks: json!({ "keys": [jwk] }) }, None, shown)
            }
            CredentialSource::Secret if !secrets => {
                let what = "this tenant takes no secrets of agents: use a key, or allow them with \
                            `sallyport tenant set --agent-secrets true`";
                return Err(wrong("secret", what));
            }
            CredentialSource::Secret => {
                let secret = Secret::new(format!("{PREFIX}{}", bearer(self.rng).0));
                (CredentialKind::Secret { sha256: sha256(secret.expose()) }, None, Shown::Secret(secret))
            }
            CredentialSource::Certificate(pem) => (certificate(&pem)?, None, Shown::Nothing),
            CredentialSource::CertificateName { of, name } => (certificate_name(of, name)?, None, Shown::Nothing),
            CredentialSource::Workload(trust) => {
                let (trust, issuer) = workload(trust)?;
                (CredentialKind::Workload { trust }, Some(issuer), Shown::Nothing)
            }
        })
    }
}

fn same_again(kind: &CredentialKind) -> Result<CredentialSource, IdentityError> {
    Ok(match kind {
        CredentialKind::Keys { .. } => CredentialSource::NewKey,
        CredentialKind::Secret { .. } => CredentialSource::Secret,
        CredentialKind::CertificateName { of, name } => {
            CredentialSource::CertificateName { of: of.clone(), name: name.clone() }
        }
        CredentialKind::Workload { trust } => CredentialSource::Workload(trust.clone()),
        CredentialKind::Certificate { .. } => {
            return Err(wrong("certificate", "name the certificate that takes its place"));
        }
    })
}

fn facts(credential: &AgentCredential) -> Value {
    json!({
        "credential": credential.id,
        "kind": credential.kind.word(),
        "issuer": credential.issuer,
        "expires_at": credential.expires_at.to_string(),
    })
}

/// A set in which every key is public and usable.
fn public_keys(jwks: Value) -> Result<Value, IdentityError> {
    let keys = jwks.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if keys.is_empty() || keys.len() > MOST_KEYS {
        return Err(wrong("jwks", format!("it is no JWK set of 1 to {MOST_KEYS} keys: {{\"keys\": [ … ]}}")));
    }
    let private = |key: &Value| PRIVATE.iter().any(|member| key.get(*member).is_some());
    if keys.iter().any(private) {
        let what = "it holds a private or symmetric key, which must never leave its owner: give the public keys, and \
                    make new ones, for these are known now";
        return Err(wrong("jwks", what));
    }
    let read = Jwks::parse(jwks.to_string().as_bytes()).map_err(|fault| wrong("jwks", fault.to_string()))?;
    if read.skipped() > 0 || read.keys().is_empty() {
        let what = "a key of it cannot be used: P-256 or P-384 (EC), Ed25519 (OKP), or RSA of 2048 bits and more, for \
                    signatures";
        return Err(wrong("jwks", what));
    }
    Ok(jwks)
}

fn new_key() -> Result<(Value, Shown), IdentityError> {
    let failed = || IdentityError::Internal("making an agent's key");
    let pkcs8 = SigningKey::generate().map_err(|_| failed())?;
    let named = |name: &str| {
        let id = SigningKeyId::new(name).map_err(|_| failed())?;
        let key = SigningKey::from_pkcs8(id.clone(), &pkcs8).map_err(|_| failed())?;
        let jwk = key.verifying_key().map_err(|_| failed())?.to_jwk(&id);
        serde_json::to_value(jwk).map_err(|_| failed())
    };
    let kid = named("key")?.as_object().and_then(thumbprint::of_jwk).ok_or_else(failed)?;
    let jwk = named(&kid)?;
    Ok((jwk.clone(), Shown::PrivateKey { pem: pem(&pkcs8), kid, jwk }))
}

/// PKCS #8 in PEM (RFC 7468).
fn pem(pkcs8: &[u8]) -> Secret {
    let text = zeroize::Zeroizing::new(STANDARD.encode(pkcs8));
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    Secret::new(pem)
}

fn certificate(pem: &str) -> Result<CredentialKind, IdentityError> {
    let wrong = |what: String| wrong("certificate", what);
    let all = sallyport_outbound::certificates_from_pem(pem).map_err(|error| wrong(error.to_string()))?;
    match all.as_slice() {
        [one] => Ok(CredentialKind::Certificate { x5t_s256: thumbprint::of_certificate(one) }),
        all => Err(wrong(format!("{} certificates are there: give the agent's own alone, in PEM", all.len()))),
    }
}

fn certificate_name(of: String, name: String) -> Result<CredentialKind, IdentityError> {
    if !["dns", "uri", "email", "subject_dn"].contains(&of.as_str()) {
        return Err(wrong("certificate_name", "name it as dns:NAME, uri:URI, email:ADDRESS or subject_dn:NAME"));
    }
    if name.is_empty() || name.len() > 1024 || name.chars().any(char::is_control) || name.contains('*') {
        return Err(wrong("certificate_name", "the name is empty, too long or holds what no exact name does"));
    }
    Ok(CredentialKind::CertificateName { of, name })
}

/// A trust that is narrow enough to be kept, and whose tokens it is for. Plain HTTP is for this machine alone, and the
/// client to providers has the last word.
fn workload(trust: Value) -> Result<(Value, String), IdentityError> {
    let read: WorkloadTrust =
        serde_json::from_value(trust).map_err(|error| wrong("workload", format!("it is no trust: {error}")))?;
    read.check(Transport::HttpsOrLoopback).map_err(|fault| wrong("workload", fault.to_string()))?;
    let kept = serde_json::to_value(&read).map_err(|_| IdentityError::Internal("writing a workload's trust"))?;
    Ok((kept, read.issuer))
}
