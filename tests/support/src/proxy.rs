//! A way to a server that a test makes slow, narrow, deaf or shut while the program uses it.
//!
//! ```no_run
//! use std::time::Duration;
//! use streamgauge_support::proxy::{LinkFault, Proxy};
//!
//! let proxy = Proxy::to("127.0.0.1:9464");
//! let address = proxy.address(); // for the program, in place of the server's
//! proxy.set(LinkFault::Latency(Duration::from_millis(50)));
//! proxy.set(LinkFault::None);
//! let (to_server, to_client) = proxy.passed();
//! ```
//!
//! A Kafka tells its clients where to connect. So that all they send goes through a proxy, it has
//! to advertise the proxy's address: [`kafka::proxied`](crate::kafka::proxied) has both.
//!
//! Each direction of a connection has a thread that takes bytes in, and one that passes them on.
//! Nothing is passed out of order.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use streamgauge_actors::{Clock as _, Nanos, RunClock, SECOND};

/// Bytes taken in at once, at most.
const CHUNK: usize = 16 << 10;

/// Chunks under way in a direction of a connection, at most.
const CHUNKS: usize = 1 << 10;

/// What is wrong with the way to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkFault {
    /// Nothing.
    None,
    /// Every byte takes so much longer, in each direction.
    Latency(Duration),
    /// So many bytes a second pass in each direction, those of all connections together.
    Throttle(u64),
    /// Nothing passes, and nothing is lost: it passes once this is over.
    Stall,
    /// What is sent is swallowed, and connections stay. One that lost something this way stays deaf
    /// for ever.
    HalfOpen,
    /// Connections are closed; new ones are closed at once.
    Cut,
}

/// The way to a server. It is gone, with its connections, when this is dropped.
pub struct Proxy {
    address: SocketAddr,
    link: Arc<Link>,
    accepting: Option<JoinHandle<()>>,
}

/// What all connections share.
struct Link {
    server: String,
    clock: RunClock,
    state: Mutex<State>,
    changed: Condvar,
    /// Bytes that were passed on, by direction.
    passed: [AtomicU64; 2],
}

struct State {
    fault: LinkFault,
    is_over: bool,
    /// When the next byte may pass, by direction, where they are throttled.
    free_ns: [Nanos; 2],
    connections: Vec<Arc<Connection>>,
}

struct Connection {
    client: TcpStream,
    server: TcpStream,
    is_deaf: AtomicBool,
    /// Whether one of its directions has ended.
    has_half: AtomicBool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

/// Bytes, and when they arrive.
type Chunk = (Nanos, Vec<u8>);

impl Proxy {
    /// A way to the server at `server` (`host:port`), at an address of its own.
    pub fn to(server: &str) -> Self {
        Self::at("127.0.0.1:0", server)
    }

    /// The same at a certain address.
    pub fn at(address: &str, server: &str) -> Self {
        let door = TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        let address = door.local_addr().expect("a bound listener has an address");
        let state = State {
            fault: LinkFault::None,
            is_over: false,
            free_ns: [0; 2],
            connections: Vec::new(),
        };
        let link = Arc::new(Link {
            server: server.to_owned(),
            clock: RunClock::start(),
            state: Mutex::new(state),
            changed: Condvar::new(),
            passed: Default::default(),
        });
        let accepting = thread::spawn({
            let link = Arc::clone(&link);
            move || link.accept(&door)
        });
        Self { address, link, accepting: Some(accepting) }
    }

    /// Where clients connect: `host:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// From now on this is wrong with the way, and nothing else.
    pub fn set(&self, fault: LinkFault) {
        let mut state = self.link.state();
        state.fault = fault;
        state.free_ns = [0; 2];
        if fault == LinkFault::Cut {
            state.close_all();
        }
        self.link.changed.notify_all();
    }

    /// Bytes that were passed on: to the server, and to clients.
    pub fn passed(&self) -> (u64, u64) {
        let [to_server, to_client] = &self.link.passed;
        (to_server.load(Ordering::Relaxed), to_client.load(Ordering::Relaxed))
    }

