//! The way to the server: TLS, or for a local process its command line; and who answers for its security.
//!
//! It also says which checks have no meaning for a server that is a process.

mod contact;

use url::Url;

use super::{
    discovery::{shown, unsafe_servers},
    metadata::{is_loopback, safe_transport},
};
use crate::{
    bench::{Bench, Target},
    wire::{Ask, WireError},
};
use sallyport_outbound::stdio::StdioSpec;

/// What a process without a network has no use for: authorization by OAuth, origins, challenges, contacts.
const NOT_FOR_PROCESSES: &[&str] = &[
    "auth-required",
    "transport-tls",
    "challenge-401",
    "challenge-metadata",
    "challenge-error",
    "resource-metadata",
    "resource-identifier",
    "server-metadata",
    "server-issuer",
    "server-endpoints-tls",
    "pkce-advertised",
    "registration-path",
    "registration-safe",
    "registration-no-ssrf",
    "origin-checked",
    "cors-closed",
    "version-checked",
    "errors-clean",
    "agent-grant",
    "scopes-published",
    "scopes-specific",
    "scopes-separate",
    "scope-challenge",
    "sender-bound",
    "garbage-refused",
    "unsigned-refused",
    "forged-refused",
    "issuer-checked",
    "security-contact",
];

/// Runs the probes of this file, after those of `discovery`.
pub(crate) async fn run(bench: &Bench) {
    match &bench.target {
        Target::Http(url) => {
            bench.findings.not_applicable("stdio-credentials", "the server is reached by HTTP");
            tls(bench, url).await;
            security_contact(bench, url).await;
        }
        Target::Stdio(spec) => {
            for check in NOT_FOR_PROCESSES {
                bench
                    .findings
                    .not_applicable(check, "the server is a local process, whose user is the operating system's");
            }
            let (held, observed) = credentials(spec);
            bench.findings.decide("stdio-credentials", held, observed, &[]);
        }
        Target::Answers(_) => {}
    }
}

/// `transport-tls`: https to the endpoint, and to every authorization server that was found.
async fn tls(bench: &Bench, url: &Url) {
    const CHECK: &str = "transport-tls";
    let elsewhere = bench.seen.discovery.get().map(unsafe_servers).unwrap_or_default();
    if !elsewhere.is_empty() {
        return bench.findings.fail(
            CHECK,
            format!("authorization server metadata comes by http: {}", elsewhere.join(", ")),
            &[],
        );
    }
    if url.scheme() == "http" && safe_transport(url) {
        return bench.findings.not_applicable(CHECK, "the endpoint is on this machine (loopback), by http");
    }
    if url.scheme() != "https" {
        return bench.findings.fail(CHECK, "the endpoint is reached by http", &[]);
    }
    match bench.wire.send(CHECK, Ask::get(url.clone())).await {
        Ok(heard) => match heard.tls {
            Some(version) => bench.findings.pass(
                CHECK,
                format!("TLS {version}, with a certificate that is trusted"),
                &[heard.exchange],
            ),
            None => bench.findings.unseen(CHECK, "the connection did not say its TLS version", &[heard.exchange]),
        },
        Err(error) => bench.findings.unseen(CHECK, format!("no answer by https: {error}"), &numbers(&error)),
    }
}

fn numbers(error: &WireError) -> Vec<u32> {
    error.exchange().into_iter().collect()
}

/// `security-contact` (RFC 9116 section 3): at the well-known place of the target's own origin.
async fn security_contact(bench: &Bench, url: &Url) {
    const CHECK: &str = "security-contact";
    let mut place = url.clone();
    place.set_path("/.well-known/security.txt");
    place.set_query(None);
    place.set_fragment(None);
    if place.scheme() != "https" && !is_loopback(&place) {
        return bench.findings.fail(
            CHECK,
            "the origin is not https, so nothing there can be trusted (RFC 9116 section 3)",
            &[],
        );
    }
    let heard = match bench.wire.send(CHECK, Ask::get(place.clone())).await {
        Ok(heard) => heard,
        Err(error) => return bench.findings.unseen(CHECK, format!("no answer: {error}"), &numbers(&error)),
    };
    let exchanges = [heard.exchange];
    let place = shown(place.as_str());
    match heard.status.as_u16() {
        200 => {}
        429 | 500.. => {
            return bench.findings.unseen(CHECK, format!("{place} answers {}", heard.status.as_u16()), &exchanges);
        }
        status => return bench.findings.fail(CHECK, format!("{place} answers {status}"), &exchanges),
    }
    match contact::read(&heard.text(), bench.clock.now()) {
        Ok(found) => bench.findings.pass(CHECK, format!("{place} names {}", shown(&found)), &exchanges),
        Err(why) => bench.findings.fail(CHECK, format!("{place}: {why}"), &exchanges),
    }
}

/// `stdio-credentials`: nothing on the command line that looks like a credential.
fn credentials(spec: &StdioSpec) -> (bool, String) {
    let arguments = spec.args();
    let found = arguments.iter().enumerate().find_map(|(at, argument)| {
        let before = at.checked_sub(1).and_then(|before| arguments.get(before)).map(String::as_str);
        secret_in(before, argument).map(|why| (at + 1, why))
    });
    match found {
        Some((at, why)) => {
            (false, format!("argument {at} holds a credential ({why}), which every user of the machine can read"))
        }
        None => (true, format!("none of {} arguments holds a credential", arguments.len())),
    }
}

/// Why `argument` is a credential, given the one before it. Never repeats the value.
fn secret_in(before: Option<&str>, argument: &str) -> Option<&'static str> {
    use sallyport_inspect::{DetectorId, text};
    let is_secret = |text: &str| text::inspect(text).iter().any(|finding| finding.detector == DetectorId::Secret);
    if is_secret(argument) {
        return Some("it has the form of one");
    }
    if let Some((name, value)) = argument.split_once('=')
        && names_a_secret(name)
        && is_value(value)
    {
        return Some("the option's name says so");
    }
    let named = before.is_some_and(|option| option.starts_with('-') && !option.contains('=') && names_a_secret(option));
    if named && is_value(argument) {
        return Some("the option before it says so");
    }
    let url = Url::parse(argument).ok()?;
    if url.password().is_some_and(|password| !password.is_empty()) {
        return Some("a password in a URL");
    }
    let by_query = url.query_pairs().any(|(name, value)| names_a_secret(&name) && is_value(&value));
    by_query.then_some("a parameter of a URL says so")
}

/// Whether an option is for a secret: `--api-key`, `GITHUB_TOKEN`, `-p` is not enough.
fn names_a_secret(option: &str) -> bool {
    const WORDS: [&str; 7] = ["password", "passwd", "secret", "token", "apikey", "accesskey", "privatekey"];
    let bare: String = option.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    // `--token-file` and `--password-env` name where the secret is, which is as it should be.
    let points = ["file", "path", "env", "url", "uri", "endpoint", "var", "dir", "command", "limit", "ttl", "count"];
    WORDS.iter().any(|word| bare.contains(word)) && !points.iter().any(|end| bare.ends_with(end))
}

/// Whether this could be a secret itself: no other option, no reference, no number, no path.
fn is_value(text: &str) -> bool {
    let reference = text.starts_with(['-', '$', '/', '.', '~']) || text.starts_with("%") || text.starts_with("<");
    let number = text.chars().all(|c| c.is_ascii_digit()) && text.len() < 6;
    let word = ["true", "false", "none", "env", "stdin", "prompt"].contains(&text.to_ascii_lowercase().as_str());
    text.len() >= 4 && !reference && !number && !word
}

#[cfg(test)]
mod tests;
