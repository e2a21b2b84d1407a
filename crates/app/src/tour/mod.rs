//! The tour of `sallyport demo --tour`: plays the ten questions against the running demo.
//!
//! It stands outside, on the demo's own address, and finds out everything from a 401. Where it looks
//! inside (the log's entries, what the MCP server behind the gate has seen, a token signed with the
//! gate's key to prove a refusal), the evidence says so. It claims nothing that this run did not see.

mod answer;
mod browser;
mod client;
mod form;
mod mcp;
mod questions;
mod web;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::CommandFactory as _;
use url::Url;

use self::{
    answer::{Answer, Verdict},
    browser::Browser,
    client::{Client, Tokens},
    mcp::Mcp,
    web::{Web, milliseconds},
};
use crate::{
    End,
    cli::Cli,
    commands::demo::{Account, Running},
};

/// After this long a revoked token must be refused (the promise is 1 s).
const REVOKED_WITHIN: Duration = Duration::from_secs(1);

/// What the questions share.
struct Tour<'a> {
    running: &'a Running,
    web: Web,
    client: Client,
    mcp: Mcp,
    browser: Browser,
}

/// What a tour found.
pub struct Findings {
    endpoint: String,
    answers: Vec<Answer>,
    seconds: f64,
}

/// Plays the ten questions.
///
/// # Errors
/// When the demo cannot be reached or discovered at all.
pub async fn play(running: &Running) -> Result<Findings> {
    let start = Instant::now();
    let endpoint = running.endpoint();
    let web = Web::new(&Url::parse(&endpoint)?)?;
    let client = Client::discover(web.clone(), &endpoint).await.context("the tour could not begin")?;
    let (mcp, browser) = (Mcp::new(web.clone(), endpoint.clone()), Browser::new(web.clone()));
    let mut tour = Tour { running, web, client, mcp, browser };
    let mut answers = Vec::new();
    // The audit trail comes last: the log must hold what the others did.
    for number in [1, 2, 3, 4, 5, 6, 8, 9, 10, 7] {
        answers.push(questions::ask(&mut tour, number).await);
    }
    answers.sort_by_key(Answer::number);
    Ok(Findings { endpoint, answers, seconds: milliseconds(start) / 1000.0 })
}

impl Findings {
    /// Prints them on standard output, for people or a JSON object a line; [`End::No`] while any of the
    /// ten questions is not held.
    pub fn print(&self, json: bool) -> End {
        let count = |verdict| self.answers.iter().filter(|answer| answer.verdict() == verdict).count();
        let (held, partly, open) = (count(Verdict::Held), count(Verdict::Partly), count(Verdict::Open));
        if json {
            self.answers.iter().for_each(|answer| anstream::println!("{}", answer.json()));
        } else {
            anstream::println!("The ten questions, put to {}", self.endpoint);
            self.answers.iter().for_each(Answer::print);
            anstream::println!("\nHeld {held}, partly {partly}, open {open}; played in {:.1} s.", self.seconds);
        }
        if held == self.answers.len() { End::Done } else { End::No }
    }
}

impl Tour<'_> {
    fn account(&self, username: &str) -> Result<&Account> {
        self.running.accounts.iter().find(|account| account.username == username).context("the demo lacks an account")
    }

    /// Tokens of ann with these scopes.
    async fn ann(&mut self, scope: &str) -> Result<Tokens> {
        let ann = self.running.accounts.first().context("the demo lacks an account")?;
        self.client.sign_in(&mut self.browser, ann, scope).await
    }

    /// Tokens of the demo's agent.
    async fn agent(&self) -> Result<Tokens> {
        let (id, secret) = self.agent_credential();
        Tokens::of(&self.client.agent_token(&id, &secret, None).await?)
    }

    fn agent_credential(&self) -> (String, String) {
        let agent = &self.running.ready_line()["agents"][0];
        (client::text(agent, "client_id"), client::text(agent, "client_secret"))
    }

    /// Every scope that the resource names, the two groups of the demo: all its tools.
    fn every_scope(&self) -> String {
        client::words(&self.client.resource_metadata["scopes_supported"]).join(" ")
    }

    /// Calls with `token` until it is refused; milliseconds from `since`, or `None` if it still works
    /// after [`REVOKED_WITHIN`] and as long again.
    async fn refused_after(&self, token: &str, since: Instant) -> Result<Option<f64>> {
        while since.elapsed() < 2 * REVOKED_WITHIN {
            if self.mcp.status(token).await? == 401 {
                return Ok(Some(milliseconds(since)));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(None)
    }
}

/// Whether it came within [`REVOKED_WITHIN`], and the figure for people.
fn in_time(after: Option<f64>) -> (bool, String) {
    match after {
        Some(after) => (after <= REVOKED_WITHIN.as_secs_f64() * 1000.0, format!("after {after:.0} ms")),
        None => (false, format!("not within {:?}", 2 * REVOKED_WITHIN)),
    }
}

/// Whether this binary has a verb.
fn has_verb(name: &str) -> bool {
    Cli::command().find_subcommand(name).is_some()
}

#[cfg(test)]
mod tests;
