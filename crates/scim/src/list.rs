//! Queries: an index where the filter allows one, else a bounded scan in the order of ids.

use std::{cmp::Ordering, collections::BTreeMap};

use serde_json::{Map, Value, json};

use crate::{
    directory::{Directory, Kept, Key, Kind, fold},
    fault::Fault,
    filter::{AttrPath, Compiled, Filter, Operator, Scope, SortBy, SortKey, Subject, resolvable, unknown},
    query::Query,
    service::Service,
    view,
};

/// Resources read at once in a scan.
const BATCH: usize = 500;

/// Answers a query over these kinds with a ListResponse (RFC 7644 §3.4.2).
pub(crate) async fn list(
    service: &Service,
    directory: &dyn Directory,
    kinds: &[Kind],
    query: &Query,
) -> Result<Value, Fault> {
    let paths = query.filter.iter().fold(Vec::new(), |mut paths, filter| {
        filter.paths(&mut paths);
        paths
    });
    for path in paths.into_iter().chain(&query.sort_by) {
        if !kinds.iter().any(|kind| resolvable(*kind, path)) {
            return Err(unknown(path));
        }
    }
    let (total, page) = if query.filter.is_none() && query.sort_by.is_none() {
        window(directory, kinds, query).await?
    } else {
        let mut search = Search::new(service, directory, kinds, query);
        for kind in kinds {
            search.run(*kind).await?;
        }
        search.finish().await?
    };
    let resources = view::render(service, directory, &page, &query.selection).await?;
    Ok(response(total, query.start, resources))
}

/// The ListResponse message.
pub(crate) fn response(total: u64, start: u64, resources: Vec<Value>) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    })
}

/// Without filter and order: a page straight from the directory, Users before Groups.
async fn window(directory: &dyn Directory, kinds: &[Kind], query: &Query) -> Result<(u64, Vec<Kept>), Fault> {
    let (mut total, mut page) = (0, Vec::new());
    let mut skip = query.start - 1;
    for kind in kinds {
        let count = directory.count(*kind).await?;
        total += count;
        let wanted = query.count.saturating_sub(page.len());
        if wanted > 0 && skip < count {
            page.extend(directory.list(*kind, None, skip, wanted).await?);
        }
        skip = skip.saturating_sub(count);
    }
    Ok((total, page))
}

struct Search<'a> {
    service: &'a Service,
    directory: &'a dyn Directory,
    query: &'a Query,
    lenient: bool,
    /// Resources looked at.
    seen: usize,
    /// Members that may still be read.
    members_left: usize,
    total: u64,
    /// The page, when no order is asked for.
    page: Vec<Kept>,
    /// What is needed to order all matches, when one is.
    keys: Vec<(Option<SortKey>, Kind, String)>,
}

/// What has to be computed before a resource can be matched.
#[derive(Debug, Default)]
struct Needs {
    meta: bool,
    schemas: bool,
    groups: bool,
    members: Members,
}

#[derive(Debug, Default)]
enum Members {
    #[default]
    None,
    /// Only whether certain ones are members: groups by id, and which of them they have.
    These(BTreeMap<String, Vec<String>>),
    All,
}

impl<'a> Search<'a> {
    fn new(service: &'a Service, directory: &'a dyn Directory, kinds: &[Kind], query: &'a Query) -> Self {
        let lenient = kinds.len() > 1;
        let members_left = service.limits.members;
        Self { service, directory, query, lenient, seen: 0, members_left, total: 0, page: Vec::new(), keys: Vec::new() }
    }

    async fn run(&mut self, kind: Kind) -> Result<(), Fault> {
        let scope = Scope::Resource { kind, lenient: self.lenient };
        let filter = self.query.filter.as_ref();
        let compiled = filter.map(|filter| Compiled::new(filter, scope)).transpose()?;
        let sort = self.query.sort_by.as_ref().map(|path| SortBy::new(kind, path, self.lenient)).transpose()?;
        let needs = Needs::new(self.directory, kind, filter, self.query.sort_by.as_ref()).await?;
        if let Some(candidates) = self.candidates(kind).await? {
            return self.take(candidates, compiled.as_ref(), sort.as_ref(), &needs).await;
        }
        let mut after: Option<String> = None;
        loop {
            let batch = self.directory.list(kind, after.as_deref(), 0, BATCH).await?;
            let last = batch.len() < BATCH;
            after = batch.last().map(|kept| kept.id.clone());
            self.take(batch, compiled.as_ref(), sort.as_ref(), &needs).await?;
            if last {
                return Ok(());
            }
        }
    }

