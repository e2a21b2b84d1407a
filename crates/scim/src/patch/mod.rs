//! PATCH (RFC 7644 §3.5.2): the message, and how its operations are dealt out.
//!
//! The dialects of real clients are read here and in [`apply`]: operations in capitals, paths as keys of a
//! value without a path (Entra ID, Okta), members removed by a list of values (Entra ID). Operations are
//! applied to copies in order; nothing is kept unless all of them succeed.

mod apply;
mod members;

use serde_json::{Map, Value};

use crate::{
    directory::{Document, Kind},
    fault::{Fault, shown},
    filter::PatchPath,
    json, normalise,
    path::{Target, resolve},
    schema::Mutability,
};

pub(crate) use members::{Edits, ids as member_ids};

/// Most operations in one PATCH.
pub const MAX_OPERATIONS: usize = 500;

const MESSAGE: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Add,
    Replace,
    Remove,
}

/// One operation as read.
#[derive(Debug)]
pub(crate) struct Operation {
    op: Op,
    path: Option<PatchPath>,
    value: Option<Value>,
}

/// Reads the message.
pub(crate) fn operations(body: &Map<String, Value>) -> Result<Vec<Operation>, Fault> {
    let syntax = |what: &str| Fault::InvalidSyntax(what.to_owned());
    if let Some(schemas) = json::member(body, "schemas") {
        let named = schemas.as_array().is_some_and(|list| {
            list.iter().any(|urn| urn.as_str().is_some_and(|urn| urn.eq_ignore_ascii_case(MESSAGE)))
        });
        if !named {
            return Err(syntax("`schemas` does not name urn:ietf:params:scim:api:messages:2.0:PatchOp"));
        }
    }
    let list = json::member(body, "Operations").and_then(Value::as_array);
    let list =
        list.filter(|list| !list.is_empty()).ok_or_else(|| syntax("`Operations` is not a list of operations"))?;
    if list.len() > MAX_OPERATIONS {
        return Err(syntax("there are more than 500 operations; send several requests"));
    }
    list.iter().map(operation).collect()
}

fn operation(value: &Value) -> Result<Operation, Fault> {
    let object = value.as_object().ok_or_else(|| Fault::InvalidSyntax("an operation is not an object".into()))?;
    let op = json::member(object, "op").and_then(Value::as_str).unwrap_or_default();
    // Entra ID writes `Add`, `Replace`, `Remove`.
    let op = match op.to_ascii_lowercase().as_str() {
        "add" => Op::Add,
        "replace" => Op::Replace,
        "remove" => Op::Remove,
        _ => return Err(Fault::InvalidSyntax(format!("`{}` is none of add, replace, remove", shown(op)))),
    };
    let path = match json::member(object, "path") {
        None | Some(Value::Null) => None,
        Some(Value::String(path)) => Some(PatchPath::parse(path)?),
        Some(_) => return Err(Fault::InvalidPath("`path` is no text".into())),
    };
    let value = json::member(object, "value").cloned();
    if op == Op::Remove && path.is_none() {
        return Err(Fault::NoTarget("`remove` needs a `path`".into()));
    }
    if op != Op::Remove && value.is_none() {
        return Err(Fault::InvalidValue("`add` and `replace` need a `value`".into()));
    }
    Ok(Operation { op, path, value })
}

/// Whether some operation can only be understood with the group's present members at hand.
pub(crate) fn needs_members(operations: &[Operation]) -> bool {
    operations.iter().any(|operation| match &operation.path {
        Some(path) => {
            path.attribute.name.eq_ignore_ascii_case("members")
                && match &path.filter {
                    Some(filter) => members::ids(filter).is_none(),
                    None => operation.op == Op::Replace || (operation.op == Op::Remove && operation.value.is_none()),
                }
        }
        None => {
            let keys = operation.value.as_ref().and_then(Value::as_object).into_iter().flat_map(Map::keys);
            operation.op == Op::Replace && keys.into_iter().any(|key| key.to_ascii_lowercase().contains("members"))
        }
    })
}

