//! The other edges of a site, from the side of the one that asks: what is new there is taken from them as long as not both
//! meet their hub, and chunks of first copies come from them.
//!
//! An edge asks at the addresses that somebody told it, and believes those that its hub named and that prove it. What it
//! takes goes the ways that everything goes: saves as they are into the outbox, whole records by joining. Nothing is ever
//! given to a peer unasked; that one asks by itself.

mod chunks;
mod client;
mod take;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::sleep;

pub use self::chunks::Spread;
use self::client::{Client, Trouble};
use super::http_transport;
use super::hub::Hub;
use super::relay::Relay;
use crate::domain::FieldError;
use crate::domain::ids::SaveId;
use crate::domain::peer::Stands;
use crate::node::{self, Identity, NodeError, NodeRole, PeerState, PeerStatus, World};
use crate::store::{Judge, LocalChange, Request, Store, StoreError};

/// Addresses of peers.
const KIND: &str = "peer";
/// So many addresses are asked.
const MOST: usize = 64;
/// So many saves are remembered as taken, so that none is taken again from somebody else.
const REMEMBERED: usize = 20_000;
/// How long one rests where sync is paused.
const REST: Duration = Duration::from_secs(30);
/// The longest wait after a failure, and after a refusal.
const LONGEST: Duration = Duration::from_secs(60);
const REFUSED: Duration = Duration::from_secs(30);
const POISON: &str = "no holder of this lock panics";

pub struct PeerSettings {
    pub store: Arc<dyn Store>,
    /// Of an edge.
    pub identity: Identity,
    pub relay: Arc<Relay>,
    /// The side of this edge that answers.
    pub hub: Arc<Hub>,
    /// Its clock, corrected.
    pub world: Arc<dyn World>,
    /// Tells where records belong that come.
    pub judge: Arc<dyn Judge>,
}

/// The peers of an edge. They are asked from [`Peers::start`] to [`Peers::stop`].
pub struct Peers {
    settings: PeerSettings,
    /// For the tasks that it starts.
    me: Weak<Self>,
    addresses: Mutex<BTreeMap<String, Address>>,
    is_running: Mutex<bool>,
    taken: Mutex<Remembered>,
}

struct Address {
    status: PeerStatus,
    now: Arc<Notify>,
    task: Option<JoinHandle<()>>,
}

/// The saves that were taken last.
#[derive(Default)]
struct Remembered {
    order: VecDeque<SaveId>,
    all: HashSet<SaveId>,
}

impl Remembered {
    fn note(&mut self, save: SaveId) {
        if self.all.insert(save) {
            self.order.push_back(save);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.all.remove(&oldest);
        }
    }
}

impl Peers {
    pub async fn load(settings: PeerSettings) -> Result<Arc<Self>, StoreError> {
        let known = settings.store.locals(KIND).await?;
        let now = settings.world.now();
        let addresses = known.into_iter().map(|(url, _)| (url.clone(), Address::asleep(url, now))).collect();
        Ok(Arc::new_cyclic(|me| Self {
            settings,
            me: me.clone(),
            addresses: Mutex::new(addresses),
            is_running: Mutex::default(),
            taken: Mutex::default(),
        }))
    }

    /// Asks at every address from now on.
    pub fn start(&self) {
        let Some(me) = self.me.upgrade() else { return };
        *self.is_running.lock().expect(POISON) = true;
        let mut addresses = self.addresses.lock().expect(POISON);
        for (url, address) in addresses.iter_mut().filter(|(_, address)| address.task.is_none()) {
            address.task = Some(tokio::spawn(me.clone().ask(url.clone(), address.now.clone())));
        }
    }

    /// Ends it, and returns when nothing of it writes any more.
    pub async fn stop(&self) {
        *self.is_running.lock().expect(POISON) = false;
        let tasks: Vec<JoinHandle<()>> = {
            let mut addresses = self.addresses.lock().expect(POISON);
            addresses.values_mut().filter_map(|address| address.task.take()).collect()
        };
        for task in tasks {
            task.abort();
            // one that was ended says so
            let _ = task.await;
        }
    }

    /// Asks everywhere at once, whatever the back-off says.
    pub fn now(&self) {
        self.addresses.lock().expect(POISON).values().for_each(|address| address.now.notify_one());
    }

    fn urls(&self) -> Vec<String> {
        self.addresses.lock().expect(POISON).keys().cloned().collect()
    }

    fn client(&self, url: &str) -> Result<Client, Trouble> {
        Client::new(url, self.settings.identity.node, self.settings.relay.clone(), self.settings.world.clone())
    }

