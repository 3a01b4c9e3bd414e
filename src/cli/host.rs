//! Where a command is carried out: by the process that serves the node, or here, with the lock on its directory held.
//!
//! Either way it is [`execute`]d over one open node, so that there is one writer and one way to do a thing.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use outpost::node::{BackedUp, Caches, Identity, Link as _, Node, NodeRole, Nodes, World};
use outpost::store::Sqlite;
use outpost::store::Store;
use outpost::sync::bundle::EdgeSide;
use outpost::sync::{
    BlobLink, BlobSettings, Corrected, HttpTransport, Hub, Link, LinkSettings, Offset, PeerSettings, Peers, Relay,
    Spread, Switch, Transport,
};
use outpost::world::SystemWorld;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::door::Connection;
use super::lock::Lock;
use super::{Failure, bundle, join, node, print, quarantine, records, sync, token, types, user};
use crate::config::Settings;

pub const DATABASE: &str = "outpost.db";
/// What a database is called until all of a backup is in it.
pub const UNFINISHED: &str = "outpost.db.restoring";
/// How long a command waits for another one, or for a node that just starts or stops.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is asked of a node, with all that it needs: whoever carries it out reads no file and no terminal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    User(user::Ask),
    Token(token::Ask),
    Type(types::Ask),
    Records(records::Ask),
    Node(node::Ask),
    Sync(sync::Ask),
    Quarantine(quarantine::Ask),
    Bundle(bundle::Ask),
    Openapi,
    /// A backup is about to be made.
    BackingUp,
}

/// A node that is open in this process.
pub struct Served {
    pub node: Node,
    /// Its side of sync with the nodes below it.
    pub hub: Arc<Hub>,
    /// On an edge, what its own hub lets it hold and do.
    relay: Option<Arc<Relay>>,
    /// On an edge, how its clock stands to the hub's.
    offset: Option<Arc<Offset>>,
    /// On an edge, its link, once it was started.
    link: OnceCell<Arc<Link>>,
    /// On an edge, the lane of its files beside that.
    lane: OnceLock<BlobLink>,
    /// On an edge, the other edges of its site, once somebody asked for them.
    peers: OnceCell<Arc<Peers>>,
    caches: Arc<Caches>,
    world: Arc<dyn World>,
    /// Where it answers browsers, if it does.
    pub url: Option<String>,
}

/// Carries out what was asked, as the operator of this machine.
pub async fn execute(ask: Ask, on: &Served) -> Result<Value, Failure> {
    match ask {
        Ask::User(ask) => user::execute(ask, on).await,
        Ask::Token(ask) => token::execute(ask, on).await,
        Ask::Type(ask) => types::execute(ask, on).await,
        Ask::Records(ask) => records::execute(ask, on).await,
        Ask::Node(ask) => node::execute(ask, on).await,
        Ask::Sync(ask) => sync::execute(ask, on).await,
        Ask::Quarantine(ask) => quarantine::execute(ask, on).await,
        Ask::Bundle(ask) => bundle::execute(ask, on).await,
        Ask::Openapi => Ok(outpost::web::api::openapi(&on.node)),
        Ask::BackingUp => {
            BackedUp::note(&**on.node.store(), on.node.now()).await?;
            Ok(Value::Null)
        }
    }
}

/// What a directory without a node means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// There is nothing to ask.
    Refused,
    /// It becomes a new hub.
    BecomesHub,
}

impl Served {
    /// Opens the node in a directory whose lock is held.
    pub async fn open(dir: &Path, absent: Absent) -> Result<Self, Failure> {
        let caches = Arc::new(Caches::default());
        let store = open_store(dir, caches.clone()).await?;
        let opened = Self::over(store.clone(), caches, dir, absent).await;
        match &opened {
            Ok(served) => {
                served.hub.keep_chunks_in(dir);
                served.keep_files_in(dir).await?;
            }
            Err(_) => store.close().await,
        }
        opened
    }

    /// Keeps the files that records refer to in this directory, and takes and gives them.
    pub async fn keep_files_in(&self, dir: &Path) -> Result<(), Failure> {
        self.hub.keep_files(self.node.keep_files_in(dir).await?);
        Ok(())
    }

    async fn over(store: Arc<dyn Store>, caches: Arc<Caches>, dir: &Path, absent: Absent) -> Result<Self, Failure> {
        let identity = match Identity::load(&*store).await? {
            Some(identity) => identity,
            None if join::is_unfinished(&*store).await? => {
                return Err(Failure::new(format!(
                    "joining a hub was begun in {} and not finished; run `outpost join` with the same token again, or remove the directory",
                    dir.display()
                )));
            }
            None if absent == Absent::BecomesHub => {
                let identity = Identity::hub(&SystemWorld, &crate::config::machine_name());
                identity.settle(&*store).await?;
                identity
            }
            None => return Err(no_node(dir)),
        };
        Self::of(store, caches, identity).await
    }

