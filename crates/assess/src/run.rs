//! The order of the probes, and what happens to those that fail.
//!
//! A probe that panics or runs out of time ends by itself alone: its checks say why nobody could tell. Steps that
//! change something at the target (a person's account, an agent, a tool) run last, put back what they changed,
//! and are never broken off in the middle.

use std::panic::AssertUnwindSafe;

use futures::{FutureExt, future::BoxFuture};
use sallyport_model::assessment::{Assessment, CheckResult};
use tokio::time::Instant;
use url::Url;

use crate::{
    answers,
    bench::{Bench, Target},
    catalogue,
    check::Needs,
    document, login, probes,
    wire::{Credential, mcp::collect_versions},
};

/// One step of a run.
struct Step {
    name: &'static str,
    /// What it decides: these get the reason when it fails.
    checks: &'static [&'static str],
    /// Whether it changes something that it puts back: then it ends by its own limits.
    restores: bool,
    run: for<'a> fn(&'a Bench) -> BoxFuture<'a, ()>,
}

macro_rules! step {
    ($name:literal, $run:path, [$($check:literal),* $(,)?]) => {
        Step { name: $name, checks: &[$($check),*], restores: false, run: |bench| $run(bench).boxed() }
    };
    ($name:literal, $run:path, restores, [$($check:literal),* $(,)?]) => {
        Step { restores: true, ..step!($name, $run, [$($check),*]) }
    };
}

/// In order: what a stranger sees, then signing in, then what its tokens show, then tools, then hooks; the audit
/// trail before a tool is taken away, containment at the very end.
static STEPS: &[Step] = &[
    step!(
        "discovery",
        probes::discovery::run,
        [
            "auth-required",
            "challenge-401",
            "challenge-metadata",
            "resource-metadata",
            "server-metadata",
            "scope-challenge"
        ]
    ),
    step!("transport", probes::transport::run, ["transport-tls", "stdio-credentials", "security-contact"]),
    step!(
        "metadata",
        probes::metadata::run,
        [
            "resource-identifier",
            "server-issuer",
            "server-endpoints-tls",
            "pkce-advertised",
            "registration-path",
            "scopes-published",
            "scopes-specific",
            "scopes-separate",
            "agent-grant",
            "sender-bound",
        ]
    ),
    step!("registration", probes::registration::run, ["registration-safe", "registration-no-ssrf"]),
    step!("origin", probes::origin::run, ["origin-checked", "cors-closed"]),
    step!("errors", probes::errors::run, ["errors-clean", "version-checked"]),
    step!(
        "forged tokens",
        probes::forged::run,
        ["garbage-refused", "unsigned-refused", "forged-refused", "issuer-checked", "challenge-error"]
    ),
    step!("login", login::run, []),
    step!(
        "sign-in",
        probes::sign_in::run,
        [
            "pkce-required",
            "pkce-verified",
            "redirect-exact",
            "redirect-bound",
            "code-single-use",
            "no-implicit",
            "no-password-grant",
            "issuer-in-response",
            "token-not-in-query",
            "sso-federated",
        ]
    ),
    step!("versions", versions, []),
    step!("origin with a token", probes::origin::with_person, ["origin-checked", "cors-closed"]),
    step!("errors with a token", probes::errors::with_person, ["errors-clean", "version-checked"]),
    step!("altered tokens", probes::forged::with_person, ["unsigned-refused", "forged-refused"]),
    step!(
        "tokens",
        probes::tokens::run,
        ["token-expires", "token-short", "refresh-rotates", "refresh-reuse-refused", "revocation-works"]
    ),
    step!("sessions", probes::sessions::run, ["session-not-credential", "session-bound", "session-unpredictable"]),
    step!("scopes", probes::scopes::run, ["scope-enforced", "step-up-challenge"]),
    step!("audience", probes::audience::run, ["audience-checked", "audience-bound", "type-checked"]),
    step!(
        "definitions",
        probes::definitions::run,
        ["definitions-clean", "definitions-secrets", "definitions-distinct", "definitions-stable"]
    ),
    step!("annotations", probes::annotations::run, ["annotations-stated", "annotations-plausible"]),
    step!(
        "canary",
        probes::canary::run,
        ["results-hidden-text", "results-instructions", "results-credentials", "results-exfiltration"]
    ),
    step!("acting", probes::acting::run, ["action-held", "action-fails-closed", "confirmation-bound"]),
    step!("agent", probes::agent::run, ["agent-signs-in", "agent-distinct", "agent-lifetime", "agent-scoped"]),
    step!(
        "audit",
        probes::audit::run,
        restores,
        [
            "audit-calls",
            "audit-complete",
            "audit-refusals",
            "audit-fields",
            "audit-human-agent",
            "audit-sanitised",
            "audit-immutable",
        ]
    ),
    step!("restriction", probes::restriction::run, restores, ["tenant-restriction"]),
    step!("upstream", probes::upstream::run, restores, ["no-passthrough"]),
    step!("agent revocation", probes::agent_hooks::run, restores, ["agent-revoked-apart"]),
    step!(
        "deprovisioning",
        probes::deprovision::run,
        restores,
        [
            "deprovision-ends-access",
            "deprovision-prompt",
            "deprovision-refresh",
            "deprovision-sign-in",
            "other-person-unharmed",
        ]
    ),
    step!("bundle", probes::bundle::run, restores, ["evidence-bundle"]),
    step!(
        "containment",
        probes::contain::run,
        restores,
        ["contain-ends-access", "contain-prompt", "contain-streams", "contain-others"]
    ),
];

