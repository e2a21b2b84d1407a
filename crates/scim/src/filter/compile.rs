//! A filter made ready for one kind of resource: names resolved and operands checked once, before any
//! resource is looked at. A comparison that can never make sense is a fault here, not a silent "no".

use serde_json::{Map, Value};

use super::{AttrPath, Filter, Operator, compare::Operand};
use crate::{
    directory::Kind,
    fault::{Fault, shown},
    path::{Place, Target, resolve},
    schema::{Attribute, Type, by_name},
};

/// What the attribute paths of a filter are relative to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scope {
    /// A resource. `lenient`: an attribute that this kind lacks has no value, instead of being a fault
    /// (a query of several kinds, RFC 7644 §3.4.2.1).
    Resource { kind: Kind, lenient: bool },
    /// One value of a complex attribute.
    Element(&'static [Attribute]),
}

/// The keys that lead to an attribute; none for one that this kind lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route(Vec<String>);

/// A filter ready to be matched.
#[derive(Debug)]
pub(crate) enum Compiled {
    And(Vec<Compiled>),
    Or(Vec<Compiled>),
    Not(Box<Compiled>),
    Present(Route),
    Compare(Route, Operator, Operand),
    Values(Route, Box<Compiled>),
}

/// What is matched: attributes as kept, and those that are made up for an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) kept: &'a Map<String, Value>,
    /// `id`, `meta`, `schemas`, `groups`, `members`: as far as the filter needs them.
    pub(crate) made: Option<&'a Map<String, Value>>,
}

impl Compiled {
    pub(crate) fn new(filter: &Filter, scope: Scope) -> Result<Self, Fault> {
        let all = |parts: &[Filter]| parts.iter().map(|part| Self::new(part, scope)).collect::<Result<Vec<_>, _>>();
        Ok(match filter {
            Filter::And(parts) => Self::And(all(parts)?),
            Filter::Or(parts) => Self::Or(all(parts)?),
            Filter::Not(inner) => Self::Not(Box::new(Self::new(inner, scope)?)),
            Filter::Present(path) => Self::Present(scope.route(path)?.0),
            Filter::Compare(path, operator, value) => {
                let (mut route, schema) = scope.route(path)?;
                let schema = comparable(path, schema, &mut route)?;
                Self::Compare(route, *operator, Operand::new(path, schema, *operator, value)?)
            }
            Filter::Values(path, inner) => {
                let (route, schema) = scope.route(path)?;
                let sub = match schema {
                    Some(schema) if schema.kind == Type::Complex => schema.sub,
                    None if route.0.is_empty() => return Ok(Self::Present(route)),
                    _ => return Err(no_brackets(path)),
                };
                Self::Values(route, Box::new(Self::new(inner, Scope::Element(sub))?))
            }
        })
    }

    pub(crate) fn matches(&self, subject: Subject<'_>) -> bool {
        match self {
            Self::And(parts) => parts.iter().all(|part| part.matches(subject)),
            Self::Or(parts) => parts.iter().any(|part| part.matches(subject)),
            Self::Not(inner) => !inner.matches(subject),
            Self::Present(route) => route.values(subject).iter().any(|value| !is_empty(value)),
            Self::Compare(route, operator, operand) => operand.matches(*operator, &route.values(subject)),
            Self::Values(route, inner) => route.values(subject).iter().any(|value| {
                value.as_object().is_some_and(|element| inner.matches(Subject { kept: element, made: None }))
            }),
        }
    }
}

impl Scope {
    fn route(self, path: &AttrPath) -> Result<(Route, Option<&'static Attribute>), Fault> {
        match self {
            Self::Element(attributes) => {
                let attribute = by_name(attributes, &path.name).filter(|_| path.uri.is_none() && path.sub.is_none());
                let attribute = attribute.ok_or_else(|| unknown(path))?;
                Ok((Route(vec![attribute.name.to_owned()]), Some(attribute)))
            }
            Self::Resource { kind, lenient } => match resolve(kind, path, None) {
                Some(Target::Attribute(Place { container, attribute, sub })) => {
                    let schema = sub.as_ref().map_or(attribute.schema, |sub| sub.schema);
                    let names = [container, Some(attribute.name), sub.map(|sub| sub.name)];
                    Ok((Route(names.into_iter().flatten().collect()), schema))
                }
                Some(Target::Extension(urn)) => Ok((Route(vec![urn]), None)),
                Some(Target::Resource) => Err(unknown(path)),
                None if lenient => Ok((Route(Vec::new()), None)),
                None => Err(unknown(path)),
            },
        }
    }
}

