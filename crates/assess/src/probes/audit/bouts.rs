//! The calls that the trail should hold, in bouts.

use std::time::Duration;

use sallyport_mcp::Object;
use sallyport_model::{Secret, Timestamp};
use serde_json::{Map, Value};

use crate::{
    access::NamedTool,
    bench::{Bench, Grant},
    hooks::caller::{self, Caller, Served},
    login::token,
};

/// Calls that announce the assessor.
const ANNOUNCED: usize = 2;
/// Calls that look like anybody's.
const PLAIN: usize = 3;
/// Between two bouts: more than a time that was cut to seconds can be off.
const GAP: Duration = Duration::from_millis(if cfg!(test) { 400 } else { 2500 });
/// How far off a time of the trail may be.
const MARGIN: u64 = if cfg!(test) { 150 } else { 1000 };

/// Some calls of one kind, one after the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bout {
    /// When the first began and the last ended, milliseconds.
    pub(crate) span: (u64, u64),
    /// How many were served.
    pub(crate) served: usize,
    /// How many were refused.
    pub(crate) refused: usize,
    /// What shows them.
    pub(crate) exchanges: Vec<u32>,
}

impl Bout {
    /// When the trail may say that they were.
    pub(crate) fn window(&self) -> (u64, u64) {
        (self.span.0.saturating_sub(MARGIN), self.span.1 + MARGIN)
    }

    fn add(&mut self, served: &Served) {
        self.exchanges.extend(served.exchanges());
        match served {
            Served::Yes(_) => self.served += 1,
            Served::No { .. } => self.refused += 1,
            Served::Unclear(_) => {}
        }
    }
}

/// All of them.
#[derive(Debug, Clone)]
pub(crate) struct Bouts {
    /// Before the first.
    pub(crate) began: Timestamp,
    /// The tool that was called.
    pub(crate) tool: String,
    /// Names under which the person may stand in the trail.
    pub(crate) subject: Vec<String>,
    /// Calls that look like anybody's.
    pub(crate) plain: Bout,
    /// Calls that announce the assessor.
    pub(crate) announced: Bout,
    /// With a token that is none.
    pub(crate) stranger: Bout,
    /// The person's, for a tool that does not exist.
    pub(crate) refused: Bout,
    /// The name of a tool that does not exist.
    pub(crate) no_tool: String,
    /// The call with a secret in it.
    pub(crate) secret_call: Bout,
    /// The secret.
    pub(crate) secret: String,
    /// The tool that was given it.
    pub(crate) secret_tool: String,
    /// The argument that it stood in.
    pub(crate) secret_argument: String,
    /// What stood in the parameters.
    pub(crate) marker: String,
    /// The agent's; `None` where there is no agent.
    pub(crate) agent: Option<Bout>,
}

impl Bouts {
    /// Makes the calls.
    ///
    /// # Errors
    /// Why they cannot be made, as a sentence.
    pub(crate) async fn make(bench: &Bench) -> Result<Self, String> {
        const CHECK: &str = "audit-calls";
        let read = caller::read_tool(bench).ok_or("it needs a harmless tool: --read-tool TOOL")?;
        let grant = caller::person(bench, CHECK, 30).await?;
        tokio::time::sleep(GAP).await;
        let began = bench.clock.now();
        let plain = {
            let mut caller = Caller::new(bench, "audit-complete", &grant);
            calls(bench, &mut caller, &read, PLAIN).await
        };
        tokio::time::sleep(GAP).await;
        let announced = calls(bench, &mut Caller::new(bench, CHECK, &grant).announced(), &read, ANNOUNCED).await;
        if plain.served == 0 || announced.served == 0 {
            return Err(format!("`{}` was not served, so there is no call to look for", read.tool));
        }
        tokio::time::sleep(GAP).await;
        let no_tool = format!("sallyport_no_such_tool_{}", bench.nonce(4));
        let stranger = stranger(bench, &grant, &read).await;
        tokio::time::sleep(GAP).await;
        let refused = refused(bench, &grant, &no_tool).await;
        tokio::time::sleep(GAP).await;
        let (marker, secret) = (format!("sallyport-{}", bench.nonce(8)), secret(bench));
        let (with_secret, secret_argument) = with_secret(bench, &read, &marker, &secret);
        let secret_call =
            calls(bench, &mut Caller::new(bench, "audit-sanitised", &grant).announced(), &with_secret, 1).await;
        let agent = match bench.access.agent {
            Some(_) => agent(bench, &read).await,
            None => None,
        };
        Ok(Self {
            began,
            tool: read.tool,
            subject: names(&grant),
            plain,
            announced,
            stranger,
            refused,
            no_tool,
            secret_call,
            secret,
            secret_tool: with_secret.tool,
            secret_argument,
            marker,
            agent,
        })
    }

