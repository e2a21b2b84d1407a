use std::{collections::BTreeMap as Map, sync::Arc};

use sallyport_model::{Secret, SeededRng, SystemClock, assessment::Verdict};
use sallyport_outbound::stdio::StdioSpec;

use super::*;
use crate::{access::Access, catalogue, wire::Noted};

fn bench(access: Access) -> Bench {
    let target = Target::Http("https://mcp.example/mcp".parse().unwrap());
    Bench::new(target, access, Arc::new(SystemClock), Arc::new(SeededRng::new(1))).unwrap()
}

fn written(bench: &Bench) -> Assessment {
    write(bench, "2026-11-03T12:00:00.000Z".to_owned(), Duration::from_millis(1500))
}

#[test]
fn nothing_seen_is_neither_nought_nor_two() {
    let document = written(&bench(Access::default()));
    assert_eq!((document.total, document.total_range, document.band), (None, [0, 20], None));
    assert_eq!(document.bands_possible, [Band::DoNotEnable, Band::ReviewAndRemediate, Band::Proceed]);
    assert_eq!(document.questions.len(), 10);
    let checks: usize = document.questions.iter().map(|question| question.evidence.len()).sum();
    assert_eq!(checks, catalogue::all().count());
    for evidence in document.questions.iter().flat_map(|question| &question.evidence) {
        assert_eq!((evidence.result, evidence.source), (CheckResult::NotAssessable, Source::None));
        assert!(!evidence.observed.is_empty());
    }
    let second = &document.questions[1];
    assert_eq!(second.verdict, Verdict::NotAssessable);
    assert!(second.remedy.contains("the hook `deprovision`"), "{}", second.remedy);
    assert!(second.evidence[1].observed.starts_with("needs the hook"), "{}", second.evidence[1].observed);
}

#[test]
fn all_passed_is_twenty_and_needs_no_remedy() {
    let bench = bench(Access::default());
    for check in catalogue::all() {
        bench.findings.pass(check.id, "seen", &[]);
    }
    let document = written(&bench);
    assert_eq!((document.total, document.band), (Some(20), Some(Band::Proceed)));
    assert_eq!(document.bands_possible, [Band::Proceed]);
    assert!(document.questions.iter().all(|question| question.remedy.is_empty() && question.points == Some(100)));
}

#[test]
fn an_open_server_gets_one_verdict_and_one_remedy() {
    let bench = bench(Access::default());
    bench.findings.fail("auth-required", "tools/list was answered", &[]);
    let document = written(&bench);
    assert_eq!(document.total_range, [0, 2]);
    assert_eq!(document.bands_possible, [Band::DoNotEnable]);
    for number in [1, 2, 3, 4, 6, 7, 8, 9, 10] {
        assert!(document.questions[number - 1].remedy.starts_with("Refuse every MCP request"), "{number}");
    }
}

#[test]
fn the_heaviest_failure_gives_the_remedy() {
    let bench = bench(Access::default());
    for check in catalogue::all().filter(|check| check.question == 1) {
        bench.findings.pass(check.id, "seen", &[]);
    }
    bench.findings.fail("challenge-error", "missing", &[]);
    bench.findings.fail("challenge-401", "403", &[]);
    bench.findings.fail("redirect-exact", "redirected", &[]);
    assert!(written(&bench).questions[0].remedy.starts_with("Compare redirect URIs"));
}

#[test]
fn only_exchanges_that_are_referred_to_are_kept() {
    let bench = bench(Access::default());
    let note = |body: &str| {
        bench.wire.note(Noted { check: "garbage-refused", response_body: body.into(), ..Noted::default() })
    };
    let numbers: Vec<u32> = (0..300).map(|number| note(&format!("answer {number}"))).collect();
    bench.findings.fail("garbage-refused", "200", &numbers[10..14]);
    bench.findings.pass("forged-refused", "401", &[numbers[13], 9999]);
    let document = written(&bench);
    let kept: Vec<u32> = document.exchanges.iter().map(|exchange| exchange.number).collect();
    assert_eq!(kept, numbers[10..14]);
    let evidence = document.questions[7].evidence.iter().find(|evidence| evidence.check == "forged-refused").unwrap();
    assert_eq!(evidence.exchanges, [numbers[13]]);
}

#[test]
fn a_credential_that_became_known_late_is_still_taken_out() {
    let bench = bench(Access::default());
    let number = bench.wire.note(Noted { response_body: "page with late-secret-value".into(), ..Noted::default() });
    bench.findings.fail("errors-clean", "it said late-secret-value", &[number]);
    bench.wire.keep_secret(&Secret::new("late-secret-value"));
    let document = serde_json::to_string(&written(&bench)).unwrap();
    assert!(!document.contains("late-secret-value"));
}

#[test]
fn a_command_line_is_shown_without_its_secrets() {
    let args = ["--api-key", "hunter2", "--token=abc", "0123456789abcdefghij", "@scope/package@1.2.3", "/path/to/file"];
    let args = args.map(str::to_owned).to_vec();
    let spec = StdioSpec::from_configuration("npx", args, Map::new(), None);
    let bench = Bench::new(Target::Stdio(spec), Access::default(), Arc::new(SystemClock), Arc::new(SeededRng::new(1)));
    let document = written(&bench.unwrap());
    assert_eq!(document.target, "stdio:npx --api-key … --token=… … @scope/package@1.2.3 /path/to/file");
    assert_eq!(document.transport, "stdio");
}
