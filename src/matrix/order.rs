//! The order of the runs: every cell once a round, each round in another order, so that what
//! changes on the machine in the meantime falls on all cells alike.
//!
//! The rounds are rows of a Williams design (E. J. Williams, "Experimental designs balanced for the
//! estimation of residual effects of treatments", Australian Journal of Scientific Research A 2,
//! 1949): over all its rows every cell has every place equally often, and follows every other cell
//! equally often, so that neither the hour nor what a run leaves behind favours one. Which cell
//! plays which part, and which row comes when, is drawn from the seed.

/// Numbers of a seed: `SplitMix64` (S. Vigna).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Fisher and Yates's shuffle.
    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            // The remainder favours small numbers by less than one in 10^16.
            items.swap(last, (self.next() % (last as u64 + 1)) as usize);
        }
    }
}

/// The order of the cells in each round.
pub fn rounds(cells: usize, repetitions: u32, seed: u64) -> Vec<Vec<usize>> {
    let mut random = Random(seed);
    let mut parts: Vec<usize> = (0..cells).collect();
    random.shuffle(&mut parts);
    let mut rows = design(cells);
    random.shuffle(&mut rows);
    let order = rows.iter().map(|row| row.iter().map(|&part| parts[part]).collect()).cycle();
    order.take(repetitions as usize).collect()
}

/// A Williams design: `n` rows for even numbers, `2 n` for odd ones.
fn design(n: usize) -> Vec<Vec<usize>> {
    // 0, 1, n-1, 2, n-2, ...: all differences of neighbours differ.
    let zigzag: Vec<usize> =
        (0..n).map(|i| if i % 2 == 1 { i.div_ceil(2) } else { (n - i / 2) % n }).collect();
    let mut rows: Vec<Vec<usize>> =
        (0..n).map(|shift| zigzag.iter().map(|part| (part + shift) % n).collect()).collect();
    if n % 2 == 1 && n > 1 {
        let mirrored: Vec<Vec<usize>> =
            rows.iter().map(|row| row.iter().rev().copied().collect()).collect();
        rows.extend(mirrored);
    }
    rows
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn two_cells_take_turns_in_coming_first() {
        let order = rounds(2, 4, 7);
        assert_eq!(order[0].iter().rev().copied().collect::<Vec<_>>(), order[1]);
        assert_eq!((&order[0], &order[1]), (&order[2], &order[3]));
    }

    #[test]
    fn nothing_and_one_are_no_trouble() {
        assert_eq!(rounds(0, 3, 1), Vec::<Vec<usize>>::new());
        assert_eq!(rounds(1, 3, 1), [[0], [0], [0]]);
        assert_ne!(rounds(8, 1, 1), rounds(8, 1, 2));
    }

    proptest! {
        #[test]
        fn every_round_has_every_cell_once_in_another_order(
            cells in 1_usize..30, repetitions in 1_u32..20, seed: u64,
        ) {
            let order = rounds(cells, repetitions, seed);
            prop_assert_eq!(order.len(), repetitions as usize);
            for round in &order {
                let mut sorted = round.clone();
                sorted.sort_unstable();
                prop_assert_eq!(sorted, (0..cells).collect::<Vec<_>>());
            }
            prop_assert!(cells == 1 || order.windows(2).all(|pair| pair[0] != pair[1]));
            prop_assert_eq!(rounds(cells, repetitions, seed), order);
        }

        #[test]
        fn places_and_predecessors_are_balanced(cells in 2_usize..12, seed: u64) {
            let rows = if cells % 2 == 0 { cells } else { 2 * cells };
            let mut places = BTreeMap::new();
            let mut neighbours = BTreeMap::new();
            for round in rounds(cells, rows as u32, seed) {
                for (place, &cell) in round.iter().enumerate() {
                    *places.entry((place, cell)).or_insert(0) += 1;
                }
                for pair in round.windows(2) {
                    *neighbours.entry((pair[0], pair[1])).or_insert(0) += 1;
                }
            }
            prop_assert_eq!(places.len(), cells * cells);
            prop_assert!(places.values().all(|&times| times == rows / cells));
            prop_assert_eq!(neighbours.len(), cells * (cells - 1));
            prop_assert!(neighbours.values().all(|&times| times == rows / cells));
        }
    }
}
