//! Edges of one site. The hub names them to each other; an edge answers those that were named to it, and tells them what it
//! has that the hub may lack, and what it heard from the hub that they did not.
//!
//! It only answers: nothing that a peer asks changes anything here. `docs/decisions/peers.md` says why that is enough.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout, timeout_at};

use super::roster::Roster;
use super::{Hub, HubError, POISON, Result};
use crate::domain::feed::Cursor;
use crate::domain::ids::{Epoch, NodeId, Partition, SaveId};
use crate::domain::peer::{
    Ask, Meet, Met, News, Peer, PeerKey, PeerPage, Sealed, SessionKey, Standing, Stands, Tidings, Told, Way,
};
use crate::domain::protocol::agree;
use crate::domain::save::Save;
use crate::domain::scope::Scope;
use crate::store::{LocalChange, PartitionState, Request, StoreError};
use crate::sync::enrolment::{self, NodeRecord};
use crate::sync::relay::Relay;
use crate::sync::wire;

const KIND: &str = "peers";
const SECRET: &str = "secret";
/// So many edges of a site are named to each other.
const MAX_PEERS: usize = 256;
/// So many conversations are remembered, and so many with one edge.
const MAX_CONVERSATIONS: usize = 512;
const MAX_OF_ONE: usize = 4;
/// A question is at most this large when it is unpacked.
const MAX_ASK: usize = 8 << 20;
/// About so many bytes of saves, and of rows, are told at once.
const SAVES: usize = 1 << 20;
const ROWS: usize = 1 << 20;
/// An answer is held back for so long at most.
const MAX_WAIT: Duration = Duration::from_secs(25);
/// How often it is looked, meanwhile, whether this edge stands otherwise to its hub.
const TICK: Duration = Duration::from_secs(1);
/// For so long somebody waits for chunks to be made, before being told to ask again.
const PATIENCE_WITH_CHUNKS: Duration = Duration::from_secs(10);

/// With other edges, as far as this process remembers.
#[derive(Default)]
pub(super) struct Conversations {
    open: Mutex<VecDeque<Conversation>>,
    asked: Mutex<BTreeMap<NodeId, i64>>,
    /// Nodes that are to say hello, and did not since something was said of them.
    recalled: Mutex<BTreeSet<NodeId>>,
}

struct Conversation {
    session: u64,
    with: NodeId,
    /// What the two knew each other by when it began.
    by: PeerKey,
    key: SessionKey,
    /// The number of the last question.
    last: u64,
}

/// As the one that gives the pairs their keys.
impl Hub {
    async fn peer_secret(&self) -> Result<[u8; 32]> {
        loop {
            if let Some(Value::String(kept)) = self.store.local(KIND, SECRET).await? {
                let bytes =
                    data_encoding::HEXLOWER.decode(kept.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
                return bytes.ok_or_else(|| StoreError::Damaged("the secret of sites cannot be read".into()).into());
            }
            let random = [self.world.random(), self.world.random()].map(u128::to_be_bytes).concat();
            let value = Some(Value::String(data_encoding::HEXLOWER.encode(&random)));
            let change = LocalChange { kind: KIND, key: SECRET.into(), value, expect: Some(None) };
            // whoever was quicker has made one
            self.store.write(Request::Local(vec![change])).await?;
        }
    }

    /// The other edges of a node's site, with what it may know of them.
    pub(super) async fn peers_of(&self, node: &NodeRecord) -> Result<Vec<Peer>> {
        let Some(site) = &node.site else { return Ok(Vec::new()) };
        let others: Vec<NodeRecord> = {
            let roster = self.roster().await?;
            roster.at_site(site).filter(|other| other.id != node.id).take(MAX_PEERS).cloned().collect()
        };
        if others.is_empty() {
            return Ok(Vec::new());
        }
        let secret = self.peer_secret().await?;
        let scope = |other: &NodeRecord| match &self.relay {
            Some(relay) => other.scope.within(&relay.grant().scope),
            None => other.scope.clone(),
        };
        let peer = |other: &NodeRecord| Peer {
            node: other.id,
            name: other.name.clone(),
            scope: scope(other),
            key: PeerKey::of(&secret, node.id, other.id),
        };
        Ok(others.iter().map(peer).collect())
    }

    /// Something is new about a node: the others of its site say hello, and hear of it.
    pub(super) async fn tell_peers_of(&self, id: NodeId) -> std::result::Result<(), StoreError> {
        self.roster_changed().await;
        // most nodes are at none, and there may be many
        if enrolment::node(&*self.store, id).await?.is_some_and(|node| node.site.is_some()) {
            let roster = self.roster().await?;
            self.cut_peers_of(&roster, id);
        }
        Ok(())
    }

    pub(super) fn cut_peers_of(&self, roster: &Roster, id: NodeId) {
        let Some(site) = roster.node(id).and_then(|node| node.site.as_ref()) else { return };
        roster.at_site(site).filter(|other| other.id != id).for_each(|other| self.recall(other.id));
    }
}

/// Nodes that are to hear of something.
impl Hub {
    /// Ends what a node listens on, now or as soon as it does: it says hello, and hears how it stands now.
    pub(super) fn recall(&self, id: NodeId) {
        self.conversations.recalled.lock().expect(POISON).insert(id);
        self.switchboard.cut(id);
    }