    /// The node of this identity over its store.
    pub async fn of(store: Arc<dyn Store>, caches: Arc<Caches>, identity: Identity) -> Result<Self, Failure> {
        let own: Arc<dyn World> = Arc::new(SystemWorld);
        let offset = match identity.role {
            NodeRole::Hub => None,
            NodeRole::Edge(_) => Some(Offset::load(&*store).await?),
        };
        let world = match &offset {
            None => own,
            Some(offset) => Arc::new(Corrected::new(own, offset.clone())),
        };
        let node = Node::open(store, caches.clone(), world.clone(), identity).await?;
        let (hub, relay) = match (&node.identity().role, &offset) {
            (NodeRole::Edge(upstream), Some(offset)) => {
                let relay = Relay::load(&**node.store(), offset.clone(), &upstream.name).await?;
                let (store, identity) = (node.store().clone(), node.identity().clone());
                (Hub::relaying(store, identity, world.clone(), relay.clone()).await?, Some(relay))
            }
            _ => (Hub::of(&node, world.clone()).await?, None),
        };
        Ok(Self {
            node,
            hub,
            relay,
            offset,
            link: OnceCell::new(),
            lane: OnceLock::new(),
            peers: OnceCell::new(),
            caches,
            world,
            url: None,
        })
    }

    /// An edge, as its bundles need it; `None` on a hub.
    pub fn edge_side(&self) -> Option<EdgeSide> {
        let (relay, offset) = (self.relay.clone()?, self.offset.clone()?);
        Some(EdgeSide {
            store: self.node.store().clone(),
            identity: self.node.identity().clone(),
            world: Arc::new(SystemWorld),
            offset,
            relay,
            below: self.hub.clone(),
            blobs: self.node.blobs().cloned(),
        })
    }

    /// The other edges of the site of an edge; `None` on a hub. They are asked as long as the link runs.
    pub async fn peers(&self) -> Result<Option<&Arc<Peers>>, Failure> {
        let Some(relay) = &self.relay else { return Ok(None) };
        let load = async || {
            Peers::load(PeerSettings {
                store: self.node.store().clone(),
                identity: self.node.identity().clone(),
                relay: relay.clone(),
                hub: self.hub.clone(),
                world: self.world.clone(),
                judge: self.caches.clone(),
            })
            .await
        };
        Ok(Some(self.peers.get_or_try_init(load).await?))
    }

    /// The link of an edge, if it runs.
    pub fn link(&self) -> Option<&Arc<Link>> {
        self.link.get()
    }

    /// Starts the link of an edge, unless it runs. `None` on a hub, which has none.
    pub async fn start_link(&self, switch: &Switch) -> Result<Option<&Arc<Link>>, Failure> {
        let identity = self.node.identity();
        let (NodeRole::Edge(upstream), Some(offset)) = (&identity.role, &self.offset) else { return Ok(None) };
        let start = async || {
            let transport = HttpTransport::new(&upstream.url, &upstream.credential, switch.clone()).map_err(|err| {
                Failure::new(format!("the hub at {} cannot be asked: {err}; join it again", upstream.url))
            })?;
            let transport = Arc::new(transport);
            let peers = self.peers().await?;
            let way: Arc<dyn Transport> = match peers {
                Some(peers) => Arc::new(Spread::new(transport.clone(), peers.clone())),
                None => transport.clone(),
            };
            let link = Link::start(LinkSettings {
                store: self.node.store().clone(),
                identity: identity.clone(),
                transport: way,
                world: Arc::new(SystemWorld),
                offset: offset.clone(),
                switch: switch.clone(),
                below: self.relay.clone().map(|relay| (self.hub.clone(), relay)),
            });
            let link = link.await?;
            if let Some(peers) = peers {
                link.beside(peers.clone());
                peers.start();
            }
            if let Some(blobs) = self.node.blobs() {
                self.lane.get_or_init(|| {
                    BlobLink::start(BlobSettings {
                        blobs: blobs.clone(),
                        store: self.node.store().clone(),
                        transport,
                        status: link.watch(),
                        world: Arc::new(SystemWorld),
                    })
                });
            }
            Ok::<_, Failure>(link)
        };
        self.link.get_or_try_init(start).await.map(Some)
    }

    /// Ends what runs beside the node, and closes its store.
    pub async fn close(&self) {
        if let Some(lane) = self.lane.get() {
            lane.stop().await;
        }
        if let Some(peers) = self.peers.get() {
            peers.stop().await;
        }
        if let Some(link) = self.link() {
            link.stop().await;
        }
        self.hub.close();
        self.node.store().close().await;
    }

    /// The nodes below this one.
    pub fn nodes(&self) -> Arc<dyn Nodes> {
        self.hub.clone()
    }

