//! Where the service stands and what it allows.

/// Bounds on what one request may cost.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most bytes of a body.
    pub payload: usize,
    /// Most operations in one bulk request.
    pub bulk_operations: usize,
    /// Most resources on one page; a client that asks for more gets this many.
    pub page: usize,
    /// Resources on a page when the client does not say.
    pub default_page: usize,
    /// Most resources that one query may look at when no index answers it.
    pub scan: usize,
    /// Most members that one request may read.
    pub members: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload: 1024 * 1024,
            bulk_operations: 100,
            page: 200,
            default_page: 100,
            scan: 50_000,
            members: 100_000,
        }
    }
}

/// The service provider, as its tenant sees it.
#[derive(Debug, Clone)]
pub struct Service {
    /// The absolute URL under which the endpoints lie, without a slash at the end: `https://…/scim/v2`.
    pub base_url: String,
    /// Where an administrator can read about it.
    pub documentation: Option<String>,
    /// The bounds.
    pub limits: Limits,
}

impl Service {
    /// A service at `base_url` with the default limits.
    pub fn new(base_url: impl Into<String>) -> Self {
        let base_url = base_url.into();
        Self { base_url: base_url.trim_end_matches('/').to_owned(), documentation: None, limits: Limits::default() }
    }
}
