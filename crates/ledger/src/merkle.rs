//! The Merkle tree of RFC 6962 section 2.1 with SHA-256: hashes, roots, inclusion and consistency
//! proofs, and the checks of RFC 9162 sections 2.1.3.2 and 2.1.4.2.
//!
//! Pure: it reads nodes through [`Nodes`] and writes nothing.

use aws_lc_rs::digest::{Context, SHA256, digest};

use crate::LedgerError;

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// Copies a digest out of the library's type.
fn finish(context: Context) -> Hash {
    let mut out = [0u8; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// SHA-256 over the concatenation of `parts`.
pub(crate) fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    finish(context)
}

/// The hash of a leaf: `SHA-256(0x00 ‖ leaf)`.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    sha256(&[&[0x00], leaf])
}

/// The hash of an inner node: `SHA-256(0x01 ‖ left ‖ right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [0x01u8; 65];
    bytes[1..33].copy_from_slice(left);
    bytes[33..].copy_from_slice(right);
    let mut out = [0u8; 32];
    out.copy_from_slice(digest(&SHA256, &bytes).as_ref());
    out
}

/// The root of the empty tree: `SHA-256("")`.
pub fn empty_root() -> Hash {
    sha256(&[])
}

/// The right edge of a growing tree: enough to add leaves and know the root, in 64 hashes or fewer.
#[derive(Debug, Clone, Default)]
pub struct Frontier {
    size: u64,
    /// Roots of the complete subtrees, largest first: one for each bit set in `size`.
    peaks: Vec<Hash>,
}

impl Frontier {
    /// Adds the next leaf by its hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        let mut rest = self.size;
        while rest & 1 == 1 {
            // One peak stands for each bit set, so there is one to take.
            let Some(left) = self.peaks.pop() else { break };
            hash = node_hash(&left, &hash);
            rest >>= 1;
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree over all leaves so far.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return empty_root() };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }
}

/// The root of a complete subtree over `hashes`, whose count must be a power of two.
pub(crate) fn complete_root(hashes: &[Hash]) -> Hash {
    let mut frontier = Frontier::default();
    for hash in hashes {
        frontier.push(*hash);
    }
    frontier.root()
}

/// Where inner nodes come from: complete subtrees of 2^`level` leaves.
pub trait Nodes {
    /// `MTH(D[index·2^level : (index+1)·2^level])`.
    fn node(&self, level: u32, index: u64) -> Result<Hash, LedgerError>;
}

/// The largest power of two smaller than `n`, which must be at least 2.
fn split(n: u64) -> u64 {
    1 << (63 - (n - 1).leading_zeros())
}

/// `MTH(D[low:high])`, where `low` is where RFC 6962's recursion may cut.
fn range(nodes: &dyn Nodes, low: u64, high: u64) -> Result<Hash, LedgerError> {
    let n = high - low;
    if n.is_power_of_two() {
        return nodes.node(n.trailing_zeros(), low / n);
    }
    let cut = low + split(n);
    Ok(node_hash(&range(nodes, low, cut)?, &range(nodes, cut, high)?))
}

/// The root of the first `size` leaves.
pub fn root(nodes: &dyn Nodes, size: u64) -> Result<Hash, LedgerError> {
    if size == 0 { Ok(empty_root()) } else { range(nodes, 0, size) }
}