    /// Connections that are open now.
    pub fn connections(&self) -> usize {
        self.link.state().connections.len()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        {
            let mut state = self.link.state();
            state.is_over = true;
            state.close_all();
            self.link.changed.notify_all();
        }
        // A last client wakes the thread that waits for clients.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl State {
    fn close_all(&mut self) {
        self.connections.drain(..).for_each(|connection| connection.close());
    }
}

impl Connection {
    fn close(&self) {
        // Either side may have closed it before.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

impl Link {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Self>, door: &TcpListener) {
        for client in door.incoming() {
            let mut state = self.state();
            if state.is_over {
                return;
            }
            let Ok(client) = client else { continue };
            // A client whose server is away is closed at once, as one that is cut off.
            if state.fault != LinkFault::Cut
                && let Ok(server) = TcpStream::connect(&self.server)
            {
                state.connections.extend(self.connect(client, server));
            }
        }
    }

    /// Begins to pass on what either side sends.
    fn connect(
        self: &Arc<Self>,
        client: TcpStream,
        server: TcpStream,
    ) -> std::io::Result<Arc<Connection>> {
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let connection = Connection {
            client: client.try_clone()?,
            server: server.try_clone()?,
            is_deaf: AtomicBool::new(false),
            has_half: AtomicBool::new(false),
        };
        let connection = Arc::new(connection);
        let ways = [
            (Direction::ToServer, client.try_clone()?, server.try_clone()?),
            (Direction::ToClient, server, client),
        ];
        for (direction, from, to) in ways {
            let (sender, chunks) = sync_channel(CHUNKS);
            let (link, its) = (Arc::clone(self), Arc::clone(&connection));
            thread::spawn(move || link.take_in(direction, from, &its, &sender));
            let (link, its) = (Arc::clone(self), Arc::clone(&connection));
            thread::spawn(move || link.pass_on(direction, to, &its, &chunks));
        }
        Ok(connection)
    }

    fn take_in(
        &self,
        direction: Direction,
        mut from: TcpStream,
        connection: &Arc<Connection>,
        sender: &SyncSender<Chunk>,
    ) {
        let mut buffer = [0; CHUNK];
        while let Ok(bytes @ 1..) = from.read(&mut buffer) {
            if let Some(due_ns) = self.due(direction, bytes, connection)
                && sender.send((due_ns, buffer[..bytes].to_vec())).is_err()
            {
                break;
            }
        }
        // Nobody hears of a server's end through a deaf connection. After the client's there is
        // nobody to hear.
        if connection.is_deaf.load(Ordering::Relaxed) && direction == Direction::ToServer {
            self.forget(connection);
        }
    }

    /// When bytes that were just sent may arrive, after waiting for room; `None`: never.
    fn due(&self, direction: Direction, bytes: usize, connection: &Connection) -> Option<Nanos> {
        let mut state = self.state();
        let mut due_ns = self.clock.now();
        loop {
            if connection.is_deaf.load(Ordering::Relaxed) {
                return None;
            }
            match state.fault {
                LinkFault::None | LinkFault::Cut => return Some(due_ns),
                LinkFault::Latency(longer) => return Some(due_ns + longer.as_nanos() as Nanos),
                LinkFault::HalfOpen => connection.is_deaf.store(true, Ordering::Relaxed),
                LinkFault::Throttle(per_second) => {
                    let free_ns = &mut state.free_ns[direction as usize];
                    let takes_ns = bytes as i64 * SECOND / per_second.max(1) as i64;
                    due_ns = (*free_ns).max(due_ns) + takes_ns;
                    *free_ns = due_ns;
                    return Some(self.wait_until(state, due_ns));
                }
                LinkFault::Stall if state.is_over => return None,
                LinkFault::Stall => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                    due_ns = self.clock.now();
                }
            }
        }
    }

    /// Waits until this time, or until something else is wrong with the way; gives that time.
    fn wait_until(&self, mut state: MutexGuard<'_, State>, due_ns: Nanos) -> Nanos {
        let fault = state.fault;
        loop {
            let now = self.clock.now();
            if now >= due_ns || state.fault != fault || state.is_over {
                return now;
            }
            let left = Duration::from_nanos((due_ns - now) as u64);
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn pass_on(
        &self,
        direction: Direction,
        mut to: TcpStream,
        connection: &Arc<Connection>,
        chunks: &Receiver<Chunk>,
    ) {
        for (due_ns, bytes) in chunks {
            let left = due_ns - self.clock.now();
            thread::sleep(Duration::from_nanos(left.max(0) as u64));
            if to.write_all(&bytes).is_err() {
                return self.forget(connection);
            }
            self.passed[direction as usize].fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        if !connection.is_deaf.load(Ordering::Relaxed) {
            // One side has said all, and may still listen. (It may be gone, too.)
            let _ = to.shutdown(Shutdown::Write);
            if connection.has_half.swap(true, Ordering::Relaxed) {
                self.forget(connection);
            }
        }
    }

    /// Closes a connection.
    fn forget(&self, connection: &Arc<Connection>) {
        connection.close();
        self.state().connections.retain(|other| !Arc::ptr_eq(other, connection));
    }
}
