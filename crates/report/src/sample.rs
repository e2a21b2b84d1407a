//! Made-up assessments for tests: one with every verdict, one settled, one whose every string is hostile.

use sallyport_model::assessment::{
    Answer, Assessment, Band, CheckResult, DefinitionDigest, Evidence, Exchange, QUESTION_MAX, Question,
    SCHEMA_VERSION, ServerAbout, Severity, Source, Suppression, TITLES, TOTAL_MAX, Verdict,
};
use serde_json::Value;

use crate::{Brand, Logo, Party};

/// Ranges of the ten questions of [`open`].
const OPEN: [[u8; 2]; 10] = [[2, 2], [0, 2], [0, 0], [1, 1], [0, 1], [1, 2], [0, 2], [1, 2], [0, 0], [0, 2]];
/// What a hostile server would say.
pub(crate) const HOSTILE: &str = "<script>alert(1)</script>\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}txt.exe\u{202c}\u{200b}\u{e0041} \
    שלום עולם 漢字 🦀👩‍💻 | [x](javascript:alert(1)) `a` *b* #typst $x$ @ref \\ \"'><img src=x onerror=alert(2)> \u{9b}31m \
    aVeryLongWordWithoutAnySpaceAtAllWhichGoesOnAndOnAndOnAndOnAndOnAndOnAndOnAndOnAndOnAndOnAndOnAndOnAndOn\0\u{85}end";

/// An assessment with all verdicts, all results, and a total that is not settled: 5 to 14.
pub(crate) fn open() -> Assessment {
    let questions: Vec<Question> = (1..=10).map(|number| question(number, OPEN[usize::from(number) - 1])).collect();
    Assessment {
        schema_version: SCHEMA_VERSION,
        target: "https://mcp.tickets.example/v2/mcp".into(),
        server: Some(ServerAbout { name: "Northwind Tickets".into(), version: "2.4.1".into() }),
        transport: "streamable-http".into(),
        protocol_versions: vec!["2026-07-28".into(), "2025-11-25".into(), "2025-06-18".into()],
        assessed_at: "2026-11-20T09:14:05Z".into(),
        duration_ms: 12_345,
        assessor: "sallyport 0.1.0".into(),
        access: vec!["person".into(), "agent".into()],
        questions,
        total: None,
        total_range: [5, 14],
        answer_total: Some(13),
        max: TOTAL_MAX,
        band: None,
        bands_possible: vec![Band::DoNotEnable, Band::ReviewAndRemediate],
        definitions: vec![DefinitionDigest {
            kind: "tools".to_owned(),
            name: "list_tickets".to_owned(),
            sha256: "0".repeat(64),
        }],
        exchanges: exchanges(),
    }
}

/// An assessment without an open check: 17 of 20.
pub(crate) fn settled() -> Assessment {
    let mut assessment = open();
    for question in &mut assessment.questions {
        let score = if matches!(question.number, 3 | 5 | 9) { 1 } else { 2 };
        question.score = Some(score);
        question.range = [score, score];
        question.verdict = if score == 2 { Verdict::Met } else { Verdict::Partial };
        question.evidence.retain(|evidence| evidence.result != CheckResult::NotAssessable);
        if score == 2 {
            question.held_down_by.clear();
            question.remedy.clear();
            question.points = Some(100);
            question.evidence.retain(|evidence| evidence.result != CheckResult::Fail);
        }
    }
    assessment.total = Some(17);
    assessment.total_range = [17, 17];
    assessment.band = Some(Band::Proceed);
    assessment.bands_possible = vec![Band::Proceed];
    assessment
}

/// [`open`] with a hostile text before every string that a server could have chosen.
pub(crate) fn hostile() -> Assessment {
    let mut value = serde_json::to_value(open()).unwrap();
    poison(&mut value, "");
    serde_json::from_value(value).unwrap()
}

