//! The hub's side of bundles: takes in what an edge wrote, and writes what an edge lacks.
//!
//! What an edge has is believed from what it told itself, over a link or in a bundle; never from what was written for it,
//! which may have got lost on its way.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Contact, Hub, HubError, MAX_BELOW, POISON, lives};
use crate::domain::feed::Cursor;
use crate::domain::ids::{Incarnation, NodeId, Partition};
use crate::domain::protocol::{Enrol, Pull, Reached, Verdict};
use crate::domain::reconcile::Mark;
use crate::store::{LocalChange, Outcome, Request, Store, StoreError};
use crate::sync::bundle::file::pack;
use crate::sync::bundle::{
    BundleError, Chunk, Facts, Header, Key, Next, Packed, Page, Piece, Route, Start, Taken, Told, Way, secret_of,
};
use crate::sync::enrolment::{self, NodeRecord};

const KIND: &str = "bundle";
/// The verdicts about what came in the newest bundle of an edge, until a newer one shows what it still waits for.
const RECEIVED: &str = "bundle-received";

/// What is known of the bundles of an edge.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Carried {
    /// How many were made for it.
    made: u64,
    heard: Option<Heard>,
}

/// The newest that came from it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Heard {
    /// When it was taken in.
    at: i64,
    incarnation: Incarnation,
    number: u64,
    id: u64,
    reached: Vec<Reached>,
}

pub(super) fn read<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, StoreError> {
    serde_json::from_value(value).map_err(|err| StoreError::Damaged(err.to_string()))
}

pub(super) fn kept(kind: &'static str, key: String, value: &impl Serialize) -> LocalChange {
    let value = serde_json::to_value(value).expect("what is kept is plain data");
    LocalChange { kind, key, value: Some(value), expect: None }
}

/// Types and people first: a record is of no use without them.
fn order(partition: &Partition) -> (bool, bool, Partition) {
    (*partition != Partition::types(), *partition != Partition::people(), partition.clone())
}

/// From where on a bundle tells of each partition.
fn starts(routes: &[Route]) -> Vec<Start> {
    let start = |Route { partition, base, whole, .. }: &Route| Start {
        partition: partition.clone(),
        base: *base,
        whole: *whole,
    };
    routes.iter().map(start).collect()
}

/// The nodes for which a bundle was ever made.
pub(super) async fn made_for(store: &dyn Store) -> Result<BTreeSet<NodeId>, StoreError> {
    // an edge keeps what it knows of its own bundles beside them
    Ok(store.locals(KIND).await?.into_iter().filter_map(|(node, _)| node.parse().ok()).collect())
}

impl Hub {
    /// A node that this hub let in, revoked or not.
    async fn let_in(&self, edge: NodeId) -> Result<Option<NodeRecord>, BundleError> {
        self.may_serve()?;
        let record = enrolment::nodes(&*self.store).await?.into_iter().find(|record| record.id == edge);
        Ok(record.map(|mut record| {
            if let Some(relay) = &self.relay {
                record.scope = record.scope.within(&relay.grant().scope);
            }
            record
        }))
    }

    /// As [`Hub::let_in`], for giving it something.
    pub(super) async fn may_have(&self, edge: NodeId) -> Result<NodeRecord, BundleError> {
        let record = self.let_in(edge).await?.ok_or_else(|| BundleError::Stranger(edge.to_string()))?;
        if record.revoked_at.is_some() { Err(BundleError::Revoked(record.name)) } else { Ok(record) }
    }

    /// Lets the edge in that will show this token with a bundle made for it. Again, it is the same edge.
    pub async fn enrol_by_bundle(&self, token: &str) -> Result<NodeId, BundleError> {
        let enrol = Enrol { token: token.trim().to_owned(), name: String::new(), secret: secret_of(token) };
        Ok(self.enrol(&enrol).await?.node)
    }

