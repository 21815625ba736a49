//! The verdict on a finished run: causes, which of them decides, and the exit code of each.

use serde::{Deserialize, Serialize};

/// The verdict on a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every count exact, and the harness was not the limit.
    Pass,
    /// A wrong count, an error, or the broker fell behind.
    Fail,
    /// Nothing can be said about the broker: the generator was the limit, the clock stepped, or
    /// nothing was measured.
    Inconclusive,
    /// It was stopped before its end.
    Aborted,
}

impl Verdict {
    /// The name in reports, metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
            Self::Aborted => "aborted",
        }
    }
}

/// How grave what is known of a run is. Of several runs the gravest counts, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// A stage, the broker or the program failed.
    Error,
    /// A count is wrong.
    WrongCount,
    /// Nothing can be said about the broker.
    Inconclusive,
    /// All is exact, and not as good as was asked for.
    FellShort,
    /// It was stopped, and nothing was wrong until then.
    Stopped,
    /// All is well.
    Pass,
}

impl Grade {
    /// Every grade with its verdict, the exit code of the command that made the run, and what that
    /// code is in words. (A command that a signal stopped ends by that signal instead of with 0.)
    pub const TABLE: [(Self, Verdict, u8, &'static str); 6] = [
        (Self::Error, Verdict::Fail, 1, "runtime error"),
        (Self::WrongCount, Verdict::Fail, 4, "audit failed"),
        (Self::Inconclusive, Verdict::Inconclusive, 5, "inconclusive"),
        (
            Self::FellShort,
            Verdict::Fail,
            99,
            "not sustained, broker-limited, or a threshold failed",
        ),
        (Self::Stopped, Verdict::Aborted, 0, "stopped on request"),
        (Self::Pass, Verdict::Pass, 0, "pass"),
    ];

    /// The grade that a report tells by its verdict and exit code; whatever fits none is an error.
    /// (Who was stopped by a signal ended with that signal's code.)
    pub fn of(verdict: Verdict, exit_code: u8) -> Self {
        if verdict == Verdict::Aborted {
            return Self::Stopped;
        }
        let fits = |row: &&(Self, Verdict, u8, &str)| (row.1, row.2) == (verdict, exit_code);
        let by_code = |row: &&(Self, Verdict, u8, &str)| row.2 == exit_code;
        let found = Self::TABLE.iter().find(fits).or_else(|| Self::TABLE.iter().rfind(by_code));
        found.map_or(Self::Error, |row| row.0)
    }

    /// The verdict that goes with it.
    pub fn verdict(self) -> Verdict {
        Self::TABLE[self as usize].1
    }

    /// The exit code of the command that made the run.
    pub fn exit_code(self) -> u8 {
        Self::TABLE[self as usize].2
    }
}

/// Why a verdict is what it is. Of several causes the first in this order decides, and the others
/// follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A stage failed, or the run before it had stages.
    StageFailed,
    /// A whole run ended without its audit.
    AuditMissing,
    /// The broker rejected events.
    EventsRejected,
    /// Windows have a wrong count.
    WindowsWrong,
    /// Acknowledged events are in no result.
    EventsMissing,
    /// Results hold events too many.
    EventsExtra,
    /// Results never came.
    ResultsMissing,
    /// Results came again.
    ResultsDuplicated,
    /// Results say another greatest `produce_time` than their events, or other bounds.
    ResultsWrong,
    /// What was sent is not what the schedule has.
    ScheduleBroken,
    /// Records that nobody can read, or that others wrote, are in topics that the run made itself.
    UnexplainedRecords,
    /// A log has lost records.
    RecordsLost,
    /// Serial numbers are missing.
    EventsLost,
    /// Progress records are missing.
    ProgressLost,
    /// Serial numbers came again.
    EventsDuplicated,
    /// Serial numbers came out of order.
    EventsReordered,
    /// Events came after their window had closed.
    EventsLate,
    /// It was stopped on request.
    Stopped,
    /// There was nothing to measure.
    NothingMeasured,
    /// Too many records could not be read.
    InputUnreadable,
    /// Too many events on a given topic are of other programs.
    InputStrangers,
    /// Times look like another unit's.
    InputUnit,
    /// The broker did not say where a topic ends.
    EndUnknown,
    /// Others' windows all lie elsewhere than those of the truth.
    WindowsMisaligned,
    /// No result has a latency that counts.
    NoResultLatency,
    /// The whole program was stopped for a while, or got no processor.
    ProgramStopped,
    /// The wall clock was stepped.
    ClockStepped,
    /// The broker's clock is another one than ours.
    BrokerClock,
    /// The backlog grew where the generator was the limit.
    NotSustainedGenerator,
    /// The backlog grew where our own aggregator was the limit.
    NotSustainedAggregator,
    /// Whether the run kept up cannot be told.
    SustainedUndecided,
    /// The generator was late by itself.
    GeneratorLimited,
    /// The backlog grew where the broker was the limit.
    NotSustainedBroker,
    /// The generator was late because the broker's client was full.
    BrokerLimited,
    /// Events were sent late, or never, while the backlog grew: what held it up decides.
    SentLate,
    /// A threshold does not hold.
    ThresholdFailed,
    /// Nothing is wrong with the run itself.
    NoFault,
}