    /// A node says hello. What is said of it from now on, it has not heard.
    pub(super) fn came(&self, id: NodeId) {
        self.conversations.recalled.lock().expect(POISON).remove(&id);
    }

    /// A node listens; unless it was to say hello, and spoke before that.
    pub(super) fn listens(&self, id: NodeId) {
        if self.conversations.recalled.lock().expect(POISON).contains(&id) {
            self.switchboard.cut(id);
        }
    }
}

/// As one of them.
impl Hub {
    fn among_peers(&self) -> Result<&Arc<Relay>> {
        self.relay.as_ref().ok_or_else(|| HubError::NotAPeer("this node is a hub; edges join it".into()))
    }

    fn peer(&self, node: NodeId) -> Result<Peer> {
        let known = self.among_peers()?.peers().get(&node).cloned();
        known.ok_or_else(|| {
            HubError::NotAPeer(
                "its hub has not named this edge to it; both have to be at one site, and to have met their hub since"
                    .into(),
            )
        })
    }

    /// When each of its peers last asked something.
    pub(in crate::sync) fn asked_by(&self) -> BTreeMap<NodeId, i64> {
        self.conversations.asked.lock().expect(POISON).clone()
    }

    /// Takes up a conversation, and proves who answers.
    pub async fn meet(&self, meet: &Meet) -> Result<Met> {
        let protocol = agree(&meet.protocols).ok_or_else(|| HubError::Protocol(meet.protocols.clone()))?;
        let peer = self.peer(meet.node)?;
        let session = self.world.random() as u64;
        let node = self.identity.node;
        let key = peer.key.session(meet.node, node, meet.challenge, session);
        let mut open = self.conversations.open.lock().expect(POISON);
        let of_this = open.iter().filter(|known| known.with == meet.node).count();
        if of_this >= MAX_OF_ONE
            && let Some(oldest) = open.iter().position(|known| known.with == meet.node)
        {
            open.remove(oldest);
        } else if open.len() >= MAX_CONVERSATIONS {
            open.pop_front();
        }
        open.push_back(Conversation { session, with: meet.node, by: peer.key, key, last: 0 });
        let seal = key.seal(Way::Answer, 0, &[]);
        Ok(Met { protocol, node, name: self.identity.name.clone(), session, seal })
    }

