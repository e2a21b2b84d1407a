//! OAuth scopes (RFC 6749 section 3.3) and sets of them.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::BadId;

/// One scope token: printable ASCII without space, `"` and `\`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope(String);

impl Scope {
    /// Checks and wraps one scope token.
    pub fn new(value: impl Into<String>) -> Result<Self, BadId> {
        let value = value.into();
        let legal = |b: u8| b == 0x21 || (0x23..=0x5b).contains(&b) || (0x5d..=0x7e).contains(&b);
        if value.is_empty() || value.len() > 256 || !value.bytes().all(legal) {
            let value = value.chars().take(80).collect();
            return Err(BadId {
                noun: "scope",
                value,
                why: "use 1 to 256 printable ASCII characters without space, quote and backslash",
            });
        }
        Ok(Self(value))
    }
    /// The scope as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Scope {
    type Error = BadId;
    fn try_from(value: String) -> Result<Self, BadId> {
        Self::new(value)
    }
}
impl From<Scope> for String {
    fn from(scope: Scope) -> String {
        scope.0
    }
}
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A set of scopes. On the wire: a space-separated string, in sorted order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct ScopeSet(BTreeSet<Scope>);

impl ScopeSet {
    /// The empty set.
    pub const fn empty() -> Self {
        Self(BTreeSet::new())
    }
    /// Whether `scope` is in the set, to the letter: a hierarchy is the caller's business.
    pub fn contains(&self, scope: &Scope) -> bool {
        self.0.contains(scope)
    }
    /// Adds one scope.
    pub fn insert(&mut self, scope: Scope) {
        self.0.insert(scope);
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// In sorted order.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }
    /// Whether every scope here is also in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }
    /// What both have.
    pub fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }
    /// What either has.
    pub fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }
    /// What is here and not in `other`.
    pub fn difference(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).cloned().collect())
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().collect())
    }
}

impl FromStr for ScopeSet {
    type Err = BadId;
    fn from_str(value: &str) -> Result<Self, BadId> {
        value.split(' ').filter(|word| !word.is_empty()).map(Scope::new).collect()
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, scope) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

impl Serialize for ScopeSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for ScopeSet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_reads_and_prints_its_wire_form() {
        let set: ScopeSet = "b a  b".parse().unwrap();
        assert_eq!(set.to_string(), "a b");
        assert!("a \"b".parse::<ScopeSet>().is_err());
    }
}
