use super::*;
use crate::{sample, sample::HOSTILE};

fn sheet(extra: &str) -> AnswerSheet {
    let text = |text: &str| format!("{text}{extra}");
    let figures = vec![
        Figure {
            name: text("deprovision to refusal, p99"),
            value: text("412 ms"),
            origin: FigureOrigin::Measured {
                at: "2026-11-19T08:00:00Z".into(),
                how: text("sallyport drill, 200 runs"),
            },
        },
        Figure {
            name: text("access token lifetime"),
            value: text("5 min"),
            origin: FigureOrigin::Configured { setting: text("tokens.access_ttl") },
        },
    ];
    let states = [
        EvidenceState::Observed { at: "2026-11-19T08:00:00Z".into(), checks: vec![text("q1.challenge")] },
        EvidenceState::Attested {
            owner: text("Ines Okafor"),
            document: text("security.pdf"),
            date: "2026-10-02".into(),
            expires: Some("2027-04-02".into()),
        },
        EvidenceState::Configured,
        EvidenceState::Missing,
    ];
    let answer = |number: u8| SheetAnswer {
        number,
        title: text(sallyport_model::assessment::TITLES[usize::from(number) - 1]),
        text: vec![text("Authorization code with PKCE S256 and nothing else.")],
        figures: figures.clone(),
        state: states[usize::from(number) % 4].clone(),
        limits: vec![text("SAML single log-out is not received.")],
        references: vec![text("RFC 7636"), text("RFC 9728")],
    };
    AnswerSheet {
        schema_version: SHEET_VERSION,
        vendor: text("Northwind"),
        product: text("Northwind Tickets"),
        endpoints: vec![text("https://mcp.tickets.example/mcp")],
        contact: Some(text("security@tickets.example")),
        prepared_at: "2026-11-20T09:14:05Z".into(),
        prepared_by: "sallyport 0.1.0".into(),
        answers: (1..=10).map(answer).collect(),
    }
}

#[test]
fn each_answer_says_its_figures_where_from_and_what_stands_behind_it() {
    let shown = markdown(&sheet(""));
    assert_eq!(shown.matches("\n## ").count(), 10);
    assert!(shown.contains(
        "| deprovision to refusal, p99 | 412 ms | measured 2026-11-19 08:00 UTC: sallyport drill, 200 runs |"
    ));
    assert!(shown.contains("**Evidence:** Attested by Ines Okafor in security.pdf, 2026-10-02, until 2027-04-02."));
    assert!(shown.contains("There is no such control yet"));
    let page = html(&sheet(""), &sample::brand());
    assert!(page.contains("412 ms") && page.matches("<section").count() == 10);
}

#[test]
fn no_text_of_the_sheet_becomes_markup() {
    let hostile = sheet(HOSTILE);
    let shown = markdown(&hostile);
    assert!(shown.chars().all(|c| c == '\n' || !c.is_control()));
    for no in ["<script", "<img", "[x](", " `a`", " *b*"] {
        assert!(!shown.contains(no), "{no}");
    }
    let rows = shown.lines().filter(|line| line.starts_with("| "));
    for row in rows {
        let bars = row.char_indices().filter(|(at, c)| *c == '|' && (*at == 0 || row.as_bytes()[at - 1] != b'\\'));
        assert_eq!(bars.count(), 4, "{row}");
    }
    let page = html(&hostile, &sample::brand());
    assert!(!page.contains("<script") && !page.contains("<img src=x") && !page.contains('\u{1b}'));
}

#[test]
fn a_sheet_survives_json() {
    let sheet = sheet("");
    let text = serde_json::to_string(&sheet).unwrap();
    assert_eq!(serde_json::from_str::<AnswerSheet>(&text).unwrap(), sheet);
    assert!(text.contains("\"kind\":\"measured\"") && text.contains("\"state\":\"observed\""));
}

/// `SALLYPORT_REPORT_SAMPLES=DIR` keeps the sheet, to be looked at.
#[test]
fn the_sheet_can_be_looked_at() {
    let Some(folder) = std::env::var_os("SALLYPORT_REPORT_SAMPLES").map(std::path::PathBuf::from) else { return };
    std::fs::write(folder.join("sheet.html"), html(&sheet(""), &sample::brand())).unwrap();
    std::fs::write(folder.join("sheet.md"), markdown(&sheet(""))).unwrap();
}