fn poison(value: &mut Value, key: &str) {
    match value {
        Value::String(_) if matches!(key, "verdict" | "result" | "source" | "severity" | "band" | "bands_possible") => {
        }
        Value::String(text) => *text = format!("{HOSTILE} {text}"),
        Value::Array(items) => items.iter_mut().for_each(|item| poison(item, key)),
        Value::Object(members) => members.iter_mut().for_each(|(key, member)| poison(member, key)),
        _ => {}
    }
}

/// A vendor and a customer with pictures.
pub(crate) fn brand() -> Brand {
    let svg = |colour: &str, shape: &str| {
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 32 32\"><rect width=\"32\" height=\"32\" rx=\"7\" \
             fill=\"{colour}\"/>{shape}</svg>"
        );
        Some(Logo::new(text.into_bytes()).unwrap())
    };
    let mut vendor = Party::new("Northwind Tickets", "#1f3fae".parse().unwrap());
    vendor.logo = svg("#1f3fae", "<path d=\"M8 24V8l16 16V8\" stroke=\"#fff\" stroke-width=\"3\" fill=\"none\"/>");
    let mut customer = Party::new("Contoso Bank", "#f2b705".parse().unwrap());
    customer.logo = svg("#f2b705", "<circle cx=\"16\" cy=\"16\" r=\"8\" fill=\"#222\"/>");
    Brand { vendor, customer: Some(customer) }
}

fn question(number: u8, range: [u8; 2]) -> Question {
    let score = (range[0] == range[1]).then_some(range[0]);
    let verdict = match score {
        Some(QUESTION_MAX) => Verdict::Met,
        Some(1) => Verdict::Partial,
        Some(_) => Verdict::NotMet,
        None => Verdict::NotAssessable,
    };
    let evidence = evidence(number, verdict);
    let (held_down_by, remedy) = match verdict {
        Verdict::Met => (Vec::new(), ""),
        Verdict::Partial => (
            vec!["not so: each tool has a scope of its own, documented in scopes_supported".to_owned()],
            "Give each tool a scope, list the scopes in the protected-resource metadata, and let a tenant narrow them.",
        ),
        Verdict::NotMet => (
            vec![
                "not so: an agent's token says that no person holds it".to_owned(),
                "not so: an agent's credential ends by itself".to_owned(),
            ],
            "Register agents as clients of their own with the client-credentials grant, mark their tokens, and end their \
             credentials after 90 days at most.",
        ),
        Verdict::NotAssessable => {
            (Vec::new(), "Give the assessor a test identity, so that it can see whether this holds.")
        }
    };
    let points = [Some(100), None, Some(12), Some(61), Some(40), Some(83), None, Some(90), Some(0), Some(50)];
    Question {
        number,
        title: TITLES[usize::from(number) - 1].to_owned(),
        score,
        range,
        max: QUESTION_MAX,
        points: points[usize::from(number) - 1],
        verdict,
        held_down_by,
        answer: answer(number),
        evidence,
        remedy: remedy.to_owned(),
    }
}

