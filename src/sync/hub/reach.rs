//! How far records have come: which sites have told that they are complete up to a record's newest number.
//!
//! Nothing is kept for it. Each site tells with its hellos and pulls up to which number it is complete in a partition, and a
//! record has one number here; so it is counted when somebody asks, once a second for each partition at most.

use std::collections::HashMap;

use super::roster::Roster;
use super::{Contact, Hub, HubError, POISON, Result};
use crate::domain::feed::Digest;
use crate::domain::ids::{NodeId, Partition};
use crate::domain::protocol::Below;
use crate::domain::reach::{Located, MAX_ASKED, Sites, Sought, Standing, Whereabouts};
use crate::node::Holder;
use crate::store::StoreError;
use crate::sync::enrolment::NodeRecord;

/// For so many milliseconds a count stands.
const FRESH: i64 = 1_000;
/// As many partitions as are kept counted.
const MAX_KEPT: usize = 1_000;
/// A node that has others below waits so long for the answer of its own hub, in milliseconds.
const PATIENCE: u64 = 250;

/// What was counted a moment ago.
#[derive(Default)]
pub(super) struct Known(HashMap<Partition, Marks>);

/// Up to which numbers the sites of a partition are complete, in order.
#[derive(Clone)]
struct Marks {
    at: i64,
    reached: std::sync::Arc<Vec<u64>>,
}

impl Marks {
    fn sites(&self, seq: u64) -> Sites {
        let of = self.reached.len();
        Sites { have: (of - self.reached.partition_point(|mark| *mark < seq)) as u64, of: of as u64, age: 0 }
    }
}

/// A site that may hold a partition, and up to which number it is complete.
struct Site<'a> {
    id: NodeId,
    name: &'a str,
    via: Option<&'a str>,
    last_contact: Option<i64>,
    mark: u64,
}

/// Hands on every site that may hold a partition: the nodes here, and those that they serve.
fn each<'a>(
    roster: &'a Roster,
    contacts: &'a std::collections::BTreeMap<NodeId, Contact>,
    partition: &Partition,
    see: &mut dyn FnMut(Site<'a>),
) {
    for node in roster.readers(partition) {
        let contact = contacts.get(&node.id);
        let mark = contact.and_then(|contact| contact.reached.get(&partition.0)).copied().unwrap_or(0);
        let last_contact = contact.map(|contact| contact.at);
        see(Site { id: node.id, name: &node.name, via: None, last_contact, mark });
        let may = |below: &&Below| below.scope.as_ref().unwrap_or(&node.scope).contains(partition);
        for below in contact.iter().flat_map(|contact| &contact.below).filter(may) {
            // it was complete when the edge between told how far it is itself
            let mark = if below.in_step { mark } else { 0 };
            let via = Some(below.via.as_deref().unwrap_or(&node.name));
            see(Site { id: below.node, name: &below.name, via, last_contact: below.last_contact, mark });
        }
    }
}

impl Hub {
    /// On how many sites records are, by their partitions and numbers here.
    pub(super) async fn counted(&self, of: &[(Partition, u64)]) -> std::result::Result<Vec<Sites>, StoreError> {
        let mut sites = Vec::with_capacity(of.len());
        for (partition, seq) in of {
            sites.push(self.marks(partition).await?.sites(*seq));
        }
        Ok(sites)
    }

    async fn marks(&self, partition: &Partition) -> std::result::Result<Marks, StoreError> {
        let now = self.world.now();
        let fresh = |marks: &&Marks| now.abs_diff(marks.at) < FRESH.unsigned_abs();
        if let Some(marks) = self.reach.lock().expect(POISON).0.get(partition).filter(fresh) {
            return Ok(marks.clone());
        }
        let roster = self.roster().await?;
        let mut reached = Vec::new();
        each(&roster, &self.contacts.lock().expect(POISON), partition, &mut |site| reached.push(site.mark));
        reached.sort_unstable();
        let marks = Marks { at: now, reached: reached.into() };
        let known = &mut self.reach.lock().expect(POISON).0;
        if known.len() >= MAX_KEPT {
            known.clear();
        }
        known.insert(partition.clone(), marks.clone());
        Ok(marks)
    }

