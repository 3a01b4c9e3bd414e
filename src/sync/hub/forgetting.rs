//! Forgetting: what every node knows, by the numbers that each has acknowledged with nothing left to send, and what the
//! oldest backup holds that may still be restored. Never after a time alone.
//!
//! A node that serves others forgets by what these acknowledged. What they acknowledged goes up to its own hub as its own
//! acknowledgement, so nobody is forgotten who reads at second hand.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Hub, bundles, lives};
use crate::domain::feed::Cursor;
use crate::domain::ids::{Epoch, NodeId, Partition, RecordId, THE_HUB, TypeName};
use crate::domain::scope::Scope;
use crate::domain::stamp::Author;
use crate::node::{BackedUp, Keeping, Order};
use crate::store::{
    FLOOR, Filter, Floor, GONE, Operator, PartitionState, Query, REMAINS, Request, Sort, SortKey, StoreError,
    is_settled, remains_of,
};
use crate::sync::enrolment;

/// So many records of a kind are deleted for good at once at most; the others follow.
const AT_ONCE: usize = 500;

/// What one round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forgotten {
    /// Records that were deleted for good, and lost values that were decided.
    pub purged: usize,
    /// Partitions whose removals are forgotten further than before.
    pub partitions: usize,
    /// Records of which only the name is kept now.
    pub remains: usize,
}

/// What everybody knows.
#[derive(Clone)]
struct Known {
    /// What each incarnation that counts has acknowledged, with the scope of its node.
    lives: Vec<(Scope, BTreeMap<String, u64>)>,
    /// What is in every backup that may still be restored.
    backed_up: u64,
}

impl Known {
    /// The number in a partition that everybody knows. What nobody else holds, everybody knows.
    fn upto(&self, state: &PartitionState) -> u64 {
        let readers = self.lives.iter().filter(|(scope, _)| scope.contains(&state.partition));
        let reached = readers.map(|(_, numbers)| numbers.get(&state.partition.0).copied().unwrap_or(0));
        reached.min().unwrap_or(state.head).min(self.backed_up).min(state.head)
    }
}

/// How far an edge's own hub may take it to be, by the readers of the edge.
#[derive(Debug, Default)]
pub(super) struct Checkpoints(BTreeMap<Partition, Checkpoint>);

#[derive(Debug, Default)]
struct Checkpoint {
    epoch: Epoch,
    settled: u64,
    /// When this edge was complete up to the first number, of its hub, its own newest was the second.
    next: Option<(u64, u64)>,
}

impl Checkpoint {
    fn turn(&mut self, cursor: Cursor, head: u64, readers: Option<u64>) -> u64 {
        if self.epoch != cursor.epoch || cursor.base < self.settled {
            *self = Self { epoch: cursor.epoch, ..Self::default() };
        }
        match (self.next, readers) {
            (_, None) => self.settled = cursor.base,
            (Some((base, own)), Some(reached)) if reached >= own => self.settled = base.min(cursor.base),
            (Some(_), Some(_)) => return self.settled,
            (None, Some(_)) => {}
        }
        self.next = Some((cursor.base, head));
        self.settled
    }
}

impl Hub {
    /// The numbers up to which removals are forgotten: whoever is not that far has to compare all it holds.
    pub(super) async fn floors(&self) -> Result<BTreeMap<Partition, u64>, StoreError> {
        let floors = self.store.locals(FLOOR).await?.into_iter().filter_map(|(partition, value)| {
            let floor = Floor::deserialize(value).ok().filter(|floor| floor.epoch == self.identity.epoch)?;
            Some((Partition(partition), floor.upto))
        });
        Ok(floors.collect())
    }

    /// Of these partitions, which are few where a node has a small scope.
    pub(super) async fn floors_of(
        &self,
        partitions: impl ExactSizeIterator<Item = &Partition>,
    ) -> Result<BTreeMap<Partition, u64>, StoreError> {
        const FEW: usize = 8;
        if partitions.len() > FEW {
            return self.floors().await;
        }
        let mut floors = BTreeMap::new();
        for partition in partitions {
            floors.insert(partition.clone(), self.floor(partition).await?);
        }
        Ok(floors)
    }

    pub(super) async fn floor(&self, partition: &Partition) -> Result<u64, StoreError> {
        let value = self.store.local(FLOOR, &partition.0).await?;
        let floor = value.and_then(|value| Floor::deserialize(value).ok());
        Ok(floor.filter(|floor| floor.epoch == self.identity.epoch).map_or(0, |floor| floor.upto))
    }

