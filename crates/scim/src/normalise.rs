//! From what a client wrote to what is kept: canonical names, checked types, nothing that the client may
//! not set.
//!
//! Read-only attributes, `password` and attributes that no schema knows are left out in silence, as
//! RFC 7644 §3.3 has it. What is understood but wrong is a fault: nothing is coerced, with the exceptions
//! that real clients need, each named where it is made.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    directory::{Document, Kind},
    fault::{Fault, shown},
    filter::compare::boolean,
    path::is_urn,
    schema::{Attribute, Mutability, Schema, Type, by_name},
};

/// Most bytes of a document, as JSON.
pub const MAX_DOCUMENT: usize = 64 * 1024;
/// Most values of a multi-valued attribute; a group's members are counted apart.
pub const MAX_ELEMENTS: usize = 200;
/// Most unknown extensions of one resource.
pub const MAX_EXTENSIONS: usize = 5;
/// Longest attribute that resources are found by, in characters.
pub const MAX_KEY: usize = 512;

/// The body of a POST or PUT, read.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) document: Document,
    /// Ids of a Group's members, if the body has the attribute.
    pub(crate) members: Option<Vec<String>>,
}

/// Reads a whole resource.
pub(crate) fn resource(kind: Kind, body: &Map<String, Value>) -> Result<Written, Fault> {
    let declared = schemas(kind, body)?;
    let mut written = Written { document: Document::new(), members: None };
    for (key, value) in body {
        if key.eq_ignore_ascii_case("members") && kind == Kind::Group {
            written.members = Some(members(value)?);
        } else if let Some(extension) = kind.extension(key) {
            let inside = extension_object(extension, value)?;
            put(&mut written.document, extension.id, (!inside.is_empty()).then_some(Value::Object(inside)));
        } else if is_urn(key) {
            if declared.iter().any(|urn| urn.eq_ignore_ascii_case(key)) && !kind.schema().id.eq_ignore_ascii_case(key) {
                put(&mut written.document, key, opaque(value));
            }
        } else if let Some(attribute) = kind.attribute(key).filter(|attribute| settable(attribute)) {
            put(&mut written.document, attribute.name, self::value(attribute, value)?);
        }
    }
    check(kind, &written.document)?;
    Ok(written)
}

fn put(object: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    if let Some(value) = value {
        object.insert(name.to_owned(), value);
    }
}

fn settable(attribute: &Attribute) -> bool {
    matches!(attribute.mutability, Mutability::ReadWrite | Mutability::Immutable)
}

/// The `schemas` of the body. It may be missing (some clients), but not name another type of resource.
fn schemas(kind: Kind, body: &Map<String, Value>) -> Result<Vec<String>, Fault> {
    let Some(value) = crate::json::member(body, "schemas").filter(|value| !value.is_null()) else {
        return Ok(Vec::new());
    };
    let wrong = |what: String| Fault::InvalidSyntax(format!("`schemas` {what}"));
    let list = value.as_array().ok_or_else(|| wrong("is not an array".into()))?;
    let urns: Option<Vec<String>> = list.iter().map(|urn| urn.as_str().map(str::to_owned)).collect();
    let urns = urns.ok_or_else(|| wrong("holds something that is no text".into()))?;
    if !urns.iter().any(|urn| urn.eq_ignore_ascii_case(kind.schema().id)) {
        return Err(wrong(format!("does not name {}", kind.schema().id)));
    }
    Ok(urns)
}

fn extension_object(extension: &Schema, value: &Value) -> Result<Map<String, Value>, Fault> {
    match value {
        Value::Null => Ok(Map::new()),
        Value::Object(object) => parts(extension.id, extension.attributes, object),
        _ => Err(Fault::InvalidValue(format!("`{}` is not an object", extension.id))),
    }
}

