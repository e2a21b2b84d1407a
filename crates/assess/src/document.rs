//! The document that a run ends in: every check of the rubric with its outcome, and what follows by the rubric.
//!
//! It sends nothing and decides nothing. Every sentence in it has gone through the redactor once more.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::PoisonError,
    time::Duration,
};

use sallyport_model::assessment::{
    Assessment, Band, CheckResult, DefinitionDigest, Evidence, Exchange, QUESTION_MAX, Question, SCHEMA_VERSION,
    ServerAbout, Source, TITLES, TOTAL_MAX,
};

use crate::{
    bench::{Bench, Target},
    catalogue::{QUESTIONS, REACHES},
    check::{Check, Needs},
    findings::Finding,
    score::{self, Score},
};

/// The most exchanges in a document.
const MAX_EXCHANGES: usize = 200;
/// The most that one check refers to.
const MAX_REFERENCES: usize = 12;
/// The most definitions in a document.
const MAX_DEFINITIONS: usize = 1000;
/// The longest sentence about what was seen, bytes.
const MAX_OBSERVED: usize = 1000;

/// Why a question about people and tokens earns nothing at a local process.
const MEANINGLESS: &str = "it has no meaning for a local process of one's own";
/// What to do where only the vendor was asked.
const OF_ANSWERS: &str = "Assess the server itself, by its URL: answers alone show nothing.";

/// Writes the document of `bench`, which began at `assessed_at` and took `elapsed`.
pub(crate) fn write(bench: &Bench, assessed_at: String, elapsed: Duration) -> Assessment {
    let findings = outcomes(bench);
    let kept = exchanges(bench, &findings);
    let numbers: BTreeSet<u32> = kept.iter().map(|exchange| exchange.number).collect();
    let questions: Vec<Question> = (1..)
        .zip(TITLES)
        .map(|(number, title)| {
            let score = score::question(number, &findings);
            let (settled, verdict) = (score.settled(), score.verdict());
            let evidence = evidence(number, &findings, &numbers);
            let meaningless = is_meaningless(bench, number, &findings);
            let remedy = match &bench.target {
                _ if meaningless => String::new(),
                Target::Answers(_) if score.range != [QUESTION_MAX, QUESTION_MAX] => OF_ANSWERS.to_owned(),
                _ => remedy(number, &score, &findings),
            };
            let mut held_down_by = score.held_down_by;
            held_down_by.extend(meaningless.then(|| MEANINGLESS.to_owned()));
            let answer = bench.access.sheet.as_ref().and_then(|sheet| sheet.answer(number));
            Question {
                number,
                title: title.to_owned(),
                score: settled,
                range: score.range,
                max: QUESTION_MAX,
                points: score.points,
                verdict,
                held_down_by,
                answer,
                evidence,
                remedy,
            }
        })
        .collect();
    let sum = |end: usize| questions.iter().map(|question| question.range[end]).sum();
    let total_range: [u8; 2] = [sum(0), sum(1)];
    let total = questions.iter().map(|question| question.score).sum::<Option<u8>>();
    Assessment {
        schema_version: SCHEMA_VERSION,
        target: target(bench),
        server: server(bench),
        transport: transport(bench).to_owned(),
        protocol_versions: versions(bench),
        assessed_at,
        duration_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        assessor: concat!("sallyport ", env!("CARGO_PKG_VERSION")).to_owned(),
        access: bench.access.given(),
        total,
        total_range,
        answer_total: bench.access.sheet.as_ref().and_then(|sheet| sheet.total()),
        max: TOTAL_MAX,
        band: total.map(Band::of),
        bands_possible: bands(total_range),
        definitions: definitions(bench),
        exchanges: kept,
        questions,
    }
}

/// Whether what would earn a question its points cannot be asked of a process on one's own machine.
fn is_meaningless(bench: &Bench, number: u8, findings: &BTreeMap<&'static str, Finding>) -> bool {
    let result = |check: &Check| findings.get(check.id).map(|finding| finding.result);
    let decided = |check: &Check| matches!(result(check), Some(CheckResult::Pass | CheckResult::Fail));
    let checks = QUESTIONS[usize::from(number) - 1];
    matches!(bench.target, Target::Stdio(_))
        && !checks.iter().any(decided)
        && checks.iter().filter(|check| check.earns).all(|check| result(check) == Some(CheckResult::NotApplicable))
}