    /// Begins a bundle for an edge, with or without files: what stands in front, what it is sealed with, and where it goes on.
    pub async fn begin_bundle(&self, edge: NodeId, files: bool) -> Result<(Header, Key, Next), BundleError> {
        let record = self.may_have(edge).await?;
        let (routes, number) = loop {
            let standing = self.store.local(KIND, &edge.to_string()).await?;
            let mut carried: Carried = standing.clone().map(read).transpose()?.unwrap_or_default();
            let routes = self.routes(&record, &carried).await?;
            carried.made += 1;
            let change = LocalChange { expect: Some(standing), ..kept(KIND, edge.to_string(), &carried) };
            if self.store.write(Request::Local(vec![change])).await? == Outcome::Done {
                break (routes, carried.made);
            }
            // a bundle of this edge came in between
        };
        let header = Header {
            way: Way::Down,
            edge,
            edge_name: record.name.clone(),
            hub: self.identity.node,
            hub_name: self.name().await?,
            id: self.world.random() as u64,
            number,
            made_at: self.world.now(),
            life: self.identity.epoch.0,
            files: files && self.may_have_files(routes.iter().map(|route| &route.partition)),
        };
        let files = header.files.then(|| starts(&routes));
        Ok((header, record.bundle_key()?, Next::Down { edge, begun: false, routes, files }))
    }

    /// From where on each partition of its scope goes into a bundle for an edge.
    async fn routes(&self, record: &NodeRecord, carried: &Carried) -> Result<Vec<Route>, BundleError> {
        let contact = self.contacts.lock().expect(POISON).get(&record.id).cloned();
        let runs = self.store.runs().await?;
        let by_bundle = carried.heard.as_ref().filter(|heard| contact.as_ref().is_none_or(|it| heard.at >= it.at));
        let reached: BTreeMap<String, u64> = match (by_bundle, &contact) {
            (Some(heard), _) => {
                // a number of another line of numbers says nothing
                let counts =
                    |cursor: Cursor| cursor.epoch == self.identity.epoch && runs.agree(cursor.after, cursor.tag);
                let reached = heard.reached.iter().filter(|reached| counts(reached.cursor));
                reached.map(|reached| (reached.id.0.clone(), reached.cursor.base)).collect()
            }
            (None, Some(contact)) => contact.reached.clone(),
            (None, None) => BTreeMap::new(),
        };
        // chunks tell what is there and not what left: they are for an edge that surely has nothing
        let is_first = carried.made == 0 && carried.heard.is_none() && contact.is_none();
        let floors = self.floors().await?;
        let states = self.store.partitions_in(&record.scope).await?;
        let mut routes: Vec<Route> = states
            .into_iter()
            .filter(|state| !state.partition.is_local())
            .map(|state| {
                // beyond the newest number there is nothing: whoever says so read another line. Below the floor nobody
                // can be told what left: that a link has to compare, and here is all there is
                let floor = floors.get(&state.partition).copied().unwrap_or(0);
                let is_told = |base: &u64| (floor..=state.head).contains(base);
                let base = reached.get(&state.partition.0).copied().filter(is_told).unwrap_or(0);
                let whole = is_first && state.records >= self.limits.chunk_records;
                Route { partition: state.partition, base, after: base, whole, chunks: None }
            })
            .collect();
        routes.sort_by_cached_key(|route| order(&route.partition));
        Ok(routes)
    }

    /// Goes on with a bundle: some packed pieces, about `room` bytes of them, and where it goes on then.
    pub async fn more_of_bundle(
        &self,
        edge: NodeId,
        begun: bool,
        mut routes: Vec<Route>,
        files: Option<Vec<Start>>,
        room: usize,
    ) -> Result<Packed, BundleError> {
        let record = self.may_have(edge).await?;
        let mut packed: Vec<Vec<u8>> = Vec::new();
        let mut bytes = 0;
        if !begun {
            let facts = Facts {
                epoch: self.identity.epoch,
                scope: record.scope.clone(),
                relays: record.relays,
                takes_whole: true,
                starts: starts(&routes),
            };
            packed.push(pack(&Piece::Facts(facts)));
            for (_, verdicts) in self.received(edge).await? {
                packed.push(pack(&Piece::Received(verdicts)));
            }
        }
        let mut done = 0;
        while let Some(route) = routes.get_mut(done) {
            if bytes >= room {
                break;
            }
            let (piece, is_done) = self.piece_of(&record, route).await?;
            if let Some(piece) = piece {
                let piece = pack(&piece);
                bytes += piece.len();
                packed.push(piece);
            }
            done += usize::from(is_done);
        }
        routes.drain(..done);
        let mut next = None;
        if !routes.is_empty() {
            next = Some(Next::Down { edge, begun: true, routes, files });
        } else if let Some(starts) = files {
            let (told, sending) = self.files_of_bundle(edge, &record, &starts).await?;
            packed.extend(told);
            next = Some(Next::Files { edge: Some(edge), sending });
        }
        Ok(Packed { pieces: packed, next, ..Packed::default() }.ended())
    }

