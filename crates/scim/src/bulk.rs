//! Bulk requests (RFC 7644 §3.7).
//!
//! Operations run in their order, except that one which refers to another's `bulkId` waits for it. Groups
//! that refer to each other in a circle are created first and given those members after (§3.7.1).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::{
    directory::Kind,
    etag::Preconditions,
    fault::{Fault, shown},
    json,
    request::{Method, Response},
    resource::Context,
    route,
    view::{self, Selection},
};

const MESSAGE: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
const PREFIX: &str = "bulkId:";

/// One operation as read.
#[derive(Debug, Clone)]
struct Operation {
    /// The method as written, for the answer.
    name: String,
    method: Method,
    bulk_id: Option<String>,
    version: Option<String>,
    path: String,
    body: Map<String, Value>,
    /// The bulk ids that it refers to.
    refers: BTreeSet<String>,
}

/// What became of the operations that created something: an id, or none after a failure.
type Created = BTreeMap<String, Option<String>>;

/// Runs a bulk request.
pub(crate) async fn run(context: Context<'_>, body: &Map<String, Value>) -> Result<Response, Fault> {
    let operations = read(body, context.service.limits.bulk_operations)?;
    let tolerated = match json::member(body, "failOnErrors") {
        None | Some(Value::Null) => u64::MAX,
        Some(value) => value
            .as_u64()
            .filter(|n| *n > 0)
            .ok_or_else(|| Fault::InvalidValue("`failOnErrors` is not a whole number above 0".into()))?,
    };
    let job = Job {
        context,
        waiting: (0..operations.len()).collect(),
        results: vec![None; operations.len()],
        operations,
        created: Created::new(),
        errors: 0,
        tolerated,
        later: Vec::new(),
    };
    let results = job.run().await;
    Ok(Response::ok(json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkResponse"],
        "Operations": results,
    })))
}

fn read(body: &Map<String, Value>, most: usize) -> Result<Vec<Operation>, Fault> {
    let syntax = |what: &str| Fault::InvalidSyntax(what.to_owned());
    if let Some(schemas) = json::member(body, "schemas")
        && !schemas.as_array().is_some_and(|list| list.iter().any(|urn| urn == MESSAGE))
    {
        return Err(syntax("`schemas` does not name urn:ietf:params:scim:api:messages:2.0:BulkRequest"));
    }
    let list = json::member(body, "Operations").and_then(Value::as_array);
    let list = list.ok_or_else(|| syntax("`Operations` is not a list of operations"))?;
    if list.len() > most {
        return Err(Fault::TooLarge(format!("the number of operations exceeds the maxOperations ({most})")));
    }
    let operations: Vec<Operation> = list.iter().map(operation).collect::<Result<_, _>>()?;
    let mut seen = BTreeSet::new();
    if operations.iter().filter_map(|operation| operation.bulk_id.as_ref()).any(|id| !seen.insert(id)) {
        return Err(syntax("a `bulkId` is there twice"));
    }
    Ok(operations)
}

fn operation(value: &Value) -> Result<Operation, Fault> {
    let object = value.as_object().ok_or_else(|| Fault::InvalidSyntax("an operation is not an object".into()))?;
    let text = |name: &str| match json::member(object, name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Fault::InvalidSyntax(format!("`{name}` of an operation is no text"))),
    };
    let missing = |name: &str| Fault::InvalidSyntax(format!("an operation has no `{name}`"));
    let name = text("method")?.ok_or_else(|| missing("method"))?;
    let method = Method::from_name(&name.to_ascii_uppercase());
    if !matches!(method, Method::Post | Method::Put | Method::Patch | Method::Delete) {
        return Err(Fault::InvalidSyntax(format!("`{}` is no method of a bulk operation", shown(&name))));
    }
    let path = text("path")?.ok_or_else(|| missing("path"))?;
    let bulk_id = text("bulkId")?;
    if method == Method::Post && bulk_id.as_ref().is_none_or(String::is_empty) {
        return Err(missing("bulkId"));
    }
    let body = match json::member(object, "data") {
        Some(Value::Object(body)) => body.clone(),
        _ if method == Method::Delete => Map::new(),
        _ => return Err(missing("data")),
    };
    let mut refers = BTreeSet::new();
    references(&Value::Object(body.clone()), &mut refers);
    refers.extend(route::bulk_target(&path).and_then(|(_, id)| id.strip_prefix(PREFIX)).map(str::to_owned));
    Ok(Operation { name, method, bulk_id, version: text("version")?, path, body, refers })
}

