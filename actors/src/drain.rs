//! The end of reading a topic that others go on filling: what was there at the order to drain is read, and no more.

use crate::clock::{Nanos, SECOND};

/// Without records for so long, what was there is taken not to come any more.
const PATIENCE_NS: Nanos = SECOND;

/// How far an order to drain has been carried out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Drain {
    asked: bool,
    /// Records still to be read; known from the first turn after the order.
    left: Option<u64>,
    /// When the first turn after the order or, later, a record was.
    heard_ns: Nanos,
}

impl Drain {
    /// The order was given.
    pub fn ask(&mut self) {
        self.asked = true;
    }

    /// Whether it is carried out, after a turn that visited so many records and ended now; `lag` tells how many are left
    /// then. A second without any ends it, too: nothing comes.
    pub fn is_done(&mut self, visited: usize, now: Nanos, lag: impl FnOnce() -> u64) -> bool {
        if !self.asked {
            return false;
        }
        if visited > 0 || self.left.is_none() {
            self.heard_ns = now;
        }
        let visited = visited as u64;
        let left = self.left.unwrap_or_else(|| lag() + visited).saturating_sub(visited);
        self.left = Some(left);
        left == 0 || now - self.heard_ns >= PATIENCE_NS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_is_read_though_more_keeps_coming() {
        let mut drain = Drain::default();
        assert!(!drain.is_done(0, 0, || 0), "nobody asked");
        drain.ask();
        assert!(!drain.is_done(3, SECOND, || 7));
        assert!(!drain.is_done(6, SECOND, || 100));
        assert!(drain.is_done(1, SECOND, || 100));
    }

    #[test]
    fn it_waits_for_what_is_on_its_way_and_not_for_ever() {
        let mut drain = Drain::default();
        drain.ask();
        assert!(!drain.is_done(0, 10 * SECOND, || 5));
        assert!(!drain.is_done(0, 10 * SECOND + PATIENCE_NS - 1, || 5));
        assert!(!drain.is_done(4, 10 * SECOND + PATIENCE_NS, || 1));
        assert!(!drain.is_done(0, 11 * SECOND + PATIENCE_NS - 1, || 1));
        assert!(drain.is_done(0, 11 * SECOND + PATIENCE_NS, || 1));
    }

    #[test]
    fn nothing_there_is_nothing_to_wait_for() {
        let mut drain = Drain::default();
        drain.ask();
        assert!(drain.is_done(0, SECOND, || 0));
    }
}
