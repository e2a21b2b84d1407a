//! The journal: the one file that is synced before anybody is told that an event is recorded.
//!
//! A 32-byte header (`SALLYPORTJOURNAL`, then 16 bytes of the SHA-256 of the origin), then frames:
//!
//! | bytes | field |
//! |---|---|
//! | 4 | `SPJ` and the version, 0x01 |
//! | 4 | length of the leaf, big-endian |
//! | 8 | length of the journal known to be durable when this was written, big-endian |
//! | 8 | check: the first bytes of `SHA-256(the 16 bytes above ‖ leaf hash)` |
//! | n | the leaf |
//!
//! A frame that is broken off at the end is what a power cut leaves: nobody was told of it, and it
//! is cut off. A broken frame that the checkpoint covers, or that a later frame calls durable, is
//! damage, and the log is not opened. Nothing here ever writes but at the end.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Seek as _, SeekFrom, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::{
    LedgerError,
    layout::{LEAF_LIMIT, sync_directory},
    merkle::{Hash, leaf_hash, sha256},
};

const FRAME_MAGIC: &[u8; 4] = b"SPJ\x01";
pub(crate) const FRAME_HEADER: usize = 24;
pub(crate) const HEADER: u64 = 32;

/// What the writer needs of the file; tests put failures in between.
pub(crate) trait JournalFile: Send {
    /// Writes at the end.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes everything written durable (`fdatasync`).
    fn sync(&mut self) -> io::Result<()>;
    /// Whether the name still leads to this file, of this length.
    fn check(&mut self, length: u64) -> Result<(), String>;
}

/// The real file.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    device: u64,
    inode: u64,
}

impl JournalFile for Journal {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
    fn check(&mut self, length: u64) -> Result<(), String> {
        let found = fs::metadata(&self.path).map_err(|error| format!("the journal is gone: {error}"))?;
        if (found.dev(), found.ino()) != (self.device, self.inode) {
            return Err("the journal was replaced by another file".into());
        }
        if found.len() != length {
            return Err(format!("the journal is {} bytes long and should be {length}", found.len()));
        }
        Ok(())
    }
}

fn header(origin: &str) -> [u8; HEADER as usize] {
    let mut header = *b"SALLYPORTJOURNAL................";
    header[16..].copy_from_slice(&sha256(&[origin.as_bytes()])[..16]);
    header
}

/// The frame of a leaf, appended to `out`.
pub(crate) fn frame(out: &mut Vec<u8>, leaf: &[u8], hash: &Hash, durable: u64) {
    let start = out.len();
    out.extend(FRAME_MAGIC);
    out.extend((leaf.len() as u32).to_be_bytes());
    out.extend(durable.to_be_bytes());
    let check = sha256(&[&out[start..], hash]);
    out.extend(&check[..8]);
    out.extend(leaf);
}

/// Reads one frame's header: length of the leaf, durable length, and whether `leaf` fits the check.
struct FrameHeader<'a>(&'a [u8; FRAME_HEADER]);

impl FrameHeader<'_> {
    fn length(&self) -> Option<usize> {
        let b = self.0;
        let length = u32::from_be_bytes([b[4], b[5], b[6], b[7]]) as usize;
        (b[..4] == *FRAME_MAGIC && length <= LEAF_LIMIT).then_some(length)
    }
    fn durable(&self) -> u64 {
        let b = self.0;
        u64::from_be_bytes([b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]])
    }
    fn fits(&self, hash: &Hash) -> bool {
        sha256(&[&self.0[..16], hash])[..8] == self.0[16..]
    }
}

/// The journal as found, before anything is appended.
#[derive(Debug)]
pub(crate) struct Found {
    journal: Journal,
    length: u64,
}

impl Found {
    /// Opens the journal at `path`, or makes an empty one if `may_create`; `None` if it may not.
    pub(crate) fn open(path: &Path, origin: &str, may_create: bool) -> Result<Option<Self>, LedgerError> {
        if !may_create && !path.exists() {
            return Ok(None);
        }
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(may_create);
        let mut file = options.open(path).map_err(LedgerError::io("open", path))?;
        let mut metadata = file.metadata().map_err(LedgerError::io("look at", path))?;
        if metadata.len() < HEADER && may_create {
            let write = |file: &mut File| {
                file.set_len(0)?;
                file.write_all(&header(origin))?;
                file.sync_all()?;
                file.metadata()
            };
            metadata = write(&mut file).map_err(LedgerError::io("write", path))?;
            sync_directory(path.parent().unwrap_or(path))?;
        }
        let journal = Journal { path: path.to_owned(), file, device: metadata.dev(), inode: metadata.ino() };
        Ok(Some(Self { journal, length: metadata.len() }))
    }

