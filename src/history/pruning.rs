//! What is forgotten: runs past their age, and the oldest ones when all take too much room.

use rusqlite::{Connection, OptionalExtension};
use streamgauge_actors::RunState;

use super::words::name;
use super::{History, explained};
use crate::config::HistorySection;

/// Whatever may be forgotten, the oldest first: no run under way, and not the newest of those that
/// ended.
const OLDEST: &str = "
    SELECT run_id, coalesce(finished_at_ms, started_at_ms) FROM runs
    WHERE state <> ?1 AND run_id <> (
        SELECT run_id FROM runs WHERE state <> ?1 ORDER BY started_at_ms DESC, run_id DESC LIMIT 1
    )
    ORDER BY started_at_ms, run_id
    LIMIT 1";

impl History {
    /// Forgets runs older than they are kept, then the oldest until the rest fits, and gives the
    /// room back to the disk. The newest run and those under way stay. Gives the number of runs
    /// forgotten.
    ///
    /// # Errors
    /// When the database cannot be written; then it is as it was.
    pub fn prune(&self, keep: &HistorySection, now_ms: i64) -> anyhow::Result<usize> {
        let keep_since_ms =
            now_ms.saturating_sub(i64::try_from(keep.keep.as_millis()).unwrap_or(i64::MAX));
        let forgotten = self.write(|transaction| {
            let mut forgotten = 0;
            while let Some((run_id, ended_at_ms)) = oldest(transaction)? {
                if ended_at_ms >= keep_since_ms && used_bytes(transaction)? <= keep.keep_bytes.0 {
                    break;
                }
                // The report goes with it.
                transaction.execute("DELETE FROM runs WHERE run_id = ?1", [run_id])?;
                forgotten += 1;
            }
            Ok(forgotten)
        })?;
        if forgotten > 0 {
            give_back(&self.connection).map_err(|error| explained(&error.into(), &self.path))?;
        }
        Ok(forgotten)
    }
}

fn oldest(connection: &Connection) -> rusqlite::Result<Option<(String, i64)>> {
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    connection.query_row(OLDEST, [name(RunState::Running)], row).optional()
}

/// Bytes of the database that hold something.
fn used_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name: &str| {
        connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0)).map(u64::from)
    };
    Ok((pragma("page_count")? - pragma("freelist_count")?) * pragma("page_size")?)
}

/// Shrinks the file by its free pages.
fn give_back(connection: &Connection) -> rusqlite::Result<()> {
    // Every step frees one page.
    let mut vacuum = connection.prepare("PRAGMA incremental_vacuum")?;
    let mut pages = vacuum.query([])?;
    while pages.next()?.is_some() {}
    // The file shrinks when the write-ahead log is copied into it. Where somebody reads just now,
    // the next time does it.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}
