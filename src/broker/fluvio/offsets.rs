//! What a partition holds, asked of its leader: the controller learns of it late.

use std::collections::BTreeMap;

use fluvio::metadata::partition::PartitionSpec;
use fluvio::metadata::spu::SpuSpec;
use fluvio_future::net::DomainConnector;
use fluvio_socket::{ClientConfig, MultiplexerSocket, SocketError, VersionedSerialSocket};
use fluvio_spu_schema::server::fetch_offset::FetchOffsetsRequest;
use streamgauge_actors::ports::{OffsetRange, PortError};

use super::{Cluster, cluster_config};
use crate::broker::deadline::Deadline;

/// The number of a topic's partition, from the partition's own name: `<topic>-<number>`.
pub(super) fn partition_id(name: &str, topic: &str) -> Option<u32> {
    name.strip_prefix(topic)?.strip_prefix('-')?.parse().ok()
}

/// Connections to the leaders of a topic's partitions.
pub(super) struct Leaders {
    topic: String,
    /// By partition: the streaming unit (SPU) that leads it.
    leaders: BTreeMap<u32, i32>,
    sockets: BTreeMap<i32, VersionedSerialSocket>,
}

impl Leaders {
    /// Connects to the leaders of all partitions of a topic; those that have no leader yet are missing.
    pub(super) fn of(cluster: &Cluster, topic: &str, deadline: &Deadline) -> Result<Self, PortError> {
        let admin = cluster.admin(topic, deadline)?;
        // The controller filters topics by name, and nothing else.
        let partitions = cluster.ask("describe", topic, deadline, admin.all::<PartitionSpec>())?;
        let units = cluster.ask("describe", topic, deadline, admin.all::<SpuSpec>())?;
        let mut leaders = BTreeMap::new();
        for partition in partitions {
            // Its status may say offline for ever (the controller drops an update that overtakes another): the leader knows.
            if let Some(id) = partition_id(&partition.name, topic) {
                leaders.insert(id, partition.spec.leader);
            }
        }
        let mut sockets = BTreeMap::new();
        for unit in units {
            if leaders.values().any(|&leader| leader == unit.spec.id) {
                let config = cluster_config(&cluster.settings)?;
                let connector = DomainConnector::try_from(config.tls).map_err(|error| {
                    PortError::fatal(format!("the files of `broker.fluvio.tls` cannot be used: {error:#}"))
                })?;
                let config = ClientConfig::new(&cluster.settings.endpoint, connector, false);
                let mut config = config.with_prefix_sni_domain(&unit.name);
                config.set_addr(unit.spec.public_endpoint.addr());
                let (socket, config, versions) =
                    cluster.ask("reach a leader of", topic, deadline, config.connect())?.split();
                let socket = MultiplexerSocket::shared(socket);
                sockets.insert(unit.spec.id, VersionedSerialSocket::new(socket, config, versions));
            }
        }
        Ok(Self { topic: topic.to_owned(), leaders, sockets })
    }

    /// The topic.
    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    /// How many partitions have a leader.
    pub(super) fn partitions(&self) -> usize {
        self.leaders.len()
    }

    /// Asks what a partition holds; `None`: its leader does not serve it (yet).
    pub(super) async fn range(&self, partition: u32) -> Result<Option<OffsetRange>, SocketError> {
        let Some(socket) = self.leaders.get(&partition).and_then(|leader| self.sockets.get(leader)) else {
            return Ok(None);
        };
        let answer = socket.send_receive(FetchOffsetsRequest::new(self.topic.clone(), partition)).await?;
        let found = answer.topics.into_iter().flat_map(|topic| topic.partitions).next();
        Ok(found.filter(|found| !found.error_code.is_error()).map(|found| OffsetRange {
            first: found.start_offset.max(0) as u64,
            end: found.last_stable_offset.max(0) as u64,
        }))
    }
}
