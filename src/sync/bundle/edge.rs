//! The edge's side of bundles: writes what its hub lacks, and takes in what the hub wrote.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::file::pack;
use super::{BundleError, Chunk, Facts, Files, Header, Key, Next, Packed, Page, Piece, Taken, Told, Way, secret_of};
use crate::domain::feed::Cursor;
use crate::domain::ids::{Epoch, Incarnation, Partition, SaveId};
use crate::domain::protocol::{Push, Reached, Verdict};
use crate::domain::reconcile::Mark;
use crate::domain::save::Save;
use crate::domain::snapshot::{Copying, read};
use crate::node::{Blobs, Identity, NodeRole, Upstream, World};
use crate::store::{
    COPYING, LocalChange, PartitionState, PulledPage, Ready, Request, Store, StoreError, Unsent, chunk,
};
use crate::sync::carry::reconcile::{by_partition, next_offer};
use crate::sync::carry::{last_told, put_aside};
use crate::sync::clock::Offset;
use crate::sync::enrolment::credential;
use crate::sync::http_transport;
use crate::sync::hub::Hub;
use crate::sync::relay::{Grant, Relay};

const KIND: &str = "bundle";
const UP: &str = "up";
const DOWN: &str = "down";
const LACKING: &str = "lacking";
/// About so many bytes of saves are one push.
const PUSH_BYTES: usize = 1 << 20;

/// An edge, as far as its bundles concern it. Nothing of a link may be carried out meanwhile.
pub struct EdgeSide {
    pub store: Arc<dyn Store>,
    pub identity: Identity,
    /// This device's own clock, not corrected.
    pub world: Arc<dyn World>,
    pub offset: Arc<Offset>,
    pub relay: Arc<Relay>,
    /// Its side of sync with the nodes below it.
    pub below: Arc<Hub>,
    pub blobs: Option<Arc<Blobs>>,
}

/// The newest bundle that was taken in to its end, or begun.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct TakenIn {
    made_at: i64,
    id: u64,
    epoch: Epoch,
}

/// What the hub lacks: it said of these saves that it has nothing of their records, as it was put back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Lacking {
    epoch: Epoch,
    /// Whether the hub reads records in bundles.
    takes_whole: bool,
    saves: BTreeSet<SaveId>,
}

/// What a bundle is sealed with whose edge is to join by it.
pub fn key_to_join(header: &Header, token: &str) -> Key {
    Key::of(&credential(header.edge, &secret_of(token)))
}

/// The identity of the edge that a bundle was made for which it joins by; the bundle is sealed as it should be. `url` is
/// where the hub will be found, once there is a link.
pub fn identity_to_join(
    header: &Header,
    token: &str,
    url: &str,
    world: &dyn World,
) -> Result<Identity, crate::sync::EnrolError> {
    let url = http_transport::base(url).ok_or_else(|| crate::sync::EnrolError::Address(url.into()))?;
    Ok(Identity {
        node: header.edge,
        incarnation: Incarnation(world.random() as u64),
        epoch: Epoch(world.random() as u64),
        ancestors: Vec::new(),
        name: header.edge_name.clone(),
        role: NodeRole::Edge(Upstream {
            url,
            name: header.hub_name.clone(),
            node: header.hub,
            credential: credential(header.edge, &secret_of(token)),
        }),
    })
}

fn damaged(err: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged(err.to_string())
}

impl EdgeSide {
    fn upstream(&self) -> Result<&Upstream, BundleError> {
        match &self.identity.role {
            NodeRole::Edge(upstream) => Ok(upstream),
            NodeRole::Hub => Err(BundleError::Faulty("this node has no hub".into())),
        }
    }

    /// Milliseconds since 1970 by the hub's clock, as far as it is known.
    fn now(&self) -> i64 {
        self.world.now().saturating_add(self.offset.millis())
    }