fn parts(of: &str, known: &'static [Attribute], object: &Map<String, Value>) -> Result<Map<String, Value>, Fault> {
    let mut out = Map::new();
    for (key, value) in object {
        let Some(attribute) = by_name(known, key).filter(|attribute| settable(attribute)) else { continue };
        let checked = self::value(attribute, value).map_err(|fault| inside(of, fault))?;
        put(&mut out, attribute.name, checked);
    }
    Ok(out)
}

fn inside(of: &str, fault: Fault) -> Fault {
    match fault {
        Fault::InvalidValue(what) => Fault::InvalidValue(format!("in `{of}`: {what}")),
        other => other,
    }
}

/// Checks a value for an attribute; none when it is null or empty (RFC 7643 §2.5: unassigned).
pub(crate) fn value(attribute: &'static Attribute, value: &Value) -> Result<Option<Value>, Fault> {
    if value.is_null() {
        return Ok(None);
    }
    if !attribute.multi_valued {
        return single(attribute, value);
    }
    // One value without its brackets is taken for a list of one.
    let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    if items.len() > MAX_ELEMENTS {
        return Err(too_many_values(attribute.name));
    }
    let items: Vec<Value> =
        items.iter().filter_map(|item| single(attribute, item).transpose()).collect::<Result<_, _>>()?;
    if items.iter().filter(|item| is_primary(item)).count() > 1 {
        return Err(Fault::InvalidValue(format!("`{}` has more than one primary value", attribute.name)));
    }
    Ok((!items.is_empty()).then_some(Value::Array(items)))
}

pub(crate) fn too_many_values(of: &str) -> Fault {
    Fault::InvalidValue(format!("`{}` has more than {MAX_ELEMENTS} values", shown(of)))
}

pub(crate) fn is_primary(item: &Value) -> bool {
    item.get("primary") == Some(&Value::Bool(true))
}

fn single(attribute: &'static Attribute, value: &Value) -> Result<Option<Value>, Fault> {
    let wrong = |what: &str| Err(Fault::InvalidValue(format!("`{}` {what}", attribute.name)));
    match (attribute.kind, value) {
        (_, Value::Null) => Ok(None),
        // Entra ID without its flag: `"displayName": [{"$ref": null, "value": "x"}]`.
        (_, Value::Array(items)) if !attribute.multi_valued => match items.as_slice() {
            [] => Ok(None),
            [Value::Object(one)] if attribute.kind != Type::Complex => match crate::json::member(one, "value") {
                Some(inner) if !inner.is_array() => single(attribute, inner),
                _ => wrong("has one value and was given a list"),
            },
            [one] if !one.is_array() => single(attribute, one),
            _ => wrong("has one value and was given a list"),
        },
        (Type::Boolean, Value::Bool(_)) | (Type::Integer, Value::Number(_)) => Ok(Some(value.clone())),
        // Entra ID without its flag: `"active": "False"`.
        (Type::Boolean, Value::String(text)) => match boolean(text) {
            Some(flag) => Ok(Some(flag.into())),
            None => wrong("is a boolean: true or false"),
        },
        (Type::DateTime, Value::String(text)) => match text.parse::<jiff::Timestamp>() {
            Ok(_) => Ok(Some(value.clone())),
            Err(_) => wrong("is a time as in RFC 3339"),
        },
        (Type::String | Type::Reference | Type::Binary, Value::String(_)) => Ok(Some(value.clone())),
        (Type::String | Type::Reference | Type::Binary, _) => wrong("is text; quote it"),
        (Type::Complex, Value::Object(object)) => {
            let parts = parts(attribute.name, attribute.sub, object)?;
            Ok((!parts.is_empty()).then_some(Value::Object(parts)))
        }
        // Entra ID: `"manager": "26118915-…"`; the empty text takes the manager away.
        (Type::Complex, Value::String(text)) if attribute.sub("value").is_some() => {
            let object = Map::from_iter([("value".to_owned(), Value::String(text.clone()))]);
            Ok((!text.is_empty()).then_some(Value::Object(object)))
        }
        (Type::Complex, _) => wrong("is an object with parts"),
        (Type::Boolean, _) => wrong("is a boolean: true or false"),
        (Type::Integer, _) => wrong("is a whole number"),
        (Type::DateTime, _) => wrong("is a time as in RFC 3339, quoted"),
    }
}

