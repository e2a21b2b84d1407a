//! Reading a log as anybody may: from its public tiles and checkpoint, never from the journal.
//!
//! A reader trusts the directory as far as the checkpoint's signature; [`crate::verify`] is what
//! checks that the directory deserves it.

use std::path::{Path, PathBuf};

use crate::{
    LedgerError,
    keyring::Keyring,
    layout::{self, CHECKPOINT, WIDTH},
    leaf::Leaf,
    merkle::{self, Hash, leaf_hash},
    note::{Checkpoint, VerifierKey},
    seal::{self, Opened},
    tiles::TileReader,
};

/// One entry as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its index in the log.
    pub index: u64,
    /// Its RFC 6962 leaf hash.
    pub leaf_hash: Hash,
    /// The leaf, still sealed.
    pub leaf: Leaf,
    /// The leaf's bytes, which the hash is over.
    pub bytes: Vec<u8>,
}

impl Entry {
    /// Opens the event with the key that the leaf names.
    pub fn open(&self, keyring: &dyn Keyring) -> Result<Opened, LedgerError> {
        seal::open(&self.leaf, keyring)
    }
}

/// An inclusion proof that stands by itself next to its checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    /// The entry's index.
    pub index: u64,
    /// Its leaf hash.
    pub leaf_hash: Hash,
    /// Size of the tree that the proof leads to.
    pub size: u64,
    /// Siblings, nearest first.
    pub path: Vec<Hash>,
}

impl InclusionProof {
    /// Whether the proof leads to `root`.
    pub fn check(&self, root: &Hash) -> Result<(), LedgerError> {
        merkle::check_inclusion(&self.leaf_hash, self.index, self.size, &self.path, root)
    }
}

/// A log at one checkpoint. [`LogReader::refresh`] moves it on.
#[derive(Debug)]
pub struct LogReader {
    dir: PathBuf,
    key: VerifierKey,
    origin: String,
    checkpoint: Checkpoint,
    tiles: TileReader,
}

impl LogReader {
    /// Reads the checkpoint in `dir` and checks its signature and origin.
    pub fn open(dir: &Path, key: &VerifierKey, origin: &str) -> Result<Self, LedgerError> {
        let checkpoint = read_checkpoint(dir, key, origin)?;
        let tiles = TileReader::new(dir, checkpoint.size);
        Ok(Self { dir: dir.to_owned(), key: key.clone(), origin: origin.to_owned(), checkpoint, tiles })
    }

    /// The checkpoint that it stands at.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Entries in the log at that checkpoint.
    pub fn size(&self) -> u64 {
        self.checkpoint.size
    }

    /// Moves on to the newest checkpoint, if it is a continuation of this one, and gives back how
    /// many entries are new.
    ///
    /// # Errors
    /// [`LedgerError::RolledBack`] or [`LedgerError::Forked`] if it is not; the reader then stays.
    pub fn refresh(&mut self) -> Result<u64, LedgerError> {
        let next = read_checkpoint(&self.dir, &self.key, &self.origin)?;
        let (old, new) = (self.checkpoint.size, next.size);
        if new < old {
            return Err(LedgerError::RolledBack { have: new, signed: old });
        }
        let tiles = TileReader::new(&self.dir, new);
        let proof = merkle::prove_consistency(&tiles, old, new)?;
        merkle::check_consistency(old, &self.checkpoint.root, new, &next.root, &proof)
            .map_err(|_| LedgerError::Forked { size: old })?;
        self.checkpoint = next;
        self.tiles = tiles;
        Ok(new - old)
    }

    /// The entry at `index`, checked against its leaf hash in the tiles.
    pub fn entry(&self, index: u64) -> Result<Entry, LedgerError> {
        if index >= self.size() {
            return Err(LedgerError::NoSuchEntry { index, size: self.size() });
        }
        self.bundle(index / WIDTH)?
            .into_iter()
            .find(|entry| entry.index == index)
            .ok_or(LedgerError::NoSuchEntry { index, size: self.size() })
    }

    /// Entries from `index` on to the checkpoint, in order. For a tail: read to the end,
    /// [`LogReader::refresh`], go on from there. Ends after the first error.
    pub fn entries(&self, from: u64) -> impl Iterator<Item = Result<Entry, LedgerError>> + '_ {
        let bundles = (from / WIDTH..self.size().div_ceil(WIDTH)).map(|n| self.bundle(n));
        to_the_first_error(bundles).filter(move |entry| !matches!(entry, Ok(entry) if entry.index < from))
    }

    /// All entries up to the checkpoint, the newest first. Ends after the first error.
    pub fn entries_back(&self) -> impl Iterator<Item = Result<Entry, LedgerError>> + '_ {
        let bundles = (0..self.size().div_ceil(WIDTH)).rev().map(|n| self.bundle(n));
        to_the_first_error(bundles.map(|bundle| {
            bundle.map(|mut entries| {
                entries.reverse();
                entries
            })
        }))
    }

    /// The inclusion proof of an entry in the tree of this checkpoint.
    pub fn prove_inclusion(&self, index: u64) -> Result<InclusionProof, LedgerError> {
        let leaf_hash = self.entry(index)?.leaf_hash;
        let path = merkle::prove_inclusion(&self.tiles, index, self.size())?;
        Ok(InclusionProof { index, leaf_hash, size: self.size(), path })
    }

    /// The proof that the tree of `old` entries is a prefix of this checkpoint's.
    pub fn prove_consistency(&self, old: u64) -> Result<Vec<Hash>, LedgerError> {
        merkle::prove_consistency(&self.tiles, old, self.size())
    }

    /// The entries of one bundle, each compared with its hash in the tile over it.
    fn bundle(&self, n: u64) -> Result<Vec<Entry>, LedgerError> {
        read_bundle(&self.tiles, n)
    }
}

/// The entries of bundles, of which each is read when its first entry is asked for, and once.
fn to_the_first_error(
    bundles: impl Iterator<Item = Result<Vec<Entry>, LedgerError>>,
) -> impl Iterator<Item = Result<Entry, LedgerError>> {
    let mut failed = false;
    bundles
        .flat_map(|bundle| match bundle {
            Ok(entries) => entries.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })
        .take_while(move |entry| !std::mem::replace(&mut failed, entry.is_err()))
}

fn read_checkpoint(dir: &Path, key: &VerifierKey, origin: &str) -> Result<Checkpoint, LedgerError> {
    let note = layout::read_checkpoint(dir)?.ok_or_else(|| LedgerError::CheckpointMissing(dir.join(CHECKPOINT)))?;
    Checkpoint::verify(&note, key, origin)
}

/// Reads bundle `n` and checks each entry's hash and index.
pub(crate) fn read_bundle(tiles: &TileReader, n: u64) -> Result<Vec<Entry>, LedgerError> {
    let hashes = tiles.tile(0, n)?;
    let (path, leaves) = tiles.bundle(n)?;
    let place = |(at, (bytes, expected)): (usize, (Vec<u8>, Hash))| {
        let index = n * WIDTH + at as u64;
        let hash = leaf_hash(&bytes);
        if hash != expected {
            let why = format!("entry {index} does not hash to what the tile over it says");
            return Err(LedgerError::TileWrong { path: path.clone(), why });
        }
        let leaf = Leaf::decode(&bytes).map_err(|why| LedgerError::BadLeaf { index, why })?;
        if leaf.place.index != index {
            return Err(LedgerError::BadLeaf { index, why: "it carries another index" });
        }
        Ok(Entry { index, leaf_hash: hash, leaf, bytes })
    };
    leaves.into_iter().zip(hashes).enumerate().map(place).collect()
}
