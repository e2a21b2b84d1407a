//! A request of a caller, read and bounded: path, query, condition, body. Unknown parameters and members are refused,
//! so that a slip of the pen is not a change of something else.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    RequestExt,
    body::{Bytes, to_bytes},
    extract::{Path, Query, Request},
};
use http::{HeaderMap, header};
use sallyport_model::TenantId;
use sallyport_outbound::{dns::Dns, provider::ProviderClient};
use sallyport_storage::Tenant;
use serde::{Deserialize as _, de::DeserializeOwned};

use super::{AdminApi, authority::Caller, operations::Operation, page::Page, problem::Problem, reply::Etag};
use crate::{Fault, tenancy::Tenancy};

/// The longest that a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);

/// A request.
pub(crate) struct Ask {
    api: AdminApi,
    /// Who asks.
    pub(crate) caller: Caller,
    /// The operations, in the caller's name.
    pub(crate) tenancy: Tenancy,
    path: BTreeMap<String, String>,
    query: BTreeMap<String, String>,
    if_match: Option<String>,
    body: Bytes,
}

impl Ask {
    /// Reads a request of a caller.
    pub(super) async fn read(
        api: &AdminApi,
        operation: &Operation,
        caller: Caller,
        mut request: Request,
    ) -> Result<Self, Problem> {
        let path = request.extract_parts::<Path<BTreeMap<String, String>>>().await;
        // A path that is no text is nobody's.
        let Path(path) = path.map_err(|_| Problem::nowhere())?;
        let query = query(operation, &request)?;
        let if_match = if_match(request.headers())?;
        let body = body(operation, request).await?;
        let tenancy = caller.tenancy(api);
        Ok(Self { api: api.clone(), caller, tenancy, path, query, if_match, body })
    }

    /// A parameter of the path.
    pub(crate) fn path(&self, name: &str) -> &str {
        self.path.get(name).map_or("", String::as_str)
    }

    /// A parameter of the query.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// Which page of a list.
    pub(crate) fn page(&self) -> Result<Page, Problem> {
        Page::of(self.query("limit"), self.query("cursor"))
    }

    /// The tenant of the path, if the caller reaches it. One that it does not reach is not there.
    pub(crate) async fn tenant(&self) -> Result<Tenant, Problem> {
        let given = self.path("tenant");
        let missing = || Fault::not_found("tenant", format!("there is no tenant `{given}`"), "check the id");
        let id = TenantId::new(given).map_err(|_| missing())?;
        if !self.caller.reaches(&id) {
            return Err(missing().into());
        }
        Ok(self.tenancy.tenant(&id).await?)
    }

    /// The body.
    pub(crate) fn body<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let what = error.to_string();
            Problem::body(member(&what), format!("the body does not read: {what}"))
        })
    }

    /// Whether the request is about this state.
    pub(crate) fn about(&self, etag: &Etag) -> Result<(), Problem> {
        match &self.if_match {
            None => Err(Problem::unconditional()),
            Some(if_match) if etag.is_in(if_match) => Ok(()),
            Some(_) => Err(Problem::stale()),
        }
    }

    /// The way to identity providers.
    pub(crate) fn providers(&self) -> &ProviderClient {
        &self.api.0.providers
    }

    /// Who is asked for the records of domains.
    pub(crate) fn dns(&self) -> Result<Dns, Problem> {
        let dns = match self.api.0.name_server {
            Some(address) => Dns::at(address),
            None => Dns::system(),
        };
        dns.map_err(|error| Fault::Elsewhere { what: error.to_string(), remedy: None }.into())
    }
}

/// The member that serde speaks of, such as in "unknown field `x`".
fn member(what: &str) -> Option<String> {
    let rest =
        ["unknown field `", "missing field `", "duplicate field `"].iter().find_map(|head| what.split_once(head));
    Some(rest?.1.split_once('`')?.0.to_owned())
}

fn query(operation: &Operation, request: &Request) -> Result<BTreeMap<String, String>, Problem> {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(request.uri());
    let Query(pairs) = pairs.map_err(|_| Problem::query("", "cannot be read"))?;
    let mut query = BTreeMap::new();
    for (name, value) in pairs {
        if !operation.takes(&name) {
            return Err(Problem::query(&name, "is not one of this operation"));
        }
        if query.insert(name.clone(), value).is_some() {
            return Err(Problem::query(&name, "is there twice"));
        }
    }
    Ok(query)
}

fn if_match(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let lines: Vec<&str> = headers
        .get_all(header::IF_MATCH)
        .iter()
        .map(|line| line.to_str().map_err(|_| Problem::stale()))
        .collect::<Result<_, _>>()?;
    Ok((!lines.is_empty()).then(|| lines.join(",")))
}

async fn body(operation: &Operation, request: Request) -> Result<Bytes, Problem> {
    let is_json = is_json(request.headers());
    let limit = operation.most_bytes();
    let collected = tokio::time::timeout(BODY_TIME, to_bytes(request.into_body(), limit)).await;
    let bytes = collected.map_err(|_| Problem::too_slow())?.map_err(|_| Problem::too_large(limit))?;
    match (&operation.body, bytes.is_empty()) {
        (None, true) => Ok(bytes),
        (None, false) => Err(Problem::body(None, "this operation takes no body")),
        (Some(_), false) if !is_json => Err(Problem::media_type()),
        (Some(_), _) => Ok(bytes),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let declared = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = declared.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json") || essence.eq_ignore_ascii_case("application/merge-patch+json")
}

/// Tells a member that is null from one that is left out: `Some(None)` and `None`.
pub(crate) fn given<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: serde::Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}
