//! The protected resources that tokens are for. The application knows them; this crate asks.

use sallyport_model::{Scope, ScopeSet, UpstreamName};

/// A protected resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceInfo {
    /// Its RFC 8707 identifier, to the letter; the audience of its tokens.
    pub uri: String,
    /// The upstream behind it.
    pub upstream: UpstreamName,
    /// What people call it.
    pub title: String,
    /// Every scope that it knows.
    pub scopes: Vec<ScopeInfo>,
    /// What a client gets that asks for nothing in particular.
    pub initial_scopes: ScopeSet,
}

/// One scope, as a person is shown it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeInfo {
    /// The scope.
    pub scope: Scope,
    /// A short title, such as `Read files`.
    pub title: String,
    /// One sentence.
    pub description: String,
    /// Scopes that it covers.
    pub includes: ScopeSet,
    /// Whether it lets a client change, spend, send or delete something.
    pub risky: bool,
}

/// Knows the resources.
pub trait Resources: Send + Sync {
    /// The resource with exactly this identifier.
    fn resource(&self, uri: &str) -> Option<ResourceInfo>;
    /// All of them.
    fn resources(&self) -> Vec<ResourceInfo>;
}

/// The resource that a client names (RFC 8707). As MCP asks, scheme and host may be in any case; the
/// rest counts to the letter. Without a name there must be exactly one resource.
pub(crate) fn named(resources: &dyn Resources, uri: Option<&str>) -> Option<ResourceInfo> {
    let Some(uri) = uri else {
        let mut all = resources.resources();
        return if all.len() == 1 { all.pop() } else { None };
    };
    if uri.contains('#') {
        return None;
    }
    resources.resource(uri).or_else(|| {
        let (scheme, rest) = uri.split_once("://")?;
        let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let folded = format!("{}://{}{path}", scheme.to_ascii_lowercase(), host.to_ascii_lowercase());
        resources.resource(&folded)
    })
}

impl ResourceInfo {
    /// What people are told about `scope`.
    pub fn scope(&self, scope: &Scope) -> Option<&ScopeInfo> {
        self.scopes.iter().find(|info| info.scope == *scope)
    }

    /// Those of `scopes` that the resource knows.
    pub fn known(&self, scopes: &ScopeSet) -> ScopeSet {
        scopes.iter().filter(|scope| self.scope(scope).is_some()).cloned().collect()
    }

    /// `scopes` and everything that they cover, however deep.
    pub fn closure(&self, scopes: &ScopeSet) -> ScopeSet {
        let mut all = scopes.clone();
        loop {
            let more = all.iter().filter_map(|scope| self.scope(scope)).fold(all.clone(), |a, s| a.union(&s.includes));
            if more == all {
                return all;
            }
            all = more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Two(Vec<ResourceInfo>);

    impl Resources for Two {
        fn resource(&self, uri: &str) -> Option<ResourceInfo> {
            self.0.iter().find(|one| one.uri == uri).cloned()
        }
        fn resources(&self) -> Vec<ResourceInfo> {
            self.0.clone()
        }
    }

    fn resource(uri: &str) -> ResourceInfo {
        let scope = |name: &str, includes: &str| ScopeInfo {
            scope: Scope::new(name).unwrap(),
            title: name.into(),
            description: String::new(),
            includes: includes.parse().unwrap(),
            risky: false,
        };
        ResourceInfo {
            uri: uri.into(),
            upstream: UpstreamName::new("a").unwrap(),
            title: "A".into(),
            scopes: vec![scope("a:all", "a:write"), scope("a:write", "a:read"), scope("a:read", "a:all")],
            initial_scopes: ScopeSet::empty(),
        }
    }

    #[test]
    fn a_resource_is_named_to_the_letter_but_for_the_case_of_scheme_and_host() {
        let two = Two(vec![resource("https://g.example/mcp/a"), resource("https://g.example/mcp/b")]);
        for ok in ["https://g.example/mcp/a", "HTTPS://G.Example/mcp/a"] {
            assert!(named(&two, Some(ok)).is_some(), "{ok}");
        }
        for no in [
            "https://g.example/mcp/a/",
            "https://g.example/mcp/A",
            "https://g.example/mcp/a#x",
            "",
            "x",
            "https://g.example/mcp/a?x",
            "http://g.example/mcp/a",
            "https://g.example:443/mcp/a",
        ] {
            assert!(named(&two, Some(no)).is_none(), "{no}");
        }
        assert!(named(&two, None).is_none());
        assert!(named(&Two(vec![resource("https://g.example/mcp/a")]), None).is_some());
        assert!(named(&Two(vec![]), None).is_none());
    }

    #[test]
    fn a_broad_scope_covers_narrower_ones_even_in_a_circle() {
        let closure = resource("x").closure(&"a:write".parse().unwrap());
        assert_eq!(closure.to_string(), "a:all a:read a:write");
    }
}
