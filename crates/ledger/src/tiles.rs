//! Tiles: the writer that derives them from leaves, and the reader that takes nodes from them.
//!
//! The writer never signs anything and never deletes a tile that no full tile replaces.

use std::{
    cell::RefCell,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use crate::{
    LedgerError,
    layout::{self, LEAF_LIMIT, TileKind, WIDTH, sized_path, tile_path},
    merkle::{Frontier, Hash, Nodes, complete_root},
};

/// The tile of one level that is being filled.
#[derive(Debug, Default)]
struct Filling {
    hashes: Vec<Hash>,
    /// Full tiles before this one.
    number: u64,
    /// The width that was last written as a partial tile.
    written: u64,
}

/// Writes tiles and entry bundles as leaves come in. Holds one tile a level and one bundle.
#[derive(Debug)]
pub(crate) struct TileWriter {
    dir: PathBuf,
    levels: Vec<Filling>,
    bundle: Vec<u8>,
    bundle_written: u64,
    frontier: Frontier,
    /// Partial tiles that a full one has replaced, to be deleted after the next checkpoint.
    superseded: Vec<PathBuf>,
    mode: Mode,
    /// Full tiles that were found missing or wrong while the journal was read back.
    pub(crate) wrong: Vec<String>,
}

/// What the writer does with a tile that is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The journal is read back and not yet proved: compare, write nothing.
    Compare,
    /// The journal is proved: keep what is right, write what is not.
    Mend,
    /// The leaves are new.
    Append,
}

impl TileWriter {
    /// A writer for an empty tree.
    pub(crate) fn new(dir: &Path, mode: Mode) -> Self {
        Self {
            dir: dir.to_owned(),
            levels: Vec::new(),
            bundle: Vec::new(),
            bundle_written: 0,
            frontier: Frontier::default(),
            superseded: Vec::new(),
            mode,
            wrong: Vec::new(),
        }
    }

    /// From here on leaves are new.
    pub(crate) fn append_from_here(&mut self) {
        self.mode = Mode::Append;
    }

    /// Leaves so far.
    pub(crate) fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root over them.
    pub(crate) fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// Adds the next leaf, and writes the tiles that it fills.
    pub(crate) fn push(&mut self, leaf: &[u8], hash: Hash) -> Result<(), LedgerError> {
        let length = u16::try_from(leaf.len())
            .map_err(|_| LedgerError::BadLeaf { index: self.size(), why: "it is longer than 65535 bytes" })?;
        self.bundle.extend(length.to_be_bytes());
        self.bundle.extend(leaf);
        self.frontier.push(hash);
        self.add(0, hash)?;
        if self.size().is_multiple_of(WIDTH) {
            let bundle = std::mem::take(&mut self.bundle);
            self.put_full(TileKind::Entries, self.size() / WIDTH - 1, &bundle)?;
            self.bundle = bundle;
            self.bundle.clear();
            self.bundle_written = 0;
        }
        Ok(())
    }

    fn add(&mut self, level: usize, hash: Hash) -> Result<(), LedgerError> {
        if self.levels.len() == level {
            self.levels.push(Filling::default());
        }
        let filling = &mut self.levels[level];
        filling.hashes.push(hash);
        if (filling.hashes.len() as u64) < WIDTH {
            return Ok(());
        }
        let full = std::mem::take(filling);
        filling.number = full.number + 1;
        self.put_full(TileKind::Level(level as u32), full.number, &full.hashes.concat())?;
        self.add(level + 1, complete_root(&full.hashes))
    }

    fn put_full(&mut self, kind: TileKind, n: u64, bytes: &[u8]) -> Result<(), LedgerError> {
        let name = tile_path(kind, n);
        let path = self.dir.join(&name);
        if self.mode == Mode::Append {
            layout::replace(&path, bytes, false)?;
        } else if layout::read(&path, bytes.len() as u64 + 1)?.is_none_or(|found| found != bytes) {
            if self.mode == Mode::Mend {
                layout::replace(&path, bytes, false)?;
            }
            self.wrong.push(name.clone());
        }
        self.superseded.push(self.dir.join(format!("{name}.p")));
        Ok(())
    }

