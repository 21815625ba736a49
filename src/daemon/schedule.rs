//! When the daemon starts the next run by itself, and of which workload: a plain value, no clock,
//! no thread.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use streamgauge_actors::Nanos;

use crate::config::{ScheduleMode, ScheduleSection};

/// The schedule, and where it is.
#[derive(Debug)]
pub struct Schedule {
    section: ScheduleSection,
    turn: usize,
    /// When the next run is planned.
    planned_ns: Option<Nanos>,
    /// After a failure: not before this.
    not_before_ns: Nanos,
    backoff: Option<ExponentialBackoff>,
}

impl Schedule {
    /// A schedule that begins now.
    pub fn new(section: ScheduleSection, now: Nanos) -> Self {
        let planned_ns = (section.mode != ScheduleMode::OnRequest).then_some(now);
        Self { section, turn: 0, planned_ns, not_before_ns: Nanos::MIN, backoff: None }
    }

    /// Another configuration is in force. What does not change when runs start leaves turn and plan
    /// as they are.
    pub fn reconfigure(&mut self, section: ScheduleSection, now: Nanos) {
        let plan = |of: &ScheduleSection| (of.mode, of.every, of.workloads.clone());
        if plan(&section) == plan(&self.section) {
            self.section = section;
        } else {
            *self = Self::new(section, now);
        }
    }

    /// What is in force.
    pub fn section(&self) -> &ScheduleSection {
        &self.section
    }

    /// The workload of the next run that starts by itself.
    pub fn next_workload(&self) -> Option<&str> {
        let workloads = &self.section.workloads;
        let next = || workloads.get(self.turn % workloads.len().max(1)).map(String::as_str);
        if self.section.mode == ScheduleMode::OnRequest { None } else { next() }
    }

    /// When it starts, unless a run is under way then; `None`: never.
    pub fn next_start_ns(&self) -> Option<Nanos> {
        self.planned_ns.map(|planned| planned.max(self.not_before_ns))
    }

    /// Whether it should start now.
    pub fn is_due(&self, now: Nanos) -> bool {
        self.next_start_ns().is_some_and(|start| now >= start)
    }

    /// The scheduled run has started.
    pub fn started(&mut self, now: Nanos) {
        self.turn = self.turn.wrapping_add(1);
        self.planned_ns = match self.section.mode {
            ScheduleMode::OnRequest => None,
            ScheduleMode::Continuous => Some(now),
            // On the grid of the first start; a start that was missed is made up for once, not many
            // times.
            ScheduleMode::Every => {
                let every = self.section.every.as_nanos().max(1);
                let planned = self.planned_ns.unwrap_or(now);
                Some(planned + ((now - planned) / every + 1) * every)
            }
        };
    }

    /// The broker did not answer, or a run failed: the next attempt waits, twice as long after each
    /// failure.
    pub fn failed(&mut self, now: Nanos) {
        if self.section.mode == ScheduleMode::OnRequest {
            return;
        }
        let (least, most) = (self.section.retry_min.duration(), self.section.retry_max.duration());
        let backoff = self.backoff.get_or_insert_with(|| {
            ExponentialBuilder::default()
                .with_min_delay(least)
                .with_max_delay(most)
                .with_factor(2.0)
                .without_max_times()
                .build()
        });
        let wait: Duration = backoff.next().unwrap_or(most);
        self.not_before_ns = now + wait.as_nanos() as Nanos;
    }

    /// All is well: the next failure waits the shortest time again.
    pub fn succeeded(&mut self) {
        self.backoff = None;
        self.not_before_ns = Nanos::MIN;
    }
}

#[cfg(test)]
mod tests {
    use streamgauge_actors::{SECOND, Span};

    use super::*;

    fn section(mode: ScheduleMode) -> ScheduleSection {
        let span = |seconds| Span::from_nanos(seconds * SECOND);
        ScheduleSection {
            mode,
            every: span(60),
            workloads: vec!["smoke".to_owned(), "bursty".to_owned()],
            probe_interval: span(10),
            retry_min: span(1),
            retry_max: span(5),
        }
    }

    #[test]
    fn workloads_take_turns() {
        let mut schedule = Schedule::new(section(ScheduleMode::Continuous), 0);
        let mut seen = Vec::new();
        for now in 0..3 {
            assert!(schedule.is_due(now));
            seen.push(schedule.next_workload().unwrap().to_owned());
            schedule.started(now);
        }
        assert_eq!(seen, ["smoke", "bursty", "smoke"]);
    }

    #[test]
    fn nothing_starts_by_itself_on_request() {
        let mut schedule = Schedule::new(section(ScheduleMode::OnRequest), 0);
        schedule.failed(0);
        assert_eq!((schedule.next_workload(), schedule.next_start_ns()), (None, None));
        assert!(!schedule.is_due(Nanos::MAX));
    }

    #[test]
    fn runs_start_on_a_grid_and_missed_starts_are_not_piled_up() {
        let mut schedule = Schedule::new(section(ScheduleMode::Every), 0);
        schedule.started(2 * SECOND);
        assert_eq!(schedule.next_start_ns(), Some(60 * SECOND));
        // The run took four minutes: the next one follows at once, the one after it is on the grid
        // again.
        assert!(schedule.is_due(242 * SECOND));
        schedule.started(242 * SECOND);
        assert_eq!(schedule.next_start_ns(), Some(300 * SECOND));
    }

    #[test]
    fn failures_wait_longer_and_longer_up_to_a_limit() {
        let mut schedule = Schedule::new(section(ScheduleMode::Continuous), 0);
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..5 {
            schedule.failed(now);
            let next = schedule.next_start_ns().unwrap();
            waits.push((next - now) / SECOND);
            now = next;
        }
        assert_eq!(waits, [1, 2, 4, 5, 5]);
        schedule.succeeded();
        schedule.failed(now);
        assert_eq!(schedule.next_start_ns(), Some(now + SECOND));
    }

    #[test]
    fn a_broker_that_comes_back_late_does_not_move_the_grid() {
        let mut schedule = Schedule::new(section(ScheduleMode::Every), 0);
        schedule.failed(0);
        schedule.failed(SECOND);
        assert_eq!(schedule.next_start_ns(), Some(3 * SECOND));
        schedule.started(3 * SECOND);
        assert_eq!(schedule.next_start_ns(), Some(60 * SECOND));
    }

    #[test]
    fn another_probe_interval_starts_nothing() {
        let mut schedule = Schedule::new(section(ScheduleMode::Every), 0);
        schedule.started(0);
        schedule.reconfigure(
            ScheduleSection { probe_interval: Span::default(), ..section(ScheduleMode::Every) },
            9 * SECOND,
        );
        assert_eq!(
            (schedule.next_start_ns(), schedule.next_workload()),
            (Some(60 * SECOND), Some("bursty"))
        );
        schedule.reconfigure(section(ScheduleMode::Continuous), 9 * SECOND);
        assert!(schedule.is_due(9 * SECOND));
    }

    #[test]
    fn a_failure_does_not_bring_a_start_forward() {
        let mut schedule = Schedule::new(section(ScheduleMode::Every), 0);
        schedule.started(0);
        schedule.failed(5 * SECOND);
        assert_eq!(schedule.next_start_ns(), Some(60 * SECOND));
    }
}