/// What was listed, each by its hash.
fn definitions(bench: &Bench) -> Vec<DefinitionDigest> {
    let listed = bench.seen.catalogue.get().into_iter().flatten().take(MAX_DEFINITIONS);
    let mut digests: Vec<DefinitionDigest> = listed
        .map(|definition| DefinitionDigest {
            kind: definition.kind.member().to_owned(),
            name: crate::wire::redact::cut_to(&bench.wire.redacted(&definition.key), MAX_OBSERVED),
            sha256: sallyport_model::hex(&definition.hash()),
        })
        .collect();
    digests.sort();
    digests
}

/// The outcome of every check, also of those that nobody made.
fn outcomes(bench: &Bench) -> BTreeMap<&'static str, Finding> {
    let mut all = bench.findings.all();
    for check in QUESTIONS.into_iter().flatten() {
        let finding = all.entry(check.id).or_insert_with(|| Finding {
            result: CheckResult::NotAssessable,
            observed: unmade(bench, check),
            source: Source::None,
            exchanges: Vec::new(),
        });
        finding.observed = crate::wire::redact::cut_to(&bench.wire.redacted(&finding.observed), MAX_OBSERVED);
        finding.exchanges.sort_unstable();
        finding.exchanges.dedup();
    }
    all
}

/// Why a check has no outcome.
fn unmade(bench: &Bench, check: &Check) -> String {
    match (&bench.target, check.needs) {
        (Target::Answers(_), _) => "no server was asked, only the vendor".to_owned(),
        (_, needs) if !bench.access.covers(&needs) => format!("needs {needs}"),
        _ => "no probe came to an outcome".to_owned(),
    }
}

fn evidence(number: u8, findings: &BTreeMap<&'static str, Finding>, kept: &BTreeSet<u32>) -> Vec<Evidence> {
    let of = |check: &Check| {
        let finding = findings.get(check.id)?;
        Some(Evidence {
            check: check.id.to_owned(),
            title: check.title.to_owned(),
            result: finding.result,
            observed: finding.observed.clone(),
            source: finding.source,
            severity: check.severity(),
            reference: check.reference.to_owned(),
            remedy: check.remedy.to_owned(),
            exchanges: references(finding).filter(|exchange| kept.contains(exchange)).collect(),
            suppressed: None,
        })
    };
    QUESTIONS[usize::from(number) - 1].iter().filter_map(of).collect()
}

fn references(finding: &Finding) -> impl Iterator<Item = u32> {
    finding.exchanges.iter().copied().take(MAX_REFERENCES)
}

/// Those that evidence refers to: of failures first, should there be too many.
fn exchanges(bench: &Bench, findings: &BTreeMap<&'static str, Finding>) -> Vec<Exchange> {
    let mut wanted = BTreeSet::new();
    for result in [CheckResult::Fail, CheckResult::Pass, CheckResult::NotAssessable, CheckResult::NotApplicable] {
        let of = findings.values().filter(|finding| finding.result == result);
        for number in of.flat_map(references) {
            if wanted.len() < MAX_EXCHANGES {
                wanted.insert(number);
            }
        }
    }
    let all = bench.wire.exchanges();
    all.into_iter()
        .filter(|exchange| wanted.contains(&exchange.number))
        .map(|exchange| again(bench, exchange))
        .collect()
}

/// Through the redactor once more: a credential may have become known after it was recorded.
fn again(bench: &Bench, mut exchange: Exchange) -> Exchange {
    let texts = [&mut exchange.request, &mut exchange.request_body, &mut exchange.response_body, &mut exchange.replay];
    let values = exchange.request_headers.iter_mut().chain(&mut exchange.response_headers).map(|(_, value)| value);
    for text in texts.into_iter().chain(values) {
        *text = bench.wire.redacted(text);
    }
    exchange
}

