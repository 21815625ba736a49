//! The command to try next, by how a run went.

use streamgauge_actors::{ArrivalKind, Cause, Grade, MeasuredRates, Mode, RunOutcome};

use super::Report;
use crate::broker;

/// Whether a flag says which broker; a suggested command keeps it.
fn is_broker_flag(flag: &str) -> bool {
    let is_address = |name: &str| broker::addresses().any(|(_, address)| address.flag == name);
    matches!(flag, "--config" | "--broker") || flag.strip_prefix("--").is_some_and(is_address)
}

/// The share of what a broker took that it should take with ease.
const COMFORTABLE_SHARE: f64 = 0.8;

/// The command to try next after a run, whose report lacks nothing else. `cause`: what decided the
/// verdict.
pub fn next_step(outcome: &RunOutcome, cause: Cause, report: &Report) -> String {
    let rerun = &report.rerun;
    match (cause, cause.grade()) {
        (
            Cause::BrokerLimited
            | Cause::NotSustainedBroker
            | Cause::NotSustainedAggregator
            | Cause::NotSustainedGenerator,
            _,
        ) => at_a_comfortable_rate(outcome, rerun),
        (Cause::SustainedUndecided, _) => {
            let needed_s = report.sustained.undecided.as_ref().map_or(0, |it| it.needed_s);
            with_flag(rerun, "--duration", &format!("{needed_s}s"))
        }
        (Cause::InputUnit, _) => match outcome.suspected_unit() {
            Some((setting, unit)) => format!("{rerun} --set input.{setting}={unit}"),
            None => rerun.to_owned(),
        },
        (Cause::InputUnreadable, _) => after_unreadable_input(outcome, rerun),
        (Cause::ThresholdFailed, _) => after_a_failed_threshold(outcome, report),
        (_, Grade::Pass) => after_a_pass(outcome, rerun),
        (_, Grade::Error) => keeping_broker("streamgauge doctor", rerun),
        (_, Grade::WrongCount) => after_wrong_counts(outcome, rerun),
        (_, Grade::Inconclusive)
            if outcome.counters.sent_late_generator > 0 && !outcome.clock_stepped() =>
        {
            with_flag(rerun, "--rate", &rate_text(outcome.spec.workload.rate.0 / 2.0))
        }
        (_, Grade::Inconclusive | Grade::FellShort | Grade::Stopped) => rerun.to_owned(),
    }
}

/// A field that is missing may have another name; else the records themselves tell more.
fn after_unreadable_input(outcome: &RunOutcome, rerun: &str) -> String {
    let commonest = outcome.counters.malformed.commonest().map_or("", |(reason, ..)| reason);
    match commonest.strip_suffix(": missing") {
        Some(field) => format!("{rerun} --set input.fields.{field}=NAME"),
        None => keeping_broker(
            &format!("streamgauge topics describe {}", outcome.spec.topics.malformed),
            rerun,
        ),
    }
}

/// Less load helps a latency; what else was asked for may depend on anything.
fn after_a_failed_threshold(outcome: &RunOutcome, report: &Report) -> String {
    let too_slow =
        report.thresholds.iter().any(|row| !row.passed && row.expression.starts_with("latency."));
    let paced = outcome.mode.produces() && outcome.spec.workload.arrivals != ArrivalKind::Max;
    if too_slow && paced {
        at_a_comfortable_rate(outcome, &report.rerun)
    } else {
        report.rerun.clone()
    }
}

fn after_a_pass(outcome: &RunOutcome, rerun: &str) -> String {
    let spec = &outcome.spec;
    let embedded = outcome.broker.kind == "embedded";
    match outcome.mode {
        Mode::Run if spec.workload.name == "smoke" => keeping_broker("streamgauge run", rerun),
        Mode::Run if spec.workload.arrivals == ArrivalKind::Max => {
            at_a_comfortable_rate(outcome, &with_flag(rerun, "--arrivals", "poisson"))
        }
        Mode::Run => with_flag(rerun, "--arrivals", "max"),
        Mode::Produce if !embedded => {
            let topic = &spec.topics.events;
            let command = format!(
                "streamgauge aggregate --events-topic {topic} --from earliest --until-idle 5s"
            );
            keeping_broker(&command, rerun)
        }
        Mode::Aggregate(_) if !embedded => {
            let command = format!(
                "streamgauge latency --results-topic {} --until-idle 5s",
                spec.topics.results
            );
            keeping_broker(&command, rerun)
        }
        Mode::Produce | Mode::Aggregate(_) | Mode::Latency(_) => {
            keeping_broker("streamgauge run", rerun)
        }
    }
}

