//! Question 6: a session id is no credential, cannot be guessed, and serves its owner alone.
//!
//! A server without sessions has nothing to get wrong here.

use std::collections::BTreeSet;

use super::sign_in::unseen;
use crate::{
    bench::{Bench, Target},
    check::Needs,
    login::{self, present},
    wire::{ConnectOptions, Credential, EraChoice, Heard, McpClient, McpFault, WireError},
};

const CHECKS: [&str; 3] = ["session-not-credential", "session-bound", "session-unpredictable"];
/// So many sessions are compared.
const SAMPLES: usize = 4;
/// Fewer bits that differ from session to session can be tried out.
const ENOUGH_BITS: f64 = 64.0;

/// Runs them.
pub(crate) async fn run(bench: &Bench) {
    if !matches!(bench.target, Target::Http(_)) {
        return;
    }
    let all = |fault: &login::Fault| CHECKS.iter().for_each(|check| unseen(bench, check, fault));
    let person = match login::person_grant(bench) {
        Ok(grant) => grant.access_token.expose(),
        Err(fault) => return all(&fault),
    };
    let client = match open(bench, CHECKS[0], person).await {
        Ok(client) => client,
        Err(McpFault::NotMcp(_)) if bench.seen.era.get() == Some(&sallyport_mcp::Era::Modern) => {
            let why = "the server speaks the modern era alone, which has no sessions";
            return CHECKS.iter().for_each(|check| bench.findings.not_applicable(check, why));
        }
        Err(fault) => {
            let why = login::quote(&format!("no session came about: {fault}"));
            return CHECKS.iter().for_each(|check| bench.findings.unseen(check, why.clone(), &[]));
        }
    };
    let Some(session) = client.session_id().map(str::to_owned) else {
        let why = "the server gives no session id";
        CHECKS.iter().for_each(|check| bench.findings.not_applicable(check, why));
        return client.close().await;
    };
    let own = Owned { session: &session, version: client.version() };
    // A session that its owner cannot use shows nothing about others.
    match own.used_by(bench, CHECKS[0], Some(person)).await {
        Ok(heard) if present::is_result(&heard) => {
            not_credential(bench, &own).await;
            bound(bench, &own).await;
        }
        Ok(heard) => {
            let why = format!("the session is of no use to its owner: {}", heard.status);
            CHECKS[..2].iter().for_each(|check| bench.findings.unseen(check, why.clone(), &[heard.exchange]));
        }
        Err(error) => CHECKS[..2].iter().for_each(|check| bench.findings.unseen(check, error.to_string(), &[])),
    }
    unpredictable(bench, person, session.clone()).await;
    client.close().await;
}

async fn open(bench: &Bench, check: &'static str, token: &str) -> Result<McpClient, McpFault> {
    let options = ConnectOptions { era: EraChoice::Legacy, plain: true, ..ConnectOptions::default() };
    McpClient::connect(bench, check, Credential::Bearer(token), options).await
}

/// A session of the person.
struct Owned<'a> {
    session: &'a str,
    version: &'a str,
}

impl Owned<'_> {
    /// `tools/list` in this session by somebody.
    async fn used_by(&self, bench: &Bench, check: &'static str, token: Option<&str>) -> Result<Heard, WireError> {
        let Some(url) = bench.url() else { return Err(WireError::BadRequest("the target has no URL".to_owned())) };
        let ask = present::in_session(url.clone(), self.session, self.version);
        let ask = token.into_iter().fold(ask, |ask, token| ask.bearer(token));
        bench.wire.send(check, ask).await
    }
}

async fn not_credential(bench: &Bench, own: &Owned<'_>) {
    let check = "session-not-credential";
    match own.used_by(bench, check, None).await {
        Ok(heard) if present::is_result(&heard) => {
            bench.findings.fail(check, "a session id without a token was served", &[heard.exchange]);
        }
        Ok(heard) => {
            let observed = format!("a session id without a token is refused with {}", heard.status);
            bench.findings.pass(check, observed, &[heard.exchange]);
        }
        Err(error) => bench.findings.unseen(check, error.to_string(), error.exchange().as_slice()),
    }
}

async fn bound(bench: &Bench, own: &Owned<'_>) {
    let check = "session-bound";
    // An agent is another principal too.
    let other = bench.seen.second.get().or_else(|| bench.seen.agent.get());
    let Some(other) = other else {
        let why = match bench.access.covers(&Needs::SecondPerson) {
            true => "the second person could not be signed in".to_owned(),
            false => format!("it needs {}", Needs::SecondPerson),
        };
        return bench.findings.unseen(check, why, &[]);
    };
    let token = other.access_token.expose();
    let baseline = present::token(bench, check, token).await;
    if baseline.accepted() != Some(true) {
        let (what, seen) = baseline.seen();
        return bench.findings.unseen(check, format!("the other principal's own token is of no use: {what}"), seen);
    }
    match own.used_by(bench, check, Some(token)).await {
        Ok(heard) if present::is_result(&heard) => {
            bench.findings.fail(check, "another principal was served in the person's session", &[heard.exchange]);
        }
        Ok(heard) => {
            let observed = format!("another principal in the person's session is refused with {}", heard.status);
            bench.findings.pass(check, observed, &[heard.exchange]);
        }
        Err(error) => bench.findings.unseen(check, error.to_string(), error.exchange().as_slice()),
    }
}