/// What to do next for a question.
fn remedy(number: u8, score: &Score, findings: &BTreeMap<&'static str, Finding>) -> String {
    if score.range == [QUESTION_MAX, QUESTION_MAX] {
        return String::new();
    }
    let failed = |id: &str| findings.get(id).is_some_and(|finding| finding.result == CheckResult::Fail);
    let reach = REACHES.iter().find(|reach| reach.questions.contains(&number) && failed(reach.check));
    if let Some(check) = reach.and_then(|reach| crate::catalogue::find(reach.check)) {
        return check.remedy.to_owned();
    }
    let checks = QUESTIONS[usize::from(number) - 1];
    if let Some(check) = heaviest(checks.iter().filter(|check| failed(check.id) && holds_down(check))) {
        return check.remedy.to_owned();
    }
    let seen = |check: &Check| {
        findings
            .get(check.id)
            .is_some_and(|finding| finding.source == Source::Observed || finding.result == CheckResult::NotApplicable)
    };
    let mut open: Vec<&Check> = checks.iter().filter(|check| !seen(check) && check.required).collect();
    open.sort_by_key(|check| std::cmp::Reverse((check.severity(), check.weight)));
    let mut needs: Vec<Needs> = Vec::new();
    for check in open {
        if check.needs != Needs::Nothing && !needs.contains(&check.needs) {
            needs.push(check.needs);
        }
    }
    match (needs.as_slice(), heaviest(checks.iter().filter(|check| check.earns && !seen(check)))) {
        ([], Some(check)) => check.remedy.to_owned(),
        ([], None) => heaviest(checks.iter().filter(|check| failed(check.id))).map_or_else(
            || "Assess it again when the server can be reached.".to_owned(),
            |check| check.remedy.to_owned(),
        ),
        (needs, _) => {
            let names: Vec<String> = needs.iter().map(Needs::to_string).collect();
            format!("Assess it again with {}.", names.join("; with "))
        }
    }
}

/// Whether a failure keeps the score down, not only the points.
fn holds_down(check: &Check) -> bool {
    check.role != crate::check::Role::Good
}

fn heaviest<'a>(checks: impl Iterator<Item = &'a Check>) -> Option<&'a Check> {
    // The first of equals: the rubric names the plainest first.
    checks.reduce(
        |best, check| {
            if (check.severity(), check.weight) > (best.severity(), best.weight) { check } else { best }
        },
    )
}

fn bands([low, high]: [u8; 2]) -> Vec<Band> {
    let mut bands: Vec<Band> = (low..=high).map(Band::of).collect();
    bands.dedup();
    bands
}

fn versions(bench: &Bench) -> Vec<String> {
    let versions = bench.seen.versions.lock().unwrap_or_else(PoisonError::into_inner);
    versions.iter().rev().map(|version| bench.wire.redacted(version)).collect()
}

fn server(bench: &Bench) -> Option<ServerAbout> {
    let about = bench.seen.server.get()?;
    Some(ServerAbout { name: bench.wire.redacted(&about.name), version: bench.wire.redacted(&about.version) })
}

fn transport(bench: &Bench) -> &'static str {
    match (&bench.target, bench.seen.transport.get()) {
        (_, Some(transport)) => transport,
        // Nobody was let in, so what was spoken to is all that is known.
        (Target::Http(_), None) => "streamable-http",
        (Target::Stdio(_), None) => "stdio",
        (Target::Answers(_), None) => "none",
    }
}

fn target(bench: &Bench) -> String {
    match &bench.target {
        Target::Http(url) => bench.wire.redacted(url.as_str()),
        Target::Answers(file) => format!("answers:{file}"),
        Target::Stdio(spec) => {
            let mut words = vec![spec.command().to_owned()];
            let mut hide = false;
            for arg in spec.args() {
                words.push(if hide { "…".to_owned() } else { shown(arg) });
                hide = arg.starts_with('-') && !arg.contains('=') && names_credential(arg);
            }
            format!("stdio:{}", bench.wire.redacted(&words.join(" ")))
        }
    }
}

/// An argument without the credential that it may hold.
fn shown(arg: &str) -> String {
    match arg.split_once('=') {
        Some((name, _)) if names_credential(name) => format!("{name}=…"),
        None if looks_random(arg) => "…".to_owned(),
        _ => arg.to_owned(),
    }
}

fn names_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["token", "secret", "password", "key", "credential", "bearer"].iter().any(|word| name.contains(word))
}

/// Long, of letters and digits mixed, and neither a path nor a package name.
fn looks_random(arg: &str) -> bool {
    let has = |kind: fn(&char) -> bool| arg.chars().any(|c| kind(&c));
    arg.len() >= 20
        && !arg.contains(['/', '\\', '@', '.', ' '])
        && has(char::is_ascii_digit)
        && has(char::is_ascii_alphabetic)
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
