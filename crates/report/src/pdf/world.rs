//! All that the typesetter may see: one source, the fonts, the values.

use std::sync::LazyLock;

use typst::{
    Library, LibraryExt, World,
    diag::{FileError, FileResult},
    foundations::{Bytes, Datetime, Dict, Duration},
    syntax::{FileId, RootedPath, Source, VirtualPath, VirtualRoot},
    text::{Font, FontBook},
    utils::LazyHash,
};

use crate::ReportError;

const TEMPLATE: &str = include_str!("../../assets/report.typ");

/// Inter for text, JetBrains Mono for what is sent and received; see `assets/fonts/README.md`.
static EMBEDDED: LazyLock<Vec<Font>> = LazyLock::new(|| {
    let files: [&'static [u8]; 3] = [
        include_bytes!("../../assets/fonts/Inter-Regular.otf"),
        include_bytes!("../../assets/fonts/Inter-SemiBold.otf"),
        include_bytes!("../../assets/fonts/JetBrainsMono-Regular.ttf"),
    ];
    files.into_iter().flat_map(|file| Font::iter(Bytes::new(file))).collect()
});

/// Which characters some font has.
pub(super) struct Coverage<'a>(&'a [Font]);

impl Coverage<'_> {
    pub(super) fn has(&self, c: char) -> bool {
        self.0.iter().any(|font| font.info().coverage.contains(u32::from(c)))
    }
}

/// The typesetter's desk.
pub(super) struct Desk {
    library: LazyHash<Library>,
    book: LazyHash<FontBook>,
    fonts: Vec<Font>,
    source: Source,
}

impl Desk {
    /// `inputs` gets to know which characters can be shown.
    pub(super) fn new(extra: &[Vec<u8>], inputs: impl FnOnce(&Coverage<'_>) -> Dict) -> Result<Self, ReportError> {
        let mut fonts = EMBEDDED.clone();
        for (at, file) in extra.iter().enumerate() {
            let before = fonts.len();
            fonts.extend(Font::iter(Bytes::new(file.clone())));
            if fonts.len() == before {
                return Err(ReportError::Font(at + 1));
            }
        }
        let path = VirtualPath::new("report.typ").map_err(|_| ReportError::Typeset("no such place".into()))?;
        let main = FileId::new(RootedPath::new(VirtualRoot::Project, path));
        let inputs = inputs(&Coverage(&fonts));
        Ok(Self {
            library: LazyHash::new(Library::builder().with_inputs(inputs).build()),
            book: LazyHash::new(FontBook::from_fonts(&fonts)),
            fonts,
            source: Source::new(main, TEMPLATE.to_owned()),
        })
    }
}

impl World for Desk {
    fn library(&self) -> &LazyHash<Library> {
        &self.library
    }

    fn book(&self) -> &LazyHash<FontBook> {
        &self.book
    }

    fn main(&self) -> FileId {
        self.source.id()
    }

    fn source(&self, id: FileId) -> FileResult<Source> {
        if id == self.source.id() { Ok(self.source.clone()) } else { Err(FileError::AccessDenied) }
    }

    fn file(&self, _: FileId) -> FileResult<Bytes> {
        Err(FileError::AccessDenied)
    }

    fn font(&self, index: usize) -> Option<Font> {
        self.fonts.get(index).cloned()
    }

    fn today(&self, _: Option<Duration>) -> Option<Datetime> {
        None
    }
}