fn evidence(number: u8, verdict: Verdict) -> Vec<Evidence> {
    let check = |slug: &str, result, severity, source, observed: &str| Evidence {
        check: format!("q{number}.{slug}"),
        title: format!("what `{slug}` asks for is in place"),
        result,
        observed: observed.to_owned(),
        source,
        severity,
        reference: "MCP 2025-11-25, Authorization, Token Audience Binding and Validation; RFC 8707 §2".into(),
        remedy: "Refuse a token whose `aud` is not this server's resource identifier, to the letter.".into(),
        exchanges: vec![1, 2],
        suppressed: None,
    };
    let pass = check(
        "challenge",
        CheckResult::Pass,
        Severity::Critical,
        Source::Observed,
        "401 with WWW-Authenticate: Bearer resource_metadata=\"https://mcp.tickets.example/.well-known/oauth-protected-resource/v2/mcp\"",
    );
    let mut fail = check(
        "foreign-token",
        CheckResult::Fail,
        if number == 3 { Severity::Critical } else { Severity::High },
        Source::Observed,
        "tools/list answered 200 to a token whose audience is https://elsewhere.example",
    );
    if number == 4 {
        fail.suppressed = Some(Suppression {
            reason: "The vendor moves to per-tool scopes in March".into(),
            owner: "Dana Reyes, security".into(),
            until: "2027-03-31".into(),
        });
    }
    let needs = match number {
        2 | 7 | 10 => "needs the hook `deprovision`: --hooks FILE",
        5 => "needs a tool that echoes what it is given: --canary TOOL.ARGUMENT",
        6 => "needs a second person: --second-user with --second-password-env",
        _ => "the server closed the connection after 10 s",
    };
    let mut unseen = check("after-the-fact", CheckResult::NotAssessable, Severity::High, Source::None, needs);
    unseen.exchanges.clear();
    let mut attested = check(
        "contact",
        CheckResult::Pass,
        Severity::Low,
        Source::Attested,
        "security@tickets.example answers day and night",
    );
    attested.exchanges = vec![];
    let apart =
        check("stdio", CheckResult::NotApplicable, Severity::Low, Source::None, "the server is not a local process");
    match verdict {
        Verdict::Met => vec![pass, attested, apart],
        Verdict::Partial => vec![pass, fail],
        Verdict::NotMet => vec![fail, unseen],
        Verdict::NotAssessable => vec![pass, unseen, apart],
    }
}

fn answer(number: u8) -> Option<Answer> {
    let given = |score, text: &str, complaints: &[&str]| Answer {
        score,
        text: text.to_owned(),
        document: Some("https://tickets.example/security/mcp.pdf".into()),
        owner: Some("Ines Okafor, head of platform".into()),
        date: Some("2026-10-02".into()),
        expires: Some("2027-04-02".into()),
        complaints: complaints.iter().map(|&text| text.to_owned()).collect(),
    };
    match number {
        1 => Some(given(2, "Authorization code with PKCE S256 only; RFC 9728 metadata; no implicit grant.", &[])),
        3 => Some(given(0, "We are working on it.", &["names no date, no number and no document"])),
        10 => Some(given(1, "One action ends all tokens of a user.", &["the time until it takes effect"])),
        _ => None,
    }
}

fn exchanges() -> Vec<Exchange> {
    let headers =
        |list: &[(&str, &str)]| list.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    let call = Exchange {
        number: 1,
        check: "q1.challenge".into(),
        request: "POST https://mcp.tickets.example/v2/mcp".into(),
        request_headers: headers(&[("content-type", "application/json"), ("authorization", "Bearer eyJh…")]),
        request_body: "{\n  \"jsonrpc\": \"2.0\",\n  \"id\": 1,\n  \"method\": \"tools/list\"\n}".into(),
        status: Some(401),
        response_headers: headers(&[("www-authenticate", "Bearer resource_metadata=\"https://mcp.tickets.example/.well-known/oauth-protected-resource/v2/mcp\", scope=\"tickets:read\"")]),
        response_body: "{\"error\":\"invalid_token\"}".into(),
        elapsed_ms: 48,
        replay: "curl -sS -X POST https://mcp.tickets.example/v2/mcp -H 'content-type: application/json' -H 'authorization: Bearer '\"$TOKEN\" -d '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}'".into(),
    };
    let silent = Exchange {
        number: 2,
        check: "q8.foreign-token".into(),
        request: "GET https://mcp.tickets.example/.well-known/openid-configuration".into(),
        request_headers: Vec::new(),
        request_body: String::new(),
        status: None,
        response_headers: Vec::new(),
        response_body: "no answer within 10 s".into(),
        elapsed_ms: 10_000,
        replay: "curl -sS https://mcp.tickets.example/.well-known/openid-configuration".into(),
    };
    vec![call, silent]
}