    /// Answers a question of a conversation. One that was altered, or asked before, is refused.
    pub async fn asked_by_peer(self: &Arc<Self>, sealed: Sealed) -> Result<Sealed> {
        let (with, by, key) = {
            let mut open = self.conversations.open.lock().expect(POISON);
            let known = open.iter_mut().find(|known| known.session == sealed.session);
            let known = known.filter(|known| sealed.is_of(&known.key, Way::Question) && sealed.number > known.last);
            let known = known.ok_or(HubError::NoSession)?;
            known.last = sealed.number;
            (known.with, known.by, known.key)
        };
        // it may have been revoked, or moved elsewhere, since
        let peer = self.peer(with)?;
        if peer.key != by {
            return Err(HubError::NoSession);
        }
        self.conversations.asked.lock().expect(POISON).insert(with, self.world.now());
        let told = match wire::decode::<Ask>(&sealed.body, MAX_ASK)? {
            Ask::News(news) => Told::News(Box::new(self.news(&peer, &news).await?)),
            Ask::Chunks(partition) => self.chunks_for(&peer, partition).await?,
            Ask::Chunk { partition, hash } => {
                let scope = self.shared_scope(&peer)?;
                let may_see = |of: &Partition| *of == partition && scope.contains(of);
                match self.snapshots.chunk(hash, may_see) {
                    Ok(bytes) => Told::Chunk(bytes),
                    Err(HubError::NoChunk(_)) => Told::Nothing,
                    Err(err) => return Err(err),
                }
            }
        };
        Ok(Sealed::new(sealed.session, sealed.number, wire::encode(&told), Way::Answer, &key))
    }

    /// What both may hold.
    fn shared_scope(&self, peer: &Peer) -> Result<Scope> {
        Ok(peer.scope.within(&self.among_peers()?.grant().scope))
    }

    async fn chunks_for(self: &Arc<Self>, peer: &Peer, partition: Partition) -> Result<Told> {
        if !self.shared_scope(peer)?.contains(&partition) {
            return Ok(Told::Nothing);
        }
        let hub = self.clone();
        // made to its end, also if it takes longer than anybody waits for
        let made =
            tokio::spawn(async move { hub.snapshots.manifest(&*hub.store, &partition, hub.identity.epoch).await });
        match timeout(PATIENCE_WITH_CHUNKS, made).await {
            Ok(Ok(Ok(manifest))) => Ok(Told::Chunks(manifest.chunks.into_iter().map(|chunk| chunk.hash).collect())),
            Ok(Ok(Err(HubError::NoChunk(_)))) => Ok(Told::Nothing),
            Ok(Ok(Err(err))) => Err(err),
            Ok(Err(_)) => Err(StoreError::Closed.into()),
            Err(_) => Ok(Told::Preparing),
        }
    }

    /// What a peer lacks, as soon as there is something, or when it has waited long enough.
    async fn news(&self, peer: &Peer, asked: &News) -> Result<Tidings> {
        let until = Instant::now() + Duration::from_millis(asked.wait).min(MAX_WAIT);
        // before the first look
        let mut notices = self.store.notices();
        let mut contact = self.among_peers()?.contact();
        let mut closing = self.closing.subscribe();
        let first = *contact.borrow_and_update();
        loop {
            let tidings = self.tidings(peer, asked).await?;
            let is_news = tidings.stands != first || !tidings.saves.is_empty() || tidings.more;
            let is_news = is_news || tidings.pages.iter().any(|page| !page.rows.is_empty());
            if is_news || Instant::now() >= until {
                return Ok(tidings);
            }
            tokio::select! {
                committed = notices.recv() => match committed {
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Ok(tidings),
                },
                changed = contact.changed() => {
                    if changed.is_err() {
                        return Ok(tidings);
                    }
                }
                _ = closing.changed() => return Ok(tidings),
                _ = timeout_at(until.min(Instant::now() + TICK), std::future::pending::<()>()) => {}
            }
        }
    }

    async fn tidings(&self, peer: &Peer, asked: &News) -> Result<Tidings> {
        let relay = self.among_peers()?;
        let stands = *relay.contact().borrow();
        let quiet = stands == Stands::Paused || (stands == Stands::InContact && asked.in_contact);
        if quiet {
            return Ok(Tidings { stands, saves: Vec::new(), last: None, more: false, pages: Vec::new() });
        }
        let scope = self.shared_scope(peer)?;
        // the rows first: whatever was saved in them is in the outbox then, or at the hub
        let mut pages = self.pages_for(&scope, asked).await?;
        let (saves, last, more) = self.saves_for(peer, &scope, asked.after).await?;
        if more {
            pages.clear();
        }
        Ok(Tidings { stands, saves, last, more, pages })
    }

