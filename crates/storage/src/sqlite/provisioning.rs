//! What SCIM brings, in SQLite.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use sallyport_model::{ScimClientId, TenantId, Timestamp, UserId};

use super::{
    SqliteStore,
    directory::insert_person,
    error::taken,
    revocations,
    rows::{all, change, damaged, from_word, id, millis, one, optional_time, plain, time, word},
};
use crate::{
    Digest, MemberChange, Person, Provisioning, Revocation, RevocationSubject, ScimChange, ScimClient, ScimKind,
    ScimResource, StoreError,
};

fn client(row: &Row<'_>) -> Result<ScimClient, StoreError> {
    Ok(ScimClient {
        id: id(row, "id")?,
        tenant: id(row, "tenant")?,
        name: plain(row, "name")?,
        token: plain(row, "token")?,
        created_at: time(row, "created_at")?,
        expires_at: optional_time(row, "expires_at")?,
    })
}

fn resource(row: &Row<'_>) -> Result<ScimResource, StoreError> {
    let version: i64 = plain(row, "version")?;
    Ok(ScimResource {
        id: plain(row, "id")?,
        tenant: id(row, "tenant")?,
        kind: from_word(row, "kind")?,
        version: u64::try_from(version).map_err(|error| damaged("SCIM resource", error))?,
        name: plain(row, "name")?,
        external_id: plain(row, "external_id")?,
        document: plain(row, "document")?,
        created_at: time(row, "created_at")?,
        changed_at: time(row, "changed_at")?,
    })
}

fn count(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

fn noun(kind: ScimKind) -> &'static str {
    match kind {
        ScimKind::User => "user of that name",
        ScimKind::Group => "group of that name",
    }
}

fn insert(c: &Connection, resource: &ScimResource) -> Result<(), StoreError> {
    let sql = "INSERT INTO scim_resources (id, tenant, kind, version, name, folded, external_id, document,
                                           created_at, changed_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let values = params![
        resource.id,
        resource.tenant.as_str(),
        word("kind", &resource.kind)?,
        count(resource.version),
        resource.name,
        resource.name.to_lowercase(),
        resource.external_id,
        resource.document,
        millis(resource.created_at),
        millis(resource.changed_at),
    ];
    change(c, sql, values).map_err(taken(noun(resource.kind)))?;
    Ok(())
}

/// Revokes a person as of `at`.
fn revoke(c: &Connection, user: &UserId, at: Timestamp) -> Result<Revocation, StoreError> {
    let subject = RevocationSubject::User(user.clone());
    let epoch = revocations::append(c, &subject, at)?;
    Ok(Revocation { epoch, subject, at })
}

/// The version of a resource, if it is there.
fn version(c: &Connection, tenant: &TenantId, kind: ScimKind, id: &str) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT version FROM scim_resources WHERE id = ?1 AND tenant = ?2 AND kind = ?3";
    one(c, sql, params![id, tenant.as_str(), word("kind", &kind)?], |row| plain(row, "version"))
}

fn replace(
    c: &Connection,
    new: &ScimResource,
    person: Option<&Person>,
    members: &MemberChange,
) -> Result<ScimChange, StoreError> {
    match version(c, &new.tenant, new.kind, &new.id)? {
        None => return Ok(ScimChange::Missing),
        Some(found) if found.saturating_add(1) != count(new.version) => return Ok(ScimChange::Stale),
        Some(_) => {}
    }
    let sql = "UPDATE scim_resources SET version = ?2, name = ?3, folded = ?4, external_id = ?5, document = ?6,
                   changed_at = ?7 WHERE id = ?1";
    let values = params![
        new.id,
        count(new.version),
        new.name,
        new.name.to_lowercase(),
        new.external_id,
        new.document,
        millis(new.changed_at),
    ];
    change(c, sql, values).map_err(taken(noun(new.kind)))?;
    join(c, &new.tenant, &new.id, &members.add)?;
    for user in &members.remove {
        change(c, "DELETE FROM scim_members WHERE group_id = ?1 AND user_id = ?2", [&new.id, user.as_str()])?;
    }
    let revoked = match person {
        Some(person) => update(c, person, new.changed_at)?,
        None => None,
    };
    Ok(ScimChange::Done { revoked })
}

/// Brings a person up to date, and ends what she has if she becomes disabled.
fn update(c: &Connection, person: &Person, at: Timestamp) -> Result<Option<Revocation>, StoreError> {
    let sql = "SELECT disabled FROM people WHERE id = ?1 AND tenant = ?2";
    let was = one(c, sql, [person.id.as_str(), person.tenant.as_str()], |row| plain::<bool>(row, "disabled"))?;
    let was = was.ok_or(StoreError::Missing("person"))?;
    let sql = "UPDATE people SET email = ?2, display_name = ?3, disabled = ?4 WHERE id = ?1";
    change(c, sql, params![person.id.as_str(), person.email, person.display_name, person.disabled])?;
    if person.disabled && !was { revoke(c, &person.id, at).map(Some) } else { Ok(None) }
}

