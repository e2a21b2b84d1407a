//! Question 7: the audit trail. Reads the log's own files, with the deployment's keys.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use sallyport_export::{ExportEntry, write_ocsf};
use sallyport_ledger::{LedgerError, LogReader, Verified, VerifierKey, VerifyOptions, verify};
use sallyport_model::{
    AuditEvent, EventKind, PrincipalKind, Rng as _, SystemRng,
    event::{CallFacts, OutcomeStatus},
    hex,
};
use serde_json::json;

use super::super::{Tour, answer::Answer, client::Tokens, mcp::Placed};
use crate::keyring::StoreKeyring;

/// How long the log may take to publish what is already durable.
const PUBLISHED_WITHIN: Duration = Duration::from_secs(3);

/// Puts it. To be put last: it looks for the calls of the others.
pub async fn ask(tour: &mut Tour<'_>, answer: &mut Answer) -> Result<()> {
    let ann = tour.ann(&tour.client.first_scope()).await?;
    let agent = tour.agent().await?;
    let secret = planted();
    for tokens in [&ann, &agent] {
        tour.mcp.tool(tokens, "search_customers", json!({"text": secret, "password": secret})).await?;
    }
    tour.mcp.tool(&agent, "delete_customer", json!({"id": "c-0"})).await?;
    let (events, missing) = settled(tour).await?;
    calls(answer, &tour.mcp.placed(), &missing);
    kinds(answer, &events, &ann, &agent);
    contents(answer, &events, &ann, &secret);
    refusal(answer, &events, &agent);
    verified(tour, answer)?;
    exported(tour, answer)?;
    answer.lacks("sinks to Splunk, Datadog, Elastic, OTLP and syslog");
    answer.lacks("export from a console or an API (the command line exports)");
    answer.lacks("a retention time that a tenant may set");
    Ok(())
}

/// Looks like a credential, and occurs nowhere else.
fn planted() -> String {
    let mut bytes = [0u8; 18];
    SystemRng.fill(&mut bytes);
    format!("ghp_{}", hex(&bytes))
}

