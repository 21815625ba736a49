//! The history: every run with its key figures and its report, in SQLite, where other tools read it
//! too.
//!
//! `history.db` in the state folder has two tables, `runs` (one row a run, its key figures as
//! columns) and `reports` (the whole report as JSON), and the view `seconds` (one row a second of
//! every report), which pandas, DuckDB and Grafana read as they are.
//!
//! Every write is one transaction, so that a run is there with its report or not at all, whenever
//! the process ends or the disk fills up. Several processes may use the same history at once.
//!
//! - [`schema`]: the tables, and how an older database becomes a present one
//! - [`figures`]: a run's columns, taken from its report
//! - [`pruning`]: what is forgotten, and when

mod figures;
mod pruning;
mod schema;
mod words;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use rusqlite::types::Value;
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior,
    params,
};
use serde::{Serialize, Serializer};
use streamgauge_actors::{Grade, RunState, Verdict};

use self::words::{Word, name};
use crate::report::{Report, rfc3339_of_ms};

/// The database's name in the state folder.
pub const FILE: &str = "history.db";

/// How long another process's write is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What the write-ahead log may keep on disk once its contents are in the database.
const WAL_BYTES: i64 = 4 << 20;

/// Why a run has no report whose process ended before it did.
const NEVER_ENDED: &str = "the daemon ended before the run did";

/// How grave it is that a run has no report.
const NO_REPORT: Grade = Grade::Error;

/// The columns of a [`RunRow`], in its order.
const COLUMNS: &str = "run_id, state, workload, broker, started_at_ms, finished_at_ms, verdict, \
                       reason, exit_code, \
                       produced_per_second, result_latency_p99_ms, rate_changes, \
                       result_latency_intended_p99_ms";

/// Every run, and its report.
#[derive(Debug)]
pub struct History {
    connection: Connection,
    path: PathBuf,
}

/// A run that has ended, as it is filed. A long run's report takes its time to be written: that is
/// done before the history is locked.
#[derive(Clone, Debug)]
pub struct FinishedRun {
    run_id: String,
    figures: Vec<(String, Value)>,
    /// JSON.
    report: String,
}

impl FinishedRun {
    /// The run of a report.
    ///
    /// # Errors
    /// When a time in it is none.
    pub fn of(report: &Report) -> anyhow::Result<Self> {
        let figures = figures::figures(report)?;
        let json = serde_json::to_string(report)?;
        Ok(Self { run_id: report.run_id.clone(), figures, report: json })
    }
}

/// A report as the history holds it.
#[derive(Clone, Debug)]
pub struct StoredReport {
    run_id: String,
    path: PathBuf,
    json: String,
}

impl StoredReport {
    /// The report.
    ///
    /// # Errors
    /// When this program does not understand it.
    pub fn parse(self) -> anyhow::Result<Report> {
        let Self { run_id, path, json } = self;
        Report::from_json(&json).with_context(|| {
            format!("the report of run {run_id} in {} cannot be read", path.display())
        })
    }
}

/// A run that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRun {
    /// Its unique name.
    pub run_id: String,
    /// The preset or file that its workload comes from.
    pub workload: String,
    /// The kind of broker.
    pub broker: String,
    /// When it was started, milliseconds since the Unix epoch.
    pub started_at_ms: i64,
}

/// Which runs are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those in this state; whatever is under way counts as [`RunState::Running`].
    pub status: Option<RunState>,
    /// So many at most; `None`: all.
    pub limit: Option<u32>,
    /// Only those older than this run. None are older than a run that the history does not know: it
    /// forgets the oldest first.
    pub before: Option<String>,
}

/// A run, in few words.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct RunRow {
    /// Its unique name.
    pub run_id: String,
    /// [`RunState::Running`] for every run that has not ended.
    #[schema(value_type = String)]
    pub state: RunState,
    /// The preset or file that its workload came from.
    pub workload: String,
    /// The kind of broker.
    pub broker: String,
    /// When it was started, milliseconds since the Unix epoch.
    #[serde(rename = "started_at", serialize_with = "rfc3339_time")]
    #[schema(value_type = String)]
    pub started_at_ms: i64,
    /// When it ended; `None`: it has not, or nobody saw it.
    #[serde(rename = "finished_at", serialize_with = "rfc3339_time_if_any")]
    #[schema(value_type = Option<String>)]
    pub finished_at_ms: Option<i64>,
    /// The verdict.
    #[schema(value_type = Option<String>)]
    pub verdict: Option<Verdict>,
    /// The gravest reason for it.
    pub reason: Option<String>,
    /// The exit code that goes with it.
    pub exit_code: Option<u8>,
    /// Measured events per second handed to the client.
    pub produced_per_second: Option<f64>,
    /// 99th percentile of the headline latency.
    pub result_latency_p99_ms: Option<f64>,
    /// The same, from the time that the events were intended at.
    pub result_latency_intended_p99_ms: Option<f64>,
    /// How often its rate was changed while it ran: the target is the mean then.
    pub rate_changes: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn rfc3339_time<S: Serializer>(at_ms: &i64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&rfc3339_of_ms(*at_ms))
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn rfc3339_time_if_any<S: Serializer>(at_ms: &Option<i64>, to: S) -> Result<S::Ok, S::Error> {
    at_ms.map(rfc3339_of_ms).serialize(to)
}

