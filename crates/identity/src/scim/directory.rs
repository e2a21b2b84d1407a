//! One tenant's resources for the `scim` engine, over the store.
//!
//! What takes access away is done and then recorded; everything else is recorded and then done. So no access is
//! given that is not on the record, and none is kept because the record failed.

use async_trait::async_trait;
use sallyport_model::{
    Actor, EventKind, UserId,
    event::{Source, Who},
};
use sallyport_scim::{
    Directory, DirectoryError, Document, Kept, Key, Kind, Member, MemberChange, Membership, is_active,
};
use sallyport_storage::{
    MemberChange as Change, Person, PersonOrigin, RevocationSubject, ScimChange, ScimClient, ScimKind, ScimResource,
    StoreError,
};
use serde_json::{Map, Value, json};

use super::person;
use crate::{
    Identity, IdentityError,
    federation::settings::{ConnectionSettings, ScimAttribute},
};

/// The directory of the tenant whose token was presented.
pub(super) struct TenantDirectory<'a> {
    pub(super) identity: &'a Identity,
    pub(super) client: &'a ScimClient,
    pub(super) source: Source,
}

fn store_kind(kind: Kind) -> ScimKind {
    match kind {
        Kind::User => ScimKind::User,
        Kind::Group => ScimKind::Group,
    }
}

fn failed(error: StoreError) -> DirectoryError {
    DirectoryError::Unavailable(error.to_string())
}

fn unwell(error: IdentityError) -> DirectoryError {
    DirectoryError::Unavailable(error.to_string())
}

fn kept(resource: &ScimResource) -> Result<Kept, DirectoryError> {
    let document: Map<String, Value> = serde_json::from_str(&resource.document)
        .map_err(|error| DirectoryError::Unavailable(format!("a stored resource is damaged: {error}")))?;
    Ok(Kept {
        kind: match resource.kind {
            ScimKind::User => Kind::User,
            ScimKind::Group => Kind::Group,
        },
        id: resource.id.clone(),
        version: resource.version,
        created: resource.created_at,
        modified: resource.changed_at,
        document,
    })
}

fn all_kept(resources: &[ScimResource]) -> Result<Vec<Kept>, DirectoryError> {
    resources.iter().map(kept).collect()
}

fn user_id(id: &str) -> Result<UserId, DirectoryError> {
    UserId::new(id).map_err(|_| DirectoryError::Gone)
}

fn users(members: &[Member]) -> Result<Vec<UserId>, DirectoryError> {
    if members.iter().any(|member| member.kind == Kind::Group) {
        return Err(DirectoryError::Refused("a group cannot be a member of a group here: assign its users".to_owned()));
    }
    members.iter().map(|member| user_id(&member.id)).collect()
}

fn name_of(kind: Kind, document: &Document) -> (&'static str, String) {
    let attribute = match kind {
        Kind::User => "userName",
        Kind::Group => "displayName",
    };
    (attribute, document.get(attribute).and_then(Value::as_str).unwrap_or_default().to_owned())
}

