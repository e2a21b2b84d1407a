//! Tests of the answers: what scores, what attests, what is refused.

use sallyport_model::{
    Timestamp,
    assessment::{CheckResult, Source},
};

use super::{Sheet, Statement, Suppressions, apply::apply};
use crate::{findings::Findings, score};

/// 2026-11-23.
const NOW: Timestamp = Timestamp::from_secs(1_795_392_000);

/// The document's own examples of good answers, their blanks filled in.
const GOOD: [&str; 10] = [
    "Our MCP server implements OAuth 2.1 with PKCE S256 for all remote connections. We support RFC 9728 (Protected \
     Resource Metadata) for authorization server discovery. The implicit grant flow is disabled. Local connections use \
     environment-inherited credentials per the MCP stdio transport spec.",
    "Our MCP server integrates with enterprise IdPs via SAML 2.0 and OIDC. SSO sessions are bound to the customer's \
     identity provider. When a user is deprovisioned in your IdP, their MCP server access is revoked within 30 seconds. \
     We support Okta, Microsoft Entra ID, Google Workspace, and any standard SAML/OIDC-compliant IdP.",
    "AI agents authenticate using OAuth 2.0 Client Credentials flow, separate from the user OAuth flow. Each agent \
     identity is issued a distinct credential with a documented scope, a defined lifetime, and a revocation endpoint. \
     Agent-initiated API calls are tagged with a non-human identity marker in all audit logs. Admins can revoke agent \
     credentials without affecting the associated human user session.",
    "Our MCP server requests the minimum OAuth scopes required for each tool function. Scopes are documented per tool \
     in our security overview. Enterprise customers can restrict available scopes at the tenant level through our admin \
     portal. We implement Resource Indicators (RFC 8707) to bind tokens to specific resource servers, preventing token \
     reuse across services.",
    "Tool results from external or user-supplied sources are sanitized before re-entering the agent's instruction \
     context. We apply output encoding to tool results and strip patterns that match credential formats. High-risk tool \
     invocations (data export, permission changes, external communications) require explicit human confirmation before \
     execution. Our agent pipeline separates the data plane from the control plane.",
    "Access tokens issued for MCP sessions have a maximum lifetime of 15 minutes. Refresh tokens are rotated on each \
     use. Tokens are bound to the originating session and cannot be transferred. Administrators can invalidate all \
     active tokens for a user or agent identity from the admin console, with revocation taking effect within 5 seconds \
     across all active sessions.",
    "Every MCP tool invocation is logged in our immutable audit trail, regardless of whether it was initiated by a human \
     user or an AI agent. Log entries include: authenticated identity (with human/machine tag), tool called, input \
     parameters (sanitized), response status, and timestamp. Logs are retained for 400 days on Enterprise plans and are \
     exportable via API and our admin console. We support SIEM integration with Splunk, Datadog, and Elastic.",
    "All tokens issued by our authorization server include an aud claim scoped to our specific resource server \
     identifier. Our MCP server validates the audience claim on every inbound request and rejects tokens with a \
     mismatched or absent aud. We implement Resource Indicators (RFC 8707) to ensure tokens cannot be reused across \
     different resource servers. Our server never forwards tokens received from MCP clients to upstream APIs; it obtains \
     separate, independently scoped tokens for each downstream service.",
    "Our platform distinguishes between read-only and write/destructive tool operations. Write operations, communications \
     to external parties, permission changes, and data exports require explicit user confirmation before execution. The \
     confirmation requirement is configurable by tenant administrators. Our tool annotations follow the MCP spec's \
     read-only and destructive flags, which are surfaced to agent orchestrators to enforce appropriate approval flows.",
    "We maintain a documented incident response process specific to MCP session compromises. Immediate actions available \
     to tenant admins include: single-click revocation of all active tokens for any user or agent identity, session \
     termination across all active MCP connections, and export of the complete audit trail for the affected identity. We \
     commit to notifying affected customers within 48 hours of confirming a breach. Our security contact is reachable at \
     security@vendor.example 24/7. We publish our incident response SLA in our MSA.",
];

fn one(question: u8, text: &str, more: &str) -> Sheet {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    sheet(&format!("[[answer]]\nquestion = {question}\ntext = \"{text}\"\n{more}\n")).unwrap()
}

