//! A resource as the client sees it: what is kept, what follows from it, and which of that was asked for.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{
    directory::{Directory, Kept, Kind, Member, Membership},
    etag,
    fault::Fault,
    filter::PatchPath,
    path::{Target, is_urn, resolve},
    schema::Returned,
    service::Service,
};

/// Ids in one question to the directory.
pub(crate) const CHUNK: usize = 500;

/// The absolute URL of a resource.
pub(crate) fn location(service: &Service, kind: Kind, id: &str) -> String {
    format!("{}/{}/{id}", service.base_url, kind.endpoint())
}

pub(crate) fn schemas(kept: &Kept) -> Value {
    let extensions = kept.document.keys().filter(|key| is_urn(key)).map(String::as_str);
    std::iter::once(kept.kind.schema().id).chain(extensions).collect()
}

pub(crate) fn meta(service: &Service, kept: &Kept) -> Value {
    json!({
        "resourceType": kept.kind.name(),
        "created": kept.created.to_string(),
        "lastModified": kept.modified.to_string(),
        "location": location(service, kept.kind, &kept.id),
        "version": etag::of(kept),
    })
}

pub(crate) fn groups(service: &Service, memberships: &[Membership]) -> Value {
    let one = |membership: &Membership| {
        json!({
            "value": membership.group, "$ref": location(service, Kind::Group, &membership.group),
            "display": membership.display, "type": "direct",
        })
    };
    memberships.iter().map(one).collect()
}

pub(crate) fn members(service: &Service, members: &[Member]) -> Value {
    let one = |member: &Member| {
        json!({
            "value": member.id, "$ref": location(service, member.kind, &member.id), "type": member.kind.name(),
        })
    };
    members.iter().map(one).collect()
}

/// Every member of a group.
pub(crate) async fn all_members(directory: &dyn Directory, group: &str, most: usize) -> Result<Vec<Member>, Fault> {
    const PAGE: usize = 1000;
    let mut all: Vec<Member> = Vec::new();
    loop {
        let page = directory.members(group, all.last().map(|member| member.id.as_str()), PAGE).await?;
        let last = page.len() < PAGE;
        all.extend(page);
        if all.len() > most {
            return Err(Fault::TooMany(format!(
                "more than {most} members would be read; ask with excludedAttributes=members"
            )));
        }
        if last {
            return Ok(all);
        }
    }
}

/// The groups of each of the users.
pub(crate) async fn groups_of(
    directory: &dyn Directory,
    users: &[&str],
) -> Result<BTreeMap<String, Vec<Membership>>, Fault> {
    let mut groups: BTreeMap<String, Vec<Membership>> = BTreeMap::new();
    for ids in users.chunks(CHUNK) {
        for membership in directory.memberships(ids).await? {
            groups.entry(membership.member.clone()).or_default().push(membership);
        }
    }
    groups.values_mut().for_each(|groups| groups.sort_by(|a, b| a.group.cmp(&b.group)));
    Ok(groups)
}

/// Resources as the client asked for them. Fewer come back when the page's groups have more members than
/// one request may read (the first always comes): a page may be shorter than asked for.
pub(crate) async fn render(
    service: &Service,
    directory: &dyn Directory,
    page: &[Kept],
    selection: &Selection,
) -> Result<Vec<Value>, Fault> {
    let users: Vec<&str> = page.iter().filter(|kept| kept.kind == Kind::User).map(|kept| kept.id.as_str()).collect();
    let users = if selection.wants(Kind::User, "groups") { users } else { Vec::new() };
    let groups = groups_of(directory, &users).await?;
    let mut left = service.limits.members;
    let mut out = Vec::with_capacity(page.len());
    for kept in page {
        let mut computed = None;
        if kept.kind == Kind::User {
            computed = groups.get(&kept.id).map(|memberships| ("groups", self::groups(service, memberships)));
        } else if selection.wants(Kind::Group, "members") {
            let members = match all_members(directory, &kept.id, left).await {
                Err(Fault::TooMany(_)) if !out.is_empty() => break,
                members => members?,
            };
            left -= members.len();
            computed = (!members.is_empty()).then(|| ("members", self::members(service, &members)));
        }
        out.push(Value::Object(selection.of(kept, full(service, kept, computed))));
    }
    Ok(out)
}

fn full(service: &Service, kept: &Kept, computed: Option<(&str, Value)>) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("schemas".into(), schemas(kept));
    out.insert("id".into(), json!(kept.id));
    out.extend(kept.document.iter().map(|(key, value)| (key.clone(), value.clone())));
    out.extend(computed.map(|(key, value)| (key.to_owned(), value)));
    out.insert("meta".into(), meta(service, kept));
    out
}

/// `attributes` or `excludedAttributes` (RFC 7644 §3.9).
#[derive(Debug, Clone, Default)]
pub(crate) enum Selection {
    /// Everything that is returned by default.
    #[default]
    Default,
    Only(Vec<PatchPath>),
    Without(Vec<PatchPath>),
}

/// Most names in a selection.
const MAX_NAMES: usize = 100;

