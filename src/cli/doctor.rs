//! `streamgauge doctor`: whether broker and machine are fit for a benchmark, and what to do where
//! they are not.

mod trial;

use std::process::ExitCode;

use clap::Args;
use streamgauge_actors::{Broker, Clock, Nanos, PortError, Retry, StampedBy};

use self::trial::Trial;
use super::broker::BrokerFlags;
use super::error::{CliError, CliResult};
use super::exit::UNREACHABLE;
use super::flags::{EventsTopicFlag, ResultsTopicFlag};
use super::output::{self, OutputArgs};
use super::session::Session;
use crate::broker::topics::MadeFor;
use crate::broker::{Remark, Weight};
use crate::config::{ResolvedSettings, Settings};
use crate::report::numbers::wrap;
use crate::report::terminal::WIDTH;

/// Check broker and machine
#[derive(Args)]
pub(super) struct DoctorArgs {
    /// Preset or TOML file [default: classic]
    workload: Option<String>,
    #[command(flatten)]
    broker: BrokerFlags,
    #[command(flatten)]
    events: EventsTopicFlag,
    #[command(flatten)]
    results: ResultsTopicFlag,
    #[command(flatten)]
    output: OutputArgs,
}

/// Files that a run may have open: sockets to every broker, and reports.
const OPEN_FILES: u64 = 1024;

/// Memory that a run may need besides what the settings bound.
const MEMORY_BYTES: u64 = 300 << 20;

/// The findings for people: no line is longer than a terminal is wide.
fn lines(findings: &[Remark]) -> Vec<String> {
    let indent = " ".repeat("warn  ".len());
    let of = |finding: &Remark| {
        let health = match finding.weight {
            Weight::Ok => "ok  ",
            Weight::Warn => "warn",
            Weight::Fail => "FAIL",
        };
        let mut lines =
            wrap(&format!("{}: {}", finding.check, finding.found), WIDTH - indent.len(), "");
        let fix = finding
            .fix
            .iter()
            .flat_map(|fix| wrap(&format!("fix: {fix}"), WIDTH - indent.len(), ""));
        lines.extend(fix);
        let first = std::iter::once(format!("{health}  "));
        first
            .chain(std::iter::repeat(indent.clone()))
            .zip(lines)
            .map(|(margin, line)| margin + &line)
            .collect::<Vec<_>>()
    };
    findings.iter().flat_map(of).collect()
}

