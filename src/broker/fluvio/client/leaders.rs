//! The leaders of a topic's partitions, and what each holds: the controller learns of that late.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use fluvio::metadata::partition::PartitionSpec;
use fluvio::metadata::spu::SpuSpec;
use fluvio_socket::{ClientConfig, MultiplexerSocket, SocketError, VersionedSerialSocket};
use fluvio_spu_schema::server::fetch_offset::FetchOffsetsRequest;
use streamgauge_actors::{MILLISECOND, Nanos, OffsetRange, PortError, Retry, SECOND};

use super::cluster::{Cluster, millis};
use super::tls;
use super::wait::within;
use crate::broker::deadline::Deadline;
use crate::broker::fluvio::section::FluvioSection;

/// From the beginning of a search to that of the next.
const SEARCH_NS: Nanos = 500 * MILLISECOND;

/// A controller that was just started may not know its topics yet: so long they are missed before
/// they count as gone.
const MISSED_NS: Nanos = 5 * SECOND;

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
    connect_timeout: Duration,
    socket: Mutex<Option<Arc<VersionedSerialSocket>>>,
}

impl Leaders {
    /// The leaders of all partitions of a topic; those that have no leader yet are missing.
    pub(super) fn of(
        cluster: &Cluster,
        topic: &str,
        deadline: &Deadline,
    ) -> Result<Self, PortError> {
        cluster.ask("find the leaders of", topic, deadline, Self::find(cluster, topic))
    }

    /// Finds the leaders, for as long as it takes.
    pub(super) async fn find(cluster: &Cluster, topic: &str) -> anyhow::Result<Self> {
        let admin = cluster.fluvio.admin().await;
        // The controller filters topics by name, and nothing else.
        let partitions = admin.all::<PartitionSpec>().await?;
        let units = admin.all::<SpuSpec>().await?;
        let mut leaders = BTreeMap::new();
        for partition in partitions {
            // Its status may say offline for ever (the controller drops an update that overtakes
            // another): the leader knows.
            if let Some(id) = partition_id(&partition.name, topic) {
                leaders.insert(id, partition.spec.leader);
            }
        }
        let connector = tls::connector(&cluster.settings.tls)?;
        let leading =
            units.into_iter().filter(|unit| leaders.values().any(|&leader| leader == unit.spec.id));
        let units = leading.map(|unit| {
            let config =
                ClientConfig::new(&cluster.settings.endpoint, connector.clone_box(), false);
            let mut config = config.with_prefix_sni_domain(&unit.name);
            config.set_addr(unit.spec.public_endpoint.addr());
            let connect_timeout = millis(cluster.settings.connect_timeout);
            (unit.spec.id, Unit { config, connect_timeout, socket: Mutex::new(None) })
        });
        Ok(Self { topic: topic.to_owned(), units: units.collect(), leaders })
    }

    /// Closes the connections: what is asked from now on goes through new ones.
    pub(super) fn disconnect(&self) {
        self.units.values().for_each(|unit| *unit.kept() = None);
    }

    /// The topic.
    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    /// How many partitions have a leader.
    pub(super) fn partitions(&self) -> usize {
        self.leaders.len()
    }

    fn unit(&self, partition: u32) -> Option<&Unit> {
        self.leaders.get(&partition).and_then(|leader| self.units.get(leader))
    }

    /// The connection to a partition's leader.
    pub(super) async fn socket_of(
        &self,
        partition: u32,
    ) -> Result<Arc<VersionedSerialSocket>, SocketError> {
        match self.unit(partition) {
            Some(unit) => unit.socket().await,
            None => {
                Err(io::Error::new(io::ErrorKind::NotConnected, "the partition has no leader")
                    .into())
            }
        }
    }

    /// Asks what a partition holds; `None`: its leader does not serve it (yet).
    pub(super) async fn range(&self, partition: u32) -> Result<Option<OffsetRange>, SocketError> {
        if self.unit(partition).is_none() {
            return Ok(None);
        }
        let socket = self.socket_of(partition).await?;
        let answer =
            socket.send_receive(FetchOffsetsRequest::new(self.topic.clone(), partition)).await?;
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
        let Some(connected) = within(self.connect_timeout, self.config.recreate().connect()).await
        else {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no connection in time").into());
        };
        let (socket, config, versions) = connected?.split();
        let socket = Arc::new(VersionedSerialSocket::new(
            MultiplexerSocket::shared(socket),
            config,
            versions,
        ));
        *self.kept() = Some(Arc::clone(&socket));
        Ok(socket)
    }

