//! The rule on simulated queues: how often it calls an honest run wrong, and misses an overload.

use super::*;
use crate::testing::Dice;

/// Steps of a simulated second.
const STEPS: usize = 250;

/// What happens to a server whose load is 1.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    None,
    /// It stands still for 0.4 s now and then.
    Pauses,
    /// What it takes wanders about by a third.
    Noise,
    /// The load comes in bursts five times as dense.
    Bursts,
    /// It takes half for three seconds.
    ColdStart,
    /// It stands still for a second or two shortly before the end.
    StopNearEnd,
    /// Batches are handed over every so many milliseconds.
    Sawtooth(u32),
}

const TROUBLES: [Trouble; 8] = [
    Trouble::None,
    Trouble::Pauses,
    Trouble::Noise,
    Trouble::Bursts,
    Trouble::ColdStart,
    Trouble::StopNearEnd,
    Trouble::Sawtooth(40),
    Trouble::Sawtooth(100),
];

const LENGTHS: [usize; 4] = [5, 20, 60, 120];

/// A uniform draw from [0, 1).
fn uniform(dice: &mut Dice) -> f64 {
    dice.below(1 << 30) as f64 / f64::from(1 << 30)
}

/// W of every second before a server of this capacity, and what the schedule's bursts leave before
/// one that takes exactly the load.
fn play(trouble: Trouble, capacity: f64, seconds: usize, seed: u64) -> (Vec<f64>, f64) {
    let mut dice = Dice::new(seed);
    let (mut waiting, mut burst) = (0.0_f64, 0.0_f64);
    let (mut wandering, mut paused_until, mut is_burst) = (0.0, 0, false);
    let steps = seconds * STEPS;
    let stop = (seconds / 10).clamp(1, 2) * STEPS;
    let mut behind = vec![f64::INFINITY; seconds];
    for step in 0..steps {
        if step % (STEPS / 10) == 0 {
            wandering = 0.9 * wandering + 0.3 * (uniform(&mut dice) - 0.5);
            is_burst ^= uniform(&mut dice) < 0.05;
            if trouble == Trouble::Pauses && uniform(&mut dice) < 0.02 {
                paused_until = step + STEPS * 4 / 10;
            }
        }
        let load = match trouble {
            Trouble::Bursts if is_burst => 5.0 / 3.0,
            Trouble::Bursts => 1.0 / 3.0,
            _ => 1.0,
        };
        let taken = match trouble {
            Trouble::Pauses if step < paused_until => 0.0,
            Trouble::Noise => capacity * (1.0 + wandering),
            Trouble::ColdStart if step < 3 * STEPS => capacity.min(0.5),
            Trouble::StopNearEnd if (steps - STEPS - stop..steps - STEPS).contains(&step) => 0.0,
            _ => capacity,
        };
        waiting = (waiting + (load - taken) / STEPS as f64).max(0.0);
        burst = (burst + (load - 1.0) / STEPS as f64).max(0.0);
        let lingering = match trouble {
            Trouble::Sawtooth(every_ms) => {
                (step as f64 / STEPS as f64) % (f64::from(every_ms) / 1000.0)
            }
            _ => 0.0,
        };
        let second = &mut behind[step / STEPS];
        *second = second.min(waiting + lingering + 0.005);
    }
    (behind, burst)
}

/// Steady, growing, undecided.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Verdicts([u32; 3]);

fn judged(trouble: Trouble, capacity: f64, seconds: usize, seeds: u64) -> Verdicts {
    let mut verdicts = Verdicts::default();
    for seed in 0..seeds {
        let (behind, burst) = play(trouble, capacity, seconds, seed);
        let growth = Growth::of(&behind, 1.0, 0.0).unwrap();
        let place = match growth.tendency() {
            Tendency::Steady => 0,
            Tendency::Growing if growth.growth_s > growth.resolution_s + burst => 1,
            _ => 2,
        };
        verdicts.0[place] += 1;
    }
    verdicts
}

