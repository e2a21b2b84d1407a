//! Every server of a client's configuration file, one by one and together.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Result;
use sallyport_assess::{
    Access, Bench, Target, assess,
    fleet::{self, Combination, Connection, Entry, Labels},
};
use sallyport_model::{Secret, SystemClock, SystemRng, assessment::Assessment};
use sallyport_outbound::stdio::StdioSpec;
use sallyport_report::{
    safe,
    text::Style,
    words::{points, rating},
};
use serde::Serialize;

use super::{
    Assess, Format, fault,
    output::{print, style},
};
use crate::{End, config::ConfigError};

/// One server and what came out.
#[derive(Serialize)]
struct Member {
    name: String,
    file: String,
    /// Whether its tools could be listed; what cannot be seen is missing from the combination.
    catalogue_seen: bool,
    assessment: Assessment,
}

#[derive(Serialize)]
struct Fleet {
    servers: Vec<Member>,
    combination: Combination,
}

/// Runs it; the answer is no when the combination is complete, or a server is below `--min-score`.
pub async fn run(command: &Assess) -> Result<End> {
    let format = if command.json { Format::Json } else { command.format };
    if !matches!(format, Format::Text | Format::Json) {
        return Err(ConfigError::option("--format", "with --config it is text or json").into());
    }
    if let Some(option) = for_one_server(command) {
        let what = "with --config it would go to every server in the file: assess that server by its URL";
        return Err(ConfigError::option(option, what).into());
    }
    let mut fleet = Vec::new();
    let mut tools = Vec::new();
    for path in &command.config {
        let text = std::fs::read_to_string(path).map_err(|error| fault(path, &error.to_string()))?;
        let entries = fleet::read(&text).map_err(|error| fault(path, &error.to_string()))?;
        for entry in entries.into_iter().filter(|entry| entry.enabled) {
            let (member, labelled) = one(command, &path.display().to_string(), entry).await?;
            tools.extend(labelled);
            fleet.push(member);
        }
    }
    let fleet = Fleet { servers: fleet, combination: fleet::combine(&tools) };
    let out = match format {
        Format::Json => format!("{}\n", serde_json::to_string(&fleet)?),
        _ => text(&fleet, style(command.details, command.output.is_some())),
    };
    print(command.output.as_deref(), out.as_bytes())?;
    let lowest = fleet.servers.iter().map(|m| m.assessment.total.unwrap_or(m.assessment.total_range[0])).min();
    let low = command.min_score.zip(lowest).is_some_and(|(least, lowest)| lowest < least);
    Ok(if fleet.combination.complete || low { End::No } else { End::Done })
}

/// The first option that is about one server: an identity of it, a tool there, hooks into what is around it, or
/// its vendor's answers. None of them may reach the others.
fn for_one_server(command: &Assess) -> Option<&'static str> {
    let (who, may) = (&command.identities, &command.tools);
    [
        ("--user", who.user.is_some()),
        ("--second-user", who.second_user.is_some()),
        ("--login", who.login),
        ("--token-env", who.token_env.is_some()),
        ("--token", who.token.is_some()),
        ("--second-token-env", who.second_token_env.is_some()),
        ("--foreign-token-env", who.foreign_token_env.is_some()),
        ("--foreign-resource", who.foreign_resource.is_some()),
        ("--issuer", who.issuer.is_some()),
        ("--client-id", who.client_id.is_some()),
        ("--oauth-client-id", who.oauth_client_id.is_some()),
        ("--canary", may.canary.is_some()),
        ("--acting-tool", may.acting_tool.is_some()),
        ("--read-tool", may.read_tool.is_some()),
        ("--hooks", command.hooks.is_some()),
        ("--evidence", command.evidence.is_some()),
        ("--answers", command.answers.is_some()),
    ]
    .into_iter()
    .find_map(|(option, given)| given.then_some(option))
}

