//! The end of reading a topic that others go on filling: what was there at the order to drain is read, and no more.

/// How far an order to drain has been carried out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Drain {
    asked: bool,
    /// Records still to be read; known from the first turn after the order.
    left: Option<u64>,
}

impl Drain {
    /// The order was given.
    pub fn ask(&mut self) {
        self.asked = true;
    }

    /// Whether it is carried out, after a turn that visited so many records; `lag` tells how many are left then. A turn
    /// without any ends it, too: nothing comes.
    pub fn is_done(&mut self, visited: usize, lag: impl FnOnce() -> u64) -> bool {
        if !self.asked {
            return false;
        }
        let visited = visited as u64;
        let left = self.left.unwrap_or_else(|| lag() + visited).saturating_sub(visited);
        self.left = Some(left);
        visited == 0 || left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_is_read_though_more_keeps_coming() {
        let mut drain = Drain::default();
        assert!(!drain.is_done(0, || 0), "nobody asked");
        drain.ask();
        assert!(!drain.is_done(3, || 7));
        assert!(!drain.is_done(6, || 100));
        assert!(drain.is_done(1, || 100));
    }

    #[test]
    fn a_turn_without_records_ends_it() {
        let mut drain = Drain::default();
        drain.ask();
        assert!(drain.is_done(0, || 5));
    }
}
