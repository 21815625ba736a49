//! The settings: what there is to set (`config/default.toml` has every default), and what it means
//! for a run.
//!
//! ```text
//! default.toml < /etc/streamgauge/config.toml < --config < WORKLOAD < environment < flags
//!   layers.rs, merge.rs: unknown keys refused --> Settings: each section checks itself --> RunSpec
//! ```
//!
//! A section is a file of its name, with its checks. Those of the brokers stand beside the
//! adapters, those that a run is made of in the pipeline's crate.
//! What a setting is, and who may set it, its comment in `config/default.toml` says ([`defaults`]).

mod broker;
mod choices;
mod defaults;
mod history;
mod layers;
mod log;
mod matrix;
mod merge;
mod presets;
mod problem;
mod resolved;
mod run_id;
mod schedule;
mod schema;
mod server;
mod settings;
#[cfg(test)]
mod settings_page;
mod show;
mod table;
mod threshold;
mod thresholds;
mod topics;

pub(crate) use self::choices::choices;
pub use self::defaults::DEFAULTS;
pub(crate) use self::defaults::{ByRequest, by_request, is_setting, setting_keys};
pub use self::history::HistorySection;
pub use self::layers::{Layers, SYSTEM_FILE};
pub use self::log::{LogFormat, LogSection};
pub use self::matrix::MatrixSection;
pub(crate) use self::matrix::refused_in_matrix;
pub(crate) use self::merge::WORKLOAD_ARGUMENT;
pub use self::presets::{PRESETS, Preset, preset};
pub use self::problem::{ConfigError, SettingProblem};
pub use self::resolved::{Assignment, ResolvedSettings};
pub use self::run_id::{random_bits, run_id, run_tag};
pub use self::schedule::{ScheduleMode, ScheduleSection};
pub use self::schema::SCHEMA;
pub(crate) use self::schema::is_list_setting;
pub use self::server::ServerSection;
pub use self::settings::Settings;
pub(crate) use self::show::{at, shell_quoted, toml_value};
pub use self::threshold::Threshold;
pub use self::thresholds::ThresholdsSection;
pub use self::topics::TopicsSection;

#[cfg(test)]
mod tests;
