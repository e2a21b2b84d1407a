//! One operation on one attribute of a document.
//!
//! An attribute's present value goes in, its new value comes out; none means unassigned. Two departures
//! from the letter of §3.5.2.3, both for clients that exist: `attr[filter].sub` creates the value that the
//! filter describes when there is none (Entra ID adds e-mail addresses so), and removing what is not there
//! succeeds.

use serde_json::{Map, Value};

use super::{Draft, Op};
use crate::{
    fault::{Fault, shown},
    filter::{Compiled, Filter, Operator, PatchPath, Scope, Subject},
    normalise::{self, is_primary},
    path::{Named, Place},
    schema::{Attribute, Mutability, Type},
};

impl Draft<'_> {
    /// Reads, changes and puts back the attribute at `place`.
    pub(super) fn attribute(
        &mut self,
        op: Op,
        path: &PatchPath,
        place: &Place,
        value: Option<&Value>,
    ) -> Result<(), Fault> {
        let container = match &place.container {
            Some(urn) => self.document.get(urn).and_then(Value::as_object),
            None => Some(&self.document),
        };
        let present = container.and_then(|container| container.get(&place.attribute.name));
        let outcome = match place.attribute.schema {
            Some(schema) if schema.mutability == Mutability::WriteOnly => return Ok(()),
            Some(schema) => known(schema, op, path, place.sub.as_ref(), present, value)?,
            None => unknown(op, path, place.sub.as_ref(), present, value)?,
        };
        if outcome.is_none() && place.attribute.schema.is_some_and(|schema| schema.required) {
            return Err(Fault::Mutability(format!("`{}` is required and cannot be removed", place.attribute.name)));
        }
        // At every step and not only at the end: five hundred steps of comparing long lists would cost dearly.
        if outcome.as_ref().and_then(Value::as_array).is_some_and(|items| items.len() > normalise::MAX_ELEMENTS) {
            return Err(normalise::too_many_values(&place.attribute.name));
        }
        let container = match &place.container {
            None => &mut self.document,
            Some(urn) => {
                let entry = self.document.entry(urn.clone()).or_insert_with(|| Value::Object(Map::new()));
                let shape = || Fault::InvalidValue(format!("`{}` is no object", shown(urn)));
                entry.as_object_mut().ok_or_else(shape)?
            }
        };
        match outcome {
            Some(value) => container.insert(place.attribute.name.clone(), value),
            None => container.shift_remove(&place.attribute.name),
        };
        Ok(())
    }
}

fn known(
    schema: &'static Attribute,
    op: Op,
    path: &PatchPath,
    sub: Option<&Named>,
    present: Option<&Value>,
    value: Option<&Value>,
) -> Result<Option<Value>, Fault> {
    if let Some(filter) = &path.filter {
        if !schema.multi_valued || sub.is_some() {
            return Err(Fault::InvalidPath(format!("`{}` has no values to select from", schema.name)));
        }
        return selected(schema, op, filter, path.sub.as_deref(), elements(present), value);
    }
    match sub {
        Some(sub) if schema.multi_valued => every(schema, op, sub, elements(present), value),
        Some(sub) => {
            let mut object = present.and_then(Value::as_object).cloned().unwrap_or_default();
            set_part(&mut object, op, writable(schema, sub.schema)?, value)?;
            Ok((!object.is_empty()).then_some(Value::Object(object)))
        }
        None => whole(schema, op, present, value),
    }
}

/// The attribute itself, without filter and part.
fn whole(
    schema: &'static Attribute,
    op: Op,
    present: Option<&Value>,
    value: Option<&Value>,
) -> Result<Option<Value>, Fault> {
    if op == Op::Remove {
        // Entra ID names what to remove from a list by value.
        return match value.filter(|value| schema.multi_valued && !value.is_null()) {
            Some(value) => without(schema, elements(present), value),
            None => Ok(None),
        };
    }
    let checked = match value {
        Some(value) => normalise::value(schema, value)?,
        None => None,
    };
    let Some(checked) = checked else {
        return Ok(if op == Op::Replace { None } else { present.cloned() });
    };
    match (schema.multi_valued, schema.kind) {
        (true, _) if op == Op::Add => {
            let mut items = elements(present);
            for item in elements(Some(&checked)) {
                add_element(&mut items, item);
            }
            Ok(list(items))
        }
        (false, Type::Complex) => {
            let mut object = present.and_then(Value::as_object).cloned().unwrap_or_default();
            object.extend(checked.as_object().cloned().unwrap_or_default());
            // A part that the value sets to null is unassigned.
            for (key, part) in value.and_then(Value::as_object).into_iter().flatten().filter(|(_, part)| part.is_null())
            {
                if let Some(sub) = schema.sub(key).filter(|_| part.is_null()) {
                    object.shift_remove(sub.name);
                }
            }
            Ok((!object.is_empty()).then_some(Value::Object(object)))
        }
        _ => Ok(Some(checked)),
    }
}

