//! Filters (RFC 7644 §3.4.2.2) and PATCH paths (§3.5.2): what they are once parsed.
//!
//! The parser is our own. `scim_v2`, the library that was looked at, is bounded and sound, but it refuses
//! by design `emails[type eq "work"].value eq "x"`, which Entra ID documents as a filter that a service
//! must take, and `members[value eq"x"]` without a space, which RFC 7644 §3.5.2.2 prints; and it brings
//! a generated parser of 15,000 lines. What both take is compared with it in `tests/scim/differential.rs`.

pub(crate) mod compare;
mod compile;
mod parse;

use std::fmt;

use serde_json::Value;

pub(crate) use compile::{Compiled, Scope, SortBy, SortKey, Subject, resolvable, unknown};

/// Longest filter or path, in bytes.
pub const MAX_LENGTH: usize = 2048;
/// Deepest nesting of `(`, `not (` and `[` in a filter.
pub const MAX_DEPTH: usize = 20;
/// Most comparisons in a filter.
pub const MAX_NODES: usize = 100;

/// `attrPath`: `[URI ":"] ATTRNAME [subAttr]`, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttrPath {
    /// The schema's URI, without the colon that follows it.
    pub uri: Option<String>,
    /// The attribute.
    pub name: String,
    /// The sub-attribute.
    pub sub: Option<String>,
}

impl fmt::Display for AttrPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(uri) = &self.uri {
            write!(f, "{uri}:")?;
        }
        f.write_str(&self.name)?;
        self.sub.iter().try_for_each(|sub| write!(f, ".{sub}"))
    }
}

/// `compareOp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Contains.
    Co,
    /// Starts with.
    Sw,
    /// Ends with.
    Ew,
    /// Greater than.
    Gt,
    /// Greater or equal.
    Ge,
    /// Less than.
    Lt,
    /// Less or equal.
    Le,
}

impl Operator {
    const ALL: [(&'static str, Self); 9] = [
        ("eq", Self::Eq),
        ("ne", Self::Ne),
        ("co", Self::Co),
        ("sw", Self::Sw),
        ("ew", Self::Ew),
        ("gt", Self::Gt),
        ("ge", Self::Ge),
        ("lt", Self::Lt),
        ("le", Self::Le),
    ];

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, operator)| *operator)
    }

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, operator)| *operator == self).map_or("eq", |(name, _)| *name)
    }
}

/// A parsed filter. Its depth and number of nodes are bounded by the parser.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All of them (at least two).
    And(Vec<Filter>),
    /// One of them (at least two).
    Or(Vec<Filter>),
    /// Not that.
    Not(Box<Filter>),
    /// `attrPath pr`
    Present(AttrPath),
    /// `attrPath op value`; the value is text, a number, a boolean or null.
    Compare(AttrPath, Operator, Value),
    /// `attrPath[filter]`: one value of the attribute matches the filter.
    Values(AttrPath, Box<Filter>),
}

impl Filter {
    /// Parses a filter within [`MAX_LENGTH`], [`MAX_DEPTH`] and [`MAX_NODES`].
    ///
    /// # Errors
    /// [`Fault::InvalidFilter`](crate::Fault::InvalidFilter), with the place.
    pub fn parse(text: &str) -> Result<Self, crate::Fault> {
        parse::filter(text)
    }

    /// Every attribute path outside brackets, and those before brackets.
    pub(crate) fn paths<'a>(&'a self, found: &mut Vec<&'a AttrPath>) {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.paths(found)),
            Self::Not(inner) => inner.paths(found),
            Self::Present(path) | Self::Compare(path, ..) | Self::Values(path, _) => found.push(path),
        }
    }
}

/// Writes the filter so that it parses back to the same.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, parts: &[Self], word: &str| {
            for (n, part) in parts.iter().enumerate() {
                if n > 0 {
                    write!(f, " {word} ")?;
                }
                match part {
                    Self::And(_) | Self::Or(_) => write!(f, "({part})")?,
                    other => write!(f, "{other}")?,
                }
            }
            Ok(())
        };
        match self {
            Self::And(parts) => joined(f, parts, "and"),
            Self::Or(parts) => joined(f, parts, "or"),
            Self::Not(inner) => write!(f, "not ({inner})"),
            Self::Present(path) => write!(f, "{path} pr"),
            Self::Compare(path, operator, value) => write!(f, "{path} {} {value}", operator.name()),
            Self::Values(path, inner) => write!(f, "{path}[{inner}]"),
        }
    }
}

/// A PATCH path: `attrPath` or `attrPath[filter]` with an optional sub-attribute behind the bracket.
#[derive(Debug, Clone, PartialEq)]
pub struct PatchPath {
    /// The attribute.
    pub attribute: AttrPath,
    /// Which of its values.
    pub filter: Option<Filter>,
    /// The sub-attribute of those values.
    pub sub: Option<String>,
}

impl PatchPath {
    /// Parses a path within the same bounds as a filter.
    ///
    /// # Errors
    /// [`Fault::InvalidPath`](crate::Fault::InvalidPath), with the place.
    pub fn parse(text: &str) -> Result<Self, crate::Fault> {
        parse::path(text)
    }
}

impl fmt::Display for PatchPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.attribute)?;
        self.filter.iter().try_for_each(|filter| write!(f, "[{filter}]"))?;
        self.sub.iter().try_for_each(|sub| write!(f, ".{sub}"))
    }
}