/// Every event, once all calls of the tour are among them or the time is up; and the calls that are not.
async fn settled(tour: &Tour<'_>) -> Result<(Vec<AuditEvent>, Vec<Placed>)> {
    let start = std::time::Instant::now();
    loop {
        let events = events(tour)?;
        let missing = unrecorded(&events, tour.mcp.placed());
        if missing.is_empty() || start.elapsed() > PUBLISHED_WITHIN {
            return Ok((events, missing));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn entries(tour: &Tour<'_>) -> Result<Vec<ExportEntry>> {
    let deployment = &tour.running.deployment;
    let key = deployment.log.verifier();
    let keyring = StoreKeyring::new(Arc::clone(&deployment.store), Arc::clone(&deployment.rng));
    let reader = LogReader::open(deployment.log.dir(), key, key.name())?;
    reader.entries(0).map(|entry| Ok(ExportEntry::open(&entry?, &keyring)?)).collect()
}

fn events(tour: &Tour<'_>) -> Result<Vec<AuditEvent>> {
    let entries = entries(tour)?;
    let opened = entries.iter().filter_map(|entry| entry.opened.event(entry.index).transpose());
    opened.map(|event| Ok(event?)).collect()
}

fn unrecorded(events: &[AuditEvent], mut placed: Vec<Placed>) -> Vec<Placed> {
    for event in events {
        let allowed = match event.kind {
            EventKind::CallClosed => true,
            EventKind::CallRefused => false,
            _ => continue,
        };
        let found = placed.iter().position(|call| {
            call.allowed == allowed && held_by(event, &call.token) && named(event, &call.tool).is_some()
        });
        found.map(|at| placed.swap_remove(at));
    }
    placed
}

fn held_by(event: &AuditEvent, jti: &str) -> bool {
    event.who.as_ref().and_then(|who| who.token.as_ref()).is_some_and(|token| token.as_str() == jti)
}

/// The call, if it is one of this tool.
fn named<'a>(event: &'a AuditEvent, tool: &str) -> Option<&'a CallFacts> {
    event.call.as_ref().filter(|call| call.method == "tools/call" && call.name.as_deref() == Some(tool))
}

fn calls(answer: &mut Answer, placed: &[Placed], missing: &[Placed]) {
    let refused = placed.iter().filter(|call| !call.allowed).count();
    let lost = missing.first().map(|call| format!("; missing: {} and so on", call.tool)).unwrap_or_default();
    answer.core(
        "every tool call of this tour is in the log, allowed or refused",
        missing.is_empty() && refused > 0,
        format!("{} of {}, {refused} refused{lost}", placed.len() - missing.len(), placed.len()),
    );
}

fn kinds(answer: &mut Answer, events: &[AuditEvent], ann: &Tokens, agent: &Tokens) {
    let kind = |tokens: &Tokens| {
        let event = events.iter().find(|event| held_by(event, &tokens.claim("jti")) && event.call.is_some())?;
        Some(event.who.as_ref()?.subject.kind())
    };
    let (person, machine) = (kind(ann), kind(agent));
    let word =
        |kind: Option<PrincipalKind>| kind.map_or("no entry".to_owned(), |kind| format!("{kind:?}").to_lowercase());
    answer.core(
        "an entry says human or agent",
        person == Some(PrincipalKind::Human) && machine == Some(PrincipalKind::Agent),
        format!("ann: {}; demo-agent: {}", word(person), word(machine)),
    );
}

fn contents(answer: &mut Answer, events: &[AuditEvent], ann: &Tokens, secret: &str) {
    let jti = ann.claim("jti");
    let entry = events.iter().find(|event| {
        event.kind == EventKind::CallClosed && held_by(event, &jti) && named(event, "search_customers").is_some()
    });
    let (complete, observed) = entry.map_or((false, "no such entry".to_owned()), complete);
    answer.core("an entry holds who, client, tenant, tool, decision, status, latency and time", complete, observed);
    let arguments = entry.and_then(|event| event.call.as_ref()?.arguments.as_ref());
    let everything = serde_json::to_string(events).unwrap_or_default();
    let leaks = everything.matches(secret).count();
    answer.core(
        "arguments are kept without credentials",
        arguments.is_some_and(|arguments| arguments.get("text").is_some()) && leaks == 0,
        format!("{}; the planted secret occurs {leaks} times in {} entries", json!(arguments), events.len()),
    );
}

/// Whether the entry of a call says everything, and what it says.
fn complete(event: &AuditEvent) -> (bool, String) {
    let (Some(who), Some(call)) = (&event.who, &event.call) else { return (false, "nobody's call".to_owned()) };
    let (Some(decision), Some(outcome)) = (&event.decision, &event.outcome) else {
        return (false, "neither decision nor outcome".to_owned());
    };
    let whole = decision.allowed
        && outcome.status == OutcomeStatus::Succeeded
        && outcome.latency_us > 0
        && who.client.is_some()
        && who.session.is_some()
        && who.grant.is_some()
        && call.arguments_sha256.is_some()
        && event.tenant.is_some()
        && event.source.is_some();
    let (took, tenant) = (outcome.latency_us as f64 / 1000.0, event.tenant.as_ref().map_or("-", |id| id.as_str()));
    let (tool, code, time) = (call.name.as_deref().unwrap_or("-"), &decision.code, event.time);
    let status = json!(outcome.status);
    (whole, format!("{tool} of tenant {tenant}: {code}, {status}, {took:.1} ms, at {time}").replace('"', ""))
}

fn refusal(answer: &mut Answer, events: &[AuditEvent], agent: &Tokens) {
    let jti = agent.claim("jti");
    let refused = events.iter().find(|event| {
        event.kind == EventKind::CallRefused && held_by(event, &jti) && named(event, "delete_customer").is_some()
    });
    let decision = refused.and_then(|event| event.decision.as_ref());
    let observed = decision.map_or("no such entry".to_owned(), |decision| {
        let needed = decision.needed.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("delete_customer by the agent: {}, needed `{needed}`", decision.code)
    });
    answer.core("a refusal is an entry too, with its reason", decision.is_some_and(|it| !it.allowed), observed);
}

fn verified(tour: &Tour<'_>, answer: &mut Answer) -> Result<()> {
    let log = &tour.running.deployment.log;
    let key = log.verifier();
    let result = verify(log.dir(), key, key.name(), &VerifyOptions::default());
    let observed = match &result {
        Ok(verified) => format!("{} entries, {} chains, {key:.40}", verified.checkpoint.size, verified.chains.len()),
        Err(error) => error.to_string(),
    };
    answer.core("the signed log verifies", result.is_ok(), observed);
    let copy = tour.running.data.join("tour-copy");
    let spoiled = copied_and_spoiled(log.dir(), &copy, key);
    if copy.exists() {
        std::fs::remove_dir_all(&copy).context("the copy of the log could not be removed")?;
    }
    let (whole, changed) = spoiled?;
    let observed = changed.as_ref().map_or_else(ToString::to_string, |_| "it verifies".to_owned());
    answer.core("a copy with one byte changed does not", whole.is_ok() && changed.is_err(), observed);
    Ok(())
}

type Verification = Result<Verified, LedgerError>;

/// What verifying a copy of the log says, before and after one of its bytes was changed.
fn copied_and_spoiled(log: &Path, copy: &Path, key: &VerifierKey) -> Result<(Verification, Verification)> {
    copy_directory(log, copy)?;
    let whole = verify(copy, key, key.name(), &VerifyOptions::default());
    spoil(copy)?;
    Ok((whole, verify(copy, key, key.name(), &VerifyOptions::default())))
}

fn copy_directory(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_directory(&entry.path(), &target)?;
        } else if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Changes a byte in the middle of the entries of the first tile that is found.
fn spoil(log: &Path) -> Result<()> {
    let entries = log.join("tile/entries");
    let file = largest_file(&entries)?.with_context(|| format!("{} holds no tile", entries.display()))?;
    let mut bytes = std::fs::read(&file)?;
    let middle = bytes.len() / 2;
    *bytes.get_mut(middle).context("an empty tile")? ^= 1;
    Ok(std::fs::write(&file, bytes)?)
}

fn largest_file(directory: &Path) -> Result<Option<PathBuf>> {
    let mut found: Option<(u64, PathBuf)> = None;
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let path = if path.is_dir() { largest_file(&path)? } else { Some(path) };
        let Some(path) = path else { continue };
        let size = std::fs::metadata(&path)?.len();
        if found.as_ref().is_none_or(|(largest, _)| size > *largest) {
            found = Some((size, path));
        }
    }
    Ok(found.map(|(_, path)| path))
}

fn exported(tour: &Tour<'_>, answer: &mut Answer) -> Result<()> {
    let mut out = Vec::new();
    let done = write_ocsf(entries(tour)?.into_iter().map(Ok), &mut out)?;
    let lines = out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    answer.saw(
        "it exports as OCSF",
        done.events > 0 && lines as u64 >= done.events,
        format!("{} events, {} bytes", done.events, out.len()),
    );
    Ok(())
}
