//! Tests of the history by itself; those with whole reports are in `tests/it/history.rs`.

use std::sync::Barrier;

use tempfile::TempDir;

use super::*;
use crate::config::{HistorySection, Layers};

fn run(run_id: &str, started_at_ms: i64) -> NewRun {
    NewRun {
        run_id: run_id.to_owned(),
        workload: "smoke".to_owned(),
        broker: "embedded".to_owned(),
        started_at_ms,
    }
}

fn history() -> (TempDir, History) {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path()).unwrap();
    (folder, history)
}

fn ids(rows: &[RunRow]) -> Vec<&str> {
    rows.iter().map(|row| row.run_id.as_str()).collect()
}

fn after(run_id: &str, limit: u32) -> Filter {
    Filter { before: Some(run_id.to_owned()), limit: Some(limit), status: None }
}

fn keep(days: u64) -> HistorySection {
    let mut keep = Layers::default().load().unwrap().settings.history;
    keep.keep = format!("{days}d").parse().unwrap();
    keep
}

/// The opening's error.
fn refusal(folder: &Path) -> String {
    let error = format!("{:#}", History::open(folder).unwrap_err());
    assert!(error.contains(&folder.join(FILE).display().to_string()), "{error}");
    error
}

#[test]
fn a_run_is_under_way_until_it_ends() {
    let (folder, history) = history();
    history.begin(&run("a", 1)).unwrap();
    assert!(history.begin(&run("a", 2)).is_err());
    let row = History::open(folder.path()).unwrap().run("a").unwrap().unwrap();
    assert_eq!(
        (row.state, row.verdict, row.exit_code, row.started_at_ms),
        (RunState::Running, None, None, 1)
    );
    assert_eq!((history.run("b").unwrap(), history.report_json("a").unwrap()), (None, None));
    assert_eq!((history.recover().unwrap(), history.recover().unwrap()), (1, 0));
    let row = history.run("a").unwrap().unwrap();
    assert_eq!(
        (row.state, row.verdict, row.exit_code),
        (RunState::Failed, Some(Verdict::Fail), Some(1))
    );
    assert_eq!((row.reason.as_deref(), row.finished_at_ms), (Some(NEVER_ENDED), None));
}

#[test]
fn pages_follow_time_then_name() {
    let (_folder, history) = history();
    for (id, at) in [("c", 1), ("b", 2), ("a", 2), ("e", 3), ("d", 0)] {
        history.begin(&run(id, at)).unwrap();
    }
    assert_eq!(ids(&history.list(&Filter::default()).unwrap()), ["e", "b", "a", "c", "d"]);
    let first = Filter { limit: Some(2), ..Filter::default() };
    assert_eq!(ids(&history.list(&first).unwrap()), ["e", "b"]);
    assert_eq!(ids(&history.list(&after("b", 2)).unwrap()), ["a", "c"]);
    assert_eq!(ids(&history.list(&after("c", 2)).unwrap()), ["d"]);
    assert!(history.list(&after("d", 2)).unwrap().is_empty());
    assert!(history.list(&after("unknown", 2)).unwrap().is_empty());
}

#[test]
fn states_are_told_apart() {
    let (_folder, history) = history();
    history.begin(&run("old", 1)).unwrap();
    history.recover().unwrap();
    history.begin(&run("new", 2)).unwrap();
    let of = |status| history.list(&Filter { status: Some(status), ..Filter::default() }).unwrap();
    assert_eq!(ids(&of(RunState::Failed)), ["old"]);
    assert_eq!(
        (ids(&of(RunState::Running)), ids(&of(RunState::Preparing))),
        (vec!["new"], vec!["new"])
    );
    assert!(of(RunState::Completed).is_empty());
}

#[test]
fn a_beginning_is_taken_as_it_is() {
    let (_folder, history) = history();
    for (id, at) in [("2026-a", 1), ("2026-b", 2), ("2027-a", 3)] {
        history.begin(&run(id, at)).unwrap();
    }
    assert_eq!(ids(&history.beginning_with("2026").unwrap()), ["2026-b", "2026-a"]);
    assert!(
        history.beginning_with("%").unwrap().is_empty()
            && history.beginning_with("20_6").unwrap().is_empty()
    );
}

