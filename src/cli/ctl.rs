//! `streamgauge ctl`: orders to a running daemon, and what it answers. Only translates: the daemon
//! decides.

mod answer;
mod client;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value as Json, json};
use streamgauge_actors::Rate;

use self::answer::text;
use self::client::Client;
use super::error::{CliError, CliResult};
use super::output::{self, OutputArgs, OutputFormat};
use super::session::Session;
use crate::config::Assignment;
use crate::report::numbers::{grouped, rate};

/// Give orders to a running daemon
/// Where a daemon listens by default.
const DEFAULT_URL: &str = "http://127.0.0.1:9464";

#[derive(Args)]
pub(super) struct CtlArgs {
    /// The daemon's address
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "STREAMGAUGE_URL",
        default_value = DEFAULT_URL,
        help_heading = "Daemon"
    )]
    url: String,
    /// File that holds the daemon's token
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "STREAMGAUGE_TOKEN_FILE",
        help_heading = "Daemon"
    )]
    token_file: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// How the present run is, and the daemon
    Status {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Start a run
    Start {
        /// Preset, or workload of the daemon's schedule [default: the schedule's first]
        workload: Option<String>,
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Stop the present run
    Stop {
        /// The run [default: the present one]
        run_id: Option<String>,
        /// Whether what was sent is still aggregated and audited
        #[arg(long, value_enum, value_name = "MODE", default_value = "drain")]
        mode: ModeFlag,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Stop the present run, and start it again (or another workload)
    Restart {
        /// Preset, or workload of the daemon's schedule [default: the same as before]
        workload: Option<String>,
        /// The run to restart [default: the present one, or the last one]
        #[arg(long, value_name = "RUN")]
        run_id: Option<String>,
        /// Whether what was sent is still aggregated and audited
        #[arg(long, value_enum, value_name = "MODE", default_value = "drain")]
        mode: ModeFlag,
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Change the present run's rate
    SetRate {
        /// Events per second over all producers, as 50k/s
        rate: String,
        /// The run [default: the present one]
        #[arg(long, value_name = "RUN")]
        run_id: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Follow a run: a line a second, until it is over; its verdict is the exit code
    Watch {
        /// The run [default: the present one, or the last one]
        run_id: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// Settings over the daemon's own.
#[derive(Args)]
struct Change {
    /// Events per second over all producers, as 50k/s
    #[arg(long, value_name = "RATE", help_heading = "Workload")]
    rate: Option<String>,
    /// Length of the measured part, as 60s
    #[arg(long, value_name = "TIME", help_heading = "Workload")]
    duration: Option<String>,
}

/// The actors' `StopMode` as a flag, with its help.
#[derive(Clone, Copy, ValueEnum)]
enum ModeFlag {
    /// Producers stop; everything sent is still aggregated, audited and reported
    Drain,
    /// Everything stops at once
    Abandon,
}

impl ModeFlag {
    fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Abandon => "abandon",
        }
    }
}

impl Change {
    /// The body's `set`: flags of their own names over `--set`.
    fn set(&self, assignments: &[Assignment]) -> BTreeMap<String, String> {
        let mut set: BTreeMap<String, String> =
            assignments.iter().map(|given| (given.key.clone(), given.value.clone())).collect();
        for (key, value) in [("workload.rate", &self.rate), ("workload.duration", &self.duration)] {
            set.extend(value.as_ref().map(|value| (key.to_owned(), value.clone())));
        }
        set
    }
}

pub(super) fn run(session: &Session, args: &CtlArgs) -> CliResult {
    // An empty variable is none.
    let url = Some(args.url.as_str()).filter(|url| !url.is_empty()).unwrap_or(DEFAULT_URL);
    let token_file = args.token_file.as_deref().filter(|path| !path.as_os_str().is_empty());
    let client = Client::new(url, token_file)?;
    let set = session.set();
    match &args.command {
        Command::Status { output } => {
            let status = client.get("/api/v1/status")?;
            print(output, &status, || status_lines(&status))?;
        }
        Command::Start { workload, change, output } => {
            let body = json!({"workload": workload, "set": change.set(set)});
            let answer = client.post("/api/v1/runs", &body)?;
            print(output, &answer, || format!("started {}\n", text(&answer["run_id"])))?;
        }
        Command::Stop { run_id, mode, output } => {
            let run_id = client.run_id(run_id.as_deref())?;
            let answer = client
                .post(&format!("/api/v1/runs/{run_id}/stop"), &json!({"mode": mode.name()}))?;
            print(output, &answer, || {
                format!(
                    "{} is told to stop ({}); now {}\n",
                    text(&answer["run_id"]),
                    mode.name(),
                    text(&answer["state"])
                )
            })?;
        }
        Command::Restart { workload, run_id, mode, change, output } => {
            let run_id = client.run_id(run_id.as_deref())?;
            let mut body = json!({"mode": mode.name(), "set": change.set(set)});
            if let Some(workload) = workload {
                body["workload"] = json!(workload);
            }
            let answer = client.post(&format!("/api/v1/runs/{run_id}/restart"), &body)?;
            print(output, &answer, || format!("{} follows {run_id}\n", text(&answer["run_id"])))?;
        }
        Command::SetRate { rate: wanted, run_id, output } => {
            let wanted: Rate = wanted.parse().map_err(CliError::Usage)?;
            let run_id = client.run_id(run_id.as_deref())?;
            let answer = client.patch(
                &format!("/api/v1/runs/{run_id}"),
                &json!({"target_rate": wanted.to_string()}),
            )?;
            print(output, &answer, || {
                format!("{run_id} is to send {}\n", rate(answer["target_per_second"].as_f64()))
            })?;
        }
        Command::Watch { run_id, output } => {
            let run_id = client.run_id(run_id.as_deref())?;
            return watch::watch(&client, &run_id, output.output);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// An answer, for people or for programs.
fn print(
    output: &OutputArgs,
    answer: &Json,
    table: impl FnOnce() -> String,
) -> Result<(), CliError> {
    output::text(&match output.output {
        OutputFormat::Table => table(),
        OutputFormat::Json => serde_json::to_string_pretty(answer)? + "\n",
        OutputFormat::Ndjson => serde_json::to_string(answer)? + "\n",
    })
}

fn count(value: &Json) -> String {
    value.as_u64().map_or_else(|| "-".to_owned(), grouped)
}

/// The status in a few lines.
fn status_lines(status: &Json) -> String {
    let daemon = &status["daemon"];
    let mut lines = Vec::new();
    match status["run_id"].as_str() {
        None => lines.push("no run yet".to_owned()),
        Some(run_id) => {
            let verdict = status["verdict"]
                .as_str()
                .map_or_else(String::new, |verdict| format!(", {verdict}"));
            let (workload, broker) = (text(&status["workload"]), text(&status["broker"]));
            lines.push(format!(
                "{run_id}  {workload} on {broker}: {}{verdict}",
                text(&status["state"])
            ));
            if let Some(reason) = status["reasons"].get(0).and_then(Json::as_str) {
                lines.push(format!("  {reason}"));
            }
            let events = &status["events"];
            lines.push(format!(
                "  {:.1} of {:.1} s, target {}",
                status["elapsed_s"].as_f64().unwrap_or(0.0),
                status["planned_s"].as_f64().unwrap_or(0.0),
                rate(status["target_per_second"].as_f64()),
            ));
            lines.push(format!(
                "  {} produced, {} acknowledged, {} consumed, lag {}",
                count(&events["produced"]),
                count(&events["acknowledged"]),
                count(&events["consumed"]),
                count(&status["lag"]),
            ));
            let windows = &status["windows"];
            lines.push(format!(
                "  {} windows checked, {} wrong",
                count(&windows["judged"]),
                count(&windows["incorrect"])
            ));
        }
    }
    let broker = match daemon["broker_up"].as_bool() {
        Some(true) => "the broker answers".to_owned(),
        Some(false) => format!("the broker does not answer: {}", text(&daemon["broker_error"])),
        None => "the broker has not been asked yet".to_owned(),
    };
    lines.push(format!("daemon {}, {broker}", text(&daemon["version"])));
    let schedule = &daemon["schedule"];
    if let Some(queued) = daemon["next_run_id"].as_str() {
        lines.push(format!("{queued} waits for the present run's end"));
    }
    if let Some(next) = schedule["next_workload"].as_str() {
        lines.push(format!(
            "next: {next}, {} ({})",
            text(&schedule["next_start_at"]),
            text(&schedule["mode"])
        ));
    }
    lines.join("\n") + "\n"
}