impl TenantDirectory<'_> {
    fn resource(&self, kind: Kind, id: String, document: &Document) -> ScimResource {
        let now = self.identity.now();
        ScimResource {
            id,
            tenant: self.client.tenant.clone(),
            kind: store_kind(kind),
            version: 1,
            name: name_of(kind, document).1,
            external_id: document.get("externalId").and_then(Value::as_str).map(str::to_owned),
            document: Value::Object(document.clone()).to_string(),
            created_at: now,
            changed_at: now,
        }
    }

    async fn record(
        &self,
        kind: EventKind,
        action: &str,
        resource: &ScimResource,
        facts: Value,
    ) -> Result<(), DirectoryError> {
        let mut event = self.identity.event(kind, self.source.clone());
        event.tenant = Some(self.client.tenant.clone());
        if resource.kind == ScimKind::User {
            event.who = UserId::new(&resource.id).ok().map(|user| Who {
                subject: Actor::Human(user),
                on_behalf_of: Vec::new(),
                client: None,
                session: None,
                grant: None,
                token: None,
            });
        }
        let own = json!({ "action": action, "scim_client": self.client.id, "resource": resource.id });
        for facts in [own, facts] {
            if let Value::Object(facts) = facts {
                event.facts.extend(facts);
            }
        }
        self.identity.record(event).await.map_err(unwell)
    }

    /// Somebody who came by signing in before SCIM knew her: the same account from now on, so that SCIM's word
    /// ends what she has.
    async fn known_by_sign_in(&self, new: &ScimResource, person: &Person) -> Result<Option<Person>, StoreError> {
        let (store, tenant) = (self.identity.store(), &self.client.tenant);
        let mut found = None;
        for connection in store.connections(tenant).await? {
            let Ok(settings) = ConnectionSettings::of(&connection) else { continue };
            let Some(scim) = &settings.mapping().scim else { continue };
            let wanted = match scim.attribute {
                ScimAttribute::UserName => Some(new.name.as_str()),
                ScimAttribute::ExternalId => new.external_id.as_deref(),
            };
            let Some(wanted) = wanted else { continue };
            for other in store.people(tenant).await? {
                let same_address = match (&other.email, &person.email) {
                    (Some(theirs), Some(ours)) => theirs.eq_ignore_ascii_case(ours),
                    _ => true,
                };
                if other.origin != PersonOrigin::External || !same_address {
                    continue;
                }
                if store.scim(tenant, ScimKind::User, other.id.as_str()).await?.is_some() {
                    continue;
                }
                let links = store.links(&other.id).await?;
                let matches = links.iter().filter(|link| link.connection == connection.id).any(|link| {
                    let asserted: Value = serde_json::from_str(&link.asserted).unwrap_or_default();
                    let value = asserted[&scim.claim][0].as_str().unwrap_or_default();
                    match scim.attribute {
                        ScimAttribute::UserName => value.to_lowercase() == wanted.to_lowercase(),
                        ScimAttribute::ExternalId => value == wanted,
                    }
                });
                if matches && found.replace(other).is_some() {
                    return Ok(None);
                }
            }
        }
        Ok(found)
    }

    async fn add_user(&self, document: Document) -> Result<Kept, DirectoryError> {
        let id = UserId::mint(self.identity.rng());
        let mut resource = self.resource(Kind::User, id.to_string(), &document);
        let person = person::new(self.client, id, &document, resource.created_at);
        let store = self.identity.store();
        let known = self.known_by_sign_in(&resource, &person).await.map_err(failed)?;
        let taken = |error| match error {
            StoreError::Exists(_) => DirectoryError::Taken { attribute: "userName" },
            other => failed(other),
        };
        match known {
            None => {
                let facts = json!({ "active": is_active(&document) });
                self.record(EventKind::Administered, "scim_user_added", &resource, facts).await?;
                store.add_scim_user(&resource, &person).await.map_err(taken)?;
            }
            Some(known) => {
                resource.id = known.id.to_string();
                let facts = json!({ "active": is_active(&document), "known_by_sign_in": true });
                self.record(EventKind::Administered, "scim_user_added", &resource, facts).await?;
                store.adopt_scim_user(&resource).await.map_err(taken)?;
                // The same document once more as a change: it brings the person along, and ends what she has
                // if she is not active.
                let next = ScimResource { version: 2, ..resource.clone() };
                let person = person::changed(known, &document);
                self.replaced(&next, Some(&person), &Change::default()).await?;
                resource = next;
            }
        }
        kept(&resource)
    }

    /// Replaces, and records what ended with it.
    async fn replaced(
        &self,
        next: &ScimResource,
        person: Option<&Person>,
        members: &Change,
    ) -> Result<(), DirectoryError> {
        let changed = self.identity.store().replace_scim(next, person, members).await;
        self.changed(changed, next).await?;
        match person {
            // Also where she was inactive before: what a crash left undone the first time is done now.
            Some(person) if person.disabled => {
                self.identity.settle_agents_of(&person.id, Some(&self.source)).await.map_err(unwell)
            }
            _ => Ok(()),
        }
    }

    async fn changed(
        &self,
        changed: Result<ScimChange, StoreError>,
        resource: &ScimResource,
    ) -> Result<(), DirectoryError> {
        let kind = if resource.kind == ScimKind::User { Kind::User } else { Kind::Group };
        let attribute = name_of(kind, &Document::new()).0;
        match changed {
            Ok(ScimChange::Done { revoked: None }) => Ok(()),
            Ok(ScimChange::Done { revoked: Some(revoked) }) => {
                let facts = json!({ "epoch": revoked.epoch, "subject": revoked.subject });
                self.record(EventKind::Revoked, "scim_user_ended", resource, facts).await
            }
            Ok(ScimChange::Stale) => Err(DirectoryError::Conflict),
            Ok(ScimChange::Missing) => Err(DirectoryError::Gone),
            Err(StoreError::Exists(_)) => Err(DirectoryError::Taken { attribute }),
            Err(error) => Err(failed(error)),
        }
    }
}

