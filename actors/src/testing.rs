//! What tests need in place of the world: a clock that is set by hand ([`SimClock`]), a log under
//! stress ([`SimLog`]), faults that strike after the acknowledgement ([`Injector`],
//! [`FaultyBroker`]), and bugs planted in the pipeline itself ([`plant`]). Only with the feature
//! `testing`.

mod dice;
mod faults;
mod faulty_broker;
mod injection;
mod run_series;
mod sim_clock;
mod sim_log;
mod small_run;

pub use self::dice::Dice;
pub use self::faults::{Expectation, Fault, FaultKind, Injection, StoredRecord, TrueCount};
pub use self::faulty_broker::FaultyBroker;
pub use self::injection::Injector;
pub use self::run_series::RunSeries;
pub use self::sim_clock::SimClock;
pub use self::sim_log::{SimLog, SimReader, SimWriter, Stress, StressCounts, Topic};
pub use self::small_run::{NoDeadLetters, small_spec};
#[cfg(feature = "planted-bugs")]
pub use crate::planted::{Bug, plant};
