//! A directory in memory, for tests and the example: several tenants over one store, as in a deployment.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use sallyport_model::Timestamp;
use sallyport_scim::{
    Directory, DirectoryError, Document, Kept, Key, Kind, Member, MemberChange, Membership, fold, is_active,
};

#[derive(Debug, Default)]
pub(crate) struct Store {
    resources: BTreeMap<(String, Kind, String), Kept>,
    /// Group, member.
    memberships: BTreeMap<(String, String), Kind>,
    minted: u64,
    ticks: u64,
    /// How many of the next replacements and removals find somebody else's change.
    pub(crate) conflicts: usize,
    /// Whether everything fails.
    pub(crate) down: bool,
    /// What a product would act on: `deactivated ID`, `removed ID`.
    pub(crate) acts: Vec<String>,
    /// Calls by method, to see what a request cost.
    pub(crate) calls: BTreeMap<&'static str, usize>,
}

#[derive(Debug, Clone)]
pub(crate) struct Memory {
    tenant: String,
    store: Arc<Mutex<Store>>,
}

impl Memory {
    pub(crate) fn new(tenant: &str) -> Self {
        Self { tenant: tenant.to_owned(), store: Arc::default() }
    }

    /// Another tenant of the same deployment.
    pub(crate) fn tenant(&self, tenant: &str) -> Self {
        Self { tenant: tenant.to_owned(), store: self.store.clone() }
    }

    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap()
    }

    fn open(&self, call: &'static str) -> Result<MutexGuard<'_, Store>, DirectoryError> {
        let mut store = self.store();
        *store.calls.entry(call).or_default() += 1;
        if store.down { Err(DirectoryError::Unavailable("the store is down".into())) } else { Ok(store) }
    }

    fn key(&self, kind: Kind, id: &str) -> (String, Kind, String) {
        (self.tenant.clone(), kind, id.to_owned())
    }

    fn taken(&self, store: &Store, kind: Kind, document: &Document, own: Option<&str>) -> Result<(), DirectoryError> {
        let attribute = unique(kind);
        let value = |document: &Document| document.get(attribute).and_then(|v| v.as_str()).map(fold);
        let clash = store.resources.iter().any(|((tenant, k, id), kept)| {
            *tenant == self.tenant && *k == kind && Some(id.as_str()) != own && value(&kept.document) == value(document)
        });
        if clash { Err(DirectoryError::Taken { attribute }) } else { Ok(()) }
    }
}

fn unique(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "userName",
        Kind::Group => "displayName",
    }
}

impl Store {
    fn tick(&mut self) -> Timestamp {
        self.ticks += 1;
        Timestamp::from_millis(1_700_000_000_000 + self.ticks)
    }

    fn of<'a>(&'a self, tenant: &'a str, kind: Kind) -> impl Iterator<Item = &'a Kept> {
        self.resources.iter().filter(move |((t, k, _), _)| t == tenant && *k == kind).map(|(_, kept)| kept)
    }
}

#[async_trait]
impl Directory for Memory {
    async fn get(&self, kind: Kind, id: &str) -> Result<Option<Kept>, DirectoryError> {
        Ok(self.open("get")?.resources.get(&self.key(kind, id)).cloned())
    }

    async fn add(&self, kind: Kind, document: Document, members: Vec<Member>) -> Result<Kept, DirectoryError> {
        let mut store = self.open("add")?;
        self.taken(&store, kind, &document, None)?;
        store.minted += 1;
        // Scattered, so that the order of ids is not the order of creation.
        let id = format!("{:016x}{:016x}", store.minted.wrapping_mul(0x9e37_79b9_7f4a_7c15), store.minted);
        let now = store.tick();
        let kept = Kept { kind, id: id.clone(), version: 1, created: now, modified: now, document };
        store.resources.insert(self.key(kind, &id), kept.clone());
        store.memberships.extend(members.into_iter().map(|member| ((id.clone(), member.id), member.kind)));
        Ok(kept)
    }

