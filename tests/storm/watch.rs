//! For whoever looks for a cause: where one record is after each thing that happens, and what of it is new.

use std::collections::BTreeMap;

use outpost::domain::ids::TypeName;
use outpost::domain::stamp::Stamp;
use outpost::store::Held;

use crate::world::Storm;
use crate::{invariants, people};

/// The record whose id begins so, and how each node last held it.
#[derive(Default)]
pub struct Watch {
    pub of: Option<String>,
    seen: BTreeMap<String, String>,
}

fn short(stamp: Stamp) -> String {
    let by = if stamp.author.person == outpost::domain::ids::THE_HUB { "hub" } else { "" };
    format!("{:x}{by}@{}", stamp.tag, (stamp.time.0 >> 16) - crate::device::START)
}

fn line(held: &Held) -> String {
    let mut stamps = Vec::new();
    held.state.each_stamp(&mut |stamp| stamps.push(short(stamp)));
    let (partition, seq, flags) = (&held.partition, held.seq, held.flags);
    format!("in {partition} as {seq} {flags:?}: {} [{}]", held.document.value, stamps.join(" "))
}

/// Prints what is new.
pub fn look(storm: &mut Storm) {
    let Some(of) = storm.watch.of.clone() else { return };
    let mut now = BTreeMap::new();
    for which in std::iter::once(None).chain((0..storm.edges.len()).map(Some)) {
        let disk = storm.site(which).disk();
        let name = which.map_or("hub".to_owned(), |which| format!("edge {which}"));
        let outbox = storm.ground.run(disk.outbox(usize::MAX)).expect("the store works");
        for unsent in outbox {
            for record in unsent.save.records.iter().filter(|record| record.id.to_string().starts_with(&of)) {
                let at = (record.time.0 >> 16) - crate::device::START;
                let key = format!("{name} waits {:x}", unsent.save.id.tag());
                now.insert(
                    key,
                    format!("@{at} {} {:?}", if unsent.checked { "checked" } else { "unchecked" }, record.changes),
                );
            }
        }
        for (key, held) in invariants::held(storm, &*disk) {
            let about = held.document.value["record"].as_str().unwrap_or_default().starts_with(&of);
            let is_it = key.1.to_string().starts_with(&of) && [people::note(), people::job()].contains(&key.0);
            if is_it || (about && [TypeName::LOST, TypeName::QUARANTINE].contains(&key.0.as_str())) {
                now.insert(format!("{name} {} {}", key.0, &key.1.to_string()[..8]), line(&held));
            }
        }
    }
    for (place, is) in &now {
        if storm.watch.seen.get(place) != Some(is) {
            println!("         = {place} {is}");
        }
    }
    for place in storm.watch.seen.keys().filter(|place| !now.contains_key(*place)) {
        println!("         = {place} is gone");
    }
    storm.watch.seen = now;
}
