//! The source tree as text, read once; checks never touch the disk themselves.

use std::{collections::BTreeMap, fs, io, path::Path};

/// Paths relative to the root, with `/`, and what each file holds.
#[derive(Default)]
pub(crate) struct Tree {
    pub(crate) files: BTreeMap<String, String>,
}

/// Where the checked files are; everything else in the root is not looked at.
const FOLDERS: [&str; 6] = ["crates", "fuzz", "xtask", "docs", "tests", "test-lab"];
const SKIPPED: [&str; 3] = ["target", "node_modules", ".test"];
const READ: [&str; 4] = ["rs", "toml", "md", "snap"];

impl Tree {
    pub(crate) fn read(root: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        tree.add(root, "Cargo.toml")?;
        for folder in FOLDERS {
            tree.walk(root, folder)?;
        }
        Ok(tree)
    }

    fn walk(&mut self, root: &Path, folder: &str) -> io::Result<()> {
        let entries = match fs::read_dir(root.join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| !SKIPPED.contains(name)) else { continue };
            let path = format!("{folder}/{name}");
            if entry.file_type()?.is_dir() {
                self.walk(root, &path)?;
            } else if name.rsplit_once('.').is_some_and(|(_, extension)| READ.contains(&extension)) {
                self.add(root, &path)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, root: &Path, path: &str) -> io::Result<()> {
        match fs::read_to_string(root.join(path)) {
            Ok(text) => drop(self.files.insert(path.to_owned(), text)),
            // Another process may remove a file while we look.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io::Error::new(error.kind(), format!("{path}: {error}"))),
        }
        Ok(())
    }

    /// The files whose path ends in `suffix`, in order.
    pub(crate) fn ending<'a>(&'a self, suffix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files.iter().filter(move |(path, _)| path.ends_with(suffix)).map(|(p, t)| (p.as_str(), t.as_str()))
    }

    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Self { files: files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect() }
    }
}