/// Assesses the target of `bench`. It always gives a document: what could not be seen says so.
pub async fn assess(bench: &Bench) -> Assessment {
    let begun = Instant::now();
    let assessed_at = bench.clock.now().to_string();
    let mut failures = Failures::default();
    if !matches!(bench.target, Target::Answers(_)) {
        for step in STEPS {
            if let Err(why) = take(step, bench).await {
                tracing::debug!(step = step.name, why, "a step of the assessment failed");
                failures.0.push((step, why));
            }
        }
    }
    failures.tell(bench);
    if matches!(bench.target, Target::Stdio(_)) {
        without_people(bench);
    }
    // Attestations stand in for what nobody could see, so they come after everything that could.
    if AssertUnwindSafe(answers::run(bench)).catch_unwind().await.is_err() {
        tracing::debug!("the answers could not be applied");
    }
    bench.wire.stop().await;
    document::write(bench, assessed_at, begun.elapsed())
}

/// Whether the target of `bench` gave any answer while it was assessed, be it a refusal. What its vendor says is one.
pub fn was_answered(bench: &Bench) -> bool {
    match &bench.target {
        Target::Answers(_) => true,
        Target::Stdio(_) => bench.seen.transport.get().is_some(),
        Target::Http(url) => {
            // Hooks and authorization servers elsewhere answer for themselves.
            let origin = url.origin().ascii_serialization();
            let by_target = |request: &str| {
                let asked = request.split_once(' ').and_then(|(_, url)| Url::parse(url).ok());
                asked.is_some_and(|asked| asked.origin().ascii_serialization() == origin)
            };
            bench.wire.exchanges().iter().any(|exchange| exchange.status.is_some() && by_target(&exchange.request))
        }
    }
}

/// A process on one's own machine has no tokens, no authorization server and nobody who signs in.
fn without_people(bench: &Bench) {
    const WHY: &str = "a process on one's own machine has no tokens and nobody who signs in";
    let about_people = |needs| {
        use Needs::{Agent, Hook, Person, SecondPerson, SignIn};
        matches!(needs, Person | SignIn | SecondPerson | Agent | Hook("deprovision" | "revoke_agent" | "contain"))
    };
    let decided = |check| matches!(bench.findings.result(check), Some(CheckResult::Pass | CheckResult::Fail));
    for check in catalogue::all().filter(|check| about_people(check.needs) && !decided(check.id)) {
        bench.findings.not_applicable(check.id, WHY);
    }
}

/// Runs one step.
async fn take(step: &Step, bench: &Bench) -> Result<(), String> {
    let late = || {
        format!("the time for the whole run was over before the step `{}` was; give it more with --timeout", step.name)
    };
    if bench.out_of_time() {
        return Err(late());
    }
    let run = AssertUnwindSafe((step.run)(bench)).catch_unwind();
    let ended = if step.restores {
        run.await
    } else {
        tokio::time::timeout_at(bench.wire.deadline(), run).await.map_err(|_| late())?
    };
    ended.map_err(|panic| format!("the step `{}` failed: {}", step.name, said(panic.as_ref())))
}

/// What a panic said.
fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("it gave no reason")
}

/// Steps that did not come to their end, and why.
#[derive(Default)]
struct Failures(Vec<(&'static Step, String)>);

impl Failures {
    /// Leaves the reason with every check of theirs that has no outcome. What the operator did not give is the
    /// better reason, and stands in the document already.
    fn tell(&self, bench: &Bench) {
        let checks = self.0.iter().flat_map(|(step, why)| step.checks.iter().map(move |check| (*check, why)));
        for (check, why) in checks.filter(|(check, _)| bench.findings.result(check).is_none()) {
            let needs = crate::catalogue::find(check).map(|check| check.needs);
            if needs.is_none_or(|needs| bench.access.covers(&needs)) {
                bench.findings.unseen(check, why, &[]);
            }
        }
    }
}

/// Collects protocol versions with whatever token there is.
async fn versions(bench: &Bench) {
    match bench.seen.person.get() {
        Some(grant) => collect_versions(bench, Credential::Bearer(grant.access_token.expose())).await,
        None => collect_versions(bench, Credential::None).await,
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
