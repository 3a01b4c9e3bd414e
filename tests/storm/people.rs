//! What people do to records, and what became of it.

use std::collections::{BTreeMap, BTreeSet};

use outpost::domain::ids::{Partition, RecordId, SaveId, THE_HUB, TypeName};
use outpost::domain::json;
use outpost::domain::path::{ItemKey, Path, Segment};
use outpost::domain::record::{Act, Change, Content, Cover, State, difference};
use outpost::domain::stamp::Stamp;
use outpost::store::{Held, Judge};
use serde_json::{Value, json};

use crate::world::Dice;

pub fn note() -> TypeName {
    TypeName::custom("note").expect("a good name")
}

/// Its field `site` decides who holds it.
pub fn job() -> TypeName {
    TypeName::custom("job").expect("a good name")
}

/// How many of it a new note counts.
const STOCK: i64 = 100;

pub struct Fixed;

impl Judge for Fixed {
    fn partition(&self, type_name: &TypeName, document: &Value) -> Partition {
        match type_name.as_str() {
            TypeName::LOST | TypeName::QUARANTINE => {
                Partition(document["partition"].as_str().unwrap_or("_lost").to_owned())
            }
            "job" => Partition::of_value(type_name, document.get("site")),
            _ => Partition::of_type(type_name),
        }
    }

    fn is_valid(&self, _: &TypeName, _: Option<outpost::domain::ids::RevisionId>, _: &Value) -> Option<bool> {
        Some(true)
    }
}

/// A value that somebody was told is saved.
#[derive(Debug, Clone)]
pub struct Written {
    pub type_name: TypeName,
    pub id: RecordId,
    pub path: Path,
    /// Tells the save; its stamp may be corrected later.
    pub tag: u32,
    pub value: Option<Value>,
}

/// A writer said that they had seen what stood there.
#[derive(Debug, Clone)]
pub struct Named {
    pub type_name: TypeName,
    pub id: RecordId,
    pub path: Path,
    pub cover: Cover,
}

#[derive(Default)]
pub struct Memory {
    pub written: Vec<Written>,
    pub named: Vec<Named>,
    pub saves: u64,
    /// Records whose creation the hub did not permit.
    pub unborn: BTreeSet<(TypeName, RecordId)>,
    /// Items whose adding it did not permit: what is written inside them is told by the history alone.
    pub unmade: BTreeSet<(RecordId, Path)>,
}

/// Whether the hub does not permit a save of an edge.
pub fn is_denied(save: SaveId) -> bool {
    (save.0 as u64).is_multiple_of(11)
}

impl Memory {
    pub fn remember(&mut self, type_name: &TypeName, id: RecordId, changes: &[Change], tag: u32, denied: bool) {
        if denied && changes.iter().any(|change| change.path.is_root() && matches!(change.act, Act::Set(_))) {
            self.unborn.insert((type_name.clone(), id));
        }
        for change in changes {
            let named =
                Named { type_name: type_name.clone(), id, path: change.path.clone(), cover: change.replaces.clone() };
            self.named.push(named);
            let value = match &change.act {
                Act::Set(Content::Json(text)) => Some(text.0.clone()),
                Act::Set(Content::Absent) => None,
                _ => continue,
            };
            if denied {
                if matches!(change.path.0.last(), Some(Segment::Item(_))) {
                    self.unmade.insert((id, change.path.clone()));
                }
                continue;
            }
            self.written.push(Written { type_name: type_name.clone(), id, path: change.path.clone(), tag, value });
        }
    }

    /// What is nowhere any more although it was saved, leaf by leaf. `held` and `lost` are the hub's.
    pub fn missing(&self, held: &BTreeMap<(TypeName, RecordId), Held>, lost: &[Held]) -> Vec<String> {
        let mut missing = Vec::new();
        let inside = |written: &Written| {
            let above = written.path.parent().unwrap_or_default();
            self.unmade.contains(&(written.id, above))
        };
        let born =
            |written: &&Written| !self.unborn.contains(&(written.type_name.clone(), written.id)) && !inside(written);
        for written in self.written.iter().filter(born) {
            let Some(held) = held.get(&(written.type_name.clone(), written.id)) else {
                missing.push(format!("the record of {written:?}"));
                continue;
            };
            let entries: Vec<&Value> = lost
                .iter()
                .map(|entry| &entry.document.value)
                .filter(|entry| entry["type"] == written.type_name.as_str() && entry["record"] == json!(written.id))
                .collect();
            for (path, value) in leaves(&written.path, written.value.as_ref()) {
                let is_there = stands(held, &path, written.tag, value)
                    || self.is_seen(written, &path, value)
                    || entries.iter().any(|entry| is_lost(entry, &path, value));
                if !is_there {
                    missing.push(format!("{path} = {value:?} of {written:?}"));
                }
            }
        }
        missing.extend(self.miscounted(held));
        missing
    }

