//! The report on paper: a tagged, co-branded PDF with the scorecard on page one and the evidence after it.
//!
//! The layout is a Typst document of ours; the assessment enters it as values and is never read as markup. The
//! typesetter sees no file, no package, no clock and no network, so the same document gives the same bytes.

mod value;
mod view;
mod world;

use sallyport_model::assessment::Assessment;
use typst::{
    comemo,
    diag::SourceDiagnostic,
    foundations::{Datetime, Smart},
};
use typst_layout::PagedDocument;
use typst_pdf::{PdfOptions, PdfStandard, PdfStandards, Timestamp};

use crate::{Brand, ReportError, safe};
use world::Desk;

/// The PDF, tagged and, where no picture or font stands in the way, PDF/UA-1.
///
/// `fonts` are TrueType or OpenType files to use for what the embedded ones lack: those hold Latin, Greek and
/// Cyrillic. Of characters that no font has, the number is shown.
pub fn render(assessment: &Assessment, brand: &Brand, fonts: &[Vec<u8>]) -> Result<Vec<u8>, ReportError> {
    let desk = Desk::new(fonts, |coverage| value::inputs(&view::view(assessment, brand), brand, coverage))?;
    let document = typst::compile::<PagedDocument>(&desk).output.map_err(|errors| failed(&errors))?;
    let accessible =
        PdfStandards::new(&[PdfStandard::Ua_1]).map_err(|why| ReportError::Typeset(why.message().to_string()))?;
    let pdf = typst_pdf::pdf(&document, &options(assessment, accessible))
        // A logo can break a rule of the standard; the tags stay all the same.
        .or_else(|_| typst_pdf::pdf(&document, &options(assessment, PdfStandards::default())))
        .map_err(|errors| failed(&errors));
    // The typesetter remembers its steps for the next run; ours are runs apart.
    comemo::evict(0);
    pdf
}

fn options(assessment: &Assessment, standards: PdfStandards) -> PdfOptions {
    PdfOptions {
        creator: Smart::Custom(Some(safe::line(&assessment.assessor, 80))),
        timestamp: instant(&assessment.assessed_at).map(Timestamp::new_utc),
        standards,
        ..PdfOptions::default()
    }
}

/// `2026-11-20T09:14:05Z`; anything else is no time.
fn instant(rfc3339: &str) -> Option<Datetime> {
    let number = |range: std::ops::Range<usize>| rfc3339.get(range)?.parse::<u8>().ok();
    if !rfc3339.ends_with('Z') {
        return None;
    }
    let year = rfc3339.get(0..4)?.parse::<u16>().ok()?;
    Datetime::from_ymd_hms(
        i32::from(year),
        number(5..7)?,
        number(8..10)?,
        number(11..13)?,
        number(14..16)?,
        number(17..19)?,
    )
}

fn failed(errors: &[SourceDiagnostic]) -> ReportError {
    let words: Vec<&str> = errors.iter().take(3).map(|error| error.message.as_str()).collect();
    ReportError::Typeset(safe::line(&words.join("; "), 300))
}

#[cfg(test)]
mod tests;
