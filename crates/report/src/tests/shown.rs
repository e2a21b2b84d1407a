//! What the outputs show, and what no hostile text can make them show.

use crate::{Brand, Colour, badge, html, sample, sarif, text};

fn screen(assessment: &sallyport_model::assessment::Assessment, width: usize) -> String {
    text::render(assessment, text::Style { colour: false, width, details: false })
}

#[test]
fn the_terminal_report_is_one_screen_with_next_steps_first() {
    let shown = screen(&sample::open(), 100);
    assert!(shown.lines().count() <= 40, "{} lines", shown.lines().count());
    let at = |needle: &str| shown.find(needle).unwrap_or_else(|| panic!("{needle} is missing:\n{shown}"));
    assert!(at("Next steps") < at("Questions "));
    assert!(at("5–14 / 20  not rated") < at("13 / 20"));
    assert!(at("1. Question 9") < at("2. Question 3"), "the worst first:\n{shown}");
    assert!(shown.contains("--hooks FILE") && shown.contains("questions 2, 7 and 10"), "{shown}");
    assert_eq!(shown.lines().filter(|line| line.contains(" 61 %")).count(), 1);
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for (assessment, details) in [(sample::open(), true), (sample::hostile(), true), (sample::hostile(), false)] {
        for width in [60, 80, 120] {
            let shown = text::render(&assessment, text::Style { colour: false, width, details });
            for line in shown.lines() {
                assert!(text::lines::columns(line) <= width, "{width}: {line:?}");
            }
        }
    }
}

#[test]
fn hostile_strings_write_nothing_on_the_terminal() {
    for colour in [false, true] {
        let shown = text::render(&sample::hostile(), text::Style { colour, width: 100, details: true });
        let ours = |c: char| c == '\n' || (colour && c == '\u{1b}');
        let bad = |c: char| {
            c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{200b}'..='\u{200f}' | '\u{e0000}'..='\u{e007f}')
        };
        assert!(shown.chars().all(|c| ours(c) || !bad(c)));
        // Every sequence is a colour of ours: ESC [ digits m.
        for part in shown.split('\u{1b}').skip(1) {
            let end = part.find('m').expect("a colour ends");
            assert!(part[1..end].chars().all(|c| c.is_ascii_digit() || c == ';'), "{part:?}");
        }
        assert!(screen(&sample::hostile(), 100).lines().count() <= 44);
    }
}

#[test]
fn colours_say_nothing_alone() {
    let plain = text::render(&sample::open(), text::Style { colour: false, width: 100, details: true });
    let painted = text::render(&sample::open(), text::Style { colour: true, width: 100, details: true });
    assert_ne!(plain, painted);
    assert_eq!(anstream_strip(&painted), plain);
}

fn anstream_strip(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + part.split_once('m').map_or("", |(_, rest)| rest))
}

#[test]
fn the_page_holds_no_markup_of_a_stranger_and_loads_nothing() {
    let page = html::render(&sample::hostile(), &sample::brand());
    for no in
        ["<script", "<img src=x", "onerror=alert(2)>", "javascript:alert(1)\"", "\u{1b}", "\u{202e}", "@import", "url("]
    {
        assert!(!page.contains(no), "{no}");
    }
    assert!(page.contains("&lt;script&gt;"));
    let sources: Vec<&str> = page.match_indices("src=\"").map(|(at, _)| &page[at + 5..at + 30]).collect();
    assert!(!sources.is_empty() && sources.iter().all(|source| source.starts_with("data:image/")), "{sources:?}");
    assert_eq!(page.matches("href=").count(), page.matches("href=\"#").count(), "links stay on the page");
}

#[test]
fn the_policy_allows_this_style_and_no_other() {
    use aws_lc_rs::digest::{SHA256, digest};
    use base64::{Engine, engine::general_purpose::STANDARD};
    let page = html::render(&sample::open(), &sample::brand());
    let (start, end) = (page.find("<style>").unwrap() + 7, page.find("</style>").unwrap());
    let hash = STANDARD.encode(digest(&SHA256, &page.as_bytes()[start..end]));
    let policy =
        format!("default-src 'none'; style-src 'sha256-{hash}'; img-src data:; base-uri 'none'; form-action 'none'");
    assert!(
        page.contains(&format!("http-equiv=\"Content-Security-Policy\" content=\"{}\"", policy.replace('\'', "&#39;")))
            || page.contains(&format!("http-equiv=\"Content-Security-Policy\" content=\"{policy}\"")),
        "{}",
        &page[..600]
    );
    assert_eq!(page.matches("<style").count(), 1);
    assert!(!page.contains(" style=\""), "an inline style would be refused");
    assert!(!page.contains("<script"));
}