    /// Begins a bundle for the hub, with or without files: what stands in front, what it is sealed with, and where it goes on.
    ///
    /// What was saved with a clock that could not be checked is dated now as well as it can be: what others may have is never
    /// corrected again.
    pub async fn begin(&self, files: bool) -> Result<(Header, Key, Next), BundleError> {
        let upstream = self.upstream()?;
        self.store.write(Request::Retime { offset: self.offset.millis(), now: self.now() }).await?;
        let made = self.store.local(KIND, UP).await?.and_then(|made| made.as_u64()).unwrap_or(0) + 1;
        let change = LocalChange { kind: KIND, key: UP.into(), value: Some(made.into()), expect: None };
        self.store.write(Request::Local(vec![change])).await?;
        let header = Header {
            way: Way::Up,
            edge: self.identity.node,
            edge_name: self.identity.name.clone(),
            hub: upstream.node,
            hub_name: upstream.name.clone(),
            id: self.world.random() as u64,
            number: made,
            made_at: self.now(),
            life: self.incarnation().await?.0,
            files: files && self.may_have_files().await?,
        };
        let next = Next::Up { begun: false, after: None, files: header.files };
        Ok((header, Key::of(&upstream.credential), next))
    }

    async fn incarnation(&self) -> Result<Incarnation, StoreError> {
        let identity = Identity::load(&*self.store).await.map_err(|err| damaged(&err))?;
        Ok(identity.as_ref().unwrap_or(&self.identity).incarnation)
    }

    /// Goes on with a bundle for the hub, as [`Hub::more_of_bundle`] does with one for an edge; about `room` bytes.
    pub async fn more(
        &self,
        begun: bool,
        after: Option<crate::domain::ids::SaveId>,
        files: bool,
        room: usize,
    ) -> Result<Packed, BundleError> {
        let mut packed = Vec::new();
        if !begun {
            let states = self.store.partitions().await?.into_iter().filter(|state| !state.partition.is_local());
            let reached = states.filter_map(|state| Some(Reached { id: state.partition, cursor: state.cursor? }));
            let below = self.below.below().await?;
            let told = Told { incarnation: self.incarnation().await?, partitions: reached.collect(), below };
            packed.push(pack(&Piece::Told(told)));
            packed.extend(self.whole().await?);
        }
        // if the last one went by itself meanwhile, all are in it once more, which does no harm
        let unsent = self.store.outbox_after(after, room).await?;
        // one that was saved since this began goes with the next, as it is dated then
        let saves: Vec<Save> =
            unsent.into_iter().take_while(|unsent| unsent.checked).map(|unsent| unsent.save).collect();
        let last = saves.last().map(|save| save.id);
        let mut rest = saves.into_iter().peekable();
        while rest.peek().is_some() {
            let mut push = Push { since: 0, saves: Vec::new() };
            let mut size = 0;
            while size < PUSH_BYTES
                && let Some(save) = rest.next()
            {
                size += serde_json::to_string(&save).map_or(0, |text| text.len());
                push.saves.push(save);
            }
            packed.push(pack(&Piece::Push(push)));
        }
        let mut counted = Files::default();
        let mut next = match last {
            Some(_) => {
                let more = self.store.outbox_after(last, 1).await?;
                more.first().is_some_and(|unsent| unsent.checked).then_some(Next::Up {
                    begun: true,
                    after: last,
                    files,
                })
            }
            None => None,
        };
        if next.is_none() && files {
            let begun = self.begin_files().await?;
            packed.extend(begun.pieces);
            (counted, next) = (begun.files, begun.next);
        }
        Ok(Packed { pieces: packed, files: counted, next }.ended())
    }

    async fn lacking(&self) -> Result<Lacking, StoreError> {
        let kept = self.store.local(KIND, LACKING).await?.map(serde_json::from_value).transpose();
        Ok(kept.map_err(|err| damaged(&err))?.unwrap_or_default())
    }