/// Whether the path names something in that kind of resource.
pub(crate) fn resolvable(kind: Kind, path: &AttrPath) -> bool {
    resolve(kind, path, None).is_some()
}

/// A complex attribute is compared by its `value` (figure 2: `emails co "example.com"`).
fn comparable(
    path: &AttrPath,
    schema: Option<&'static Attribute>,
    route: &mut Route,
) -> Result<Option<&'static Attribute>, Fault> {
    let Some(complex) = schema.filter(|schema| schema.kind == Type::Complex) else { return Ok(schema) };
    let value = complex.sub("value").ok_or_else(|| {
        Fault::InvalidFilter(format!("`{path}` has parts: name one of them, as in `{path}.{}`", complex.sub[0].name))
    })?;
    route.0.push(value.name.to_owned());
    Ok(Some(value))
}

/// The fault of a name that nothing has.
pub(crate) fn unknown(path: &AttrPath) -> Fault {
    Fault::InvalidFilter(format!("there is no attribute `{}` here", shown(&path.to_string())))
}

fn no_brackets(path: &AttrPath) -> Fault {
    Fault::InvalidFilter(format!("`{}` has no parts to select by", shown(&path.to_string())))
}

impl Route {
    /// Every value at the end of the route; arrays count as their elements.
    fn values<'a>(&self, subject: Subject<'a>) -> Vec<&'a Value> {
        let Some((first, rest)) = self.0.split_first() else { return Vec::new() };
        let root = subject.made.and_then(|made| find(made, first)).or_else(|| find(subject.kept, first));
        let mut values: Vec<&Value> = root.into_iter().flat_map(elements).collect();
        for name in rest {
            values = values.into_iter().filter_map(|v| find(v.as_object()?, name)).flat_map(elements).collect();
        }
        values
    }
}

/// What a list is ordered by (RFC 7644 §3.4.2.3).
#[derive(Debug)]
pub(crate) struct SortBy {
    route: Route,
    exact: bool,
}

/// One resource's place in the order. Text is cut to its first 256 characters.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
pub(crate) enum SortKey {
    Boolean(bool),
    Number(f64),
    Text(String),
}

impl SortBy {
    pub(crate) fn new(kind: Kind, path: &AttrPath, lenient: bool) -> Result<Self, Fault> {
        let (mut route, schema) = Scope::Resource { kind, lenient }.route(path)?;
        let schema = comparable(path, schema, &mut route)?;
        Ok(Self { route, exact: schema.is_some_and(|schema| schema.case_exact || schema.kind == Type::DateTime) })
    }

    /// The value of a list is its primary one, or else the first.
    pub(crate) fn key(&self, subject: Subject<'_>) -> Option<SortKey> {
        let (first, rest) = self.route.0.split_first()?;
        let mut value = subject.made.and_then(|made| find(made, first)).or_else(|| find(subject.kept, first))?;
        for name in std::iter::once(None).chain(rest.iter().map(Some)) {
            if let Some(name) = name {
                value = find(value.as_object()?, name)?;
            }
            if let Some(items) = value.as_array() {
                value = items.iter().find(|item| crate::normalise::is_primary(item)).or(items.first())?;
            }
        }
        match value {
            Value::Bool(flag) => Some(SortKey::Boolean(*flag)),
            Value::Number(number) => number.as_f64().map(SortKey::Number),
            Value::String(text) => {
                let text: String = text.chars().take(256).collect();
                Some(SortKey::Text(if self.exact { text } else { crate::directory::fold(&text) }))
            }
            _ => None,
        }
    }
}

/// Attributes of unknown extensions are kept as spelt by the client, so case may differ.
fn find<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

fn elements(value: &Value) -> &[Value] {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice)
}

