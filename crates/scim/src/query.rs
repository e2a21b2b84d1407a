//! The parameters of a query, from a URL (RFC 7644 §3.4.2) or a search message (§3.4.3).

use serde_json::{Map, Value};

use crate::{
    fault::{Fault, shown},
    filter::{AttrPath, Filter, PatchPath},
    json,
    service::Limits,
    view::Selection,
};

const MESSAGE: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

/// What to list.
#[derive(Debug, Default)]
pub(crate) struct Query {
    pub(crate) filter: Option<Filter>,
    pub(crate) sort_by: Option<AttrPath>,
    pub(crate) descending: bool,
    /// From 1.
    pub(crate) start: u64,
    pub(crate) count: usize,
    pub(crate) selection: Selection,
}

/// The parameters as text, each at most once.
#[derive(Debug, Default)]
struct Raw {
    filter: Option<String>,
    sort_by: Option<String>,
    sort_order: Option<String>,
    start: Option<i64>,
    count: Option<i64>,
    only: Vec<String>,
    without: Vec<String>,
}

fn names(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn value_of(name: &str, what: &str) -> Fault {
    Fault::InvalidValue(format!("`{name}` is not {what}"))
}

impl Query {
    pub(crate) fn from_url(pairs: &[(String, String)], limits: &Limits) -> Result<Self, Fault> {
        let mut raw = Raw::default();
        let mut seen: Vec<String> = Vec::new();
        for (name, value) in pairs {
            let name = name.to_ascii_lowercase();
            let number = || value.parse::<i64>().map(Some).map_err(|_| value_of(&name, "a whole number"));
            match name.as_str() {
                "filter" => raw.filter = Some(value.clone()),
                "sortby" => raw.sort_by = Some(value.clone()),
                "sortorder" => raw.sort_order = Some(value.clone()),
                "startindex" => raw.start = number()?,
                "count" => raw.count = number()?,
                "attributes" => raw.only = names(value),
                "excludedattributes" => raw.without = names(value),
                _ => continue,
            }
            if seen.contains(&name) {
                return Err(Fault::InvalidValue(format!("`{name}` is there twice")));
            }
            seen.push(name);
        }
        raw.check(limits)
    }

    pub(crate) fn from_message(body: &Map<String, Value>, limits: &Limits) -> Result<Self, Fault> {
        if let Some(schemas) = json::member(body, "schemas") {
            let named = schemas.as_array().is_some_and(|list| list.iter().any(|urn| urn == MESSAGE));
            if !named {
                return Err(Fault::InvalidSyntax(format!("`schemas` does not name {MESSAGE}")));
            }
        }
        let text = |name: &str| match json::member(body, name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(value_of(name, "text")),
        };
        let number = |name: &str| match json::member(body, name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_i64().map(Some).ok_or_else(|| value_of(name, "a whole number")),
        };
        let list = |name: &str| match json::member(body, name) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::String(one)) => Ok(names(one)),
            Some(value) => serde_json::from_value(value.clone()).map_err(|_| value_of(name, "a list of text")),
        };
        let raw = Raw {
            filter: text("filter")?,
            sort_by: text("sortBy")?,
            sort_order: text("sortOrder")?,
            start: number("startIndex")?,
            count: number("count")?,
            only: list("attributes")?,
            without: list("excludedAttributes")?,
        };
        raw.check(limits)
    }
}

impl Raw {
    fn check(self, limits: &Limits) -> Result<Query, Fault> {
        let order = self.sort_order.unwrap_or_default();
        let descending = match order.to_ascii_lowercase().as_str() {
            "" | "ascending" => false,
            "descending" => true,
            _ => return Err(value_of("sortOrder", "ascending or descending")),
        };
        let sort_by = match &self.sort_by {
            None => None,
            Some(path) => match PatchPath::parse(path) {
                Ok(PatchPath { attribute, filter: None, .. }) => Some(attribute),
                _ => return Err(Fault::InvalidValue(format!("`sortBy` is no attribute: `{}`", shown(path)))),
            },
        };
        // §3.4.2.4: a start below 1 is 1, a count below 0 is 0.
        let start = u64::try_from(self.start.unwrap_or(1)).unwrap_or(1).max(1);
        let count = match self.count {
            None => limits.default_page,
            Some(count) => usize::try_from(count).unwrap_or(0),
        };
        Ok(Query {
            filter: self.filter.as_deref().map(Filter::parse).transpose()?,
            sort_by,
            descending,
            start,
            count: count.min(limits.page),
            selection: Selection::new(self.only, self.without)?,
        })
    }
}