    async fn keep_lacking(&self, lacking: &Lacking) -> Result<(), StoreError> {
        let value = serde_json::to_value(lacking).map_err(|err| damaged(&err))?;
        let change = LocalChange { kind: KIND, key: LACKING.into(), value: Some(value), expect: None };
        self.store.write(Request::Local(vec![change])).await.map(|_| ())
    }

    /// The records that the hub lacks, packed; their saves still wait, and go with them.
    async fn whole(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        let lacking = self.lacking().await?;
        if lacking.saves.is_empty() {
            return Ok(Vec::new());
        }
        let (mut marks, mut untimed, mut after) = (BTreeSet::new(), BTreeSet::new(), None);
        loop {
            let unsent = self.store.outbox_after(after, PUSH_BYTES).await?;
            let Some(last) = unsent.last().map(|unsent| unsent.save.id) else { break };
            for Unsent { save, checked, .. } in unsent {
                let of = save.records.into_iter().map(|record| Mark { type_name: record.type_name, id: record.id });
                match checked {
                    true if lacking.saves.contains(&save.id) => marks.extend(of),
                    true => {}
                    // saved since this was begun, and not dated yet
                    false => untimed.extend(of),
                }
            }
            after = Some(last);
        }
        let mut packed = Vec::new();
        let marks = marks.into_iter().filter(|mark| !untimed.contains(mark));
        for (partition, marks) in by_partition(&*self.store, marks).await? {
            let mut marks = marks.into_iter().peekable();
            while marks.peek().is_some() {
                let offer = next_offer(&*self.store, &partition, lacking.epoch, &mut marks, PUSH_BYTES).await?;
                if !offer.rows.is_empty() {
                    packed.push(pack(&Piece::Whole(offer)));
                }
            }
        }
        Ok(packed)
    }

    /// What a bundle from the hub has to be sealed with.
    pub fn key(&self, header: &Header) -> Result<Key, BundleError> {
        let upstream = self.upstream()?;
        if header.way == Way::Up {
            return Err(match header.edge == self.identity.node {
                true => BundleError::Own(header.hub_name.clone()),
                false => BundleError::ForOther(header.hub_name.clone()),
            });
        }
        if header.edge != self.identity.node {
            return Err(BundleError::ForOther(header.edge_name.clone()));
        }
        if header.hub != upstream.node {
            return Err(BundleError::OfOtherHub(header.hub_name.clone()));
        }
        Ok(Key::of(&upstream.credential))
    }

    /// Takes in some pieces of a bundle that is sealed as it should be, as if the hub had answered with them. Again, or later
    /// than newer ones, it changes nothing.
    pub async fn take(&self, header: &Header, pieces: Vec<Piece>) -> Result<Taken, BundleError> {
        let mut taken = Taken::default();
        for piece in pieces {
            match piece {
                Piece::Facts(facts) => taken.is_old = !self.facts(header, facts).await?,
                Piece::Received(verdicts) => taken.acknowledged += self.received(verdicts).await?,
                Piece::Page(page) => taken.records += self.page(page).await?,
                Piece::Chunk(chunk) => taken.records += self.chunk(chunk).await?,
                Piece::FilesHad(had) => taken.files_at_hub += self.files_had(had).await?,
                Piece::FilePart(part) => self.file_part(part, &mut taken).await?,
                Piece::End => self.forget().await?,
                Piece::Told(_) | Piece::Push(_) | Piece::Whole(_) | Piece::FilesTold(_) => {
                    return Err(BundleError::Faulty("a hub does not say such a thing".into()));
                }
            }
        }
        Ok(taken)
    }

    pub(super) async fn state(&self, partition: &Partition) -> Result<Option<PartitionState>, StoreError> {
        Ok(self.store.partitions().await?.into_iter().find(|state| state.partition == *partition))
    }