/// The inclusion proof of leaf `index` in the tree of `size` leaves, nearest sibling first.
pub fn prove_inclusion(nodes: &dyn Nodes, index: u64, size: u64) -> Result<Vec<Hash>, LedgerError> {
    if index >= size {
        return Err(LedgerError::NoSuchEntry { index, size });
    }
    let (mut low, mut high) = (0, size);
    let mut proof = Vec::new();
    while high - low > 1 {
        let cut = low + split(high - low);
        if index < cut {
            proof.push(range(nodes, cut, high)?);
            high = cut;
        } else {
            proof.push(range(nodes, low, cut)?);
            low = cut;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the tree of `old` leaves is a prefix of the tree of `new` leaves.
pub fn prove_consistency(nodes: &dyn Nodes, old: u64, new: u64) -> Result<Vec<Hash>, LedgerError> {
    if old > new {
        return Err(LedgerError::RolledBack { have: new, signed: old });
    }
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let (mut low, mut high) = (0, new);
    let mut proof = Vec::new();
    let mut whole = true;
    while high != old {
        let cut = low + split(high - low);
        if old <= cut {
            proof.push(range(nodes, cut, high)?);
            high = cut;
        } else {
            proof.push(range(nodes, low, cut)?);
            low = cut;
            whole = false;
        }
    }
    if !whole {
        proof.push(range(nodes, low, high)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Checks an inclusion proof (RFC 9162 section 2.1.3.2).
pub fn check_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> Result<(), LedgerError> {
    if index >= size {
        return Err(LedgerError::BadProof("the index is beyond the tree"));
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for step in proof {
        if last == 0 {
            return Err(LedgerError::BadProof("it is too long"));
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(step, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, step);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(LedgerError::BadProof("it is too short"));
    }
    if hash == *root { Ok(()) } else { Err(LedgerError::BadProof("it leads to another root")) }
}

/// Checks a consistency proof (RFC 9162 section 2.1.4.2).
pub fn check_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), LedgerError> {
    let bad = |why| Err(LedgerError::BadProof(why));
    if old > new {
        return bad("the old tree is larger than the new one");
    }
    if old == 0 || old == new {
        let same = old == new && old_root != new_root;
        let empty = old == 0 && *old_root != empty_root();
        return if same || empty || !proof.is_empty() { bad("the roots differ") } else { Ok(()) };
    }
    let mut steps = proof.iter();
    let start = if old.is_power_of_two() { Some(old_root) } else { steps.next() };
    let Some(start) = start else { return bad("it is empty") };
    let (mut node, mut last) = (old - 1, new - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut left, mut right) = (*start, *start);
    for step in steps {
        if last == 0 {
            return bad("it is too long");
        }
        if node & 1 == 1 || node == last {
            left = node_hash(step, &left);
            right = node_hash(step, &right);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            right = node_hash(&right, step);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return bad("it is too short");
    }
    if left != *old_root || right != *new_root { bad("it leads to other roots") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Leaves(Vec<Hash>);
    impl Nodes for Leaves {
        fn node(&self, level: u32, index: u64) -> Result<Hash, LedgerError> {
            let from = (index << level) as usize;
            Ok(complete_root(&self.0[from..from + (1 << level)]))
        }
    }
    fn leaves(n: u64) -> Leaves {
        Leaves((0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect())
    }

    #[test]
    fn the_frontier_agrees_with_another_implementation() {
        let mut frontier = Frontier::default();
        let mut stored: Vec<tlog_tiles::tlog::Hash> = Vec::new();
        struct Stored<'a>(&'a [tlog_tiles::tlog::Hash]);
        impl tlog_tiles::tlog::HashReader for Stored<'_> {
            fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::tlog::Hash>, tlog_tiles::tlog::Error> {
                Ok(indexes.iter().map(|i| self.0[*i as usize]).collect())
            }
        }
        for n in 0..600u64 {
            let theirs = tlog_tiles::tlog::tree_hash(n, &Stored(&stored)).unwrap().0;
            if n > 0 {
                assert_eq!(frontier.root(), theirs, "size {n}");
                assert_eq!(root(&leaves(n), n).unwrap(), theirs, "size {n}");
            }
            frontier.push(leaf_hash(&n.to_be_bytes()));
            let more = tlog_tiles::tlog::stored_hashes(n, &n.to_be_bytes(), &Stored(&stored)).unwrap();
            stored.extend(more);
        }
    }

    proptest! {
        #[test]
        fn every_proof_holds_and_no_altered_one_does(size in 1u64..300, a in any::<u64>(), b in any::<u64>(), flip in any::<usize>()) {
            let tree = leaves(size);
            let root_new = root(&tree, size).unwrap();
            let index = a % size;
            let mut proof = prove_inclusion(&tree, index, size).unwrap();
            let leaf = tree.0[index as usize];
            check_inclusion(&leaf, index, size, &proof, &root_new).unwrap();
            prop_assert!(check_inclusion(&leaf, (index + 1) % size, size, &proof, &root_new).is_err() || size == 1);
            if !proof.is_empty() {
                let at = flip % proof.len();
                proof[at][flip % 32] ^= 1;
                prop_assert!(check_inclusion(&leaf, index, size, &proof, &root_new).is_err());
                proof.pop();
                prop_assert!(check_inclusion(&leaf, index, size, &proof, &root_new).is_err());
            }
            let old = b % (size + 1);
            let root_old = root(&tree, old).unwrap();
            let mut proof = prove_consistency(&tree, old, size).unwrap();
            check_consistency(old, &root_old, size, &root_new, &proof).unwrap();
            if !proof.is_empty() {
                let at = flip % proof.len();
                proof[at][flip % 32] ^= 1;
                prop_assert!(check_consistency(old, &root_old, size, &root_new, &proof).is_err());
            }
        }
    }
}
