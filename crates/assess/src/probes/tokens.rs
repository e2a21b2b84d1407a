//! Question 6: how long tokens live, whether refresh tokens are replaced, and whether a token can be ended.
//!
//! It ends and spends tokens of its own alone; the person's stay as they are.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::sign_in::unseen;
use crate::{
    bench::{Bench, Grant, Target},
    login::{
        self, Desk, Fault, Who,
        flow::{self, Request},
        present, token,
    },
};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// How long a revoked token may still work.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Runs them.
pub(crate) async fn run(bench: &Bench) {
    if !matches!(bench.target, Target::Http(_)) {
        return;
    }
    lifetime(bench).await;
    rotation(bench).await;
    revocation(bench).await;
}

/// How long a token lives, and who says so.
pub(super) struct Life {
    /// `None`: for ever.
    pub(super) seconds: Option<u64>,
    pub(super) said_by: &'static str,
    pub(super) exchanges: Vec<u32>,
}

/// The lifetime of a grant's access token: what the token itself says, else the server that issued it.
pub(super) async fn life(bench: &Bench, check: &'static str, grant: &Grant) -> Option<Life> {
    let life = |seconds, said_by| Some(Life { seconds, said_by, exchanges: Vec::new() });
    if let Some(claims) = token::claims(grant.access_token.expose()) {
        if let Some(exp) = number(&claims, "exp") {
            let from = number(&claims, "iat").or_else(|| number(&claims, "nbf"));
            let from = from.unwrap_or_else(|| grant.obtained_at.as_secs());
            let own = exp.saturating_sub(from);
            // Whoever enforces the longer one decides.
            return match grant.expires_in {
                Some(said) if said > own => life(Some(said), "the token response"),
                _ => life(Some(own), "the token's own claims"),
            };
        }
        if let Some(life) = introspected(bench, check, grant).await {
            return Some(life);
        }
        return life(None, "the token's own claims, which hold no `exp`");
    }
    match grant.expires_in {
        Some(seconds) => life(Some(seconds), "the token response"),
        None => introspected(bench, check, grant).await,
    }
}

async fn introspected(bench: &Bench, check: &'static str, grant: &Grant) -> Option<Life> {
    let (answer, exchange) = introspect(bench, check, grant).await?;
    let from = number(&answer, "iat").unwrap_or_else(|| grant.obtained_at.as_secs());
    let seconds = number(&answer, "exp")?.saturating_sub(from);
    Some(Life { seconds: Some(seconds), said_by: "introspection", exchanges: vec![exchange] })
}

/// What the authorization server says about a token of this client (RFC 7662); `None` where it does not.
pub(super) async fn introspect(bench: &Bench, check: &'static str, grant: &Grant) -> Option<(Map<String, Value>, u32)> {
    let desk = login::desk(bench).ok().filter(|_| !grant.client.id.is_empty())?;
    let form = [("token", grant.access_token.expose()), ("token_type_hint", "access_token")];
    let heard = token::post(bench, check, (&desk.server, &grant.client), "introspection_endpoint", &form).await.ok()?;
    match heard.json() {
        Some(Value::Object(answer))
            if heard.status.is_success() && answer.get("active") == Some(&Value::Bool(true)) =>
        {
            Some((answer, heard.exchange))
        }
        _ => None,
    }
}

fn number(claims: &Map<String, Value>, name: &str) -> Option<u64> {
    let value = claims.get(name)?;
    value.as_u64().or_else(|| Some(value.as_f64()?.max(0.0) as u64))
}

/// Seconds as a person would say them.
pub(super) fn spoken(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / HOUR),
        _ => format!("{} days", seconds / DAY),
    }
}

async fn lifetime(bench: &Bench) {
    let checks = ["token-expires", "token-short"];
    let grant = match login::person_grant(bench) {
        Ok(grant) => grant,
        Err(fault) => return checks.iter().for_each(|check| unseen(bench, check, &fault)),
    };
    let Some(life) = life(bench, "token-expires", grant).await else {
        let why = "neither the token, the token response nor introspection says when the token ends";
        return checks.iter().for_each(|check| bench.findings.unseen(check, why, &[]));
    };
    let observed = match life.seconds {
        Some(seconds) => format!("it lives for {}, says {}", spoken(seconds), life.said_by),
        None => format!("it never ends, say {}", life.said_by),
    };
    let within = |limit: u64| life.seconds.is_some_and(|seconds| seconds <= limit);
    bench.findings.decide("token-expires", within(DAY), observed.clone(), &life.exchanges);
    bench.findings.decide("token-short", within(HOUR), observed, &life.exchanges);
}

