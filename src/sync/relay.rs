//! An edge between its hub and others: what the hub lets it hold and do, which edges are its peers, and how the two stand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::asker::Asker;
use super::clock::Offset;
use crate::domain::ids::NodeId;
use crate::domain::peer::{Peer, Stands};
use crate::domain::protocol::{Above, Welcome};
use crate::domain::scope::Scope;
use crate::store::{LocalChange, Request, Store, StoreError};

const KIND: &str = "grant";
const PEERS: &str = "peers";

/// What its hub lets an edge hold and do, as it last heard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    pub scope: Scope,
    /// Whether it may serve edges of its own.
    #[serde(default)]
    pub relays: bool,
}

impl Default for Grant {
    /// Before the first contact: nothing.
    fn default() -> Self {
        Self { scope: Scope::Types(Default::default()), relays: false }
    }
}

pub struct Relay {
    grant: watch::Sender<Grant>,
    above: Mutex<Above>,
    stirred: watch::Sender<()>,
    offset: Arc<Offset>,
    /// For asking the hub how far records have come.
    asker: OnceLock<Arc<Asker>>,
    /// The other edges of its site, as the hub last named them.
    peers: Mutex<Arc<BTreeMap<NodeId, Peer>>>,
    contact: watch::Sender<Stands>,
}

impl Relay {
    /// `hub` is what the hub is called.
    pub async fn load(store: &dyn Store, offset: Arc<Offset>, hub: &str) -> Result<Arc<Self>, StoreError> {
        let kept = store.local(KIND, KIND).await?;
        let grant: Grant = match kept {
            Some(kept) => serde_json::from_value(kept).map_err(|err| StoreError::Damaged(err.to_string()))?,
            None => Grant::default(),
        };
        let peers: Vec<Peer> = match store.local(PEERS, PEERS).await? {
            Some(kept) => serde_json::from_value(kept).map_err(|err| StoreError::Damaged(err.to_string()))?,
            None => Vec::new(),
        };
        offset.share(grant.relays || !peers.is_empty());
        let above = Above { name: hub.to_owned(), in_step: false, waiting: 0, last_contact: None };
        Ok(Arc::new(Self {
            grant: watch::Sender::new(grant),
            above: Mutex::new(above),
            stirred: watch::Sender::new(()),
            offset,
            asker: OnceLock::new(),
            peers: Mutex::new(Arc::new(by_node(peers))),
            contact: watch::Sender::new(Stands::Apart),
        }))
    }

    pub(super) fn asks_by(&self, asker: &Arc<Asker>) {
        // that of a link which was started again asks the same hub
        let _ = self.asker.set(asker.clone());
    }

    pub(super) fn asker(&self) -> Option<&Arc<Asker>> {
        self.asker.get()
    }

    pub fn grant(&self) -> Grant {
        self.grant.borrow().clone()
    }

    /// Ready when the grant is another.
    pub(super) fn watch(&self) -> watch::Receiver<Grant> {
        self.grant.subscribe()
    }

    /// The nodes below saved something, or stand otherwise than they did.
    pub(super) fn stir(&self) {
        self.stirred.send_replace(());
    }

    /// Changes with each [`Relay::stir`].
    pub(super) fn stirred(&self) -> watch::Receiver<()> {
        self.stirred.subscribe()
    }

    pub(super) fn above(&self) -> Above {
        self.above.lock().expect("no holder of this lock panics").clone()
    }

    /// Takes notice of what the hub says. Whoever is served hears of a change when it is kept.
    pub(super) async fn welcomed(&self, store: &dyn Store, welcome: &Welcome) -> Result<(), StoreError> {
        self.granted(store, Grant { scope: welcome.scope.clone(), relays: welcome.relays }).await?;
        self.named(store, &welcome.peers).await
    }

    /// Takes notice of who its peers are. From then on what is saved here may be on others before the hub was asked for the
    /// time again.
    async fn named(&self, store: &dyn Store, peers: &[Peer]) -> Result<(), StoreError> {
        let named = by_node(peers.to_vec());
        if **self.peers.lock().expect("no holder of this lock panics") == named {
            return Ok(());
        }
        let value = serde_json::to_value(peers).expect("what is kept is plain data");
        let change = LocalChange { kind: PEERS, key: PEERS.into(), value: Some(value), expect: None };
        store.write(Request::Local(vec![change])).await?;
        self.offset.share(self.grant().relays || !named.is_empty());
        *self.peers.lock().expect("no holder of this lock panics") = Arc::new(named);
        Ok(())
    }

    pub(super) fn peers(&self) -> Arc<BTreeMap<NodeId, Peer>> {
        self.peers.lock().expect("no holder of this lock panics").clone()
    }

    /// Brings what was saved unchecked to the time as well as it is known, since others are to have it now.
    pub(super) async fn date(&self, store: &dyn Store, now: i64) -> Result<(), StoreError> {
        store.write(Request::Retime { offset: self.offset.millis(), now }).await.map(|_| ())
    }

    /// How it stands to its hub, as far as its peers care.
    pub(super) fn contact(&self) -> watch::Receiver<Stands> {
        self.contact.subscribe()
    }

    pub(super) fn is_in_contact(&self, stands: Stands) {
        self.contact.send_if_modified(|known| std::mem::replace(known, stands) != stands);
    }

    pub(super) async fn granted(&self, store: &dyn Store, grant: Grant) -> Result<(), StoreError> {
        if *self.grant.borrow() == grant {
            return Ok(());
        }
        let value = serde_json::to_value(&grant).expect("what is kept is plain data");
        let change = LocalChange { kind: KIND, key: KIND.into(), value: Some(value), expect: None };
        store.write(Request::Local(vec![change])).await?;
        self.offset.share(grant.relays || !self.peers().is_empty());
        self.grant.send_replace(grant);
        Ok(())
    }

    /// How this edge stands to its hub now, for those it serves.
    pub(super) fn stands(&self, above: Above) {
        *self.above.lock().expect("no holder of this lock panics") = above;
    }
}

fn by_node(peers: Vec<Peer>) -> BTreeMap<NodeId, Peer> {
    peers.into_iter().map(|peer| (peer.node, peer)).collect()
}