pub(super) fn run(session: &Session, args: &DoctorArgs) -> CliResult {
    let flags =
        [args.broker.settings(), args.events.assignments(), args.results.assignments()].concat();
    let resolved = session.settings(args.workload.as_deref(), flags)?;
    let (mut findings, reachable) = check_broker(session, &resolved)?;
    findings.push(check_clock(session.clock.as_ref()));
    findings.push(check_cores(&resolved.settings));
    findings.extend(machine::check());
    output::list_with(&findings, args.output.output, || lines(&findings))?;
    Ok(if !reachable {
        ExitCode::from(UNREACHABLE)
    } else if findings.iter().any(|finding| finding.weight == Weight::Fail) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// What is to be said of the broker, and whether it answers.
fn check_broker(
    session: &Session,
    resolved: &ResolvedSettings,
) -> Result<(Vec<Remark>, bool), CliError> {
    let settings = &resolved.settings;
    let profile = settings.broker.kind.profile();
    let broker = resolved.open_broker(session.clock.clone())?;
    let description = match broker.describe() {
        Ok(description) => description,
        Err(error) if error.retry == Retry::GiveUp => {
            let fix = "use another broker, or mend what it says: no run is possible on this one";
            return Ok((vec![Remark::bad("broker", Weight::Fail, error.message, fix)], true));
        }
        Err(error) => {
            let fix = profile.unreachable_fix;
            return Ok((vec![Remark::bad("broker", Weight::Fail, error.message, fix)], false));
        }
    };
    let found =
        format!("{} {}, results {}", description.kind, description.version, description.guarantee);
    let mut findings = vec![Remark::ok("broker", found)];
    findings.extend(resolved.examine_broker()?);
    for limitation in &description.limitations {
        findings.push(Remark::limit("limitation", limitation.to_string()));
    }
    match check_topics(broker.as_ref(), settings, description.log_append_time) {
        Ok(topics) => findings.extend(topics),
        Err(error) => {
            let fix = match error.retry {
                Retry::GiveUp => profile.refused_fix,
                _ => "wait until the whole cluster is up, or look at the broker's own log",
            };
            findings.push(Remark::bad("topics", Weight::Fail, error.message, fix));
        }
    }
    let trial_id = session.new_run_id();
    let made_for = MadeFor { run_id: trial_id.clone(), keep: false };
    let guarded = settings.guard(broker, session.state_folder(), Some(made_for));
    let trial = Trial {
        broker: guarded.as_ref(),
        clock: session.clock.as_ref(),
        description: &description,
        rereads: !profile.is_in_process(),
        topic: settings.own_topic(&["doctor", &trial_id]),
        replication: settings.topics.replication,
        topics_are_named: !settings.topics.events.is_empty() && !settings.topics.results.is_empty(),
    };
    findings.extend(trial.run());
    Ok((findings, true))
}

fn check_topics(
    broker: &dyn Broker,
    settings: &Settings,
    log_stamps: bool,
) -> Result<Vec<Remark>, PortError> {
    let topics = &settings.topics;
    let mut findings = Vec::new();
    if topics.events.is_empty() && topics.results.is_empty() {
        findings.push(Remark::ok(
            "topics",
            format!("made for each run as {}", settings.own_topic(&["<run id>", "*"])),
        ));
        return Ok(findings);
    }
    let mut admin = broker.admin()?;
    for (check, name) in [("events topic", &topics.events), ("results topic", &topics.results)] {
        if name.is_empty() {
            continue;
        }
        findings.push(match admin.describe(name)? {
            None => {
                let fix = "create it: `streamgauge topics create`, or leave the name out";
                Remark::bad(check, Weight::Fail, format!("`{name}` does not exist"), fix)
            }
            Some(found)
                if check == "results topic"
                    && log_stamps
                    && found.stamped_by == StampedBy::Client =>
            {
                let fix = "set its `message.timestamp.type` to LogAppendTime";
                Remark::bad(check, Weight::Fail, format!("`{name}` is stamped by the client"), fix)
            }
            Some(found) => {
                let shape = format!(
                    "`{name}`: {} partition(s), {} replica(s)",
                    found.partitions.len(),
                    found.replication
                );
                Remark::ok(check, shape)
            }
        });
    }
    Ok(findings)
}

/// The smallest step that the clock shows.
fn check_clock(clock: &dyn Clock) -> Remark {
    const READINGS: usize = 10_000;
    let mut step: Nanos = Nanos::MAX;
    let mut last = clock.now();
    for _ in 0..READINGS {
        let now = clock.now();
        if now > last {
            step = step.min(now - last);
            last = now;
        }
    }
    if step <= 10_000 {
        Remark::ok("clock", format!("steps of {step} ns"))
    } else {
        let found = format!("steps of {} us", step / 1000);
        Remark::bad(
            "clock",
            Weight::Warn,
            found,
            "choose the kernel's `tsc` clock source: latencies are coarse",
        )
    }
}

/// Whether every stage of the workload that is always busy finds a core.
fn check_cores(settings: &Settings) -> Remark {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let found = format!("{cores} core(s) for {} producer(s)", settings.workload.producers);
    if cores >= 2 {
        Remark::ok("cores", found)
    } else {
        Remark::bad(
            "cores",
            Weight::Warn,
            found,
            "give it 2 cores or more, or lower `workload.rate`",
        )
    }
}

#[cfg(target_os = "linux")]
mod machine {
    use procfs::process::{LimitValue, Process};
    use procfs::{Current, Meminfo};

    use super::{MEMORY_BYTES, OPEN_FILES, Remark, Weight};

    /// The limits that the system sets.
    pub(super) fn check() -> Vec<Remark> {
        let limits = Process::myself().and_then(|process| process.limits()).ok();
        let files = limits.map(|limits| limits.max_open_files.soft_limit);
        let files = match files {
            Some(LimitValue::Value(files)) if files < OPEN_FILES => {
                let fix =
                    format!("raise it: `ulimit -n {OPEN_FILES}`, or LimitNOFILE= in the unit");
                Remark::bad("open files", Weight::Warn, format!("at most {files}"), fix)
            }
            Some(LimitValue::Value(files)) => Remark::ok("open files", format!("at most {files}")),
            Some(LimitValue::Unlimited) => Remark::ok("open files", "unlimited"),
            None => Remark::bad("open files", Weight::Warn, "unknown", "mount /proc"),
        };
        let available = Meminfo::current().ok().and_then(|memory| memory.mem_available);
        let memory = match available {
            Some(bytes) if bytes < MEMORY_BYTES => {
                let fix =
                    "free some, or lower `max_bytes` or `queue_bytes` of the broker's section";
                Remark::bad("memory", Weight::Warn, mebibytes(bytes), fix)
            }
            Some(bytes) => Remark::ok("memory", mebibytes(bytes)),
            None => Remark::bad("memory", Weight::Warn, "unknown", "mount /proc"),
        };
        vec![files, memory]
    }

    fn mebibytes(bytes: u64) -> String {
        format!("{} MiB available", bytes >> 20)
    }
}

#[cfg(not(target_os = "linux"))]
mod machine {
    use super::Remark;

    /// Nothing is known of the limits here.
    pub(super) fn check() -> Vec<Remark> {
        Vec::new()
    }
}
