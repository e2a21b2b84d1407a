//! From the command line to what the assessor may use.

use std::{path::Path, time::Duration};

use anyhow::Result;
use sallyport_assess::{
    Access,
    access::{AgentCredential, Canary, NamedTool, OauthClient, TestUser},
    answers::{Sheet, Statement, Suppressions},
    hooks::Hooks,
};
use sallyport_mcp::Object;
use sallyport_model::{Clock as _, Secret, SystemClock};

use super::{Assess, fault};
use crate::config::ConfigError;

/// Reads every file and variable that the command line names.
///
/// # Errors
/// [`ConfigError`]: which option, and what to change.
pub fn read(command: &Assess) -> Result<Access> {
    let who = &command.identities;
    let may = &command.tools;
    let read = match (&may.read_tool, &may.read_arguments) {
        (Some(tool), arguments) => Some(named(tool, arguments.as_deref(), "--read-arguments")?),
        (None, _) => None,
    };
    let acting = match (&may.acting_tool, &may.acting_arguments) {
        (Some(tool), arguments) => Some(named(tool, arguments.as_deref(), "--acting-arguments")?),
        (None, _) => None,
    };
    Ok(Access {
        user: user(&who.user, &who.password_env, &who.password, "--password-env")?,
        second_user: user(&who.second_user, &who.second_password_env, &who.second_password, "--second-password-env")?,
        browser: who.login.then(browser),
        token: secret(&who.token_env, &who.token, "--token-env")?,
        second_token: secret(&who.second_token_env, &None, "--second-token-env")?,
        foreign_token: secret(&who.foreign_token_env, &None, "--foreign-token-env")?,
        foreign_resource: who.foreign_resource.clone(),
        issuer: who.issuer.clone(),
        agent: agent(command)?,
        oauth_client: oauth_client(command)?,
        canary: may.canary.as_deref().map(canary).transpose()?,
        acting,
        read,
        hooks: command.hooks.as_deref().map(hooks).transpose()?.unwrap_or_default(),
        sheet: command
            .answers
            .as_deref()
            .or(command.evidence.as_deref())
            .map(|path| sheet(command, path))
            .transpose()?,
        timeout: command.timeout.map(Duration::from_secs),
        ..Access::default()
    })
}

fn user(
    name: &Option<String>,
    variable: &Option<String>,
    password: &Option<String>,
    option: &str,
) -> Result<Option<TestUser>> {
    let Some(name) = name else { return Ok(None) };
    let password = secret(variable, password, option)?.ok_or_else(|| {
        ConfigError::option(option, &format!("{name} needs a password: name the variable that holds it"))
    })?;
    Ok(Some(TestUser { name: name.clone(), password }))
}

fn agent(command: &Assess) -> Result<Option<AgentCredential>> {
    let who = &command.identities;
    let Some(client_id) = &who.client_id else { return Ok(None) };
    let client_secret =
        secret(&who.client_secret_env, &who.client_secret, "--client-secret-env")?.ok_or_else(|| {
            ConfigError::option(
                "--client-secret-env",
                &format!("{client_id} needs a secret: name the variable that holds it"),
            )
        })?;
    Ok(Some(AgentCredential { client_id: client_id.clone(), client_secret }))
}

fn oauth_client(command: &Assess) -> Result<Option<OauthClient>> {
    let who = &command.identities;
    let Some(client_id) = &who.oauth_client_id else { return Ok(None) };
    let client_secret = secret(&who.oauth_client_secret_env, &None, "--oauth-client-secret-env")?;
    Ok(Some(OauthClient { client_id: client_id.clone(), client_secret }))
}

fn secret(variable: &Option<String>, value: &Option<String>, option: &str) -> Result<Option<Secret>> {
    let Some(variable) = variable else { return Ok(value.clone().map(Secret::new)) };
    match std::env::var(variable) {
        Ok(value) if !value.is_empty() => Ok(Some(Secret::new(value))),
        _ => Err(ConfigError::option(option, &format!("the variable {variable} is not set")).into()),
    }
}

fn named(tool: &str, arguments: Option<&str>, option: &str) -> Result<NamedTool> {
    let arguments: Object = match arguments {
        Some(text) => serde_json::from_str(text)
            .map_err(|error| ConfigError::option(option, &format!("it is no JSON object: {error}")))?,
        None => Object::new(),
    };
    Ok(NamedTool { tool: tool.to_owned(), arguments })
}

fn canary(text: &str) -> Result<Canary> {
    let wrong = || ConfigError::option("--canary", "write TOOL.ARGUMENT, for example echo.text");
    Ok(Canary::parse(text).ok_or_else(wrong)?)
}

fn sheet(command: &Assess, path: &Path) -> Result<Sheet> {
    let text = std::fs::read_to_string(path).map_err(|error| fault(path, &error.to_string()))?;
    let (file, now) = (path.display().to_string(), SystemClock.now());
    let sheet = if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) {
        let given = &command.statement;
        let statement = Statement {
            document: given.answers_document.clone(),
            owner: given.answers_owner.clone(),
            date: given.answers_date.clone(),
            expires: given.answers_expire.clone(),
        };
        Sheet::import_csv(&text, &file, &statement, now)
    } else {
        Sheet::parse(&text, &file, now)
    };
    sheet.map_err(|error| ConfigError::Given(error.to_string()).into())
}

/// The failures that somebody chose to live with.
///
/// # Errors
/// [`ConfigError`], naming the field.
pub fn suppressions(path: &Path) -> Result<Suppressions> {
    let text = std::fs::read_to_string(path).map_err(|error| fault(path, &error.to_string()))?;
    Suppressions::parse(&text, &path.display().to_string())
        .map_err(|error| ConfigError::Given(error.to_string()).into())
}

fn hooks(path: &Path) -> Result<Hooks> {
    let text = std::fs::read_to_string(path).map_err(|error| fault(path, &error.to_string()))?;
    let variable = |name: &str| std::env::var(name).ok();
    Hooks::parse(&text, &path.display().to_string(), &variable)
        .map_err(|error| ConfigError::Given(error.to_string()).into())
}

/// Shows where to sign in. Opening a browser would be starting a program that a server's metadata chose.
fn browser() -> sallyport_assess::access::Browser {
    std::sync::Arc::new(|url| anstream::eprintln!("Open this page and sign in:\n  {url}\n"))
}
