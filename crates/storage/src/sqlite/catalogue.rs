//! Pinned definitions in SQLite.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use sallyport_model::UpstreamName;

use super::{
    SqliteStore,
    rows::{all, change, from_word, millis, plain, time, word},
};
use crate::{Catalogue, Definition, DefinitionKind, PinChange, StoreError};

fn definition(row: &Row<'_>) -> Result<Definition, StoreError> {
    Ok(Definition {
        kind: from_word(row, "kind")?,
        name: plain(row, "name")?,
        sha256: plain(row, "sha256")?,
        raw: plain(row, "raw")?,
        first_seen_at: time(row, "first_seen_at")?,
        pinned_at: time(row, "pinned_at")?,
    })
}

fn store(c: &Connection, upstream: &str, kind: &str, definition: &Definition) -> Result<(), StoreError> {
    change(
        c,
        "INSERT OR REPLACE INTO definitions (upstream, kind, name, sha256, raw, first_seen_at, pinned_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            upstream,
            kind,
            definition.name,
            definition.sha256,
            definition.raw,
            millis(definition.first_seen_at),
            millis(definition.pinned_at),
        ],
    )?;
    Ok(())
}

/// A name that is listed twice is compared with its own first listing, so that two contents under
/// one name show as a change each time and never hide.
fn pin(
    c: &Connection,
    upstream: &str,
    kind: DefinitionKind,
    listed: Vec<Definition>,
) -> Result<Vec<PinChange>, StoreError> {
    let word = word("definition kind", &kind)?;
    let sql = "SELECT * FROM definitions WHERE upstream = ?1 AND kind = ?2";
    let before = all(c, sql, params![upstream, word], definition)?;
    let mut gone: BTreeMap<String, Definition> = before.iter().map(|d| (d.name.clone(), d.clone())).collect();
    let mut pins: BTreeMap<String, Definition> = gone.clone();
    let mut changes = Vec::new();
    for listed in listed {
        gone.remove(&listed.name);
        let (now, change) = match pins.get(&listed.name) {
            Some(was) if was.sha256 == listed.sha256 => continue,
            Some(was) => {
                let now = Definition { kind, first_seen_at: was.first_seen_at, ..listed };
                (now.clone(), PinChange::Changed { was: was.sha256, now })
            }
            None => {
                let now = Definition { kind, ..listed };
                (now.clone(), PinChange::New(now))
            }
        };
        store(c, upstream, &word, &now)?;
        pins.insert(now.name.clone(), now);
        changes.push(change);
    }
    for (name, definition) in gone {
        let sql = "DELETE FROM definitions WHERE upstream = ?1 AND kind = ?2 AND name = ?3";
        change(c, sql, params![upstream, word, name])?;
        changes.push(PinChange::Gone(definition));
    }
    Ok(changes)
}

#[async_trait]
impl Catalogue for SqliteStore {
    async fn pin(
        &self,
        upstream: &UpstreamName,
        kind: DefinitionKind,
        listed: &[Definition],
    ) -> Result<Vec<PinChange>, StoreError> {
        let (upstream, listed) = (upstream.clone(), listed.to_vec());
        self.write(move |c| pin(c, upstream.as_str(), kind, listed)).await
    }

    async fn pinned(&self, upstream: &UpstreamName) -> Result<Vec<Definition>, StoreError> {
        let upstream = upstream.clone();
        let sql = "SELECT * FROM definitions WHERE upstream = ?1";
        let mut pinned = self.read(move |c| all(c, sql, [upstream.as_str()], definition)).await?;
        pinned.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        Ok(pinned)
    }
}