fn remove(
    c: &Connection,
    tenant: &TenantId,
    kind: ScimKind,
    id: &str,
    only: Option<u64>,
    at: Timestamp,
) -> Result<ScimChange, StoreError> {
    match version(c, tenant, kind, id)? {
        None => return Ok(ScimChange::Missing),
        Some(found) if only.is_some_and(|only| count(only) != found) => return Ok(ScimChange::Stale),
        Some(_) => {}
    }
    let mut revoked = None;
    if kind == ScimKind::User {
        let user = UserId::new(id).map_err(|error| damaged("SCIM resource", error))?;
        revoked = Some(revoke(c, &user, at)?);
        change(c, "DELETE FROM consents WHERE user_id = ?1", [id])?;
        change(c, "DELETE FROM people WHERE id = ?1 AND tenant = ?2", [id, tenant.as_str()])?;
    }
    change(c, "DELETE FROM scim_resources WHERE id = ?1", [id])?;
    Ok(ScimChange::Done { revoked })
}

fn members(c: &Connection, group: &str) -> Result<Vec<UserId>, StoreError> {
    let sql = "SELECT user_id FROM scim_members WHERE group_id = ?1 ORDER BY user_id";
    all(c, sql, [group], |row| id(row, "user_id"))
}

/// Puts users of the tenant into a group; others are left out.
fn join(c: &Connection, tenant: &TenantId, group: &str, users: &[UserId]) -> Result<(), StoreError> {
    let sql = "INSERT OR IGNORE INTO scim_members (group_id, user_id)
               SELECT ?1, id FROM scim_resources WHERE id = ?2 AND tenant = ?3 AND kind = ?4";
    let kind = word("kind", &ScimKind::User)?;
    for user in users {
        change(c, sql, params![group, user.as_str(), tenant.as_str(), kind])?;
    }
    Ok(())
}

fn insert_client(c: &Connection, client: &ScimClient) -> Result<(), StoreError> {
    let sql = "INSERT INTO scim_clients (id, tenant, name, token, created_at, expires_at)
               SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE EXISTS (SELECT 1 FROM tenants WHERE id = ?2)";
    let values = params![
        client.id.as_str(),
        client.tenant.as_str(),
        client.name,
        client.token,
        millis(client.created_at),
        client.expires_at.map(millis),
    ];
    match change(c, sql, values).map_err(taken("SCIM client"))? {
        1 => Ok(()),
        _ => Err(StoreError::Missing("tenant")),
    }
}

fn remove_client(c: &Connection, tenant: &TenantId, id: &ScimClientId) -> Result<bool, StoreError> {
    let sql = "DELETE FROM scim_clients WHERE id = ?1 AND tenant = ?2";
    Ok(change(c, sql, [id.as_str(), tenant.as_str()])? > 0)
}

#[async_trait]
impl Provisioning for SqliteStore {
    async fn add_scim_client(&self, client: &ScimClient) -> Result<(), StoreError> {
        let client = client.clone();
        self.write(move |c| insert_client(c, &client)).await
    }

    async fn scim_client(&self, token: &Digest, now: Timestamp) -> Result<Option<ScimClient>, StoreError> {
        let token = *token;
        let sql = "SELECT s.* FROM scim_clients s JOIN tenants t ON t.id = s.tenant AND t.suspended = 0
                   WHERE s.token = ?1 AND (s.expires_at IS NULL OR s.expires_at > ?2)";
        self.read(move |c| one(c, sql, params![token, millis(now)], client)).await
    }

    async fn scim_clients(&self, tenant: &TenantId) -> Result<Vec<ScimClient>, StoreError> {
        let tenant = tenant.clone();
        let sql = "SELECT * FROM scim_clients WHERE tenant = ?1 ORDER BY created_at, id";
        self.read(move |c| all(c, sql, [tenant.as_str()], client)).await
    }

    async fn replace_scim_client(&self, old: &ScimClient, new: &ScimClient) -> Result<bool, StoreError> {
        let (old, new) = (old.clone(), new.clone());
        self.write(move |c| {
            if !remove_client(c, &old.tenant, &old.id)? {
                return Ok(false);
            }
            insert_client(c, &new).map(|()| true)
        })
        .await
    }

    async fn remove_scim_client(&self, tenant: &TenantId, id: &ScimClientId) -> Result<bool, StoreError> {
        let (tenant, id) = (tenant.clone(), id.clone());
        self.write(move |c| remove_client(c, &tenant, &id)).await
    }

    async fn add_scim_user(&self, user: &ScimResource, person: &Person) -> Result<(), StoreError> {
        let (user, person) = (user.clone(), person.clone());
        self.write(move |c| {
            insert_person(c, &person)?;
            insert(c, &user)
        })
        .await
    }

    async fn adopt_scim_user(&self, user: &ScimResource) -> Result<(), StoreError> {
        let user = user.clone();
        self.write(move |c| {
            let sql = "SELECT 1 FROM people WHERE id = ?1 AND tenant = ?2";
            if one(c, sql, [user.id.as_str(), user.tenant.as_str()], |_| Ok(()))?.is_none() {
                return Err(StoreError::Missing("person"));
            }
            insert(c, &user)
        })
        .await
    }