fn sheet(text: &str) -> Result<Sheet, String> {
    Sheet::parse(text, "answers.toml", NOW).map_err(|error| error.to_string())
}

const ATTESTED: &str =
    "date = \"2026-11-01\"\nexpires = \"2027-05-01\"\nowner = \"CISO\"\ndocument = \"https://v.example\"";

fn scored(question: u8, text: &str) -> u8 {
    one(question, text, ATTESTED).answer(question).unwrap().score
}

#[test]
fn the_documents_own_good_answers_score_two() {
    for (number, text) in (1..).zip(GOOD) {
        let answer = one(number, text, ATTESTED).answer(number).unwrap();
        assert_eq!((answer.score, answer.complaints), (2, Vec::<String>::new()), "question {number}");
    }
    let all: String =
        (1..=10).map(|n| format!("[[answer]]\nquestion = {n}\ntext = '''{}'''\n{ATTESTED}\n", GOOD[n - 1])).collect();
    assert_eq!(sheet(&all).unwrap().total(), Some(20));
    assert_eq!(sheet("").unwrap().total(), None);
}

#[test]
fn plans_silence_and_fine_words_score_nothing() {
    for number in 1..=10 {
        for text in [
            "",
            "We are working on it.",
            "We take security very seriously and follow industry best practices with enterprise-grade controls.",
            "Yes.",
            "This is on our roadmap for the next release.",
            "Please contact sales for details.",
        ] {
            assert_eq!(scored(number, text), 0, "{number}: {text}");
        }
        let planned: String =
            GOOD[usize::from(number) - 1].split_inclusive(['.', ';']).map(|s| format!("We plan to: {s}")).collect();
        let still = scored(number, &planned);
        assert!(still < 2, "{number}: {still}");
    }
}

#[test]
fn half_of_it_scores_one_and_says_what_is_missing() {
    let answer = one(6, "Access tokens live for 10 minutes. Refresh tokens are rotated.", ATTESTED).answer(6).unwrap();
    assert_eq!(answer.score, 1);
    assert_eq!(answer.complaints.len(), 2);
    assert!(answer.complaints[0].contains("administrators end all tokens"), "{:?}", answer.complaints);
    assert_eq!(scored(6, "Access tokens are short-lived. Refresh tokens are rotated. Tokens can be revoked."), 0);
    assert_eq!(scored(1, "OAuth 2.1 with PKCE S256."), 1);
    assert_eq!(scored(1, "We do not support PKCE with S256. The implicit grant is supported. We use an API key."), 0);
    assert_eq!(scored(8, "We pass tokens on to upstream APIs. Resource indicators (RFC 8707) are supported."), 0);
}

#[test]
fn an_answer_that_is_old_or_undated_loses() {
    let score = |more: &str| {
        let answer = one(1, GOOD[0], more).answer(1).unwrap();
        (answer.score, answer.complaints.join(" "))
    };
    assert_eq!(score(ATTESTED).0, 2);
    let (points, why) = score("owner = \"CISO\"\ndocument = \"https://v.example\"");
    assert!(points == 1 && why.contains("no date"), "{points} {why}");
    let (points, why) = score("date = \"2026-01-01\"\nexpires = \"2026-11-22\"");
    assert!(points == 0 && why.contains("expired on 2026-11-22"), "{points} {why}");
    let (points, why) = score("date = \"2026-12-01\"");
    assert!(points == 1 && why.contains("future"), "{points} {why}");
    let (points, why) = score("date = \"2025-11-01\"");
    assert!(points == 1 && why.contains("confirm it anew"), "{points} {why}");
    assert_eq!(score("date = \"2025-11-01\"\nexpires = \"2026-11-23\"").0, 2);
}