    /// Writes the partial tiles that a checkpoint over the present size calls for.
    pub(crate) fn write_partials(&mut self) -> Result<(), LedgerError> {
        for level in 0..self.levels.len() {
            let filling = &mut self.levels[level];
            let width = filling.hashes.len() as u64;
            if width > 0 && filling.written != width {
                let path = self.dir.join(sized_path(TileKind::Level(level as u32), filling.number, width));
                layout::replace(&path, &filling.hashes.concat(), false)?;
                filling.written = width;
            }
        }
        let width = self.size() % WIDTH;
        if width > 0 && self.bundle_written != width {
            let path = self.dir.join(sized_path(TileKind::Entries, self.size() / WIDTH, width));
            layout::replace(&path, &self.bundle, false)?;
            self.bundle_written = width;
        }
        Ok(())
    }

    /// Deletes partial tiles that full ones have replaced, as tlog-tiles allows.
    pub(crate) fn drop_superseded(&mut self) -> Result<(), LedgerError> {
        for path in self.superseded.drain(..) {
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(LedgerError::io("remove", path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Reads the tiles that a tree of a certain size has.
#[derive(Debug)]
pub(crate) struct TileReader {
    dir: PathBuf,
    size: u64,
    /// The tile read last: proofs and walks ask for neighbours.
    last: RefCell<Option<(u32, u64, Vec<Hash>)>>,
}

impl TileReader {
    pub(crate) fn new(dir: &Path, size: u64) -> Self {
        Self { dir: dir.to_owned(), size, last: RefCell::new(None) }
    }

    /// How many hashes or entries tile `n` has in a tree of this size.
    fn width(&self, level: u32, n: u64) -> u64 {
        let filled = self.size.checked_shr(8 * level).unwrap_or(0);
        filled.saturating_sub(n.saturating_mul(WIDTH)).min(WIDTH)
    }

    /// The bytes of a tile: the partial one of this size, or what has replaced it.
    fn bytes(&self, kind: TileKind, n: u64, width: u64, limit: u64) -> Result<(String, Vec<u8>), LedgerError> {
        let name = sized_path(kind, n, width);
        if let Some(bytes) = layout::read(&self.dir.join(&name), limit)? {
            return Ok((name, bytes));
        }
        let full = tile_path(kind, n);
        match layout::read(&self.dir.join(&full), limit)? {
            Some(bytes) => Ok((full, bytes)),
            None => Err(LedgerError::TileMissing(name)),
        }
    }

    /// The hashes of tile `n` at `level`, as many as the tree has.
    pub(crate) fn tile(&self, level: u32, n: u64) -> Result<Vec<Hash>, LedgerError> {
        let width = self.width(level, n);
        let (name, mut bytes) = self.bytes(TileKind::Level(level), n, width, WIDTH * 32 + 1)?;
        let full = name == tile_path(TileKind::Level(level), n);
        let expected = if full { WIDTH } else { width } * 32;
        if (bytes.len() as u64) < expected {
            return Err(LedgerError::TileMissing(name));
        }
        if bytes.len() as u64 > expected {
            return Err(LedgerError::TileWrong { path: name, why: "it is longer than a tile of its name".into() });
        }
        bytes.truncate((width * 32) as usize);
        Ok(bytes.as_chunks::<32>().0.to_vec())
    }

    /// The leaves of bundle `n`, as many as the tree has, with the bundle's path.
    pub(crate) fn bundle(&self, n: u64) -> Result<(String, Vec<Vec<u8>>), LedgerError> {
        let width = self.width(0, n);
        let limit = WIDTH * (LEAF_LIMIT as u64 + 2) + 1;
        let (path, bytes) = self.bytes(TileKind::Entries, n, width, limit)?;
        let whole = if path == tile_path(TileKind::Entries, n) { WIDTH } else { width };
        let mut leaves = Vec::new();
        let mut rest = bytes.as_slice();
        while let Some((length, after)) = rest.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some((leaf, after)) = after.split_at_checked(length) else { break };
            leaves.push(leaf.to_vec());
            rest = after;
        }
        if !rest.is_empty() || leaves.len() as u64 > whole {
            return Err(LedgerError::TileWrong { path, why: "its entries do not end where it ends".into() });
        }
        if (leaves.len() as u64) < whole {
            return Err(LedgerError::TileMissing(path));
        }
        leaves.truncate(width as usize);
        Ok((path, leaves))
    }
}

impl Nodes for TileReader {
    fn node(&self, level: u32, index: u64) -> Result<Hash, LedgerError> {
        let (tile_level, inner) = (level / 8, level % 8);
        let first = index << inner;
        let (n, at) = (first / WIDTH, (first % WIDTH) as usize);
        let mut last = self.last.borrow_mut();
        if !matches!(&*last, Some((l, m, _)) if (*l, *m) == (tile_level, n)) {
            *last = Some((tile_level, n, self.tile(tile_level, n)?));
        }
        let hashes = last.as_ref().map_or(&[][..], |(_, _, hashes)| hashes.as_slice());
        match hashes.get(at..at + (1 << inner)) {
            Some(hashes) => Ok(complete_root(hashes)),
            None => Err(LedgerError::TileMissing(tile_path(TileKind::Level(tile_level), n))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::{leaf_hash, prove_inclusion, root};
    use proptest::prelude::*;

    fn fill(dir: &Path, leaves: &[Vec<u8>]) -> TileWriter {
        let mut writer = TileWriter::new(dir, Mode::Append);
        for leaf in leaves {
            writer.push(leaf, leaf_hash(leaf)).unwrap();
        }
        writer.write_partials().unwrap();
        writer.drop_superseded().unwrap();
        writer
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn leaves_read_back_and_the_root_is_the_same(lengths in prop::collection::vec(0usize..80, 1..600)) {
            let dir = tempfile::tempdir().unwrap();
            let leaves: Vec<Vec<u8>> = lengths.iter().enumerate().map(|(n, length)| vec![n as u8; *length]).collect();
            let writer = fill(dir.path(), &leaves);
            let reader = TileReader::new(dir.path(), writer.size());
            prop_assert_eq!(root(&reader, writer.size()).unwrap(), writer.root());
            let mut found = Vec::new();
            for n in 0..writer.size().div_ceil(WIDTH) {
                found.extend(reader.bundle(n).unwrap().1);
            }
            prop_assert_eq!(found, leaves);
        }
    }

    #[test]
    fn a_tree_past_65536_leaves_has_three_levels() {
        let dir = tempfile::tempdir().unwrap();
        let leaves: Vec<Vec<u8>> = (0..70_000u32).map(|n| n.to_be_bytes().to_vec()).collect();
        let writer = fill(dir.path(), &leaves);
        // The example of the specification: 273 full tiles at level 0, one at level 1, and partials.
        for present in ["tile/0/272", "tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1"] {
            assert!(dir.path().join(present).exists(), "{present}");
        }
        assert!(!dir.path().join("tile/0/274").exists());
        let reader = TileReader::new(dir.path(), 70_000);
        assert_eq!(root(&reader, 70_000).unwrap(), writer.root());
        for index in [0, 255, 256, 65_535, 65_536, 69_999] {
            let proof = prove_inclusion(&reader, index, 70_000).unwrap();
            let leaf = leaf_hash(&(index as u32).to_be_bytes());
            crate::merkle::check_inclusion(&leaf, index, 70_000, &proof, &writer.root()).unwrap();
        }
    }
}
