//! `streamgauge config`: checks, shows and describes the settings.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::error::{CliError, CliResult};
use super::flags::RunFlags;
use super::output::{self, OutputArgs, OutputFormat};
use super::say::say;
use super::session::Session;
use crate::config::SCHEMA;

/// Check, show or describe the settings
#[derive(Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check all layers of the settings; exit code 78 if anything is wrong
    Check {
        /// Preset or TOML file
        workload: Option<String>,
        #[command(flatten)]
        flags: Box<RunFlags>,
    },
    /// Show every setting and where it was set; secrets are not shown
    Show {
        /// Preset or TOML file
        workload: Option<String>,
        #[command(flatten)]
        flags: Box<RunFlags>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Print the JSON Schema of a configuration file
    Schema,
}

pub(super) fn run(session: &Session, args: &ConfigArgs) -> CliResult {
    match &args.command {
        Command::Check { workload, flags } => {
            let resolved = session.resolve(&flags.layers(session, workload.as_deref()))?;
            resolved.open_broker(session.clock.clone())?;
            resolved.settings.run_spec(&session.new_run_id())?;
            say!("the configuration is in order");
        }
        Command::Show { workload, flags, output } => {
            let resolved = session.resolve(&flags.layers(session, workload.as_deref()))?;
            output::text(&match output.output {
                OutputFormat::Table => resolved.to_toml(),
                OutputFormat::Json => {
                    serde_json::to_string_pretty(&resolved.settings.to_json()).map(line)?
                }
                OutputFormat::Ndjson => {
                    serde_json::to_string(&resolved.settings.to_json()).map(line)?
                }
            })?;
        }
        Command::Schema => output::text(SCHEMA)?,
    }
    Ok::<_, CliError>(ExitCode::SUCCESS)
}

fn line(text: String) -> String {
    text + "\n"
}
