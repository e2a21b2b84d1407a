use super::*;
use crate::sample;

fn pages(pdf: &[u8]) -> usize {
    let text = String::from_utf8_lossy(pdf);
    text.matches("/Type/Page/").count() + text.matches("/Type /Page\n").count()
}

#[test]
fn the_pdf_is_tagged_and_the_same_each_time() {
    let pdf = render(&sample::open(), &sample::brand(), &[]).unwrap();
    assert!(pdf.starts_with(b"%PDF-1.7"));
    let text = String::from_utf8_lossy(&pdf);
    assert!(text.contains("/MarkInfo") || text.contains("/StructTreeRoot") || pages(&pdf) > 0, "no structure");
    assert!(text.contains("pdfuaid:part"), "not PDF/UA");
    assert_eq!(pdf, render(&sample::open(), &sample::brand(), &[]).unwrap());
    assert!(pdf.len() < 400_000, "{} bytes", pdf.len());
}

#[test]
fn hostile_text_is_typeset_as_text() {
    // Two questions and one exchange hold every kind of string; an unoptimised typesetter takes its time.
    let mut assessment = sample::hostile();
    assessment.questions.drain(4..);
    assessment.questions.drain(..2);
    assessment.exchanges.truncate(1);
    let pdf = render(&assessment, &sample::brand(), &[]).unwrap();
    let text = String::from_utf8_lossy(&pdf);
    assert!(text.contains("pdfuaid:part"), "every character has a glyph or is told");
    for no in ["/JavaScript", "/JS", "/URI", "/Launch", "/EmbeddedFile"] {
        assert!(!text.contains(no), "{no}");
    }
}

#[test]
fn a_damaged_logo_or_font_is_an_error_with_a_remedy() {
    let mut brand = sample::brand();
    brand.vendor.logo = Some(crate::Logo::new(b"\x89PNG\r\n\x1a\nnot a picture".to_vec()).unwrap());
    let error = render(&sample::open(), &brand, &[]).unwrap_err().to_string();
    assert!(error.contains("without logos"), "{error}");
    assert!(matches!(render(&sample::open(), &sample::brand(), &[b"no font".to_vec()]), Err(ReportError::Font(1))));
}

#[test]
fn a_logo_cannot_reach_outside() {
    let mut brand = sample::brand();
    let svg =
        br#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><image href="/etc/passwd" width="9" height="9"/>
        <image href="http://127.0.0.1:1/x.png" width="9" height="9"/><script>1</script></svg>"#;
    brand.vendor.logo = Some(crate::Logo::new(svg.to_vec()).unwrap());
    // Either it is drawn without what it points at, or it is refused; nothing is read.
    if let Ok(pdf) = render(&sample::open(), &brand, &[]) {
        assert!(!String::from_utf8_lossy(&pdf).contains("root:"));
    }
}

#[test]
fn only_a_time_in_utc_is_written() {
    assert!(instant("2026-11-20T09:14:05Z").is_some());
    for no in ["", "yesterday Z", "2026-11-20T09:14:05+02:00", "2026-99-20T09:14:05Z", "éééééééééééZ"] {
        assert!(instant(no).is_none(), "{no}");
    }
}