impl History {
    /// Opens the history in this folder; makes it where there is none, and brings an older one up
    /// to date.
    ///
    /// # Errors
    /// When the database cannot be opened, is damaged, or was made by a newer program; the message
    /// names the file.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(FILE);
        let open = || {
            fs::create_dir_all(folder)?;
            // SQLite does not wait for another process that makes the same database: this lock
            // does.
            let lock = File::create(folder.join("history.lock"))?;
            lock.lock()?;
            connect(&path)
        };
        let connection = open().map_err(|error| explained(&error, &path))?;
        Ok(Self { connection, path })
    }

    /// Opens the history in this folder, if there is one.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_existing(folder: &Path) -> anyhow::Result<Option<Self>> {
        if folder.join(FILE).exists() { Self::open(folder).map(Some) } else { Ok(None) }
    }

    /// The database's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Notes that a run has begun.
    ///
    /// # Errors
    /// When the database cannot be written, or has a run of this name.
    pub fn begin(&self, run: &NewRun) -> anyhow::Result<()> {
        let NewRun { run_id, workload, broker, started_at_ms } = run;
        self.write(|transaction| {
            transaction.execute(
                "INSERT INTO runs (run_id, state, workload, broker, started_at_ms) VALUES (?1, ?2, \
                 ?3, ?4, ?5)",
                params![run_id, name(RunState::Running), workload, broker, started_at_ms],
            )?;
            Ok(())
        })
    }

    /// Keeps a run that was accepted and never began.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn drop_run(&self, run: &NewRun, reason: &str) -> anyhow::Result<()> {
        let NewRun { run_id, workload, broker, started_at_ms } = run;
        let (state, verdict) = (name(RunState::Stopped), name(Verdict::Aborted));
        self.write(|transaction| {
            transaction.execute(
                "INSERT INTO runs (run_id, state, workload, broker, started_at_ms, verdict, \
                 reason, exit_code)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    run_id,
                    state,
                    workload,
                    broker,
                    started_at_ms,
                    verdict,
                    reason,
                    NO_REPORT.exit_code()
                ],
            )?;
            Ok(())
        })
    }

    /// Keeps a run that has ended, with its report: one that began, or one that nobody announced.
    ///
    /// # Errors
    /// When the database cannot be written; then it is as it was.
    pub fn finish(&self, run: &FinishedRun) -> anyhow::Result<()> {
        let FinishedRun { run_id, figures, report } = run;
        let names: Vec<&str> = figures.iter().map(|(name, _)| name.as_str()).collect();
        let places: Vec<String> = (1..=names.len()).map(|i| format!("?{i}")).collect();
        let updates: Vec<String> =
            names.iter().map(|name| format!("{name} = excluded.{name}")).collect();
        // Not INSERT OR REPLACE, which deletes the old row, and with it the report that refers to
        // it.
        let insert = format!(
            "INSERT INTO runs ({}) VALUES ({}) ON CONFLICT (run_id) DO UPDATE SET {}",
            names.join(", "),
            places.join(", "),
            updates.join(", ")
        );
        let values = rusqlite::params_from_iter(figures.iter().map(|(_, value)| value));
        self.write(|transaction| {
            transaction.execute(&insert, values)?;
            transaction.execute(
                "INSERT INTO reports (run_id, report) VALUES (?1, ?2)
                 ON CONFLICT (run_id) DO UPDATE SET report = excluded.report",
                params![run_id, report],
            )?;
            Ok(())
        })
    }

    /// Declares failed whatever has begun and not ended; gives their number. Only who knows that
    /// none of them goes on may call it: the daemon, when it starts.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn recover(&self) -> anyhow::Result<usize> {
        self.write(|transaction| {
            transaction.execute(
                "UPDATE runs SET state = ?1, verdict = ?2, reason = ?3, exit_code = ?4
                 WHERE state = ?5",
                params![
                    name(RunState::Failed),
                    name(Verdict::Fail),
                    NEVER_ENDED,
                    NO_REPORT.exit_code(),
                    name(RunState::Running)
                ],
            )
        })
    }

    /// Runs, the newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn list(&self, filter: &Filter) -> anyhow::Result<Vec<RunRow>> {
        let Filter { status, limit, before } = filter;
        let state =
            status.map(|state| name(if state.is_busy() { RunState::Running } else { state }));
        // A negative limit is none.
        let limit = limit.map_or(-1, i64::from);
        self.rows(
            "WHERE (?1 IS NULL OR state = ?1)
               AND (?2 IS NULL
                    OR (started_at_ms, run_id) < (SELECT started_at_ms, run_id FROM runs WHERE \
                    run_id = ?2))
             ORDER BY started_at_ms DESC, run_id DESC
             LIMIT ?3",
            params![state, before, limit],
        )
    }

    /// One run.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn run(&self, run_id: &str) -> anyhow::Result<Option<RunRow>> {
        Ok(self.rows("WHERE run_id = ?1", [run_id])?.pop())
    }

    /// The newest run that has a report.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn latest(&self) -> anyhow::Result<Option<RunRow>> {
        let newest = "WHERE run_id IN (SELECT run_id FROM reports) ORDER BY started_at_ms DESC, \
                      run_id DESC LIMIT 1";
        Ok(self.rows(newest, [])?.pop())
    }

    /// Runs whose names begin so, the newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn beginning_with(&self, start: &str) -> anyhow::Result<Vec<RunRow>> {
        self.rows(
            "WHERE substr(run_id, 1, length(?1)) = ?1 ORDER BY started_at_ms DESC, run_id DESC",
            [start],
        )
    }

    /// A run's report as it was written: one line of JSON.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn report_json(&self, run_id: &str) -> anyhow::Result<Option<String>> {
        let query = "SELECT report FROM reports WHERE run_id = ?1";
        let found = self.connection.query_row(query, [run_id], |row| row.get(0)).optional();
        found.map_err(|error| explained(&error.into(), &self.path))
    }

    /// A run's report.
    ///
    /// # Errors
    /// When the database cannot be read, or holds a report that this program does not understand.
    pub fn report(&self, run_id: &str) -> anyhow::Result<Option<Report>> {
        let stored = self.stored_report(run_id)?;
        stored.map(StoredReport::parse).transpose()
    }

    /// A run's report, to be parsed when nobody waits for the history.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn stored_report(&self, run_id: &str) -> anyhow::Result<Option<StoredReport>> {
        let path = self.path.clone();
        let stored = |json| StoredReport { run_id: run_id.to_owned(), path, json };
        Ok(self.report_json(run_id)?.map(stored))
    }

    fn rows(
        &self,
        condition: &str,
        parameters: impl rusqlite::Params,
    ) -> anyhow::Result<Vec<RunRow>> {
        let read = || {
            let mut statement =
                self.connection.prepare(&format!("SELECT {COLUMNS} FROM runs {condition}"))?;
            let rows = statement.query_map(parameters, RunRow::read)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|error| explained(&error.into(), &self.path))
    }

    /// Makes one transaction: all of it, or nothing.
    fn write<T>(
        &self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> anyhow::Result<T> {
        let write = || {
            let transaction =
                Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
            let changed = change(&transaction)?;
            transaction.commit()?;
            Ok(changed)
        };
        write().map_err(|error: rusqlite::Error| explained(&error.into(), &self.path))
    }
}

