//! Whether access ends with the account.
//!
//! It says that access ended only of a request that was refused after one like it had been served, never because
//! a hook said so. It gives the person back what it took, also when a step of it fails.

use std::path::Path;

use crate::{
    access::TestUser,
    bench::{Bench, Grant},
    check::Needs,
    hooks::{
        HookName,
        caller::{self, Caller, Served},
        run::{self, HookRun, Told},
        watch::{self, LONGEST, PROMPT, Watched, words},
    },
    login::{self, Fault},
};

const ENDS: &str = "deprovision-ends-access";
const PROMPTLY: &str = "deprovision-prompt";
const REFRESH: &str = "deprovision-refresh";
const SIGN_IN: &str = "deprovision-sign-in";
const OTHERS: &str = "other-person-unharmed";
const ALL: [&str; 5] = [ENDS, PROMPTLY, REFRESH, SIGN_IN, OTHERS];

/// Runs the probes of this file.
pub(crate) async fn run(bench: &Bench) {
    let unseen = |why: &str| ALL.iter().for_each(|check| bench.findings.unseen(check, why, &[]));
    if !bench.access.hooks.has(HookName::Deprovision) {
        return unseen(&format!("it needs {}", Needs::Hook("deprovision")));
    }
    let Some(user) = &bench.access.user else { return unseen(&format!("it needs {}", Needs::SignIn)) };
    let Ok(out) = tempfile::tempdir() else { return unseen("no folder could be made for the hook") };
    let grant = match caller::person(bench, ENDS, LONGEST.as_secs() + 10).await {
        Ok(grant) => grant,
        Err(why) => return unseen(&why),
    };
    let mut person = Caller::new(bench, ENDS, &grant);
    if !matches!(person.ask().await, Served::Yes(_)) {
        return unseen("the person's token was not served before it began");
    }
    let others = caller::other(bench, OTHERS).await;
    let told = Told::of(bench, "", bench.clock.now());
    let Some(hook) = run::run(bench, ENDS, HookName::Deprovision, &told, out.path()).await else { return };
    let refused_sign_in = if hook.passed {
        ended(bench, &mut person, &grant, &hook).await;
        refresh(bench, &grant).await;
        others_go_on(bench, others.as_ref()).await;
        Some(login::sign_in(bench, SIGN_IN, user).await)
    } else {
        ALL.iter().for_each(|check| bench.findings.unseen(check, hook.said.as_str(), &hook.exchanges));
        None
    };
    restore(bench, &told, out.path(), user, refused_sign_in).await;
}

async fn ended(bench: &Bench, person: &mut Caller<'_>, grant: &Grant, hook: &HookRun) {
    match watch::until_refused(bench, person, grant, LONGEST).await {
        Watched::Refused { after, how, exchange } => {
            let seen = [hook.exchanges.as_slice(), &[exchange]].concat();
            let observed = format!("{how}, {} after the hook had answered", words(after));
            bench.findings.pass(ENDS, observed.as_str(), &seen);
            bench.findings.decide(PROMPTLY, after <= PROMPT, observed, &seen);
        }
        Watched::Served { for_, exchange } => {
            let seen = [hook.exchanges.as_slice(), &[exchange]].concat();
            let observed = format!("{}, and the token was still served {} later", hook.said, words(for_));
            bench.findings.fail(ENDS, observed.as_str(), &seen);
            bench.findings.fail(PROMPTLY, observed, &seen);
        }
        Watched::Unclear(why) => {
            bench.findings.unseen(ENDS, why.as_str(), &hook.exchanges);
            bench.findings.unseen(PROMPTLY, why, &hook.exchanges);
        }
    }
}

async fn refresh(bench: &Bench, grant: &Grant) {
    if grant.refresh_token.is_none() {
        return match grant.client.id.is_empty() {
            true => bench.findings.unseen(REFRESH, format!("it needs {}", Needs::SignIn), &[]),
            false => bench.findings.not_applicable(REFRESH, "no refresh token was issued"),
        };
    }
    match login::refresh(bench, REFRESH, grant).await {
        Ok((_, exchange)) => bench.findings.fail(REFRESH, "a new access token was issued", &[exchange]),
        Err(fault @ Fault::Refused { .. }) => {
            bench.findings.pass(REFRESH, fault.to_string(), fault.exchanges());
        }
        Err(fault) => bench.findings.unseen(REFRESH, fault.to_string(), fault.exchanges()),
    }
}

async fn others_go_on(bench: &Bench, other: Option<&Grant>) {
    let Some(other) = other else {
        return bench.findings.unseen(OTHERS, format!("it needs {}, or an agent", Needs::SecondPerson), &[]);
    };
    match Caller::new(bench, OTHERS, other).ask().await {
        Served::Yes(exchange) => {
            bench.findings.pass(OTHERS, format!("`{}` was served meanwhile", other.subject), &[exchange]);
        }
        served @ Served::No { .. } => {
            let observed = format!("`{}` was {} meanwhile", other.subject, served.words());
            bench.findings.fail(OTHERS, observed, &served.exchanges());
        }
        Served::Unclear(why) => bench.findings.unseen(OTHERS, why, &[]),
    }
}

/// Gives the account back, and tells by it whether a refused sign-in was refused for that reason.
async fn restore(bench: &Bench, told: &Told, out: &Path, user: &TestUser, meanwhile: Option<Result<Grant, Fault>>) {
    let restored = run::run(bench, SIGN_IN, HookName::Reprovision, told, out).await;
    let Some(meanwhile) = meanwhile else { return };
    let refusal = match meanwhile {
        Ok(_) => return bench.findings.fail(SIGN_IN, "the person signed in, and got a token", &[]),
        Err(fault @ (Fault::Refused { .. } | Fault::Walk { .. } | Fault::Response { .. })) => fault,
        Err(fault) => return bench.findings.unseen(SIGN_IN, fault.to_string(), fault.exchanges()),
    };
    match restored {
        None => {
            let observed = format!("{refusal}; there is no `reprovision`, so the person stays out");
            bench.findings.pass(SIGN_IN, observed, refusal.exchanges());
        }
        Some(restored) if !restored.passed => {
            let why = format!("{refusal}; but the account was not restored ({}): restore it by hand", restored.said);
            bench.findings.pass(SIGN_IN, why, refusal.exchanges());
        }
        Some(_) => match back(bench, user).await {
            Ok(()) => {
                bench.findings.pass(SIGN_IN, format!("{refusal}; after `reprovision` it worked"), refusal.exchanges())
            }
            Err(why) => {
                let why = format!("refused, but also after `reprovision`, so perhaps for another reason: {why}");
                bench.findings.unseen(SIGN_IN, why, refusal.exchanges());
            }
        },
    }
}

async fn back(bench: &Bench, user: &TestUser) -> Result<(), String> {
    let grant = login::sign_in(bench, SIGN_IN, user).await.map_err(|fault| fault.to_string())?;
    match Caller::new(bench, SIGN_IN, &grant).ask().await {
        Served::Yes(_) => Ok(()),
        served => Err(served.words()),
    }
}
