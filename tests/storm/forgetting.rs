//! An admin deletes records for good, and the hub forgets what every node knows: in some storms, by dice of its own, so
//! that all else of a seed is what it is without.

use std::collections::{BTreeMap, BTreeSet};

use outpost::domain::ids::THE_HUB;
use outpost::node::{Keeping, Order};
use outpost::store::{LocalChange, Request};
use serde_json::json;

use crate::device::HOUR;
use crate::dice::Dice;
use crate::faults::Fault;
use crate::invariants;
use crate::memory::Key;
use crate::planted::Bug;
use crate::settings::Settings;
use crate::world::Storm;

/// What happens in other storms: who was put back, or was away for days, is fenced; and what an edge between gives back is
/// not told of deletes.
const APART: [Fault; 7] =
    [Fault::NewEpoch, Fault::Revoke, Fault::Idle, Fault::Hop, Fault::RollBack, Fault::RestoreRelay, Fault::RestoreHub];

pub struct Forgetting {
    dice: Dice,
    /// A node that is silent for so long is not waited for.
    silent: i64,
    is_said: bool,
    /// What was deleted for good, with the tags of all the saves in it then.
    went: BTreeMap<Key, BTreeSet<u32>>,
    pub rounds: u64,
}

impl Forgetting {
    pub fn of(seed: u64, bug: Option<Bug>, settings: &mut Settings) -> Option<Self> {
        let mut dice = Dice(seed.wrapping_mul(0x2545_F491_4F6C_DD1D).wrapping_add(7));
        if bug.is_some() || !dice.chance(60) {
            return None;
        }
        if settings.faults.iter().any(|fault| APART.contains(fault)) {
            if dice.chance(50) {
                return None;
            }
            settings.faults.retain(|fault| !APART.contains(fault));
            (settings.hops, settings.long) = (0, false);
        }
        let silent = if dice.chance(40) { 60_000 } else { 1_000 * HOUR };
        Some(Self { dice, silent, is_said: false, went: BTreeMap::new(), rounds: 0 })
    }
}

/// What was ever deleted for good, whether somebody brought it back or not.
pub fn went(storm: &Storm) -> BTreeSet<Key> {
    storm.forgetting.iter().flat_map(|forgetting| forgetting.went.keys().cloned()).collect()
}

fn tags(held: &outpost::store::Held) -> BTreeSet<u32> {
    let mut tags = BTreeSet::new();
    held.state.each_stamp(&mut |stamp| {
        tags.insert(stamp.tag);
    });
    tags
}

/// Now and then something is to be deleted for good, and a round of forgetting is made.
pub fn sometimes(storm: &mut Storm) {
    let hub = storm.house.hub.lock().expect("one thread").clone();
    let Some((hub, mut forgetting)) = hub.and_then(|hub| Some((hub, storm.forgetting.take()?))) else { return };
    let process = storm.house.site.process();
    if process.fuse.blown().is_none() && forgetting.dice.chance(25) {
        process.fuse.set_full(false);
        process.fuse.begin("forget");
        let keeping = Keeping { silent: forgetting.silent, backups: 0, bin: None };
        let before = invariants::held(storm, &*storm.house.site.disk());
        let mut changes = Vec::new();
        for (key, held) in before.iter().filter(|(key, _)| !key.0.is_built_in()) {
            if held.state.is_binned() && forgetting.dice.chance(40) {
                let (key, value) = (format!("{}/{}", key.0, key.1), json!(Order { at: 1, person: THE_HUB }));
                changes.push(LocalChange { kind: Order::KIND, key, value: Some(value), expect: None });
            }
        }
        let store = process.store;
        let forgotten = storm.ground.run(async {
            if !forgetting.is_said {
                keeping.keep(&*store).await.expect("the store works");
            }
            store.write(Request::Local(changes)).await.expect("the store works");
            hub.forget().await.expect("the store works")
        });
        if forgotten.partitions + forgotten.remains > 0 {
            storm.note(&format!("{forgotten:?}"));
        }
        forgetting.is_said = true;
        forgetting.rounds += 1;
        let after = invariants::held(storm, &*storm.house.site.disk());
        for (key, held) in before.iter().filter(|(key, _)| !key.0.is_built_in() && !after.contains_key(key)) {
            storm.note(&format!("deleted for good: {} {} in {}", key.0, key.1, held.partition));
            forgetting.went.insert(key.clone(), tags(held));
            *storm.report.faults.entry("delete for good").or_default() += 1;
        }
    }
    storm.forgetting = Some(forgetting);
}

/// What was deleted for good is not at the hub, unless somebody saved what was not in it then.
pub fn stays_away(storm: &mut Storm) -> Vec<String> {
    let hub = invariants::held(storm, &*storm.house.site.disk());
    let went = storm.forgetting.iter().flat_map(|forgetting| &forgetting.went);
    let back = went.filter_map(|(key, known)| {
        let held = hub.get(key)?;
        let mut is_new = false;
        held.state.each_stamp(&mut |stamp| {
            is_new |= !known.contains(&stamp.tag) && stamp.author.person != THE_HUB;
        });
        (!is_new).then(|| format!("{held:?}"))
    });
    back.collect()
}
