//! A faulty network: stands between clients and Postgres, and does to their bytes what it is told.
//!
//! Faults are switched at run time ([`Proxy::set`], for all or for connections known by a statement
//! they sent). Needs nothing but tokio, so that other test programs take it by `#[path]`. Clients
//! connect with `sslmode=disable`, as [`Proxy::url`] says.

#[path = "proxy/carry.rs"]
mod carry;
#[path = "proxy/stream.rs"]
mod stream;
#[path = "proxy/wire.rs"]
pub(crate) mod wire;

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};

use stream::Door;

/// Where Postgres listens.
#[derive(Clone, Debug)]
pub(crate) enum Server {
    /// An address.
    Tcp(SocketAddr),
    /// The folder of its socket.
    Unix(PathBuf),
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// What the client sends.
    ToServer,
    /// What the server answers.
    ToClient,
}

/// What befalls a connection. The default: nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// What the client sends arrives so much later.
    pub(crate) late_to_server: Duration,
    /// What the server answers arrives so much later.
    pub(crate) late_to_client: Duration,
    /// What the client sends is swallowed, and all that follows it on that connection for good: a
    /// link with a hole in it stays dead, without a reset.
    pub(crate) swallow_to_server: bool,
    /// The same of what the server answers.
    pub(crate) swallow_to_client: bool,
    /// New connections are reset as soon as they are made.
    pub(crate) refuse: bool,
}

impl Faults {
    /// Late in both directions.
    pub(crate) fn late(by: Duration) -> Self {
        Self {
            late_to_server: by,
            late_to_client: by,
            ..Self::default()
        }
    }

    /// Nothing passes, and nobody is told.
    pub(crate) fn blackhole() -> Self {
        Self {
            swallow_to_server: true,
            swallow_to_client: true,
            ..Self::default()
        }
    }

    fn late_by(&self, way: Way) -> Duration {
        match way {
            Way::ToServer => self.late_to_server,
            Way::ToClient => self.late_to_client,
        }
    }

    fn swallows(&self, way: Way) -> bool {
        match way {
            Way::ToServer => self.swallow_to_server,
            Way::ToClient => self.swallow_to_client,
        }
    }
}

/// A faulty network before one server. Dropped, all its connections are.
#[derive(Debug)]
pub(crate) struct Proxy {
    door: Arc<Door>,
    hub: Arc<Hub>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of this machine.
    pub(crate) async fn tcp(server: Server) -> io::Result<Self> {
        Ok(Self::behind(Door::tcp().await?, server))
    }

    /// Listens on a socket in this folder, as Postgres would.
    pub(crate) fn unix(folder: &Path, server: Server) -> io::Result<Self> {
        Ok(Self::behind(Door::unix(folder)?, server))
    }

    fn behind(door: Door, server: Server) -> Self {
        let door = Arc::new(door);
        let hub = Arc::new(Hub::new(server));
        let accepting = tokio::spawn(carry::accept(door.clone(), hub.clone()));
        Self {
            door,
            hub,
            accepting,
        }
    }

    /// The URL of this database of the server, through here, for its user `postgres`.
    pub(crate) fn url(&self, database: &str) -> String {
        self.door.url(database)
    }

    /// From now on this befalls all connections, but for those with faults of their own.
    pub(crate) fn set(&self, faults: Faults) {
        self.hub.rules.send_modify(|rules| rules.all = faults);
    }

    /// From now on this befalls connections that sent a statement with this text in it, or will.
    pub(crate) fn set_where(&self, text: &str, faults: Faults) {
        let rule = (text.to_owned(), faults);
        self.hub.rules.send_modify(|rules| rules.some.push(rule));
    }

    /// Ends all faults. Connections that lost bytes stay dead.
    pub(crate) fn heal(&self) {
        self.hub.rules.send_modify(|rules| {
            rules.all = Faults::default();
            rules.some.clear();
        });
        self.hub.armed().clear();
    }

