//! Connections, domains and links in SQLite.

use async_trait::async_trait;
use rusqlite::{Row, params};
use sallyport_model::{ConnectionId, TenantId, Timestamp, UserId};

use super::{
    SqliteStore,
    error::{dangling, taken},
    revocations,
    rows::{
        all, change, damaged, from_word, id, millis, one, optional_id, optional_time, plain, read_word, time, word,
    },
};
use crate::{Connection, Connections, Digest, Domain, DomainProof, Link, RevocationSubject, StoreError, seal::Sealer};

pub(super) const CONNECTIONS: &str = "connections";
const LINKS: &str = "links";

fn opened(sealer: &Sealer, table: &'static str, id: &[u8], sealed: &[u8]) -> Result<String, StoreError> {
    let plain = sealer.open(table, id, sealed)?;
    String::from_utf8(plain.to_vec()).map_err(|error| damaged(table, error.utf8_error()))
}

pub(super) fn connection(row: &Row<'_>, sealer: &Sealer) -> Result<Connection, StoreError> {
    let name: ConnectionId = id(row, "id")?;
    let sealed: Vec<u8> = plain(row, "sealed")?;
    Ok(Connection {
        tenant: id(row, "tenant")?,
        name: plain(row, "name")?,
        protocol: from_word(row, "protocol")?,
        settings: opened(sealer, CONNECTIONS, name.as_str().as_bytes(), &sealed)?,
        enabled: plain(row, "enabled")?,
        created_at: time(row, "created_at")?,
        changed_at: time(row, "changed_at")?,
        id: name,
    })
}

fn domain(row: &Row<'_>) -> Result<Domain, StoreError> {
    let proof: Option<String> = plain(row, "proof")?;
    let proof: Option<DomainProof> = proof.map(|proof| read_word("domain proof", proof)).transpose()?;
    Ok(Domain {
        tenant: id(row, "tenant")?,
        name: plain(row, "name")?,
        challenge: plain(row, "challenge")?,
        connection: optional_id(row, "connection")?,
        claimed_at: time(row, "claimed_at")?,
        proved: proof.zip(optional_time(row, "proved_at")?),
    })
}

/// What the seal of a link is bound to.
fn link_row(connection: &str, subject: &str) -> Vec<u8> {
    [connection.as_bytes(), b"\0", subject.as_bytes()].concat()
}

fn link(row: &Row<'_>, sealer: &Sealer) -> Result<Link, StoreError> {
    let connection: ConnectionId = id(row, "connection")?;
    let subject: String = plain(row, "subject")?;
    let sealed: Vec<u8> = plain(row, "sealed")?;
    Ok(Link {
        tenant: id(row, "tenant")?,
        user: id(row, "user_id")?,
        linked_at: time(row, "linked_at")?,
        last_seen_at: time(row, "last_seen_at")?,
        asserted: opened(sealer, LINKS, &link_row(connection.as_str(), &subject), &sealed)?,
        connection,
        subject,
    })
}

fn insert_link(c: &rusqlite::Connection, link: &Link, sealed: &[u8]) -> Result<(), StoreError> {
    let sql = "INSERT INTO links (connection, subject, tenant, user_id, linked_at, last_seen_at, sealed)
               SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7
               WHERE EXISTS (SELECT 1 FROM connections WHERE id = ?1 AND tenant = ?3)
                 AND EXISTS (SELECT 1 FROM people WHERE id = ?4 AND tenant = ?3)
               ON CONFLICT (connection, subject) DO UPDATE SET last_seen_at = excluded.last_seen_at,
                   sealed = excluded.sealed
               WHERE user_id = excluded.user_id";
    let values = params![
        link.connection.as_str(),
        link.subject,
        link.tenant.as_str(),
        link.user.as_str(),
        millis(link.linked_at),
        millis(link.last_seen_at),
        sealed,
    ];
    if change(c, sql, values)? == 1 {
        return Ok(());
    }
    let taken = "SELECT 1 FROM links WHERE connection = ?1 AND subject = ?2";
    let known = one(c, taken, params![link.connection.as_str(), link.subject], |_| Ok(()))?;
    Err(if known.is_some() { StoreError::Exists("link") } else { StoreError::Missing("connection or person") })
}

/// Ends what stands on a connection, then the connection.
fn remove(c: &rusqlite::Connection, tenant: &TenantId, id: &ConnectionId, at: Timestamp) -> Result<bool, StoreError> {
    let sql = "SELECT id FROM connections WHERE id = ?1 AND tenant = ?2";
    if one(c, sql, [id.as_str(), tenant.as_str()], |_| Ok(()))?.is_none() {
        return Ok(false);
    }
    let standing = "SELECT id FROM browser_sessions WHERE connection = ?1 AND ended_at IS NULL";
    for session in all(c, standing, [id.as_str()], |row| super::rows::id(row, "id"))? {
        revocations::append(c, &RevocationSubject::Session(session), at)?;
    }
    Ok(change(c, "DELETE FROM connections WHERE id = ?1", [id.as_str()])? > 0)
}

