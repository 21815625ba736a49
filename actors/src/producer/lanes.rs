//! A producer's partitions: what it sends there next, and what is in flight.

use std::collections::VecDeque;

use crate::clock::Nanos;
use crate::stream::progress::ProgressRecord;

/// An event in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    pub(super) window_id: i64,
    pub(super) campaign_id: u32,
    pub(super) intended_ns: Nanos,
    pub(super) handed_ns: Nanos,
}

/// One partition, as this producer sees it.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Serial number of the next event.
    pub(super) next_n: u64,
    /// Number of the next progress record.
    pub(super) progress_number: u64,
    /// Events in flight, in the order sent; the first has the token `first_token`.
    in_flight: VecDeque<Option<InFlight>>,
    first_token: u64,
    /// When something was last sent here.
    pub(super) last_sent_ns: Nanos,
    /// Up to which event time a progress record was asked for; sent as soon as the client takes it.
    pub(super) progress_due: Option<ProgressRecord>,
}

impl Lane {
    /// The token of the next event.
    #[inline]
    pub(super) fn next_token(&self) -> u64 {
        self.first_token + self.in_flight.len() as u64
    }

    /// The client took the next event.
    #[inline]
    pub(super) fn sent(&mut self, event: InFlight) {
        self.next_n += 1;
        self.last_sent_ns = event.handed_ns;
        self.in_flight.push_back(Some(event));
    }

    /// The event of this token is in flight no more; `None`: it was not.
    #[inline]
    pub(super) fn take(&mut self, token: u64) -> Option<InFlight> {
        let at = usize::try_from(token.checked_sub(self.first_token)?).ok()?;
        let event = self.in_flight.get_mut(at)?.take()?;
        while let Some(None) = self.in_flight.front() {
            self.in_flight.pop_front();
            self.first_token += 1;
        }
        Some(event)
    }

    /// The intended time of the oldest event in flight.
    pub(super) fn oldest_intended(&self) -> Option<Nanos> {
        self.in_flight.front().copied().flatten().map(|event| event.intended_ns)
    }

    /// Whether nothing is in flight.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }
}
