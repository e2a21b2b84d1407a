//! Who a report is from, and for whom.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{Colour, ReportError, safe};

/// The most bytes of a logo.
pub const LOGO_LIMIT: usize = 512 * 1024;

/// Whose names a report carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brand {
    /// Whose server was assessed, or who assessed it.
    pub vendor: Party,
    /// Whom the report is for.
    pub customer: Option<Party>,
}

/// One company.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// Its name.
    pub name: String,
    /// Its sign.
    pub logo: Option<Logo>,
    /// Its colour; used for surfaces and rules, never for text on a foreign ground.
    pub colour: Colour,
}

/// A picture. It is shown as a picture only: a script or a reference in an SVG file has no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logo {
    kind: LogoKind,
    bytes: Vec<u8>,
}

/// The format of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogoKind {
    /// PNG.
    Png,
    /// SVG.
    Svg,
}

impl Default for Brand {
    /// This program's own name and colour.
    fn default() -> Self {
        Self { vendor: Party::new("Sallyport", Colour([0x17, 0x61, 0x4a])), customer: None }
    }
}

impl Brand {
    /// The vendor, and the customer where there is one.
    pub fn parties(&self) -> impl Iterator<Item = &Party> {
        std::iter::once(&self.vendor).chain(&self.customer)
    }
}

impl Party {
    /// A company without a logo.
    pub fn new(name: impl Into<String>, colour: Colour) -> Self {
        Self { name: name.into(), logo: None, colour }
    }

    /// Its name as it is shown.
    pub fn shown_name(&self) -> String {
        safe::line(&self.name, 80)
    }
}

impl Logo {
    /// Takes a PNG or SVG file of at most [`LOGO_LIMIT`] bytes; its kind is read from its first bytes.
    pub fn new(bytes: Vec<u8>) -> Result<Self, ReportError> {
        if bytes.len() > LOGO_LIMIT {
            return Err(ReportError::LogoTooLarge(bytes.len()));
        }
        if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            return Ok(Self { kind: LogoKind::Png, bytes });
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| ReportError::LogoKind)?;
        let start = text.trim_start_matches('\u{feff}').trim_start();
        let is_svg = (start.starts_with("<svg") || start.starts_with("<?xml") || start.starts_with("<!--"))
            && text.contains("<svg");
        if is_svg { Ok(Self { kind: LogoKind::Svg, bytes }) } else { Err(ReportError::LogoKind) }
    }

    /// Its format.
    pub fn kind(&self) -> LogoKind {
        self.kind
    }

    /// The file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The file as a `data:` URI (RFC 2397), for an `<img>` and nothing else.
    pub fn data_uri(&self) -> String {
        let media = match self.kind {
            LogoKind::Png => "image/png",
            LogoKind::Svg => "image/svg+xml",
        };
        format!("data:{media};base64,{}", STANDARD.encode(&self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_png_and_svg_are_pictures() {
        assert_eq!(Logo::new(b"\x89PNG\r\n\x1a\n....".to_vec()).unwrap().kind(), LogoKind::Png);
        let svg = Logo::new(b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec()).unwrap();
        assert_eq!(svg.kind(), LogoKind::Svg);
        assert!(svg.data_uri().starts_with("data:image/svg+xml;base64,PD94bWwg"));
        for no in [&b"GIF89a"[..], b"<html><svg/></html>", b"\xff\xfe<svg", b""] {
            assert!(matches!(Logo::new(no.to_vec()), Err(ReportError::LogoKind)));
        }
        assert!(matches!(Logo::new(vec![b' '; LOGO_LIMIT + 1]), Err(ReportError::LogoTooLarge(_))));
    }
}
