//! `/api/v1`, on the private listener.
//!
//! | module | what for |
//! |---|---|
//! | [`operations`] | the one table of what there is: routes, authority, bodies, the document and the tests come from it |
//! | `authority` | who calls: a token of this API, never a cookie |
//! | `ask`, `reply`, `page`, `problem` | requests in, answers out |
//! | `openapi` | the document |
//! | `tenants`, `domains`, … | what is done, one function for each operation |
//!
//! A request is looked at in this order: where it was sent (`Host`), by which page (`Origin`), with which token, what
//! that token may do, which tenant it is about, then its parameters and body. Whoever may not do something learns
//! nothing of what is there: another tenant's object and one that never was are answered alike.

mod ask;
mod authority;
mod connections;
mod domains;
mod grants;
mod openapi;
pub mod operations;
mod page;
mod people;
mod problem;
mod reply;
mod scim_tokens;
mod sessions;
mod shapes;
mod signals;
mod tenants;
mod tokens;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse, Response},
    routing::{MethodFilter, on},
};
use http::Method;
use sallyport_model::{Clock, Recorder, Rng};
use sallyport_outbound::provider::ProviderClient;
use sallyport_storage::Store;

use self::{
    ask::Ask,
    authority::Caller,
    operations::{Handler, OPERATIONS, Operation},
    problem::Problem,
    reply::Reply,
};
use crate::tenancy::{Bounds, Logged, Parts};

/// Where the API is, below the private listener's root.
pub const BASE: &str = "/api/v1";

/// What an operation gives.
pub(crate) type Answer = Result<Reply, Problem>;

/// What the API is made of.
pub struct Deps {
    /// Where everything is.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// The audit log.
    pub recorder: Arc<dyn Recorder>,
    /// What the operator allows.
    pub bounds: Bounds,
    /// The way to identity providers.
    pub providers: ProviderClient,
    /// The name server that is asked for the records of domains; without it, those of the system.
    pub name_server: Option<SocketAddr>,
}

/// The API.
#[derive(Clone)]
pub struct AdminApi(Arc<Inner>);

struct Inner {
    parts: Arc<Parts>,
    providers: ProviderClient,
    name_server: Option<SocketAddr>,
}

impl AdminApi {
    /// Of its parts. Each change is in the audit log before it happens.
    pub fn new(deps: Deps) -> Self {
        let parts = Parts {
            store: deps.store,
            clock: deps.clock,
            rng: deps.rng,
            journal: Arc::new(Logged(deps.recorder)),
            bounds: deps.bounds,
        };
        Self(Arc::new(Inner { parts: Arc::new(parts), providers: deps.providers, name_server: deps.name_server }))
    }

    /// Every route of [`OPERATIONS`], below [`BASE`], and nothing else.
    pub fn router(&self) -> Router {
        let mut routes = Router::new();
        for operation in OPERATIONS {
            let api = self.clone();
            let handler = move |request: Request| async move { api.answer(operation, request).await };
            routes = routes.route(operation.path, on(filter(&operation.method()), handler));
        }
        let (nothing, otherwise) = (self.clone(), self.clone());
        let routes = routes
            .method_not_allowed_fallback(move |request: Request| async move {
                otherwise.nothing(request, Problem::method()).await
            })
            .fallback(move |request: Request| async move { nothing.nothing(request, Problem::nowhere()).await });
        let root = self.clone();
        // With a slash behind it, the base is below no other route.
        let root =
            axum::routing::any(move |request: Request| async move { root.nothing(request, Problem::nowhere()).await });
        Router::new().nest(BASE, routes).route(&format!("{BASE}/"), root)
    }

    async fn answer(&self, operation: &'static Operation, request: Request) -> Response {
        match self.answered(operation, request).await {
            Ok(reply) => reply.into_response(),
            Err(problem) => problem.into_response(),
        }
    }

    async fn answered(&self, operation: &'static Operation, request: Request) -> Answer {
        let caller = Caller::of(self, request.headers(), request.extensions()).await?;
        // Before anything is looked up: what is not for this role is so whatever its ids are.
        if operation.is_operators() && !caller.is_operator() {
            return Err(Problem::operators());
        }
        let ask = Ask::read(self, operation, caller, request).await?;
        // On a task of its own: what was begun comes to its end, also when the client goes away.
        let work = tokio::spawn(conduct(operation, ask));
        work.await.unwrap_or_else(|_| Err(Problem::internal()))
    }

    /// Strangers do not even learn what is not there.
    async fn nothing(&self, request: Request, problem: Problem) -> Response {
        match Caller::of(self, request.headers(), request.extensions()).await {
            Ok(_) => problem.into_response(),
            Err(problem) => problem.into_response(),
        }
    }
}

async fn conduct(operation: &'static Operation, ask: Ask) -> Answer {
    match operation.handler {
        Handler::Anyone(handler) | Handler::Operator(handler) => handler(ask).await,
        Handler::Tenant(handler) | Handler::OperatorOfTenant(handler) => {
            let tenant = ask.tenant().await?;
            handler(ask, tenant).await
        }
    }
}

fn filter(method: &Method) -> MethodFilter {
    match *method {
        Method::POST => MethodFilter::POST,
        Method::PUT => MethodFilter::PUT,
        Method::PATCH => MethodFilter::PATCH,
        Method::DELETE => MethodFilter::DELETE,
        _ => MethodFilter::GET,
    }
}
