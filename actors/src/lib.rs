//! The pipeline of streamgauge: five actors that drive a stream through a broker and check every
//! count. It knows no broker, no HTTP and no command line.
//!
//! ```text
//!  StartRun StopRun RestartRun SetRate GetStatus
//!        |                                            RunFact
//!        v                                                 ^
//!  +------------+  Begin, StageOrder (Drain, SetRate)      |
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
//!        |                           +--------------+  WindowWritten, WindowAcknowledged,
//!        |                           | ResultWriter |-----.  ResultsComplete
//!        |                           +--------------+     |       |
//!        |                     results |                  v       |
//!        |                    ( results ) results    +---------+  |
//!        |                    ( topic   )----------->| Latency |--'
//!        '------------------------------------------>+---------+
//! ```
//!
//! The tree, each folder standing on those before it:
//! - the ground: `clock`, `cpu`, `ports` (what is asked of a broker), `failure`, `stage_id`
//! - `workload`: what is asked for, and when each event is due
//! - `stream`: what lies in the topics
//! - `measures`, `truth`: what is measured, and what every count is checked against
//! - `stage`: what the stages share, and what they tell each other
//! - `producer`, `window_aggregator`, `result_writer`, `latency`: the stages, which never name one
//!   another
//! - `run`: the supervisor and all that makes a run of the stages
//! - `testing` (a feature): simulated ports, faults and clock

mod checks;
mod clock;
mod cpu;
mod failure;
mod latency;
mod measures;
#[cfg(feature = "planted-bugs")]
mod planted;
mod ports;
mod producer;
mod result_writer;
mod run;
mod stage;
mod stage_id;
mod stream;
#[cfg(feature = "testing")]
pub mod testing;
mod truth;
mod units;
mod window_aggregator;
mod workload;

pub use self::checks::{Checks, SettingError};
pub use self::clock::{
    Clock, MILLISECOND, Nanos, RunClock, SECOND, SharedClock, WallClock, to_millis,
};
pub use self::failure::FailureKind;
pub use self::latency::results_judge::{ResultsJudge, ResultsJudgeRole};
pub use self::latency::run_audit::{RunAudit, RunAuditRole};
pub use self::latency::truth_keeper::{TruthKeeper, TruthKeeperRole};
pub use self::measures::backlog::{Backlog, Load};
pub use self::measures::counters::{
    CounterMetric, CounterRow, MalformedRecords, MetricKind, RecordPlace, StageCounters, Words,
};
pub use self::measures::histograms::LatencyHistogram;
pub use self::measures::latency_kinds::{LatencyKind, LatencyRow, PerLatency, Subject};
pub use self::measures::run_measures::{ClockBracket, RunMeasures};
pub use self::measures::series::{Quantiles, Second};
pub use self::ports::{
    Ack, Broker, BrokerDescription, Capability, DeadLetters, DeadLettersFactory, Delivery,
    EventReader, EventWriter, KnownLoss, Limitation, LossKind, OffsetRange, PROGRESS_KEY,
    PortError, Record, Retry, Sent, StampedBy, StartAt, TOKEN_LIMIT, TimestampKind, TopicAdmin,
    TopicDescription, TopicSpec, WriterRole,
};
pub use self::producer::group::{ProducerGroup, ProducerGroupRole};
pub use self::producer::{Producer, ProducerRole};
pub use self::result_writer::{ResultWriter, ResultWriterRole, WriterOut};
pub use self::run::facts::{FactsHeard, RunFact, RunMeasured, StageMeasured};
pub use self::run::orders::{
    GetStatus, Refusal, RestartRun, RunStatus, SetRate, StartRun, StopMode, StopRun,
};
pub use self::run::outcome::{
    CLOCK_STEP_LIMIT_NS, Ending, MadeTopics, MeasuredRates, RateChange, RunOutcome,
};
pub use self::run::plan::RunPlan;
pub use self::run::states::{Effect, OrderKind, RUN_STATE_TABLE, RunState, order_effect};
pub use self::run::supervisor::Supervisor;
pub use self::run::sustained::growth::Undecided;
pub use self::run::sustained::{Limit, Sustained, SustainedVerdict};
pub use self::run::verdict::{Cause, Grade, Judgement, Reason, Verdict};
pub use self::stage::flow::{
    EventsAcknowledged, PanesClosed, ResultTiming, ResultsComplete, WindowAcknowledged,
    WindowWritten, WindowsMerged,
};
pub use self::stage::reports::{StageFailed, StageReport};
pub use self::stage::{Receive, Role, Stage, StageOrder, StageState, TURN_LIMIT, Turn};
pub use self::stage_id::{PipelineId, StageId};
pub use self::stream::event::{
    DecodeError, DecodedEvent, Draw, EVENT_FIELDS, EventDecoder, EventEncoder, EventFormat,
    EventSource, MAX_EVENT_BYTES, Serial, decode_event,
};
pub use self::stream::progress::ProgressRecord;
pub use self::stream::result::ResultRecord;
pub use self::stream::value::{Field, FieldFault, ValueFault, time_of_text};
pub use self::truth::findings::{AuditTotals, Finding, FindingKind, WindowAudit};
pub use self::truth::ledger::{AcknowledgedCount, window_of};
pub use self::truth::schedule_audit::ProducerEnd;
pub use self::truth::table::{KnownTruth, Truth, TruthTable};
pub use self::units::{AutoSpan, Bytes, Rate, Share, Span, TimeUnit};
pub use self::window_aggregator::foreign::ForeignStream;
pub use self::window_aggregator::own::OwnStream;
pub use self::window_aggregator::{
    AggregatorParts, ForeignAggregatorRole, OwnAggregatorRole, WindowAggregator,
};
pub use self::workload::arrivals::{ArrivalKind, Arrivals, BurstCorrelation, Bursts, Mmpp};
pub use self::workload::campaigns::Campaigns;
pub use self::workload::mode::{Aggregate, Follow, Mode};
pub use self::workload::pacing::{Due, Pacer};
pub use self::workload::sections::aggregator::AggregatorSection;
pub use self::workload::sections::input::InputSection;
pub use self::workload::sections::result_writer::ResultWriterSection;
pub use self::workload::sections::supervisor::SupervisorSection;
pub use self::workload::sections::workload::WorkloadSection;
pub use self::workload::spec::{RunSpec, RunTopics};