#[test]
fn old_runs_go_but_neither_the_newest_nor_those_under_way() {
    const DAY_MS: i64 = 86_400_000;
    let (_folder, history) = history();
    for (id, day) in [("a", 0), ("b", 1), ("c", 5)] {
        history.begin(&run(id, day * DAY_MS)).unwrap();
    }
    history.recover().unwrap();
    history.begin(&run("under way", 0)).unwrap();
    assert_eq!(history.prune(&keep(30), 30 * DAY_MS).unwrap(), 0);
    assert_eq!(history.prune(&keep(30), 30 * DAY_MS + 1).unwrap(), 1);
    assert_eq!(ids(&history.list(&Filter::default()).unwrap()), ["c", "b", "under way"]);
    assert_eq!(history.prune(&keep(30), i64::MAX).unwrap(), 1);
    assert_eq!(ids(&history.list(&Filter::default()).unwrap()), ["c", "under way"]);
}

#[test]
fn many_may_make_and_use_it_at_once() {
    const USERS: usize = 8;
    let folder = TempDir::new().unwrap();
    let barrier = Barrier::new(USERS);
    std::thread::scope(|scope| {
        for user in 0..USERS {
            let (folder, barrier) = (folder.path(), &barrier);
            scope.spawn(move || {
                barrier.wait();
                let history = History::open(folder).unwrap();
                for n in 0..5 {
                    history.begin(&run(&format!("{user}-{n}"), n)).unwrap();
                }
            });
        }
    });
    assert_eq!(
        History::open(folder.path()).unwrap().list(&Filter::default()).unwrap().len(),
        5 * USERS
    );
}

#[test]
fn a_full_disk_loses_nothing() {
    let (_folder, history) = history();
    let pages: u32 =
        history.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    let limit = |pages: u32| {
        history
            .connection
            .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
            .unwrap();
    };
    limit(pages + 2);
    let mut kept = 0;
    let error = loop {
        match history.begin(&run(&format!("{kept:0100}"), kept)) {
            Ok(()) => kept += 1,
            Err(error) => break format!("{error:#}"),
        }
    };
    assert!(kept > 10 && error.contains("history.db") && error.contains("make room"), "{error}");
    assert_eq!(history.list(&Filter::default()).unwrap().len() as i64, kept);
    limit(1 << 20);
    history.begin(&run("last", kept)).unwrap();
}

#[test]
fn a_newer_database_is_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let other = Connection::open(folder.path().join(FILE)).unwrap();
    let version = schema::MIGRATIONS.len() + 1;
    other
        .execute_batch(&format!("CREATE TABLE other (a); PRAGMA user_version = {version}"))
        .unwrap();
    let error = refusal(folder.path());
    assert!(
        error.contains(&format!("version {version}"))
            && error.contains(&format!("up to {}", version - 1)),
        "{error}"
    );
    let mode: String = other.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "delete");
}

#[test]
fn an_older_database_becomes_a_present_one() {
    let folder = TempDir::new().unwrap();
    let old = Connection::open(folder.path().join(FILE)).unwrap();
    schema::migrate(&old, &schema::MIGRATIONS[..1]).unwrap();
    old.execute(
        "INSERT INTO runs (run_id, state, workload, broker, started_at_ms) VALUES ('r', 'failed', \
         'w', 'b', 7)",
        [],
    )
    .unwrap();
    drop(old);
    let history = History::open(folder.path()).unwrap();
    assert_eq!(history.run("r").unwrap().unwrap().started_at_ms, 7);
    let seconds: u32 =
        history.connection.query_row("SELECT count(*) FROM seconds", [], |row| row.get(0)).unwrap();
    assert_eq!(seconds, 0);
}

#[test]
fn what_is_no_database_is_named() {
    let folder = TempDir::new().unwrap();
    fs::write(
        folder.path().join(FILE),
        "no database at all, but longer than a header of a hundred bytes ".repeat(20),
    )
    .unwrap();
    assert!(refusal(folder.path()).contains("move it away"));
    assert!(History::open_existing(folder.path()).is_err());
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(refusal(&file.join("state")).contains("--state-dir"));
    fs::create_dir(folder.path().join(FILE)).unwrap();
    assert!(refusal(folder.path()).contains("write to the file"));
    assert!(History::open_existing(&file.join("state")).unwrap().is_none());
}

#[test]
fn a_damaged_database_is_named() {
    let (folder, history) = history();
    (0..200).for_each(|n| history.begin(&run(&format!("{n:0100}"), n)).unwrap());
    drop(history);
    let path = folder.path().join(FILE);
    let mut bytes = fs::read(&path).unwrap();
    // The first page, with the tables' names, stays.
    bytes[4096..].fill(0xff);
    fs::write(&path, bytes).unwrap();
    let read = || History::open(folder.path())?.list(&Filter::default());
    let error = format!("{:#}", read().unwrap_err());
    assert!(error.contains("history.db") && error.contains("it is damaged"), "{error}");
}
