//! `streamgauge man`: the manual pages.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Command};

use super::error::{CliError, CliResult};

/// Print the manual page, or write one per command
#[derive(Args)]
pub(super) struct ManArgs {
    /// Write a page for every command into this folder, as streamgauge-run.1
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn run(args: &ManArgs, command: Command) -> CliResult {
    let Some(folder) = &args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        std::io::stdout().lock().write_all(&page)?;
        return Ok(ExitCode::SUCCESS);
    };
    let named = |error: std::io::Error| {
        CliError::Usage(format!("cannot write the pages to `{}`: {error}", folder.display()))
    };
    fs::create_dir_all(folder).map_err(named)?;
    clap_mangen::generate_to(command, folder).map_err(named)?;
    Ok(ExitCode::SUCCESS)
}