    fn kept(&self) -> MutexGuard<'_, Option<Arc<VersionedSerialSocket>>> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks for the leaders anew, after trouble with those that are known.
pub(super) struct LeaderSearch {
    settings: FluvioSection,
    topic: String,
    wanted: bool,
    search: Option<Search>,
    /// The next search begins no sooner.
    next_ns: Nanos,
    /// Since when the controller says that there is no such topic.
    missing_ns: Option<Nanos>,
}

type Search = Pin<Box<dyn Future<Output = Result<Leaders, PortError>> + Send>>;

impl LeaderSearch {
    pub(super) fn new(settings: FluvioSection, topic: String) -> Self {
        Self { settings, topic, wanted: false, search: None, next_ns: 0, missing_ns: None }
    }

    /// Leaders are wanted: [`Self::poll`] searches until it has found them.
    pub(super) fn want(&mut self) {
        self.wanted = true;
    }

    /// The leaders, once they are found.
    ///
    /// # Errors
    /// [`PortError`]: there is no such topic any more.
    pub(super) fn poll(
        &mut self,
        now: Nanos,
        context: &mut Context<'_>,
    ) -> Poll<Result<Leaders, PortError>> {
        if !self.wanted {
            return Poll::Pending;
        }
        if self.search.is_none() && now >= self.next_ns {
            self.next_ns = now + SEARCH_NS;
            self.search = Some(Box::pin(search(self.settings.clone(), self.topic.clone())));
        }
        let Some(Poll::Ready(found)) =
            self.search.as_mut().map(|search| search.as_mut().poll(context))
        else {
            return Poll::Pending;
        };
        self.search = None;
        match found {
            Ok(leaders) => {
                (self.wanted, self.missing_ns) = (false, None);
                Poll::Ready(Ok(leaders))
            }
            Err(error) if error.retry == Retry::GiveUp => {
                let since = *self.missing_ns.get_or_insert(now);
                if now - since >= MISSED_NS { Poll::Ready(Err(error)) } else { Poll::Pending }
            }
            Err(error) => {
                tracing::debug!("the leaders are not known yet: {error}");
                Poll::Pending
            }
        }
    }
}

/// The leaders of a topic's partitions, through a new connection.
async fn search(settings: FluvioSection, topic: String) -> Result<Leaders, PortError> {
    let timeout = millis(settings.connect_timeout);
    let searched = within(timeout, async {
        let cluster = Cluster::reach(settings).await?;
        match Leaders::find(&cluster, &topic).await {
            Ok(leaders) if leaders.partitions() == 0 => Err(cluster.no_such_topic(&topic)),
            Ok(leaders) => Ok(leaders),
            Err(error) => Err(cluster.topic_error("find the leaders of", &topic, &error.into())),
        }
    });
    searched.await.unwrap_or_else(|| Err(PortError::again("no answer in time".to_owned())))
}

/// The leaders behind writers that were made together, and the search for new ones.
pub(super) struct SharedLeaders {
    present: Mutex<Arc<Leaders>>,
    search: Mutex<LeaderSearch>,
    /// Why nothing can be written any more.
    failure: Mutex<Option<PortError>>,
}

impl SharedLeaders {
    pub(super) fn new(leaders: Arc<Leaders>, settings: &FluvioSection, topic: &str) -> Self {
        Self {
            present: Mutex::new(leaders),
            search: Mutex::new(LeaderSearch::new(settings.clone(), topic.to_owned())),
            failure: Mutex::default(),
        }
    }

    /// Leaders are wanted.
    pub(super) fn want(&self) {
        self.search.lock().unwrap_or_else(PoisonError::into_inner).want();
    }

    /// Searches on, where leaders are wanted and no other writer is at it; gives those that are
    /// known.
    pub(super) fn leaders(
        &self,
        now: Nanos,
        context: &mut Context<'_>,
    ) -> Result<Arc<Leaders>, PortError> {
        let known = || self.present.lock().unwrap_or_else(PoisonError::into_inner);
        let failure = || self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(mut search) = self.search.try_lock() {
            match search.poll(now, context) {
                Poll::Pending => {}
                Poll::Ready(Ok(leaders)) => *known() = Arc::new(leaders),
                Poll::Ready(Err(error)) => *failure() = Some(error),
            }
        }
        let failed = failure().clone();
        failed.map_or_else(|| Ok(Arc::clone(&known())), Err)
    }
}
