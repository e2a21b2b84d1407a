//! PATCH operations on a group's `members`, gathered as ids to add and to remove.
//!
//! A group of fifty thousand is not read to add one: only operations that speak of all members at once
//! need the present ones.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::Op;
use crate::{
    directory::Kind,
    fault::Fault,
    filter::{Compiled, Filter, Operator, PatchPath, Scope, Subject},
    normalise,
    schema::Type,
};

/// Most operations of one PATCH that go through all members of a group.
const MAX_WHOLE: usize = 20;

/// What the operations so far come to.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    /// The present members, where they were read.
    present: Option<BTreeMap<String, Kind>>,
    pub(crate) add: BTreeSet<String>,
    pub(crate) remove: BTreeSet<String>,
    /// Operations so far that went through all members.
    whole: usize,
}

impl Edits {
    pub(crate) fn with_present(present: BTreeMap<String, Kind>) -> Self {
        Self { present: Some(present), ..Self::default() }
    }

    fn present(&mut self) -> Result<&BTreeMap<String, Kind>, Fault> {
        self.whole += 1;
        if self.whole > MAX_WHOLE {
            return Err(Fault::TooMany(format!("more than {MAX_WHOLE} operations are about all members; name them")));
        }
        // `super::needs_members` saw to it; refusing is the safe end of a contradiction.
        self.present.as_ref().ok_or_else(|| Fault::Unavailable("the members were not read".into()))
    }

    fn add(&mut self, id: String) {
        self.remove.remove(&id);
        if self.present.as_ref().is_none_or(|present| !present.contains_key(&id)) {
            self.add.insert(id);
        }
    }

    fn remove(&mut self, id: String) {
        self.add.remove(&id);
        if self.present.as_ref().is_none_or(|present| present.contains_key(&id)) {
            self.remove.insert(id);
        }
    }

    /// The membership becomes exactly `ids`.
    pub(crate) fn set(&mut self, ids: Vec<String>) -> Result<(), Fault> {
        self.remove = self.present()?.keys().cloned().collect();
        self.add.clear();
        ids.into_iter().for_each(|id| self.add(id));
        Ok(())
    }

    pub(super) fn apply(&mut self, op: Op, path: &PatchPath, value: Option<&Value>) -> Result<(), Fault> {
        if path.attribute.sub.is_some() || path.sub.is_some() {
            return Err(Fault::Mutability("a member is added or removed, its parts do not change".into()));
        }
        let listed = match value {
            Some(value) => normalise::members(value)?,
            None => Vec::new(),
        };
        match (&path.filter, op) {
            (Some(filter), Op::Remove) => self.selected(filter)?.into_iter().for_each(|id| self.remove(id)),
            (Some(_), Op::Add | Op::Replace) => {
                return Err(Fault::Mutability("a member is added or removed, not replaced by another".into()));
            }
            (None, Op::Add) => listed.into_iter().for_each(|id| self.add(id)),
            (None, Op::Replace) => self.set(listed)?,
            // Entra ID without its flag removes by value; an empty list names nobody.
            (None, Op::Remove) if value.is_some_and(|value| !value.is_null()) => {
                listed.into_iter().for_each(|id| self.remove(id));
            }
            (None, Op::Remove) => {
                // A `null` is no list: read the members or leave them be.
                if value.is_some() {
                    return Err(Fault::InvalidValue("`value` is null: leave it out to remove every member".into()));
                }
                self.set(Vec::new())?;
            }
        }
        Ok(())
    }

    fn selected(&mut self, filter: &Filter) -> Result<Vec<String>, Fault> {
        let sub = Kind::Group.attribute("members").filter(|members| members.kind == Type::Complex).map(|m| m.sub);
        let compiled = Compiled::new(filter, Scope::Element(sub.unwrap_or_default()))?;
        if let Some(ids) = ids(filter) {
            return Ok(ids.into_iter().map(str::to_owned).collect());
        }
        self.present()?;
        let present = self.present.iter().flatten().filter(|(id, _)| !self.remove.contains(*id));
        let element = |id: &str, kind: Option<Kind>| -> Map<String, Value> {
            let value = ("value".to_owned(), json!(id));
            [value].into_iter().chain(kind.map(|kind| ("type".to_owned(), json!(kind.name())))).collect()
        };
        let all = present.map(|(id, kind)| (id, Some(*kind))).chain(self.add.iter().map(|id| (id, None)));
        let fits = |element: &Map<String, Value>| compiled.matches(Subject { kept: element, made: None });
        Ok(all.filter(|(id, kind)| fits(&element(id, *kind))).map(|(id, _)| id.clone()).collect())
    }
}

/// The ids, when the filter is `value eq "…"` or several such joined by `or`.
pub(crate) fn ids(filter: &Filter) -> Option<Vec<&str>> {
    match filter {
        Filter::Or(parts) => Some(parts.iter().map(ids).collect::<Option<Vec<_>>>()?.concat()),
        Filter::Compare(path, Operator::Eq, Value::String(id)) if is_value(path) => Some(vec![id.as_str()]),
        _ => None,
    }
}

fn is_value(path: &crate::filter::AttrPath) -> bool {
    path.uri.is_none() && path.sub.is_none() && path.name.eq_ignore_ascii_case("value")
}