    /// Whether a record was deleted for good, and only its name is kept.
    pub(super) async fn is_forgotten(&self, type_name: &TypeName, id: RecordId) -> Result<bool, StoreError> {
        let key = format!("{type_name}/{id}");
        Ok(self.store.local(GONE, &key).await?.is_some() && self.store.local(REMAINS, &key).await?.is_none())
    }

    /// The nodes that are not waited for any more: all that is known of them is older than the limit.
    pub(super) async fn silent(&self) -> Result<Vec<NodeId>, StoreError> {
        let limit = Keeping::load(&*self.store).await?.silent;
        lives::silent(&*self.store, self.world.now().saturating_sub(limit)).await
    }

    async fn known(&self, keeping: &Keeping) -> Result<Known, StoreError> {
        let now = self.world.now();
        let mut acknowledged =
            lives::acknowledged(&*self.store, self.identity.epoch, now.saturating_sub(keeping.silent)).await?;
        let mut lives = Vec::new();
        let by_bundle = bundles::made_for(&*self.store).await?;
        for node in enrolment::nodes(&*self.store).await?.into_iter().filter(|node| node.revoked_at.is_none()) {
            let mut of = acknowledged.remove(&node.id).unwrap_or_default();
            if of.is_empty() && by_bundle.contains(&node.id) && now.saturating_sub(node.enrolled_at) <= keeping.silent {
                // it joined by a bundle, and may hold what it was given
                of.push(BTreeMap::new());
            }
            lives.extend(of.into_iter().map(|numbers| (node.scope.clone(), numbers)));
        }
        let backups = BackedUp::all(&*self.store).await?.into_iter();
        let restorable = backups.filter(|made| now.saturating_sub(made.at) <= keeping.backups);
        Ok(Known { lives, backed_up: restorable.map(|made| made.upto).min().unwrap_or(u64::MAX) })
    }

    /// One round of forgetting. At a hub, deletes for good what is to be; anywhere, forgets what all who read here know.
    /// What is not done in this round is done in the next.
    pub async fn forget(&self) -> Result<Forgotten, StoreError> {
        let keeping = Keeping::load(&*self.store).await?;
        // what was acknowledged is read first: what is told from now on has a higher number
        let known = self.known(&keeping).await?;
        let states = self.store.partitions().await?.into_iter().filter(|state| !state.partition.is_local());
        let reached: BTreeMap<Partition, u64> =
            states.map(|state| (state.partition.clone(), known.upto(&state))).collect();
        let mut forgotten = self.settle(&reached).await?;
        if self.relay.is_none() {
            forgotten.purged = self.purge(&keeping, &reached).await?;
            if forgotten.purged > 0 {
                // where nobody else has to hear of it, it is forgotten at once
                let states = self.store.partitions().await?.into_iter().filter(|state| !state.partition.is_local());
                let reached = states.map(|state| (state.partition.clone(), known.upto(&state))).collect();
                let settled = self.settle(&reached).await?;
                forgotten.partitions += settled.partitions;
                forgotten.remains += settled.remains;
            }
        }
        if forgotten != Forgotten::default() {
            tracing::info!(
                purged = forgotten.purged,
                partitions = forgotten.partitions,
                remains = forgotten.remains,
                "what every node knows is forgotten"
            );
        }
        Ok(forgotten)
    }

    async fn settle(&self, reached: &BTreeMap<Partition, u64>) -> Result<Forgotten, StoreError> {
        let mut floors = Vec::new();
        for (partition, oldest) in self.store.removals().await? {
            if let Some(upto) = reached.get(&partition).filter(|upto| **upto >= oldest) {
                floors.push((partition, *upto));
            }
        }
        let mut stand = self.floors().await?;
        stand.extend(floors.iter().cloned());
        let remains = self.store.locals(REMAINS).await?.into_iter();
        let settled =
            remains.filter(|(_, value)| is_settled(value, |partition| stand.get(partition).copied().unwrap_or(0)));
        let remains: Vec<(TypeName, RecordId)> = settled.filter_map(|(key, _)| remains_of(&key)).collect();
        let done = Forgotten { purged: 0, partitions: floors.len(), remains: remains.len() };
        if done != Forgotten::default() {
            self.store.write(Request::Settle { epoch: self.identity.epoch, floors, remains }).await?;
        }
        Ok(done)
    }

