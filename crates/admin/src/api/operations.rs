//! The one table of what the API offers. Routes, authority, limits, the OpenAPI document and the test that walks every
//! operation with another tenant's ids are all made of it, so that none of them can forget one.

use futures::future::BoxFuture;
use http::Method;
use sallyport_storage::Tenant;
use schemars::{Schema, SchemaGenerator};

use super::{
    Answer, Ask, connections, domains, grants, openapi, people, scim_tokens, sessions, signals, tenants, tokens,
};

/// What runs, and with which authority. A handler of a tenant is given one that the caller reaches; there is no other
/// way to it.
#[derive(Clone, Copy)]
pub(crate) enum Handler {
    /// Any token; what it sees depends on whose it is.
    Anyone(fn(Ask) -> BoxFuture<'static, Answer>),
    /// The operator's tokens.
    Operator(fn(Ask) -> BoxFuture<'static, Answer>),
    /// The tenant's administrators and the operator.
    Tenant(fn(Ask, Tenant) -> BoxFuture<'static, Answer>),
    /// The operator, about one tenant.
    OperatorOfTenant(fn(Ask, Tenant) -> BoxFuture<'static, Answer>),
}

/// A parameter of the query.
#[derive(Clone, Copy)]
pub(crate) struct Parameter {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) what: &'static str,
    /// Whether it is a number.
    pub(crate) number: bool,
}

/// A body.
#[derive(Clone, Copy)]
pub(crate) struct Body {
    /// What it looks like.
    pub(crate) schema: fn(&mut SchemaGenerator) -> Schema,
    /// Whether there must be one.
    pub(crate) required: bool,
    /// Bytes, at most.
    pub(crate) most: usize,
}

/// What is answered when it went well.
#[derive(Clone, Copy)]
pub(crate) enum Gives {
    /// 200 with this shape.
    One(&'static str),
    /// 201 with this shape.
    New(&'static str),
    /// 200 with a page of this shape.
    List(&'static str),
    /// 204.
    Nothing,
}

/// One operation.
#[derive(Clone, Copy)]
pub struct Operation {
    /// OpenAPI's `operationId`.
    pub id: &'static str,
    verb: Verb,
    /// Below [`super::BASE`], with parameters in braces.
    pub path: &'static str,
    pub(crate) tag: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) handler: Handler,
    pub(crate) query: &'static [Parameter],
    pub(crate) body: Option<Body>,
    pub(crate) gives: Gives,
    /// Whether the answer names the state of the resource.
    pub(crate) etag: bool,
    /// Whether the request has to.
    pub(crate) if_match: bool,
}

#[derive(Clone, Copy)]
enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// Bytes of a body without one.
const NONE: usize = 1024;
/// Bytes of a usual body.
const USUAL: usize = 64 * 1024;
/// Bytes of a body that holds metadata or claims.
const LARGE: usize = 2 << 20;

impl Operation {
    const fn new(
        id: &'static str,
        verb: Verb,
        path: &'static str,
        tag: &'static str,
        summary: &'static str,
        handler: Handler,
    ) -> Self {
        let gives = Gives::Nothing;
        Self { id, verb, path, tag, summary, handler, query: &[], body: None, gives, etag: false, if_match: false }
    }

    /// Its method.
    pub fn method(&self) -> Method {
        match self.verb {
            Verb::Get => Method::GET,
            Verb::Post => Method::POST,
            Verb::Put => Method::PUT,
            Verb::Patch => Method::PATCH,
            Verb::Delete => Method::DELETE,
        }
    }

    /// Whether only the operator may do it.
    pub fn is_operators(&self) -> bool {
        matches!(self.handler, Handler::Operator(_) | Handler::OperatorOfTenant(_))
    }

    /// Whether the query may hold this parameter.
    pub(crate) fn takes(&self, name: &str) -> bool {
        self.query.iter().any(|parameter| parameter.name == name)
    }

    /// The largest body.
    pub(crate) fn most_bytes(&self) -> usize {
        self.body.map_or(NONE, |body| body.most)
    }
}

const LIMIT: Parameter = Parameter { name: "limit", what: "Items in a page, 1 to 200; 50 without it.", number: true };
const CURSOR: Parameter = Parameter { name: "cursor", what: "`next` of the page before.", number: false };
const PAGED: &[Parameter] = &[LIMIT, CURSOR];
const OF_PERSON: &[Parameter] =
    &[LIMIT, CURSOR, Parameter { name: "user", what: "Only of this person: her id.", number: false }];
const OF_SUBJECT: &[Parameter] = &[
    LIMIT,
    CURSOR,
    Parameter { name: "user", what: "Only of this person: her id.", number: false },
    Parameter { name: "agent", what: "Only of this agent: its id.", number: false },
];

/// A body that must be there.
macro_rules! body {
    ($of:ty) => {
        body!($of, USUAL)
    };
    ($of:ty, $most:expr) => {
        Some(Body { schema: |schemas| schemas.subschema_for::<$of>(), required: true, most: $most })
    };
}

macro_rules! handler {
    (Anyone, $handler:path) => {
        Handler::Anyone(|ask| Box::pin($handler(ask)))
    };
    (Operator, $handler:path) => {
        Handler::Operator(|ask| Box::pin($handler(ask)))
    };
    ($who:ident, $handler:path) => {
        Handler::$who(|ask, tenant| Box::pin($handler(ask, tenant)))
    };
}

macro_rules! operation {
    ($id:literal, $verb:ident $path:literal, $tag:literal, $summary:literal, $who:ident $handler:path
     $(, $key:ident: $value:expr)* $(,)?) => {
        Operation {
            $($key: $value,)*
            ..Operation::new($id, Verb::$verb, $path, $tag, $summary, handler!($who, $handler))
        }
    };
}

/// Everything there is.
#[rustfmt::skip]
pub static OPERATIONS: &[Operation] = &[
    operation!("getSelf", Get "/self", "tokens", "Which token this is, and what it may do.",
        Anyone tokens::own, gives: Gives::One("ApiToken")),
    operation!("getDocument", Get "/openapi.json", "tokens", "This document.",
        Anyone openapi::document, gives: Gives::One("Document")),
    operation!("listApiTokens", Get "/api-tokens", "tokens", "All tokens of the admin API; no value is shown.",
        Operator tokens::all, query: PAGED, gives: Gives::List("ApiToken")),
    operation!("revokeApiToken", Delete "/api-tokens/{token}", "tokens", "Revokes any token of the admin API.",
        Operator tokens::revoke_any),

    operation!("listTenants", Get "/tenants", "tenants", "The tenants that the token reaches.",
        Anyone tenants::list, query: PAGED, gives: Gives::List("Tenant")),
    operation!("createTenant", Post "/tenants", "tenants", "Makes a tenant.",
        Operator tenants::create, body: body!(tenants::NewTenant), gives: Gives::New("Tenant"), etag: true),
    operation!("getTenant", Get "/tenants/{tenant}", "tenants", "A tenant, with the lifetimes that are in force.",
        Tenant tenants::get, gives: Gives::One("Tenant"), etag: true),
    operation!("changeTenant", Patch "/tenants/{tenant}", "tenants",
        "Changes what a tenant is called and what it chose. What is left out stays; a lifetime that is null or 0 is the operator's again.",
        Tenant tenants::change, body: body!(tenants::TenantChange), gives: Gives::One("Tenant"), etag: true,
        if_match: true),
    operation!("suspendTenant", Post "/tenants/{tenant}/suspend", "tenants",
        "Lets nobody of a tenant in, and ends everything that is alive.",
        OperatorOfTenant tenants::suspend, gives: Gives::One("Suspension")),
    operation!("resumeTenant", Post "/tenants/{tenant}/resume", "tenants",
        "Lets a suspended tenant's people sign in again; no old token works again.",
        OperatorOfTenant tenants::resume, gives: Gives::One("Suspension")),
    operation!("deleteTenant", Delete "/tenants/{tenant}", "tenants",
        "Removes a tenant with everything that is its own. The audit log stays; there is no other way back.",
        OperatorOfTenant tenants::delete, gives: Gives::One("Removal")),
    operation!("listTenantApiTokens", Get "/tenants/{tenant}/api-tokens", "tokens",
        "A tenant's tokens of the admin API; no value is shown.",
        Tenant tokens::list, query: PAGED, gives: Gives::List("ApiToken")),
    operation!("revokeTenantApiToken", Delete "/tenants/{tenant}/api-tokens/{token}", "tokens",
        "Revokes a tenant's token of the admin API.", Tenant tokens::revoke),

    operation!("listDomains", Get "/tenants/{tenant}/domains", "domains", "E-mail domains that a tenant claims.",
        Tenant domains::list, query: PAGED, gives: Gives::List("Domain")),
    operation!("claimDomain", Post "/tenants/{tenant}/domains", "domains",
        "Claims a domain; the answer names the DNS record that proves it.",
        Tenant domains::claim, body: body!(domains::NewDomain), gives: Gives::New("Domain")),
    operation!("getDomain", Get "/tenants/{tenant}/domains/{domain}", "domains", "One claim.",
        Tenant domains::get, gives: Gives::One("Domain")),
    operation!("checkDomain", Post "/tenants/{tenant}/domains/{domain}/check", "domains",
        "Looks for the DNS record of a claim, and proves it if the record is there.",
        Tenant domains::check, gives: Gives::One("Domain")),
    operation!("proveDomain", Post "/tenants/{tenant}/domains/{domain}/prove", "domains",
        "Proves a claim by the operator's word; nothing is looked for.",
        OperatorOfTenant domains::prove, gives: Gives::One("Domain")),
    operation!("removeDomain", Delete "/tenants/{tenant}/domains/{domain}", "domains",
        "Gives a claim up; who is signed in stays signed in.", Tenant domains::remove),

    operation!("listConnections", Get "/tenants/{tenant}/connections", "connections",
        "A tenant's identity providers, with what to enter there. No secret is shown.",
        Tenant connections::list, query: PAGED, gives: Gives::List("Connection")),
    operation!("createConnection", Post "/tenants/{tenant}/connections", "connections",
        "Connects an identity provider.",
        Tenant connections::create, body: body!(connections::NewConnection, LARGE), gives: Gives::New("Connection"),
        etag: true),
    operation!("getConnection", Get "/tenants/{tenant}/connections/{connection}", "connections", "One of them.",
        Tenant connections::get, gives: Gives::One("Connection"), etag: true),
    operation!("changeConnection", Patch "/tenants/{tenant}/connections/{connection}", "connections",
        "Changes a connection. What is left out stays; the provider, the URLs and our keys do.",
        Tenant connections::change, body: body!(connections::ConnectionChange, LARGE),
        gives: Gives::One("Connection"), etag: true, if_match: true),
    operation!("enableConnection", Post "/tenants/{tenant}/connections/{connection}/enable", "connections",
        "Lets people sign in by it.", Tenant connections::enable, gives: Gives::One("Switch")),
    operation!("disableConnection", Post "/tenants/{tenant}/connections/{connection}/disable", "connections",
        "Lets nobody sign in by it, and ends every session that was begun by it.",
        Tenant connections::disable, gives: Gives::One("Switch")),
    operation!("rollSamlKeys", Post "/tenants/{tenant}/connections/{connection}/saml-keys", "connections",
        "One step of a roll-over of our keys at a SAML provider; wait between steps until it has read our metadata.",
        Tenant connections::saml_keys, body: body!(connections::KeyStep), gives: Gives::One("KeyStep")),
    operation!("removeConnection", Delete "/tenants/{tenant}/connections/{connection}", "connections",
        "Removes it with its links, and ends every session that was begun by it.",
        Tenant connections::remove, gives: Gives::One("Removal")),
    operation!("getMapping", Get "/tenants/{tenant}/connections/{connection}/mapping", "connections",
        "Who becomes whom.", Tenant connections::mapping, gives: Gives::One("Mapping"), etag: true),
    operation!("setMapping", Put "/tenants/{tenant}/connections/{connection}/mapping", "connections",
        "Replaces who becomes whom; it counts from each person's next sign-in on. What is left out is the standard of the protocol and the preset.",
        Tenant connections::set_mapping, body: body!(connections::MappingBody), gives: Gives::One("Mapping"),
        etag: true, if_match: true),
    operation!("previewMapping", Post "/tenants/{tenant}/connections/{connection}/preview", "connections",
        "What the mapping makes of given claims, or of what the provider asserted last.",
        Tenant connections::preview, body: body!(connections::PreviewBody, LARGE), gives: Gives::One("Preview")),

    operation!("listScimTokens", Get "/tenants/{tenant}/scim-tokens", "provisioning",
        "Tokens of a tenant's provisioning systems; no value is shown.",
        Tenant scim_tokens::list, query: PAGED, gives: Gives::List("ScimToken")),
    operation!("createScimToken", Post "/tenants/{tenant}/scim-tokens", "provisioning",
        "Makes a token; its value is in this answer and in no other.",
        Tenant scim_tokens::create, body: body!(scim_tokens::NewScimToken), gives: Gives::New("NewScimToken")),
    operation!("rotateScimToken", Post "/tenants/{tenant}/scim-tokens/{token}/rotate", "provisioning",
        "Makes a token in the place of this one, which ends at once.",
        Tenant scim_tokens::rotate, gives: Gives::New("NewScimToken")),
    operation!("revokeScimToken", Delete "/tenants/{tenant}/scim-tokens/{token}", "provisioning",
        "Removes a token; the next request with it is refused.", Tenant scim_tokens::revoke),

    operation!("listSignalStreams", Get "/tenants/{tenant}/signal-streams", "signals",
        "Streams of security events, and endpoints for token revocation.",
        Tenant signals::list, query: PAGED, gives: Gives::List("SignalStream")),
    operation!("createSignalStream", Post "/tenants/{tenant}/signal-streams", "signals",
        "Makes a stream at a transmitter and here, and asks for its verification event.",
        Tenant signals::create, body: body!(signals::NewStream), gives: Gives::New("NewSignalStream")),
    operation!("createRevocationEndpoint", Post "/tenants/{tenant}/revocation-endpoints", "signals",
        "Makes an endpoint for Global Token Revocation; a bearer token is in this answer and in no other.",
        Tenant signals::endpoint, body: body!(signals::NewRevocation), gives: Gives::New("NewSignalStream")),
    operation!("getSignalStream", Get "/tenants/{tenant}/signal-streams/{stream}", "signals", "One of them.",
        Tenant signals::get, gives: Gives::One("SignalStream")),
    operation!("removeSignalStream", Delete "/tenants/{tenant}/signal-streams/{stream}", "signals",
        "Removes a stream or an endpoint; a stream at the transmitter too.",
        Tenant signals::remove, gives: Gives::One("StreamRemoval")),

    operation!("listPeople", Get "/tenants/{tenant}/people", "people", "A tenant's people.",
        Tenant people::list, query: PAGED, gives: Gives::List("Person")),
    operation!("getPerson", Get "/tenants/{tenant}/people/{person}", "people", "One person.",
        Tenant people::get, gives: Gives::One("Person")),
    operation!("disablePerson", Post "/tenants/{tenant}/people/{person}/disable", "people",
        "Lets her sign in nowhere, and ends everything of her.", Tenant people::disable, gives: Gives::One("Ending")),
    operation!("enablePerson", Post "/tenants/{tenant}/people/{person}/enable", "people",
        "Lets her sign in again; no old token works again.", Tenant people::enable, gives: Gives::One("Person")),
    operation!("endPerson", Post "/tenants/{tenant}/people/{person}/end", "people",
        "Ends everything of her: sessions, grants, tokens, waiting codes. She may sign in again.",
        Tenant people::end, gives: Gives::One("Ending")),
    operation!("listSessions", Get "/tenants/{tenant}/sessions", "people", "Who is signed in.",
        Tenant sessions::list, query: OF_PERSON, gives: Gives::List("Session")),
    operation!("endSession", Delete "/tenants/{tenant}/sessions/{session}", "people",
        "Ends a session with every token that stands on it.",
        Tenant sessions::end, gives: Gives::One("SessionEnding")),
    operation!("listGrants", Get "/tenants/{tenant}/grants", "people",
        "What people and agents of a tenant have given to clients, and is alive.",
        Tenant grants::list, query: OF_SUBJECT, gives: Gives::List("Grant")),
    operation!("endGrant", Delete "/tenants/{tenant}/grants/{grant}", "people", "Ends a grant with all its tokens.",
        Tenant grants::end, gives: Gives::One("GrantEnding")),
];