    async fn replace(&self, before: &Kept, document: Document, members: MemberChange) -> Result<Kept, DirectoryError> {
        let mut store = self.open("replace")?;
        let key = self.key(before.kind, &before.id);
        if store.conflicts > 0 {
            store.conflicts -= 1;
            store.resources.get_mut(&key).ok_or(DirectoryError::Gone)?.version += 1;
        }
        let kept = store.resources.get(&key).ok_or(DirectoryError::Gone)?;
        if kept.version != before.version {
            return Err(DirectoryError::Conflict);
        }
        self.taken(&store, before.kind, &document, Some(&before.id))?;
        if before.is_active() && !is_active(&document) {
            store.acts.push(format!("deactivated {}", before.id));
        }
        let after = Kept { version: before.version + 1, modified: store.tick(), document, ..before.clone() };
        store.resources.insert(key, after.clone());
        for member in members.add {
            store.memberships.insert((before.id.clone(), member.id), member.kind);
        }
        for id in members.remove {
            store.memberships.remove(&(before.id.clone(), id));
        }
        Ok(after)
    }

    async fn remove(&self, before: &Kept) -> Result<(), DirectoryError> {
        let mut store = self.open("remove")?;
        let key = self.key(before.kind, &before.id);
        if store.resources.get(&key).ok_or(DirectoryError::Gone)?.version != before.version {
            return Err(DirectoryError::Conflict);
        }
        store.resources.remove(&key);
        store.memberships.retain(|(group, member), _| *group != before.id && *member != before.id);
        store.acts.push(format!("removed {}", before.id));
        Ok(())
    }

    async fn find(&self, kind: Kind, key: Key<'_>, limit: usize) -> Result<Vec<Kept>, DirectoryError> {
        let store = self.open("find")?;
        let fits = |kept: &&Kept| match key {
            Key::UserName(name) => kept.text("userName").map(fold).as_deref() == Some(name),
            Key::DisplayName(name) => kept.text("displayName").map(fold).as_deref() == Some(name),
            Key::ExternalId(id) => kept.text("externalId") == Some(id),
        };
        Ok(store.of(&self.tenant, kind).filter(fits).take(limit).cloned().collect())
    }

    async fn count(&self, kind: Kind) -> Result<u64, DirectoryError> {
        Ok(self.open("count")?.of(&self.tenant, kind).count() as u64)
    }

    async fn list(
        &self,
        kind: Kind,
        after: Option<&str>,
        skip: u64,
        limit: usize,
    ) -> Result<Vec<Kept>, DirectoryError> {
        let store = self.open("list")?;
        let from = store.of(&self.tenant, kind).filter(|kept| after.is_none_or(|after| kept.id.as_str() > after));
        Ok(from.skip(usize::try_from(skip).unwrap()).take(limit).cloned().collect())
    }

    async fn members(&self, group: &str, after: Option<&str>, limit: usize) -> Result<Vec<Member>, DirectoryError> {
        let store = self.open("members")?;
        let all = store.memberships.iter().filter(|((g, m), _)| g == group && after.is_none_or(|a| m.as_str() > a));
        Ok(all.map(|((_, id), kind)| Member { id: id.clone(), kind: *kind }).take(limit).collect())
    }

    async fn held(&self, group: &str, ids: &[&str]) -> Result<Vec<Member>, DirectoryError> {
        assert!(ids.len() <= 500, "as promised");
        let store = self.open("held")?;
        let held = |id: &&&str| store.memberships.get(&(group.to_owned(), (**id).to_owned())).copied();
        Ok(ids.iter().filter_map(|id| held(&id).map(|kind| Member { id: (*id).to_owned(), kind })).collect())
    }

    async fn memberships(&self, members: &[&str]) -> Result<Vec<Membership>, DirectoryError> {
        assert!(members.len() <= 500, "as promised");
        let store = self.open("memberships")?;
        let wanted: BTreeSet<&str> = members.iter().copied().collect();
        let mut found = Vec::new();
        for ((group, member), _) in store.memberships.iter().filter(|((_, member), _)| wanted.contains(member.as_str()))
        {
            if let Some(kept) = store.resources.get(&self.key(Kind::Group, group)) {
                let display = kept.text("displayName").unwrap_or_default().to_owned();
                found.push(Membership { member: member.clone(), group: group.clone(), display });
            }
        }
        Ok(found)
    }

    async fn existing(&self, ids: &[&str]) -> Result<Vec<Member>, DirectoryError> {
        assert!(ids.len() <= 500, "as promised");
        let store = self.open("existing")?;
        let kinds = |id: &str| Kind::ALL.into_iter().find(|kind| store.resources.contains_key(&self.key(*kind, id)));
        Ok(ids.iter().filter_map(|id| kinds(id).map(|kind| Member { id: (*id).to_owned(), kind })).collect())
    }
}