impl Selection {
    pub(crate) fn new(only: Vec<String>, without: Vec<String>) -> Result<Self, Fault> {
        let parsed = |names: &[String]| names.iter().map(|name| PatchPath::parse(name)).collect::<Result<Vec<_>, _>>();
        if only.len() + without.len() > MAX_NAMES {
            return Err(Fault::InvalidValue(format!("more than {MAX_NAMES} attributes are named")));
        }
        let wrong = |_| Fault::InvalidValue("`attributes` and `excludedAttributes` hold names of attributes".into());
        match (only.is_empty(), without.is_empty()) {
            (true, true) => Ok(Self::Default),
            (false, true) => parsed(&only).map(Self::Only).map_err(wrong),
            (true, false) => parsed(&without).map(Self::Without).map_err(wrong),
            (false, false) => {
                Err(Fault::InvalidValue("`attributes` and `excludedAttributes` exclude each other".into()))
            }
        }
    }

    /// Whether the client named attributes to see: then a PATCH answers with the resource.
    pub(crate) fn is_given(&self) -> bool {
        !matches!(self, Self::Default)
    }

    /// Whether a computed attribute will be shown, so that it need not be computed otherwise.
    fn wants(&self, kind: Kind, attribute: &str) -> bool {
        let names = |paths: &[PatchPath], whole: bool| {
            paths.iter().any(|path| match resolve(kind, &path.attribute, None) {
                Some(Target::Attribute(place)) => place.attribute.name == attribute && (!whole || place.sub.is_none()),
                Some(Target::Resource) => true,
                _ => false,
            })
        };
        match self {
            Self::Default => true,
            Self::Only(paths) => names(paths, false),
            Self::Without(paths) => !names(paths, true),
        }
    }

    /// The part of the resource that was asked for. Names that it does not have are passed over.
    fn of(&self, kept: &Kept, resource: Map<String, Value>) -> Map<String, Value> {
        let targets = |paths: &[PatchPath]| -> Vec<Target> {
            paths.iter().filter_map(|path| resolve(kept.kind, &path.attribute, Some(&kept.document))).collect()
        };
        match self {
            Self::Default => resource,
            Self::Only(paths) => {
                let mut out = Map::new();
                for (key, value) in resource.iter().filter(|(key, _)| is_always(kept.kind, key)) {
                    out.insert(key.clone(), value.clone());
                }
                targets(paths).iter().for_each(|target| include(&resource, target, &mut out));
                out
            }
            Self::Without(paths) => {
                let mut out = resource;
                targets(paths).iter().for_each(|target| exclude(kept.kind, target, &mut out));
                out
            }
        }
    }
}

fn is_always(kind: Kind, key: &str) -> bool {
    kind.attribute(key).is_some_and(|attribute| attribute.returned == Returned::Always)
}

fn include(from: &Map<String, Value>, target: &Target, out: &mut Map<String, Value>) {
    let (container, name, sub) = match target {
        Target::Resource => return out.extend(from.clone()),
        Target::Extension(urn) => (None, urn, None),
        Target::Attribute(place) => {
            (place.container.as_ref(), &place.attribute.name, place.sub.as_ref().map(|sub| &sub.name))
        }
    };
    if let Some(urn) = container {
        let Some(Value::Object(inside)) = from.get(urn) else { return };
        let mut part = out.get(urn).and_then(Value::as_object).cloned().unwrap_or_default();
        copy(inside, name, sub, &mut part);
        if !part.is_empty() {
            out.insert(urn.clone(), part.into());
        }
    } else {
        copy(from, name, sub, out);
    }
}

/// Copies an attribute, or one part of it beside the parts that are there.
fn copy(from: &Map<String, Value>, name: &str, sub: Option<&String>, out: &mut Map<String, Value>) {
    let Some(value) = from.get(name) else { return };
    let Some(sub) = sub else {
        out.insert(name.to_owned(), value.clone());
        return;
    };
    let part = |value: &Value, beside: Option<&Value>| {
        let mut object = beside.and_then(Value::as_object).cloned().unwrap_or_default();
        object.extend(value.get(sub).map(|part| (sub.clone(), part.clone())));
        Value::Object(object)
    };
    let beside = out.get(name).cloned();
    let picked = match value {
        Value::Array(items) => {
            items.iter().enumerate().map(|(n, item)| part(item, beside.as_ref().and_then(|b| b.get(n)))).collect()
        }
        one => part(one, beside.as_ref()),
    };
    out.insert(name.to_owned(), picked);
}

fn exclude(kind: Kind, target: &Target, out: &mut Map<String, Value>) {
    let place = match target {
        Target::Resource => return,
        Target::Extension(urn) => {
            out.shift_remove(urn);
            return;
        }
        Target::Attribute(place) => place,
    };
    let inside = match &place.container {
        Some(urn) => out.get_mut(urn).and_then(Value::as_object_mut),
        None if is_always(kind, &place.attribute.name) => None,
        None => Some(out),
    };
    let Some(inside) = inside else { return };
    let Some(sub) = &place.sub else {
        inside.shift_remove(&place.attribute.name);
        return;
    };
    let elements = match inside.get_mut(&place.attribute.name) {
        Some(Value::Array(items)) => items.as_mut_slice(),
        Some(one) => std::slice::from_mut(one),
        None => return,
    };
    for object in elements.iter_mut().filter_map(Value::as_object_mut) {
        object.shift_remove(&sub.name);
    }
}
