//! Whether one action ends everything of an identity.
//!
//! It runs last: nothing of the person works afterwards unless `release` gives it back.

use std::time::Duration;

use crate::{
    bench::{Bench, Grant},
    check::Needs,
    hooks::{
        HookName,
        caller::{self, Caller, Served},
        run::{self, HookRun, Told},
        watch::{self, LONGEST, PROMPT, Watched, words},
    },
    login::{self, Fault},
    wire::{ConnectOptions, Credential, McpClient, Stream, WireError},
};

const ENDS: &str = "contain-ends-access";
const PROMPTLY: &str = "contain-prompt";
const STREAMS: &str = "contain-streams";
const OTHERS: &str = "contain-others";
const ALL: [&str; 4] = [ENDS, PROMPTLY, STREAMS, OTHERS];
/// How long a stream may stay open after its person was refused.
const STREAM_GRACE: Duration = Duration::from_secs(5);

/// Runs the probes of this file.
pub(crate) async fn run(bench: &Bench) {
    let unseen = |why: &str| ALL.iter().for_each(|check| bench.findings.unseen(check, why, &[]));
    if !bench.access.hooks.has(HookName::Contain) {
        return unseen(&format!("it needs {}", Needs::Hook("contain")));
    }
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
    let stream = open_stream(bench, &grant).await;
    let mut told = Told::of(bench, "", bench.clock.now());
    if told.subject.is_empty() {
        told.subject.clone_from(&grant.subject);
    }
    let Some(hook) = run::run(bench, ENDS, HookName::Contain, &told, out.path()).await else { return };
    match hook.passed {
        true => {
            ended(bench, &mut person, &grant, &hook).await;
            stream_ended(bench, stream).await;
            others_go_on(bench, others.as_ref()).await;
        }
        false => ALL.iter().for_each(|check| bench.findings.unseen(check, hook.said.as_str(), &hook.exchanges)),
    }
    if let Some(released) = run::run(bench, ENDS, HookName::Release, &told, out.path()).await
        && !released.passed
    {
        tracing::warn!(said = released.said, "the person stays contained: release the account by hand");
    }
}

async fn ended(bench: &Bench, person: &mut Caller<'_>, grant: &Grant, hook: &HookRun) {
    let mut seen = hook.exchanges.clone();
    let (after, how) = match watch::until_refused(bench, person, grant, LONGEST).await {
        Watched::Refused { after, how, exchange } => {
            seen.push(exchange);
            (after, how)
        }
        Watched::Served { for_, exchange } => {
            seen.push(exchange);
            let observed = format!("{}, and the token was still served {} later", hook.said, words(for_));
            bench.findings.fail(ENDS, observed.as_str(), &seen);
            return bench.findings.fail(PROMPTLY, observed, &seen);
        }
        Watched::Unclear(why) => {
            bench.findings.unseen(ENDS, why.as_str(), &seen);
            return bench.findings.unseen(PROMPTLY, why, &seen);
        }
    };
    let observed = format!("{how}, {} after the hook had answered", words(after));
    let refreshed = match &grant.refresh_token {
        None => Err(None),
        Some(_) => login::refresh(bench, ENDS, grant).await.map_err(Some),
    };
    match refreshed {
        Ok((_, exchange)) => {
            seen.push(exchange);
            let observed = format!("{observed}; but the refresh token gave a new access token");
            bench.findings.fail(ENDS, observed.as_str(), &seen);
            return bench.findings.fail(PROMPTLY, observed, &seen);
        }
        Err(None) => bench.findings.pass(ENDS, format!("{observed}; there is no refresh token to try"), &seen),
        Err(Some(fault @ Fault::Refused { .. })) => {
            seen.extend(fault.exchanges());
            bench.findings.pass(ENDS, format!("{observed}, and the refresh token was refused"), &seen);
        }
        Err(Some(fault)) => bench.findings.unseen(ENDS, format!("{observed}; the refresh token: {fault}"), &seen),
    }
    bench.findings.decide(PROMPTLY, after <= PROMPT, observed, &seen);
}

/// A stream of the person, open before it begins.
async fn open_stream(bench: &Bench, grant: &Grant) -> Result<(McpClient, Stream), String> {
    let credential = Credential::Bearer(grant.access_token.expose());
    let connected = McpClient::connect(bench, STREAMS, credential, ConnectOptions::default()).await;
    let mut client = connected.map_err(|fault| fault.to_string())?;
    let stream = client.listen(STREAMS).await.map_err(|fault| fault.to_string())?;
    match stream.status.is_success() && stream.is_events() {
        true => Ok((client, stream)),
        false => Err(format!("the server answers HTTP {}", stream.status.as_u16())),
    }
}

async fn stream_ended(bench: &Bench, open: Result<(McpClient, Stream), String>) {
    let (_client, mut stream) = match open {
        Ok(open) => open,
        Err(why) => {
            return bench
                .findings
                .not_applicable(STREAMS, format!("no stream could be opened before: {}", login::quote(&why)));
        }
    };
    if bench.findings.result(ENDS) == Some(sallyport_model::assessment::CheckResult::NotAssessable) {
        return bench.findings.unseen(STREAMS, "nobody could tell whether access ended", &[stream.exchange]);
    }
    let exchange = stream.exchange;
    let until = tokio::time::Instant::now() + STREAM_GRACE;
    loop {
        let left = until.saturating_duration_since(tokio::time::Instant::now());
        match stream.next_event(left).await {
            Ok(Some(_)) if !left.is_zero() => {}
            Ok(None) | Err(WireError::Failed { .. } | WireError::BadEvent(_)) => {
                return bench.findings.pass(STREAMS, "the open stream was closed", &[exchange]);
            }
            Err(WireError::OutOfTime) => {
                return bench.findings.unseen(STREAMS, WireError::OutOfTime.to_string(), &[exchange]);
            }
            Ok(Some(_)) | Err(_) => {
                let observed = format!("the stream was still open {} s later", STREAM_GRACE.as_secs());
                return bench.findings.fail(STREAMS, observed, &[exchange]);
            }
        }
    }
}

async fn others_go_on(bench: &Bench, other: Option<&Grant>) {
    let Some(other) = other else {
        return bench.findings.unseen(OTHERS, format!("it needs {}, or an agent", Needs::SecondPerson), &[]);
    };
    match Caller::new(bench, OTHERS, other).ask().await {
        Served::Yes(exchange) => {
            bench.findings.pass(OTHERS, format!("`{}` was served afterwards", other.subject), &[exchange]);
        }
        served @ Served::No { .. } => {
            let observed = format!("`{}` was {}", other.subject, served.words());
            bench.findings.fail(OTHERS, observed, &served.exchanges());
        }
        Served::Unclear(why) => bench.findings.unseen(OTHERS, why, &[]),
    }
}
