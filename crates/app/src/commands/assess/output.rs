//! One result in any of its forms, and where it goes.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result};
use sallyport_model::assessment::Assessment;
use sallyport_report::{Brand, badge, html, sarif, text};

use super::arguments::Format;

/// The bytes of the report.
///
/// # Errors
/// When a PDF cannot be made.
pub fn render(assessment: &Assessment, format: Format, brand: &Brand, style: text::Style) -> Result<Vec<u8>> {
    Ok(match format {
        Format::Text => text::render(assessment, style).into_bytes(),
        Format::Json => line(serde_json::to_vec(assessment)?),
        Format::Html => html::render(assessment, brand).into_bytes(),
        Format::Pdf => sallyport_report::pdf::render(assessment, brand, &[])?,
        Format::Sarif => line(serde_json::to_vec_pretty(&sarif::render(assessment))?),
        Format::Badge => badge::svg(assessment).into_bytes(),
    })
}

fn line(mut json: Vec<u8>) -> Vec<u8> {
    json.push(b'\n');
    json
}

/// Colour on a terminal that wants it, and its width.
pub fn style(details: bool, to_file: bool) -> text::Style {
    let colour = !to_file && io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let width = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(100);
    text::Style { colour, width, details }
}

/// Writes to a file, or to standard output.
///
/// # Errors
/// When it cannot be written.
pub fn print(path: Option<&Path>, bytes: &[u8]) -> Result<()> {
    match path {
        Some(path) => std::fs::write(path, bytes).with_context(|| format!("{} could not be written", path.display())),
        None => {
            let mut out = io::stdout().lock();
            out.write_all(bytes)?;
            Ok(out.flush()?)
        }
    }
}
