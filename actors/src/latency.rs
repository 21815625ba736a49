//! The latency actor: reads the results back, judges every count, and measures what only a reader
//! can. It has one of three jobs.
//!
//! | job | reads | is sent | hands over |
//! |---|---|---|---|
//! | [`RunAudit`](run_audit::RunAudit) | the run's results | `Acknowledged` by the producers; `WindowWritten`, `WindowAcknowledged` and `ResultsComplete` by the result writer | the audit of a whole run |
//! | [`ResultsJudge`](results_judge::ResultsJudge) | any processor's results | nothing | their latencies, and an audit where the truth is given |
//! | [`TruthKeeper`](truth_keeper::TruthKeeper) | nothing | `Acknowledged` by the producers | the truth of producers that run alone |
//!
//! Each hands over [`Measured`](crate::measures::run_measures::Measured) once, when all is known.

mod auditor;
mod result_latency;
pub(crate) mod results_judge;
pub(crate) mod run_audit;
pub(crate) mod truth_keeper;