/// Adds a value unless it is there; a new primary value takes the place of the old one (§3.5.2).
fn add_element(items: &mut Vec<Value>, item: Value) {
    if items.contains(&item) {
        return;
    }
    if is_primary(&item) {
        reset_primary(items.iter_mut());
    }
    items.push(item);
}

fn reset_primary<'a>(items: impl Iterator<Item = &'a mut Value>) {
    for item in items.filter(|item| is_primary(item)) {
        if let Some(object) = item.as_object_mut() {
            object.insert("primary".to_owned(), Value::Bool(false));
        }
    }
}

/// The list without the values named: by `value` where they have one, else by all the parts given.
fn without(schema: &'static Attribute, items: Vec<Value>, named: &Value) -> Result<Option<Value>, Fault> {
    let named = elements(normalise::value(schema, named)?.as_ref());
    let same = |item: &Value, name: &Value| match (name.get("value"), name.as_object()) {
        (Some(value), _) => item.get("value") == Some(value),
        (None, Some(parts)) => parts.iter().all(|(key, part)| item.get(key) == Some(part)),
        (None, None) => item == name,
    };
    Ok(list(items.into_iter().filter(|item| !named.iter().any(|name| same(item, name))).collect()))
}

/// `emails.value`: that part of every value; of a new one when there is none.
fn every(
    schema: &'static Attribute,
    op: Op,
    sub: &Named,
    mut items: Vec<Value>,
    value: Option<&Value>,
) -> Result<Option<Value>, Fault> {
    let part = writable(schema, sub.schema)?;
    if items.is_empty() && op != Op::Remove {
        items.push(Value::Object(Map::new()));
    }
    let all: Vec<usize> = (0..items.len()).collect();
    set_parts(&mut items, &all, op, part, value)?;
    Ok(list(items))
}

/// `attr[filter]` and `attr[filter].sub`.
fn selected(
    schema: &'static Attribute,
    op: Op,
    filter: &Filter,
    sub: Option<&str>,
    mut items: Vec<Value>,
    value: Option<&Value>,
) -> Result<Option<Value>, Fault> {
    let compiled = Compiled::new(filter, Scope::Element(schema.sub))?;
    let fits =
        |item: &Value| item.as_object().is_some_and(|element| compiled.matches(Subject { kept: element, made: None }));
    let mut chosen: Vec<usize> = (0..items.len()).filter(|at| fits(&items[*at])).collect();
    let part = match sub {
        Some(sub) => {
            let unknown = || Fault::InvalidPath(format!("`{}` has no part `{}`", schema.name, shown(sub)));
            Some(writable(schema, Some(schema.sub(sub).ok_or_else(unknown)?))?)
        }
        None => None,
    };
    if op == Op::Remove && part.is_none() {
        return Ok(list(items.into_iter().filter(|item| !fits(item)).collect()));
    }
    if chosen.is_empty() && op != Op::Remove {
        let described = described(schema, filter).filter(|_| part.is_some() || op == Op::Add);
        let none =
            || Fault::NoTarget(format!("no value of `{}` matches `{}`", schema.name, shown(&filter.to_string())));
        let fresh = described.ok_or_else(none)?;
        if is_primary(&fresh) {
            reset_primary(items.iter_mut());
        }
        items.push(fresh);
        chosen.push(items.len() - 1);
    }
    match part {
        Some(part) => set_parts(&mut items, &chosen, op, part, value)?,
        None => set_elements(schema, &mut items, &chosen, op, filter, value)?,
    }
    Ok(list(items))
}

/// Replaces the chosen values, or adds to them.
fn set_elements(
    schema: &'static Attribute,
    items: &mut [Value],
    chosen: &[usize],
    op: Op,
    filter: &Filter,
    value: Option<&Value>,
) -> Result<(), Fault> {
    let checked = match value {
        Some(value) => elements(normalise::value(schema, value)?.as_ref()),
        None => Vec::new(),
    };
    let [Value::Object(parts)] = checked.as_slice() else {
        return Err(Fault::InvalidValue(format!("one value for `{}` was expected", schema.name)));
    };
    if parts.get("primary") == Some(&Value::Bool(true)) {
        only_one_primary(items, chosen)?;
    }
    for at in chosen {
        let mut element = match op {
            Op::Add => items[*at].as_object().cloned().unwrap_or_default(),
            // What selected the value stays true of it unless the new value says otherwise.
            _ => described(schema, filter).and_then(|d| d.as_object().cloned()).unwrap_or_default(),
        };
        element.extend(parts.clone());
        items[*at] = Value::Object(element);
    }
    Ok(())
}

