//! What a node tells of its links, and what people ask of them. Carrying is the work of `sync`; this is its face.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use super::Result;
use crate::domain::ids::{NodeId, Partition};
use crate::domain::protocol::Above;
pub use crate::domain::reach::{Sites, Sought};
use crate::domain::scope::Scope;
pub use crate::domain::session::LinkState;
use crate::meter::Talk;

/// How an edge stands with its hub.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkStatus {
    pub url: String,
    pub hub_name: String,
    pub state: LinkState,
    /// Milliseconds since 1970.
    pub since: i64,
    pub last_contact: Option<i64>,
    /// Why it is so, in words; `None` where there is nothing to say.
    pub reason: Option<String>,
    /// When the next try is, if one is planned.
    pub next_try: Option<i64>,
    /// Saves the hub has not acknowledged.
    pub pending_out: u64,
    /// Records known to be newer at the hub, as of the last contact.
    pub pending_in: u64,
    pub in_step: bool,
    /// How far this device's clock is ahead of the hub's, in milliseconds, once known.
    pub clock_ahead: Option<i64>,
    /// How the hub stands to a hub of its own, as of the last contact; `None` if it has none.
    pub above: Option<Above>,
    /// When it was noticed that this node's data was copied or put back, until a person puts that away.
    pub noticed: Option<i64>,
}

/// The link of an edge to its hub.
#[async_trait]
pub trait Link: Send + Sync {
    fn status(&self) -> LinkStatus;
    fn watch(&self) -> watch::Receiver<LinkStatus>;
    /// Tries at once, whatever the back-off says.
    fn sync_now(&self);
    fn pause(&self);
    fn resume(&self);
    /// A person has seen that this node's data was copied or put back.
    fn put_away(&self) {}
    /// What it counts of its conversations, if it does.
    fn meter(&self) -> Option<Arc<Talk>> {
        None
    }
    /// The other edges of the site.
    fn peers(&self) -> Option<Arc<dyn Peers>> {
        None
    }
    /// How far these records have come, as the hub told not long ago or tells within `patience`: one for each, `None` where
    /// it is not known of just what is here. The hub is asked for the others all the same, so that it is known later.
    async fn reach(&self, of: &[Sought], _patience: Duration) -> Vec<Option<Reached>> {
        vec![None; of.len()]
    }
}

/// The other edges of a site, of which this edge was told where they are.
#[async_trait]
pub trait Peers: Send + Sync {
    /// One for each address, in their order.
    fn list(&self) -> Vec<PeerStatus>;
    /// What the hub calls those that it named, and when each last asked here.
    fn named(&self) -> Vec<(String, Option<i64>)>;
    /// Asks there from now on. What is no address is [`super::NodeError::Invalid`].
    async fn add(&self, url: &str) -> Result<()>;
    /// Does not ask there any more. [`super::NodeError::NotFound`] if it did not.
    async fn remove(&self, url: &str) -> Result<()>;
}

/// How this edge stands with the one at an address.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PeerStatus {
    pub url: String,
    /// What it is called, once it was spoken to.
    pub name: Option<String>,
    pub state: PeerState,
    /// Milliseconds since 1970, as all moments here.
    pub since: i64,
    pub last_contact: Option<i64>,
    pub reason: Option<String>,
    pub next_try: Option<i64>,
    /// What was taken from there since this node was started: saves, records, chunks of first copies.
    pub saves: u64,
    pub records: u64,
    pub chunks: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerState {
    /// It is not asked, as this node does not run.
    Asleep,
    /// What it has that is new comes from there.
    Connected,
    /// Both are in contact with their hub.
    Resting,
    Unreachable,
    /// The two do not know each other, or the hub does not let them.
    Refused,
    Paused,
}

impl PeerState {
    pub const ALL: [Self; 6] =
        [Self::Asleep, Self::Connected, Self::Resting, Self::Unreachable, Self::Refused, Self::Paused];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asleep => "asleep",
            Self::Connected => "connected",
            Self::Resting => "resting",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Paused => "paused",
        }
    }
}

/// How far a record has come, as the hub told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// Whether it is at the hub of all; an edge above may hold it without being that.
    pub at_hub: bool,
    /// `None`: who was asked is an edge, and could not ask.
    pub sites: Option<Sites>,
    /// When this was so, in milliseconds since 1970.
    pub as_of: i64,
}

/// A site that may hold a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    pub id: NodeId,
    pub name: String,
    /// The node that serves it, if that is not this one.
    pub via: Option<String>,
    /// Whether it told that it has the newest of it. It may have it all the same.
    pub has: bool,
    pub last_contact: Option<i64>,
}