/// A value of an unknown extension: as it is, without what is null or empty.
pub(crate) fn opaque(value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Array(items) => {
            let items: Vec<Value> = items.iter().filter_map(opaque).collect();
            (!items.is_empty()).then_some(Value::Array(items))
        }
        Value::Object(members) => {
            let members: Map<String, Value> =
                members.iter().filter_map(|(key, value)| Some((key.clone(), opaque(value)?))).collect();
            (!members.is_empty()).then_some(Value::Object(members))
        }
        scalar => Some(scalar.clone()),
    }
}

/// The ids in a `members` value: objects with `value`, or bare ids. `type`, `$ref` and `display` follow
/// from the id and are not believed.
pub(crate) fn members(value: &Value) -> Result<Vec<String>, Fault> {
    let items = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    let id = |item: &Value| {
        let id = item.as_object().and_then(|member| crate::json::member(member, "value")).unwrap_or(item).as_str();
        match id.filter(|id| !id.is_empty() && id.len() <= MAX_KEY) {
            Some(id) => Ok(id.to_owned()),
            None => Err(Fault::InvalidValue("each of `members` has a `value`, the text of a resource's id".into())),
        }
    };
    items.iter().map(id).collect()
}

/// What must hold for a document however it came about.
pub(crate) fn check(kind: Kind, document: &Document) -> Result<(), Fault> {
    for attribute in kind.schema().attributes.iter().filter(|attribute| attribute.required) {
        if document.get(attribute.name).and_then(Value::as_str).is_none_or(|text| text.trim().is_empty()) {
            return Err(Fault::InvalidValue(format!("`{}` is required", attribute.name)));
        }
    }
    for name in ["userName", "externalId", "displayName"] {
        let text = document.get(name).and_then(Value::as_str).unwrap_or_default();
        if text.chars().count() > MAX_KEY || text.chars().any(char::is_control) {
            return Err(Fault::InvalidValue(format!(
                "`{name}` is longer than {MAX_KEY} characters or holds a control character"
            )));
        }
    }
    let mut unknown = BTreeMap::new();
    for (key, value) in document.iter().filter(|(key, _)| is_urn(key) && kind.extension(key).is_none()) {
        let shape = value.is_object() && key.len() <= MAX_KEY && !key.chars().any(char::is_control);
        if !shape || unknown.insert(key.to_ascii_lowercase(), ()).is_some() {
            return Err(Fault::InvalidValue(format!("`{}` is no usable extension", shown(key))));
        }
    }
    if unknown.len() > MAX_EXTENSIONS {
        return Err(Fault::InvalidValue(format!("more than {MAX_EXTENSIONS} unknown extensions")));
    }
    let inside = document.values().filter_map(Value::as_object).flat_map(Map::values);
    let lists = document.values().chain(inside).filter_map(Value::as_array);
    if lists.map(Vec::len).any(|length| length > MAX_ELEMENTS) {
        return Err(Fault::InvalidValue(format!("an attribute has more than {MAX_ELEMENTS} values")));
    }
    let size = serde_json::to_vec(document).map_or(usize::MAX, |text| text.len());
    if size > MAX_DOCUMENT {
        return Err(Fault::InvalidValue(format!("the resource has {size} bytes; at most {MAX_DOCUMENT} are kept")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn user(body: &Value) -> Result<Value, Fault> {
        resource(Kind::User, body.as_object().unwrap()).map(|written| Value::Object(written.document))
    }

    #[test]
    fn names_become_canonical_and_the_services_own_are_left_out() {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:acme:1:User"],
            "ID": "mine", "USERNAME": "bj", "Password": "t1meMa$heen", "meta": { "resourceType": "User" },
            "groups": [{ "value": "admins" }], "Name": { "GIVENNAME": "B", "nick": "x" }, "roles": [], "title": null,
            "emails": [{ "VALUE": "a@b", "Primary": "True" }], "unknown": 1,
            "urn:ietf:params:scim:schemas:extension:Enterprise:2.0:User":
                { "manager": { "value": "m", "displayName": "John" }, "salary": 5 },
            "urn:acme:1:User": { "Tag": 7, "none": null, "empty": [] },
            "urn:undeclared:1:User": { "x": 1 },
        });
        assert_eq!(
            user(&body).unwrap(),
            json!({
                "userName": "bj", "name": { "givenName": "B" }, "emails": [{ "value": "a@b", "primary": true }],
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "manager": { "value": "m" } },
                "urn:acme:1:User": { "Tag": 7 },
            })
        );
    }

    #[test]
    fn a_wrong_type_is_refused_and_never_coerced() {
        for (body, keyword) in [
            (json!({}), "invalidValue"),
            (json!({ "userName": "" }), "invalidValue"),
            (json!({ "userName": " \t" }), "invalidValue"),
            (json!({ "userName": "a\nb" }), "invalidValue"),
            (json!({ "userName": "x".repeat(MAX_KEY + 1) }), "invalidValue"),
            (json!({ "userName": 5 }), "invalidValue"),
            (json!({ "userName": "a", "externalId": 5 }), "invalidValue"),
            (json!({ "userName": "a", "externalId": true }), "invalidValue"),
            (json!({ "userName": "a", "externalId": ["x", "y"] }), "invalidValue"),
            (json!({ "userName": "a", "active": "yes" }), "invalidValue"),
            (json!({ "userName": "a", "active": 1 }), "invalidValue"),
            (json!({ "userName": "a", "name": "Barbara" }), "invalidValue"),
            (json!({ "userName": "a", "emails": [{ "value": 5 }] }), "invalidValue"),
            (
                json!({ "userName": "a", "emails": [{ "primary": true, "value": "x" }, { "primary": true }] }),
                "invalidValue",
            ),
            (json!({ "userName": "a", "emails": vec![json!({ "value": "x" }); MAX_ELEMENTS + 1] }), "invalidValue"),
            (json!({ "userName": "a", "title": "x".repeat(MAX_DOCUMENT) }), "invalidValue"),
            (json!({ "userName": "a", "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"] }), "invalidSyntax"),
            (json!({ "userName": "a", "schemas": "x" }), "invalidSyntax"),
        ] {
            assert_eq!(user(&body).map_err(|fault| fault.scim_type()), Err(Some(keyword)), "{body}");
        }
    }

    #[test]
    fn members_are_ids_and_nothing_else_is_believed() {
        let body = json!({ "displayName": "G", "members": [{ "value": "a", "type": "Group", "display": "x" }, "b"] });
        let written = resource(Kind::Group, body.as_object().unwrap()).unwrap();
        assert_eq!(written.members, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(Value::Object(written.document), json!({ "displayName": "G" }));
        for wrong in [json!([{ "value": 5 }]), json!([{}]), json!([5]), json!([""]), json!("")] {
            assert_eq!(members(&wrong).unwrap_err().scim_type(), Some("invalidValue"), "{wrong}");
        }
        assert_eq!(members(&json!([])).unwrap(), [""; 0]);
    }

    #[test]
    fn unknown_extensions_are_few_and_objects() {
        let body = |urns: &[&str], value: &Value| {
            let mut body = json!({ "userName": "a", "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"] });
            for urn in urns {
                body["schemas"].as_array_mut().unwrap().push(json!(urn));
                body[urn] = value.clone();
            }
            user(&body)
        };
        let urns = ["u:1", "u:2", "u:3", "u:4", "u:5", "u:6"];
        assert!(body(&urns[..MAX_EXTENSIONS], &json!({ "a": 1 })).is_ok());
        assert!(body(&urns, &json!({ "a": 1 })).is_err());
        assert!(body(&urns[..1], &json!([1])).is_err());
    }
}