    /// Saves of the outbox behind one; the last that was looked at; and whether there are more.
    async fn saves_for(
        &self,
        peer: &Peer,
        scope: &Scope,
        after: Option<SaveId>,
    ) -> Result<(Vec<Save>, Option<SaveId>, bool)> {
        let mut unsent = self.store.outbox_after(after, SAVES).await?;
        if unsent.iter().any(|unsent| !unsent.checked) {
            self.among_peers()?.date(&*self.store, self.world.now()).await?;
            unsent = self.store.outbox_after(after, SAVES).await?;
        }
        let dated = unsent.iter().take_while(|unsent| unsent.checked).count();
        let last = unsent[..dated].last().map(|unsent| unsent.save.id);
        let more = match last {
            Some(last) => dated < unsent.len() || !self.store.outbox_after(Some(last), 1).await?.is_empty(),
            None => !unsent.is_empty(),
        };
        let mut saves = Vec::with_capacity(dated);
        for unsent in unsent.into_iter().take(dated) {
            if unsent.save.author.node != peer.node && self.is_within(&unsent.save, scope).await? {
                saves.push(unsent.save);
            }
        }
        Ok((saves, last, more))
    }

    /// Whether all records of a save are where a peer may look, as far as is known here.
    async fn is_within(&self, save: &Save, scope: &Scope) -> Result<bool> {
        for record in &save.records {
            let held = self.store.record(&record.type_name, record.id).await?;
            if !held.is_some_and(|held| scope.contains(&held.partition)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Records of the partitions in which this edge heard more from the hub than the one who asks. In the others there is
    /// nothing that it lacks, but saves.
    async fn pages_for(&self, scope: &Scope, asked: &News) -> Result<Vec<PeerPage>> {
        let runs = self.store.runs().await?;
        let epoch = self.identity.epoch;
        let standings: BTreeMap<&Partition, &Standing> =
            asked.partitions.iter().map(|standing| (&standing.id, standing)).collect();
        let heard: BTreeSet<Epoch> = asked.partitions.iter().filter_map(|standing| Some(standing.hub?.0)).collect();
        let mut states = self.store.partitions_in(scope).await?;
        states.sort_by_key(|state| order(&state.partition));
        let (mut pages, mut room) = (Vec::new(), ROWS);
        for PartitionState { partition, head, records, cursor, .. } in states {
            // what was not read to its end of the hub is no ground to stand on
            let Some(cursor) = cursor.filter(|cursor| cursor.after == cursor.base && !partition.is_local()) else {
                continue;
            };
            let standing = standings.get(&partition);
            let read = standing.and_then(|standing| standing.read);
            let read =
                read.filter(|read| read.epoch == epoch && read.after <= head && runs.agree(read.after, read.tag));
            let at = |after: u64| Cursor { epoch, base: 0, after, tag: runs.tag_of(after) };
            let is_ahead = match standing.and_then(|standing| standing.hub) {
                Some((of, base)) if of == cursor.epoch => cursor.base > base,
                Some(_) => continue,
                // a large one is for the hub to give, chunk by chunk
                None => heard.contains(&cursor.epoch) && records < self.limits.chunk_records,
            };
            let after = read.map_or(0, |read| read.after);
            if !is_ahead {
                if read.is_none_or(|read| read.after != head) && standing.is_some_and(|standing| standing.hub.is_some())
                {
                    let (rows, dictionary) = Default::default();
                    pages.push(PeerPage { partition, dictionary, rows, read: at(head), more: false });
                }
                continue;
            }
            if after >= head || room == 0 {
                continue;
            }
            let changes = self.store.changes(&partition, 0, after, room).await?;
            let bytes: usize = changes.rows.iter().map(|row| row.state.len() + 32).sum();
            room = room.saturating_sub(bytes);
            // what left the partition is for the hub to say
            pages.push(PeerPage {
                partition,
                dictionary: changes.dictionary,
                rows: changes.rows,
                read: at(changes.next.unwrap_or(changes.head)),
                more: changes.next.is_some(),
            });
        }
        Ok(pages)
    }
}

/// Types before people before records, since these need them.
fn order(partition: &Partition) -> (u8, String) {
    let place = match partition {
        types if *types == Partition::types() => 0,
        people if *people == Partition::people() => 1,
        _ => 2,
    };
    (place, partition.0.clone())
}
