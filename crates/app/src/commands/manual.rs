//! `sallyport completions`, `sallyport manual`

use std::io::{self, Write as _};

use clap::CommandFactory;

use crate::{End, cli::Cli};

/// Prints completions for a shell.
pub fn completions(shell: clap_complete::Shell) -> anyhow::Result<End> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sallyport", &mut text);
    io::stdout().write_all(&text)?;
    Ok(End::Done)
}

/// Prints the manual page in roff.
pub fn page() -> anyhow::Result<End> {
    clap_mangen::Man::new(Cli::command()).render(&mut io::stdout())?;
    Ok(End::Done)
}