/// The bulk ids that a body refers to: in `value`, where ids are (members, managers, and PATCH values).
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Object(members) => {
            for (key, value) in members {
                match value {
                    Value::String(text) if key.eq_ignore_ascii_case("value") => {
                        found.extend(text.strip_prefix(PREFIX).map(str::to_owned));
                    }
                    other => references(other, found),
                }
            }
        }
        _ => {}
    }
}

/// Puts ids in the place of references.
fn resolve(value: &mut Value, ids: &Created) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| resolve(item, ids)),
        Value::Object(members) => {
            for (key, value) in members {
                match value {
                    Value::String(text) if key.eq_ignore_ascii_case("value") => {
                        let id = text.strip_prefix(PREFIX).and_then(|bulk_id| ids.get(bulk_id)?.clone());
                        id.into_iter().for_each(|id| *text = id);
                    }
                    other => resolve(other, ids),
                }
            }
        }
        _ => {}
    }
}

struct Job<'a> {
    context: Context<'a>,
    operations: Vec<Operation>,
    waiting: Vec<usize>,
    results: Vec<Option<Value>>,
    created: Created,
    errors: u64,
    tolerated: u64,
    /// Members to add once everything is created: the operation, its group, whom.
    later: Vec<(usize, String, Vec<Value>)>,
}

