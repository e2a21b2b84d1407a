//! From method and path to what is done.

use serde_json::{Map, Value};

use crate::{
    bulk,
    directory::Kind,
    discovery,
    etag::Preconditions,
    fault::{Fault, shown},
    json, list, normalise, patch,
    query::Query,
    request::{Method, Request, Response},
    resource::{Change, Context},
    service::Limits,
    view::Selection,
};

/// An endpoint of the service.
#[derive(Debug)]
enum Endpoint<'a> {
    Root,
    Search(&'static [Kind]),
    Collection(Kind),
    Resource(Kind, &'a str),
    Bulk,
    Config,
    Schemas(Option<&'a str>),
    ResourceTypes(Option<&'a str>),
    Me,
}

fn kind_of(segment: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind.endpoint().eq_ignore_ascii_case(segment))
}

/// Names of endpoints are taken regardless of case; Entra ID is documented to ask for `/schemas`.
fn endpoint<'a>(path: &[&'a str]) -> Option<Endpoint<'a>> {
    let is = |segment: &str, name: &str| segment.eq_ignore_ascii_case(name);
    Some(match *path {
        [] => Endpoint::Root,
        [".search"] => Endpoint::Search(&Kind::ALL),
        [first, ..] if is(first, "Me") => Endpoint::Me,
        [one] if is(one, "Bulk") => Endpoint::Bulk,
        [one] if is(one, "ServiceProviderConfig") => Endpoint::Config,
        [one] if is(one, "Schemas") => Endpoint::Schemas(None),
        [one, id] if is(one, "Schemas") => Endpoint::Schemas(Some(id)),
        [one] if is(one, "ResourceTypes") => Endpoint::ResourceTypes(None),
        [one, id] if is(one, "ResourceTypes") => Endpoint::ResourceTypes(Some(id)),
        [one] => Endpoint::Collection(kind_of(one)?),
        [one, ".search"] => Endpoint::Search(match kind_of(one)? {
            Kind::User => &[Kind::User],
            Kind::Group => &[Kind::Group],
        }),
        [one, id] => Endpoint::Resource(kind_of(one)?, id),
        _ => return None,
    })
}

/// Answers a request.
pub(crate) async fn answer(context: Context<'_>, request: &Request) -> Result<Response, Fault> {
    let limits = &context.service.limits;
    if request.body.len() > limits.payload {
        return Err(too_large(limits));
    }
    let mut path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    if path.last() == Some(&"") {
        path.pop(); // a slash at the end
    }
    let Some(endpoint) = endpoint(&path) else {
        return Err(Fault::NotFound(format!("there is no endpoint /{}", shown(&path.join("/")))));
    };
    match (endpoint, request.method) {
        (Endpoint::Me, _) => {
            Err(Fault::NotImplemented("a token is a tenant's and no person's: there is no /Me".into()))
        }
        (Endpoint::Root, Method::Get) => query(context, &Kind::ALL, request).await,
        (Endpoint::Collection(kind), Method::Get) => query(context, &[kind], request).await,
        (Endpoint::Search(kinds), Method::Post) => {
            let query = Query::from_message(&json::object(&request.body)?, limits)?;
            list::list(context.service, context.directory, kinds, &query).await.map(Response::ok)
        }
        (Endpoint::Bulk, Method::Post) => bulk::run(context, &json::object(&request.body)?).await,
        (Endpoint::Config | Endpoint::Schemas(_) | Endpoint::ResourceTypes(_), Method::Get)
            if request.query.iter().any(|(name, _)| name.eq_ignore_ascii_case("filter")) =>
        {
            Err(Fault::Forbidden("discovery cannot be filtered".into())) // §4
        }
        (Endpoint::Config, Method::Get) => Ok(Response::ok(discovery::config(context.service))),
        (Endpoint::Schemas(None), Method::Get) => Ok(Response::ok(discovery::schemas(context.service))),
        (Endpoint::Schemas(Some(id)), Method::Get) => discovery::schema(context.service, id).map(Response::ok),
        (Endpoint::ResourceTypes(None), Method::Get) => Ok(Response::ok(discovery::resource_types(context.service))),
        (Endpoint::ResourceTypes(Some(id)), Method::Get) => {
            discovery::resource_type(context.service, id).map(Response::ok)
        }
        (Endpoint::Collection(kind), Method::Post) => {
            let selection = Query::from_url(&request.query, limits)?.selection;
            context.create(kind, &json::object(&request.body)?, &selection).await
        }
        (Endpoint::Resource(kind, id), method @ (Method::Get | Method::Put | Method::Patch | Method::Delete)) => {
            let body = match method {
                Method::Put | Method::Patch => json::object(&request.body)?,
                _ => Map::new(),
            };
            let conditions =
                Preconditions { if_match: request.if_match.clone(), if_none_match: request.if_none_match.clone() };
            let selection = Query::from_url(&request.query, limits)?.selection;
            resource(context, kind, id, method, &body, &conditions, &selection).await
        }
        (endpoint, _) => Err(Fault::MethodNotAllowed { allow: allowed(&endpoint) }),
    }
}

/// One operation on one resource; bulk requests come here too.
pub(crate) async fn resource(
    context: Context<'_>,
    kind: Kind,
    id: &str,
    method: Method,
    body: &Map<String, Value>,
    conditions: &Preconditions,
    selection: &Selection,
) -> Result<Response, Fault> {
    let change = match method {
        Method::Get => return context.read(kind, id, conditions, selection).await,
        Method::Delete => return context.delete(kind, id, conditions).await,
        Method::Put => Change::Replace(normalise::resource(kind, body)?),
        Method::Patch => Change::Modify(patch::operations(body)?),
        Method::Post | Method::Other => {
            return Err(Fault::MethodNotAllowed { allow: allowed(&Endpoint::Resource(kind, id)) });
        }
    };
    context.change(kind, id, &change, conditions, selection).await
}

async fn query(context: Context<'_>, kinds: &[Kind], request: &Request) -> Result<Response, Fault> {
    let query = Query::from_url(&request.query, &context.service.limits)?;
    list::list(context.service, context.directory, kinds, &query).await.map(Response::ok)
}

pub(crate) fn too_large(limits: &Limits) -> Fault {
    Fault::TooLarge(format!("the size of the request exceeds the maxPayloadSize ({})", limits.payload))
}

fn allowed(endpoint: &Endpoint<'_>) -> &'static str {
    match endpoint {
        Endpoint::Search(_) | Endpoint::Bulk => "POST",
        Endpoint::Collection(_) => "GET, POST",
        Endpoint::Resource(..) => "GET, PUT, PATCH, DELETE",
        Endpoint::Root | Endpoint::Config | Endpoint::Schemas(_) | Endpoint::ResourceTypes(_) | Endpoint::Me => "GET",
    }
}

/// The kind and id in the path of a bulk operation; the id is empty for a collection.
pub(crate) fn bulk_target(path: &str) -> Option<(Kind, &str)> {
    let mut segments = path.strip_prefix('/').unwrap_or(path).splitn(2, '/');
    let kind = kind_of(segments.next()?)?;
    let id = segments.next().unwrap_or_default();
    (!id.contains('/')).then_some((kind, id))
}
