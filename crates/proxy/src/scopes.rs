//! Scope names made from an upstream's name and its catalogue.
//!
//! `NAME:read` and `NAME:write` are groups; `NAME:TOOL` is one tool. A tool's name is escaped where
//! it holds what a scope may not, or where it would read as a group, so that no upstream can name a
//! tool so that its scope means something else.

use sallyport_model::{Scope, ScopeSet, UpstreamName};

use crate::{config::Group, record::sha256_hex};

/// The scope of a group.
pub fn group(upstream: &UpstreamName, group: Group) -> Scope {
    let word = match group {
        Group::Read => "read",
        Group::Write => "write",
    };
    made(format!("{upstream}:{word}"))
}

/// The scope of one tool.
pub fn tool(upstream: &UpstreamName, name: &str) -> Scope {
    let mut escaped = String::with_capacity(name.len());
    let reserved = matches!(name, "read" | "write");
    for (at, byte) in name.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
        if plain && !(reserved && at == 0) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    if escaped.len() > 160 {
        // Too long for a scope: its digest is as good a name.
        escaped = format!("sha256%3A{}", sha256_hex(name.as_bytes()));
    }
    made(format!("{upstream}:{escaped}"))
}

/// What one operation needs: any one of these scopes is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// The narrowest scope that covers the operation, named in challenges.
    pub narrowest: Scope,
    /// The group that covers it as well.
    pub group: Scope,
}

impl Needed {
    /// Whether `held` covers the operation.
    pub fn met_by(&self, held: &ScopeSet) -> bool {
        held.contains(&self.narrowest) || held.contains(&self.group)
    }

    /// What to ask for: all that is held and what is missing, since a new token replaces the old.
    pub fn challenge(&self, held: &ScopeSet) -> ScopeSet {
        let mut scopes = held.clone();
        scopes.insert(self.narrowest.clone());
        scopes
    }
}

fn made(text: String) -> Scope {
    // An upstream name is a slug and everything else is escaped to visible ASCII.
    Scope::new(text).expect("made of a slug and escaped bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn files() -> UpstreamName {
        UpstreamName::new("files").unwrap()
    }

    #[test]
    fn ordinary_names_stay_readable() {
        assert_eq!(tool(&files(), "read_file").as_str(), "files:read_file");
        assert_eq!(tool(&files(), "a/b.c-d").as_str(), "files:a/b.c-d");
    }

    #[test]
    fn no_tool_takes_the_name_of_a_group() {
        assert_ne!(tool(&files(), "read"), group(&files(), Group::Read));
        assert_ne!(tool(&files(), "write"), group(&files(), Group::Write));
    }

    proptest! {
        #[test]
        fn two_tools_never_share_a_scope(a in ".{0,200}", b in ".{0,200}") {
            prop_assert_eq!(a == b, tool(&files(), &a) == tool(&files(), &b));
        }
    }
}
