//! The cells' settings, resolved and checked before anything runs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use streamgauge_actors::{Nanos, SECOND};

use super::cells::{BROKER, Dimension, Grid};
use super::order::rounds;
use super::problems::Problems;
use super::request::{Request, WITH_FLAG, With, dimensions, further_settings};
use super::setting::{has, remove, shown};
use crate::broker::{BrokerKind, PROFILES, Profile};
use crate::config::{self, Assignment, ConfigError, Layers, ResolvedSettings};
use crate::plan::check_whole_run;

/// Cells at most: more is most likely a slip, and a report that nobody reads.
pub const MAX_CELLS: usize = 256;

/// What a run takes besides its schedule, about: topics made and deleted, the last window written
/// and audited.
const OVERHEAD_NS: Nanos = SECOND;

/// A matrix that can be run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What all cells have in common.
    pub base: ResolvedSettings,
    /// The settings that are varied: those of which not all cells have the same value.
    pub varied: Vec<String>,
    /// The cells: those asked for, then the floors added.
    pub cells: Vec<PlannedCell>,
    /// Which cell comes when, round by round.
    pub order: Vec<Vec<usize>>,
    /// The lists that were asked for, to be written as a command again.
    pub dimensions: Vec<Dimension>,
    /// Further settings of some cells, to be written as a command again.
    pub with: Vec<With>,
    /// Values of the cells compared with, to be written as a command again.
    pub baseline: Vec<(String, String)>,
}

/// One cell.
#[derive(Clone, Debug)]
pub struct PlannedCell {
    /// Its settings.
    pub resolved: ResolvedSettings,
    /// The varied settings with their values here; `None`: makes no difference to this cell.
    pub values: BTreeMap<String, Option<String>>,
    /// Its values, in the order of [`Plan::varied`]: `embedded, 10k/s, partitions 4`.
    pub name: String,
    /// Whether it was asked for; if not, it was added as a floor.
    pub asked: bool,
    /// Whether it is on the embedded log, while others are not.
    pub is_floor: bool,
    /// The cell on the embedded log below it.
    pub floor: Option<usize>,
    /// The cell that it is compared with; `None`: with none, since it is one itself, or was not
    /// asked for.
    pub baseline: Option<usize>,
}

