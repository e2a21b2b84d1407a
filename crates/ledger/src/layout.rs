//! Names and files of a log directory (C2SP tlog-tiles), and how files are replaced.
//!
//! ```text
//! checkpoint                 the signed tree head
//! log.vkey                   the key that it is checked with
//! tile/<L>/<N>[.p/<W>]       hashes
//! tile/entries/<N>[.p/<W>]   entry bundles: big-endian u16 length, then the leaf
//! journal                    the entries in framed form: what is synced before a reply
//! lock                       held while a process appends
//! ```

use std::{
    fs::{self, File},
    io::{ErrorKind, Read, Write as _},
    path::{Path, PathBuf},
};

use crate::LedgerError;

/// Hashes in a full tile, and entries in a full bundle.
pub(crate) const WIDTH: u64 = 256;
/// The largest leaf: what a bundle's length prefix can say.
pub const LEAF_LIMIT: usize = 65_535;

pub(crate) const CHECKPOINT: &str = "checkpoint";
pub(crate) const VKEY: &str = "log.vkey";
pub(crate) const JOURNAL: &str = "journal";
pub(crate) const LOCK: &str = "lock";

/// Which tree of files a tile is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TileKind {
    /// Hashes at a level.
    Level(u32),
    /// Entry bundles.
    Entries,
}

/// The path of tile `n`, without the suffix of a partial one: `tile/0/x001/x234/067`.
pub(crate) fn tile_path(kind: TileKind, n: u64) -> String {
    let mut path = format!("{:03}", n % 1000);
    let mut rest = n / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    match kind {
        TileKind::Level(level) => format!("tile/{level}/{path}"),
        TileKind::Entries => format!("tile/entries/{path}"),
    }
}

/// The path of tile `n` at `width` (1 to 256, where 256 is full).
pub(crate) fn sized_path(kind: TileKind, n: u64, width: u64) -> String {
    let path = tile_path(kind, n);
    if width == WIDTH { path } else { format!("{path}.p/{width}") }
}

/// Writes the whole file or leaves the old one: a temporary neighbour, then a rename.
pub(crate) fn replace(path: &Path, bytes: &[u8], sync: bool) -> Result<(), LedgerError> {
    let beside = path.with_extension("tmp");
    let write = || {
        let mut file = match File::create(&beside) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::create_dir_all(path.parent().unwrap_or(path))?;
                File::create(&beside)?
            }
            other => other?,
        };
        file.write_all(bytes)?;
        if sync {
            file.sync_data()?;
        }
        fs::rename(&beside, path)
    };
    write().map_err(LedgerError::io("write", path))
}

/// The file's bytes, or `None` where there is none. More than `limit` bytes are not read.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, LedgerError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(LedgerError::io("open", path))?,
    };
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(LedgerError::io("read", path))?;
    Ok(Some(bytes))
}

/// Makes the directory's own entries durable.
pub(crate) fn sync_directory(path: &Path) -> Result<(), LedgerError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(LedgerError::io("sync", path))
}

/// The checkpoint's note as it lies in the directory.
pub(crate) fn read_checkpoint(dir: &Path) -> Result<Option<Vec<u8>>, LedgerError> {
    read(&dir.join(CHECKPOINT), 256 * 1024)
}

/// The path of the verifier key next to a log's checkpoint.
pub fn vkey_path(dir: &Path) -> PathBuf {
    dir.join(VKEY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(tile_path(TileKind::Level(0), 1_234_067), "tile/0/x001/x234/067");
        assert_eq!(sized_path(TileKind::Level(1), 0, 256), "tile/1/000");
        assert_eq!(sized_path(TileKind::Entries, 273, 112), "tile/entries/273.p/112");
    }
}
