//! The pipeline of streamgauge: five actors that drive a stream through a broker and check every count. It knows no
//! broker, no HTTP and no command line.
//!
//! ```text
//!  StartRun StopRun RestartRun SetRate GetStatus
//!        |                                            RunFact
//!        v                                                 ^
//!  +------------+  Order (Begin, Drain, SetRate)           |
//!  | Supervisor |----------------------------> every stage |
//!  +------------+<---------------------------- StageReport, StageFailed
//!        ^                                        RunMeasured
//!        '--------------------------------------------------------.
//!                                                                 |
//!  +----------+ events  ( events  )  +------------------+         |
//!  | Producer |-------->( topic   )->| WindowAggregator |         |
//!  |   x N    |         (  x P    )  |       x A        |         |
//!  +----------+                      +------------------+         |
//!        |                  PanesClosed |      ^ WindowsMerged    |
//!        | Acknowledged                 v      |                  |
//!        |                           +--------------+ WindowWritten, WindowAcknowledged, ResultsComplete
//!        |                           | ResultWriter |-----.       |
//!        |                           +--------------+     |       |
//!        |                     results |                  v       |
//!        |                    ( results ) results    +---------+  |
//!        |                    ( topic   )----------->| Latency |--'
//!        '------------------------------------------>+---------+
//! ```
//!
//! Control: [`supervisor`], [`run_state`] (what an order does in which state), [`pipeline`] (the one list of stages),
//! [`stage`] (what the data-plane actors share), [`drain`], [`messages`].
//!
//! The stages, with what each stands on:
//! - [`producer`]: [`arrivals`], [`pacing`], [`campaigns`], [`event`] (schema, encoder, decoder)
//! - [`window_aggregator`]: [`window`] (panes and watermark), [`serials`], [`progress`]
//! - [`result_writer`]: [`merge`], [`result`]
//! - [`latency`]: [`ledger`] (ground truth), [`audit`], [`histogram`]
//!
//! What a run is, and what comes out: [`spec`], [`measures`], [`outcome`]. What it stands on: [`ports`], [`clock`].
//!
//! Tests stand on `testing` (a feature): simulated ports, faults and clock.

pub mod arrivals;
pub mod audit;
pub mod campaigns;
pub mod clock;
pub mod drain;
pub mod event;
pub mod histogram;
pub mod latency;
pub mod ledger;
pub mod measures;
pub mod merge;
pub mod messages;
pub mod outcome;
pub mod pacing;
pub mod pipeline;
pub mod ports;
pub mod producer;
pub mod progress;
pub mod result;
pub mod result_writer;
mod run;
pub mod run_state;
pub mod serials;
pub mod spec;
pub mod stage;
pub mod supervisor;
#[cfg(feature = "testing")]
pub mod testing;
pub mod window;
pub mod window_aggregator;
