//! What a partition holds, asked of its leader: the controller learns of it late.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fluvio::metadata::partition::PartitionSpec;
use fluvio::metadata::spu::SpuSpec;
use fluvio_socket::{ClientConfig, MultiplexerSocket, SocketError, VersionedSerialSocket};
use fluvio_spu_schema::server::fetch_offset::FetchOffsetsRequest;
use streamgauge_actors::ports::{OffsetRange, PortError};

use super::{Cluster, cluster_config, tls_connector};
use crate::broker::deadline::Deadline;

/// The number of a topic's partition, from the partition's own name: `<topic>-<number>`.
pub(super) fn partition_id(name: &str, topic: &str) -> Option<u32> {
    name.strip_prefix(topic)?.strip_prefix('-')?.parse().ok()
}

/// The leaders of a topic's partitions.
pub(super) struct Leaders {
    topic: String,
    /// By partition: the streaming unit (SPU) that leads it.
    leaders: BTreeMap<u32, i32>,
    units: BTreeMap<i32, Unit>,
}

/// A streaming unit, and the connection to it, once there is one.
struct Unit {
    config: ClientConfig,
    socket: Mutex<Option<Arc<VersionedSerialSocket>>>,
}

impl Leaders {
    /// The leaders of all partitions of a topic; those that have no leader yet are missing.
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
        let connector = tls_connector(&cluster_config(&cluster.settings)?)?;
        let leading = units.into_iter().filter(|unit| leaders.values().any(|&leader| leader == unit.spec.id));
        let units = leading.map(|unit| {
            let config = ClientConfig::new(&cluster.settings.endpoint, connector.clone_box(), false);
            let mut config = config.with_prefix_sni_domain(&unit.name);
            config.set_addr(unit.spec.public_endpoint.addr());
            (unit.spec.id, Unit { config, socket: Mutex::new(None) })
        });
        Ok(Self { topic: topic.to_owned(), units: units.collect(), leaders })
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
        let Some(unit) = self.leaders.get(&partition).and_then(|leader| self.units.get(leader)) else {
            return Ok(None);
        };
        let socket = unit.socket().await?;
        let answer = socket.send_receive(FetchOffsetsRequest::new(self.topic.clone(), partition)).await?;
        let found = answer.topics.into_iter().flat_map(|topic| topic.partitions).next();
        Ok(found.filter(|found| !found.error_code.is_error()).map(|found| OffsetRange {
            first: found.start_offset.max(0) as u64,
            end: found.last_stable_offset.max(0) as u64,
        }))
    }
}

impl Unit {
    /// The connection, made anew where it is closed.
    async fn socket(&self) -> Result<Arc<VersionedSerialSocket>, SocketError> {
        let open = self.kept().clone().filter(|socket| !socket.is_stale());
        if let Some(socket) = open {
            return Ok(socket);
        }
        let (socket, config, versions) = self.config.recreate().connect().await?.split();
        let socket = Arc::new(VersionedSerialSocket::new(MultiplexerSocket::shared(socket), config, versions));
        *self.kept() = Some(Arc::clone(&socket));
        Ok(socket)
    }

    fn kept(&self) -> MutexGuard<'_, Option<Arc<VersionedSerialSocket>>> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