    /// Matches a batch and keeps what belongs to the answer.
    async fn take(
        &mut self,
        batch: Vec<Kept>,
        filter: Option<&Compiled>,
        sort: Option<&SortBy>,
        needs: &Needs,
    ) -> Result<(), Fault> {
        self.seen += batch.len();
        if self.seen > self.service.limits.scan {
            return Err(Fault::TooMany(format!(
                "more than {} resources would have to be looked at; filter by id, userName, externalId or displayName",
                self.service.limits.scan
            )));
        }
        let made = self.compute(&batch, needs).await?;
        for (kept, made) in batch.into_iter().zip(made) {
            let subject = Subject { kept: &kept.document, made: Some(&made) };
            if filter.is_some_and(|filter| !filter.matches(subject)) {
                continue;
            }
            self.total += 1;
            if let Some(sort) = sort {
                self.keys.push((sort.key(subject), kept.kind, kept.id));
            } else if self.total >= self.query.start && self.page.len() < self.query.count {
                self.page.push(kept);
            }
        }
        Ok(())
    }

    async fn compute(&mut self, batch: &[Kept], needs: &Needs) -> Result<Vec<Map<String, Value>>, Fault> {
        let ids: Vec<&str> = batch.iter().map(|kept| kept.id.as_str()).collect();
        let groups = if needs.groups { view::groups_of(self.directory, &ids).await? } else { BTreeMap::new() };
        let mut out = Vec::with_capacity(batch.len());
        for kept in batch {
            let mut made = Map::from_iter([("id".to_owned(), json!(kept.id))]);
            if needs.meta {
                made.insert("meta".into(), view::meta(self.service, kept));
            }
            if needs.schemas {
                made.insert("schemas".into(), view::schemas(kept));
            }
            if let Some(memberships) = groups.get(&kept.id) {
                made.insert("groups".into(), view::groups(self.service, memberships));
            }
            match &needs.members {
                Members::None => {}
                Members::These(held) => {
                    let ids = held.get(&kept.id).into_iter().flatten();
                    made.insert("members".into(), ids.map(|id| json!({ "value": id })).collect());
                }
                Members::All => {
                    let members = view::all_members(self.directory, &kept.id, self.members_left).await?;
                    self.members_left = self.members_left.saturating_sub(members.len());
                    made.insert("members".into(), view::members(self.service, &members));
                }
            }
            out.push(made);
        }
        Ok(out)
    }

    /// Resources among which every match is, found by an index; none when there is no index to use.
    async fn candidates(&self, kind: Kind) -> Result<Option<Vec<Kept>>, Fault> {
        let conjuncts = match &self.query.filter {
            None => return Ok(None),
            Some(Filter::And(parts)) => parts.as_slice(),
            Some(one) => std::slice::from_ref(one),
        };
        let most = self.service.limits.scan + 1;
        for (name, text) in conjuncts.iter().filter_map(|part| indexed(kind, part)) {
            let found = match (kind, name) {
                (_, "id") => self.directory.get(kind, text).await?.into_iter().collect(),
                (_, "externalId") => self.directory.find(kind, Key::ExternalId(text), most).await?,
                (Kind::User, "userName") => self.directory.find(kind, Key::UserName(&fold(text)), most).await?,
                (Kind::Group, "displayName") => self.directory.find(kind, Key::DisplayName(&fold(text)), most).await?,
                (Kind::Group, "members") => {
                    let mut found = Vec::new();
                    for membership in self.directory.memberships(&[text]).await? {
                        found.extend(self.directory.get(kind, &membership.group).await?);
                    }
                    found.sort_by(|a: &Kept, b: &Kept| a.id.cmp(&b.id));
                    found
                }
                _ => continue,
            };
            return Ok(Some(found));
        }
        Ok(None)
    }

