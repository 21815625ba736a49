//! Names of stages and of the pipelines that they make up.

/// A stage's name: `producer-0`, `window-aggregator-1`, `result-writer`, `latency`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StageId {
    /// Producer i.
    Producer(u32),
    /// Several producers on one thread.
    ProducerGroup {
        /// Which group.
        index: u32,
        /// How many producers it has.
        members: u32,
    },
    /// Aggregator i.
    WindowAggregator(u32),
    /// The result writer.
    ResultWriter,
    /// The latency actor.
    Latency,
}

impl StageId {
    /// The kinds of actors, as metrics name them; the supervisor aside.
    pub const ACTORS: [&'static str; 4] =
        ["producer", "window_aggregator", "result_writer", "latency"];

    /// How many producers it is.
    pub fn producers(self) -> u32 {
        match self {
            Self::Producer(_) => 1,
            Self::ProducerGroup { members, .. } => members,
            Self::WindowAggregator(_) | Self::ResultWriter | Self::Latency => 0,
        }
    }

    /// The kind of actor: one of [`Self::ACTORS`].
    pub fn actor(self) -> &'static str {
        match self {
            Self::Producer(_) | Self::ProducerGroup { .. } => Self::ACTORS[0],
            Self::WindowAggregator(_) => Self::ACTORS[1],
            Self::ResultWriter => Self::ACTORS[2],
            Self::Latency => Self::ACTORS[3],
        }
    }
}

impl std::fmt::Display for StageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Producer(i) => write!(f, "producer-{i}"),
            Self::ProducerGroup { index, .. } => write!(f, "producer-group-{index}"),
            Self::WindowAggregator(i) => write!(f, "window-aggregator-{i}"),
            Self::ResultWriter => f.write_str("result-writer"),
            Self::Latency => f.write_str("latency"),
        }
    }
}

/// Which pipeline a message comes from. A stage that was left behind frozen may wake up in a later
/// run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PipelineId {
    /// Counts the runs of a supervisor, from 1.
    pub run: u64,
    /// The pipeline's generation.
    pub generation: u16,
}