    /// Asks at one address until it is stopped.
    async fn ask(self: Arc<Self>, url: String, now: Arc<Notify>) {
        let mut client = None;
        let mut failures = 0u32;
        let mut contact = self.settings.relay.contact();
        loop {
            let stands = *contact.borrow_and_update();
            let rest = if stands == Stands::Paused {
                self.tell(&url, PeerState::Paused, Some("sync is paused here".into()), None);
                REST
            } else {
                match self.round(&url, &mut client, &mut contact).await {
                    Ok(rest) => {
                        failures = 0;
                        rest
                    }
                    Err(trouble) => {
                        failures = failures.saturating_add(1);
                        let rest = self.after(&trouble, failures);
                        let state = match trouble {
                            Trouble::Refused(_) => PeerState::Refused,
                            _ => PeerState::Unreachable,
                        };
                        self.tell(&url, state, Some(trouble.to_string()), Some(rest));
                        rest
                    }
                }
            };
            if rest > Duration::ZERO {
                tokio::select! {
                    () = sleep(rest) => {}
                    () = now.notified() => {}
                    Ok(()) = contact.changed() => {}
                }
            }
        }
    }

    /// How long it waits after failures: half a second, doubling up to a minute, of which half is random.
    fn after(&self, trouble: &Trouble, failures: u32) -> Duration {
        let most = match trouble {
            Trouble::Refused(_) => REFUSED,
            _ => LONGEST,
        };
        let base = Duration::from_millis(500).saturating_mul(1 << failures.saturating_sub(1).min(10)).min(most);
        self.jittered(base)
    }

    /// Half of it for sure, half by chance.
    fn jittered(&self, base: Duration) -> Duration {
        let millis = u64::try_from(base.as_millis()).unwrap_or(u64::MAX);
        let chance = self.settings.world.random() as u64 % (millis / 2 + 1);
        Duration::from_millis(millis / 2 + chance)
    }

    fn with(&self, url: &str, change: impl FnOnce(&mut PeerStatus)) {
        if let Some(address) = self.addresses.lock().expect(POISON).get_mut(url) {
            change(&mut address.status);
        }
    }

    fn tell(&self, url: &str, state: PeerState, reason: Option<String>, next: Option<Duration>) {
        let now = self.settings.world.now();
        self.with(url, |status| {
            if status.state != state {
                status.since = now;
                let why = reason.as_deref().unwrap_or_default();
                tracing::info!(url, "the peer is {}: {why}", state.as_str());
            }
            status.state = state;
            status.reason = reason;
            status.next_try = next.map(|next| now + i64::try_from(next.as_millis()).unwrap_or(0));
        });
    }
}

impl Address {
    fn asleep(url: String, now: i64) -> Self {
        let status = PeerStatus {
            url,
            name: None,
            state: PeerState::Asleep,
            since: now,
            last_contact: None,
            reason: None,
            next_try: None,
            saves: 0,
            records: 0,
            chunks: 0,
        };
        Self { status, now: Arc::default(), task: None }
    }
}

fn invalid(why: String) -> NodeError {
    NodeError::Invalid(vec![FieldError::new("/url", "url", why)])
}

#[async_trait]
impl node::Peers for Peers {
    fn list(&self) -> Vec<PeerStatus> {
        self.addresses.lock().expect(POISON).values().map(|address| address.status.clone()).collect()
    }

    fn named(&self) -> Vec<(String, Option<i64>)> {
        let asked = self.settings.hub.asked_by();
        let peers = self.settings.relay.peers();
        peers.values().map(|peer| (peer.name.clone(), asked.get(&peer.node).copied())).collect()
    }

    async fn add(&self, url: &str) -> Result<(), NodeError> {
        let base = http_transport::base(url).ok_or_else(|| {
            invalid(format!("{:?} is no address of an edge; an example is http://192.168.1.20:8080", url.trim()))
        })?;
        if matches!(&self.settings.identity.role, NodeRole::Edge(upstream) if upstream.url == base) {
            return Err(invalid(format!("{base} is the hub of this edge, which it asks anyway")));
        }
        if self.urls().len() >= MOST {
            return Err(invalid(format!("an edge asks {MOST} others at most")));
        }
        let change = LocalChange { kind: KIND, key: base.clone(), value: Some(Value::Bool(true)), expect: None };
        self.settings.store.write(Request::Local(vec![change])).await?;
        {
            let now = self.settings.world.now();
            let mut addresses = self.addresses.lock().expect(POISON);
            addresses.entry(base.clone()).or_insert_with(|| Address::asleep(base, now));
        }
        if *self.is_running.lock().expect(POISON) {
            self.start();
        }
        Ok(())
    }

    async fn remove(&self, url: &str) -> Result<(), NodeError> {
        let base = http_transport::base(url).unwrap_or_else(|| url.trim().to_owned());
        let removed = self.addresses.lock().expect(POISON).remove(&base);
        let Some(address) = removed else { return Err(NodeError::NotFound("peer")) };
        if let Some(task) = address.task {
            task.abort();
            // one that was ended says so
            let _ = task.await;
        }
        let change = LocalChange { kind: KIND, key: base, value: None, expect: None };
        self.settings.store.write(Request::Local(vec![change])).await?;
        Ok(())
    }
}
