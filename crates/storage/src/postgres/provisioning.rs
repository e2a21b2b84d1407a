//! What SCIM brings, in PostgreSQL. A resource's row is locked before its version is compared.

use async_trait::async_trait;
use sallyport_model::{ScimClientId, TenantId, Timestamp, UserId};
use sqlx::PgConnection;

use super::{
    PostgresStore,
    directory::insert_person,
    error::{Failure, taken},
    revocations,
    rows::{
        Row, all, change, damaged, from_word, id, millis, one, optional, optional_time, params, plain, signed, time,
        unsigned, word,
    },
};
use crate::{
    Digest, MemberChange, Person, Provisioning, Revocation, RevocationSubject, ScimChange, ScimClient, ScimKind,
    ScimResource, StoreError,
};

fn client(row: &Row) -> Result<ScimClient, StoreError> {
    Ok(ScimClient {
        id: id(row, "id")?,
        tenant: id(row, "tenant")?,
        name: plain(row, "name")?,
        token: plain(row, "token")?,
        created_at: time(row, "created_at")?,
        expires_at: optional_time(row, "expires_at")?,
    })
}

fn resource(row: &Row) -> Result<ScimResource, StoreError> {
    Ok(ScimResource {
        id: plain(row, "id")?,
        tenant: id(row, "tenant")?,
        kind: from_word(row, "kind")?,
        version: unsigned("SCIM resource", plain(row, "version")?)?,
        name: plain(row, "name")?,
        external_id: optional(row, "external_id")?,
        document: plain(row, "document")?,
        created_at: time(row, "created_at")?,
        changed_at: time(row, "changed_at")?,
    })
}

fn noun(kind: ScimKind) -> &'static str {
    match kind {
        ScimKind::User => "user of that name",
        ScimKind::Group => "group of that name",
    }
}

async fn insert(c: &mut PgConnection, resource: &ScimResource) -> Result<(), Failure> {
    let sql = "INSERT INTO scim_resources (id, tenant, kind, version, name, folded, external_id, document,
                                           created_at, changed_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let values = params![
        resource.id,
        resource.tenant.as_str(),
        word("kind", &resource.kind)?,
        signed(resource.version),
        resource.name,
        resource.name.to_lowercase(),
        resource.external_id,
        resource.document,
        millis(resource.created_at),
        millis(resource.changed_at),
    ];
    change(c, sql, values).await.map_err(taken(noun(resource.kind)))?;
    Ok(())
}

async fn adopt(c: &mut PgConnection, user: &ScimResource) -> Result<(), Failure> {
    let sql = "SELECT 1 FROM people WHERE id = $1 AND tenant = $2 FOR KEY SHARE";
    if one(c, sql, params![user.id, user.tenant.as_str()], |_| Ok(())).await?.is_none() {
        return Err(StoreError::Missing("person").into());
    }
    insert(c, user).await
}

/// The version of a resource, if it is there; its row stays locked.
async fn version(c: &mut PgConnection, tenant: &TenantId, kind: ScimKind, id: &str) -> Result<Option<i64>, Failure> {
    let sql = "SELECT version FROM scim_resources WHERE id = $1 AND tenant = $2 AND kind = $3 FOR UPDATE";
    one(c, sql, params![id, tenant.as_str(), word("kind", &kind)?], |row| plain(row, "version")).await
}

async fn replace(
    c: &mut PgConnection,
    new: &ScimResource,
    person: Option<&Person>,
    members: &MemberChange,
) -> Result<ScimChange, Failure> {
    match version(c, &new.tenant, new.kind, &new.id).await? {
        None => return Ok(ScimChange::Missing),
        Some(found) if found.saturating_add(1) != signed(new.version) => return Ok(ScimChange::Stale),
        Some(_) => {}
    }
    let sql = "UPDATE scim_resources SET version = $2, name = $3, folded = $4, external_id = $5, document = $6,
                   changed_at = $7 WHERE id = $1";
    let values = params![
        new.id,
        signed(new.version),
        new.name,
        new.name.to_lowercase(),
        new.external_id,
        new.document,
        millis(new.changed_at),
    ];
    change(c, sql, values).await.map_err(taken(noun(new.kind)))?;
    join(c, &new.tenant, &new.id, &members.add).await?;
    leave(c, &new.id, &members.remove).await?;
    let revoked = match person {
        Some(person) => update(c, person, new.changed_at).await?,
        None => None,
    };
    Ok(ScimChange::Done { revoked })
}