impl Cause {
    /// How grave it is.
    pub fn grade(self) -> Grade {
        match self {
            Self::StageFailed | Self::AuditMissing | Self::EventsRejected => Grade::Error,
            Self::WindowsWrong
            | Self::EventsMissing
            | Self::EventsExtra
            | Self::ResultsMissing
            | Self::ResultsDuplicated
            | Self::ResultsWrong
            | Self::ScheduleBroken
            | Self::UnexplainedRecords
            | Self::RecordsLost
            | Self::EventsLost
            | Self::ProgressLost
            | Self::EventsDuplicated
            | Self::EventsReordered
            | Self::EventsLate => Grade::WrongCount,
            Self::Stopped => Grade::Stopped,
            Self::NothingMeasured
            | Self::InputUnreadable
            | Self::InputStrangers
            | Self::InputUnit
            | Self::EndUnknown
            | Self::WindowsMisaligned
            | Self::NoResultLatency
            | Self::ProgramStopped
            | Self::ClockStepped
            | Self::BrokerClock
            | Self::NotSustainedGenerator
            | Self::NotSustainedAggregator
            | Self::SustainedUndecided
            | Self::GeneratorLimited => Grade::Inconclusive,
            Self::NotSustainedBroker
            | Self::BrokerLimited
            | Self::SentLate
            | Self::ThresholdFailed => Grade::FellShort,
            Self::NoFault => Grade::Pass,
        }
    }
}

/// A cause, and what it was this time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The cause.
    pub cause: Cause,
    /// A sentence for people.
    pub text: String,
}

impl Reason {
    /// `text`: a sentence for people.
    pub fn new(cause: Cause, text: impl Into<String>) -> Self {
        Self { cause, text: text.into() }
    }
}

/// What a run is judged by: its reasons, the one that decides first; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    reasons: Vec<Reason>,
}

impl Judgement {
    /// A judgement by these reasons, each at its place.
    pub(crate) fn by(reasons: Vec<Reason>) -> Self {
        Self { reasons: Vec::new() }.with(reasons)
    }

    /// This judgement with further reasons, each at its place.
    #[must_use]
    pub fn with(mut self, further: impl IntoIterator<Item = Reason>) -> Self {
        self.reasons.extend(further);
        self.reasons.sort_by_key(|reason| reason.cause);
        self
    }

    /// The cause that decides.
    pub fn cause(&self) -> Cause {
        self.reasons.first().map_or(Cause::NoFault, |reason| reason.cause)
    }

    /// How grave it is.
    pub fn grade(&self) -> Grade {
        self.cause().grade()
    }

    /// The verdict.
    pub fn verdict(&self) -> Verdict {
        self.grade().verdict()
    }

    /// The exit code of the command that made the run.
    pub fn exit_code(&self) -> u8 {
        self.grade().exit_code()
    }

    /// What the reasons say.
    pub fn texts(&self) -> Vec<String> {
        self.reasons.iter().map(|reason| reason.text.clone()).collect()
    }

    /// The causes, one for each reason.
    pub fn causes(&self) -> Vec<Cause> {
        self.reasons.iter().map(|reason| reason.cause).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grade_is_found_by_its_verdict_and_exit_code() {
        for (at, (grade, verdict, code, _)) in Grade::TABLE.into_iter().enumerate() {
            assert_eq!((grade as usize, Grade::of(verdict, code)), (at, grade));
        }
        assert_eq!(Grade::of(Verdict::Fail, 77), Grade::Error);
    }

    #[test]
    fn the_gravest_reason_comes_first_and_equals_stay_in_order() {
        let reasons = [
            Reason::new(Cause::ThresholdFailed, "a"),
            Reason::new(Cause::EventsLost, "b"),
            Reason::new(Cause::ThresholdFailed, "c"),
            Reason::new(Cause::StageFailed, "d"),
        ];
        let judgement = Judgement { reasons: vec![Reason::new(Cause::NoFault, "fine")] };
        assert_eq!(judgement.grade(), Grade::Pass);
        let judgement = judgement.with(reasons);
        assert_eq!(judgement.texts(), ["d", "b", "a", "c", "fine"]);
        assert_eq!((judgement.verdict(), judgement.exit_code()), (Verdict::Fail, 1));
    }
}