impl RunRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let Word(state) = row.get(1)?;
        Ok(Self {
            run_id: row.get(0)?,
            state,
            workload: row.get(2)?,
            broker: row.get(3)?,
            started_at_ms: row.get(4)?,
            finished_at_ms: row.get(5)?,
            verdict: row.get::<_, Option<Word<Verdict>>>(6)?.map(|Word(verdict)| verdict),
            reason: row.get(7)?,
            exit_code: row.get(8)?,
            produced_per_second: row.get(9)?,
            result_latency_p99_ms: row.get(10)?,
            result_latency_intended_p99_ms: row.get(12)?,
            // Not known of the runs of an older program.
            rate_changes: row.get::<_, Option<u32>>(11)?.unwrap_or(0),
        })
    }
}

fn connect(path: &Path) -> anyhow::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Of a newer program's database nothing is touched.
    schema::refuse_newer(&connection, schema::MIGRATIONS)?;
    // Must come before the first table; without it, what is forgotten would never leave the file.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    // Readers never wait for a writer. A file system that cannot do it keeps a rollback journal, as
    // safe and slower.
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // One write a run: a flush to disk at each commit costs nothing, and keeps the run through a
    // power failure too.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // The history is read seldom: a daemon's memory need not grow with it, by the default of 2 MiB.
    // (Negative: KiB.)
    connection.pragma_update(None, "cache_size", -256)?;
    connection.pragma_update_and_check(None, "journal_size_limit", WAL_BYTES, |_| Ok(()))?;
    schema::migrate(&connection, schema::MIGRATIONS)?;
    Ok(connection)
}

/// The error with the file's name, and what to do.
fn explained(error: &anyhow::Error, path: &Path) -> anyhow::Error {
    let code = error.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
    let hint = match code {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            "; it is damaged: move it away, and a new history begins"
        }
        Some(ErrorCode::DiskFull) => "; what it held is unharmed: make room",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "; another process keeps it locked"
        }
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            "; this user must be able to write to the file and its folder (or name another by \
             --state-dir)"
        }
        _ if error.is::<std::io::Error>() => "; check the folder (--state-dir names another)",
        _ => "",
    };
    anyhow!("the history, {}: {error:#}{hint}", path.display())
}

#[cfg(test)]
mod tests;
