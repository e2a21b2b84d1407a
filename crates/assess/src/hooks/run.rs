//! Running a hook, and its record.
//!
//! What a hook prints is evidence, never an instruction. A hook that undoes another runs also when the run's time
//! is nearly over: nobody is left locked out because a probe was slow.

use std::{collections::BTreeMap, path::Path, time::Duration};

use sallyport_model::{Secret, Timestamp};
use sallyport_outbound::command::{self, CommandLimits, CommandSpec, Ended};
use url::Url;

use super::{Action, Hook, HookName, file::PLACEHOLDERS};
use crate::{
    bench::Bench,
    login::quote,
    wire::{Ask, Noted, WireError},
};

/// What a hook is told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    /// The person.
    pub(crate) subject: String,
    /// The agent's client id.
    pub(crate) agent: String,
    /// The tool that is taken away.
    pub(crate) tool: String,
    /// Since when the trail is wanted.
    pub(crate) since: Timestamp,
}

impl Told {
    /// The identities of this run, as the operator named them.
    pub(crate) fn of(bench: &Bench, tool: &str, since: Timestamp) -> Self {
        Self {
            subject: bench.access.user.as_ref().map(|user| user.name.clone()).unwrap_or_default(),
            agent: bench.access.agent.as_ref().map(|agent| agent.client_id.clone()).unwrap_or_default(),
            tool: tool.to_owned(),
            since,
        }
    }

    fn value(&self, placeholder: &str) -> String {
        match placeholder {
            "SUBJECT" => self.subject.clone(),
            "AGENT" => self.agent.clone(),
            "TOOL" => self.tool.clone(),
            _ => self.since.to_string(),
        }
    }
}

/// How a hook ended.
#[derive(Debug, Clone)]
pub(crate) struct HookRun {
    /// Exit 0 or a 2xx status, and nothing cut off.
    pub(crate) passed: bool,
    /// Whether it ran to an answer of its own, which may be no.
    pub(crate) answered: bool,
    /// How it ended, in words.
    pub(crate) said: String,
    /// What it printed, or the body of the response.
    pub(crate) output: Vec<u8>,
    /// The record of it.
    pub(crate) exchanges: Vec<u32>,
}

impl HookRun {
    fn none(said: String) -> Self {
        Self { passed: false, answered: false, said, output: Vec::new(), exchanges: Vec::new() }
    }
}

/// Runs the hook `name`; `out` is what it gets as `SALLYPORT_OUT`. `None` when there is no such hook.
pub(crate) async fn run(
    bench: &Bench,
    check: &'static str,
    name: HookName,
    told: &Told,
    out: &Path,
) -> Option<HookRun> {
    let hook = bench.access.hooks.hook(name)?;
    Some(match &hook.action {
        Action::Command { argv, env } => {
            env.values().for_each(|secret| bench.wire.keep_secret(secret));
            let env = environment(env, told, out);
            run_command(bench, check, name, hook, argv, env).await
        }
        Action::Url { url, method, bearer, body } => {
            let Ok(url) = Url::parse(&in_url(url, told)) else {
                return Some(HookRun::none("its URL is none any more with the values in it".to_owned()));
            };
            let mut ask = Ask::new(method.clone(), url);
            if !body.is_empty() {
                ask = ask.header("content-type", "application/json").body(in_body(body, told));
            }
            if let Some(bearer) = bearer {
                bench.wire.keep_secret(bearer);
                ask = ask.bearer(bearer.expose());
            }
            run_url(bench, check, name, hook.timeout, ask).await
        }
    })
}

fn environment(own: &BTreeMap<String, Secret>, told: &Told, out: &Path) -> BTreeMap<String, Secret> {
    let mut env = own.clone();
    for name in PLACEHOLDERS {
        env.insert(format!("SALLYPORT_{name}"), Secret::new(told.value(name)));
    }
    env.insert("SALLYPORT_OUT".to_owned(), Secret::new(out.to_string_lossy()));
    env
}

async fn run_command(
    bench: &Bench,
    check: &'static str,
    name: HookName,
    hook: &Hook,
    argv: &[String],
    env: BTreeMap<String, Secret>,
) -> HookRun {
    let program = argv.first().cloned().unwrap_or_default();
    let shown: Vec<(String, String)> = env
        .iter()
        .filter(|(name, _)| name.starts_with("SALLYPORT_"))
        .map(|(name, value)| (name.clone(), value.expose().to_owned()))
        .collect();
    let spec = CommandSpec::from_operator(&program, argv.iter().skip(1).cloned().collect(), env, None);
    let limits = CommandLimits { timeout: hook.timeout, ..CommandLimits::default() };
    let noted = Noted {
        check,
        request: format!("hook {}", name.as_str()),
        request_headers: shown,
        request_body: program,
        replay: format!("run the hook `{}` of the hooks file with these variables", name.as_str()),
        ..Noted::default()
    };
    match command::run(&spec, &limits).await {
        Err(error) => {
            let exchange = bench.wire.note(Noted { response_body: error.to_string(), ..noted });
            HookRun { exchanges: vec![exchange], ..HookRun::none(format!("hook `{}`: {error}", name.as_str())) }
        }
        Ok(output) => {
            let (status, said) = match output.ended {
                Ended::Exit(code) => (Some(code), format!("exit code {code}")),
                Ended::Killed => (None, "it was killed".to_owned()),
                Ended::TimedOut => (None, format!("it did not end within {} s", hook.timeout.as_secs())),
            };
            let said = match output.truncated {
                true => "it printed more than 16 MiB".to_owned(),
                false => said,
            };
            let exchange = bench.wire.note(Noted {
                status,
                response_body: record(&output.stdout, &output.stderr),
                elapsed_ms: u64::try_from(output.elapsed.as_millis()).unwrap_or(u64::MAX),
                ..noted
            });
            HookRun {
                passed: status == Some(0) && !output.truncated,
                answered: status.is_some() && !output.truncated,
                said: format!("hook `{}`: {said}", name.as_str()),
                output: output.stdout,
                exchanges: vec![exchange],
            }
        }
    }
}

