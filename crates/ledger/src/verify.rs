//! Verification of a whole log from its public files, trusting nothing but the key and, where one
//! is given, a checkpoint that was kept elsewhere.
//!
//! Everything is computed again from the entries: leaf hashes, tiles at every level, the root, the
//! tenants' chains. A log that was cut, rolled back or forked *and signed again* looks whole by
//! itself; only the kept checkpoint shows it.

use std::path::Path;

use crate::{
    LedgerError,
    chain::Chains,
    layout::{TileKind, WIDTH, sized_path},
    merkle::{Frontier, Hash, complete_root},
    note::{Checkpoint, VerifierKey},
    reader::{InclusionProof, LogReader, read_bundle},
    tiles::TileReader,
};

/// What to check besides the log itself.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// A signed checkpoint (the note's bytes) kept elsewhere: the log must be a continuation of it.
    pub against: Option<Vec<u8>>,
    /// Also prove this entry's inclusion from the tiles.
    pub entry: Option<u64>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The log's checkpoint.
    pub checkpoint: Checkpoint,
    /// Size of the kept checkpoint, if one was given.
    pub continues: Option<u64>,
    /// The proof of the entry that was asked for; it holds.
    pub entry: Option<InclusionProof>,
    /// Every chain: tenant or `-`, number of entries, leaf hash of the last.
    pub chains: Vec<(String, u64, Hash)>,
}

/// Verifies the log in `dir`.
///
/// # Errors
/// The first thing that is wrong, with the index or tile: every variant of [`LedgerError`] but
/// those of appending and opening.
pub fn verify(dir: &Path, key: &VerifierKey, origin: &str, options: &VerifyOptions) -> Result<Verified, LedgerError> {
    let reader = LogReader::open(dir, key, origin)?;
    let checkpoint = reader.checkpoint().clone();
    let kept = match &options.against {
        Some(note) => Some(Checkpoint::verify(note, key, origin)?),
        None => None,
    };
    if let Some(kept) = kept.as_ref().filter(|kept| kept.size > checkpoint.size) {
        return Err(LedgerError::RolledBack { have: checkpoint.size, signed: kept.size });
    }
    let chains = recompute(dir, &checkpoint, kept.as_ref())?;
    let entry = match options.entry {
        Some(index) => {
            let proof = reader.prove_inclusion(index)?;
            proof.check(&checkpoint.root)?;
            Some(proof)
        }
        None => None,
    };
    let chains = chains.into_heads();
    Ok(Verified { checkpoint, continues: kept.map(|kept| kept.size), entry, chains })
}

/// Goes through all entries once and compares every tile, every chain and both roots.
fn recompute(dir: &Path, checkpoint: &Checkpoint, kept: Option<&Checkpoint>) -> Result<Chains, LedgerError> {
    let size = checkpoint.size;
    let tiles = TileReader::new(dir, size);
    let mut frontier = Frontier::default();
    let mut chains = Chains::default();
    let mut upper = Upper { tiles: &tiles, levels: Vec::new() };
    let check_kept = |frontier: &Frontier| match kept {
        Some(kept) if kept.size == frontier.size() && kept.root != frontier.root() => {
            Err(LedgerError::Forked { size: kept.size })
        }
        _ => Ok(()),
    };
    check_kept(&frontier)?;
    for n in 0..size.div_ceil(WIDTH) {
        let entries = read_bundle(&tiles, n)?;
        for entry in &entries {
            let (index, tenant) = (entry.index, entry.leaf.tenant_name().to_owned());
            chains.follow(&entry.leaf, entry.leaf_hash).map_err(|why| LedgerError::BrokenChain {
                index,
                tenant,
                why,
            })?;
            frontier.push(entry.leaf_hash);
            check_kept(&frontier)?;
        }
        if entries.len() as u64 == WIDTH {
            let hashes: Vec<Hash> = entries.iter().map(|entry| entry.leaf_hash).collect();
            upper.add(0, complete_root(&hashes))?;
        }
    }
    upper.finish()?;
    if frontier.root() != checkpoint.root {
        return Err(LedgerError::Forked { size });
    }
    Ok(chains)
}

/// Compares the tiles above level 0 as their hashes are computed.
struct Upper<'a> {
    tiles: &'a TileReader,
    /// For level 1 and up: full tiles so far, and the hashes of the one being filled.
    levels: Vec<(u64, Vec<Hash>)>,
}

impl Upper<'_> {
    fn add(&mut self, at: usize, hash: Hash) -> Result<(), LedgerError> {
        if self.levels.len() == at {
            self.levels.push((0, Vec::new()));
        }
        let (n, hashes) = &mut self.levels[at];
        hashes.push(hash);
        if (hashes.len() as u64) < WIDTH {
            return Ok(());
        }
        let (number, full) = (*n, std::mem::take(hashes));
        *n += 1;
        compare(self.tiles, at as u32 + 1, number, &full)?;
        self.add(at + 1, complete_root(&full))
    }

    fn finish(self) -> Result<(), LedgerError> {
        let partial = |(_, (_, hashes)): &(usize, &(u64, Vec<Hash>))| !hashes.is_empty();
        for (at, (n, hashes)) in self.levels.iter().enumerate().filter(partial) {
            compare(self.tiles, at as u32 + 1, *n, hashes)?;
        }
        Ok(())
    }
}

fn compare(tiles: &TileReader, level: u32, n: u64, expected: &[Hash]) -> Result<(), LedgerError> {
    if tiles.tile(level, n)? == expected {
        return Ok(());
    }
    let path = sized_path(TileKind::Level(level), n, expected.len() as u64);
    Err(LedgerError::TileWrong { path, why: "it does not hold the roots of the tiles below it".into() })
}
