//! Whether an agent is revoked apart from its person.
//!
//! It gives the agent back what it took, also when a step of it fails.

use crate::{
    bench::{Bench, Grant},
    check::Needs,
    hooks::{
        HookName,
        caller::{self, Caller, Served},
        run::{self, HookRun, Told},
        watch::{self, PROMPT, Watched, words},
    },
    login::{self, Fault},
};

const APART: &str = "agent-revoked-apart";

/// Runs the probes of this file.
pub(crate) async fn run(bench: &Bench) {
    let unseen = |why: &str| bench.findings.unseen(APART, why, &[]);
    if !bench.access.hooks.has(HookName::RevokeAgent) {
        return unseen(&format!("it needs {}", Needs::Hook("revoke_agent")));
    }
    if bench.access.agent.is_none() {
        return unseen(&format!("it needs {}", Needs::Agent));
    }
    let Ok(out) = tempfile::tempdir() else { return unseen("no folder could be made for the hook") };
    let (agent, person) = match (
        caller::agent(bench, APART, PROMPT.as_secs() + 10).await,
        caller::person(bench, APART, PROMPT.as_secs() + 10).await,
    ) {
        (Ok(agent), Ok(person)) => (agent, person),
        (Err(why), _) => return unseen(&format!("the agent: {why}")),
        (_, Err(why)) => return unseen(&format!("the person: {why}")),
    };
    let (mut agents, mut persons) = (Caller::new(bench, APART, &agent), Caller::new(bench, APART, &person));
    for (who, served) in [("agent", agents.ask().await), ("person", persons.ask().await)] {
        if !matches!(served, Served::Yes(_)) {
            return unseen(&format!("the {who} was not served before it began: {}", served.words()));
        }
    }
    let told = Told::of(bench, "", bench.clock.now());
    let Some(hook) = run::run(bench, APART, HookName::RevokeAgent, &told, out.path()).await else { return };
    let found = match hook.passed {
        true => judge(bench, &hook, (&mut agents, &agent), &mut persons).await,
        false => Outcome::unseen(hook.said.clone(), &hook.exchanges),
    };
    let restored = run::run(bench, APART, HookName::RestoreAgent, &told, out.path()).await;
    let left = match restored {
        Some(restored) if !restored.passed => {
            format!(" (the agent was not restored, {}: do it by hand)", restored.said)
        }
        None => " (there is no `restore_agent`, so it stays revoked)".to_owned(),
        Some(_) => String::new(),
    };
    let observed = format!("{}{left}", found.observed);
    match found.held {
        Some(held) => bench.findings.decide(APART, held, observed, &found.exchanges),
        None => bench.findings.unseen(APART, observed, &found.exchanges),
    }
}

struct Outcome {
    held: Option<bool>,
    observed: String,
    exchanges: Vec<u32>,
}

impl Outcome {
    fn new(held: bool, observed: String, exchanges: &[u32]) -> Self {
        Self { held: Some(held), observed, exchanges: exchanges.to_vec() }
    }

    fn unseen(why: String, exchanges: &[u32]) -> Self {
        Self { held: None, observed: why, exchanges: exchanges.to_vec() }
    }
}

async fn judge(
    bench: &Bench,
    hook: &HookRun,
    (agents, grant): (&mut Caller<'_>, &Grant),
    persons: &mut Caller<'_>,
) -> Outcome {
    let mut seen = hook.exchanges.clone();
    let refused = match watch::until_refused(bench, agents, grant, PROMPT).await {
        Watched::Refused { after, how, exchange } => {
            seen.push(exchange);
            format!("the agent was {how} after {}", words(after))
        }
        Watched::Served { for_, exchange } => {
            seen.push(exchange);
            return Outcome::new(false, format!("the agent's token was still served after {}", words(for_)), &seen);
        }
        Watched::Unclear(why) => return Outcome::unseen(why, &seen),
    };
    match login::agent(bench, APART).await {
        Ok(_) => return Outcome::new(false, format!("{refused}, but it got a new token"), &seen),
        Err(fault @ Fault::Refused { .. }) => seen.extend(fault.exchanges()),
        Err(fault) => return Outcome::unseen(format!("{refused}; whether it gets a new token: {fault}"), &seen),
    }
    match persons.ask().await {
        Served::Yes(exchange) => {
            seen.push(exchange);
            Outcome::new(true, format!("{refused} and got no new token, while the person was served"), &seen)
        }
        served @ Served::No { .. } => {
            seen.extend(served.exchanges());
            Outcome::new(false, format!("{refused}, and so was the person: {}", served.words()), &seen)
        }
        Served::Unclear(why) => Outcome::unseen(format!("{refused}; the person: {why}"), &seen),
    }
}