#[test]
fn the_page_has_the_scorecard_first_and_headings_in_order() {
    let page = html::render(&sample::open(), &sample::brand());
    assert!(page.find("id=\"scorecard\"").unwrap() < page.find("id=\"question-1\"").unwrap());
    assert_eq!(page.matches("<h1").count(), 1);
    let mut last = 1;
    for (at, _) in page.match_indices("<h").filter(|(at, _)| page.as_bytes()[at + 2].is_ascii_digit()) {
        let level = page.as_bytes()[at + 2] - b'0';
        assert!(level <= last + 1, "h{last} is followed by h{level}");
        last = level;
    }
    assert_eq!(page.matches("<table").count(), page.matches("<caption").count(), "each table says what it is");
    assert_eq!(page.matches("<img").count(), page.matches(" alt=\"").count());
    assert!(page.contains("curl -sS -X POST"), "exchanges can be replayed");
    assert!(page.contains("Dana Reyes"), "suppressions stay visible");
}

#[test]
fn the_same_document_gives_the_same_bytes() {
    let brand = Brand::default();
    assert_eq!(html::render(&sample::open(), &brand), html::render(&sample::open(), &brand));
    assert_eq!(badge::svg(&sample::open()), badge::svg(&sample::open()));
    assert_eq!(sarif::render(&sample::open()), sarif::render(&sample::open()));
}

#[test]
fn every_text_of_the_page_can_be_read_on_its_ground() {
    let css = include_str!("../../assets/report.css");
    let blocks: Vec<&str> =
        css.split(":root {").skip(1).map(|rest| rest.split('}').next().unwrap_or_default()).collect();
    assert_eq!(blocks.len(), 3, "light, dark, paper");
    for block in blocks {
        let colour = |name: &str| -> Colour {
            let start = block.find(&format!("--{name}: ")).unwrap_or_else(|| panic!("--{name}")) + name.len() + 4;
            block[start..start + 7].parse().unwrap()
        };
        let on_all =
            ["text", "soft", "link"].iter().flat_map(|text| ["ground", "surface"].map(|ground| (*text, ground)));
        let tones = ["good", "mid", "bad", "open"];
        let on_tint = [("good", "good-tint"), ("mid", "mid-tint"), ("bad", "bad-tint"), ("open", "open-tint")];
        let more = [("text", "code"), ("text", "mid-tint")];
        for (text, ground) in on_all.chain(on_tint).chain(tones.map(|tone| (tone, "surface"))).chain(more) {
            let contrast = colour(text).contrast(colour(ground));
            assert!(contrast >= 4.5, "{text} on {ground}: {contrast:.2}");
        }
    }
}

/// `SALLYPORT_REPORT_SAMPLES=DIR` keeps the samples, to be looked at.
#[test]
fn samples_can_be_looked_at() {
    let Some(folder) = std::env::var_os("SALLYPORT_REPORT_SAMPLES").map(std::path::PathBuf::from) else { return };
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    for (name, assessment) in [("open", sample::open()), ("settled", sample::settled()), ("hostile", sample::hostile())]
    {
        write(&format!("{name}.html"), html::render(&assessment, &sample::brand()).as_bytes());
        write(&format!("{name}.svg"), badge::svg(&assessment).as_bytes());
        write(&format!("{name}.sarif"), sarif::render(&assessment).to_string().as_bytes());
        write(&format!("{name}.json"), serde_json::to_string_pretty(&assessment).unwrap().as_bytes());
        for details in [false, true] {
            let shown = text::render(&assessment, text::Style { colour: true, width: 100, details });
            write(&format!("{name}{}.txt", if details { "-details" } else { "" }), shown.as_bytes());
        }
        #[cfg(feature = "pdf")]
        write(&format!("{name}.pdf"), &crate::pdf::render(&assessment, &sample::brand(), &[]).unwrap());
    }
}