impl Plan {
    /// Resolves and checks everything.
    ///
    /// # Errors
    /// [`ConfigError`] with all that is wrong, in any cell.
    pub fn new(request: Request) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        let base = problems.take(request.layers.load());
        let own = base.as_ref().map(|base| &base.settings.matrix);
        let dimensions = dimensions(&request, base.as_ref());
        for dimension in &dimensions {
            if let Some(why) = config::refused_in_matrix(&dimension.key) {
                problems.add(&dimension.origin, &dimension.key, why);
            }
        }
        let with = further_settings(request.with, base.as_ref(), &mut problems);
        if Grid::size(&dimensions) > MAX_CELLS as u128 {
            let size = Grid::size(&dimensions);
            let message = format!(
                "makes {size} cells, and {MAX_CELLS} is the most: give fewer values, or several \
                 matrices"
            );
            problems.add("matrix", "matrix.vary", message);
            return Err(problems.into_error());
        }
        let floor = own.is_none_or(|own| own.floor).then_some(BrokerKind::in_process().name());
        let grid = Grid::expand(dimensions.clone(), &matters, floor);
        let cells = resolve(&request.layers, &grid, &with, &mut problems);
        let is_resolved = problems.is_empty();
        for each in with.iter().filter(|each| is_resolved && each.assignment.origin == WITH_FLAG) {
            if !cells.iter().any(|cell| each.fits(&cell.settings)) {
                let message =
                    format!("is `{}` in no cell, so that nothing goes with it", each.value);
                problems.add(WITH_FLAG, &each.key, message);
            }
        }
        let (Some(base), true) = (base, problems.is_empty()) else {
            return Err(problems.into_error());
        };
        let mut plan = Self {
            order: rounds(
                grid.cells.len(),
                base.settings.matrix.repetitions,
                base.settings.matrix.seed,
            ),
            varied: Vec::new(),
            cells: Vec::new(),
            dimensions,
            with,
            baseline: request.baseline,
            base,
        };
        plan.describe(&grid, cells);
        plan.refuse_twins(&grid, &mut problems);
        plan.set_baselines(&mut problems);
        if problems.is_empty() { Ok(plan) } else { Err(problems.into_error()) }
    }

    /// How many runs there will be.
    pub fn runs(&self) -> usize {
        self.order.iter().map(Vec::len).sum()
    }

    /// The settings that all cells have in common: without those that are varied, or set in some of
    /// them.
    pub fn in_common(&self) -> Json {
        let mut settings = self.base.settings.to_json();
        let further = self.with.iter().map(|each| &each.assignment.key);
        for key in self.varied.iter().chain(further) {
            remove(&mut settings, key);
        }
        remove(&mut settings, "matrix");
        settings
    }

    /// Whether cells may differ in this setting: it is varied, or set for some of them.
    pub(super) fn names(&self, key: &str) -> bool {
        let further = self.with.iter().map(|each| &each.assignment.key);
        self.varied.iter().chain(further).any(|named| named == key)
    }

    /// About how long all of them take.
    pub fn expected_ns(&self) -> Nanos {
        let of_cell = |&cell: &usize| {
            let workload = &self.cells[cell].resolved.settings.workload;
            workload.warmup_ns() + workload.duration.as_nanos() + OVERHEAD_NS
        };
        self.order.iter().flatten().map(of_cell).sum()
    }

    /// Names the cells, and finds what varies and what is the floor.
    fn describe(&mut self, grid: &Grid, resolved: Vec<ResolvedSettings>) {
        let embedded = BrokerKind::in_process().name();
        let keys: Vec<&String> = grid.dimensions.iter().map(|dimension| &dimension.key).collect();
        let values: Vec<Vec<Option<String>>> = grid
            .cells
            .iter()
            .zip(&resolved)
            .map(|(cell, resolved)| {
                let json = resolved.settings.to_json();
                keys.iter()
                    .zip(&cell.choices)
                    .map(|(key, choice)| choice.as_ref().map(|_| shown(&json, key)))
                    .collect()
            })
            .collect();
        let is_varied = |at: &usize| values.iter().any(|cell| cell[*at] != values[0][*at]);
        let varied: Vec<usize> = (0..keys.len()).filter(is_varied).collect();
        let has_others =
            resolved.iter().any(|cell| !cell.settings.broker.kind.profile().is_in_process());
        self.varied = varied.iter().map(|&at| keys[at].clone()).collect();
        self.cells = resolved
            .into_iter()
            .enumerate()
            .map(|(at, resolved)| {
                let own: Vec<(String, Option<String>)> = varied
                    .iter()
                    .map(|&key| (keys[key].clone(), values[at][key].clone()))
                    .collect();
                let named: Vec<String> = own
                    .iter()
                    .filter_map(|(key, value)| Some(named(key, value.as_deref()?)))
                    .collect();
                PlannedCell {
                    name: if named.is_empty() {
                        resolved.settings.workload.name.clone()
                    } else {
                        named.join(", ")
                    },
                    values: own.iter().cloned().collect(),
                    asked: grid.cells[at].asked,
                    is_floor: has_others && resolved.settings.broker.kind.profile().is_in_process(),
                    floor: grid.floor_of(at, embedded, &matters),
                    baseline: None,
                    resolved,
                }
            })
            .collect();
    }

    /// Cells with the very same settings would be one cell under two names.
    fn refuse_twins(&self, grid: &Grid, problems: &mut Problems) {
        let written = |at: usize| {
            grid.cells[at].choices.iter().flatten().cloned().collect::<Vec<_>>().join(", ")
        };
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for (at, cell) in self.cells.iter().enumerate().filter(|(_, cell)| cell.asked) {
            let settings = serde_json::to_string(&cell.resolved.settings).unwrap_or_default();
            if let Some(first) = seen.insert(settings, at) {
                let (first, second) = (written(first), written(at));
                let message = format!(
                    "makes two cells of the same settings (`{first}` and `{second}`): leave one out"
                );
                problems.add("matrix", "matrix.vary", message);
            }
        }
    }

    /// Finds the cell that each one is compared with.
    fn set_baselines(&mut self, problems: &mut Problems) {
        const FLAG: &str = "flag --baseline";
        for (key, value) in &self.baseline {
            let choices: BTreeSet<&str> =
                self.cells.iter().filter_map(|cell| cell.values.get(key)?.as_deref()).collect();
            if choices.is_empty() {
                problems.add(
                    FLAG,
                    key,
                    format!("is not varied: that is {}", self.varied.join(", ")),
                );
            } else if !self.cells.iter().any(|cell| cell.asked && cell.has(key, value)) {
                let choices = choices.into_iter().collect::<Vec<_>>().join(", ");
                problems.add(
                    FLAG,
                    key,
                    format!("is `{value}` in no cell that was asked for: it takes {choices}"),
                );
            }
        }
        let first = self.cells.iter().position(|cell| !cell.is_floor);
        for at in 0..self.cells.len() {
            let found = if self.baseline.is_empty() { first } else { self.counterpart(at) };
            self.cells[at].baseline =
                found.filter(|&baseline| baseline != at && self.cells[at].asked);
        }
    }

    /// The cell with the baseline's values, and otherwise those of this one.
    fn counterpart(&self, at: usize) -> Option<usize> {
        let own = &self.cells[at];
        let fits = |other: &PlannedCell| {
            let is_given = |key: &String| self.baseline.iter().any(|(given, _)| given == key);
            let alike = |key: &String| {
                let (mine, others) = (&own.values[key], &other.values[key]);
                mine == others || mine.is_none() || others.is_none()
            };
            other.asked
                && self.baseline.iter().all(|(key, value)| other.has(key, value))
                && self.varied.iter().all(|key| is_given(key) || alike(key))
        };
        self.cells.iter().position(fits)
    }
}