    /// Refuses what only a node can do that serves others: a hub, or an edge whose hub lets it.
    pub fn must_serve(&self) -> Result<(), Failure> {
        match (&self.node.identity().role, &self.relay) {
            (NodeRole::Edge(upstream), Some(relay)) if !relay.grant().relays => Err(Failure::new(format!(
                "this node is an edge of {}, which does not let it serve edges of its own; at the hub, {}, `outpost node change ID --relays true` does",
                upstream.name, upstream.url
            ))),
            _ => Ok(()),
        }
    }

    /// Refuses what only a hub can do: an edge would send it up and be refused there.
    pub fn must_be_hub(&self, what: &str) -> Result<(), Failure> {
        match &self.node.identity().role {
            NodeRole::Hub => Ok(()),
            NodeRole::Edge(upstream) => Err(Failure::new(format!(
                "this node is an edge of {}: {what} at the hub, {}",
                upstream.name, upstream.url
            ))),
        }
    }
}

/// Opens the database in a directory, which is made new where there is none.
pub async fn open_store(dir: &Path, caches: Arc<Caches>) -> Result<Arc<dyn Store>, Failure> {
    refuse_unfinished(dir)?;
    let store = Sqlite::open(&dir.join(DATABASE), caches, Default::default()).await.map_err(|err| {
        let mut failure = Failure::from(err);
        failure.line = format!("{}: {}", dir.display(), failure.line);
        failure
    })?;
    Ok(Arc::new(store))
}

pub fn has_database(dir: &Path) -> bool {
    dir.join(DATABASE).exists()
}

/// What a restore that did not come to its end left is no node.
pub fn refuse_unfinished(dir: &Path) -> Result<(), Failure> {
    if has_database(dir) || !dir.join(UNFINISHED).exists() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "restoring a backup was begun in {} and not finished; run `outpost restore` with the same backup again, or remove the directory",
        dir.display()
    )))
}

pub fn no_node(dir: &Path) -> Failure {
    Failure::new(format!(
        "there is no node in {}; run `outpost serve` for a new hub or `outpost join` for an edge, or name another directory with --data",
        dir.display()
    ))
}

/// Where a command's questions go.
pub enum Host {
    /// To this process. The lock is let go last.
    Here(Box<Served>, Lock),
    /// To the process that serves the node.
    There(Connection),
}

impl Host {
    /// Finds the node in the data directory: asks whoever serves it, else opens it here. `command` is told to others
    /// who wait for the lock.
    pub async fn find(settings: &Settings, absent: Absent, command: &str) -> Result<Self, Failure> {
        let dir = &settings.data;
        refuse_unfinished(dir)?;
        if absent == Absent::Refused && !has_database(dir) {
            return Err(no_node(dir));
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let holder = match Lock::try_take(dir, command)? {
                Ok(lock) => {
                    let is_new = !has_database(dir);
                    let served = Served::open(dir, absent).await?;
                    if is_new {
                        print::note(format_args!("{} is a new hub now.", dir.display()));
                    }
                    return Ok(Self::Here(Box::new(served), lock));
                }
                Err(holder) => holder,
            };
            if holder.serves()
                && let Some(connection) = Connection::open(dir).await
            {
                return Ok(Self::There(connection));
            }
            if Instant::now() >= deadline {
                return Err(in_use(dir, &holder));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Asks one thing.
    pub async fn ask<T: DeserializeOwned>(&mut self, ask: Ask) -> Result<T, Failure> {
        let answer = match self {
            Self::Here(served, _) => execute(ask, served).await?,
            Self::There(connection) => connection.ask(&ask).await?,
        };
        serde_json::from_value(answer).map_err(|err| {
            Failure::new(format!(
                "the answer of the running node is not understood: {err}; it is of another version of outpost: restart it"
            ))
        })
    }

    /// Lets the node go.
    pub async fn close(self) {
        if let Self::Here(served, lock) = self {
            served.close().await;
            drop(lock);
        }
    }
}

/// Asks the node in the data directory one thing.
pub async fn asked<T: DeserializeOwned>(
    settings: &Settings,
    absent: Absent,
    command: &str,
    ask: Ask,
) -> Result<T, Failure> {
    let mut host = Host::find(settings, absent, command).await?;
    let answer = host.ask(ask).await;
    host.close().await;
    answer
}

/// Takes the lock for a process that goes on, waiting for a command that is under way but not for another such process.
pub async fn take_lock(dir: &Path, command: &str) -> Result<Lock, Failure> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Lock::try_take(dir, command)? {
            Ok(lock) => return Ok(lock),
            Err(holder)
                if holder.serves()
                    || matches!(&holder.command[..], "join" | "restore")
                    || Instant::now() >= deadline =>
            {
                return Err(in_use(dir, &holder));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

fn in_use(dir: &Path, holder: &super::lock::Holder) -> Failure {
    Failure::new(format!(
        "the data directory {} is in use by {holder}; stop that first, or choose another with --data",
        dir.display()
    ))
}