fn set_parts(
    items: &mut [Value],
    chosen: &[usize],
    op: Op,
    part: &'static Attribute,
    value: Option<&Value>,
) -> Result<(), Fault> {
    let sets_primary = part.name == "primary"
        && op != Op::Remove
        && value.map(|value| normalise::value(part, value)).transpose()?.flatten() == Some(Value::Bool(true));
    if sets_primary {
        only_one_primary(items, chosen)?;
    }
    for at in chosen {
        let mut object = items[*at].as_object().cloned().unwrap_or_default();
        set_part(&mut object, op, part, value)?;
        items[*at] = Value::Object(object);
    }
    Ok(())
}

fn only_one_primary(items: &mut [Value], chosen: &[usize]) -> Result<(), Fault> {
    if chosen.len() > 1 {
        return Err(Fault::InvalidValue("only one value can be primary, and the path selects several".into()));
    }
    reset_primary(items.iter_mut());
    Ok(())
}

fn set_part(
    object: &mut Map<String, Value>,
    op: Op,
    part: &'static Attribute,
    value: Option<&Value>,
) -> Result<(), Fault> {
    let checked = match value.filter(|_| op != Op::Remove) {
        Some(value) => normalise::value(part, value)?,
        None => None,
    };
    match checked {
        Some(value) => {
            object.insert(part.name.to_owned(), value);
        }
        None if op == Op::Add => {}
        None => {
            object.shift_remove(part.name);
        }
    }
    Ok(())
}

fn writable(of: &Attribute, part: Option<&'static Attribute>) -> Result<&'static Attribute, Fault> {
    match part {
        Some(part) if part.mutability == Mutability::ReadOnly => {
            Err(Fault::Mutability(format!("`{}.{}` is read-only", of.name, part.name)))
        }
        Some(part) => Ok(part),
        None => Err(Fault::InvalidPath(format!("`{}` has no such part", of.name))),
    }
}

/// The value that a filter made of equalities describes: `type eq "work"` gives `{"type": "work"}`.
fn described(schema: &'static Attribute, filter: &Filter) -> Option<Value> {
    let parts = match filter {
        Filter::And(parts) => parts.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut element = Map::new();
    for part in parts {
        let Filter::Compare(path, Operator::Eq, value) = part else { return None };
        let attribute = schema.sub(&path.name)?;
        element.insert(attribute.name.to_owned(), normalise::value(attribute, value).ok().flatten()?);
    }
    Some(Value::Object(element))
}

fn elements(value: Option<&Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(items)) => items.clone(),
        Some(one) => vec![one.clone()],
        None => Vec::new(),
    }
}

/// A list without emptied values; none when nothing is left.
fn list(items: Vec<Value>) -> Option<Value> {
    let items: Vec<Value> = items.into_iter().filter(|i| i.as_object().is_none_or(|o| !o.is_empty())).collect();
    (!items.is_empty()).then_some(Value::Array(items))
}

/// An attribute of an extension without a schema: taken as it is.
fn unknown(
    op: Op,
    path: &PatchPath,
    sub: Option<&Named>,
    present: Option<&Value>,
    value: Option<&Value>,
) -> Result<Option<Value>, Fault> {
    if path.filter.is_some() {
        return Err(Fault::InvalidPath("values of an unknown extension cannot be selected by a filter".into()));
    }
    let checked = value.and_then(normalise::opaque);
    if checked.as_ref().and_then(Value::as_array).is_some_and(|items| items.len() > normalise::MAX_ELEMENTS) {
        return Err(normalise::too_many_values(&path.to_string()));
    }
    if let Some(sub) = sub {
        let mut object = present.and_then(Value::as_object).cloned().unwrap_or_default();
        match checked.filter(|_| op != Op::Remove) {
            Some(value) => object.insert(sub.name.clone(), value),
            None => object.shift_remove(&sub.name),
        };
        return Ok((!object.is_empty()).then_some(Value::Object(object)));
    }
    Ok(match (op, checked, present) {
        (Op::Remove, Some(named), Some(Value::Array(items))) => {
            let named = elements(Some(&named));
            list(items.iter().filter(|item| !named.contains(item)).cloned().collect())
        }
        (Op::Remove, ..) | (Op::Replace, None, _) => None,
        (Op::Add, None, present) => present.cloned(),
        (Op::Add, Some(more), Some(Value::Array(items))) => {
            let mut items = items.clone();
            elements(Some(&more)).into_iter().for_each(|item| add_element(&mut items, item));
            list(items)
        }
        (_, Some(value), _) => Some(value),
    })
}