    /// The next piece of a partition, and whether it was the last.
    async fn piece_of(&self, record: &NodeRecord, route: &mut Route) -> Result<(Option<Piece>, bool), BundleError> {
        let epoch = self.identity.epoch;
        if !record.scope.contains(&route.partition) {
            // it was changed since the bundle was begun
            return Err(HubError::OutOfScope(route.partition.clone()).into());
        }
        if route.whole {
            let (manifest, done) = match route.chunks.take() {
                Some(known) => known,
                None => (self.snapshots.manifest(&*self.store, &route.partition, epoch).await?, 0),
            };
            let head = manifest.head;
            let Some(chunk) = manifest.chunks.get(done).cloned() else {
                route.whole = false;
                (route.base, route.after) = (head, head);
                return Ok((None, false));
            };
            let bytes = self.snapshots.chunk(chunk.hash, |partition| *partition == route.partition)?;
            let is_last = done + 1 == manifest.chunks.len();
            let piece = Chunk { partition: route.partition.clone(), epoch, head, chunk, is_last, bytes };
            route.chunks = Some((manifest, done + 1));
            return Ok((Some(Piece::Chunk(piece)), false));
        }
        let (base, after) = (route.base, route.after);
        let max_bytes = self.limits.pull_bytes;
        let asked = Pull { partition: route.partition.clone(), epoch, base, after, tag: None, max_bytes };
        let page = self.page(&asked).await?;
        let next = page.next;
        route.after = next.unwrap_or(after);
        Ok((Some(Piece::Page(Page { base, after, page })), next.is_none()))
    }

    async fn received(&self, edge: NodeId) -> Result<Vec<(String, Vec<Verdict>)>, StoreError> {
        let of = format!("{edge}/");
        let all = self.store.locals_under(RECEIVED, &of).await?.into_iter();
        all.map(|(key, value)| Ok((key, read(value)?))).collect()
    }

    /// What a bundle from an edge has to be sealed with.
    pub async fn key_of_bundle(&self, header: &Header) -> Result<Key, BundleError> {
        if header.way == Way::Down {
            return Err(match header.hub == self.identity.node {
                true => BundleError::Own(header.edge_name.clone()),
                false => BundleError::ForOther(header.edge_name.clone()),
            });
        }
        if header.hub != self.identity.node {
            return Err(BundleError::ForOther(header.hub_name.clone()));
        }
        let record = self.let_in(header.edge).await?;
        Ok(record.ok_or_else(|| BundleError::Stranger(header.edge_name.clone()))?.bundle_key()?)
    }

    /// Takes in some pieces of a bundle that is sealed as it should be, as if its edge had pushed them. Again, it changes
    /// nothing.
    pub async fn take_bundle(&self, header: &Header, pieces: Vec<Piece>) -> Result<Taken, BundleError> {
        let record = self.let_in(header.edge).await?;
        let record = record.ok_or_else(|| BundleError::Stranger(header.edge_name.clone()))?;
        let is_revoked = record.revoked_at.is_some();
        if is_revoked && self.relay.is_some() {
            return Err(HubError::Revoked.into());
        }
        let mut taken = Taken::default();
        for piece in pieces {
            match piece {
                // nothing that a revoked node says of itself counts
                Piece::Told(_) if is_revoked => {}
                Piece::Told(told) => taken.is_old = !self.heard(header, told).await?,
                Piece::Whole(_) if is_revoked => {}
                // of another line of numbers it was said; what is sent with it is answered alike
                Piece::Whole(offer) if offer.epoch != self.identity.epoch => {}
                Piece::Whole(offer) => {
                    for refused in self.offer(&record, offer).await?.refused {
                        let Mark { type_name, id } = refused.mark;
                        tracing::warn!("{type_name} {id} is not taken back: {}", refused.reason);
                    }
                }
                Piece::Push(push) => {
                    let verdicts = self.push(&record, push).await?.verdicts;
                    taken.saves += verdicts.len() as u64;
                    taken.quarantined += verdicts.iter().filter(|it| it.quarantined.is_some()).count() as u64;
                    taken.refused += verdicts.iter().filter(|it| it.refused.is_some()).count() as u64;
                    if let Some(first) = verdicts.first().filter(|_| !is_revoked) {
                        let key = format!("{}/{:016x}/{}", header.edge, header.id, first.save);
                        self.store.write(Request::Local(vec![kept(RECEIVED, key, &verdicts)])).await?;
                    }
                }
                Piece::FilesTold(_) if is_revoked => {}
                Piece::FilesTold(told) => self.heard_of_files(header, told).await?,
                Piece::FilePart(part) => self.file_of_bundle(&record, part, &mut taken).await?,
                Piece::End if is_revoked => {}
                Piece::End => self.acknowledged(header, &record).await?,
                Piece::Facts(_) | Piece::Received(_) | Piece::Page(_) | Piece::Chunk(_) | Piece::FilesHad(_) => {
                    return Err(BundleError::Faulty("an edge does not say such a thing".into()));
                }
            }
        }
        Ok(taken)
    }

