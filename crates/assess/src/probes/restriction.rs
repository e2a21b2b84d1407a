//! Whether a customer can take tools away.
//!
//! It gives the tool back, also when a step of it fails.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    bench::Bench,
    check::Needs,
    hooks::{
        HookName,
        caller::{self, Caller, Served},
        run::{self, Told},
    },
};

const CHECK: &str = "tenant-restriction";
/// How long the next call may take to obey.
const GRACE: Duration = Duration::from_secs(2);
/// How long the tool may take to come back.
const RETURN: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(250);

/// Runs the probes of this file.
pub(crate) async fn run(bench: &Bench) {
    let unseen = |why: &str| bench.findings.unseen(CHECK, why, &[]);
    if !bench.access.hooks.has(HookName::Restrict) {
        return unseen(&format!("it needs {}", Needs::Hook("restrict")));
    }
    let Some(tool) = caller::read_tool(bench) else { return unseen("it needs a harmless tool: --read-tool TOOL") };
    let Ok(out) = tempfile::tempdir() else { return unseen("no folder could be made for the hook") };
    let grant = match caller::person(bench, CHECK, 30).await {
        Ok(grant) => grant,
        Err(why) => return unseen(&why),
    };
    let mut person = Caller::new(bench, CHECK, &grant);
    let before = person.ask().await;
    if !matches!(before, Served::Yes(_)) {
        return unseen(&format!("`{}` was not served before it began: {}", tool.tool, before.words()));
    }
    let told = Told::of(bench, &tool.tool, bench.clock.now());
    let Some(hook) = run::run(bench, CHECK, HookName::Restrict, &told, out.path()).await else { return };
    let during = match hook.passed {
        true => asked_until(&mut person, GRACE, |served| matches!(served, Served::No { .. })).await,
        false => Served::Unclear(hook.said.clone()),
    };
    let shown = match person.tools().await {
        Ok(tools) if tools.contains(&tool.tool) => "still listed",
        Ok(_) => "no longer listed",
        Err(_) => "not listed, for the list is refused",
    };
    let restored = run::run(bench, CHECK, HookName::Unrestrict, &told, out.path()).await;
    let after = match &restored {
        Some(restored) if restored.passed => {
            Some(asked_until(&mut person, RETURN, |served| matches!(served, Served::Yes(_))).await)
        }
        _ => None,
    };
    let left = match (&restored, &after) {
        (None, _) => "; there is no `unrestrict`, so it stays taken away".to_owned(),
        (Some(restored), None) => format!("; it was not given back ({}): do it by hand", restored.said),
        _ => String::new(),
    };
    let seen = [hook.exchanges.clone(), during.exchanges()].concat();
    match (during, after) {
        (Served::Yes(_), _) => {
            let observed = format!("`{}` was still served after {}{left}", tool.tool, hook.said);
            bench.findings.fail(CHECK, observed, &seen);
        }
        (Served::Unclear(why), _) => bench.findings.unseen(CHECK, format!("{why}{left}"), &seen),
        (Served::No { how, .. }, Some(Served::No { how: still, .. })) => {
            let why = format!("{how}, but {still} also after `unrestrict`, so perhaps for another reason");
            bench.findings.unseen(CHECK, why, &seen);
        }
        (Served::No { how, .. }, _) => {
            bench.findings.pass(CHECK, format!("`{}`: {how}, and {shown}{left}", tool.tool), &seen);
        }
    }
}

/// Asks until `wanted`, or the time is up; the last answer.
async fn asked_until(person: &mut Caller<'_>, most: Duration, wanted: impl Fn(&Served) -> bool) -> Served {
    let began = Instant::now();
    loop {
        let served = person.ask().await;
        if wanted(&served) || began.elapsed() >= most {
            return served;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
