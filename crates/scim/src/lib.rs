//! A SCIM 2.0 service provider (RFC 7643, RFC 7644) without HTTP and without a store.
//!
//! [`handle`] takes a request that was authenticated to one tenant, and that tenant's [`Directory`]; it
//! answers with a status and a JSON body. It keeps nothing, reads no clock, draws no ids and opens nothing:
//! the same directory and request give the same answer. It never sees another tenant, never keeps or
//! returns a password, and never believes an id, a `meta` or a group membership that a client writes into
//! a user.
//!
//! What the service offers is what `/ServiceProviderConfig` says: PATCH, bulk, filters, sorting and
//! entity-tags; no change of passwords, no `/Me`, no cursor. The dialects of Entra ID, Okta and Canaille
//! are accepted and tested from their documented requests (`tests/scim/dialects.rs`).
//!
//! Absence never grants: a user without `active: true` is not active ([`Kept::is_active`]). A new user is
//! active unless the client says otherwise, a PUT that is silent about `active` leaves it as it is, and a
//! PATCH that removes it ends access.

mod bulk;
mod directory;
mod discovery;
mod etag;
mod fault;
mod filter;
mod json;
mod list;
mod normalise;
mod patch;
mod path;
mod query;
mod request;
mod resource;
mod route;
mod schema;
mod service;
mod view;

pub use directory::{
    Directory, DirectoryError, Document, Kept, Key, Kind, Member, MemberChange, Membership, fold, is_active,
};
pub use fault::Fault;
pub use filter::{AttrPath, Filter, MAX_DEPTH, MAX_LENGTH, MAX_NODES, Operator, PatchPath};
pub use normalise::{MAX_DOCUMENT, MAX_ELEMENTS, MAX_EXTENSIONS, MAX_KEY};
pub use patch::MAX_OPERATIONS;
pub use request::{Method, Request, Response};
pub use service::{Limits, Service};

/// Answers one request.
pub async fn handle(service: &Service, directory: &dyn Directory, request: &Request) -> Response {
    match route::answer(resource::Context { service, directory }, request).await {
        Ok(response) => response,
        Err(fault) => fault.into(),
    }
}