#[test]
fn a_file_is_read_strictly() {
    let error = |text: &str| sheet(text).unwrap_err();
    assert!(error("[[answr]]").contains("did you mean `answer`?"));
    assert!(error("[[answer]]\nquestion = 1\ntext = \"\"\nowned = \"x\"").contains("did you mean `owner`?"));
    assert!(error("[[answer]]\nquestion = 1").contains("add `text = …`"));
    assert!(error("[[answer]]\nquestion = 11\ntext = \"\"").contains("answers.toml: answer 1.question"));
    assert!(error("[[answer]]\nquestion = 1\ntext = \"\"\ndate = \"1.11.2026\"").contains("write \"2026-11-30\""));
    assert!(error("[[answer]]\nquestion = 1\ntext = \"\"\ndate = 2026-11-01").contains("in quotes"));
    let backwards = "[[answer]]\nquestion = 1\ntext = \"\"\ndate = \"2026-11-02\"\nexpires = \"2026-11-01\"";
    assert!(error(backwards).contains("before"));
    let foreign = "[[answer]]\nquestion = 3\ntext = \"\"\ncovers = [\"agent-lifetimes\"]";
    assert!(error(foreign).contains("did you mean `agent-lifetime`?"));
    assert!(error("[[answer]]\nquestion = 1\ntext = \"\"\n[[answer]]\nquestion = 1\ntext = \"\"").contains("twice"));
}

#[test]
fn a_statement_stands_in_for_what_nobody_saw_and_never_makes_two() {
    let findings = Findings::default();
    findings.fail("token-short", "it lives for 3 days", &[1]);
    findings.pass("token-expires", "it lives for 3 days", &[1]);
    apply(&one(6, GOOD[5], ATTESTED), &findings);
    let all = findings.all();
    assert_eq!((all["token-short"].result, all["token-short"].source), (CheckResult::Fail, Source::Observed));
    assert_eq!((all["refresh-rotates"].result, all["refresh-rotates"].source), (CheckResult::Pass, Source::Attested));
    assert!(all["refresh-rotates"].observed.starts_with("CISO states in https://v.example on 2026-11-01: "));
    assert_eq!(score::question(6, &all).settled(), Some(1));
    assert!(all["sender-bound"].source == Source::Attested, "one that costs nothing is attested too");
}

#[test]
fn a_statement_without_an_owner_a_document_a_date_or_a_point_attests_nothing() {
    for more in [
        "date = \"2026-11-01\"\nowner = \"CISO\"",
        "date = \"2026-11-01\"\ndocument = \"https://v.example\"",
        "owner = \"CISO\"\ndocument = \"https://v.example\"",
        "date = \"2026-01-01\"\nexpires = \"2026-02-01\"\nowner = \"CISO\"\ndocument = \"https://v.example\"",
        "date = \"2026-11-01\"\nowner = \"  \"\ndocument = \"https://v.example\"",
    ] {
        let findings = Findings::default();
        apply(&one(6, GOOD[5], more), &findings);
        assert!(findings.all().is_empty(), "{more}");
    }
    let findings = Findings::default();
    apply(&one(6, "We are working on it.", ATTESTED), &findings);
    assert!(findings.all().is_empty());
}

#[test]
fn a_statement_covers_what_it_names_and_what_it_speaks_of() {
    let findings = Findings::default();
    apply(&one(6, GOOD[5], &format!("{ATTESTED}\ncovers = [\"refresh-rotates\"]")), &findings);
    assert_eq!(findings.all().keys().copied().collect::<Vec<_>>(), ["refresh-rotates"]);

    let slow = "We support OIDC with Okta. A deprovisioned person loses access within 24 hours.";
    let findings = Findings::default();
    apply(&one(2, slow, ATTESTED), &findings);
    let all = findings.all();
    assert_eq!(all["deprovision-ends-access"].source, Source::Attested);
    assert!(!all.contains_key("deprovision-prompt"), "24 hours are not 60 seconds");
}

#[test]
fn an_optional_statement_never_takes_points_away() {
    let findings = Findings::default();
    for check in crate::catalogue::QUESTIONS[9].iter().filter(|check| check.id != "breach-notice") {
        findings.pass(check.id, "seen", &[]);
    }
    apply(&one(10, GOOD[9], ATTESTED), &findings);
    assert_eq!(score::question(10, &findings.all()).settled(), Some(2));
}

