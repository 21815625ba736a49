//! From lists of values to cells: every combination once, and the floor below each.
//!
//! A setting in a broker's own section (its lingers, its queues) counts only for the cells on
//! that broker: the others would be the same cell again and again.

/// The setting that names the broker.
pub const BROKER: &str = "broker.kind";

/// A setting, and the values that it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dimension {
    /// The setting: `workload.rate`.
    pub key: String,
    /// Where its values were given: `flag --rate`.
    pub origin: String,
    /// Its values, as texts.
    pub choices: Vec<String>,
}

/// One combination of values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// One value for each dimension; `None`: the setting makes no difference to this cell's broker.
    pub choices: Vec<Option<String>>,
    /// Whether it was asked for; if not, it was added as the floor of others.
    pub asked: bool,
}

/// All cells of a matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    /// What is varied; the first one is always [`BROKER`], be it with a single value.
    pub dimensions: Vec<Dimension>,
    /// Those asked for, in the order of their values, the last dimension's changing fastest; then
    /// the floors added.
    pub cells: Vec<Cell>,
}

impl Grid {
    /// Every combination of the dimensions' values, of which the first is [`BROKER`].
    /// `matters(broker, key)`: whether a setting makes a difference to cells on that broker.
    /// `floor`: the broker on which cells are added, if any.
    pub fn expand(
        dimensions: Vec<Dimension>,
        matters: &dyn Fn(&str, &str) -> bool,
        floor: Option<&str>,
    ) -> Self {
        debug_assert_eq!(dimensions.first().map(|first| first.key.as_str()), Some(BROKER));
        let mut combinations: Vec<Vec<String>> = vec![Vec::new()];
        for dimension in &dimensions {
            let longer = |start: &Vec<String>| {
                let start = start.clone();
                dimension
                    .choices
                    .iter()
                    .map(move |choice| [&start[..], std::slice::from_ref(choice)].concat())
            };
            combinations = combinations.iter().flat_map(longer).collect();
        }
        let reduced = |combination: &[String]| -> Vec<Option<String>> {
            let broker = &combination[0];
            let each = dimensions.iter().zip(combination);
            each.map(|(dimension, choice)| matters(broker, &dimension.key).then(|| choice.clone()))
                .collect()
        };
        let mut cells: Vec<Cell> = Vec::new();
        let mut add = |choices: Vec<Option<String>>, asked: bool| {
            if !cells.iter().any(|cell| cell.choices == choices) {
                cells.push(Cell { choices, asked });
            }
        };
        for combination in &combinations {
            add(reduced(combination), true);
        }
        for combination in floor.map(|floor| floors(&combinations, floor)).unwrap_or_default() {
            add(reduced(&combination), false);
        }
        Self { dimensions, cells }
    }

    /// How many cells an expansion would have at most, without making them.
    pub fn size(dimensions: &[Dimension]) -> u128 {
        dimensions.iter().map(|dimension| dimension.choices.len() as u128).product()
    }

    /// The cell on `floor` whose other settings are those of this one; `None`: this one is on it
    /// itself, or there is none.
    pub fn floor_of(
        &self,
        cell: usize,
        floor: &str,
        matters: &dyn Fn(&str, &str) -> bool,
    ) -> Option<usize> {
        let choices = &self.cells[cell].choices;
        if choices[0].as_deref() == Some(floor) {
            return None;
        }
        let keys = self.dimensions.iter().map(|dimension| dimension.key.as_str());
        let alike = |other: &Cell| {
            let mut pairs = keys.clone().zip(choices.iter().zip(&other.choices)).skip(1);
            // What only one of the two brokers has is compared with whatever the floor has.
            other.choices[0].as_deref() == Some(floor)
                && pairs.all(|(key, (own, others))| {
                    own == others || !matters(floor, key) || own.is_none()
                })
        };
        self.cells.iter().position(alike)
    }
}