/// Brings a person up to date, and ends what she has if she becomes disabled.
async fn update(c: &mut PgConnection, person: &Person, at: Timestamp) -> Result<Option<Revocation>, Failure> {
    let sql = "SELECT disabled FROM people WHERE id = $1 AND tenant = $2 FOR UPDATE";
    let key = params![person.id.as_str(), person.tenant.as_str()];
    let was = one(c, sql, key, |row| plain::<bool>(row, "disabled")).await?;
    let was = was.ok_or(StoreError::Missing("person"))?;
    let sql = "UPDATE people SET email = $2, display_name = $3, disabled = $4 WHERE id = $1";
    change(c, sql, params![person.id.as_str(), person.email, person.display_name, person.disabled]).await?;
    if !person.disabled || was {
        return Ok(None);
    }
    let subject = RevocationSubject::User(person.id.clone());
    let epoch = revocations::append(c, &subject, at).await?;
    Ok(Some(Revocation { epoch, subject, at }))
}

async fn remove(
    c: &mut PgConnection,
    tenant: &TenantId,
    kind: ScimKind,
    id: &str,
    only: Option<u64>,
    at: Timestamp,
) -> Result<ScimChange, Failure> {
    match version(c, tenant, kind, id).await? {
        None => return Ok(ScimChange::Missing),
        Some(found) if only.is_some_and(|only| signed(only) != found) => return Ok(ScimChange::Stale),
        Some(_) => {}
    }
    if kind == ScimKind::Group {
        change(c, "DELETE FROM scim_resources WHERE id = $1", params![id]).await?;
        return Ok(ScimChange::Done { revoked: None });
    }
    let user = UserId::new(id).map_err(|error| damaged("SCIM resource", error))?;
    let subjects = [RevocationSubject::User(user)];
    revocations::mark(c, &subjects, at).await?;
    change(c, "DELETE FROM consents WHERE user_id = $1", params![id]).await?;
    change(c, "DELETE FROM people WHERE id = $1 AND tenant = $2", params![id, tenant.as_str()]).await?;
    change(c, "DELETE FROM scim_resources WHERE id = $1", params![id]).await?;
    let epoch = revocations::log(c, &subjects, at).await?;
    let [subject] = subjects;
    Ok(ScimChange::Done { revoked: Some(Revocation { epoch, subject, at }) })
}

async fn members(c: &mut PgConnection, tenant: &TenantId, group: &str) -> Result<Vec<UserId>, Failure> {
    let sql = "SELECT m.user_id FROM scim_members m JOIN scim_resources g ON g.id = m.group_id
               WHERE g.id = $1 AND g.tenant = $2 AND g.kind = $3 ORDER BY m.user_id";
    let values = params![group, tenant.as_str(), word("kind", &ScimKind::Group)?];
    all(c, sql, values, |row| id(row, "user_id")).await
}

/// Names, for a list of parameters.
fn names(users: &[UserId]) -> Vec<&str> {
    users.iter().map(|user| user.as_str()).collect()
}

/// Puts users of the tenant into a group; others are left out. Who removes one of them waits until this is
/// done, and then takes her out again.
async fn join(c: &mut PgConnection, tenant: &TenantId, group: &str, users: &[UserId]) -> Result<(), Failure> {
    let sql = "INSERT INTO scim_members (group_id, user_id)
               SELECT $1, u.id FROM (SELECT id FROM scim_resources WHERE id = ANY ($2) AND tenant = $3 AND kind = $4
                                     ORDER BY id FOR KEY SHARE) u
               ON CONFLICT DO NOTHING";
    let values = params![group, names(users).as_slice(), tenant.as_str(), word("kind", &ScimKind::User)?];
    change(c, sql, values).await?;
    Ok(())
}

