//! The truth in a file: what `produce --truth FILE` had acknowledged, for `latency --truth FILE` to
//! audit by.
//!
//! One JSON object a line: first the frame (run, base, window), then one line per window, campaign
//! and producer.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use streamgauge_actors::{Nanos, Truth, TruthTable};

/// The format's version.
const VERSION: u32 = 1;

/// How the windows of a truth lie in time.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct TruthFrame {
    /// The format's version.
    pub version: u32,
    /// The run that produced the events.
    pub run_id: String,
    /// Start of window 0, nanoseconds since the Unix epoch.
    pub base_ns: Nanos,
    /// Length of a window, nanoseconds.
    pub window_ns: Nanos,
}

/// What was acknowledged, by window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TruthFile {
    /// How the windows lie in time.
    pub frame: TruthFrame,
    /// Per window: (campaign, producer) with counts.
    pub windows: TruthTable,
}

#[derive(Deserialize, Serialize)]
struct Line {
    window_id: i64,
    #[serde(flatten)]
    truth: Truth,
}

impl TruthFile {
    /// The truth of a run.
    pub fn new(run_id: &str, base_ns: Nanos, window_ns: Nanos, windows: TruthTable) -> Self {
        Self {
            frame: TruthFrame { version: VERSION, run_id: run_id.to_owned(), base_ns, window_ns },
            windows,
        }
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be written; the message names it.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let write = || -> anyhow::Result<()> {
            let mut file = BufWriter::new(File::create(path)?);
            serde_json::to_writer(&mut file, &self.frame)?;
            writeln!(file)?;
            for &(window_id, ref truths) in &self.windows {
                for &truth in truths {
                    serde_json::to_writer(&mut file, &Line { window_id, truth })?;
                    writeln!(file)?;
                }
            }
            file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
            Ok(())
        };
        write().with_context(|| format!("cannot write the truth to `{}`", path.display()))
    }

    /// Reads a file that [`Self::write`] wrote.
    ///
    /// # Errors
    /// When it cannot be read; the message names file and line.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let named = || format!("cannot read the truth from `{}`", path.display());
        let mut lines = BufReader::new(File::open(path).with_context(named)?).lines();
        let Some(first) = lines.next() else { bail!("{}: it is empty", named()) };
        let frame: TruthFrame = serde_json::from_str(&first.with_context(named)?)
            .with_context(|| format!("{}: line 1", named()))?;
        if frame.version != VERSION {
            bail!("{}: it has version {}, this program reads {VERSION}", named(), frame.version);
        }
        let mut windows = TruthTable::new();
        for (index, line) in lines.enumerate() {
            let at = || format!("{}: line {}", named(), index + 2);
            let line = line.with_context(named)?;
            let Line { window_id, truth } = serde_json::from_str(&line).with_context(at)?;
            match windows.last_mut() {
                Some((last, truths)) if *last == window_id => truths.push(truth),
                _ => windows.push((window_id, vec![truth])),
            }
        }
        Ok(Self { frame, windows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("truth.ndjson");
        let truth = |campaign_id, acknowledged| Truth {
            campaign_id,
            producer: 1,
            acknowledged,
            unknown: 2,
            max_produce_ms: 1_700_000_000_123,
            max_unknown_produce_ms: 1_700_000_000_456,
        };
        let windows = vec![(-1, vec![truth(1, 5)]), (7, vec![truth(1, 6), truth(2, 7)])];
        let file = TruthFile::new("run", 1_700_000_000_000_000_000, 10_000_000_000, windows);
        file.write(&path).unwrap();
        assert_eq!(TruthFile::read(&path).unwrap(), file);
    }

    #[test]
    fn a_broken_file_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("truth.ndjson");
        let frame = r#"{"version":1,"run_id":"r","base_ns":0,"window_ns":1}"#;
        for (text, says) in [
            (String::new(), "empty"),
            ("x".to_owned(), "line 1"),
            (frame.replace(":1,\"r", ":9,\"r"), "version 9"),
            (format!("{frame}\n{{}}"), "line 2"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = format!("{:#}", TruthFile::read(&path).unwrap_err());
            assert!(error.contains(says) && error.contains("truth.ndjson"), "{error}");
        }
        assert!(TruthFile::read(Path::new("/no/such")).is_err());
    }
}
