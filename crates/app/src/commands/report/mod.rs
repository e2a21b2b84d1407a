//! `sallyport report`: a result in another form, two results compared, or the vendor's own answer sheet.

mod answers;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use sallyport_model::assessment::Assessment;
use sallyport_report::{diff, sheet};

use crate::{
    End,
    cli::Configured,
    commands::{
        assess::{
            arguments::Format,
            brand,
            output::{print, render, style},
            read_result,
        },
        config::load,
    },
    config::ConfigError,
};

/// Make a report from a result of `sallyport assess --json`, or write this deployment's answers.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("source").required(true).args(["result", "answers"]))]
pub struct Report {
    /// A result of `sallyport assess --json`.
    pub result: Option<PathBuf>,
    /// An older result to compare it with; the answer is no if something got worse.
    #[arg(long, value_name = "FILE.json", requires = "result")]
    pub baseline: Option<PathBuf>,
    /// Write this deployment's own answers to the ten questions, from its configuration and from what was measured.
    #[arg(long)]
    pub answers: bool,
    /// The configuration that the answers are about.
    #[command(flatten)]
    pub configured: Configured,
    /// Results of `sallyport assess --json` against this deployment: what they observed stands in the answers.
    #[arg(long, value_name = "FILE.json", requires = "answers")]
    pub measured: Option<PathBuf>,
    /// Who answers.
    #[arg(long, value_name = "NAME", default_value = "The operator of this deployment")]
    pub vendor: String,
    /// For which product.
    #[arg(long, value_name = "NAME", default_value = "MCP server")]
    pub product: String,
    /// Where a customer asks back at any hour.
    #[arg(long, value_name = "MAIL OR URL")]
    pub contact: Option<String>,
    /// The form of the answers.
    #[arg(long, value_enum, default_value_t = SheetFormat::Markdown)]
    pub sheet: SheetFormat,
    /// The form of a report.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Names, colours and logos.
    #[arg(long, value_name = "FILE.toml")]
    pub brand: Option<PathBuf>,
    /// Where to; without it, standard output.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Show every check.
    #[arg(long)]
    pub details: bool,
}

/// The form of an answer sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SheetFormat {
    /// To paste into a questionnaire.
    Markdown,
    /// A page.
    Html,
    /// For machines.
    Json,
}

/// Runs it.
pub async fn run(command: Report) -> Result<End> {
    let brand = brand::read(command.brand.as_deref())?;
    let style = style(command.details, command.output.is_some());
    if command.answers {
        let config = load(&command.configured)?;
        let measured = command.measured.as_deref().map(read_result).transpose()?;
        let sheet = answers::sheet(&config, &command, measured.as_ref());
        let out = match command.sheet {
            SheetFormat::Markdown => sheet::markdown(&sheet),
            SheetFormat::Html => sheet::html(&sheet, &brand),
            SheetFormat::Json => format!("{}\n", serde_json::to_string_pretty(&sheet)?),
        };
        print(command.output.as_deref(), out.as_bytes())?;
        return Ok(End::Done);
    }
    let result = read_result(command.result.as_deref().context("give a result of `sallyport assess --json`")?)?;
    let Some(baseline) = command.baseline.as_deref() else {
        print(command.output.as_deref(), &render(&result, command.format, &brand, style)?)?;
        return Ok(End::Done);
    };
    compare(&command, &read_result(baseline)?, &result, style)
}

fn compare(command: &Report, old: &Assessment, new: &Assessment, style: sallyport_report::text::Style) -> Result<End> {
    let diff = diff::compare(old, new);
    let out = match command.format {
        Format::Text => diff::render(&diff, style),
        Format::Json => format!("{}\n", serde_json::to_string(&diff)?),
        _ => return Err(ConfigError::option("--format", "a comparison is text or json").into()),
    };
    print(command.output.as_deref().map(Path::new), out.as_bytes())?;
    Ok(if diff.worse { End::No } else { End::Done })
}