    /// Looks first whether all of it can be taken in. False if what is known here is newer: then its scope does not count, and
    /// what it tells of partitions only as far as it is news.
    async fn facts(&self, header: &Header, facts: Facts) -> Result<bool, BundleError> {
        let kept = self.store.local(KIND, DOWN).await?.map(serde_json::from_value::<TakenIn>).transpose();
        let kept = kept.map_err(|err| damaged(&err))?;
        let is_newest = header.made_at > last_told(&*self.store).await?
            && kept.as_ref().is_none_or(|kept| header.made_at > kept.made_at || header.id == kept.id);
        let scope = if is_newest { facts.scope.clone() } else { self.relay.grant().scope };
        let states = self.store.partitions().await?;
        for start in facts.starts.iter().filter(|start| scope.contains(&start.partition)) {
            let state = states.iter().find(|state| state.partition == start.partition);
            let cursor = state.and_then(|state| state.cursor).filter(|cursor| cursor.epoch == facts.epoch);
            if start.base > cursor.map_or(0, |cursor| cursor.base) {
                return Err(BundleError::Gap(start.partition.clone()));
            }
        }
        if !is_newest {
            return Ok(kept.is_some_and(|kept| kept.id == header.id));
        }
        self.relay.granted(&*self.store, Grant { scope: facts.scope, relays: facts.relays }).await?;
        let lacking = Lacking { epoch: facts.epoch, takes_whole: facts.takes_whole, ..self.lacking().await? };
        self.keep_lacking(&lacking).await?;
        let taken = TakenIn { made_at: header.made_at, id: header.id, epoch: facts.epoch };
        let value = serde_json::to_value(taken).map_err(|err| damaged(&err))?;
        let change = LocalChange { kind: KIND, key: DOWN.into(), value: Some(value), expect: None };
        self.store.write(Request::Local(vec![change])).await?;
        Identity::hub_is_called(&*self.store, &header.hub_name).await.map_err(|err| damaged(&err))?;
        Ok(true)
    }

    /// The hub has these saves. How many of them still waited here.
    async fn received(&self, verdicts: Vec<Verdict>) -> Result<u64, BundleError> {
        let before = self.store.waiting().await?;
        if verdicts.iter().any(|verdict| verdict.refused.is_some()) {
            let mut after = None;
            loop {
                let unsent = self.store.outbox_after(after, PUSH_BYTES).await?;
                let Some(last) = unsent.last().map(|unsent| unsent.save.id) else { break };
                for unsent in unsent {
                    let about = verdicts.iter().find(|verdict| verdict.save == unsent.save.id);
                    if let Some(reason) = about.and_then(|verdict| verdict.refused.clone()) {
                        put_aside(&*self.store, unsent.save, reason, self.now()).await?;
                    }
                }
                after = Some(last);
            }
        }
        let saves = self.sure(&verdicts).await?;
        self.store.write(Request::Acknowledge(saves)).await?;
        Ok(before.saturating_sub(self.store.waiting().await?))
    }

    /// Of these saves, those that nothing more is to be given of: the others stay in the outbox, and so their records stay
    /// here, until the hub has those.
    async fn sure(&self, verdicts: &[Verdict]) -> Result<Vec<SaveId>, StoreError> {
        let before = self.lacking().await?;
        let mut lacking = before.clone();
        let waits = verdicts.iter().filter(|verdict| verdict.waits && before.takes_whole);
        let waits: BTreeSet<SaveId> = waits.map(|verdict| verdict.save).collect();
        verdicts.iter().for_each(|verdict| {
            lacking.saves.remove(&verdict.save);
        });
        let mut after = None;
        while !waits.is_empty() {
            let unsent = self.store.outbox_after(after, PUSH_BYTES).await?;
            let Some(last) = unsent.last().map(|unsent| unsent.save.id) else { break };
            for Unsent { save, .. } in unsent.into_iter().filter(|unsent| waits.contains(&unsent.save.id)) {
                let marks = save.records.into_iter().map(|record| Mark { type_name: record.type_name, id: record.id });
                if !by_partition(&*self.store, marks).await?.is_empty() {
                    lacking.saves.insert(save.id);
                }
            }
            after = Some(last);
        }
        if lacking != before {
            self.keep_lacking(&lacking).await?;
        }
        let sure = verdicts.iter().map(|verdict| verdict.save);
        Ok(sure.filter(|save| !lacking.saves.contains(save)).collect())
    }