/// The combinations, each on the floor's broker.
fn floors(combinations: &[Vec<String>], floor: &str) -> Vec<Vec<String>> {
    let on_floor = |combination: &Vec<String>| {
        let mut moved = combination.clone();
        floor.clone_into(&mut moved[0]);
        moved
    };
    combinations.iter().filter(|combination| combination[0] != floor).map(on_floor).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn dimension(key: &str, choices: &[&str]) -> Dimension {
        Dimension {
            key: key.to_owned(),
            origin: "flag".to_owned(),
            choices: choices.iter().map(|&choice| choice.to_owned()).collect(),
        }
    }

    fn matters(broker: &str, key: &str) -> bool {
        match key.strip_prefix("broker.") {
            Some("kind") | None => true,
            Some(own) => own.starts_with(&format!("{broker}.")),
        }
    }

    fn texts(grid: &Grid) -> Vec<String> {
        let text = |cell: &Cell| {
            let choices: Vec<&str> =
                cell.choices.iter().map(|choice| choice.as_deref().unwrap_or("-")).collect();
            format!("{}{}", choices.join(" "), if cell.asked { "" } else { " floor" })
        };
        grid.cells.iter().map(text).collect()
    }

    #[test]
    fn every_combination_and_one_floor_for_each_of_the_others() {
        let dimensions =
            vec![dimension(BROKER, &["kafka", "fluvio"]), dimension("workload.rate", &["1", "2"])];
        let grid = Grid::expand(dimensions.clone(), &matters, Some("embedded"));
        assert_eq!(
            texts(&grid),
            ["kafka 1", "kafka 2", "fluvio 1", "fluvio 2", "embedded 1 floor", "embedded 2 floor"]
        );
        let floors: Vec<_> = (0..6).map(|cell| grid.floor_of(cell, "embedded", &matters)).collect();
        assert_eq!(floors, [Some(4), Some(5), Some(4), Some(5), None, None]);
        let bare = Grid::expand(dimensions, &matters, None);
        assert_eq!(bare.cells.len(), 4);
        assert_eq!(bare.floor_of(0, "embedded", &matters), None);
    }

    #[test]
    fn a_floor_that_was_asked_for_is_not_added_again() {
        let dimensions = vec![
            dimension(BROKER, &["embedded", "kafka"]),
            dimension("workload.rate", &["1", "2"]),
        ];
        let grid = Grid::expand(dimensions, &matters, Some("embedded"));
        assert_eq!(texts(&grid), ["embedded 1", "embedded 2", "kafka 1", "kafka 2"]);
        assert_eq!(grid.floor_of(3, "embedded", &matters), Some(1));
    }

    #[test]
    fn a_brokers_own_setting_makes_no_cells_of_the_others() {
        let dimensions = vec![
            dimension(BROKER, &["embedded", "kafka"]),
            dimension("broker.kafka.events_linger", &["1ms", "5ms"]),
        ];
        let grid = Grid::expand(dimensions, &matters, Some("embedded"));
        assert_eq!(texts(&grid), ["embedded -", "kafka 1ms", "kafka 5ms"]);
        assert_eq!(grid.floor_of(2, "embedded", &matters), Some(0));
        let single = vec![
            dimension(BROKER, &["kafka"]),
            dimension("broker.kafka.events_linger", &["1ms", "5ms", "9ms"]),
        ];
        assert_eq!(
            texts(&Grid::expand(single, &matters, Some("embedded"))).last().unwrap(),
            "embedded - floor"
        );
    }

    proptest! {
        #[test]
        fn cells_are_all_different_and_all_there(
            sizes in prop::collection::vec(1_usize..4, 1..5), floor: bool,
        ) {
            let names: Vec<String> = (0..5).map(|n| n.to_string()).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let mut dimensions = vec![dimension(BROKER, &["kafka", "fluvio"])];
            dimensions.extend(sizes.iter().enumerate().map(|(i, &n)| {
                dimension(&format!("workload.k{i}"), &names[..n])
            }));
            let size = Grid::size(&dimensions);
            let grid = Grid::expand(dimensions, &matters, floor.then_some("embedded"));
            let choices = grid.cells.iter().map(|cell| cell.choices.clone());
            let distinct: BTreeSet<_> = choices.collect();
            prop_assert_eq!(distinct.len(), grid.cells.len());
            let asked = grid.cells.iter().filter(|cell| cell.asked).count() as u128;
            prop_assert_eq!(asked, size);
            prop_assert_eq!(grid.cells.len() as u128, if floor { size + size / 2 } else { size });
            // Every cell that is not the floor has one, which differs in nothing but the broker.
            let asked = grid.cells.iter().enumerate().filter(|(_, cell)| floor && cell.asked);
            for (at, cell) in asked {
                let floor = &grid.cells[grid.floor_of(at, "embedded", &matters).unwrap()];
                prop_assert_eq!(&floor.choices[1..], &cell.choices[1..]);
            }
        }
    }
}
