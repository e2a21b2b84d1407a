//! Whether the trail holds what was done.
//!
//! The calls come in bouts with a pause between them: calls that announce the assessor, calls that look like
//! anybody's, refused ones, and an agent's. A trail that shows only what announced itself is seen by counting
//! the others.

mod bouts;
mod judge;

use std::time::Duration;

use sallyport_model::Timestamp;
use tokio::time::Instant;

use self::{bouts::Bouts, judge::Judgement};
use crate::{
    bench::Bench,
    check::Needs,
    hooks::{
        HookName,
        run::{self, HookRun, Told},
        trail::Trail,
    },
};

const CALLS: &str = "audit-calls";
const EXPORTED: [&str; 6] =
    [CALLS, "audit-complete", "audit-refusals", "audit-fields", "audit-human-agent", "audit-sanitised"];
const IMMUTABLE: &str = "audit-immutable";
/// How long a trail may lag.
const LAG: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 10 });
const PAUSE: Duration = Duration::from_secs(1);
/// How far back the trail is looked at where no calls were made for it.
const EARLIER: Duration = Duration::from_secs(600);

/// Runs the probes of this file.
pub(crate) async fn run(bench: &Bench) {
    // Without calls of its own it looks at what the run did before.
    let since = exported(bench).await.unwrap_or_else(|| bench.clock.now().minus(EARLIER));
    immutable(bench, since).await;
}

/// When its calls began, where it made some.
async fn exported(bench: &Bench) -> Option<Timestamp> {
    let unseen = |why: &str| {
        EXPORTED.iter().for_each(|check| bench.findings.unseen(check, why, &[]));
        None
    };
    if !bench.access.hooks.has(HookName::AuditExport) {
        return unseen(&format!("it needs {}", Needs::Hook("audit_export")));
    }
    let Ok(out) = tempfile::tempdir() else { return unseen("no folder could be made for the hook") };
    let bouts = match Bouts::make(bench).await {
        Ok(bouts) => bouts,
        Err(why) => return unseen(&why),
    };
    let told = Told::of(bench, &bouts.tool, bouts.began);
    let since = Instant::now();
    loop {
        let hook = run::run(bench, CALLS, HookName::AuditExport, &told, out.path()).await?;
        let over = since.elapsed() >= LAG || bench.wire.left() < LAG;
        if !hook.passed {
            if over {
                unseen(&hook.said);
                return Some(bouts.began);
            }
        } else {
            let judgement = Judgement::of(&bouts, &Trail::read(&hook.output), &hook.output);
            if over || judgement.is_settled() {
                report(bench, &bouts, &judgement, &hook);
                return Some(bouts.began);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn report(bench: &Bench, bouts: &Bouts, judgement: &Judgement, hook: &HookRun) {
    for (check, verdict) in &judgement.verdicts {
        let seen = [hook.exchanges.as_slice(), bouts.exchanges(check)].concat();
        match verdict.held {
            Some(held) => bench.findings.decide(check, held, verdict.observed.as_str(), &seen),
            None => bench.findings.unseen(check, verdict.observed.as_str(), &seen),
        }
    }
}

/// Sound as it is, and refused when it was changed: only both together show that a change is seen.
async fn immutable(bench: &Bench, since: Timestamp) {
    let unseen = |why: String, seen: &[u32]| bench.findings.unseen(IMMUTABLE, why, seen);
    if !bench.access.hooks.has(HookName::AuditVerify) {
        return unseen(format!("it needs {}", Needs::Hook("audit_verify")), &[]);
    }
    let Ok(out) = tempfile::tempdir() else { return unseen("no folder could be made for the hook".to_owned(), &[]) };
    let told = Told::of(bench, "", since);
    let Some(verified) = run::run(bench, IMMUTABLE, HookName::AuditVerify, &told, out.path()).await else { return };
    if !verified.answered {
        return unseen(verified.said, &verified.exchanges);
    }
    if !verified.passed {
        let observed = format!("the trail does not verify as it is ({})", verified.said);
        return bench.findings.fail(IMMUTABLE, observed, &verified.exchanges);
    }
    let Some(tampered) = run::run(bench, IMMUTABLE, HookName::AuditTamper, &told, out.path()).await else {
        let why = "the trail verifies; whether a changed one is refused was not tried: add `audit_tamper` and `audit_verify_copy`";
        return unseen(why.to_owned(), &verified.exchanges);
    };
    let mut seen = [verified.exchanges, tampered.exchanges].concat();
    if !tampered.passed {
        return unseen(format!("the trail verifies, but no copy was altered ({})", tampered.said), &seen);
    }
    let Some(copy) = run::run(bench, IMMUTABLE, HookName::AuditVerifyCopy, &told, out.path()).await else { return };
    seen.extend(&copy.exchanges);
    match (copy.answered, copy.passed) {
        (false, _) => unseen(copy.said, &seen),
        (true, true) => bench.findings.fail(IMMUTABLE, "an altered copy verifies as well", &seen),
        (true, false) => {
            let observed = format!("the trail verifies, and an altered copy is refused ({})", copy.said);
            bench.findings.pass(IMMUTABLE, observed, &seen);
        }
    }
}
