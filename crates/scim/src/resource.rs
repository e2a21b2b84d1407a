//! One resource: read, create, replace, modify, delete (RFC 7644 §3.3 to §3.6).
//!
//! A change is worked out on what was read and kept only if that is still the latest; where the client set
//! no precondition, a change in between is read again and the same request applied to it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::{
    directory::{Directory, DirectoryError, Document, Kept, Kind, Member, MemberChange},
    etag::{self, Preconditions},
    fault::{Fault, shown},
    normalise,
    patch::{self, Edits, Operation},
    request::Response,
    service::Service,
    view::{self, CHUNK, Selection},
};

/// Attempts when others change the same resource.
const ATTEMPTS: usize = 5;

/// Longest id worth asking for.
const MAX_ID: usize = 128;

/// What one request works with.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) service: &'a Service,
    pub(crate) directory: &'a dyn Directory,
}

/// What to make of a resource.
#[derive(Debug)]
pub(crate) enum Change {
    Replace(normalise::Written),
    Modify(Vec<Operation>),
}

impl Context<'_> {
    pub(crate) async fn load(&self, kind: Kind, id: &str) -> Result<Kept, Fault> {
        let kept = if id.is_empty() || id.len() > MAX_ID || id.contains('\0') {
            None
        } else {
            self.directory.get(kind, id).await?
        };
        kept.ok_or_else(|| Fault::NotFound(format!("Resource {} not found", shown(id))))
    }

    pub(crate) async fn read(
        &self,
        kind: Kind,
        id: &str,
        conditions: &Preconditions,
        selection: &Selection,
    ) -> Result<Response, Fault> {
        let kept = self.load(kind, id).await?;
        if conditions.unchanged(&kept) {
            return Ok(Response { status: 304, etag: Some(etag::of(&kept)), ..Response::default() });
        }
        self.answer(200, &kept, Some(selection)).await
    }

    /// A response about one resource, with its body if there is a selection.
    async fn answer(&self, status: u16, kept: &Kept, selection: Option<&Selection>) -> Result<Response, Fault> {
        let body = match selection {
            Some(selection) => {
                view::render(self.service, self.directory, std::slice::from_ref(kept), selection).await?.pop()
            }
            None => None,
        };
        Ok(Response {
            status,
            body,
            etag: Some(etag::of(kept)),
            location: Some(view::location(self.service, kept.kind, &kept.id)),
            ..Response::default()
        })
    }

    pub(crate) async fn create(
        &self,
        kind: Kind,
        body: &Map<String, Value>,
        selection: &Selection,
    ) -> Result<Response, Fault> {
        let written = normalise::resource(kind, body)?;
        let mut document = written.document;
        if kind == Kind::User {
            // A client that creates somebody and says nothing of it wants her to have access.
            document.entry("active").or_insert(Value::Bool(true));
        }
        let wanted: BTreeSet<String> = written.members.unwrap_or_default().into_iter().collect();
        let members = self.existing(wanted).await?;
        let kept = self.directory.add(kind, document, members).await?;
        self.answer(201, &kept, Some(selection)).await
    }

    pub(crate) async fn change(
        &self,
        kind: Kind,
        id: &str,
        change: &Change,
        conditions: &Preconditions,
        selection: &Selection,
    ) -> Result<Response, Fault> {
        for _ in 0..ATTEMPTS {
            let before = self.load(kind, id).await?;
            conditions.check(&before)?;
            let (document, members) = self.work_out(&before, change).await?;
            // §3.5.2.1: what changes nothing does not touch the resource.
            let after = if document == before.document && members.is_empty() {
                before
            } else {
                match self.directory.replace(&before, document, members).await {
                    Err(DirectoryError::Conflict) => continue,
                    after => after?,
                }
            };
            // Entra ID expects 204 after a group's PATCH; `attributes` asks for the resource (§3.5.2).
            let quiet = kind == Kind::Group && matches!(change, Change::Modify(_)) && !selection.is_given();
            return self.answer(if quiet { 204 } else { 200 }, &after, (!quiet).then_some(selection)).await;
        }
        Err(Fault::Conflict("others keep changing this resource; try again".into()))
    }

    async fn work_out(&self, before: &Kept, change: &Change) -> Result<(Document, MemberChange), Fault> {
        let is_group = before.kind == Kind::Group;
        let reads_members = is_group
            && match change {
                Change::Replace(_) => true,
                Change::Modify(operations) => patch::needs_members(operations),
            };
        let mut edits = Edits::default();
        if reads_members {
            let members = view::all_members(self.directory, &before.id, self.service.limits.members).await?;
            edits = Edits::with_present(members.into_iter().map(|member| (member.id, member.kind)).collect());
        }
        let document = match change {
            Change::Replace(written) => {
                let mut document = written.document.clone();
                // Neither access nor its loss comes from saying nothing.
                if let (false, Some(active)) = (document.contains_key("active"), before.document.get("active")) {
                    document.insert("active".into(), active.clone());
                }
                if is_group {
                    edits.set(written.members.clone().unwrap_or_default())?;
                }
                document
            }
            Change::Modify(operations) => patch::apply(before.kind, &before.document, operations, &mut edits)?,
        };
        let members =
            if is_group { self.settle(&before.id, edits, reads_members).await? } else { MemberChange::default() };
        Ok((document, members))
    }

    /// Leaves out of the edits what is so already, and looks at whoever is to be added.
    async fn settle(&self, group: &str, edits: Edits, read_before: bool) -> Result<MemberChange, Fault> {
        let Edits { mut add, mut remove, .. } = edits;
        if add.contains(group) {
            return Err(Fault::InvalidValue("a group cannot be a member of itself".into()));
        }
        if !read_before {
            let asked: Vec<&str> = add.iter().chain(&remove).map(String::as_str).collect();
            let mut held = BTreeSet::new();
            for ids in asked.chunks(CHUNK) {
                held.extend(self.directory.held(group, ids).await?.into_iter().map(|member| member.id));
            }
            add.retain(|id| !held.contains(id));
            remove.retain(|id| held.contains(id));
        }
        Ok(MemberChange { add: self.existing(add).await?, remove: remove.into_iter().collect() })
    }

    /// The members with these ids. An id that is not this tenant's is a fault, whoever else has it.
    async fn existing(&self, ids: BTreeSet<String>) -> Result<Vec<Member>, Fault> {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let mut found = BTreeMap::new();
        for ids in ids.chunks(CHUNK) {
            found.extend(self.directory.existing(ids).await?.into_iter().map(|member| (member.id.clone(), member)));
        }
        match ids.iter().find(|id| !found.contains_key(**id)) {
            Some(id) => Err(Fault::InvalidValue(format!("`members` names {}, which is no resource here", shown(id)))),
            None => Ok(found.into_values().collect()),
        }
    }

    pub(crate) async fn delete(&self, kind: Kind, id: &str, conditions: &Preconditions) -> Result<Response, Fault> {
        for _ in 0..ATTEMPTS {
            let before = self.load(kind, id).await?;
            conditions.check(&before)?;
            match self.directory.remove(&before).await {
                Err(DirectoryError::Conflict) => {}
                Err(error) => return Err(error.into()),
                Ok(()) => return Ok(Response { status: 204, ..Response::default() }),
            }
        }
        Err(Fault::Conflict("others keep changing this resource; try again".into()))
    }
}
