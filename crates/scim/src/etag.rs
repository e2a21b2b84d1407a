//! Entity-tags (RFC 7644 §3.14): weak, made of a resource's version.
//!
//! A user's tag does not follow her groups, which are shown with her but belong to the groups.

use crate::{
    directory::Kept,
    fault::{Fault, shown},
};

/// `W/"7"`
pub(crate) fn of(kept: &Kept) -> String {
    format!("W/\"{}\"", kept.version)
}

/// Compares weakly (RFC 9110 §8.8.3.2), as SCIM's tags are weak.
fn names(header: &str, etag: &str) -> bool {
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    header.trim() == "*" || header.split(',').any(|tag| opaque(tag.trim()) == opaque(etag))
}

/// Preconditions of one request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Preconditions {
    pub(crate) if_match: Option<String>,
    pub(crate) if_none_match: Option<String>,
}

impl Preconditions {
    /// Whether a GET may be answered with 304.
    pub(crate) fn unchanged(&self, kept: &Kept) -> bool {
        self.if_none_match.as_ref().is_some_and(|header| names(header, &of(kept)))
    }

    /// For a change: 412 unless the resource is the one that the client means.
    pub(crate) fn check(&self, kept: &Kept) -> Result<(), Fault> {
        let now = of(kept);
        let failed = self.if_match.as_ref().filter(|header| !names(header, &now));
        match failed.or(self.if_none_match.as_ref().filter(|header| names(header, &now))) {
            Some(header) => Err(Fault::PreconditionFailed { now, asked: shown(header) }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_names_a_tag_weakly() {
        for header in ["W/\"7\"", "\"7\"", "*", "W/\"1\", W/\"7\"", " \"1\" ,\"7\" "] {
            assert!(names(header, "W/\"7\""), "{header}");
        }
        for header in ["W/\"70\"", "7", "", "W/7", "w/\"7\"", "\"W/7\""] {
            assert!(!names(header, "W/\"7\""), "{header}");
        }
    }
}
