//! Connections, domains and links in PostgreSQL.

use std::collections::HashSet;

use async_trait::async_trait;
use sallyport_model::{ConnectionId, SessionId, TenantId, Timestamp, UserId};
use sqlx::PgConnection;

use super::{
    PostgresStore,
    error::{Failure, dangling, taken},
    rows::{
        self, Row, all, change, damaged, from_word, id, millis, one, optional, optional_id, optional_time, params,
        plain, read_word, time, word,
    },
    sessions,
};
use crate::{Connection, Connections, Digest, Domain, DomainProof, Link, StoreError, seal::Sealer};

pub(super) const CONNECTIONS: &str = "connections";
const LINKS: &str = "links";

fn opened(sealer: &Sealer, table: &'static str, id: &[u8], sealed: &[u8]) -> Result<String, StoreError> {
    let plain = sealer.open(table, id, sealed)?;
    String::from_utf8(plain.to_vec()).map_err(|error| damaged(table, error.utf8_error()))
}

pub(super) fn connection(row: &Row, sealer: &Sealer) -> Result<Connection, StoreError> {
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

fn domain(row: &Row) -> Result<Domain, StoreError> {
    let proof: Option<String> = optional(row, "proof")?;
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

fn link(row: &Row, sealer: &Sealer) -> Result<Link, StoreError> {
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

async fn insert_link(c: &mut PgConnection, link: &Link, sealed: &[u8]) -> Result<(), Failure> {
    let sql = "INSERT INTO links (connection, subject, tenant, user_id, linked_at, last_seen_at, sealed)
               SELECT $1, $2, $3, $4, $5, $6, $7
               WHERE EXISTS (SELECT 1 FROM connections WHERE id = $1 AND tenant = $3)
                 AND EXISTS (SELECT 1 FROM people WHERE id = $4 AND tenant = $3)
               ON CONFLICT (connection, subject) DO UPDATE SET last_seen_at = excluded.last_seen_at,
                   sealed = excluded.sealed
               WHERE links.user_id = excluded.user_id";
    let values = params![
        link.connection.as_str(),
        link.subject,
        link.tenant.as_str(),
        link.user.as_str(),
        millis(link.linked_at),
        millis(link.last_seen_at),
        sealed.to_vec(),
    ];
    if change(c, sql, values).await.map_err(dangling("connection or person"))? == 1 {
        return Ok(());
    }
    let taken = "SELECT 1 FROM links WHERE connection = $1 AND subject = $2";
    let known = one(c, taken, params![link.connection.as_str(), link.subject], |_| Ok(())).await?;
    Err(if known.is_some() { StoreError::Exists("link") } else { StoreError::Missing("connection or person") }.into())
}

async fn insert(c: &mut PgConnection, tenant: &TenantId, values: &[rows::Value]) -> Result<(), Failure> {
    let sql = "SELECT 1 FROM tenants WHERE id = $1 FOR KEY SHARE";
    if one(c, sql, params![tenant.as_str()], |_| Ok(())).await?.is_none() {
        return Err(StoreError::Missing("tenant").into());
    }
    let sql = "INSERT INTO connections (id, tenant, name, protocol, sealed, enabled, created_at, changed_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
               ON CONFLICT (id) DO UPDATE SET name = excluded.name, protocol = excluded.protocol,
                   sealed = excluded.sealed, enabled = excluded.enabled, changed_at = excluded.changed_at
               WHERE connections.tenant = excluded.tenant";
    match change(c, sql, values.to_vec()).await.map_err(taken("connection"))? {
        1 => Ok(()),
        _ => Err(StoreError::Exists("connection").into()),
    }
}

/// Ends what stands on a connection, then the connection; whether there was one, and the last epoch.
async fn remove(
    c: &mut PgConnection,
    tenant: &TenantId,
    id: &ConnectionId,
    at: Timestamp,
) -> Result<(bool, Option<u64>), Failure> {
    let key = params![id.as_str(), tenant.as_str()];
    let sql = "SELECT 1 FROM connections WHERE id = $1 AND tenant = $2 FOR UPDATE";
    if one(c, sql, key.clone(), |_| Ok(())).await?.is_none() {
        return Ok((false, None));
    }
    let standing = "SELECT id FROM browser_sessions WHERE connection = $1 AND ended_at IS NULL ORDER BY id";
    let sessions: Vec<SessionId> = all(c, standing, params![id.as_str()], |row| rows::id(row, "id")).await?;
    change(c, "DELETE FROM connections WHERE id = $1 AND tenant = $2", key).await?;
    let epoch = sessions::revoke_all(c, &sessions, at).await?;
    Ok((true, epoch))
}

#[async_trait]
impl Connections for PostgresStore {
    async fn put_connection(&self, connection: &Connection) -> Result<(), StoreError> {
        let row = connection.id.as_str().as_bytes();
        let sealed = self.sealer().seal(CONNECTIONS, row, connection.settings.as_bytes())?;
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
        let given = (connection.tenant.clone(), values);
        self.write(given, |c, (tenant, values)| Box::pin(insert(c, tenant, values))).await
    }

    async fn connections(&self, tenant: &TenantId) -> Result<Vec<Connection>, StoreError> {
        let sealer = self.sealer();
        let sql = "SELECT * FROM connections WHERE tenant = $1 ORDER BY name";
        self.all(sql, params![tenant.as_str()], move |row| connection(row, &sealer)).await
    }

    async fn has_connections(&self) -> Result<bool, StoreError> {
        Ok(self.one("SELECT 1 FROM connections WHERE enabled LIMIT 1", params![], |_| Ok(())).await?.is_some())
    }

    async fn connection(&self, id: &ConnectionId) -> Result<Option<Connection>, StoreError> {
        let sealer = self.sealer();
        let sql = "SELECT * FROM connections WHERE id = $1";
        self.one(sql, params![id.as_str()], move |row| connection(row, &sealer)).await
    }

    async fn remove_connection(&self, tenant: &TenantId, id: &ConnectionId, at: Timestamp) -> Result<bool, StoreError> {
        let given = (tenant.clone(), id.clone());
        let removing = self.write_long(given, move |c, (tenant, id)| Box::pin(remove(c, tenant, id, at)));
        let (was, epoch) = removing.await?;
        self.tell(epoch);
        Ok(was)
    }

    async fn put_fetched(
        &self,
        id: &ConnectionId,
        name: &str,
        document: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO fetched (connection, name, document, at) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (connection, name) DO UPDATE SET document = excluded.document, at = excluded.at";
        let values = params![id.as_str(), name, document, millis(at)];
        let put = self.write(values, move |c, values| {
            Box::pin(async move { change(c, sql, values.clone()).await.map_err(dangling("connection")) })
        });
        put.await.map(|_| ())
    }

    async fn fetched(&self, id: &ConnectionId, name: &str) -> Result<Option<(String, Timestamp)>, StoreError> {
        let sql = "SELECT * FROM fetched WHERE connection = $1 AND name = $2";
        self.one(sql, params![id.as_str(), name], |row| Ok((plain(row, "document")?, time(row, "at")?))).await
    }

    async fn claim_domain(&self, claim: &Domain) -> Result<(), StoreError> {
        let sql = "INSERT INTO domains (tenant, name, challenge, connection, claimed_at)
                   SELECT $1, $2, $3, $4, $5
                   WHERE EXISTS (SELECT 1 FROM tenants WHERE id = $1)
                     AND ($4 IS NULL OR EXISTS (SELECT 1 FROM connections WHERE id = $4 AND tenant = $1))
                   ON CONFLICT (tenant, name)
                   DO UPDATE SET connection = coalesce(excluded.connection, domains.connection)";
        let values = params![
            claim.tenant.as_str(),
            claim.name,
            claim.challenge,
            claim.connection.as_ref().map(ConnectionId::as_str),
            millis(claim.claimed_at),
        ];
        if self.execute(sql, values).await? == 1 { Ok(()) } else { Err(StoreError::Missing("tenant or connection")) }
    }

    async fn prove_domain(&self, claim: &Domain, proof: DomainProof, at: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE domains SET proof = $4, proved_at = $5
                   WHERE tenant = $1 AND name = $2 AND challenge = $3 AND proved_at IS NULL";
        let proof = word("domain proof", &proof)?;
        let values = params![claim.tenant.as_str(), claim.name, claim.challenge, proof, millis(at)];
        let proved = self.write_if(
            |rows: &u64| *rows > 0,
            values,
            move |c, values| Box::pin(async move { change(c, sql, values.clone()).await.map_err(taken("domain")) }),
        );
        Ok(proved.await? > 0)
    }

    async fn put_domain(&self, domain: &Domain) -> Result<(), StoreError> {
        let sql = "INSERT INTO domains (tenant, name, challenge, connection, claimed_at, proof, proved_at)
                   SELECT $1, $2, $3, $4, $5, $6, $7
                   WHERE EXISTS (SELECT 1 FROM tenants WHERE id = $1)
                     AND ($4 IS NULL OR EXISTS (SELECT 1 FROM connections WHERE id = $4 AND tenant = $1))
                   ON CONFLICT (tenant, name) DO UPDATE SET challenge = excluded.challenge,
                       connection = excluded.connection, proof = excluded.proof, proved_at = excluded.proved_at";
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
        let put = self.write(values, move |c, values| {
            Box::pin(async move { change(c, sql, values.clone()).await.map_err(taken("domain")) })
        });
        if put.await? == 1 { Ok(()) } else { Err(StoreError::Missing("tenant or connection")) }
    }

    async fn domains(&self, tenant: &TenantId) -> Result<Vec<Domain>, StoreError> {
        let sql = "SELECT * FROM domains WHERE tenant = $1 ORDER BY name";
        self.all(sql, params![tenant.as_str()], domain).await
    }

    async fn domain(&self, name: &str) -> Result<Option<Domain>, StoreError> {
        let sql = "SELECT * FROM domains WHERE name = $1 AND proved_at IS NOT NULL";
        self.one(sql, params![name], domain).await
    }

    async fn remove_domain(&self, tenant: &TenantId, name: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM domains WHERE tenant = $1 AND name = $2";
        Ok(self.execute(sql, params![tenant.as_str(), name]).await? > 0)
    }

    async fn link(&self, connection: &ConnectionId, subject: &str) -> Result<Option<Link>, StoreError> {
        let sealer = self.sealer();
        let sql = "SELECT * FROM links WHERE connection = $1 AND subject = $2";
        self.one(sql, params![connection.as_str(), subject], move |row| link(row, &sealer)).await
    }

    async fn put_link(&self, link: &Link) -> Result<(), StoreError> {
        let row = link_row(link.connection.as_str(), &link.subject);
        let sealed = self.sealer().seal(LINKS, &row, link.asserted.as_bytes())?;
        self.write((link.clone(), sealed), |c, (link, sealed)| Box::pin(insert_link(c, link, sealed))).await
    }

    async fn links(&self, user: &UserId) -> Result<Vec<Link>, StoreError> {
        let sealer = self.sealer();
        let sql = "SELECT * FROM links WHERE user_id = $1 ORDER BY linked_at, subject";
        self.all(sql, params![user.as_str()], move |row| link(row, &sealer)).await
    }

    async fn use_once(
        &self,
        purpose: &str,
        id: &Digest,
        now: Timestamp,
        forget_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "INSERT INTO used (purpose, id, forget_at) VALUES ($1, $2, $3)
                   ON CONFLICT (purpose, id) DO UPDATE SET forget_at = excluded.forget_at
                   WHERE used.forget_at <= $4";
        Ok(self.execute(sql, params![purpose, id, millis(forget_at), millis(now)]).await? > 0)
    }

    async fn use_each_once(
        &self,
        purpose: &str,
        uses: &[(Digest, Timestamp)],
        now: Timestamp,
    ) -> Result<Vec<bool>, StoreError> {
        let (ids, times): (Vec<Digest>, Vec<i64>) = uses.iter().map(|(id, until)| (*id, millis(*until))).unzip();
        // In one order, so that two batches never hold what the other waits for.
        let sql = "INSERT INTO used (purpose, id, forget_at)
                   SELECT $1, u.id, max(u.until) FROM unnest($2, $3) AS u (id, until) GROUP BY u.id ORDER BY u.id
                   ON CONFLICT (purpose, id) DO UPDATE SET forget_at = excluded.forget_at WHERE used.forget_at <= $4
                   RETURNING id";
        let values = params![purpose, ids.as_slice(), times.as_slice(), millis(now)];
        let changed: fn(&Vec<Digest>) -> bool = |fresh| !fresh.is_empty();
        let fresh = self.write_if(changed, values, move |c, values| {
            Box::pin(all(c, sql, values.clone(), |row| plain::<Digest>(row, "id")))
        });
        let mut fresh: HashSet<Digest> = fresh.await?.into_iter().collect();
        Ok(ids.iter().map(|id| fresh.remove(id)).collect())
    }
}
