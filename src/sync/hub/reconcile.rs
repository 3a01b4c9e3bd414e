//! The hub's side of bringing a partition together again.

use std::collections::BTreeMap;

use super::{Hub, HubError, Result};
use crate::domain::ids::{Epoch, Partition, SaveId};
use crate::domain::path::Path;
use crate::domain::reconcile::{
    Compared, Fetch, Fetched, Listing, MAX_LISTED, MAX_RANGES, MAX_ROWS, Mark, NotTaken, Offer, Offered, Reconcile,
    Reconciled, fingerprint,
};
use crate::domain::record::pack::{Dictionary, Values, pack, unpack};
use crate::domain::record::{Act, Change, Cover, Place, State};
use crate::domain::save::{MAX_RECORD_BYTES, Save, SavedRecord};
use crate::domain::stamp::{Author, Stamp};
use crate::store::{OfferedPage, Request, Row};
use crate::sync::enrolment::NodeRecord;

/// Above every number.
const END: u64 = i64::MAX as u64;

impl Hub {
    pub async fn reconcile(&self, node: &NodeRecord, asked: &Reconcile) -> Result<Reconciled> {
        self.may_read(node, &asked.partition, asked.epoch)?;
        if asked.ranges.len() > MAX_RANGES {
            return Err(HubError::Meaningless(format!("more than {MAX_RANGES} ranges were sent at once")));
        }
        let head = self.store.changes(&asked.partition, END, END, 1).await?.head;
        let tag = self.store.runs().await?.tag_of(head);
        let mut ranges = Vec::with_capacity(asked.ranges.len());
        for range in &asked.ranges {
            let (from, to) = (range.from.as_ref(), range.to.as_ref());
            let mut rows = self.store.hashes(&asked.partition, from, to, MAX_LISTED + 1).await?;
            let to = rows.get(MAX_LISTED).map(|row| row.mark.clone());
            rows.truncate(MAX_LISTED);
            let is_equal = to.is_none() && rows.len() as u64 == range.count && fingerprint(&rows) == range.fingerprint;
            ranges.push(if is_equal { Compared::Equal } else { Compared::Rows(Listing { rows, to }) });
        }
        self.noted(node.id, |_| {});
        Ok(Reconciled { head, tag, ranges })
    }

    pub async fn fetch(&self, node: &NodeRecord, asked: &Fetch) -> Result<Fetched> {
        self.may_read(node, &asked.partition, asked.epoch)?;
        let mut fetched = Fetched { dictionary: Dictionary::default(), rows: Vec::new(), looked_at: 0 };
        let mut bytes = 0;
        for mark in asked.marks.iter().take(MAX_ROWS) {
            if bytes >= self.limits.pull_bytes {
                break;
            }
            fetched.looked_at += 1;
            let held = self.store.record(&mark.type_name, mark.id).await?;
            let Some(held) = held.filter(|held| held.partition == asked.partition) else { continue };
            let state = pack(&held.state, held.seq, Values::Inline, &mut fetched.dictionary);
            bytes += state.len();
            fetched.rows.push(Row { type_name: held.type_name, id: held.id, seq: held.seq, state });
        }
        self.noted(node.id, |_| {});
        Ok(fetched)
    }

    pub async fn offer(&self, node: &NodeRecord, offer: Offer) -> Result<Offered> {
        // it may give back what it may not read: what its people took out of its scope
        if offer.epoch != self.identity.epoch {
            return Err(HubError::ForeignEpoch);
        }
        if offer.rows.len() > MAX_ROWS {
            return Err(HubError::Meaningless(format!("more than {MAX_ROWS} records were offered at once")));
        }
        let Offer { partition, dictionary, rows, .. } = offer;
        let mut refused = Vec::new();
        let mut absent = Vec::new();
        let mut taken = Vec::with_capacity(rows.len());
        for row in rows {
            match self.may_take(&row, &dictionary).await? {
                Ok(()) => taken.push(row),
                Err(reason) => {
                    if let Ok(state) = unpack(&row.state, row.seq, None, &dictionary) {
                        absent.push((row.type_name.clone(), row.id, state.latest()));
                    }
                    refused.push(NotTaken { mark: Mark { type_name: row.type_name, id: row.id }, reason });
                }
            }
        }
        if !absent.is_empty() && self.relay.is_none() {
            // what it may not give back it may hold only because it has not heard
            let partition = partition.clone();
            self.store.write(Request::Absent { partition, records: absent, now: self.world.now() }).await?;
        }
        if !taken.is_empty() {
            let page = OfferedPage { partition, rows: taken, dictionary };
            let relay = self.relay.is_some();
            self.store.write(Request::Offer { page, now: self.world.now(), relay }).await?;
            self.stir();
        }
        self.noted(node.id, |_| {});
        Ok(Offered { refused })
    }