impl PlannedCell {
    /// Whether this setting has this value here, be it written so or as the report shows it.
    fn has(&self, key: &str, value: &str) -> bool {
        let is_own = self.values.get(key).is_some_and(Option::is_some);
        is_own && has(&self.resolved.settings, key, value)
    }
}

/// Settings whose values say themselves what they are.
const NAMED_BY_VALUE: [&str; 3] = [BROKER, "workload.rate", "workload.arrivals"];

/// A setting's value in a cell's name: `embedded`, `partitions 4`.
fn named(key: &str, value: &str) -> String {
    let last = key.rsplit('.').next().unwrap_or(key);
    if NAMED_BY_VALUE.contains(&key) {
        value.to_owned()
    } else {
        format!("{} {value}", last.replace('_', " "))
    }
}

/// Whether a setting makes a difference to runs on this broker: all do, but those of other brokers'
/// own sections. (A broker may have no section of its own name.)
fn matters(broker: &str, key: &str) -> bool {
    let is_in = |profile: &&&Profile| {
        key.strip_prefix(profile.section).is_some_and(|rest| rest.starts_with('.'))
    };
    PROFILES.iter().find(is_in).is_none_or(|owner| {
        broker.parse::<BrokerKind>().is_ok_and(|kind| kind.profile().section == owner.section)
    })
}

/// The settings of every cell; what is wrong with any of them becomes problems.
fn resolve(
    layers: &Layers,
    grid: &Grid,
    with: &[With],
    problems: &mut Problems,
) -> Vec<ResolvedSettings> {
    let mut cells = Vec::new();
    for cell in &grid.cells {
        let mut layers = layers.clone();
        for (dimension, choice) in grid.dimensions.iter().zip(&cell.choices) {
            let Some(value) =
                choice.as_ref().filter(|_| !dimension.origin.is_empty() || !cell.asked)
            else {
                continue;
            };
            let origin =
                if dimension.origin.is_empty() { "floor" } else { dimension.origin.as_str() };
            layers.flags.push(Assignment {
                origin: origin.to_owned(),
                key: dimension.key.clone(),
                value: value.clone(),
            });
        }
        if !cell.asked {
            // Topics that are there already are on the other broker.
            for key in ["topics.events", "topics.results"] {
                layers.flags.push(Assignment {
                    origin: "floor".to_owned(),
                    key: key.to_owned(),
                    value: String::new(),
                });
            }
        }
        let Some(plain) = problems.take(layers.load()) else { continue };
        let fitting = with.iter().filter(|each| each.fits(&plain.settings));
        let further: Vec<Assignment> = fitting.map(|each| each.assignment.clone()).collect();
        let resolved = if further.is_empty() {
            Some(plain)
        } else {
            layers.flags.extend(further);
            problems.take(layers.load())
        };
        if let Some(resolved) = resolved {
            problems.take(check_whole_run(&resolved));
            cells.push(resolved);
        }
    }
    cells
}