    /// Joins a page, if it goes on from where this node is or before. How many rows it brought.
    async fn page(&self, Page { base, after, page }: Page) -> Result<u64, BundleError> {
        if !self.relay.grant().scope.contains(&page.partition) {
            return Ok(0);
        }
        let state = self.state(&page.partition).await?;
        let kept = state.and_then(|state| state.cursor).filter(|cursor| cursor.epoch == page.epoch);
        let here = kept.unwrap_or(Cursor::start(page.epoch));
        if kept.is_some() && here.base >= page.next.unwrap_or(page.head) {
            return Ok(0);
        }
        if base > here.base || after > here.base.max(here.after) {
            return Err(BundleError::Gap(page.partition));
        }
        // what came in by other ways stays known: a page from further back tells all that one from here would
        let mut cursor = here;
        if page.next.is_none() {
            cursor.base = page.head;
        }
        let upto = page.next.unwrap_or(page.head);
        if upto >= cursor.after {
            (cursor.after, cursor.tag) = (upto, page.tag);
        }
        let rows = page.rows.len() as u64;
        let page = PulledPage {
            partition: page.partition,
            rows: page.rows,
            moved: page.moved,
            cursor,
            dictionary: page.dictionary,
        };
        self.store.write(Request::Join { page, now: self.now() }).await?;
        Ok(rows)
    }

    /// Joins a chunk, if this node holds nothing of the partition but other chunks. How many records it brought.
    async fn chunk(&self, Chunk { partition, epoch, head, chunk, is_last, bytes }: Chunk) -> Result<u64, BundleError> {
        if !self.relay.grant().scope.contains(&partition) {
            return Ok(0);
        }
        let state = self.state(&partition).await?;
        let copying = self.store.local(COPYING, &partition.0).await?.map(serde_json::from_value::<Copying>).transpose();
        let copying = copying.map_err(|err| damaged(&err))?.filter(|copying| copying.epoch == epoch);
        match state.as_ref().and_then(|state| state.cursor) {
            Some(cursor) if cursor.epoch == epoch && cursor.base >= head => return Ok(0),
            Some(_) => return Err(BundleError::Gap(partition)),
            None if copying.is_none() && state.is_some_and(|state| state.records > 0) => {
                return Err(BundleError::Gap(partition));
            }
            None => {}
        }
        let faulty = |err: &dyn std::fmt::Display| BundleError::Faulty(format!("a chunk of {partition}: {err}"));
        let content = chunk::open(chunk.hash, &bytes).map_err(|err| faulty(&err))?;
        let (rows, dictionary) = read(&partition, &content).map_err(|err| faulty(&err))?;
        let copying = copying.unwrap_or(Copying { epoch, head, ..Copying::default() }).with(chunk.hash, head);
        let cursor = Cursor { epoch, base: copying.head, after: copying.head, tag: None };
        let page = PulledPage { partition: partition.clone(), rows, moved: Vec::new(), cursor, dictionary };
        let copying = (!is_last).then_some(copying);
        self.store.write(Request::JoinChunk { page, ready: Ready::default(), copying, now: self.now() }).await?;
        Ok(chunk.records)
    }

    /// Drops what is outside the scope, except what the hub has not acknowledged.
    async fn forget(&self) -> Result<(), BundleError> {
        let scope = self.relay.grant().scope;
        let states = self.store.partitions().await?.into_iter();
        let foreign = states
            .filter(|state| !state.partition.is_local() && state.records > 0 && !scope.contains(&state.partition));
        let foreign: Vec<Partition> = foreign.map(|state| state.partition).collect();
        if !foreign.is_empty() {
            self.store.write(Request::Forget(foreign)).await?;
        }
        Ok(())
    }
}