    /// Which bundle of an edge is the newest that came in.
    pub(super) async fn newest_bundle(&self, edge: NodeId) -> Result<Option<u64>, StoreError> {
        let standing = self.store.local(KIND, &edge.to_string()).await?;
        Ok(standing.map(read::<Carried>).transpose()?.and_then(|carried| carried.heard).map(|heard| heard.id))
    }

    /// All of a bundle is in: when its edge wrote it, it had nothing else to send, and was as far as it told.
    async fn acknowledged(&self, header: &Header, record: &NodeRecord) -> Result<(), BundleError> {
        let standing = self.store.local(KIND, &header.edge.to_string()).await?;
        let carried: Carried = standing.map(read).transpose()?.unwrap_or_default();
        let Some(heard) = carried.heard.filter(|heard| heard.id == header.id) else { return Ok(()) };
        let (epoch, runs) = (self.identity.epoch, self.store.runs().await?);
        let counts = |cursor: &Cursor| cursor.epoch == epoch && runs.agree(cursor.after, cursor.tag);
        let reached = heard.reached.into_iter().filter(|reached| counts(&reached.cursor));
        let mut numbers: BTreeMap<String, u64> = reached.map(|reached| (reached.id.0, reached.cursor.base)).collect();
        if record.relays {
            // what those below it have read is not told
            numbers.clear();
        }
        let (edge, incarnation) = (header.edge, heard.incarnation);
        Ok(lives::told(&*self.store, edge, incarnation, Some((epoch, numbers)), self.world.now()).await?)
    }

    /// Takes notice of how far an edge was. False if something newer is known of it.
    async fn heard(&self, header: &Header, told: Told) -> Result<bool, BundleError> {
        const TRIES: u32 = 8;
        let now = self.world.now();
        let key = header.edge.to_string();
        for _ in 0..TRIES {
            let standing = self.store.local(KIND, &key).await?;
            let mut carried: Carried = standing.clone().map(read).transpose()?.unwrap_or_default();
            match &carried.heard {
                Some(last) if last.id == header.id => return Ok(true),
                Some(last) if last.incarnation == told.incarnation && last.number > header.number => return Ok(false),
                _ => {}
            }
            carried.heard = Some(Heard {
                at: now,
                incarnation: told.incarnation,
                number: header.number,
                id: header.id,
                reached: told.partitions.clone(),
            });
            let mut changes = vec![LocalChange { expect: Some(standing), ..kept(KIND, key.clone(), &carried) }];
            // whatever it waits for is in this one again
            let ours = format!("{key}/{:016x}/", header.id);
            for (key, _) in self.received(header.edge).await?.into_iter().filter(|(key, _)| !key.starts_with(&ours)) {
                changes.push(LocalChange { kind: RECEIVED, key, value: None, expect: None });
            }
            changes.extend(self.without_older_files(header).await?);
            let epoch = self.identity.epoch;
            let reached = told.partitions.iter().filter(|reached| reached.cursor.epoch == epoch);
            let contact = Contact {
                at: now,
                // all of it is in the bundle
                waiting: 0,
                in_step: false,
                clock_ahead: 0,
                reached: reached.map(|reached| (reached.id.0.clone(), reached.cursor.base)).collect(),
                below: told.below.iter().take(MAX_BELOW).cloned().collect(),
                kept_at: 0,
            };
            changes.extend(self.keep(header.edge, contact));
            lives::told(&*self.store, header.edge, told.incarnation, None, now).await?;
            if self.store.write(Request::Local(changes)).await? == Outcome::Done {
                return Ok(true);
            }
            // another bundle of this edge came in between
        }
        Err(BundleError::Faulty("other bundles of this edge come in at the same time; import it again".into()))
    }
}
