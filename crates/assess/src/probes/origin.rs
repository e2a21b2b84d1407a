//! Foreign web origins: whether a page of somebody else could speak to the server, or read what it says.
//!
//! A refusal of strangers hides whether `Origin` is looked at, so what cannot be told without a token is asked
//! again with one.

use url::Url;

use super::discovery::opening;
use crate::{
    bench::Bench,
    wire::{Ask, Heard},
};

/// An origin that no server has on its list (RFC 2606).
const FOREIGN: &str = "https://evil.example";

/// Runs the probes of this file that need no token.
pub(crate) async fn run(bench: &Bench) {
    // A target that did not answer a stranger in time would not answer these either.
    let (Some(url), Some(_)) = (bench.url(), bench.seen.discovery.get()) else { return };
    origin(bench, url, None).await;
    cors(bench, url, None).await;
}

/// Runs them again with the person's token.
pub(crate) async fn with_person(bench: &Bench) {
    let (Some(url), Some(grant)) = (bench.url(), bench.seen.person.get()) else { return };
    let token = grant.access_token.expose();
    origin(bench, url, Some(token)).await;
    cors(bench, url, Some(token)).await;
}

fn with_token(ask: Ask, token: Option<&str>) -> Ask {
    match token {
        Some(token) => ask.bearer(token),
        None => ask,
    }
}

/// `origin-checked`.
async fn origin(bench: &Bench, url: &Url, token: Option<&str>) {
    const CHECK: &str = "origin-checked";
    let ask = || with_token(opening::of(bench, url), token);
    let plain = bench.wire.send(CHECK, ask()).await;
    let foreign = bench.wire.send(CHECK, ask().header("origin", FOREIGN)).await;
    let (plain, foreign) = match (plain, foreign) {
        (Ok(plain), Ok(foreign)) => (plain, foreign),
        (Err(error), _) | (_, Err(error)) => {
            return bench.findings.unseen(
                CHECK,
                format!("no answer: {error}"),
                &error.exchange().into_iter().collect::<Vec<_>>(),
            );
        }
    };
    let exchanges = [plain.exchange, foreign.exchange];
    match judge(&seen(&plain), &seen(&foreign)) {
        Origin::Checked(observed) => bench.findings.pass(CHECK, observed, &exchanges),
        Origin::Ignored(observed) => bench.findings.fail(CHECK, observed, &exchanges),
        Origin::Hidden(why) => bench.findings.unseen(CHECK, why, &exchanges),
    }
}

/// What matters of an answer here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    status: u16,
    served: bool,
}

fn seen(heard: &Heard) -> Seen {
    Seen { status: heard.status.as_u16(), served: opening::is_served(heard) }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    Checked(String),
    Ignored(String),
    Hidden(String),
}

/// The same request without and with a foreign `Origin`.
fn judge(plain: &Seen, foreign: &Seen) -> Origin {
    if foreign.served {
        return Origin::Ignored(format!("a request of {FOREIGN} was answered"));
    }
    if foreign.status == plain.status {
        return Origin::Hidden(format!(
            "both with and without a foreign Origin {} answers, so nobody can tell without a token that is accepted",
            foreign.status
        ));
    }
    match foreign.status {
        403 => Origin::Checked(format!("a request of {FOREIGN} is refused with 403")),
        400..=499 if plain.served || foreign.status != 401 => Origin::Checked(format!(
            "a request of {FOREIGN} is refused with {} (403 is what MCP asks for)",
            foreign.status
        )),
        status => Origin::Hidden(format!("{status} answers a foreign Origin, {} none", plain.status)),
    }
}

/// `cors-closed`: the preflight, and the answer itself.
async fn cors(bench: &Bench, url: &Url, token: Option<&str>) {
    const CHECK: &str = "cors-closed";
    let preflight = Ask::new(http::Method::OPTIONS, url.clone())
        .header("origin", FOREIGN)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type");
    let asks = [preflight, with_token(opening::of(bench, url), token).header("origin", FOREIGN)];
    let mut exchanges = Vec::new();
    let mut wide = false;
    for ask in asks {
        let Ok(heard) = bench.wire.send(CHECK, ask).await else { continue };
        exchanges.push(heard.exchange);
        match opened(heard.header("access-control-allow-origin"), heard.header("access-control-allow-credentials")) {
            Some(observed) => return bench.findings.fail(CHECK, observed, &[heard.exchange]),
            None => wide |= heard.header("access-control-allow-origin") == Some("*"),
        }
    }
    if exchanges.is_empty() {
        return bench.findings.unseen(CHECK, "no answer", &[]);
    }
    let observed = match wide {
        true => "any origin may read answers, but without credentials",
        false => "no answer allows a foreign origin to send credentials",
    };
    bench.findings.pass(CHECK, observed, &exchanges);
}

/// Fetch Standard: credentials are sent where the very origin is allowed and credentials too; `*` does not do.
fn opened(origin: Option<&str>, credentials: Option<&str>) -> Option<String> {
    let reflected = origin.is_some_and(|origin| origin == FOREIGN || origin == "null");
    let credentials = credentials.is_some_and(|value| value.trim().eq_ignore_ascii_case("true"));
    (reflected && credentials).then(|| format!("{FOREIGN} may read answers with credentials"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn answer(status: u16) -> Seen {
        Seen { status, served: false }
    }

    const SERVED: Seen = Seen { status: 200, served: true };

    #[test]
    fn a_refusal_of_strangers_hides_whether_origin_is_looked_at() {
        for status in [401, 403, 404] {
            assert!(matches!(judge(&answer(status), &answer(status)), Origin::Hidden(_)), "{status}");
        }
        assert!(matches!(judge(&answer(401), &answer(403)), Origin::Checked(_)));
        assert!(matches!(judge(&answer(403), &answer(401)), Origin::Hidden(_)));
        assert!(matches!(judge(&SERVED, &answer(500)), Origin::Hidden(_)));
    }

    #[test]
    fn with_a_token_the_answer_tells() {
        assert!(matches!(judge(&SERVED, &SERVED), Origin::Ignored(_)));
        for status in [400, 401, 403] {
            assert!(matches!(judge(&SERVED, &answer(status)), Origin::Checked(_)), "{status}");
        }
    }

    #[test]
    fn only_a_reflected_origin_with_credentials_is_open() {
        assert!(opened(Some(FOREIGN), Some("true")).is_some());
        assert!(opened(Some("null"), Some("TRUE")).is_some());
        for (origin, credentials) in [
            (Some("*"), Some("true")),
            (Some(FOREIGN), None),
            (Some("https://vendor.example"), Some("true")),
            (None, None),
        ] {
            assert!(opened(origin, credentials).is_none(), "{origin:?}");
        }
    }
}