    /// From now on new connections go to another server.
    pub(crate) fn retarget(&self, server: Server) {
        self.hub.rules.send_modify(|rules| rules.server = server);
    }

    /// Resets connections that sent a statement with this text in it; the empty text: all. Returns
    /// how many.
    pub(crate) fn reset(&self, text: &str) -> usize {
        let found = self.hub.links_where(text);
        found.iter().for_each(|link| link.reset.notify_one());
        found.len()
    }

    /// Ends one direction of all connections in an orderly way, while the other goes on.
    pub(crate) fn half_close(&self, way: Way) {
        for link in self.hub.links_where("") {
            link.ending(way).notify_one();
        }
    }

    /// The next statement with this text in it is executed, its answer swallowed, and then its
    /// connection reset.
    pub(crate) fn drop_reply(&self, text: &str) {
        self.hub.armed().push(text.to_owned());
    }

    /// How many answers were lost in that way.
    pub(crate) fn replies_dropped(&self) -> u64 {
        self.hub.dropped.load(Ordering::Relaxed)
    }

    /// How many directions of connections have lost bytes, and so are dead.
    pub(crate) fn links_lost(&self) -> u64 {
        self.hub.lost.load(Ordering::Relaxed)
    }

    /// How many connections are open that sent a statement with this text in it; the empty text:
    /// all.
    pub(crate) fn links(&self, text: &str) -> usize {
        self.hub.links_where(text).len()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What all connections share.
#[derive(Debug)]
struct Hub {
    rules: watch::Sender<Rules>,
    armed: Mutex<Vec<String>>,
    dropped: AtomicU64,
    lost: AtomicU64,
    links: Mutex<BTreeMap<u64, Arc<Link>>>,
}

/// What is to be done.
#[derive(Clone, Debug)]
struct Rules {
    server: Server,
    all: Faults,
    some: Vec<(String, Faults)>,
}

/// One connection, as others see it.
#[derive(Debug, Default)]
struct Link {
    /// The texts of its statements, each once.
    sent: Mutex<Vec<String>>,
    reset: Notify,
    end_to_server: Notify,
    end_to_client: Notify,
}

impl Link {
    fn ending(&self, way: Way) -> &Notify {
        match way {
            Way::ToServer => &self.end_to_server,
            Way::ToClient => &self.end_to_client,
        }
    }

    fn has_sent(&self, text: &str) -> bool {
        text.is_empty() || lock(&self.sent).iter().any(|sent| sent.contains(text))
    }

    fn note(&self, text: &str) {
        /// A client with more statements than this is known by its first.
        const TEXTS_MAX: usize = 200;
        let mut sent = lock(&self.sent);
        if sent.len() < TEXTS_MAX && !sent.iter().any(|known| known == text) {
            sent.push(text.to_owned());
        }
    }

    fn faults(&self, rules: &Rules) -> Faults {
        let mut own = rules.some.iter().rev();
        own.find(|(text, _)| self.has_sent(text))
            .map_or(rules.all, |(_, faults)| *faults)
    }
}

impl Hub {
    fn new(server: Server) -> Self {
        let rules = Rules {
            server,
            all: Faults::default(),
            some: Vec::new(),
        };
        Self {
            rules: watch::Sender::new(rules),
            armed: Mutex::default(),
            dropped: AtomicU64::default(),
            lost: AtomicU64::default(),
            links: Mutex::default(),
        }
    }

    fn armed(&self) -> MutexGuard<'_, Vec<String>> {
        lock(&self.armed)
    }

    fn links_where(&self, text: &str) -> Vec<Arc<Link>> {
        let links = lock(&self.links);
        let found = links.values().filter(|link| link.has_sent(text));
        found.cloned().collect()
    }

    /// Whether this statement's answer is to be lost; asked once of each.
    fn takes_reply_of(&self, statement: &str) -> bool {
        let mut armed = self.armed();
        let place = armed.iter().position(|text| statement.contains(text));
        place.map(|place| armed.remove(place)).is_some()
    }
}

/// A panic elsewhere leaves lists and numbers: whole at any moment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