#[async_trait]
impl Directory for TenantDirectory<'_> {
    async fn get(&self, kind: Kind, id: &str) -> Result<Option<Kept>, DirectoryError> {
        let found = self.identity.store().scim(&self.client.tenant, store_kind(kind), id).await.map_err(failed)?;
        found.as_ref().map(kept).transpose()
    }

    async fn add(&self, kind: Kind, document: Document, members: Vec<Member>) -> Result<Kept, DirectoryError> {
        if kind == Kind::User {
            return self.add_user(document).await;
        }
        let members = users(&members)?;
        let resource = self.resource(kind, UserId::mint(self.identity.rng()).to_string(), &document);
        let facts = json!({ "name": crate::audit::told(&resource.name), "members": members.len() });
        self.record(EventKind::Administered, "scim_group_added", &resource, facts).await?;
        let added = self.identity.store().add_scim_group(&resource, &members).await;
        added.map_err(|error| match error {
            StoreError::Exists(_) => DirectoryError::Taken { attribute: "displayName" },
            other => failed(other),
        })?;
        kept(&resource)
    }

    async fn replace(&self, before: &Kept, document: Document, members: MemberChange) -> Result<Kept, DirectoryError> {
        let mut next = self.resource(before.kind, before.id.clone(), &document);
        next.version = before.version + 1;
        next.created_at = before.created;
        let members = Change {
            add: users(&members.add)?,
            remove: members.remove.iter().map(|id| user_id(id)).collect::<Result<_, _>>()?,
        };
        if before.kind == Kind::Group {
            let facts = json!({ "joined": members.add, "left": members.remove });
            self.record(EventKind::Administered, "scim_group_changed", &next, facts).await?;
            self.replaced(&next, None, &members).await?;
            return kept(&next);
        }
        let known = self.identity.store().person(&user_id(&before.id)?).await.map_err(failed)?;
        let person = person::changed(known.ok_or(DirectoryError::Gone)?, &document);
        if !person.disabled {
            let facts = json!({ "active": true });
            self.record(EventKind::Administered, "scim_user_changed", &next, facts).await?;
        }
        self.replaced(&next, Some(&person), &Change::default()).await?;
        kept(&next)
    }

    async fn remove(&self, before: &Kept) -> Result<(), DirectoryError> {
        let (store, now) = (self.identity.store(), self.identity.now());
        let (tenant, kind) = (&self.client.tenant, store_kind(before.kind));
        let gone = self.resource(before.kind, before.id.clone(), &before.document);
        if kind == ScimKind::Group {
            self.record(EventKind::Administered, "scim_group_removed", &gone, json!({})).await?;
        }
        let agents = match kind {
            ScimKind::User => store.agents_of(&user_id(&before.id)?).await.map_err(failed)?,
            ScimKind::Group => Vec::new(),
        };
        let removed = store.remove_scim(tenant, kind, &before.id, Some(before.version), now).await;
        self.changed(removed, &gone).await?;
        match kind {
            ScimKind::User => {
                let owner = user_id(&before.id)?;
                self.identity.settle_agents(&owner, agents, Some(&self.source)).await.map_err(unwell)
            }
            ScimKind::Group => Ok(()),
        }
    }

    async fn find(&self, kind: Kind, key: Key<'_>, limit: usize) -> Result<Vec<Kept>, DirectoryError> {
        let (store, tenant, kind) = (self.identity.store(), &self.client.tenant, store_kind(kind));
        let mut found = match key {
            Key::UserName(name) | Key::DisplayName(name) => {
                store.scim_by_name(tenant, kind, name).await.map(|found| found.into_iter().collect())
            }
            Key::ExternalId(id) => store.scim_by_external_id(tenant, kind, id).await,
        }
        .map_err(failed)?;
        found.truncate(limit);
        all_kept(&found)
    }

    async fn count(&self, kind: Kind) -> Result<u64, DirectoryError> {
        self.identity.store().scim_count(&self.client.tenant, store_kind(kind)).await.map_err(failed)
    }

    async fn list(
        &self,
        kind: Kind,
        after: Option<&str>,
        skip: u64,
        limit: usize,
    ) -> Result<Vec<Kept>, DirectoryError> {
        let (tenant, kind) = (&self.client.tenant, store_kind(kind));
        let found = self.identity.store().scim_list(tenant, kind, after, skip, limit).await.map_err(failed)?;
        all_kept(&found)
    }

    async fn members(&self, group: &str, after: Option<&str>, limit: usize) -> Result<Vec<Member>, DirectoryError> {
        let all = self.identity.store().scim_members(&self.client.tenant, group).await.map_err(failed)?;
        let after = |user: &&UserId| after.is_none_or(|after| user.as_str() > after);
        Ok(all.iter().filter(after).take(limit).map(member).collect())
    }

    async fn held(&self, group: &str, ids: &[&str]) -> Result<Vec<Member>, DirectoryError> {
        let all = self.identity.store().scim_members(&self.client.tenant, group).await.map_err(failed)?;
        Ok(all.iter().filter(|user| ids.contains(&user.as_str())).map(member).collect())
    }

    async fn memberships(&self, members: &[&str]) -> Result<Vec<Membership>, DirectoryError> {
        let mut found = Vec::new();
        for id in members {
            let groups = self.identity.store().scim_groups_of(&self.client.tenant, &user_id(id)?).await;
            let membership = |(group, display)| Membership { member: (*id).to_owned(), group, display };
            found.extend(groups.map_err(failed)?.into_iter().map(membership));
        }
        Ok(found)
    }

    async fn existing(&self, ids: &[&str]) -> Result<Vec<Member>, DirectoryError> {
        let mut found = Vec::new();
        for id in ids {
            for kind in Kind::ALL {
                if self.get(kind, id).await?.is_some() {
                    found.push(Member { id: (*id).to_owned(), kind });
                }
            }
        }
        Ok(found)
    }
}

fn member(user: &UserId) -> Member {
    Member { id: user.to_string(), kind: Kind::User }
}

/// Revokes a person who has two accounts: one that came by signing in, and the one that SCIM brought.
pub(crate) async fn end_twin(identity: &Identity, twin: &Person) -> Result<(), IdentityError> {
    identity.store().set_disabled(&twin.id, true).await?;
    identity.store().revoke(&RevocationSubject::User(twin.id.clone()), identity.now()).await?;
    identity.settle_agents_of(&twin.id, None).await
}
