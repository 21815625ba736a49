//! The latency actor: reads the results back, judges every count, and measures what only a reader
//! can. It has one of three jobs:
//! - [`run_audit`] audits a whole run. It reads the run's results, and is sent `Acknowledged` by
//!   the producers, `WindowWritten`, `WindowAcknowledged` and `ResultsComplete` by the result
//!   writer.
//! - [`results_judge`] measures any processor's results, and audits them where the truth is given.
//! - [`truth_keeper`] keeps the truth of producers that run alone, which send it `Acknowledged`.
//!
//! Each hands over [`MeasuresComplete`](crate::measures::run_measures::MeasuresComplete) once, when
//! all is known.

mod auditor;
mod clock_offset;
mod comparison;
mod result_latency;
pub(crate) mod results_judge;
pub(crate) mod run_audit;
pub(crate) mod truth_keeper;
