//! The tables, and how an older database becomes a present one.
//!
//! `user_version` is the number of migrations that a database has seen. A migration that has been
//! released is never changed: a change is one more migration. Columns of latencies are made from
//! the table of latencies: a database gets those that it lacks when it is opened.

use anyhow::bail;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use streamgauge_actors::LatencyKind;

/// What makes each version from the one before; the first makes version 1 from nothing.
pub(super) const MIGRATIONS: &[&str] = &[RUNS_AND_REPORTS, SECONDS, LONG_RUNS];

/// Times are milliseconds since the Unix epoch. NULL: not measured, or not ended. `seed` is a text,
/// for it may exceed what SQLite has for an integer.
const RUNS_AND_REPORTS: &str = "
CREATE TABLE runs (
    run_id TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL,
    mode TEXT,
    workload TEXT NOT NULL,
    broker TEXT NOT NULL,
    broker_version TEXT,
    streamgauge_version TEXT,
    verdict TEXT,
    reason TEXT,
    exit_code INTEGER,
    thresholds_failed INTEGER,
    started_at_ms INTEGER NOT NULL,
    finished_at_ms INTEGER,
    warmup_s REAL,
    duration_s REAL,
    seed TEXT,
    target_per_second REAL,
    produced_per_second REAL,
    consumed_per_second REAL,
    events_produced INTEGER,
    events_acknowledged INTEGER,
    events_consumed INTEGER,
    events_late INTEGER,
    events_malformed INTEGER,
    backpressure_s REAL,
    windows INTEGER,
    windows_exact INTEGER,
    results INTEGER,
    results_duplicated INTEGER,
    results_missing INTEGER,
    events_missing INTEGER,
    events_extra INTEGER,
    events_lost INTEGER,
    events_duplicated INTEGER,
    events_reordered INTEGER,
    publish_delay_p50_ms REAL,
    publish_delay_p99_ms REAL,
    publish_latency_p50_ms REAL,
    publish_latency_p99_ms REAL,
    event_latency_p50_ms REAL,
    event_latency_p99_ms REAL,
    close_latency_p50_ms REAL,
    close_latency_p99_ms REAL,
    result_latency_p50_ms REAL,
    result_latency_p99_ms REAL,
    end_to_end_p50_ms REAL,
    end_to_end_p99_ms REAL,
    cpu_seconds REAL,
    cpu_us_per_event REAL,
    peak_rss_bytes INTEGER
) STRICT;

CREATE INDEX runs_by_time ON runs (started_at_ms, run_id);

CREATE TABLE reports (
    run_id TEXT NOT NULL PRIMARY KEY REFERENCES runs (run_id) ON DELETE CASCADE,
    report TEXT NOT NULL
) STRICT;
";

/// The per-second series of all reports, for dashboards.
const SECONDS: &str = "
CREATE VIEW seconds AS
SELECT
    runs.run_id,
    runs.workload,
    runs.broker,
    json_extract(row.value, '$.second') AS second,
    json_extract(row.value, '$.start_ms') AS start_ms,
    json_extract(row.value, '$.target') AS target,
    json_extract(row.value, '$.produced') AS produced,
    json_extract(row.value, '$.acknowledged') AS acknowledged,
    json_extract(row.value, '$.consumed') AS consumed,
    json_extract(row.value, '$.results') AS results,
    json_extract(row.value, '$.lag') AS lag,
    json_extract(row.value, '$.in_flight') AS in_flight,
    json_extract(row.value, '$.latency.publish_delay.p99_ms') AS publish_delay_p99_ms,
    json_extract(row.value, '$.latency.publish_latency.p99_ms') AS publish_latency_p99_ms,
    json_extract(row.value, '$.latency.event_latency.p99_ms') AS event_latency_p99_ms,
    json_extract(row.value, '$.latency.close_latency.p99_ms') AS close_latency_p99_ms,
    json_extract(row.value, '$.latency.result_latency.p99_ms') AS result_latency_p99_ms,
    json_extract(row.value, '$.latency.end_to_end.p99_ms') AS end_to_end_p99_ms
FROM runs
JOIN reports ON reports.run_id = runs.run_id
JOIN json_each(reports.report, '$.series') AS row;
";

/// How often a run's rate was changed; and the view is made again, whose rows may stand for several
/// seconds.
const LONG_RUNS: &str = "
ALTER TABLE runs ADD COLUMN rate_changes INTEGER;
DROP VIEW seconds;
";

/// The view with the columns of all latencies, which stand between these two parts.
const SECONDS_AROUND_LATENCIES: (&str, &str) = (
    "
CREATE VIEW seconds AS
SELECT
    runs.run_id,
    runs.workload,
    runs.broker,
    json_extract(row.value, '$.second') AS second,
    coalesce(json_extract(row.value, '$.seconds'), 1) AS seconds,
    json_extract(row.value, '$.start_ms') AS start_ms,
    json_extract(row.value, '$.target') AS target,
    json_extract(row.value, '$.produced') AS produced,
    json_extract(row.value, '$.acknowledged') AS acknowledged,
    json_extract(row.value, '$.consumed') AS consumed,
    json_extract(row.value, '$.results') AS results,
    json_extract(row.value, '$.lag') AS lag,
    json_extract(row.value, '$.in_flight') AS in_flight",
    "
FROM runs
JOIN reports ON reports.run_id = runs.run_id
JOIN json_each(reports.report, '$.series') AS row;
",
);

/// A database's version.
fn version(connection: &Connection) -> rusqlite::Result<usize> {
    connection
        .pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))
        .map(|version| version as usize)
}