/// The first kilobytes of what was printed: enough to see what it was.
fn record(stdout: &[u8], stderr: &[u8]) -> String {
    const MOST: usize = 2 * 1024;
    let first = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(MOST)]).into_owned();
    let mut text = first(stdout);
    if stdout.len() > MOST {
        text.push_str(&format!("\n… ({} bytes in all)", stdout.len()));
    }
    if !stderr.is_empty() {
        text.push_str(&format!("\n[error output] {}", first(stderr)));
    }
    text
}

async fn run_url(bench: &Bench, check: &'static str, name: HookName, timeout: Duration, ask: Ask) -> HookRun {
    let name = name.as_str();
    match bench.wire.send_to_operator(check, ask, timeout).await {
        Err(WireError::TimedOut { exchange, .. }) => {
            let said = format!("hook `{name}`: no answer within {} s", timeout.as_secs());
            HookRun { exchanges: vec![exchange], ..HookRun::none(said) }
        }
        Err(error) => {
            let exchanges = error.exchange().into_iter().collect();
            HookRun { exchanges, ..HookRun::none(format!("hook `{name}`: {}", quote(&error.to_string()))) }
        }
        Ok(heard) => {
            let said = match heard.truncated {
                true => "the answer is larger than 16 MiB, or did not end; use a `command`".to_owned(),
                false => format!("HTTP {}", heard.status.as_u16()),
            };
            HookRun {
                passed: heard.status.is_success() && !heard.truncated,
                answered: !heard.truncated,
                said: format!("hook `{name}`: {said}"),
                output: heard.body.to_vec(),
                exchanges: vec![heard.exchange],
            }
        }
    }
}

fn in_url(url: &str, told: &Told) -> String {
    filled(url, |name| {
        // Spaces become `+`, which a path does not read as one.
        let encoded: String = url::form_urlencoded::byte_serialize(told.value(name).as_bytes()).collect();
        encoded.replace('+', "%20")
    })
}

/// The body is JSON, so every placeholder that is left stands inside a string.
fn in_body(body: &str, told: &Told) -> String {
    filled(body, |name| {
        let quoted = serde_json::Value::String(told.value(name)).to_string();
        quoted[1..quoted.len() - 1].to_owned()
    })
}

/// Once from the left: what a value holds is not read again.
fn filled(text: &str, value: impl Fn(&str) -> String) -> String {
    let mut pieces = text.split("${");
    let mut whole = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        match piece.split_once('}') {
            Some((name, rest)) => {
                whole.push_str(&value(name));
                whole.push_str(rest);
            }
            None => whole.push_str(piece),
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Told {
        Told {
            subject: "a b\"/${TOOL}".to_owned(),
            agent: "agent+1".to_owned(),
            tool: "read".to_owned(),
            since: Timestamp::from_secs(1_795_392_000),
        }
    }

    #[test]
    fn values_are_encoded_for_where_they_stand() {
        assert_eq!(
            in_url("https://x.example/${AGENT}?t=${SINCE}", &told()),
            "https://x.example/agent%2B1?t=2026-11-23T00%3A00%3A00.000Z"
        );
        let body =
            in_body(r#"{"user":"${SUBJECT}","tool":"${TOOL}"}"#, &Told { subject: "a\"b\\c".to_owned(), ..told() });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap()["user"], "a\"b\\c");
        assert!(in_body(r#"{"user":"${SUBJECT}"}"#, &told()).contains("${TOOL}"), "a value is not read again");
    }

    #[test]
    fn a_command_is_told_by_variables() {
        let own = BTreeMap::from([("ADMIN".to_owned(), Secret::new("x"))]);
        let env = environment(&own, &told(), Path::new("/tmp/out"));
        let names: Vec<&str> = env.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["ADMIN", "SALLYPORT_AGENT", "SALLYPORT_OUT", "SALLYPORT_SINCE", "SALLYPORT_SUBJECT", "SALLYPORT_TOOL"]
        );
        assert_eq!(env["SALLYPORT_SUBJECT"].expose(), "a b\"/${TOOL}", "a value is never read again");
    }
}
