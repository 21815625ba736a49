//! The end of reading a topic that others go on filling: what was there at the order to drain is
//! read, and no more.

use crate::ports::EventReader;

/// What is left to be read once the order to drain was given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remainder {
    asked: bool,
    /// By partition: records still to be read; known from the first turn after the order.
    left: Option<Vec<(u32, u64)>>,
}

impl Remainder {
    /// The order was given.
    pub(crate) fn ask(&mut self) {
        self.asked = true;
    }

    /// Whether the order was given.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked
    }

    /// A record of a partition was read.
    pub(crate) fn read(&mut self, partition: u32) {
        let Some(left) = &mut self.left else { return };
        if let Some((_, left)) = left.iter_mut().find(|(id, _)| *id == partition) {
            *left = left.saturating_sub(1);
        }
    }

    /// Whether it is carried out, after a turn of the reader of these partitions that visited so
    /// many records.
    pub(crate) fn is_done(
        &mut self,
        visited: usize,
        reader: &mut dyn EventReader,
        partitions: impl Iterator<Item = u32>,
    ) -> bool {
        if !self.asked {
            return false;
        }
        let left = self.left.get_or_insert_with(|| {
            partitions.map(|partition| (partition, reader.lag_of(partition))).collect()
        });
        // (A reader may count as one record what only may be there.)
        left.iter().all(|&(_, left)| left == 0) || (visited == 0 && reader.lag() == 0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::ports::{PortError, Record};

    /// Records left, by partition.
    struct Backlog(BTreeMap<u32, u64>);

    impl EventReader for Backlog {
        fn poll(
            &mut self,
            _: Duration,
            _: usize,
            _: &mut dyn FnMut(Record<'_>),
        ) -> Result<usize, PortError> {
            Ok(0)
        }

        fn set_paused(&mut self, _: u32, _: bool) -> Result<(), PortError> {
            Ok(())
        }

        fn lag(&mut self) -> u64 {
            self.0.values().sum()
        }

        fn lag_of(&mut self, partition: u32) -> u64 {
            self.0[&partition]
        }
    }

    #[test]
    fn what_was_there_is_read_of_each_partition_though_more_keeps_coming() {
        let mut backlog = Backlog(BTreeMap::from([(0, 1), (1, 2)]));
        let mut remainder = Remainder::default();
        assert!(!remainder.is_done(0, &mut backlog, 0..2), "nobody asked");
        remainder.ask();
        assert!(!remainder.is_done(3, &mut backlog, 0..2));
        for _ in 0..100 {
            remainder.read(0);
        }
        assert!(
            !remainder.is_done(100, &mut backlog, 0..2),
            "another partition's records are not those"
        );
        remainder.read(1);
        assert!(!remainder.is_done(1, &mut backlog, 0..2));
        assert!(!remainder.is_done(0, &mut backlog, 0..2), "what is there may be on its way");
        remainder.read(1);
        assert!(remainder.is_done(1, &mut backlog, 0..2));
    }

    #[test]
    fn nothing_there_is_nothing_to_wait_for() {
        let mut backlog = Backlog(BTreeMap::from([(0, 1)]));
        let mut remainder = Remainder::default();
        remainder.ask();
        assert!(!remainder.is_done(0, &mut backlog, 0..1));
        backlog.0.insert(0, 0);
        assert!(remainder.is_done(0, &mut backlog, 0..1), "there was less than was thought");
    }
}