fn use_one(
    c: &rusqlite::Connection,
    purpose: &str,
    id: &Digest,
    now: Timestamp,
    forget_at: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "INSERT INTO used (purpose, id, forget_at) VALUES (?1, ?2, ?3)
               ON CONFLICT (purpose, id) DO UPDATE SET forget_at = excluded.forget_at WHERE forget_at <= ?4";
    Ok(change(c, sql, params![purpose, id, millis(forget_at), millis(now)])? > 0)
}

#[async_trait]
impl Connections for SqliteStore {
    async fn put_connection(&self, connection: &Connection) -> Result<(), StoreError> {
        let row = connection.id.as_str().as_bytes();
        let sealed = self.sealer.seal(CONNECTIONS, row, connection.settings.as_bytes())?;
        let connection = connection.clone();
        let sql = "INSERT INTO connections (id, tenant, name, protocol, sealed, enabled, created_at, changed_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                   ON CONFLICT (id) DO UPDATE SET name = excluded.name, protocol = excluded.protocol,
                       sealed = excluded.sealed, enabled = excluded.enabled, changed_at = excluded.changed_at
                   WHERE tenant = excluded.tenant";
        self.write(move |c| {
            let tenant = "SELECT 1 FROM tenants WHERE id = ?1";
            if one(c, tenant, [connection.tenant.as_str()], |_| Ok(()))?.is_none() {
                return Err(StoreError::Missing("tenant"));
            }
            let values = params![
                connection.id.as_str(),
                connection.tenant.as_str(),
                connection.name,
                word("protocol", &connection.protocol)?,
                sealed,
                connection.enabled,
                millis(connection.created_at),
                millis(connection.changed_at),
            ];
            let rows = change(c, sql, values).map_err(taken("connection"))?;
            if rows == 1 { Ok(()) } else { Err(StoreError::Exists("connection")) }
        })
        .await
    }

    async fn connections(&self, tenant: &TenantId) -> Result<Vec<Connection>, StoreError> {
        let (tenant, sealer) = (tenant.clone(), self.sealer.clone());
        let sql = "SELECT * FROM connections WHERE tenant = ?1 ORDER BY name";
        self.read(move |c| all(c, sql, [tenant.as_str()], |row| connection(row, &sealer))).await
    }

