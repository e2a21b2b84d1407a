//! `sallyport completions`, `sallyport manual`

use std::io;

use clap::CommandFactory;

use crate::{End, cli::Cli};

/// Prints completions for a shell.
pub fn completions(shell: clap_complete::Shell) -> anyhow::Result<End> {
    clap_complete::generate(shell, &mut Cli::command(), "sallyport", &mut io::stdout());
    Ok(End::Done)
}

/// Prints the manual page in roff.
pub fn page() -> anyhow::Result<End> {
    clap_mangen::Man::new(Cli::command()).render(&mut io::stdout())?;
    Ok(End::Done)
}