impl Job<'_> {
    async fn run(mut self) -> Vec<Value> {
        while let Some((at, unresolved)) = self.next() {
            self.waiting.retain(|waiting| *waiting != at);
            let outcome = self.perform(at, unresolved).await;
            self.note(at, outcome);
            if self.errors >= self.tolerated {
                break;
            }
        }
        for (at, group, members) in std::mem::take(&mut self.later) {
            let body = json!({ "Operations": [{ "op": "add", "path": "members", "value": members }] });
            let outcome = self.act(Kind::Group, &group, Method::Patch, body, None).await;
            if outcome.is_err() {
                self.note(at, outcome);
            }
        }
        self.results.into_iter().flatten().collect()
    }

    /// The next operation to run, and which of its references stay open if a circle must be broken.
    fn next(&self) -> Option<(usize, BTreeSet<String>)> {
        let pending: BTreeSet<&String> =
            self.waiting.iter().filter_map(|at| self.operations[*at].bulk_id.as_ref()).collect();
        let open = |at: usize| -> BTreeSet<String> {
            self.operations[at].refers.iter().filter(|id| pending.contains(id)).cloned().collect()
        };
        let ready = self.waiting.iter().copied().find(|at| open(*at).is_empty());
        ready
            .or(self.waiting.first().copied().map(|first| {
                let breakable = |at: &usize| {
                    let operation = &self.operations[*at];
                    operation.method == Method::Post && route::bulk_target(&operation.path) == Some((Kind::Group, ""))
                };
                self.waiting.iter().copied().find(breakable).unwrap_or(first)
            }))
            .map(|at| (at, open(at)))
    }

    async fn perform(&mut self, at: usize, open: BTreeSet<String>) -> Result<Response, Fault> {
        let mut operation = self.operations[at].clone();
        if let Some(failed) = operation.refers.iter().find(|id| self.created.get(*id).is_some_and(Option::is_none)) {
            return Err(Fault::InvalidValue(format!("the operation with bulkId {} failed", shown(failed))));
        }
        let known = |id: &String| self.created.contains_key(id) || open.contains(id);
        if let Some(unknown) = operation.refers.iter().find(|id| !known(id)) {
            return Err(Fault::InvalidValue(format!("no operation has the bulkId {}", shown(unknown))));
        }
        let (kind, id) = route::bulk_target(&operation.path)
            .ok_or_else(|| Fault::NotFound(format!("there is no endpoint {}", shown(&operation.path))))?;
        let mut postponed = Vec::new();
        if !open.is_empty() {
            postponed = postpone(kind, &mut operation.body, &open)?;
        }
        let id = match id.strip_prefix(PREFIX) {
            Some(bulk_id) => self.created.get(bulk_id).cloned().flatten().unwrap_or_default(),
            None => id.to_owned(),
        };
        let mut body = Value::Object(std::mem::take(&mut operation.body));
        resolve(&mut body, &self.created);
        let response = self.act(kind, &id, operation.method, body, operation.version).await?;
        if let Some(group) = created_id(&response).filter(|_| !postponed.is_empty()) {
            self.later.push((at, group, postponed));
        }
        Ok(response)
    }

    async fn act(
        &self,
        kind: Kind,
        id: &str,
        method: Method,
        mut body: Value,
        version: Option<String>,
    ) -> Result<Response, Fault> {
        resolve(&mut body, &self.created);
        let body = body.as_object().cloned().unwrap_or_default();
        match (method, id) {
            (Method::Post, "") => self.context.create(kind, &body, &Selection::Default).await,
            (Method::Post, _) | (_, "") => {
                Err(Fault::InvalidValue("a POST is to an endpoint, every other method to a resource".into()))
            }
            _ => {
                let conditions = Preconditions { if_match: version, if_none_match: None };
                route::resource(self.context, kind, id, method, &body, &conditions, &Selection::Default).await
            }
        }
    }

    /// Writes down what became of an operation (§3.7.3).
    fn note(&mut self, at: usize, outcome: Result<Response, Fault>) {
        let operation = &self.operations[at];
        let mut result = json!({ "method": operation.name });
        if let Some(bulk_id) = &operation.bulk_id {
            result["bulkId"] = json!(bulk_id);
        }
        let mut id = None;
        match &outcome {
            Ok(response) => {
                id = created_id(response);
                result["status"] = json!(response.status.to_string());
                if let Some(etag) = &response.etag {
                    result["version"] = json!(etag);
                }
                if let Some(location) = &response.location {
                    result["location"] = json!(location);
                }
            }
            Err(fault) => {
                self.errors += 1;
                result["status"] = json!(fault.status().to_string());
                result["response"] = fault.body();
            }
        }
        if let (None, true) = (result.get("location"), operation.method != Method::Post) {
            let target = route::bulk_target(&operation.path);
            let target = target.map(|(kind, id)| match id.strip_prefix(PREFIX) {
                Some(bulk_id) => (kind, self.created.get(bulk_id).cloned().flatten().unwrap_or_default()),
                None => (kind, id.to_owned()),
            });
            if let Some((kind, id)) = target {
                result["location"] = json!(view::location(self.context.service, kind, &id));
            }
        }
        if let (Method::Post, Some(bulk_id)) = (operation.method, &operation.bulk_id) {
            self.created.insert(bulk_id.clone(), id);
        }
        self.results[at] = Some(result);
    }
}

fn created_id(response: &Response) -> Option<String> {
    response.location.as_ref().and_then(|url| url.rsplit('/').next()).map(str::to_owned)
}

/// Takes members that do not exist yet out of a new group.
fn postpone(kind: Kind, body: &mut Map<String, Value>, open: &BTreeSet<String>) -> Result<Vec<Value>, Fault> {
    let circle = || Fault::Conflict("the bulkIds of these operations refer to each other in a circle".into());
    let members = body.iter_mut().find(|(key, _)| key.eq_ignore_ascii_case("members"));
    let Some((_, Value::Array(members))) = members.filter(|_| kind == Kind::Group) else { return Err(circle()) };
    let is_open = |member: &Value| {
        let mut found = BTreeSet::new();
        references(member, &mut found);
        !found.is_disjoint(open)
    };
    let (postponed, now): (Vec<Value>, Vec<Value>) = std::mem::take(members).into_iter().partition(is_open);
    *members = now;
    let mut left = BTreeSet::new();
    references(&Value::Object(body.clone()), &mut left);
    if left.is_disjoint(open) { Ok(postponed) } else { Err(circle()) }
}