    async fn finish(mut self) -> Result<(u64, Vec<Kept>), Fault> {
        if self.query.sort_by.is_some() {
            let descending = self.query.descending;
            self.keys.sort_by(|a, b| {
                let order = by_key(a.0.as_ref(), b.0.as_ref());
                (if descending { order.reverse() } else { order }).then_with(|| (a.1, &a.2).cmp(&(b.1, &b.2)))
            });
            let skip = usize::try_from(self.query.start - 1).unwrap_or(usize::MAX);
            for (_, kind, id) in self.keys.iter().skip(skip).take(self.query.count) {
                self.page.extend(self.directory.get(*kind, id).await?);
            }
        }
        Ok((self.total, self.page))
    }
}

/// What has no value comes last when ascending, first when descending (§3.4.2.3).
fn by_key(a: Option<&SortKey>, b: Option<&SortKey>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}

/// `attribute eq "text"` on an attribute that may have an index: its canonical name and the text.
fn indexed(kind: Kind, part: &Filter) -> Option<(&'static str, &str)> {
    let (path, text) = match part {
        Filter::Compare(path, Operator::Eq, Value::String(text)) => (path, text.as_str()),
        Filter::Values(path, inner) if is_members(kind, path) => match crate::patch::member_ids(inner)?.as_slice() {
            [one] => return Some(("members", one)),
            _ => return None,
        },
        _ => return None,
    };
    if is_members(kind, path) {
        return Some(("members", text));
    }
    let core = path.uri.as_ref().is_none_or(|uri| uri.eq_ignore_ascii_case(kind.schema().id));
    let attribute = kind.attribute(&path.name).filter(|_| core && path.sub.is_none())?;
    Some((attribute.name, text))
}

/// `members` or `members.value`.
fn is_members(kind: Kind, path: &AttrPath) -> bool {
    kind == Kind::Group
        && path.name.eq_ignore_ascii_case("members")
        && path.uri.as_ref().is_none_or(|uri| uri.eq_ignore_ascii_case(kind.schema().id))
        && path.sub.as_ref().is_none_or(|sub| sub.eq_ignore_ascii_case("value"))
}

impl Needs {
    async fn new(
        directory: &dyn Directory,
        kind: Kind,
        filter: Option<&Filter>,
        sort_by: Option<&AttrPath>,
    ) -> Result<Self, Fault> {
        let mut paths: Vec<&AttrPath> = sort_by.into_iter().collect();
        if let Some(filter) = filter {
            filter.paths(&mut paths);
        }
        let named = |name: &str| paths.iter().any(|path| path.name.eq_ignore_ascii_case(name));
        let members = if kind == Kind::Group && named("members") {
            let sorted = sort_by.is_some_and(|path| path.name.eq_ignore_ascii_case("members"));
            let mut ids = Vec::new();
            let these = !sorted && filter.is_none_or(|filter| only_ids(kind, filter, &mut ids));
            if these { Members::These(holders(directory, &ids).await?) } else { Members::All }
        } else {
            Members::None
        };
        let groups = kind == Kind::User && named("groups");
        Ok(Self { meta: named("meta"), schemas: named("schemas"), groups, members })
    }
}

/// The groups that have any of these members, and which.
async fn holders(directory: &dyn Directory, ids: &[String]) -> Result<BTreeMap<String, Vec<String>>, Fault> {
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut held: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for membership in directory.memberships(&ids).await? {
        held.entry(membership.group).or_default().push(membership.member);
    }
    Ok(held)
}

/// Whether the filter asks of members only if certain ones are there; gathers their ids.
fn only_ids(kind: Kind, filter: &Filter, ids: &mut Vec<String>) -> bool {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter().all(|part| only_ids(kind, part, ids)),
        Filter::Not(inner) => only_ids(kind, inner, ids),
        Filter::Compare(path, Operator::Eq, Value::String(id)) if is_members(kind, path) => {
            ids.push(id.clone());
            true
        }
        Filter::Values(path, inner) if path.name.eq_ignore_ascii_case("members") => {
            let found = crate::patch::member_ids(inner);
            ids.extend(found.iter().flatten().map(|id| (*id).to_owned()));
            found.is_some()
        }
        Filter::Present(path) | Filter::Compare(path, ..) | Filter::Values(path, _) => {
            !path.name.eq_ignore_ascii_case("members")
        }
    }
}
