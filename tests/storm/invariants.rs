//! What must hold: some of it at any time, all of it when the storm is over.

use std::collections::{BTreeMap, BTreeSet};

use outpost::domain::clock::{Hlc, MAX_LEAD};
use outpost::domain::feed::{Cursor, Digest};
use outpost::domain::ids::{Partition, SaveId, THE_HUB, TypeName};
use outpost::domain::path::Path;
use outpost::domain::record::pack::{Dictionary, Values, pack};
use outpost::domain::record::{Act, State};
use outpost::domain::session::LinkState;
use outpost::domain::stamp::Stamp;
use outpost::store::{Flags, Held, HistoryLine, Store};
use serde_json::Value;

use crate::faults::Fault;
use crate::memory::{Key, Written};
use crate::node::Edge;
use crate::people;
use crate::site::all;
use crate::world::Storm;

type Found = Vec<String>;
type Invariant = (&'static str, fn(&mut Storm) -> Found);

const AT_ANY_TIME: &[Invariant] = &[
    ("I5: no record became invalid by merging", records_are_valid),
    ("I6: what is in the bin was put there, and comes out only by a person", bins_are_peoples),
    ("I6: what was deleted for good comes back only by what somebody saved", crate::forgetting::stays_away),
    ("I7: the digest that a node tells is that of its rows", digests_are_of_rows),
    ("I10: a reader holds all that its cursor passed", cursors_skip_nothing),
];

const IN_THE_END: &[Invariant] = &[
    ("I1: what was saved stands, was seen by who replaced it, or is among the lost values", nothing_is_lost),
    ("I1: what the type decides is decided, and nobody is asked", policies_decide),
    ("I2: nodes that heard of everything hold the same", nodes_are_equal),
    ("I8: no queue holds anything", queues_are_empty),
    ("I8: nothing had to be healed", nothing_was_healed),
    ("I9: stamps take little", stamps_are_small),
    ("no write is later than the last moment, whatever any clock showed", nothing_is_in_the_future),
];

fn judge(storm: &mut Storm, invariants: &[Invariant]) {
    for (name, invariant) in invariants {
        let found = invariant(storm);
        assert!(found.is_empty(), "{name}\n{}", found.join("\n"));
    }
}

pub fn at_any_time(storm: &mut Storm) {
    judge(storm, AT_ANY_TIME);
}

pub fn in_the_end(storm: &mut Storm) {
    judge(storm, AT_ANY_TIME);
    judge(storm, IN_THE_END);
    let records = held(storm, &*storm.house.site.disk());
    for held in records.values() {
        storm.trace.add(&held.hash().0.to_le_bytes());
        storm.trace.add(&held.seq.to_le_bytes());
    }
    let quarantined = records.values().filter_map(quarantined).count() as u64;
    if storm.settings.has(Fault::Deny) && quarantined > 0 {
        *storm.report.faults.entry(Fault::Deny.name()).or_default() += quarantined;
    }
    storm.report.records = records.len() as u64;
}

pub fn held(storm: &Storm, store: &dyn Store) -> BTreeMap<Key, Held> {
    let built_in = [TypeName::LOST, TypeName::QUARANTINE, TypeName::TYPE, TypeName::REVISION].map(TypeName::built_in);
    let records =
        [people::note(), people::job()].into_iter().chain(built_in).flat_map(|name| storm.ground.run(all(store, name)));
    records.map(|held| ((held.type_name.clone(), held.id), held)).collect()
}

fn connected(storm: &Storm) -> impl Iterator<Item = (usize, &Edge)> {
    storm.edges.iter().enumerate().filter(|(which, _)| storm.is_connected(*which))
}

/// The hub is about to be put back to this: what neither it has nor the edges can give back is no matter of the law.
pub fn forgive(storm: &Storm, backup: &dyn Store) {
    let mut places = vec![held(storm, backup)];
    let mut unsent = BTreeSet::new();
    // who is below another edge has given that what it has, or holds it as unsent, or it was overruled there
    let direct = connected(storm).filter(|(_, edge)| edge.above.is_none() && !edge.network.old);
    for (which, edge) in direct {
        let scope = storm.scope_of(which);
        let mut mine = held(storm, &*edge.site.disk());
        mine.retain(|_, held| scope.contains(&held.partition) && !held.flags.has(Flags::PROVISIONAL));
        places.push(mine);
    }
    for edge in &storm.edges {
        let outbox = storm.ground.run(edge.site.disk().outbox(usize::MAX)).expect("the store works");
        unsent.extend(outbox.into_iter().map(|unsent| unsent.save.id.tag()));
    }
    storm.memory.lock().expect("one thread").forgive(&places, &unsent);
}

/// The tags of saves that revoked nodes keep.
fn kept_by_revoked(storm: &Storm) -> BTreeSet<u32> {
    let revoked = (0..storm.edges.len()).filter(|which| !storm.is_connected(*which)).map(|which| &storm.edges[which]);
    let outboxes = revoked.map(|edge| storm.ground.run(edge.site.disk().outbox(usize::MAX)).expect("the store works"));
    outboxes.flatten().map(|unsent| unsent.save.id.tag()).collect()
}

/// The tag of the save that an entry of the quarantine holds.
fn quarantined(held: &Held) -> Option<u32> {
    let is_entry = held.type_name.as_str() == TypeName::QUARANTINE;
    let save = held.document.value.get("save").filter(|_| is_entry)?;
    Some(serde_json::from_value::<SaveId>(save.clone()).ok()?.tag())
}

fn nothing_is_lost(storm: &mut Storm) -> Found {
    let hub = held(storm, &*storm.house.site.disk());
    let lost: Vec<Held> = hub.values().filter(|held| held.type_name.as_str() == TypeName::LOST).cloned().collect();
    let mut unsent = kept_by_revoked(storm);
    // what came before the node was revoked, and was never answered, is at the hub as well
    for held in hub.values().filter(|held| !held.type_name.is_built_in()) {
        held.state.each_stamp(&mut |stamp| {
            if stamp.author.person != THE_HUB {
                unsent.remove(&stamp.tag);
            }
        });
    }
    unsent.extend(hub.values().filter_map(quarantined));
    let told = |written: &Written, path: &Path, value: Option<&Value>| {
        // what was overwritten where it was made, before a hub that was put back got it again, is told there; and what came
        // back may have been written by somebody who had seen what it replaces, or not
        let sites = storm.edges.iter().map(|edge| &edge.site).filter(|_| storm.restored);
        let decides = storm.restored || people::is_up_to_the_type(path);
        let mut sites = sites.chain(decides.then_some(&storm.house.site));
        sites.any(|site| {
            let history = storm.ground.run(site.disk().history(&written.type_name, written.id));
            let history = history.expect("the store works");
            let says = |line: &HistoryLine| {
                let Some(below) = path.0.strip_prefix(&line.path.0[..]) else { return false };
                let below = Path(below.to_vec()).to_string();
                let same = |told: &Option<Value>| {
                    crate::memory::equal(told.as_ref().and_then(|told| told.pointer(&below)), value)
                };
                same(&line.new) || same(&line.old)
            };
            history.iter().any(says)
        })
    };
    let gone = crate::forgetting::went(storm);
    storm.memory.lock().expect("one thread").missing(&hub, &lost, &unsent, &gone, &told)
}

/// Where the highest or the lowest stands, nothing is left to be decided.
fn policies_decide(storm: &mut Storm) -> Found {
    let hub = held(storm, &*storm.house.site.disk());
    let open = hub.values().filter(|held| {
        let entry = &held.document.value;
        held.type_name.as_str() == TypeName::LOST && !held.state.is_binned() && entry["state"] == "open"
    });
    let undecided = |entry: &&Held| {
        let entry = &entry.document.value;
        let path = match entry["pointer"].as_str() {
            Some("/level") => Path::root().property("level"),
            Some("/floor") => Path::root().property("floor"),
            _ => return false,
        };
        let mut of =
            hub.values().filter(|held| entry["record"] == serde_json::json!(held.id) && !held.type_name.is_built_in());
        of.any(|held| people::policy(&path).decides(entry.get("value"), held.document.get(&path)))
    };
    open.filter(undecided).map(|entry| format!("{entry:?}")).collect()
}

fn nodes_are_equal(storm: &mut Storm) -> Found {
    let hub = held(storm, &*storm.house.site.disk());
    connected(storm).flat_map(|(which, edge)| differences(storm, &hub, which, edge)).collect()
}

/// In what an edge differs from the node that is its hub, for whoever looks for the cause.
pub fn from_its_hub(storm: &Storm, which: usize) -> Found {
    let edge = &storm.edges[which];
    differences(storm, &held(storm, &*edge.network.house.site.disk()), which, edge)
}

fn differences(storm: &Storm, hub: &BTreeMap<Key, Held>, which: usize, edge: &Edge) -> Found {
    let mine = held(storm, &*edge.site.disk());
    let mut found = Vec::new();
    let scope = storm.scope_of(which);
    for (key, held) in hub.iter().filter(|(_, held)| scope.contains(&held.partition)) {
        match mine.get(key) {
            None => found.push(format!("missing on edge {which}: {held:?}")),
            Some(mine) if mine.hash() != held.hash() || mine.partition != held.partition => {
                found.push(format!("differs on edge {which}:\n hub  {held:?}\n edge {mine:?}"));
            }
            Some(mine) if mine.document != held.document || mine.flags != held.flags => {
                found.push(format!("shown differently on edge {which}:\n hub  {held:?}\n edge {mine:?}"));
            }
            Some(_) => {}
        }
    }
    for (key, held) in &mine {
        let there = hub.get(key).map(|there| &there.partition);
        if !scope.contains(&held.partition) || there != Some(&held.partition) {
            found.push(format!("only on edge {which}, at the hub in {there:?}: {held:?}"));
        }
    }
    found
}

fn records_are_valid(storm: &mut Storm) -> Found {
    // what the hub writes over follows no rule of a type
    if storm.narrowed || storm.settings.has(Fault::Deny) || storm.settings.has(Fault::Revoke) {
        return Found::new();
    }
    let hub = held(storm, &*storm.house.site.disk());
    hub.values()
        .filter(|held| held.flags.has(Flags::INVALID) || held.flags.has(Flags::UNKNOWN_REVISION))
        .map(|held| format!("{held:?}"))
        .collect()
}

fn bins_are_peoples(storm: &mut Storm) -> Found {
    let memory = storm.memory.lock().expect("one thread");
    let hub = held(storm, &*storm.house.site.disk());
    let by_nobody = |(key, held): &(&Key, &Held)| {
        let bin = held.state.bin.as_ref().filter(|bin| !key.0.is_built_in() && bin.stamp.author.person != THE_HUB);
        bin.is_some_and(|bin| !memory.binned.contains(&((*key).clone(), bin.stamp.tag, bin.binned)))
    };
    hub.iter().filter(by_nobody).map(|(_, held)| format!("{held:?}")).collect()
}

fn digests_are_of_rows(storm: &mut Storm) -> Found {
    let mut found = Vec::new();
    let edges = storm.edges.iter().enumerate().map(|(which, edge)| (Some(which), &edge.site));
    for (which, site) in edges.chain([(None, &storm.house.site)]) {
        let mut sums: BTreeMap<Partition, (Digest, u64)> = BTreeMap::new();
        for held in held(storm, &*site.disk()).values().filter(|held| !held.flags.has(Flags::PROVISIONAL)) {
            let (digest, records) = sums.entry(held.partition.clone()).or_default();
            *digest = digest.plus(held.hash());
            *records += 1;
        }
        // as the process tells it, if there is one
        site.process().fuse.begin("look");
        let store = if site.process().fuse.blown().is_some() { site.disk() } else { site.process().store };
        for state in storm.ground.run(store.partitions()).expect("the store works") {
            let sum = sums.remove(&state.partition).unwrap_or_default();
            if (state.digest, state.records) != sum {
                found.push(format!("{} of {which:?}", state.partition));
            }
        }
        found.extend(sums.keys().map(|partition| format!("{partition} of {which:?} has rows and no digest")));
    }
    found
}

fn cursors_skip_nothing(storm: &mut Storm) -> Found {
    let hub = held(storm, &*storm.house.site.disk());
    let mut found = Vec::new();
    let relays = storm.edges.iter().enumerate().filter(|(_, edge)| edge.house.is_some());
    let relays: BTreeMap<usize, BTreeMap<Key, Held>> =
        relays.map(|(which, edge)| (which, held(storm, &*edge.site.disk()))).collect();
    for (which, edge) in connected(storm) {
        let mine = held(storm, &*edge.site.disk());
        let (hub, site, epoch) = match edge.above {
            None => (&hub, &storm.house.site, storm.hub_identity.epoch),
            Some(above) => (&relays[&above], &storm.edges[above].site, storm.edges[above].site.identity().epoch),
        };
        let runs = storm.ground.run(site.disk().runs()).expect("the store works");
        for state in storm.ground.run(edge.site.disk().partitions()).expect("the store works") {
            // the numbers of another line, or of what was put back, tell nothing
            let counts = |cursor: &Cursor| cursor.epoch == epoch && runs.agree(cursor.after, cursor.tag);
            let Some(cursor) = state.cursor.filter(counts) else { continue };
            let passed = hub.iter().filter(|(_, held)| held.partition == state.partition && held.seq <= cursor.base);
            for (key, held) in passed {
                let lacks = mine.get(key).is_none_or(|mine| {
                    let mut joined = mine.state.clone();
                    !joined.join(held.state.clone(), u64::MAX).is_empty()
                });
                if lacks {
                    found.push(format!("edge {which} is past {} of {}: {held:?}", held.seq, state.partition));
                }
            }
        }
    }
    found
}

/// At the hub, of every save that an edge has sent or is about to send: all of its records, or none. Asked when the hub
/// died, which is when a part could be there.
pub fn saves_are_whole(storm: &mut Storm) {
    if storm.restored {
        // what its edges give back comes record by record
        return;
    }
    let hub = held(storm, &*storm.house.site.disk());
    for edge in &storm.edges {
        for unsent in storm.ground.run(edge.site.disk().outbox(usize::MAX)).expect("the store works") {
            let save = unsent.save;
            if !unsent.checked || save.records.len() < 2 {
                continue;
            }
            let (mut present, mut absent) = (0, 0);
            for record in &save.records {
                let key = (record.type_name.clone(), record.id);
                if crate::forgetting::went(storm).contains(&key) {
                    continue;
                }
                let there = hub.get(&key).map(|held| &held.state);
                let stamp = save.stamp(record);
                present += u64::from(there.is_some_and(|state| has(state, stamp)));
                absent += u64::from(there.map_or(record.creates(), |state| {
                    let sets = record.changes.iter().filter(|change| matches!(change.act, Act::Set(_)));
                    sets.into_iter().any(|change| state.stamp_at(&change.path) < stamp)
                }));
            }
            assert!(present == 0 || absent == 0, "I4: of a save only a part is at the hub: {save:?}");
        }
    }
}

fn has(state: &State, stamp: Stamp) -> bool {
    let mut found = false;
    state.each_stamp(&mut |of| found |= of == stamp);
    found
}

fn queues_are_empty(storm: &mut Storm) -> Found {
    let mut found = Vec::new();
    for (which, edge) in connected(storm) {
        let waiting = storm.ground.run(edge.site.disk().waiting()).expect("the store works");
        if waiting > 0 {
            found.push(format!("{waiting} saves wait on edge {which}"));
        }
    }
    found
}

fn nothing_was_healed(storm: &mut Storm) -> Found {
    if storm.restored || storm.relay_put_back {
        // what was written on both sides since then is only found by comparing
        return Found::new();
    }
    // who has no way to the hub any more is told nothing of what becomes of its saves
    let healed = storm.healed + connected(storm).map(|(_, edge)| edge.session.healed()).sum::<u64>();
    let times =
        (healed > 0).then(|| format!("digests differed {healed} times, and pulling from the beginning healed it"));
    times.into_iter().collect()
}

fn stamps_are_small(storm: &mut Storm) -> Found {
    let mut found = Vec::new();
    for held in held(storm, &*storm.house.site.disk()).values() {
        let mut dictionary = Dictionary::default();
        let bytes = pack(&held.state, held.seq, Values::Beside, &mut dictionary).len() as u64;
        let mut stamps = 0;
        held.state.each_stamp(&mut |_| stamps += 1);
        let sum = &mut storm.report.stamps;
        sum[0] += bytes;
        sum[1] += stamps;
        sum[2] += held.document.value.to_string().len() as u64;
        // what is covered by others stays with the record, and so do values that do not show
        if bytes > 64 + 96 * stamps {
            found.push(format!("{bytes} bytes for {stamps} stamps: {held:?}"));
        }
    }
    found
}

fn nothing_is_in_the_future(storm: &mut Storm) -> Found {
    // what is saved on an edge that serves others is never corrected, for others may have it already
    let wrong = storm.settings.has(Fault::ClockSet) || storm.settings.has(Fault::Drift);
    // nor is a node told the time that was revoked
    if wrong && storm.edges.iter().any(|edge| edge.house.is_some() || edge.revoked) {
        return Found::new();
    }
    let latest = Hlc::at(storm.time.now() + MAX_LEAD);
    let hub = held(storm, &*storm.house.site.disk());
    hub.values().filter(|held| held.state.latest().time > latest).map(|held| format!("{held:?}")).collect()
}

/// Whether every edge that may is in step, and has heard of all that the hub has.
pub fn is_at_rest(storm: &Storm) -> bool {
    connected(storm).all(|(which, edge)| {
        let heads = storm.ground.run(edge.network.house.site.disk().partitions()).expect("the store works");
        let scope = storm.scope_of(which);
        let in_scope = heads.iter().filter(|state| scope.contains(&state.partition));
        let heard = |head: &outpost::store::PartitionState| {
            let mut cursors = edge.session.cursors();
            cursors.any(|(partition, cursor)| *partition == head.partition && cursor.base >= head.head)
        };
        edge.session.status().state == LinkState::InStep && in_scope.into_iter().all(heard)
    })
}

/// Says what keeps it from coming to rest.
pub fn not_at_rest(storm: &mut Storm) -> ! {
    at_any_time(storm);
    let states: Vec<_> = connected(storm).map(|(which, edge)| (which, edge.session.status())).collect();
    let found = nodes_are_equal(storm);
    panic!("I8: it does not come to rest after the last fault: {states:#?}\n{}", found.join("\n"));
}