    /// Hands every whole entry to `each`, in order, and gives back how many there are and where they
    /// end. `signed` is how many entries the checkpoint on disk covers.
    pub(crate) fn scan(
        &mut self,
        origin: &str,
        signed: u64,
        mut each: impl FnMut(u64, &[u8], Hash) -> Result<(), LedgerError>,
    ) -> Result<(u64, u64), LedgerError> {
        let path = self.journal.path.clone();
        self.journal.file.seek(SeekFrom::Start(0)).map_err(LedgerError::io("read", &path))?;
        let mut reader = BufReader::with_capacity(1 << 20, &self.journal.file);
        let mut start = [0u8; HEADER as usize];
        let read = read_up_to(&mut reader, &mut start).map_err(LedgerError::io("read", &path))?;
        if read < start.len() || start != header(origin) {
            let why = "it does not begin as this log's journal does";
            return Err(LedgerError::CorruptJournal { offset: 0, index: 0, why });
        }
        let (mut count, mut offset) = (0u64, HEADER);
        let mut leaf = vec![0u8; LEAF_LIMIT];
        while let Some((length, hash)) = read_frame(&mut reader, &mut leaf).map_err(LedgerError::io("read", &path))? {
            each(count, &leaf[..length], hash)?;
            count += 1;
            offset += (FRAME_HEADER + length) as u64;
        }
        drop(reader);
        self.judge_end(offset, count, signed)?;
        Ok((count, offset))
    }

    /// Decides whether what follows the last whole frame is a torn write or damage.
    fn judge_end(&mut self, offset: u64, count: u64, signed: u64) -> Result<(), LedgerError> {
        let corrupt = |why| Err(LedgerError::CorruptJournal { offset, index: count, why });
        if count < signed {
            if offset == self.length {
                return Err(LedgerError::RolledBack { have: count, signed });
            }
            return corrupt("the frame is broken, and a checkpoint covers it");
        }
        if offset < self.length && self.durable_after(offset)? > offset {
            return corrupt("the frame is broken, and a later one says that it was durable");
        }
        Ok(())
    }

    /// The greatest durable length that any whole frame after `offset` names.
    fn durable_after(&mut self, offset: u64) -> Result<u64, LedgerError> {
        let path = self.journal.path.clone();
        let mut rest = Vec::new();
        let mut read = || {
            self.journal.file.seek(SeekFrom::Start(offset))?;
            self.journal.file.read_to_end(&mut rest)
        };
        read().map_err(LedgerError::io("read", path))?;
        let mut durable = 0;
        for at in 0..rest.len() {
            let Some(header) = rest[at..].first_chunk::<FRAME_HEADER>().map(FrameHeader) else { break };
            let Some(length) = header.length() else { continue };
            let leaf = rest.get(at + FRAME_HEADER..at + FRAME_HEADER + length);
            if leaf.is_some_and(|leaf| header.fits(&leaf_hash(leaf))) {
                durable = durable.max(header.durable());
            }
        }
        Ok(durable)
    }

    /// Cuts off what follows `end`, and hands over the file; also how many bytes were cut.
    pub(crate) fn cut_at(self, end: u64) -> Result<(Journal, u64), LedgerError> {
        let torn = self.length - end;
        if torn > 0 {
            let file = &self.journal.file;
            file.set_len(end)
                .and_then(|()| file.sync_all())
                .map_err(LedgerError::io("truncate", &self.journal.path))?;
        }
        Ok((self.journal, torn))
    }
}

/// Fills `buffer` as far as the file goes.
fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The next whole frame's leaf, read into `leaf`: its length and hash. `None` where none follows.
fn read_frame(reader: &mut impl Read, leaf: &mut [u8]) -> io::Result<Option<(usize, Hash)>> {
    let mut bytes = [0u8; FRAME_HEADER];
    if read_up_to(reader, &mut bytes)? < FRAME_HEADER {
        return Ok(None);
    }
    let header = FrameHeader(&bytes);
    let Some(length) = header.length() else { return Ok(None) };
    if read_up_to(reader, &mut leaf[..length])? < length {
        return Ok(None);
    }
    let hash = leaf_hash(&leaf[..length]);
    Ok(header.fits(&hash).then_some((length, hash)))
}
