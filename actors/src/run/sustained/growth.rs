//! How W grew over the judged seconds.

use serde::{Deserialize, Serialize};

/// Growth that no run of ordinary length can be told apart from none, seconds.
const LEAST_GROWTH_S: f64 = 0.1;
/// The same as a part of the judged time.
const GROWTH_SHARE: f64 = 0.005;
/// A queue that grows all the time had at least so much of its growth a fifth of the time before.
const GROWN_BEFORE: f64 = 0.4;
/// Seconds that tell whether W is falling, at least.
const LEAST_FALL: usize = 3;
/// What the judged time is at least stretched to where it decided nothing.
const STRETCH: f64 = 2.0;

/// Where W is going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tendency {
    /// It did not grow.
    Steady,
    /// It grew, and was not falling at the end.
    Growing,
    /// It was greater at the end than at the beginning, and falling.
    Falling,
    /// It grew in the last fifth alone.
    Sudden,
}

/// Why it cannot be told whether a run kept up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Undecided {
    /// A sentence for people, without an end.
    pub why: String,
    /// A measured part of so many seconds would decide it.
    pub needed_s: u64,
}

impl Undecided {
    /// Only so many seconds could be judged.
    pub(super) fn too_short(judged: usize, needed: usize) -> Self {
        Self { why: format!("only {judged} s could be judged"), needed_s: needed as u64 }
    }
}

/// How much further behind a run was at its end than at its best.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Growth {
    /// Median of the last fifth less the least of the first half, seconds.
    pub(super) growth_s: f64,
    /// At most so much is none, seconds.
    pub(super) resolution_s: f64,
    /// Median of the fifth before the last less the least of the first half, seconds.
    before_s: f64,
    is_falling: bool,
    judged_s: f64,
}

impl Growth {
    /// Of W in every judged row of so many seconds, in order, which moves by itself by steps of
    /// `step_s`; `None`: there are too few.
    pub(super) fn of(behind_s: &[f64], row_s: f64, step_s: f64) -> Option<Self> {
        let count = behind_s.len();
        if count < 4 {
            return None;
        }
        let fifth = (count / 5).max(1);
        let (before, last) =
            (&behind_s[count - 2 * fifth..count - fifth], &behind_s[count - fifth..]);
        let best = behind_s[..count / 2].iter().copied().fold(f64::INFINITY, f64::min);
        let judged_s = count as f64 * row_s;
        Some(Self {
            growth_s: median(last) - best,
            resolution_s: LEAST_GROWTH_S.max(judged_s * GROWTH_SHARE) + step_s,
            before_s: median(before) - best,
            is_falling: Slope::of(&behind_s[count - fifth.max(LEAST_FALL)..], row_s)
                .is_some_and(|slope| slope.per_second < 0.0),
            judged_s,
        })
    }

    pub(super) fn tendency(&self) -> Tendency {
        if self.growth_s <= self.resolution_s {
            Tendency::Steady
        } else if self.is_falling {
            Tendency::Falling
        } else if self.before_s < GROWN_BEFORE * self.growth_s {
            Tendency::Sudden
        } else {
            Tendency::Growing
        }
    }

    /// What to say where it decides nothing. As long as the same growth is within the resolution of
    /// a longer run, that run decides.
    pub(super) fn undecided(&self, tendency: Tendency) -> Undecided {
        let (growth_s, judged_s) = (self.growth_s, self.judged_s);
        let why = match tendency {
            Tendency::Falling => "and was falling again",
            Tendency::Sudden => "and only at its end",
            Tendency::Growing | Tendency::Steady => "which bursts of its schedule may explain",
        };
        Undecided {
            why: format!("the backlog grew by {growth_s:.1} s in {judged_s:.0} s, {why}"),
            needed_s: (growth_s / GROWTH_SHARE).max(STRETCH * judged_s).ceil() as u64,
        }
    }
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

/// A straight line through values that are evenly apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Slope {
    pub(super) per_second: f64,
    /// Half the width of its 95 % confidence interval; `None`: too few values that tell.
    pub(super) half_width: Option<f64>,
}

impl Slope {
    /// By least squares, of values so many seconds apart; `None`: of fewer than two. Its error is
    /// that of as many values as tell something of their own: n (1 - r) / (1 + r), with r the
    /// residuals' correlation from one to the next (Zwiers and von Storch, *Taking serial
    /// correlation into account in tests of the mean*, 1995).
    pub(super) fn of(values: &[f64], row_s: f64) -> Option<Self> {
        let count = values.len();
        if count < 2 {
            return None;
        }
        let middle = (count as f64 - 1.0) / 2.0;
        let mean = values.iter().sum::<f64>() / count as f64;
        let place = |at: usize| (at as f64 - middle) * row_s;
        let variance: f64 = (0..count).map(|at| place(at).powi(2)).sum();
        let covariance: f64 = values.iter().enumerate().map(|(at, y)| place(at) * (y - mean)).sum();
        let per_second = covariance / variance;
        let residuals: Vec<f64> =
            values.iter().enumerate().map(|(at, y)| y - mean - per_second * place(at)).collect();
        let squares: f64 = residuals.iter().map(|residual| residual * residual).sum();
        let lagged: f64 = residuals.windows(2).map(|pair| pair[0] * pair[1]).sum();
        let correlation = if squares > 0.0 { (lagged / squares).clamp(0.0, 0.99) } else { 0.0 };
        let effective = count as f64 * (1.0 - correlation) / (1.0 + correlation);
        let freedom = effective - 2.0;
        let half_width = (freedom >= 1.0)
            .then(|| student_t_975(freedom) * (squares / freedom / variance).sqrt());
        Some(Self { per_second, half_width })
    }
}

/// The 97.5 % quantile of Student's t, at least one degree of freedom: the expansion about the
/// normal quantile (Abramowitz and Stegun, 26.7.5), within 2 % from three degrees on.
fn student_t_975(freedom: f64) -> f64 {
    let z: f64 = 1.959_964;
    let first = (z.powi(3) + z) / 4.0;
    let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
    let third = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0;
    z + first / freedom + second / freedom.powi(2) + third / freedom.powi(3)
}

#[cfg(test)]
mod tests;
