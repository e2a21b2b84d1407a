//! Pinned definitions in PostgreSQL.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_lc_rs::digest;
use sallyport_model::UpstreamName;
use sqlx::PgConnection;

use super::{
    PostgresStore,
    error::Failure,
    rows::{Row, all, change, from_word, millis, params, plain, time, word},
};
use crate::{Catalogue, Definition, DefinitionKind, PinChange, StoreError};

fn definition(row: &Row) -> Result<Definition, StoreError> {
    Ok(Definition {
        kind: from_word(row, "kind")?,
        name: plain(row, "name")?,
        sha256: plain(row, "sha256")?,
        raw: plain(row, "raw")?,
        first_seen_at: time(row, "first_seen_at")?,
        pinned_at: time(row, "pinned_at")?,
    })
}

/// A name may be a URI of any length, longer than an index bears; this stands for it there.
fn digest_of(name: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, name.as_bytes()).as_ref().to_vec()
}

async fn store(c: &mut PgConnection, upstream: &str, kind: &str, definition: &Definition) -> Result<(), Failure> {
    let sql = "INSERT INTO definitions (upstream, kind, name_sha256, name, sha256, raw, first_seen_at, pinned_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
               ON CONFLICT (upstream, kind, name_sha256) DO UPDATE SET sha256 = excluded.sha256, raw = excluded.raw,
                   first_seen_at = excluded.first_seen_at, pinned_at = excluded.pinned_at";
    let values = params![
        upstream,
        kind,
        digest_of(&definition.name),
        definition.name,
        definition.sha256,
        definition.raw,
        millis(definition.first_seen_at),
        millis(definition.pinned_at),
    ];
    change(c, sql, values).await?;
    Ok(())
}

/// A name that is listed twice is compared with its own first listing, so that two contents under
/// one name show as a change each time and never hide.
async fn pin(
    c: &mut PgConnection,
    upstream: &str,
    kind: DefinitionKind,
    listed: &[Definition],
) -> Result<Vec<PinChange>, Failure> {
    let word = word("definition kind", &kind)?;
    // Two nodes may list one upstream at once; each must compare with what the other has pinned.
    let turn = "INSERT INTO pin_turns (upstream, kind) VALUES ($1, $2)
                ON CONFLICT (upstream, kind) DO UPDATE SET kind = excluded.kind";
    change(c, turn, params![upstream, word]).await?;
    let sql = "SELECT * FROM definitions WHERE upstream = $1 AND kind = $2";
    let before = all(c, sql, params![upstream, word], definition).await?;
    let mut gone: BTreeMap<String, Definition> = before.into_iter().map(|d| (d.name.clone(), d)).collect();
    let mut pins = gone.clone();
    let mut changes = Vec::new();
    for listed in listed {
        gone.remove(&listed.name);
        let (now, change) = match pins.get(&listed.name) {
            Some(was) if was.sha256 == listed.sha256 => continue,
            Some(was) => {
                let now = Definition { kind, first_seen_at: was.first_seen_at, ..listed.clone() };
                (now.clone(), PinChange::Changed { was: was.sha256, now })
            }
            None => {
                let now = Definition { kind, ..listed.clone() };
                (now.clone(), PinChange::New(now))
            }
        };
        store(c, upstream, &word, &now).await?;
        pins.insert(now.name.clone(), now);
        changes.push(change);
    }
    for (name, definition) in gone {
        let sql = "DELETE FROM definitions WHERE upstream = $1 AND kind = $2 AND name_sha256 = $3";
        change(c, sql, params![upstream, word, digest_of(&name)]).await?;
        changes.push(PinChange::Gone(definition));
    }
    Ok(changes)
}

#[async_trait]
impl Catalogue for PostgresStore {
    async fn pin(
        &self,
        upstream: &UpstreamName,
        kind: DefinitionKind,
        listed: &[Definition],
    ) -> Result<Vec<PinChange>, StoreError> {
        let given = (upstream.clone(), listed.to_vec());
        // Long: a catalogue may have thousands of definitions.
        self.write_long(given, move |c, (upstream, listed)| Box::pin(pin(c, upstream.as_str(), kind, listed))).await
    }

    async fn pinned(&self, upstream: &UpstreamName) -> Result<Vec<Definition>, StoreError> {
        let sql = "SELECT * FROM definitions WHERE upstream = $1";
        let mut pinned = self.all(sql, params![upstream.as_str()], definition).await?;
        pinned.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        Ok(pinned)
    }
}