#[test]
fn a_sheet_of_rows_becomes_answers() {
    let csv = "CSA CAIQ v4,,,\n\
        Question ID,Question,CSP CAIQ Answer,CSP Implementation Description\n\
        IAM-07.1,Is access de-provisioned in time?,Yes,\"SCIM: a deprovisioned user is refused within 30 seconds. We support Okta.\"\n\
        IAM-06.1,Is there a provisioning process?,Yes,OIDC and SAML at each customer's IdP.\n\
        IAM-05.1,Least privilege?,Yes,\n\
        SEF-07.1,Breach notification?,No,\n\
        DCS-03.1,Doors?,Yes,Locked.\n";
    let statement = Statement {
        document: Some("https://v.example/caiq".to_owned()),
        owner: Some("CISO".to_owned()),
        date: Some("2026-11-01".to_owned()),
        expires: None,
    };
    let sheet = Sheet::import_csv(csv, "caiq.csv", &statement, NOW).unwrap();
    assert_eq!(sheet.answer(2).map(|answer| answer.score), Some(2));
    let least = sheet.answer(4).unwrap();
    assert!(least.score == 0 && least.complaints.iter().any(|why| why.contains("IAM-05.1: “yes” alone")), "{least:?}");
    assert!(sheet.answer(10).unwrap().complaints.iter().any(|why| why == "SEF-07.1: answered with no"));
    assert!(sheet.answer(9).is_none());
    assert_eq!(sheet.total(), Some(2));
    let undated = Sheet::import_csv(csv, "caiq.csv", &Statement::default(), NOW).unwrap();
    assert_eq!(undated.answer(2).map(|answer| answer.score), Some(1));
}

#[test]
fn a_sheet_of_the_ten_numbers_is_read_and_others_are_refused() {
    let csv = format!("#;Answer\nQ1;{}\n11;nothing", GOOD[0].replace(';', ","));
    let sheet = Sheet::import_csv(&csv, "own.csv", &Statement::default(), NOW).unwrap();
    assert_eq!(sheet.answer(1).map(|answer| answer.score), Some(1), "undated");
    let error = |csv: &str| Sheet::import_csv(csv, "x.csv", &Statement::default(), NOW).unwrap_err().to_string();
    assert!(error("a,b\n1,2").contains("no row names an id and an answer"));
    assert!(error("id,answer\nDCS-01.1,yes").contains("not one row"));
    assert!(error("id,answer\n\"open").starts_with("x.csv:2: a quote is not closed"));
    let wrong = Statement { date: Some("yesterday".to_owned()), ..Statement::default() };
    assert!(Sheet::import_csv("id,answer\n1,x", "x.csv", &wrong, NOW).is_err());
}

#[test]
fn suppressions_hold_until_their_day_and_name_a_check_a_reason_and_an_owner() {
    let text = "[[suppress]]\ncheck = \"sender-bound\"\nreason = \"no client speaks DPoP\"\nowner = \"CISO\"\nuntil = \"2026-11-23\"\n";
    let read = Suppressions::parse(text, "s.toml").unwrap();
    assert_eq!(read.active("sender-bound", NOW).map(|s| s.owner.as_str()), Some("CISO"));
    assert!(read.expired(NOW).is_empty() && read.active("token-short", NOW).is_none());
    let later = Timestamp::from_secs(NOW.as_secs() + 86_400);
    assert!(read.active("sender-bound", later).is_none());
    assert_eq!(read.expired(later), ["sender-bound"]);
    let error = |text: &str| Suppressions::parse(text, "s.toml").unwrap_err().to_string();
    assert!(error(&text.replace("sender-bound", "sender-bind")).contains("did you mean `sender-bound`?"));
    assert!(error(&text.replace("no client speaks DPoP", " ")).contains("suppress 1.reason: is empty"));
    assert!(error(&text.replace("2026-11-23", "soon")).contains("suppress 1.until"));
    assert!(error(&format!("{text}{text}")).contains("twice"));
    assert!(error(&text.replace("until", "untill")).contains("did you mean `until`?"));
}

#[test]
fn the_page_names_every_point() {
    let page = include_str!("../../../../docs/assess/answers.md");
    let written = page.split("<!-- points -->\n").nth(1).expect("the mark stands in the page");
    assert_eq!(written, super::rules::document(), "write the page anew from rules::document()");
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    assert_eq!(sheet(example).unwrap().total(), Some(2), "the example of the page is a good answer");
}

#[test]
fn every_check_that_a_point_speaks_of_is_one_of_its_question() {
    for number in 1..=10u8 {
        let ids: Vec<&str> =
            crate::catalogue::QUESTIONS[usize::from(number) - 1].iter().map(|check| check.id).collect();
        for point in super::rules::points(number) {
            assert!(point.attests.iter().all(|(check, _)| ids.contains(check)), "{number}: {}", point.says);
        }
    }
}