/// A sign-in whose tokens are there to be spent.
async fn throw_away<'a>(bench: &'a Bench, check: &'static str) -> Result<(&'a Desk, Grant), Fault> {
    let desk = login::signed_in(bench)?;
    let (grant, ..) = flow::sign_in(bench, check, desk, Who::Person, Request::new(bench, desk)).await?;
    Ok((desk, grant))
}

/// OAuth 2.1 section 4.3.1: the refresh token of a public client is replaced when it is used.
async fn rotation(bench: &Bench) {
    let checks = ["refresh-rotates", "refresh-reuse-refused"];
    let both = |fault: &Fault| checks.iter().for_each(|check| unseen(bench, check, fault));
    let grant = match throw_away(bench, "refresh-rotates").await {
        Ok((_, grant)) => grant,
        Err(fault) => return both(&fault),
    };
    let Some(first) = grant.refresh_token.clone() else {
        let why = "the authorization server issues no refresh token to this client";
        return checks.iter().for_each(|check| bench.findings.not_applicable(check, why));
    };
    let (fresh, exchange) = match login::refresh(bench, "refresh-rotates", &grant).await {
        Ok(refreshed) => refreshed,
        Err(fault) => return both(&fault),
    };
    let same = fresh.refresh_token.as_ref().is_some_and(|second| second.expose() == first.expose());
    let observed = if same { "the same refresh token stays good" } else { "a refresh brought a new refresh token" };
    bench.findings.decide("refresh-rotates", !same, observed, &[exchange]);
    match login::refresh(bench, "refresh-reuse-refused", &grant).await {
        Ok((_, exchange)) => {
            bench.findings.fail(
                "refresh-reuse-refused",
                "a refresh token that was used already brought tokens again",
                &[exchange],
            );
        }
        Err(fault @ Fault::Refused { .. }) => {
            bench.findings.pass("refresh-reuse-refused", format!("used again: {fault}"), fault.exchanges());
        }
        Err(fault) => unseen(bench, "refresh-reuse-refused", &fault),
    }
}

/// RFC 7009, and whether the resource takes notice.
async fn revocation(bench: &Bench) {
    let check = "revocation-works";
    if let Ok(desk) = login::desk(bench)
        && desk.server.endpoint("revocation_endpoint").is_none()
    {
        let observed = "the metadata names no revocation endpoint";
        return bench.findings.fail(check, observed, &[desk.server.exchange]);
    }
    let (desk, grant) = match throw_away(bench, check).await {
        Ok(thrown) => thrown,
        Err(fault) => return unseen(bench, check, &fault),
    };
    let before = present::token(bench, check, grant.access_token.expose()).await;
    if before.accepted() != Some(true) {
        let (what, seen) = before.seen();
        return bench.findings.unseen(check, format!("the token is of no use before it is revoked: {what}"), seen);
    }
    let form = [("token", grant.access_token.expose()), ("token_type_hint", "access_token")];
    let heard = match token::post(bench, check, (&desk.server, &grant.client), "revocation_endpoint", &form).await {
        Ok(heard) => heard,
        Err(fault) => return unseen(bench, check, &fault),
    };
    if !heard.status.is_success() {
        return match token::refusal(&heard) {
            fault @ Fault::Busy { .. } => unseen(bench, check, &fault),
            fault => bench.findings.fail(check, format!("revoking an access token: {fault}"), &[heard.exchange]),
        };
    }
    let revoked = Instant::now();
    loop {
        let after = present::token(bench, check, grant.access_token.expose()).await;
        let mut seen = vec![heard.exchange];
        seen.extend(after.seen().1);
        match after.accepted() {
            Some(false) => {
                let took = revoked.elapsed().as_millis();
                return bench.findings.pass(
                    check,
                    format!("{} ms after its revocation: {}", took, after.seen().0),
                    &seen,
                );
            }
            Some(true) if revoked.elapsed() < AT_ONCE => tokio::time::sleep(Duration::from_millis(500)).await,
            Some(true) => {
                let observed = format!("a revoked token still works after {} s", AT_ONCE.as_secs());
                return bench.findings.fail(check, observed, &seen);
            }
            None => return bench.findings.unseen(check, after.seen().0, &seen),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_spoken_in_its_own_unit() {
        let all = [5, 300, 3600, 86_400, 31_536_000].map(spoken);
        assert_eq!(all, ["5 s", "5 min", "60 min", "24 h", "365 days"]);
    }
}