/// Waits a moment until a link that was paused or resumed is so. If it takes longer, its state says so.
pub async fn settled(link: &dyn Link, is_paused: bool) {
    let mut status = link.watch();
    let done = status.wait_for(|status| (status.state == LinkState::Paused) == is_paused);
    let _ = tokio::time::timeout(Duration::from_secs(2), done).await;
}

/// A node that was let in by this hub.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KnownNode {
    pub id: NodeId,
    pub name: String,
    pub scope: Value,
    /// Whether it may serve nodes of its own.
    pub relays: bool,
    /// The site it is at: edges of one site may speak to each other directly.
    pub site: Option<String>,
    /// The node that serves it, if that is not this one.
    pub via: Option<String>,
    pub enrolled_at: i64,
    pub last_contact: Option<i64>,
    pub revoked: bool,
    /// Records here that it does not have yet, as far as it told; `None` before its first contact.
    pub behind: Option<u64>,
    /// Saves it told it still holds.
    pub waiting: Option<u64>,
    pub in_step: bool,
    /// What its hub noticed of its data; mostly nothing.
    pub past: Option<Past>,
    /// It was not heard of for so long that nobody waits for it any more before something is forgotten.
    pub silent: bool,
}

/// A node's data is not the only one of its kind, or was not always the newest. All that was saved on either is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Past {
    pub noticed: Noticed,
    /// Milliseconds since 1970.
    pub since: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Noticed {
    /// Two devices run with it.
    RunsTwice,
    /// It was put back to an earlier state, or a copy of it ran that is silent now.
    PutBack,
}

impl Noticed {
    /// A sentence for people, without its full stop.
    pub fn words(self) -> &'static str {
        match self {
            Self::RunsTwice => {
                "a copy of this device's data is running; both keep all their work, but give one of them up or let it join anew"
            }
            Self::PutBack => {
                "this device's data was copied or put back to an earlier state; nothing that came here is lost"
            }
        }
    }
}

/// What an admin says anew of a node; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeChange {
    pub scope: Option<Value>,
    pub relays: Option<bool>,
}

/// The nodes below a hub.
#[async_trait]
pub trait Nodes: Send + Sync {
    /// A token for one node to join with, told once. `scope` as in `"all"` or per type; `relays` lets it serve others.
    async fn invite(&self, name: &str, scope: Value, relays: bool) -> Result<String>;
    /// As [`Nodes::invite`], to a site; an empty one is none.
    async fn invite_to(&self, name: &str, scope: Value, relays: bool, _site: &str) -> Result<String> {
        self.invite(name, scope, relays).await
    }
    /// Says at which site a node is: the edges of one may speak to each other directly, and bring each other's saves here.
    /// An empty one is none. A withdrawn node is not moved.
    async fn move_to(&self, _id: NodeId, _site: &str) -> Result<()> {
        Err(super::NodeError::NotFound("node"))
    }
    /// Those that this node serves, and those that they serve, as far as they told.
    async fn list(&self) -> Result<Vec<KnownNode>>;
    /// On how many sites records are: for each a partition and the number of its newest change here.
    async fn sites(&self, of: &[(Partition, u64)]) -> Result<Vec<Sites>> {
        let mut sites = Vec::with_capacity(of.len());
        for (partition, seq) in of {
            let holders = self.holders(partition, *seq).await?;
            let have = holders.iter().filter(|holder| holder.has).count() as u64;
            sites.push(Sites { have, of: holders.len() as u64, age: 0 });
        }
        Ok(sites)
    }
    /// Which sites may hold a record of this partition, and whether each has its newest change, which has this number here.
    async fn holders(&self, partition: &Partition, _seq: u64) -> Result<Vec<Holder>> {
        let may = |node: &KnownNode| Scope::from_json(&node.scope).is_ok_and(|scope| scope.contains(partition));
        let live = self.list().await?.into_iter().filter(|node| !node.revoked && may(node));
        Ok(live
            .map(|node| Holder {
                id: node.id,
                name: node.name,
                via: node.via,
                has: node.in_step,
                last_contact: node.last_contact,
            })
            .collect())
    }
    /// Forgets now what all of them know; otherwise that is done now and then.
    async fn forget(&self) -> Result<()> {
        Ok(())
    }
    /// What is counted of the conversations with them, if it is.
    fn meter(&self) -> Option<Arc<Talk>> {
        None
    }
    /// Whether this node may serve others: a hub, and an edge whose hub lets it.
    fn serves(&self) -> bool {
        true
    }
    /// Withdraws a node: it pulls nothing more. Withdrawing again changes nothing.
    async fn revoke(&self, id: NodeId) -> Result<()>;
    /// Changes what a node may hold and do. It drops what it may not hold any more, once its saves in that are here, and
    /// fetches what is new to it; what it holds and may hold stays. A withdrawn node is not changed:
    /// [`super::NodeError::NotFound`].
    async fn change(&self, id: NodeId, change: NodeChange) -> Result<()>;
}
