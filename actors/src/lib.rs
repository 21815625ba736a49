//! The pipeline of streamgauge: five actors that drive a stream through a broker and check every
//! count. It knows no broker, no HTTP and no command line.
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
//! Control: [`supervisor`], [`run_state`] (what an order does in which state), [`pipeline`] (the
//! one list of stages), [`stage`] (what the data-plane actors share), [`drain`], [`messages`].
//!
//! The stages, with what each stands on:
//! - [`producer`]: [`arrivals`], [`pacing`], [`campaigns`], [`event`] (schema, encoder, decoder)
//! - [`window_aggregator`]: [`window`] (panes and watermark), [`serials`], [`progress`]
//! - [`result_writer`]: [`merge`], [`result`]
//! - [`latency`]: [`ledger`] (ground truth), [`audit`], [`histogram`]
//!
//! What a run is, and what comes out: [`spec`], [`measures`], [`outcome`]. What it stands on:
//! [`ports`], [`clock`].
//!
//! Tests stand on `testing` (a feature): simulated ports, faults and clock.

mod arrivals;
mod audit;
mod campaigns;
mod clock;
mod drain;
mod event;
mod histogram;
mod latency;
mod ledger;
mod measures;
mod merge;
mod messages;
mod outcome;
mod pacing;
mod pipeline;
mod ports;
mod producer;
mod progress;
mod result;
mod result_writer;
mod run;
mod run_state;
mod serials;
mod spec;
mod stage;
mod supervisor;
#[cfg(feature = "testing")]
pub mod testing;
mod window;
mod window_aggregator;

pub use self::arrivals::{ArrivalKind, Arrivals, BurstCorrelation, Mmpp};
pub use self::audit::{AuditTotals, Finding, FindingKind, WindowAudit};
pub use self::campaigns::Campaigns;
pub use self::clock::{
    Clock, MILLISECOND, Nanos, RunClock, SECOND, SharedClock, WallClock, to_millis,
};
pub use self::event::{
    DecodedEvent, Draw, EVENT_FIELDS, EventEncoder, EventSource, MAX_EVENT_BYTES, Malformed,
    Serial, decode_event,
};
pub use self::histogram::{LatencyHistogram, LatencyKind};
pub use self::latency::{Latency, LatencyTask, TruthTable};
pub use self::ledger::{Truth, window_of};
pub use self::measures::{Quantiles, RunMeasures, Second, StageCounters};
pub use self::messages::{
    Acknowledged, AcknowledgedCount, GetStatus, Order, PanesClosed, PipelineId, RestartRun,
    ResultsComplete, RunFact, RunMeasured, SetRate, StageFailed, StageId, StageMeasured,
    StageReport, StartRun, StopMode, StopRun, WindowAcknowledged, WindowWritten, WindowsMerged,
};
pub use self::outcome::{Ending, Judgement, RunOutcome, Verdict};
pub use self::pacing::{Due, Pacer};
pub use self::pipeline::{Aggregate, DeadLetters, DeadLettersFactory, Follow, Mode, RunPlan};
pub use self::ports::{
    Ack, Broker, BrokerDescription, Capability, Delivery, EventReader, EventWriter, Limitation,
    OffsetRange, PROGRESS_KEY, PortError, Record, Retry, Sent, StampedBy, StartAt, TimestampKind,
    TopicAdmin, TopicDescription, TopicSpec, WriterRole,
};
pub use self::producer::Producer;
pub use self::progress::ProgressRecord;
pub use self::result::ResultRecord;
pub use self::result_writer::{ResultWriter, WriterOut};
pub use self::run_state::{Effect, OrderKind, RUN_STATE_TABLE, RunState, order_effect};
pub use self::spec::RunSpec;
pub use self::stage::{FailureKind, Receive, Stage, TURN_LIMIT, Turn};
pub use self::supervisor::{Refusal, RunStatus, Supervisor};
pub use self::window_aggregator::WindowAggregator;