    fn may_read(&self, node: &NodeRecord, partition: &Partition, epoch: Epoch) -> Result<()> {
        if !node.scope.contains(partition) {
            return Err(HubError::OutOfScope(partition.clone()));
        }
        if epoch != self.identity.epoch { Err(HubError::ForeignEpoch) } else { Ok(()) }
    }

    /// Judges what of a record is new here by the rights of those who wrote it. What was written at this node it has
    /// judged before.
    async fn may_take(&self, row: &Row, dictionary: &Dictionary) -> Result<std::result::Result<(), String>> {
        if row.state.len() > 4 * MAX_RECORD_BYTES {
            return Ok(Err(format!("it is larger than {MAX_RECORD_BYTES} bytes")));
        }
        let offered = match unpack(&row.state, row.seq, None, dictionary) {
            Ok(offered) => offered,
            Err(damage) => return Ok(Err(damage.to_string())),
        };
        let held = self.store.record(&row.type_name, row.id).await?;
        if held.is_none() && self.is_forgotten(&row.type_name, row.id).await? {
            // nothing is made of it; it completes what waits for a decision
            return Ok(Ok(()));
        }
        let here = held.map(|held| held.state).unwrap_or_default();
        let mut written: BTreeMap<Author, (Stamp, Vec<Change>)> = BTreeMap::new();
        news(&here, &offered, &mut |stamp, path, act| {
            let change = Change { path: path.clone(), act, replaces: Cover::nothing() };
            let of = written.entry(stamp.author).or_insert((stamp, Vec::new()));
            of.0 = of.0.max(stamp);
            of.1.push(change);
        });
        for (author, (stamp, changes)) in written {
            if author.node == self.identity.node {
                continue;
            }
            let record = SavedRecord {
                type_name: row.type_name.clone(),
                id: row.id,
                revision: offered.revision(),
                time: stamp.time,
                changes,
            };
            let save = Save { id: SaveId(0), author, records: vec![record] };
            if let Err(reason) = (self.permits)(&save) {
                return Ok(Err(reason));
            }
        }
        Ok(Ok(()))
    }
}

/// The writes in a record that are later than what is here at their places.
fn news(here: &State, offered: &State, see: &mut dyn FnMut(Stamp, &Path, Act)) {
    if let Some(bin) = &offered.bin
        && here.bin.as_ref().is_none_or(|known| known.stamp < bin.stamp)
    {
        see(bin.stamp, &Path::root(), Act::Bin(bin.binned));
    }
    places(Some(&here.root), &offered.root, &mut Path::root(), see);
}

fn places(here: Option<&Place>, offered: &Place, path: &mut Path, see: &mut dyn FnMut(Stamp, &Path, Act)) {
    let known = here.and_then(|here| here.write.as_ref()).map(|write| write.stamp);
    if let Some(write) = offered.write.as_ref().filter(|write| known.is_none_or(|known| known < write.stamp)) {
        see(write.stamp, path, Act::Set(write.content.clone()));
    }
    let known = here.and_then(|here| here.order.as_ref()).map(|order| order.stamp);
    if let Some(order) = offered.order.as_ref().filter(|order| known.is_none_or(|known| known < order.stamp)) {
        see(order.stamp, path, Act::Rank(order.rank.clone()));
    }
    let known = here.and_then(|here| here.removal.as_ref()).map(|removal| removal.stamp);
    if let Some(removal) = offered.removal.as_ref().filter(|removal| known.is_none_or(|known| known < removal.stamp)) {
        see(removal.stamp, path, Act::Remove);
    }
    for (segment, below) in &offered.inside {
        path.0.push(segment.clone());
        places(here.and_then(|here| here.inside.get(segment)), below, path, see);
        path.0.pop();
    }
}