    async fn has_connections(&self) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM connections WHERE enabled = 1 LIMIT 1";
        self.read(move |c| Ok(one(c, sql, [], |_| Ok(()))?.is_some())).await
    }

    async fn connection(&self, id: &ConnectionId) -> Result<Option<Connection>, StoreError> {
        let (id, sealer) = (id.clone(), self.sealer.clone());
        let sql = "SELECT * FROM connections WHERE id = ?1";
        self.read(move |c| one(c, sql, [id.as_str()], |row| connection(row, &sealer))).await
    }

    async fn remove_connection(&self, tenant: &TenantId, id: &ConnectionId, at: Timestamp) -> Result<bool, StoreError> {
        let (tenant, id) = (tenant.clone(), id.clone());
        self.write(move |c| remove(c, &tenant, &id, at)).await
    }

    async fn put_fetched(
        &self,
        id: &ConnectionId,
        name: &str,
        document: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let (id, name, document) = (id.clone(), name.to_owned(), document.to_owned());
        let sql = "INSERT INTO fetched (connection, name, document, at) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT (connection, name) DO UPDATE SET document = excluded.document, at = excluded.at";
        self.write(move |c| {
            change(c, sql, params![id.as_str(), name, document, millis(at)]).map_err(dangling("connection"))?;
            Ok(())
        })
        .await
    }

    async fn fetched(&self, id: &ConnectionId, name: &str) -> Result<Option<(String, Timestamp)>, StoreError> {
        let (id, name) = (id.clone(), name.to_owned());
        let sql = "SELECT * FROM fetched WHERE connection = ?1 AND name = ?2";
        self.read(move |c| {
            one(c, sql, params![id.as_str(), name], |row| Ok((plain(row, "document")?, time(row, "at")?)))
        })
        .await
    }

    async fn claim_domain(&self, claim: &Domain) -> Result<(), StoreError> {
        let claim = claim.clone();
        let sql = "INSERT INTO domains (tenant, name, challenge, connection, claimed_at)
                   SELECT ?1, ?2, ?3, ?4, ?5
                   WHERE EXISTS (SELECT 1 FROM tenants WHERE id = ?1)
                     AND (?4 IS NULL OR EXISTS (SELECT 1 FROM connections WHERE id = ?4 AND tenant = ?1))
                   ON CONFLICT (tenant, name) DO UPDATE SET connection = coalesce(excluded.connection, connection)";
        self.write(move |c| {
            let values = params![
                claim.tenant.as_str(),
                claim.name,
                claim.challenge,
                claim.connection.as_ref().map(ConnectionId::as_str),
                millis(claim.claimed_at),
            ];
            if change(c, sql, values)? == 1 { Ok(()) } else { Err(StoreError::Missing("tenant or connection")) }
        })
        .await
    }

    async fn prove_domain(&self, claim: &Domain, proof: DomainProof, at: Timestamp) -> Result<bool, StoreError> {
        let claim = claim.clone();
        let sql = "UPDATE domains SET proof = ?4, proved_at = ?5
                   WHERE tenant = ?1 AND name = ?2 AND challenge = ?3 AND proved_at IS NULL";
        self.write(move |c| {
            let proof = word("domain proof", &proof)?;
            let values = params![claim.tenant.as_str(), claim.name, claim.challenge, proof, millis(at)];
            Ok(change(c, sql, values).map_err(taken("domain"))? > 0)
        })
        .await
    }

    async fn put_domain(&self, domain: &Domain) -> Result<(), StoreError> {
        let domain = domain.clone();
        let sql = "INSERT INTO domains (tenant, name, challenge, connection, claimed_at, proof, proved_at)
                   SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7
                   WHERE EXISTS (SELECT 1 FROM tenants WHERE id = ?1)
                     AND (?4 IS NULL OR EXISTS (SELECT 1 FROM connections WHERE id = ?4 AND tenant = ?1))
                   ON CONFLICT (tenant, name) DO UPDATE SET challenge = excluded.challenge,
                       connection = excluded.connection, proof = excluded.proof, proved_at = excluded.proved_at";
        self.write(move |c| {
            let proof = domain.proved.map(|(proof, _)| word("domain proof", &proof)).transpose()?;
            let values = params![
                domain.tenant.as_str(),
                domain.name,
                domain.challenge,
                domain.connection.as_ref().map(ConnectionId::as_str),
                millis(domain.claimed_at),
                proof,
                domain.proved.map(|(_, at)| millis(at)),
            ];
            match change(c, sql, values).map_err(taken("domain"))? {
                1 => Ok(()),
                _ => Err(StoreError::Missing("tenant or connection")),
            }
        })
        .await
    }

    async fn domains(&self, tenant: &TenantId) -> Result<Vec<Domain>, StoreError> {
        let tenant = tenant.clone();
        let sql = "SELECT * FROM domains WHERE tenant = ?1 ORDER BY name";
        self.read(move |c| all(c, sql, [tenant.as_str()], domain)).await
    }

    async fn domain(&self, name: &str) -> Result<Option<Domain>, StoreError> {
        let name = name.to_owned();
        let sql = "SELECT * FROM domains WHERE name = ?1 AND proved_at IS NOT NULL";
        self.read(move |c| one(c, sql, [name], domain)).await
    }

    async fn remove_domain(&self, tenant: &TenantId, name: &str) -> Result<bool, StoreError> {
        let (tenant, name) = (tenant.clone(), name.to_owned());
        let sql = "DELETE FROM domains WHERE tenant = ?1 AND name = ?2";
        self.write(move |c| Ok(change(c, sql, params![tenant.as_str(), name])? > 0)).await
    }

    async fn link(&self, connection: &ConnectionId, subject: &str) -> Result<Option<Link>, StoreError> {
        let (connection, subject, sealer) = (connection.clone(), subject.to_owned(), self.sealer.clone());
        let sql = "SELECT * FROM links WHERE connection = ?1 AND subject = ?2";
        self.read(move |c| one(c, sql, params![connection.as_str(), subject], |row| link(row, &sealer))).await
    }

    async fn put_link(&self, link: &Link) -> Result<(), StoreError> {
        let row = link_row(link.connection.as_str(), &link.subject);
        let sealed = self.sealer.seal(LINKS, &row, link.asserted.as_bytes())?;
        let link = link.clone();
        self.write(move |c| insert_link(c, &link, &sealed)).await
    }

    async fn links(&self, user: &UserId) -> Result<Vec<Link>, StoreError> {
        let (user, sealer) = (user.clone(), self.sealer.clone());
        let sql = "SELECT * FROM links WHERE user_id = ?1 ORDER BY linked_at, subject";
        self.read(move |c| all(c, sql, [user.as_str()], |row| link(row, &sealer))).await
    }

    async fn use_once(
        &self,
        purpose: &str,
        id: &Digest,
        now: Timestamp,
        forget_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let (purpose, id) = (purpose.to_owned(), *id);
        self.write(move |c| use_one(c, &purpose, &id, now, forget_at)).await
    }

    async fn use_each_once(
        &self,
        purpose: &str,
        uses: &[(Digest, Timestamp)],
        now: Timestamp,
    ) -> Result<Vec<bool>, StoreError> {
        let (purpose, uses) = (purpose.to_owned(), uses.to_vec());
        self.write(move |c| uses.iter().map(|(id, forget_at)| use_one(c, &purpose, id, now, *forget_at)).collect())
            .await
    }
}
