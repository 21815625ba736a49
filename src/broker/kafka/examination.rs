//! Whether a cluster's settings suit what a run asks of it: `doctor`'s questions. Nothing is
//! changed.

use std::collections::BTreeMap;

use streamgauge_actors::PortError;

use super::abilities::{Abilities, Kind};
use super::admin::KafkaAdmin;
use super::settings::KafkaSettings;
use crate::broker::adapter::BrokerNeeds;
use crate::broker::deadline::Deadline;
use crate::broker::remark::{Remark, Weight};

pub(super) fn examine(
    admin: &KafkaAdmin,
    abilities: &Abilities,
    settings: &KafkaSettings,
    wanted: &BrokerNeeds<'_>,
    deadline: &Deadline,
) -> Result<Vec<Remark>, PortError> {
    let (brokers, entries) = admin.brokers(deadline)?;
    let entries =
        entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect();
    let mut remarks: Vec<Remark> = kind(abilities, wanted).into_iter().collect();
    remarks.push(replicas(brokers, abilities, wanted));
    remarks.extend(of_settings(&Entries(entries), settings, wanted));
    if abilities.kind == Kind::Redpanda {
        remarks.push(Remark::ok(
            "disk",
            "waited for: topics made for runs have `write.caching=false`",
        ));
    }
    if !settings.is_plaintext() {
        remarks.push(Remark::ok("requests", "not asked for over TLS or SASL: taken to be Kafka's"));
    }
    Ok(remarks)
}

/// Whether the cluster is what the settings call it.
fn kind(abilities: &Abilities, wanted: &BrokerNeeds<'_>) -> Option<Remark> {
    let found = abilities.name();
    if found == wanted.kind {
        return None;
    }
    let what = if abilities.kind == Kind::Redpanda {
        "the cluster is Redpanda"
    } else {
        "nothing shows that it is Redpanda"
    };
    let fix = format!(
        "set `broker.kind` to `{found}`, or check the address; reports say `{found}` in any case"
    );
    Some(Remark::bad(
        "kind",
        Weight::Warn,
        format!("{what}, and `broker.kind` is `{}`", wanted.kind),
        fix,
    ))
}

fn replicas(brokers: usize, abilities: &Abilities, wanted: &BrokerNeeds<'_>) -> Remark {
    let replication = wanted.replication;
    let found = format!("{brokers} broker(s) for {replication} replica(s)");
    if usize::from(replication) > brokers {
        let fix = format!("lower `topics.replication` to {brokers}, or start more brokers");
        return Remark::bad("replicas", Weight::Fail, found, fix);
    }
    if abilities.kind == Kind::Redpanda && replication.is_multiple_of(2) {
        let fix = "set `topics.replication` to an odd number: Redpanda takes no other";
        return Remark::bad("replicas", Weight::Fail, found, fix);
    }
    Remark::ok("replicas", found)
}

/// A broker's settings, as far as they are shown.
struct Entries(BTreeMap<String, String>);

impl Entries {
    fn number(&self, name: &str) -> Option<u64> {
        self.0.get(name)?.parse().ok()
    }
}

