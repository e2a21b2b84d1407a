//! What arrives and what leaves, without HTTP.

use bytes::Bytes;
use serde_json::Value;

use crate::fault::Fault;

/// The HTTP methods that SCIM uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Read or query.
    Get,
    /// Create, search, bulk.
    Post,
    /// Replace.
    Put,
    /// Modify.
    Patch,
    /// Remove.
    Delete,
    /// Anything else; refused with 405.
    Other,
}

impl Method {
    /// From the method's name as on the wire; case matters (RFC 9110 §9.1).
    pub fn from_name(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            _ => Self::Other,
        }
    }
}

/// One request that was authenticated to one tenant already.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The segments below the SCIM base, percent-decoded: `["Users", "7f3a…"]`. Empty for the base itself.
    pub path: Vec<String>,
    /// The query's pairs in order, decoded.
    pub query: Vec<(String, String)>,
    /// The `If-Match` header.
    pub if_match: Option<String>,
    /// The `If-None-Match` header.
    pub if_none_match: Option<String>,
    /// The body. It is read as JSON whatever its media type: a caller that wants 415 looks first.
    pub body: Bytes,
}

impl Request {
    /// A request with neither query, preconditions nor body.
    pub fn new(method: Method, path: &[&str]) -> Self {
        Self {
            method,
            path: path.iter().map(|segment| (*segment).to_owned()).collect(),
            query: Vec::new(),
            if_match: None,
            if_none_match: None,
            body: Bytes::new(),
        }
    }
}

/// What to answer. A body is `application/scim+json`.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The JSON body; none with 204 and 304.
    pub body: Option<Value>,
    /// The `ETag` header.
    pub etag: Option<String>,
    /// The `Location` header.
    pub location: Option<String>,
    /// The `Allow` header of a 405.
    pub allow: Option<&'static str>,
    /// Why it was refused: for the log and the audit, the body says it already.
    pub fault: Option<Fault>,
}

impl Response {
    pub(crate) fn ok(body: Value) -> Self {
        Self { status: 200, body: Some(body), ..Self::default() }
    }
}

impl From<Fault> for Response {
    fn from(fault: Fault) -> Self {
        let allow = match &fault {
            Fault::MethodNotAllowed { allow } => Some(*allow),
            _ => None,
        };
        Self { status: fault.status(), body: Some(fault.body()), allow, fault: Some(fault), ..Self::default() }
    }
}