async fn leave(c: &mut PgConnection, group: &str, users: &[UserId]) -> Result<(), Failure> {
    let sql = "DELETE FROM scim_members WHERE group_id = $1 AND user_id = ANY ($2)";
    change(c, sql, params![group, names(users).as_slice()]).await?;
    Ok(())
}

impl PostgresStore {
    /// Tells of what a change revoked.
    fn told(&self, change: ScimChange) -> ScimChange {
        if let ScimChange::Done { revoked: Some(revocation) } = &change {
            self.tell(Some(revocation.epoch));
        }
        change
    }
}

const REMOVE_CLIENT: &str = "DELETE FROM scim_clients WHERE id = $1 AND tenant = $2";

async fn insert_client(c: &mut PgConnection, client: &ScimClient) -> Result<(), Failure> {
    let sql = "INSERT INTO scim_clients (id, tenant, name, token, created_at, expires_at)
               SELECT $1, $2, $3, $4, $5, $6 WHERE EXISTS (SELECT 1 FROM tenants WHERE id = $2)";
    let values = params![
        client.id.as_str(),
        client.tenant.as_str(),
        client.name,
        client.token,
        millis(client.created_at),
        client.expires_at.map(millis),
    ];
    match change(c, sql, values).await.map_err(taken("SCIM client"))? {
        1 => Ok(()),
        _ => Err(StoreError::Missing("tenant").into()),
    }
}

/// Whoever removes the old one puts the new one in its place: a second one waits for the row and finds none.
async fn replace_client(c: &mut PgConnection, old: &ScimClient, new: &ScimClient) -> Result<bool, Failure> {
    if change(c, REMOVE_CLIENT, params![old.id.as_str(), old.tenant.as_str()]).await? == 0 {
        return Ok(false);
    }
    insert_client(c, new).await.map(|()| true)
}

#[async_trait]
impl Provisioning for PostgresStore {
    async fn add_scim_client(&self, client: &ScimClient) -> Result<(), StoreError> {
        self.write(client.clone(), |c, client| Box::pin(insert_client(c, client))).await
    }

    async fn scim_client(&self, token: &Digest, now: Timestamp) -> Result<Option<ScimClient>, StoreError> {
        let sql = "SELECT s.* FROM scim_clients s JOIN tenants t ON t.id = s.tenant AND NOT t.suspended
                   WHERE s.token = $1 AND (s.expires_at IS NULL OR s.expires_at > $2)";
        self.one(sql, params![token, millis(now)], client).await
    }

    async fn scim_clients(&self, tenant: &TenantId) -> Result<Vec<ScimClient>, StoreError> {
        let sql = "SELECT * FROM scim_clients WHERE tenant = $1 ORDER BY created_at, id";
        self.all(sql, params![tenant.as_str()], client).await
    }

    async fn replace_scim_client(&self, old: &ScimClient, new: &ScimClient) -> Result<bool, StoreError> {
        let given = (old.clone(), new.clone());
        self.write_if(|done| *done, given, |c, (old, new)| Box::pin(replace_client(c, old, new))).await
    }

    async fn remove_scim_client(&self, tenant: &TenantId, id: &ScimClientId) -> Result<bool, StoreError> {
        Ok(self.execute(REMOVE_CLIENT, params![id.as_str(), tenant.as_str()]).await? > 0)
    }

    async fn add_scim_user(&self, user: &ScimResource, person: &Person) -> Result<(), StoreError> {
        self.write((user.clone(), person.clone()), |c, (user, person)| {
            Box::pin(async move {
                insert_person(c, person).await?;
                insert(c, user).await
            })
        })
        .await
    }

    async fn adopt_scim_user(&self, user: &ScimResource) -> Result<(), StoreError> {
        self.write(user.clone(), |c, user| Box::pin(adopt(c, user))).await
    }