/// Identities are of one server and not of all: here none is used but what the file itself gives the client.
async fn one(command: &Assess, file: &str, entry: Entry) -> Result<(Member, Vec<(String, String, Labels)>)> {
    let mut access = Access { timeout: command.timeout.map(Duration::from_secs), ..Access::default() };
    let target = match entry.connection {
        Connection::Http { url, headers } => {
            access.token = bearer(&headers);
            Target::Http(url)
        }
        Connection::Stdio { command, arguments, environment } => {
            let environment = environment.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
            Target::Stdio(StdioSpec::from_configuration(command, arguments, environment, None))
        }
    };
    let bench = Bench::new(target, access, Arc::new(SystemClock), Arc::new(SystemRng))?;
    let assessment = assess(&bench).await;
    let catalogue = bench.seen.catalogue.get();
    let labelled = catalogue
        .into_iter()
        .flatten()
        .map(|definition| (entry.name.clone(), definition.key.clone(), fleet::label(definition)));
    let labelled = labelled.collect();
    let catalogue_seen = catalogue.is_some();
    Ok((Member { name: entry.name, file: file.to_owned(), catalogue_seen, assessment }, labelled))
}

fn bearer(headers: &BTreeMap<String, String>) -> Option<Secret> {
    let (_, value) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"))?;
    let token = value.strip_prefix("Bearer ")?;
    Some(Secret::new(token.to_owned()))
}

fn text(fleet: &Fleet, style: Style) -> String {
    let mut out = String::new();
    for member in &fleet.servers {
        let rating = rating(&member.assessment);
        let name = safe::line(&member.name, 40);
        let seen = if member.catalogue_seen { "" } else { "  (its tools could not be listed)" };
        out += &format!("{name:<24} {:>7} / 20  {}{seen}\n", rating.points, rating.title);
        for question in &member.assessment.questions {
            if style.details {
                out += &format!(
                    "    {:>2}. {:<44} {}\n",
                    question.number,
                    question.title,
                    points(question.score, question.range)
                );
            }
        }
    }
    out += "\nTogether\n";
    let combination = &fleet.combination;
    for (what, parts) in [
        ("text of strangers comes in by", &combination.untrusted),
        ("what is not public is read by", &combination.sensitive),
        ("something can go out by", &combination.ways_out),
    ] {
        let shown: Vec<String> =
            parts.iter().take(6).map(|p| safe::line(&format!("{}/{}", p.server, p.tool), 60)).collect();
        let more = parts.len().saturating_sub(6);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let list = if shown.is_empty() { "nothing".to_owned() } else { shown.join(", ") };
        out += &format!("  {what}: {list}{more}\n");
    }
    out += &match (combination.complete, combination.cut.len()) {
        (false, _) => {
            "  One of the three is missing: a stranger's text finds no way to carry a secret out.\n".to_owned()
        }
        (true, _) => {
            let cut: Vec<String> = combination.cut.iter().map(|name| safe::line(name, 40)).collect();
            format!("  A stranger's text can reach what is secret and a way out. Cut: {}\n", cut.join(", "))
        }
    };
    out
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

    fn refused(options: &[&str]) -> Option<&'static str> {
        let line = ["assess", "--config", "mcp.json"].iter().chain(options);
        for_one_server(&Line::try_parse_from(line).unwrap().assess)
    }

    #[test]
    fn what_is_for_one_server_reaches_no_fleet() {
        for options in [
            &["--user", "ann", "--password-env", "P"][..],
            &["--token", "t"],
            &["--second-token-env", "T"],
            &["--foreign-token-env", "T"],
            &["--client-id", "a", "--client-secret-env", "S"],
            &["--oauth-client-id", "a"],
            &["--login"],
            &["--acting-tool", "pay"],
            &["--hooks", "hooks.toml"],
        ] {
            assert_eq!(refused(options), Some(options[0]));
        }
        assert_eq!(refused(&["--min-score", "3", "--json", "--timeout", "9"]), None);
    }
}