fn after_wrong_counts(outcome: &RunOutcome, rerun: &str) -> String {
    match outcome.mode {
        Mode::Aggregate(_) if outcome.counters.late > 0 => {
            let flag = outcome.lateness_flag();
            let (name, value) = flag.split_once(' ').unwrap_or((&flag, ""));
            with_flag(rerun, name, value)
        }
        // The records themselves tell more.
        Mode::Run if !words(rerun).contains(&"--keep-topics") => format!("{rerun} --keep-topics"),
        _ => rerun.to_owned(),
    }
}

fn at_a_comfortable_rate(outcome: &RunOutcome, rerun: &str) -> String {
    let MeasuredRates { acknowledged, consumed, .. } = outcome.throughput();
    let managed = if consumed > 0.0 { acknowledged.min(consumed) } else { acknowledged };
    let rate = if managed > 0.0 { managed } else { outcome.spec.workload.rate.0 };
    with_flag(rerun, "--rate", &rate_text(rate * COMFORTABLE_SHARE))
}

/// A rate of two significant digits, rounded down, as the settings read it: `38k/s`.
fn rate_text(per_second: f64) -> String {
    if per_second < 1.0 {
        return "1/s".to_owned();
    }
    let unit = 10_f64.powf((per_second.log10().floor() - 1.0).max(0.0));
    let rounded = ((per_second / unit).floor() * unit) as u64;
    if rounded >= 1000 && rounded.is_multiple_of(1000) {
        format!("{}k/s", rounded / 1000)
    } else {
        format!("{rounded}/s")
    }
}

/// `command`, with the broker's flags of `rerun`.
fn keeping_broker(command: &str, rerun: &str) -> String {
    let words = words(rerun);
    let mut text = command.to_owned();
    for (i, word) in words.iter().enumerate() {
        let (name, value) =
            word.split_once('=').map_or((*word, None), |(name, value)| (name, Some(value)));
        let Some(value) = value.or_else(|| words.get(i + 1).copied()) else { continue };
        let sets_broker =
            name == "--set" && value.trim_start_matches(['\'', '"']).starts_with("broker.");
        if is_broker_flag(name) || sets_broker {
            text.extend([" ", name, " ", value]);
        }
    }
    text
}

/// `command` with one flag set: in place of the value it has, or at the end.
fn with_flag(command: &str, flag: &str, value: &str) -> String {
    let mut kept = Vec::new();
    let mut words = words(command).into_iter();
    while let Some(word) = words.next() {
        if word == flag {
            words.next();
        } else if word.split_once('=').is_none_or(|(name, _)| name != flag) {
            kept.push(word);
        }
    }
    format!("{} {flag} {value}", kept.join(" "))
}

/// A command line's words, as they stand there: quotes hold one together.
pub(super) fn words(command: &str) -> Vec<&str> {
    let mut quote = None;
    let split = |c: char| {
        match quote {
            Some(open) if open == c => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            _ => {}
        }
        quote.is_none() && c.is_whitespace()
    };
    command.split(split).filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_replaced_not_doubled() {
        assert_eq!(
            with_flag("streamgauge run --rate 40k/s smoke", "--rate", "20k/s"),
            "streamgauge run smoke --rate 20k/s"
        );
        assert_eq!(
            with_flag("streamgauge run --rate=40k/s", "--rate", "20k/s"),
            "streamgauge run --rate 20k/s"
        );
        assert_eq!(words("a 'b c' --d=\"e f\""), ["a", "'b c'", "--d=\"e f\""]);
    }

    #[test]
    fn the_broker_stays() {
        let rerun = "streamgauge run smoke --broker kafka --bootstrap-servers=h:9092 --seed 7";
        assert_eq!(
            keeping_broker("streamgauge doctor", rerun),
            "streamgauge doctor --broker kafka --bootstrap-servers h:9092"
        );
        let rerun = "streamgauge run --set broker.kind=kafka --set topics.keep=true \
                     --set 'broker.kafka.x=a b'";
        assert_eq!(
            keeping_broker("streamgauge doctor", rerun),
            "streamgauge doctor --set broker.kind=kafka --set 'broker.kafka.x=a b'"
        );
    }

    #[test]
    fn rates_have_two_digits() {
        let texts = [0.2, 7.0, 999.0, 38_912.0, 1_234_567.0].map(rate_text);
        assert_eq!(texts, ["1/s", "7/s", "990/s", "38k/s", "1200k/s"]);
    }
}