    async fn add_scim_group(&self, group: &ScimResource, members: &[UserId]) -> Result<(), StoreError> {
        self.write((group.clone(), members.to_vec()), |c, (group, members)| {
            Box::pin(async move {
                insert(c, group).await?;
                join(c, &group.tenant, &group.id, members).await
            })
        })
        .await
    }

    async fn replace_scim(
        &self,
        resource: &ScimResource,
        person: Option<&Person>,
        members: &MemberChange,
    ) -> Result<ScimChange, StoreError> {
        let given = (resource.clone(), person.cloned(), members.clone());
        let replacing = self.write_long(given, |c, (resource, person, members)| {
            Box::pin(replace(c, resource, person.as_ref(), members))
        });
        Ok(self.told(replacing.await?))
    }

    async fn remove_scim(
        &self,
        tenant: &TenantId,
        kind: ScimKind,
        id: &str,
        version: Option<u64>,
        at: Timestamp,
    ) -> Result<ScimChange, StoreError> {
        let given = (tenant.clone(), id.to_owned());
        let removing =
            self.write_long(given, move |c, (tenant, id)| Box::pin(remove(c, tenant, kind, id, version, at)));
        Ok(self.told(removing.await?))
    }

    async fn scim(&self, tenant: &TenantId, kind: ScimKind, id: &str) -> Result<Option<ScimResource>, StoreError> {
        let sql = "SELECT * FROM scim_resources WHERE id = $1 AND tenant = $2 AND kind = $3";
        self.one(sql, params![id, tenant.as_str(), word("kind", &kind)?], resource).await
    }

    async fn scim_by_name(
        &self,
        tenant: &TenantId,
        kind: ScimKind,
        name: &str,
    ) -> Result<Option<ScimResource>, StoreError> {
        let sql = "SELECT * FROM scim_resources WHERE tenant = $1 AND kind = $2 AND folded = $3";
        self.one(sql, params![tenant.as_str(), word("kind", &kind)?, name.to_lowercase()], resource).await
    }

    async fn scim_by_external_id(
        &self,
        tenant: &TenantId,
        kind: ScimKind,
        external_id: &str,
    ) -> Result<Vec<ScimResource>, StoreError> {
        let sql = "SELECT * FROM scim_resources WHERE tenant = $1 AND kind = $2 AND external_id = $3 ORDER BY id";
        self.all(sql, params![tenant.as_str(), word("kind", &kind)?, external_id], resource).await
    }

    async fn scim_count(&self, tenant: &TenantId, kind: ScimKind) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) AS count FROM scim_resources WHERE tenant = $1 AND kind = $2";
        let values = params![tenant.as_str(), word("kind", &kind)?];
        let count = self.one(sql, values, |row| plain(row, "count")).await?;
        unsigned("SCIM resources", count.unwrap_or_default())
    }

    async fn scim_list(
        &self,
        tenant: &TenantId,
        kind: ScimKind,
        after: Option<&str>,
        skip: u64,
        limit: usize,
    ) -> Result<Vec<ScimResource>, StoreError> {
        let sql = "SELECT * FROM scim_resources WHERE tenant = $1 AND kind = $2 AND id > $3 ORDER BY id
                   LIMIT $4 OFFSET $5";
        let after = after.unwrap_or_default();
        let values = params![tenant.as_str(), word("kind", &kind)?, after, signed(limit), signed(skip)];
        self.all(sql, values, resource).await
    }

    async fn scim_members(&self, tenant: &TenantId, group: &str) -> Result<Vec<UserId>, StoreError> {
        let given = (tenant.clone(), group.to_owned());
        self.look(given, |c, (tenant, group)| Box::pin(members(c, tenant, group))).await
    }

    async fn scim_groups_of(&self, tenant: &TenantId, user: &UserId) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT g.id, g.name FROM scim_members m JOIN scim_resources g ON g.id = m.group_id
                   WHERE m.user_id = $1 AND g.tenant = $2 ORDER BY g.name, g.id";
        let group = |row: &_| Ok((plain(row, "id")?, plain(row, "name")?));
        self.all(sql, params![user.as_str(), tenant.as_str()], group).await
    }
}
