//! What an upstream offers: typed definitions out of list results, their hashes, and filtered lists.
//!
//! A definition's hash is what an administrator pins. Annotations are claims of the upstream; missing or
//! malformed ones read as the specification's defaults, which are the dangerous side. Nothing here decides
//! what is shown.

use std::collections::HashSet;

use serde_json::Value;

use crate::{errors::Error, json, json::Object, methods::ListKind};

impl ListKind {
    /// The method that lists it.
    pub const fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Resources => "resources/list",
            Self::ResourceTemplates => "resources/templates/list",
            Self::Prompts => "prompts/list",
        }
    }

    /// The member of the result that holds the definitions.
    pub const fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Resources => "resources",
            Self::ResourceTemplates => "resourceTemplates",
            Self::Prompts => "prompts",
        }
    }

    /// The member of a definition that identifies it.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::ResourceTemplates => "uriTemplate",
        }
    }
}

/// The four hints of a tool, with the specification's defaults (schema, `ToolAnnotations`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Annotations {
    /// Default false.
    pub read_only: bool,
    /// Default **true**; means something only when not `read_only`.
    pub destructive: bool,
    /// Default false.
    pub idempotent: bool,
    /// Default **true**.
    pub open_world: bool,
}

impl Default for Annotations {
    fn default() -> Self {
        Self { read_only: false, destructive: true, idempotent: false, open_world: true }
    }
}

impl Annotations {
    /// Reads a tool's `annotations`; a hint that is no boolean counts as missing.
    pub fn read(annotations: Option<&Value>) -> Self {
        let hint = |key: &str| annotations.and_then(|a| a.get(key)).and_then(Value::as_bool);
        let default = Self::default();
        Self {
            read_only: hint("readOnlyHint").unwrap_or(default.read_only),
            destructive: hint("destructiveHint").unwrap_or(default.destructive),
            idempotent: hint("idempotentHint").unwrap_or(default.idempotent),
            open_world: hint("openWorldHint").unwrap_or(default.open_world),
        }
    }
}

/// One tool, resource, resource template or prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// Which of the four.
    pub kind: ListKind,
    /// Its name, URI or URI template; not empty.
    pub key: String,
    /// `title`, else `annotations.title`. For people.
    pub title: Option<String>,
    /// For models; untrusted text.
    pub description: Option<String>,
    /// A tool's hints; the defaults for the other kinds.
    pub annotations: Annotations,
    /// A tool's `inputSchema`.
    pub input_schema: Option<Value>,
    /// The definition as the upstream sent it.
    pub raw: Value,
}

impl Definition {
    /// Reads one definition.
    ///
    /// # Errors
    /// [`Error::ResultShape`] when it is no object, has no key, or is a tool whose `inputSchema` is no
    /// object.
    pub fn read(kind: ListKind, raw: Value) -> Result<Self, Error> {
        let text = |key: &str| raw.get(key).and_then(Value::as_str).map(str::to_owned);
        let key = text(kind.key()).filter(|key| !key.is_empty()).ok_or_else(|| {
            Error::ResultShape(format!("a definition in `{}` has no string `{}`", kind.member(), kind.key()))
        })?;
        let is_tool = kind == ListKind::Tools;
        let input_schema = raw.get("inputSchema").filter(|schema| schema.is_object()).cloned();
        if is_tool && input_schema.is_none() {
            return Err(Error::ResultShape("a tool's `inputSchema` is not an object".into()));
        }
        let annotations = raw.get("annotations").filter(|_| is_tool);
        Ok(Self {
            kind,
            key,
            title: text("title").or_else(|| annotations?.get("title")?.as_str().map(str::to_owned)),
            description: text("description"),
            annotations: Annotations::read(annotations),
            input_schema: input_schema.filter(|_| is_tool),
            raw,
        })
    }

    /// SHA-256 over the canonical text of the whole definition ([`json::canonical`]): any change that a
    /// client could see, annotations and unknown members included, gives another hash; the order of keys
    /// and the spelling of strings do not.
    pub fn hash(&self) -> [u8; 32] {
        json::digest(&self.raw)
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Those that can be used, in the upstream's order.
    pub definitions: Vec<Definition>,
    /// Why others cannot: malformed, or the same key twice. One line each, safe to log.
    pub rejected: Vec<String>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// Reads the result of a list.
///
/// A key that occurs twice is rejected each time: nobody can say which of the two a call would reach.
///
/// # Errors
/// [`Error::ResultShape`] when the list itself is missing or no array.
pub fn read_page(kind: ListKind, result: &Object) -> Result<Page, Error> {
    let Some(Value::Array(items)) = result.get(kind.member()) else {
        return Err(Error::ResultShape(format!("the result has no array `{}`", kind.member())));
    };
    let twice = repeated(kind, items);
    let mut page = Page {
        definitions: Vec::with_capacity(items.len()),
        rejected: Vec::new(),
        next_cursor: result.get("nextCursor").and_then(Value::as_str).map(str::to_owned),
    };
    for item in items {
        match Definition::read(kind, item.clone()) {
            Ok(definition) if twice.contains(definition.key.as_str()) => {
                page.rejected.push(format!("{:?} occurs twice in `{}`", definition.key, kind.member()));
            }
            Ok(definition) => page.definitions.push(definition),
            Err(error) => page.rejected.push(error.to_string()),
        }
    }
    Ok(page)
}

/// Keeps the definitions that `show` allows, in place; malformed ones and repeated keys go. Everything else
/// of the result (`nextCursor`, unknown members) stays as it is.
///
/// # Errors
/// [`Error::ResultShape`] when the list itself is missing or no array.
pub fn filter(kind: ListKind, result: &mut Object, mut show: impl FnMut(&Definition) -> bool) -> Result<(), Error> {
    let Some(Value::Array(items)) = result.get_mut(kind.member()) else {
        return Err(Error::ResultShape(format!("the result has no array `{}`", kind.member())));
    };
    let twice: HashSet<String> = repeated(kind, items).into_iter().map(str::to_owned).collect();
    let shown = std::mem::take(items)
        .into_iter()
        .filter_map(|item| Definition::read(kind, item).ok())
        .filter(|definition| !twice.contains(&definition.key) && show(definition))
        .map(|definition| definition.raw);
    *items = shown.collect();
    Ok(())
}

fn repeated(kind: ListKind, items: &[Value]) -> HashSet<&str> {
    let mut seen = HashSet::new();
    items.iter().filter_map(|item| item.get(kind.key())?.as_str()).filter(|key| !seen.insert(*key)).collect()
}

#[cfg(test)]
#[path = "catalogue_tests.rs"]
mod tests;