/// Table 3, `pr`: what has no value, or only an empty one.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn matches(filter: &str, user: &Value) -> Result<bool, Fault> {
        let scope = Scope::Resource { kind: Kind::User, lenient: false };
        let compiled = Compiled::new(&Filter::parse(filter)?, scope)?;
        Ok(compiled.matches(Subject { kept: user.as_object().unwrap(), made: None }))
    }

    fn barbara() -> Value {
        json!({
            "userName": "BJensen", "externalId": "Ab", "title": "Tour Guide", "active": true, "nickName": "",
            "name": { "familyName": "O'Malley" },
            "emails": [
                { "value": "bj@example.com", "type": "work", "primary": true },
                { "value": "babs@jensen.org", "type": "home" },
            ],
            "meta": { "lastModified": "2011-05-13T04:42:34.000Z" },
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "manager": { "value": "26118915" } },
            "urn:acme:2.0:User": { "Cost": 5, "tags": ["x", "y"] },
        })
    }

    #[test]
    fn what_matches() {
        for filter in [
            r#"userName eq "bjensen""#,
            r#"USERNAME sw "BJ""#,
            r#"userName ew "SEN""#,
            r#"name.familyName co "malley""#,
            r#"externalId eq "Ab""#,
            "active eq true",
            r#"active eq "True""#,
            "title pr and not (displayName pr)",
            r#"displayName ne "x""#,
            "displayName eq null",
            "title ne null",
            r#"emails co "example.com""#,
            r#"emails.type eq "home" and emails.primary eq true"#,
            r#"emails[type eq "work" and value co "@example.com"]"#,
            r#"emails[type eq "work"].value eq "BJ@example.com""#,
            r#"not (emails[type eq "home" and primary eq true])"#,
            r#"meta.lastModified gt "2011-05-13T04:42:33Z""#,
            r#"meta.lastModified le "2011-05-13T06:42:34+02:00""#,
            r#"title gt "Tour" and title lt "tour h""#,
            r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager eq "26118915""#,
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User pr",
            "urn:acme:2.0:User:cost eq 5",
            "urn:acme:2.0:User:COST gt 4.5",
            r#"urn:acme:2.0:User:tags eq "Y""#,
        ] {
            assert_eq!(matches(filter, &barbara()), Ok(true), "{filter}");
        }
    }

    #[test]
    fn what_does_not_match() {
        for filter in [
            r#"userName eq "bjensen2""#,
            r#"externalId eq "ab""#,
            "nickName pr",
            "displayName pr",
            r#"displayName eq """#,
            r#"displayName gt "a""#,
            r#"emails[type eq "home" and value co "example.com"]"#,
            "active eq false",
            r#"meta.lastModified gt "2011-05-13T04:42:34Z""#,
            r#"urn:acme:2.0:User:cost eq "5""#,
            "urn:acme:2.0:User:nothing pr",
        ] {
            assert_eq!(matches(filter, &barbara()), Ok(false), "{filter}");
        }
    }

    #[test]
    fn what_cannot_make_sense_is_a_fault_and_not_a_no() {
        for (filter, keyword) in [
            ("externalId eq 5", "invalidValue"),
            ("userName eq true", "invalidValue"),
            (r#"active eq "yes""#, "invalidValue"),
            (r#"meta.created gt "yesterday""#, "invalidValue"),
            ("active gt true", "invalidFilter"),
            (r#"active co "tru""#, "invalidFilter"),
            (r#"x509Certificates.value gt "AA""#, "invalidFilter"),
            (r#"meta.created co "2011""#, "invalidFilter"),
            ("userName gt null", "invalidFilter"),
            (r#"name eq "x""#, "invalidFilter"),
            (r#"usernam eq "x""#, "invalidFilter"),
            (r#"emails[kind eq "x"]"#, "invalidFilter"),
            (r#"userName[value eq "x"]"#, "invalidFilter"),
            (r#"urn:ietf:params:scim:schemas:core:2.0:Group:displayName eq "x""#, "invalidFilter"),
        ] {
            assert_eq!(matches(filter, &barbara()).map_err(|fault| fault.scim_type()), Err(Some(keyword)), "{filter}");
        }
    }
}