    /// Deletes for good what everybody knows to be deleted: what a person asked for, what is long in the bin, and lost
    /// values that are decided.
    async fn purge(&self, keeping: &Keeping, reached: &BTreeMap<Partition, u64>) -> Result<usize, StoreError> {
        let upto = |partition: &Partition| reached.get(partition).copied().unwrap_or(0);
        let mut records = Vec::new();
        let mut done = Vec::new();
        for (type_name, id) in Order::all(&*self.store).await? {
            match self.store.record(&type_name, id).await? {
                Some(held) if held.state.is_binned() => {
                    if held.seq <= upto(&held.partition) {
                        records.push((type_name, id));
                    }
                }
                // it is gone, or somebody brought it back
                _ => done.push(Order::done(&type_name, id)),
            }
        }
        if let Some(bin) = keeping.bin {
            let before = self.world.now().saturating_sub(bin);
            for tally in self.store.tallies().await? {
                if tally.binned == 0 || tally.type_name.is_built_in() {
                    continue;
                }
                let listed = self.oldest(tally.type_name, Vec::new(), true).await?;
                let long = listed.into_iter().filter(|held| {
                    held.state.bin.as_ref().is_some_and(|bin| bin.stamp.time.millis() <= before)
                        && held.seq <= upto(&held.partition)
                });
                records.extend(long.map(|held| (held.type_name, held.id)));
            }
        }
        let decided = Filter { path: vec!["state".into()], operator: Operator::NotEqual, value: "open".into() };
        let entries = self.oldest(TypeName::built_in(TypeName::LOST), vec![decided], false).await?;
        let known = entries.into_iter().filter(|held| held.seq <= upto(&held.partition) && held.state.exists());
        records.extend(known.map(|held| (held.type_name, held.id)));
        if !done.is_empty() {
            self.store.write(Request::Local(done)).await?;
        }
        if records.is_empty() {
            return Ok(0);
        }
        let by = Author { node: self.identity.node, incarnation: self.identity.incarnation, person: THE_HUB };
        let keys = records.clone();
        self.store.write(Request::Purge { records, by, now: self.world.now() }).await?;
        let mut purged = 0;
        for (type_name, id) in keys {
            purged += usize::from(self.store.record(&type_name, id).await?.is_none());
        }
        Ok(purged)
    }

    /// The records of a type that were not changed for longest.
    async fn oldest(
        &self,
        type_name: TypeName,
        filters: Vec<Filter>,
        binned: bool,
    ) -> Result<Vec<crate::store::Held>, StoreError> {
        let sort = vec![Sort { by: SortKey::Changed, descending: false }];
        let query = Query { type_name, filters, sort, binned, limit: AT_ONCE, cursor: None };
        Ok(self.store.records(&query).await?.items)
    }

    /// On an edge that serves others: up to which numbers of its hub it and all below it are complete, as far as they told
    /// that they have nothing more to send. To be asked before it is looked whether something waits here. `None` if
    /// nobody reads here: then it speaks for itself alone.
    pub(in crate::sync) async fn settled(&self) -> Result<Option<BTreeMap<String, u64>>, StoreError> {
        let known = self.known(&Keeping::load(&*self.store).await?).await?;
        if known.lives.is_empty() {
            return Ok(None);
        }
        let states = self.store.partitions().await?;
        let mut checkpoints = self.checkpoints.lock().expect(super::POISON);
        let mut settled = BTreeMap::new();
        for state in states {
            let Some(cursor) = state.cursor else { continue };
            let readers = known.lives.iter().any(|(scope, _)| scope.contains(&state.partition));
            // backups of this edge are nobody's business above
            let reached = readers.then(|| Known { backed_up: u64::MAX, lives: known.lives.clone() }.upto(&state));
            let point = checkpoints.0.entry(state.partition.clone()).or_default();
            settled.insert(state.partition.0.clone(), point.turn(cursor, state.head, reached));
        }
        Ok(Some(settled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_speaks_for_its_readers_once_they_have_what_it_had_then() {
        let cursor = |base| Cursor { epoch: Epoch(1), base, after: base, tag: None };
        let mut point = Checkpoint::default();
        assert_eq!(point.turn(cursor(10), 100, Some(0)), 0, "from here on it is watched");
        assert_eq!(point.turn(cursor(20), 120, Some(99)), 0);
        assert_eq!(point.turn(cursor(20), 120, Some(100)), 10, "they have what came up to 10");
        assert_eq!(point.turn(cursor(30), 130, Some(119)), 10);
        assert_eq!(point.turn(cursor(30), 130, Some(130)), 20);
        assert_eq!(point.turn(cursor(30), 130, None), 30, "nobody reads any more");
        let other = Cursor { epoch: Epoch(2), ..cursor(5) };
        assert_eq!(point.turn(other, 140, Some(140)), 0, "other numbers");
    }
}