    async fn add_scim_group(&self, group: &ScimResource, members: &[UserId]) -> Result<(), StoreError> {
        let (group, members) = (group.clone(), members.to_vec());
        self.write(move |c| {
            insert(c, &group)?;
            join(c, &group.tenant, &group.id, &members)
        })
        .await
    }

    async fn replace_scim(
        &self,
        resource: &ScimResource,
        person: Option<&Person>,
        members: &MemberChange,
    ) -> Result<ScimChange, StoreError> {
        let (resource, person, members) = (resource.clone(), person.cloned(), members.clone());
        self.write(move |c| replace(c, &resource, person.as_ref(), &members)).await
    }

    async fn remove_scim(
        &self,
        tenant: &TenantId,
        kind: ScimKind,
        id: &str,
        version: Option<u64>,
        at: Timestamp,
    ) -> Result<ScimChange, StoreError> {
        let (tenant, id) = (tenant.clone(), id.to_owned());
        self.write(move |c| remove(c, &tenant, kind, &id, version, at)).await
    }

    async fn scim(&self, tenant: &TenantId, kind: ScimKind, id: &str) -> Result<Option<ScimResource>, StoreError> {
        let (tenant, id, kind) = (tenant.clone(), id.to_owned(), word("kind", &kind)?);
        let sql = "SELECT * FROM scim_resources WHERE id = ?1 AND tenant = ?2 AND kind = ?3";
        self.read(move |c| one(c, sql, params![id, tenant.as_str(), kind], resource)).await
    }

    async fn scim_by_name(
        &self,
        tenant: &TenantId,
        kind: ScimKind,
        name: &str,
    ) -> Result<Option<ScimResource>, StoreError> {
        let (tenant, folded, kind) = (tenant.clone(), name.to_lowercase(), word("kind", &kind)?);
        let sql = "SELECT * FROM scim_resources WHERE tenant = ?1 AND kind = ?2 AND folded = ?3";
        self.read(move |c| one(c, sql, params![tenant.as_str(), kind, folded], resource)).await
    }

    async fn scim_by_external_id(
        &self,
        tenant: &TenantId,
        kind: ScimKind,
        external_id: &str,
    ) -> Result<Vec<ScimResource>, StoreError> {
        let (tenant, external_id, kind) = (tenant.clone(), external_id.to_owned(), word("kind", &kind)?);
        let sql = "SELECT * FROM scim_resources WHERE tenant = ?1 AND kind = ?2 AND external_id = ?3 ORDER BY id";
        self.read(move |c| all(c, sql, params![tenant.as_str(), kind, external_id], resource)).await
    }

    async fn scim_count(&self, tenant: &TenantId, kind: ScimKind) -> Result<u64, StoreError> {
        let (tenant, kind) = (tenant.clone(), word("kind", &kind)?);
        let sql = "SELECT count(*) AS found FROM scim_resources WHERE tenant = ?1 AND kind = ?2";
        let found = self.read(move |c| one(c, sql, [tenant.as_str(), &kind], |row| plain::<i64>(row, "found"))).await?;
        Ok(found.and_then(|found| u64::try_from(found).ok()).unwrap_or_default())
    }

    async fn scim_list(
        &self,
        tenant: &TenantId,
        kind: ScimKind,
        after: Option<&str>,
        skip: u64,
        limit: usize,
    ) -> Result<Vec<ScimResource>, StoreError> {
        let (tenant, kind) = (tenant.clone(), word("kind", &kind)?);
        let (after, limit) = (after.unwrap_or_default().to_owned(), i64::try_from(limit).unwrap_or(i64::MAX));
        let sql = "SELECT * FROM scim_resources WHERE tenant = ?1 AND kind = ?2 AND id > ?3 ORDER BY id
                   LIMIT ?4 OFFSET ?5";
        self.read(move |c| all(c, sql, params![tenant.as_str(), kind, after, limit, count(skip)], resource)).await
    }

    async fn scim_members(&self, tenant: &TenantId, group: &str) -> Result<Vec<UserId>, StoreError> {
        let (tenant, group) = (tenant.clone(), group.to_owned());
        self.read(move |c| match version(c, &tenant, ScimKind::Group, &group)? {
            Some(_) => members(c, &group),
            None => Ok(Vec::new()),
        })
        .await
    }

    async fn scim_groups_of(&self, tenant: &TenantId, user: &UserId) -> Result<Vec<(String, String)>, StoreError> {
        let (tenant, user) = (tenant.clone(), user.clone());
        let sql = "SELECT g.id, g.name FROM scim_members m JOIN scim_resources g ON g.id = m.group_id
                   WHERE m.user_id = ?1 AND g.tenant = ?2 ORDER BY g.name, g.id";
        self.read(move |c| {
            all(c, sql, [user.as_str(), tenant.as_str()], |row| Ok((plain(row, "id")?, plain(row, "name")?)))
        })
        .await
    }
}