    /// Counters in which a difference is missing, or counted twice.
    fn miscounted(&self, held: &BTreeMap<(TypeName, RecordId), Held>) -> Vec<String> {
        let stock = Path::root().property("stock");
        let mut sums: BTreeMap<(TypeName, RecordId), i64> = BTreeMap::new();
        for written in self.written.iter().filter(|written| written.path.parent().as_ref() == Some(&stock)) {
            let by = written.value.as_ref().and_then(Value::as_i64).unwrap_or_default();
            *sums.entry((written.type_name.clone(), written.id)).or_insert(STOCK) += by;
        }
        sums.retain(|key, _| !self.unborn.contains(key));
        let wrong = |(key, sum): &(&(TypeName, RecordId), &i64)| {
            held.get(*key).is_none_or(|held| held.document.value["stock"] != json!(**sum))
        };
        sums.iter().filter(wrong).map(|(key, sum)| format!("{key:?} does not come to {sum}")).collect()
    }

    /// Somebody replaced the value who had it before them, from this write or from another that said the same.
    fn is_seen(&self, written: &Written, path: &Path, value: Option<&Value>) -> bool {
        let of_record = |other: &&Written| other.type_name == written.type_name && other.id == written.id;
        self.written.iter().filter(of_record).any(|other| {
            let says_so = |(place, said): &(Path, Option<&Value>)| place == path && equal(*said, value);
            leaves(&other.path, other.value.as_ref()).iter().any(says_so) && self.is_named(other, path)
        })
    }

    fn is_named(&self, written: &Written, path: &Path) -> bool {
        let of_record = |named: &&Named| named.type_name == written.type_name && named.id == written.id;
        self.named.iter().filter(of_record).any(|named| {
            // this very write, not one that is covered because it was earlier; or what the hub wrote in its place
            let is_it = |stamp: &Stamp| stamp.tag == written.tag || stamp.author.person == THE_HUB;
            let inside = |below: &[Segment]| {
                let mut seen = named.cover.inside.iter();
                seen.any(|(place, stamp)| is_it(stamp) && below.starts_with(&place.0))
            };
            let below = path.0.strip_prefix(&named.path.0[..]);
            below.is_some_and(|below| is_it(&named.cover.all) || inside(below))
        })
    }
}

/// The values of a write that can lose each on its own: an object is one of its properties at a time.
fn leaves<'a>(path: &Path, value: Option<&'a Value>) -> Vec<(Path, Option<&'a Value>)> {
    match value {
        Some(Value::Object(map)) => {
            map.iter().flat_map(|(name, value)| leaves(&path.property(name), Some(value))).collect()
        }
        _ => vec![(path.clone(), value)],
    }
}

/// The value is at its place, also inside what was removed and is kept; or another wrote the same.
fn stands(held: &Held, path: &Path, tag: u32, value: Option<&Value>) -> bool {
    held.state.stamp_at(path).tag == tag || equal(held.document.get(path), value)
}

fn equal(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => json::equal(a, b),
        (None, None) => true,
        _ => false,
    }
}

/// An entry for this place, or for all of a place above it, holds the value.
fn is_lost(entry: &Value, path: &Path, value: Option<&Value>) -> bool {
    let pointer = entry["pointer"].as_str().unwrap_or_default();
    let path = path.to_string();
    let Some(below) = path.strip_prefix(pointer) else { return false };
    match (entry.get("value").and_then(|lost| lost.pointer(below)), value) {
        (Some(lost), Some(value)) => json::equal(lost, value),
        (None, None) => below.is_empty(),
        _ => false,
    }
}

fn set(state: &State, path: Path, content: Content) -> Change {
    Change { replaces: state.cover(&path), path, act: Act::Set(content) }
}

fn key(dice: &mut Dice) -> ItemKey {
    ItemKey(["a", "b", "c"][dice.below(3) as usize].into())
}