/// Refuses a database that a newer program has made: this one does not know what its tables mean.
pub(super) fn refuse_newer(connection: &Connection, migrations: &[&str]) -> anyhow::Result<()> {
    let (found, known) = (version(connection)?, migrations.len());
    if found > known {
        bail!(
            "has version {found}, made by a newer streamgauge; {} knows versions up to {known}: \
             use the newer program, or \
             another folder (--state-dir)",
            env!("CARGO_PKG_VERSION")
        );
    }
    Ok(())
}

/// Whether every latency has its columns: in the table, and in the view.
fn has_all_latencies(connection: &Connection) -> rusqlite::Result<bool> {
    let names = "SELECT count(*) FROM pragma_table_info('runs') WHERE name = ?1
                 UNION ALL SELECT count(*) FROM pragma_table_info('seconds') WHERE name = ?2";
    let mut statement = connection.prepare(names)?;
    for name in LatencyKind::ALL.map(LatencyKind::name) {
        let columns = [format!("{name}_p50_ms"), format!("{name}_p99_ms")];
        let found: Vec<u32> =
            statement.query_map(columns, |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        if found.contains(&0) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Gives every latency that came after the last migration its columns.
fn add_latencies(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let known: Vec<String> = transaction
        .prepare("SELECT name FROM pragma_table_info('runs')")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for name in LatencyKind::ALL.map(LatencyKind::name) {
        for column in [format!("{name}_p50_ms"), format!("{name}_p99_ms")] {
            if !known.contains(&column) {
                transaction.execute_batch(&format!("ALTER TABLE runs ADD COLUMN {column} REAL"))?;
            }
        }
    }
    let column = |name: &str| {
        format!(",\n    json_extract(row.value, '$.latency.{name}.p99_ms') AS {name}_p99_ms")
    };
    let (head, tail) = SECONDS_AROUND_LATENCIES;
    let columns = LatencyKind::ALL.map(|kind| column(kind.name())).concat();
    transaction.execute_batch(&format!("DROP VIEW IF EXISTS seconds;{head}{columns}{tail}"))
}

/// Brings a database up to date, from whatever version it has: all of it, or nothing.
pub(super) fn migrate(connection: &Connection, migrations: &[&str]) -> anyhow::Result<()> {
    refuse_newer(connection, migrations)?;
    let is_present = version(connection)? == migrations.len();
    // What an earlier version has need not be complete: the test of migrations stops there.
    let is_last = migrations.len() == MIGRATIONS.len();
    if is_present && (!is_last || has_all_latencies(connection)?) {
        return Ok(());
    }
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    for migration in migrations.iter().skip(version(&transaction)?) {
        transaction.execute_batch(migration)?;
    }
    if is_last && !has_all_latencies(&transaction)? {
        add_latencies(&transaction)?;
    }
    transaction.pragma_update(None, "user_version", migrations.len() as u32)?;
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migrated(migrations: &[&str]) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        migrate(&connection, migrations).unwrap();
        connection
    }

    /// Every table and view, as it was made.
    fn tables(connection: &Connection) -> Vec<String> {
        let mut statement = connection
            .prepare("SELECT sql FROM sqlite_schema WHERE sql NOT NULL ORDER BY name")
            .unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    #[test]
    fn every_older_version_becomes_the_present_one() {
        let present = tables(&migrated(MIGRATIONS));
        for seen in 0..MIGRATIONS.len() {
            let old = migrated(&MIGRATIONS[..seen]);
            assert_eq!(version(&old).unwrap(), seen);
            let run = "INSERT INTO runs (run_id, state, workload, broker, started_at_ms) VALUES \
                       ('r', 'failed', 'w', 'b', 1)";
            if seen > 0 {
                old.execute(run, []).unwrap();
            }
            migrate(&old, MIGRATIONS).unwrap();
            migrate(&old, MIGRATIONS).unwrap();
            assert_eq!(
                (version(&old).unwrap(), tables(&old)),
                (MIGRATIONS.len(), present.clone()),
                "from {seen}"
            );
            let runs: u32 =
                old.query_row("SELECT count(*) FROM runs", [], |row| row.get(0)).unwrap();
            assert_eq!(runs, u32::from(seen > 0));
        }
    }

    #[test]
    fn a_migration_that_fails_leaves_all_as_it_was() {
        let connection = migrated(&MIGRATIONS[..1]);
        let before = tables(&connection);
        migrate(&connection, &[MIGRATIONS[0], "CREATE TABLE extra (a); nonsense"]).unwrap_err();
        assert_eq!((version(&connection).unwrap(), tables(&connection)), (1, before));
    }

    #[test]
    fn a_latency_that_came_later_gets_its_columns() {
        let connection = migrated(MIGRATIONS);
        let present = tables(&connection);
        // As it would be if the last latency were a new one.
        let last = LatencyKind::ALL.last().unwrap().name();
        for change in [
            "DROP VIEW seconds".to_owned(),
            format!("ALTER TABLE runs DROP COLUMN {last}_p50_ms"),
            format!("ALTER TABLE runs DROP COLUMN {last}_p99_ms"),
        ] {
            connection.execute(&change, []).unwrap();
        }
        assert!(!has_all_latencies(&connection).unwrap());
        migrate(&connection, MIGRATIONS).unwrap();
        assert!(has_all_latencies(&connection).unwrap());
        let view = |tables: &[String]| tables.iter().find(|sql| sql.contains("VIEW")).cloned();
        assert_eq!(view(&tables(&connection)), view(&present));
    }
}
