//! Each tenant's chain through the log: where its next entry stands, and whether one follows.

use std::collections::HashMap;

use crate::{
    leaf::{Leaf, Place},
    merkle::Hash,
};

/// The heads of all chains: how many entries each has, and the leaf hash of the last.
#[derive(Debug, Default, Clone)]
pub(crate) struct Chains(HashMap<String, (u64, Hash)>);

impl Chains {
    /// Where the next entry of `tenant` stands when it gets this index.
    pub(crate) fn next(&self, tenant: &str, index: u64) -> Place {
        let (tenant_sequence, previous) = self.0.get(tenant).copied().unwrap_or_default();
        Place { index, tenant_sequence, previous }
    }

    /// Makes an entry the head of its tenant's chain.
    pub(crate) fn advance(&mut self, tenant: &str, hash: Hash) {
        match self.0.get_mut(tenant) {
            Some((count, head)) => {
                *count += 1;
                *head = hash;
            }
            None => {
                self.0.insert(tenant.to_owned(), (1, hash));
            }
        }
    }

    /// Checks that `leaf` follows its tenant's last entry, and makes it the head.
    pub(crate) fn follow(&mut self, leaf: &Leaf, hash: Hash) -> Result<(), &'static str> {
        let expected = self.next(leaf.tenant_name(), leaf.place.index);
        if leaf.place.tenant_sequence != expected.tenant_sequence {
            return Err("its sequence number is not the next one");
        }
        if leaf.place.previous != expected.previous {
            return Err("it does not name the entry before it");
        }
        self.advance(leaf.tenant_name(), hash);
        Ok(())
    }

    /// Every chain: its tenant or `-`, how many entries, and the leaf hash of the last.
    pub(crate) fn into_heads(self) -> Vec<(String, u64, Hash)> {
        let mut heads: Vec<_> = self.0.into_iter().map(|(tenant, (count, head))| (tenant, count, head)).collect();
        heads.sort();
        heads
    }
}