    /// The exchanges that a check is about.
    pub(crate) fn exchanges(&self, check: &str) -> &[u32] {
        match check {
            "audit-complete" => &self.plain.exchanges,
            "audit-refusals" => &self.refused.exchanges,
            "audit-sanitised" => &self.secret_call.exchanges,
            "audit-human-agent" => self.agent.as_ref().map_or(&self.announced.exchanges, |agent| &agent.exchanges),
            _ => &self.announced.exchanges,
        }
    }
}

async fn calls(bench: &Bench, caller: &mut Caller<'_>, tool: &NamedTool, times: usize) -> Bout {
    let mut bout = Bout::default();
    bout.span.0 = bench.clock.now().as_millis();
    for _ in 0..times {
        bout.add(&caller.call(&tool.tool, &tool.arguments).await);
    }
    bout.span.1 = bench.clock.now().as_millis();
    caller.leave().await;
    bout
}

/// One with a token that is none.
async fn stranger(bench: &Bench, grant: &Grant, read: &NamedTool) -> Bout {
    let mut forged = grant.clone();
    forged.access_token = Secret::new(format!("sallyport-no-token-{}", bench.nonce(16)));
    calls(bench, &mut Caller::new(bench, "audit-refusals", &forged).announced(), read, 1).await
}

/// One for a tool that does not exist.
async fn refused(bench: &Bench, grant: &Grant, no_tool: &str) -> Bout {
    let none = NamedTool { tool: no_tool.to_owned(), arguments: Object::new() };
    calls(bench, &mut Caller::new(bench, "audit-refusals", grant).announced(), &none, 1).await
}

async fn agent(bench: &Bench, read: &NamedTool) -> Option<Bout> {
    const CHECK: &str = "audit-human-agent";
    let grant = caller::agent(bench, CHECK, 15).await.ok()?;
    tokio::time::sleep(GAP).await;
    let bout = calls(bench, &mut Caller::new(bench, CHECK, &grant).announced(), read, 1).await;
    (bout.served > 0).then_some(bout)
}

/// A value with the shape of an access key that opens nothing.
fn secret(bench: &Bench) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyzABCDEFGH";
    let mut random = [0; 36];
    bench.rng.fill(&mut random);
    let tail: String = random.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    format!("ghp_{tail}")
}

/// The canary takes a text; where there is none, the harmless tool gets one more argument. Gives that argument's
/// name too.
fn with_secret(bench: &Bench, read: &NamedTool, marker: &str, secret: &str) -> (NamedTool, String) {
    let text = format!("{marker} token={secret}");
    match &bench.access.canary {
        Some(canary) => {
            let mut arguments = Map::new();
            arguments.insert(canary.argument.clone(), Value::String(text));
            (NamedTool { tool: canary.tool.clone(), arguments }, canary.argument.clone())
        }
        None => {
            let mut arguments = read.arguments.clone();
            let argument = "note".to_owned();
            arguments.insert(argument.clone(), Value::String(text));
            (NamedTool { tool: read.tool.clone(), arguments }, argument)
        }
    }
}

/// The name that was typed in, and those in the token.
fn names(grant: &Grant) -> Vec<String> {
    let mut names = vec![grant.subject.clone()];
    if let Some(claims) = token::claims(grant.access_token.expose()) {
        let named =
            ["sub", "preferred_username", "username", "email"].iter().filter_map(|claim| claims.get(*claim)?.as_str());
        names.extend(named.map(str::to_owned));
    }
    names.retain(|name| !name.is_empty() && name != "person");
    names
}
