//! Works until it is killed, and says on standard output what the store acknowledged: `consumed N`,
//! `rotated N`, `revoked EPOCH`. The crash test kills it and looks whether all of that still holds.
//!
//! `crash_child DATABASE FIRST_NUMBER`

use std::{error::Error, io::Write, path::PathBuf, sync::Arc, time::Duration};

use sallyport_model::{Actor, ClientId, GrantId, SessionId, TenantId, Timestamp, TokenId, UserId};
use sallyport_storage::{
    Authorizations, CodeRecord, CodeUse, Digest, Grant, Grants, NewRefresh, RevocationSubject, Revocations, Rotation,
    SqliteStore,
};
use zeroize::Zeroizing;

type Failure = Box<dyn Error + Send + Sync>;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
const END: Timestamp = Timestamp::from_secs(1_800_000_000);
/// Enough at once that commits are shared.
const WORKERS: u64 = 8;

fn digest(kind: u8, n: u64) -> Digest {
    let mut digest = [kind; 32];
    digest[..8].copy_from_slice(&n.to_be_bytes());
    digest
}

fn grant(n: u64) -> Result<Grant, Failure> {
    Ok(Grant {
        id: GrantId::new(format!("grant-{n}"))?,
        tenant: TenantId::new("acme")?,
        subject: Actor::Human(UserId::new("ann")?),
        actors: Vec::new(),
        ancestors: Vec::new(),
        client: ClientId::new("editor")?,
        resource: "https://gate.example/mcp/files".into(),
        scopes: "files.read".parse()?,
        session: SessionId::new("s1")?,
        authenticated_at: NOW,
        created_at: NOW,
        expires_at: END,
        revoked_at: None,
        bound_to: None,
    })
}

fn code(grant: &Grant) -> Result<CodeRecord, Failure> {
    Ok(CodeRecord {
        // A grant of its own, so that checking the code does not revoke the refresh family.
        grant: GrantId::new(format!("{}-by-code", grant.id))?,
        tenant: grant.tenant.clone(),
        user: UserId::new("ann")?,
        client: grant.client.clone(),
        redirect_uri: "http://127.0.0.1/callback".into(),
        code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".into(),
        resource: grant.resource.clone(),
        scopes: grant.scopes.clone(),
        session: grant.session.clone(),
        nonce: None,
        authenticated_at: NOW,
        expires_at: END,
        dpop_jkt: None,
    })
}

fn say(what: &str, n: u64) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what} {n}")?;
    Ok(out.flush()?)
}

async fn work(store: &SqliteStore, n: u64) -> Result<(), Failure> {
    let grant = grant(n)?;
    store.add_code(&digest(1, n), &code(&grant)?).await?;
    store.add_grant(&grant).await?;
    let first = NewRefresh { token: digest(2, n), idle_expires_at: END };
    store.add_refresh(&grant.id, &first, NOW).await?;

    match store.consume_code(&digest(1, n), NOW).await? {
        CodeUse::Fresh(_) => say("consumed", n)?,
        other => return Err(format!("code {n}: {other:?}").into()),
    }
    let successor = NewRefresh { token: digest(3, n), idle_expires_at: END };
    match store.rotate_refresh(&digest(2, n), &grant.client, &successor, NOW, Duration::from_secs(10)).await? {
        Rotation::Rotated(_) => say("rotated", n)?,
        other => return Err(format!("refresh token {n}: {other:?}").into()),
    }
    let token = RevocationSubject::Token(TokenId::new(format!("token-{n}"))?);
    say("revoked", store.revoke(&token, NOW).await?)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(arguments.next().ok_or("give the database")?);
    let from: u64 = arguments.next().ok_or("give the first number")?.parse()?;
    let store = Arc::new(SqliteStore::open(path, Zeroizing::new([7; 32]))?);
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..WORKERS {
        let store = Arc::clone(&store);
        workers.spawn(async move {
            for step in 0..10_000 {
                work(&store, from + step * WORKERS + worker).await?;
            }
            Ok::<(), Failure>(())
        });
    }
    while let Some(done) = workers.join_next().await {
        done??;
    }
    Ok(())
}
