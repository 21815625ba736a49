//! The command line: one file per command. Data goes to standard output, all else to standard
//! error.
//!
//! - [`flags`]: what several commands take, and the settings that flags stand for
//! - [`error`]: what can go wrong; [`exit`]: what the program ends with
//! - [`session`]: settings resolved, logging on ([`logging`]); [`broker`]: the broker they name
//! - [`perform`]: a run in the foreground, its progress and its reports
//! - [`stored`]: reports made earlier, by id or file

mod aggregate;
mod broker;
mod compare;
mod completions;
mod config;
mod ctl;
mod doctor;
mod error;
mod exit;
mod flags;
mod follow;
mod generate;
mod history;
mod latency;
mod logging;
mod man;
mod matrix;
mod output;
mod perform;
mod produce;
mod progress;
mod report;
mod run;
mod say;
mod serve;
mod session;
mod stored;
mod topics;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory as _, Parser, Subcommand};
use streamgauge_actors::RunClock;

use self::session::{Global, Session};

const SETTINGS_HELP: &str = "\
Settings: defaults < /etc/streamgauge/config.toml < --config < WORKLOAD < environment
(STREAMGAUGE__SECTION__KEY=value) < flags. `streamgauge config show` lists them all.
";

fn after_help() -> String {
    format!("{SETTINGS_HELP}\n{}", exit::help())
}

/// Measures streaming systems: drives an advertising-analytics stream through a broker, checks
/// every count, reports honest latency.
#[derive(Parser)]
#[command(
    name = "streamgauge",
    version,
    max_term_width = 80,
    after_help = after_help(),
    arg_required_else_help = true
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::RunArgs),
    Serve(serve::ServeArgs),
    Ctl(ctl::CtlArgs),
    Generate(generate::GenerateArgs),
    Produce(produce::ProduceArgs),
    Aggregate(aggregate::AggregateArgs),
    Latency(latency::LatencyArgs),
    History(history::HistoryArgs),
    Report(report::ReportArgs),
    Compare(compare::CompareArgs),
    Matrix(matrix::MatrixArgs),
    Topics(topics::TopicsArgs),
    Config(config::ConfigArgs),
    Doctor(doctor::DoctorArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Runs the program.
pub fn main() -> ExitCode {
    // First of all, so that times count from the start of the process.
    let clock = Arc::new(RunClock::start());
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    let session = Session::new(cli.global, clock);
    let result = match cli.command {
        Command::Run(args) => run::run(&session, &args),
        Command::Serve(args) => serve::run(&session, &args),
        Command::Ctl(args) => ctl::run(&session, &args),
        Command::Generate(args) => generate::run(&session, &args),
        Command::Produce(args) => produce::run(&session, &args),
        Command::Aggregate(args) => aggregate::run(&session, &args),
        Command::Latency(args) => latency::run(&session, &args),
        Command::History(args) => history::run(&session, &args),
        Command::Report(args) => report::run(&session, &args),
        Command::Compare(args) => compare::run(&session, &args),
        Command::Matrix(args) => matrix::run(&session, &args),
        Command::Topics(args) => topics::run(&session, &args),
        Command::Config(args) => config::run(&session, &args),
        Command::Doctor(args) => doctor::run(&session, &args),
        Command::Completions(args) => completions::run(&args, Cli::command()),
        Command::Man(args) => man::run(&args, Cli::command()),
    };
    result.unwrap_or_else(|error| error.report())
}