/// Applies the operations; the result is checked as a whole.
pub(crate) fn apply(
    kind: Kind,
    document: &Document,
    operations: &[Operation],
    edits: &mut Edits,
) -> Result<Document, Fault> {
    let mut draft = Draft { kind, document: document.clone(), edits };
    for operation in operations {
        match &operation.path {
            Some(path) => draft.targeted(operation.op, path, operation.value.as_ref())?,
            None => draft.pathless(operation.op, operation.value.as_ref())?,
        }
    }
    let mut document = draft.document;
    document
        .retain(|key, value| !crate::path::is_urn(key) || value.as_object().is_none_or(|inside| !inside.is_empty()));
    normalise::check(kind, &document)?;
    Ok(document)
}

struct Draft<'a> {
    kind: Kind,
    document: Document,
    edits: &'a mut Edits,
}

impl Draft<'_> {
    /// A value without a path: its keys say what. Keys may be paths (Entra ID: `name.givenName`), and
    /// what the service sets itself is passed over (Okta sends a group's `id` along).
    fn pathless(&mut self, op: Op, value: Option<&Value>) -> Result<(), Fault> {
        let Some(Value::Object(attributes)) = value else {
            return Err(Fault::InvalidValue("without a `path` the `value` is an object of attributes".into()));
        };
        for (key, value) in attributes {
            let path = PatchPath::parse(key)?;
            match resolve(self.kind, &path.attribute, Some(&self.document)) {
                None => {}
                Some(Target::Attribute(place)) if is_read_only(&place.attribute) => {}
                Some(target) => self.change(op, &path, target, Some(value))?,
            }
        }
        Ok(())
    }

    fn targeted(&mut self, op: Op, path: &PatchPath, value: Option<&Value>) -> Result<(), Fault> {
        let Some(target) = resolve(self.kind, &path.attribute, Some(&self.document)) else {
            return Err(Fault::InvalidPath(format!("there is no attribute `{}`", shown(&path.to_string()))));
        };
        if let Target::Attribute(place) = &target
            && is_read_only(&place.attribute)
        {
            return Err(Fault::Mutability(format!("`{}` is read-only", place.attribute.name)));
        }
        self.change(op, path, target, value)
    }

    fn change(&mut self, op: Op, path: &PatchPath, target: Target, value: Option<&Value>) -> Result<(), Fault> {
        match target {
            Target::Resource if op == Op::Remove => Err(Fault::NoTarget("delete the resource instead".into())),
            Target::Resource => self.pathless(op, value),
            Target::Extension(urn) => self.extension(op, &urn, value),
            Target::Attribute(place) => {
                if self.kind == Kind::Group && place.container.is_none() && place.attribute.name == "members" {
                    return self.edits.apply(op, path, value);
                }
                let is_new = place.container.as_ref().is_some_and(|urn| !self.document.contains_key(urn));
                // A whole unknown extension, not yet there: its last part looked like an attribute.
                let bare = place.attribute.schema.is_none() && place.sub.is_none() && path.filter.is_none();
                if is_new && bare && value.is_some_and(Value::is_object) {
                    return self.extension(op, &path.attribute.to_string(), value);
                }
                self.attribute(op, path, &place, value)
            }
        }
    }

    fn extension(&mut self, op: Op, urn: &str, value: Option<&Value>) -> Result<(), Fault> {
        let attributes = match (op, value) {
            (Op::Remove, _) | (Op::Replace, Some(Value::Null)) => {
                self.document.shift_remove(urn);
                return Ok(());
            }
            (_, Some(Value::Object(attributes))) => attributes,
            _ => return Err(Fault::InvalidValue(format!("`{}` is an object of attributes", shown(urn)))),
        };
        for (key, value) in attributes {
            let mut path = PatchPath::parse(key)?;
            path.attribute.uri = Some(urn.to_owned());
            match resolve(self.kind, &path.attribute, Some(&self.document)) {
                Some(Target::Attribute(place)) if !is_read_only(&place.attribute) => {
                    self.attribute(op, &path, &place, Some(value))?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn is_read_only(named: &crate::path::Named) -> bool {
    named.schema.is_some_and(|attribute| attribute.mutability == Mutability::ReadOnly)
}
