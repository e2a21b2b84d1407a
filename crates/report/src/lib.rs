//! Reports: what people and machines read of an [`Assessment`](sallyport_model::assessment::Assessment).
//!
//! | module | what for |
//! |---|---|
//! | [`text`] | the terminal: one screen, next steps first |
//! | [`html`] | one page that loads nothing |
//! | [`pdf`] | paper: scorecard on page one, evidence after (feature `pdf`) |
//! | [`sarif`] | code scanning, SARIF 2.1.0 |
//! | [`badge`] | an SVG badge |
//! | [`diff`] | what changed between two runs |
//! | [`sheet`] | a vendor's own answers to the ten questions |
//! | [`words`] | what all of them say in the same words |
//! | [`safe`] | strings of strangers, made fit to be shown |
//!
//! Every function is pure: it reads no clock, no file and no network, and the same document gives the same
//! bytes. Every string of a document may come from a hostile server; none is shown but through [`safe`] and the
//! escaping of its format. Nothing here decides a score.

pub mod badge;
mod brand;
mod colour;
pub mod diff;
pub mod html;
#[cfg(feature = "pdf")]
pub mod pdf;
pub mod safe;
pub mod sarif;
pub mod sheet;
pub mod text;
pub mod words;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

pub use brand::{Brand, LOGO_LIMIT, Logo, LogoKind, Party};
pub use colour::Colour;

/// Why a report could not be made. All but [`ReportError::Typeset`] are the caller's input.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Not `#rrggbb`.
    #[error("`{0}` is no colour: write # and six hexadecimal digits, for example #17614a")]
    Colour(String),
    /// Neither PNG nor SVG.
    #[error("a logo must be a PNG or an SVG file")]
    LogoKind,
    /// Too many bytes.
    #[error("the logo has {0} bytes: give one of at most {LOGO_LIMIT}")]
    LogoTooLarge(usize),
    /// A font file without a font.
    #[error("font file {0} holds no TrueType or OpenType font")]
    Font(usize),
    /// The document could not be typeset; most often a logo that is damaged.
    #[error("the PDF could not be made: {0}. Try without logos, or make the HTML report and print that")]
    Typeset(String),
}