/// `cargo test -p streamgauge-actors --lib growth -- --nocapture` prints the table.
#[test]
fn honest_runs_are_never_called_wrong_and_no_overload_passes() {
    const SEEDS: u64 = 20;
    println!("trouble, seconds: of {SEEDS} runs [sustained, not sustained, undecided]");
    for trouble in TROUBLES {
        for seconds in LENGTHS {
            // At 60 % of what the server takes.
            let honest = judged(trouble, 1.0 / 0.6, seconds, SEEDS);
            let mut line = format!("{trouble:?}, {seconds}: honest {:?}", honest.0);
            assert_eq!(honest.0[1], 0, "{line}");
            for overload in [0.02, 0.08, 0.15] {
                let over = judged(trouble, 1.0 / (1.0 + overload), seconds, SEEDS);
                let percent = overload * 100.0;
                line = format!("{line}, {percent:.0} % over {:?}", over.0);
                // What grows by less than the resolution cannot be seen, and a server that wanders
                // may take all that comes for a while.
                let grown = overload / (1.0 + overload) * seconds as f64;
                let resolution = LEAST_GROWTH_S.max(seconds as f64 * GROWTH_SHARE);
                let wanders = matches!(trouble, Trouble::Bursts | Trouble::Noise);
                let seen = if wanders { 8.0 } else { 2.0 } * resolution;
                if grown > seen && trouble != Trouble::Bursts {
                    assert_eq!(over.0[0], 0, "{line}");
                }
            }
            println!("{line}");
        }
    }
}

#[test]
fn a_queue_that_grows_steadily_is_growing_and_one_that_empties_is_not() {
    let growing: Vec<f64> = (0..20).map(|second| 0.1 * f64::from(second)).collect();
    let growth = Growth::of(&growing, 1.0, 0.0).unwrap();
    assert_eq!(growth.tendency(), Tendency::Growing);
    assert!((growth.growth_s - 1.75).abs() < 0.01, "{growth:?}");
    let emptying: Vec<f64> = growing.iter().rev().copied().collect();
    assert_eq!(Growth::of(&emptying, 1.0, 0.0).unwrap().tendency(), Tendency::Steady);
    let hump = [0.0, 0.0, 0.0, 0.0, 1.0, 4.0, 9.0, 8.0, 7.0, 6.0];
    assert_eq!(Growth::of(&hump, 1.0, 0.0).unwrap().tendency(), Tendency::Falling);
    assert_eq!(Growth::of(&[0.0; 9], 1.0, 0.0).unwrap().tendency(), Tendency::Steady);
    assert_eq!(
        Growth::of(&[0.0, 0.0, 0.0, 0.0, 3.0], 1.0, 0.0).unwrap().tendency(),
        Tendency::Sudden
    );
    assert_eq!(Growth::of(&[0.0, 1.0, 2.0], 1.0, 0.0), None);
}

#[test]
fn a_slope_has_an_interval_as_wide_as_its_residuals_allow() {
    let line: Vec<f64> = (0..10).map(|second| 0.5 * f64::from(second)).collect();
    let slope = Slope::of(&line, 1.0).unwrap();
    assert!((slope.per_second - 0.5).abs() < 1e-9 && slope.half_width.unwrap() < 1e-6);
    // Least squares by hand: mean 1.25, slope 1.9 / 5, residuals 0.02, 0.14, -0.34, 0.18.
    let slope = Slope::of(&[0.7, 1.2, 1.1, 2.0], 1.0).unwrap();
    assert!((slope.per_second - 0.38).abs() < 1e-9, "{slope:?}");
    assert!(slope.half_width.unwrap() > 0.3, "{slope:?}");
    assert_eq!(Slope::of(&[1.0], 1.0), None);
}

#[test]
fn students_t_is_that_of_the_tables() {
    for (freedom, expected) in [(3.0, 3.182), (5.0, 2.571), (10.0, 2.228), (60.0, 2.000)] {
        let quantile = student_t_975(freedom);
        assert!((quantile / expected - 1.0).abs() < 0.02, "{freedom}: {quantile}");
    }
}