fn of_settings(
    entries: &Entries,
    settings: &KafkaSettings,
    wanted: &BrokerNeeds<'_>,
) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let replication = u64::from(wanted.replication);
    match entries.number("min.insync.replicas") {
        Some(least) if least > replication => {
            let found = format!(
                "`min.insync.replicas` is {least}, and topics get {replication} replica(s)"
            );
            let fix =
                format!("raise `topics.replication` to {least}: every write is refused until then");
            remarks.push(Remark::bad("acknowledgements", Weight::Fail, found, fix));
        }
        Some(1) if replication > 1 => {
            let found =
                "`min.insync.replicas` is 1: while replicas lag, the leader alone acknowledges";
            let fix = "set it to 2 where figures are to hold for records that survive a broker";
            remarks.push(Remark::bad("acknowledgements", Weight::Warn, found, fix));
        }
        Some(least) => {
            let found = format!("by every replica in sync, at least {least} of {replication}");
            remarks.push(Remark::ok("acknowledgements", found));
        }
        None => {}
    }
    if entries.0.get("unclean.leader.election.enable").is_some_and(|value| value == "true") {
        let found = "`unclean.leader.election.enable` is on: a replica that lags may lead, and \
                     acknowledged events be gone";
        remarks.push(Remark::bad(
            "leaders",
            Weight::Warn,
            found,
            "switch it off, or expect lost events in the audit",
        ));
    }
    if let Some(most) = entries.number("message.max.bytes")
        && most < settings.section.batch_bytes.0
    {
        let batch = settings.section.batch_bytes.0;
        let found = format!(
            "`message.max.bytes` is {most}, less than `broker.kafka.batch_bytes` ({batch})"
        );
        let fix = format!(
            "lower `broker.kafka.batch_bytes` to {most}: the broker refuses fuller batches"
        );
        remarks.push(Remark::bad("batches", Weight::Fail, found, fix));
    }
    if let Some(records) = entries.number("log.flush.interval.messages") {
        let found = if records == 1 {
            "waited for: `log.flush.interval.messages` is 1".to_owned()
        } else {
            "not waited for: an acknowledged record may be in its replicas' memory alone".to_owned()
        };
        remarks.push(Remark::ok("disk", found));
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::kafka::section::defaults;

    fn abilities(kind: Kind) -> Abilities {
        Abilities {
            kind,
            cluster_id: None,
            version: None,
            idempotent: true,
            deletes_records: true,
            lacks: Vec::new(),
        }
    }

    fn wanted(kind: &str, replication: u16) -> BrokerNeeds<'_> {
        BrokerNeeds { kind, replication, ..BrokerNeeds::default() }
    }

    #[test]
    fn a_kind_that_is_not_the_clusters_is_named_with_the_right_one() {
        for (found, set, right) in [
            (Kind::Redpanda, "kafka", "`redpanda`"),
            (Kind::Kafka, "redpanda", "`kafka`"),
            (Kind::Other, "redpanda", "`kafka`"),
        ] {
            let remark = kind(&abilities(found), &wanted(set, 1)).expect("a mismatch");
            assert!(remark.found.contains(set) && remark.fix.expect("a fix").contains(right));
        }
        for (found, set) in
            [(Kind::Redpanda, "redpanda"), (Kind::Kafka, "kafka"), (Kind::Other, "kafka")]
        {
            assert_eq!(kind(&abilities(found), &wanted(set, 1)), None);
        }
    }

    #[test]
    fn replicas_need_brokers_and_an_odd_number_on_redpanda() {
        let weight = |brokers, kind, replication| {
            replicas(brokers, &abilities(kind), &wanted("kafka", replication)).weight
        };
        assert_eq!(weight(1, Kind::Kafka, 3), Weight::Fail);
        assert_eq!(weight(3, Kind::Kafka, 2), Weight::Ok);
        assert_eq!(weight(3, Kind::Redpanda, 2), Weight::Fail);
        assert_eq!(weight(3, Kind::Redpanda, 3), Weight::Ok);
    }

    #[test]
    fn settings_that_spoil_runs_or_figures_are_named() {
        let weights = |entries: &[(&str, &str)], replication| {
            let entries = entries
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            let remarks = of_settings(
                &Entries(entries),
                &KafkaSettings::new(&defaults()).unwrap(),
                &wanted("kafka", replication),
            );
            remarks.into_iter().map(|remark| (remark.check, remark.weight)).collect::<Vec<_>>()
        };
        assert_eq!(
            weights(&[("min.insync.replicas", "2")], 1),
            [("acknowledgements", Weight::Fail)]
        );
        assert_eq!(
            weights(&[("min.insync.replicas", "1")], 3),
            [("acknowledgements", Weight::Warn)]
        );
        assert_eq!(weights(&[("min.insync.replicas", "2")], 3), [("acknowledgements", Weight::Ok)]);
        assert_eq!(
            weights(&[("unclean.leader.election.enable", "true")], 1),
            [("leaders", Weight::Warn)]
        );
        assert_eq!(weights(&[("message.max.bytes", "999999")], 1), [("batches", Weight::Fail)]);
        assert_eq!(weights(&[("log.flush.interval.messages", "1")], 1), [("disk", Weight::Ok)]);
        assert_eq!(
            weights(
                &[("message.max.bytes", "1048588"), ("unclean.leader.election.enable", "false")],
                1
            ),
            []
        );
    }
}
