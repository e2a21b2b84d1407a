//! What proves an agent to be itself: added, listed, rotated, revoked.

use std::{
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use sallyport_identity::agents::{AskedCredential, CredentialSource, MadeCredential, Shown};
use sallyport_model::Timestamp;
use sallyport_storage::{Agent, AgentCredential};
use serde_json::{Value, json};

use super::{
    Desk,
    arguments::{CredentialVerb, Source},
    options, said,
};
use crate::commands::tenant::{
    answer::{Answer, table},
    opened::refused,
};

const DAY: u64 = 24 * 60 * 60;

/// Runs one.
pub(super) async fn run(desk: &Desk<'_>, verb: &CredentialVerb) -> Result<Answer> {
    match verb {
        CredentialVerb::Add { id, source, days } => add(desk, id, source, *days).await,
        CredentialVerb::List { id } => list(desk, id).await,
        CredentialVerb::Rotate { id, credential, source, days, overlap } => {
            rotate(desk, id, credential, source, *days, *overlap).await
        }
        CredentialVerb::Revoke { id, credential } => revoke(desk, id, credential).await,
    }
}

fn life(days: Option<u32>) -> Option<Duration> {
    days.map(|days| Duration::from_secs(u64::from(days) * DAY))
}

/// A credential that the rules allow, not made yet.
pub(super) async fn prepared(
    desk: &Desk<'_>,
    agent: &Agent,
    source: CredentialSource,
    days: Option<u32>,
) -> Result<MadeCredential> {
    desk.rules().add_credential(agent, AskedCredential { source, life: life(days) }).await.map_err(said)
}

async fn add(desk: &Desk<'_>, id: &str, given: &Source, days: Option<u32>) -> Result<Answer> {
    let agent = desk.agent(id).await?;
    let Some(source) = options::source(given)? else {
        let what = "say what proves it: --generate-key PATH, --jwks FILE, --secret, --certificate FILE, \
                    --certificate-name OF:NAME or --workload FILE";
        return Err(refused("credential add", what));
    };
    let key = key_file(given)?;
    let made = prepared(desk, &agent, source, days).await?;
    let (json, lines) = hand_over(desk, made, key).await?;
    Ok(Answer::done(json, lines))
}

async fn rotate(
    desk: &Desk<'_>,
    id: &str,
    old: &str,
    given: &Source,
    days: Option<u32>,
    overlap: Duration,
) -> Result<Answer> {
    let agent = desk.agent(id).await?;
    let source = options::source(given)?;
    let rules = desk.rules();
    let made = rules.rotate_credential(&agent, old, source, life(days), overlap).await.map_err(said)?;
    if matches!(made.shown, Shown::PrivateKey { .. }) && given.generate_key.is_none() {
        return Err(refused("--generate-key", "say where the new private key is to be written"));
    }
    let end = made.change.facts["old_expires_at"].clone();
    let (mut json, lines) = hand_over(desk, made, key_file(given)?).await?;
    json["replaces"] = json!({ "id": old, "expires_at": end });
    let answer = Answer::done(json, lines);
    Ok(answer.remark(format!("The old one works until {}.", end.as_str().unwrap_or_default())))
}

async fn revoke(desk: &Desk<'_>, id: &str, credential: &str) -> Result<Answer> {
    let agent = desk.agent(id).await?;
    let change = desk.rules().revoke_credential(&agent, credential).await.map_err(said)?;
    let epoch = desk.make(change).await?;
    let json = json!({ "id": credential, "agent": agent.id, "revoked": true, "epoch": epoch });
    Ok(Answer::done(json, [format!("{credential}: revoked, and every token of {} has ended", agent.id)]))
}

async fn list(desk: &Desk<'_>, id: &str) -> Result<Answer> {
    let agent = desk.agent(id).await?;
    let all = desk.opened.store().credentials(&agent.id).await?;
    let values = all.iter().map(|one| credential_json(one, desk.now)).collect();
    Ok(Answer::done(Value::Array(values), lines(&all, desk.now)))
}

/// Credentials as a table.
pub(super) fn lines(all: &[AgentCredential], now: Timestamp) -> Vec<String> {
    let row = |one: &AgentCredential| {
        vec![
            one.id.to_string(),
            one.kind.word().to_owned(),
            state(one, now).to_owned(),
            format!("{} d", now.since(one.created_at).as_secs() / DAY),
            one.revoked_at.unwrap_or(one.expires_at).to_string(),
            one.last_used_at.map_or_else(|| "never".to_owned(), |at| at.to_string()),
        ]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    table(&["credential", "kind", "state", "age", "ends", "last used"], &rows)
}

fn state(one: &AgentCredential, now: Timestamp) -> &'static str {
    match (one.revoked_at, one.lives(now)) {
        (Some(_), _) => "revoked",
        (None, true) => "alive",
        (None, false) => "ended",
    }
}

/// Everything but what proves.
pub(super) fn credential_json(one: &AgentCredential, now: Timestamp) -> Value {
    json!({
        "id": one.id,
        "agent": one.agent,
        "kind": one.kind.word(),
        "state": state(one, now),
        "issuer": one.issuer,
        "created_at": one.created_at.to_string(),
        "age_days": now.since(one.created_at).as_secs() / DAY,
        "expires_at": one.expires_at.to_string(),
        "revoked_at": one.revoked_at.map(|at| at.to_string()),
        "last_used_at": one.last_used_at.map(|at| at.to_string()),
    })
}

/// Where a private key is to be written: a file that is not there yet, opened now so that the key is not made for
/// nothing.
pub(super) fn key_file(given: &Source) -> Result<Option<(PathBuf, std::fs::File)>> {
    let Some(path) = &given.generate_key else { return Ok(None) };
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match opened {
        Ok(file) => Ok(Some((path.clone(), file))),
        Err(error) => Err(refused("--generate-key", &format!("{} cannot be made: {error}", path.display()))),
    }
}

/// Writes the key down, makes the credential, and says what there is to say once.
pub(super) async fn hand_over(
    desk: &Desk<'_>,
    made: MadeCredential,
    key: Option<(PathBuf, std::fs::File)>,
) -> Result<(Value, Vec<String>)> {
    let mut json = credential_json(&made.credential, desk.now);
    let mut lines = vec![format!("credential: {} ({})", made.credential.id, made.credential.kind.word())];
    lines.push(format!("ends:       {}", made.credential.expires_at));
    match (&made.shown, key) {
        (Shown::Nothing, _) => {}
        (Shown::Secret(secret), _) => {
            json["client_secret"] = json!(secret.expose());
            lines.push(format!("secret:     {}   (shown this once)", secret.expose()));
        }
        (Shown::PrivateKey { pem, kid, jwk }, Some((path, file))) => {
            write(&path, file, pem.expose())?;
            json["private_key_file"] = json!(path);
            json["kid"] = json!(kid);
            json["jwk"] = jwk.clone();
            lines.push(format!("key:        {} (kid {kid}, ES256)", path.display()));
        }
        (Shown::PrivateKey { .. }, None) => {
            return Err(refused("--generate-key", "say where the private key is to be written"));
        }
    }
    desk.make(made.change).await?;
    Ok((json, lines))
}

fn write(path: &Path, mut file: std::fs::File, pem: &str) -> Result<()> {
    let written = file.write_all(pem.as_bytes()).and_then(|()| file.sync_all());
    written.with_context(|| format!("--generate-key: {} could not be written", path.display()))
}