    /// Which sites may hold a record, and whether they have it: those that do not, or did not say so, first.
    pub(super) async fn by_name(
        &self,
        partition: &Partition,
        seq: u64,
    ) -> std::result::Result<Vec<Holder>, StoreError> {
        let roster = self.roster().await?;
        let mut holders = Vec::new();
        each(&roster, &self.contacts.lock().expect(POISON), partition, &mut |site| {
            holders.push(Holder {
                id: site.id,
                name: site.name.to_owned(),
                via: site.via.map(str::to_owned),
                has: site.mark >= seq,
                last_contact: site.last_contact,
            });
        });
        holders.sort_by(|a, b| (a.has, &a.name, a.id).cmp(&(b.has, &b.name, b.id)));
        Ok(holders)
    }

    /// Tells an edge how far records of its scope have come.
    pub async fn whereabouts(&self, node: &NodeRecord, asked: &Whereabouts) -> Result<Located> {
        if asked.records.len() > MAX_ASKED {
            return Err(HubError::Meaningless(format!("more than {MAX_ASKED} records were asked about")));
        }
        let mut found = Vec::with_capacity(asked.records.len());
        for sought in &asked.records {
            let held = self.store.record(&sought.type_name, sought.id).await?;
            found.push(
                held.filter(|held| node.scope.contains(&held.partition)).map(|held| (Digest(held.hash().0), held)),
            );
        }
        let records = match &self.relay {
            None => {
                let mut records = Vec::with_capacity(found.len());
                for (sought, found) in asked.records.iter().zip(&found) {
                    let Some((hash, held)) = found else {
                        records.push(None);
                        continue;
                    };
                    let mut sites = self.marks(&held.partition).await?.sites(held.seq);
                    // it has what is here, though it has not said so yet
                    if *hash == sought.hash && self.mark_of(node.id, &held.partition) < held.seq {
                        sites.have = (sites.have + 1).min(sites.of);
                    }
                    records.push(Some(Standing { at_hub: true, sites: Some(sites) }));
                }
                records
            }
            Some(relay) => {
                let here = |(hash, held): &(_, crate::store::Held)| Sought {
                    type_name: held.type_name.clone(),
                    id: held.id,
                    hash: *hash,
                };
                let sought: Vec<Sought> = found.iter().flatten().map(here).collect();
                let keys: Vec<_> = sought.iter().map(|sought| (sought.type_name.clone(), sought.id)).collect();
                let unsent = self.store.unsent(&keys).await?;
                let patience = std::time::Duration::from_millis(PATIENCE);
                let (reached, is_next_to_hub) = match relay.asker() {
                    Some(asker) => (asker.reach(&sought, patience).await, asker.asks_the_hub()),
                    None => (vec![None; sought.len()], false),
                };
                let now = self.world.now();
                let standings = keys.iter().zip(reached).map(|(key, reached)| {
                    if unsent.contains(key) {
                        return Standing { at_hub: false, sites: None };
                    }
                    let at_hub = is_next_to_hub || reached.is_some_and(|reached| reached.at_hub);
                    let sites = reached.and_then(|reached| {
                        let age = now.saturating_sub(reached.as_of).max(0).unsigned_abs();
                        Some(Sites { age, ..reached.sites? })
                    });
                    Standing { at_hub, sites }
                });
                let mut standings = standings.collect::<Vec<_>>().into_iter();
                found.iter().map(|found| found.as_ref().and_then(|_| standings.next())).collect()
            }
        };
        Ok(Located { records })
    }

    fn mark_of(&self, node: NodeId, partition: &Partition) -> u64 {
        let contacts = self.contacts.lock().expect(POISON);
        contacts.get(&node).and_then(|contact| contact.reached.get(&partition.0)).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_has_a_record_if_it_is_complete_up_to_its_number() {
        let marks = Marks { at: 0, reached: vec![0, 3, 7, 7].into() };
        let have = |seq| marks.sites(seq).have;
        assert_eq!([have(1), have(3), have(4), have(7), have(8)], [3, 3, 2, 2, 0]);
        assert_eq!(marks.sites(1).of, 4);
    }
}