/// A new record as a form would send it.
pub fn creation(dice: &mut Dice) -> (TypeName, Vec<Change>) {
    let nothing = State::default();
    let root = Path::root();
    if dice.chance(40) {
        let site = ["a", "b"][dice.below(2) as usize];
        let record = json!({"site": site, "title": dice.below(100)});
        return (job(), vec![set(&nothing, root, Content::json(record))]);
    }
    let parts = root.property("parts");
    let item = parts.item(&key(dice));
    let record =
        json!({"title": dice.below(100), "status": "open", "stock": STOCK, "address": {"city": "c", "street": "s"}});
    let changes = vec![
        set(&nothing, root, Content::json(record)),
        set(&nothing, parts, Content::Group),
        set(&nothing, item, Content::json(json!({"part": "p", "count": dice.below(9)}))),
    ];
    (note(), changes)
}

/// What one press of a person changes, given what is in front of them.
pub fn edit(dice: &mut Dice, type_name: &TypeName, seen: &State) -> Vec<Change> {
    let root = Path::root();
    let document = seen.document();
    let here = |path: &Path| document.get(path).is_some();
    let number = |dice: &mut Dice| Content::json(json!(dice.below(1000)));
    if dice.chance(6) {
        let act = Act::Bin(!seen.is_binned());
        return vec![Change { replaces: seen.cover(&root), path: root, act }];
    }
    if *type_name == job() {
        return if dice.chance(25) {
            let site = ["a", "b"][dice.below(2) as usize];
            vec![set(seen, root.property("site"), Content::json(json!(site)))]
        } else {
            vec![set(seen, root.property("title"), number(dice))]
        };
    }
    let address = root.property("address");
    let parts = root.property("parts");
    let item = parts.item(&key(dice));
    match dice.below(11) {
        0 => vec![set(seen, root.property("status"), number(dice)), set(seen, root.property("title"), number(dice))],
        1 => vec![set(seen, root.property("status"), Content::Absent)],
        2 => vec![set(seen, address.property("city"), number(dice))],
        3 => vec![set(seen, address, Content::json(json!({"city": dice.below(9), "street": "t"})))],
        4 if here(&address) => vec![Change { replaces: seen.cover(&address), path: address, act: Act::Remove }],
        5 if here(&item) => vec![set(seen, item.property("count"), number(dice))],
        6 if here(&item) => vec![Change { replaces: seen.cover(&item), path: item, act: Act::Remove }],
        7 if here(&item) => {
            vec![Change { replaces: Cover::nothing(), path: item, act: Act::Rank(format!("{}", dice.below(9))) }]
        }
        5..8 if !here(&item) => vec![
            set(seen, item.clone(), Content::json(json!({"part": "q", "count": dice.below(9)}))),
            Change { replaces: Cover::nothing(), path: item, act: Act::Rank(format!("{}", dice.below(9))) },
        ],
        8 | 9 => {
            let taken = root.property("stock").item(&difference(&dice.next().to_string()));
            vec![set(seen, taken, Content::json(json!(-(dice.below(9) as i64))))]
        }
        _ => vec![set(seen, root.property("title"), number(dice))],
    }
}

/// The stamp a save gave one of its records.
pub fn stamp_of(held: &Held, save: SaveId, changes: &[Change]) -> Option<Stamp> {
    let mut found = None;
    let mut note = |stamp: Stamp| {
        if stamp.tag == save.tag() {
            found = Some(stamp);
        }
    };
    for change in changes {
        note(held.state.stamp_at(&change.path));
        if let Some(place) = held.state.place(&change.path) {
            // at the hub a removal may be written over at once, with the same
            let removed = place.removal.iter().map(|removal| match removal.stamp.author.person {
                THE_HUB if change.act == Act::Remove => Stamp { tag: save.tag(), ..removal.stamp },
                _ => removal.stamp,
            });
            removed.for_each(&mut note);
            place.order.iter().for_each(|order| note(order.stamp));
        }
    }
    if let Some(bin) = &held.state.bin {
        // at the hub it may be written over at once, with the same
        let same = changes.iter().any(|change| change.act == Act::Bin(bin.binned));
        let by_the_hub = same && bin.stamp.author.person == THE_HUB;
        note(if by_the_hub { Stamp { tag: save.tag(), ..bin.stamp } } else { bin.stamp });
    }
    found
}
