//! `sallyport assess`: the ten questions, put to any MCP server.

mod access;
pub mod arguments;
pub mod brand;
mod fleet;
pub mod output;

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, Result, bail};
use sallyport_assess::{Bench, Target, assess, catalogue, was_answered};
use sallyport_model::{Clock as _, SystemClock, SystemRng, assessment::Assessment};
use sallyport_outbound::stdio::StdioSpec;
use sallyport_report::diff;

use crate::{End, config::ConfigError};
pub use arguments::Assess;
use arguments::Format;
use output::{print, style};

/// Runs it; the answer is no below `--min-score`, or when something is worse than the baseline.
///
/// # Errors
/// After the report, where the target gave no answer at all: a refusal is one.
pub async fn run(command: Assess) -> Result<End> {
    if command.rubric {
        return print(None, catalogue::rubric::page().as_bytes()).map(|()| End::Done);
    }
    if !command.config.is_empty() {
        return fleet::run(&command).await;
    }
    let baseline = command.baseline.as_deref().map(read_result).transpose()?;
    let suppressions = command.suppress.as_deref().map(access::suppressions).transpose()?.unwrap_or_default();
    let access = access::read(&command)?;
    if let Some(warning) = unbounded(&command) {
        anstream::eprintln!("{warning}");
    }
    let bench = Bench::new(target(&command)?, access, Arc::new(SystemClock), Arc::new(SystemRng))?;
    let mut assessment = assess(&bench).await;
    suppressions.mark(&mut assessment, SystemClock.now());
    let brand = brand::read(command.brand.as_deref())?;
    let format = if command.json { Format::Json } else { command.format };
    let style = style(command.details, command.output.is_some());
    let report = output::render(&assessment, format, &brand, style)?;
    print(command.output.as_deref(), &report)?;
    if !was_answered(&bench) {
        bail!(
            "{} gave no answer, so nothing was assessed: see that it runs, and that it can be reached",
            assessment.target
        );
    }
    let worse = baseline.is_some_and(|old| {
        let diff = diff::compare(&old, &assessment);
        // Beside the report, so that a file of JSON stays one.
        anstream::eprint!("{}", diff::render(&diff, style));
        diff.worse
    });
    let low = command.min_score.is_some_and(|least| too_low(&assessment, least));
    Ok(if worse || low { End::No } else { End::Done })
}

/// What the operator should know before her test identities are used: the target says where to sign in.
fn unbounded(command: &Assess) -> Option<&'static str> {
    let (who, url) = (&command.identities, command.url.as_ref()?);
    let secrets = who.user.is_some() || who.second_user.is_some() || who.client_id.is_some();
    let given = secrets || who.login || who.oauth_client_secret_env.is_some();
    let here = url.host().is_some_and(|host| match host {
        url::Host::Domain(name) => name == "localhost",
        url::Host::Ipv4(address) => address.is_loopback(),
        url::Host::Ipv6(address) => address.is_loopback(),
    });
    (given && who.issuer.is_none() && !here).then_some(
        "Passwords and client secrets go to the authorization server that the target names. Say which one is yours \
         with --issuer, and they go to no other.",
    )
}

fn target(command: &Assess) -> Result<Target> {
    if let Some(url) = &command.url {
        return Ok(Target::Http(url.clone()));
    }
    if command.stdio {
        let (program, arguments) = command.command.split_first().context("--stdio needs a command after --")?;
        let spec = StdioSpec::from_configuration(program, arguments.to_vec(), Default::default(), None);
        return Ok(Target::Stdio(spec));
    }
    let answers = command.answers.as_ref().context("give a URL, --stdio, --config or --answers")?;
    Ok(Target::Answers(answers.display().to_string()))
}

/// While the score is open, the least that it can be is what an admission may rely on.
fn too_low(assessment: &Assessment, least: u8) -> bool {
    let score = assessment.total.unwrap_or(assessment.total_range[0]);
    if score < least {
        let open = if assessment.total.is_none() { ", as far as it could be seen" } else { "" };
        anstream::eprintln!("The evidence score is {score}{open}; --min-score asks for {least}.");
    }
    score < least
}

/// Reads a result of `sallyport assess --json`.
///
/// # Errors
/// [`ConfigError`], naming the file.
pub fn read_result(path: &Path) -> Result<Assessment> {
    let text = std::fs::read_to_string(path).map_err(|error| fault(path, &error.to_string()))?;
    serde_json::from_str(&text)
        .map_err(|error| fault(path, &format!("it is no result of `sallyport assess --json`: {error}")).into())
}

/// A file of the operator that cannot be used.
fn fault(path: &Path, what: &str) -> ConfigError {
    ConfigError::in_file(path, what)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        assess: Assess,
    }

    #[tokio::test]
    async fn a_target_that_gives_no_answer_is_no_result() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("result.json").display().to_string();
        let line = ["assess", "http://127.0.0.1:9/mcp", "--json", "--min-score", "1", "--output", &output];
        let ended = run(Line::try_parse_from(line).unwrap().assess).await;
        let Err(error) = ended else { panic!("it is done") };
        assert!(!error.is::<ConfigError>() && error.to_string().contains("gave no answer"), "{error}");
        assert_eq!(read_result(Path::new(&output)).unwrap().total_range, [0, 20], "the report is there all the same");
    }
}