async fn unpredictable(bench: &Bench, person: &str, first: String) {
    let check = "session-unpredictable";
    let mut ids = vec![first];
    while ids.len() < SAMPLES {
        let Ok(client) = open(bench, check, person).await else { break };
        ids.extend(client.session_id().map(str::to_owned));
        if ids.len() < SAMPLES && client.session_id().is_none() {
            break;
        }
        client.close().await;
    }
    if ids.len() < SAMPLES {
        return bench.findings.unseen(check, format!("only {} sessions could be opened", ids.len()), &[]);
    }
    let distinct: BTreeSet<&String> = ids.iter().collect();
    if distinct.len() < ids.len() {
        return bench.findings.fail(check, "two sessions have the same id", &[]);
    }
    let bits = varying_bits(&ids);
    let observed =
        format!("{SAMPLES} session ids of {} characters differ in about {bits:.0} bits", ids[0].chars().count());
    bench.findings.decide(check, bits >= ENOUGH_BITS, observed, &[]);
}

/// An upper bound for what a guesser has to try: places that differ between ids, times the bits of their
/// alphabet. Counters and clocks differ in few places.
fn varying_bits(ids: &[String]) -> f64 {
    let rows: Vec<Vec<char>> = ids.iter().map(|id| id.chars().collect()).collect();
    let length = rows.iter().map(Vec::len).min().unwrap_or(0);
    let places: Vec<usize> = (0..length).filter(|at| rows.iter().any(|row| row[*at] != rows[0][*at])).collect();
    let used: BTreeSet<char> = rows.iter().flat_map(|row| places.iter().map(|at| row[*at])).collect();
    let alphabet: f64 = if used.iter().all(char::is_ascii_digit) {
        10.0
    } else if used.iter().all(|c| c.is_ascii_hexdigit() || *c == '-') {
        16.0
    } else {
        64.0
    };
    places.len() as f64 * alphabet.log2()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(ids: [&str; 4]) -> f64 {
        varying_bits(&ids.map(str::to_owned))
    }

    #[test]
    fn counters_clocks_and_short_ids_are_told_from_random_ones() {
        let weak = [
            ["session-1", "session-2", "session-3", "session-4"],
            ["1764000000123", "1764000000456", "1764000000999", "1764000001001"],
            [
                "0000000000000000000000000000000a",
                "0000000000000000000000000000000b",
                "0000000000000000000000000000000c",
                "0000000000000000000000000000000d",
            ],
            // UUIDs of version 1: one machine, one after the other.
            [
                "6c1e1b90-c83f-11f0-9cd2-0242ac120002",
                "6c1e1f14-c83f-11f0-9cd2-0242ac120002",
                "6c1e2126-c83f-11f0-9cd2-0242ac120002",
                "6c1e22fc-c83f-11f0-9cd2-0242ac120002",
            ],
            ["a", "b", "c", "d"],
            ["Ab3xY9", "Zk1qQ7", "pL0vB2", "mN8cD4"],
        ];
        for ids in weak {
            assert!(bits(ids) < ENOUGH_BITS, "{ids:?}: {}", bits(ids));
        }
        let strong = [
            [
                "9f1c2d3e4b5a69788796a5b4c3d2e1f0",
                "0a1b2c3d4e5f60718293a4b5c6d7e8f9",
                "13579bdf02468ace13579bdf02468abc",
                "feedfacecafebeef0123456789abcdef",
            ],
            [
                "b6b3a6a0-3a53-4c57-9a3e-0d9f3ad6b0a1",
                "1c9d52b1-ef0c-4b16-8d7a-5a7c0f1e2d3b",
                "e07f8a9c-9b2d-4f7e-a1b0-c3d4e5f60718",
                "5a4b3c2d-1e0f-4a9b-b8c7-d6e5f4031221",
            ],
        ];
        for ids in strong {
            assert!(bits(ids) >= ENOUGH_BITS, "{ids:?}: {}", bits(ids));
        }
    }

    #[test]
    fn no_ids_are_no_bits() {
        assert_eq!(varying_bits(&[]), 0.0);
        assert_eq!(varying_bits(&["".to_owned(), "x".to_owned()]), 0.0);
    }
}
