//! What people do to records, and what became of it.

use std::collections::BTreeMap;

use outpost::domain::ids::{Partition, RecordId, SaveId, TypeName};
use outpost::domain::json;
use outpost::domain::path::{ItemKey, Path};
use outpost::domain::record::{Act, Change, Content, Cover, State};
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

pub struct Fixed;

impl Judge for Fixed {
    fn partition(&self, type_name: &TypeName, document: &Value) -> Partition {
        match type_name.as_str() {
            TypeName::LOST => Partition(document["partition"].as_str().unwrap_or("_lost").to_owned()),
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
    pub stamp: Stamp,
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
}

impl Memory {
    pub fn remember(&mut self, type_name: &TypeName, id: RecordId, changes: &[Change], stamp: Stamp) {
        for change in changes {
            let named =
                Named { type_name: type_name.clone(), id, path: change.path.clone(), cover: change.replaces.clone() };
            self.named.push(named);
            let value = match &change.act {
                Act::Set(Content::Json(text)) => Some(text.0.clone()),
                Act::Set(Content::Absent) => None,
                _ => continue,
            };
            self.written.push(Written { type_name: type_name.clone(), id, path: change.path.clone(), stamp, value });
        }
    }

    /// What is nowhere any more although it was saved. `held` and `lost` are the hub's.
    pub fn missing(&self, held: &BTreeMap<(TypeName, RecordId), Held>, lost: &[Held]) -> Vec<String> {
        let is_missing = |written: &&Written| {
            let Some(held) = held.get(&(written.type_name.clone(), written.id)) else { return true };
            // what a creation wrote is the whole record; its parts may be replaced one by one
            let parts: Vec<(Path, Option<Value>)> = match (&written.value, written.path.is_root()) {
                (Some(Value::Object(map)), true) => {
                    map.iter().map(|(name, value)| (written.path.property(name), Some(value.clone()))).collect()
                }
                _ => vec![(written.path.clone(), written.value.clone())],
            };
            parts.iter().any(|(path, value)| {
                !(stands(held, path, written.stamp, value.as_ref())
                    || self.is_named(written, path)
                    || is_lost(lost, written, path))
            })
        };
        self.written.iter().filter(is_missing).map(|written| format!("{written:?}")).collect()
    }

    fn is_named(&self, written: &Written, path: &Path) -> bool {
        self.named.iter().any(|named| {
            named.type_name == written.type_name && named.id == written.id && {
                match path.0.strip_prefix(&named.path.0[..]) {
                    Some(below) => named.cover.covers(&Path(below.to_vec()), written.stamp),
                    // a part of what was written was replaced
                    None => named.path.0.starts_with(&path.0) && named.cover.covers(&Path::root(), written.stamp),
                }
            }
        })
    }
}

fn stands(held: &Held, path: &Path, stamp: Stamp, value: Option<&Value>) -> bool {
    // also inside what was removed and is kept
    let own = held.state.place(path).and_then(|place| place.write.as_ref()).map(|write| write.stamp);
    let same = match (held.document.get(path), value) {
        (Some(a), Some(b)) => json::equal(a, b),
        (None, None) => true,
        _ => false,
    };
    own == Some(stamp) || held.state.stamp_at(path) == stamp || same
}

/// Whether what was written is kept as lost: as that write, or as one that said the same after it.
fn is_lost(lost: &[Held], written: &Written, path: &Path) -> bool {
    let kept = |path: &Path, of: &dyn Fn(Option<&Value>) -> bool| {
        lost.iter().map(|entry| &entry.document.value).any(|entry| {
            entry["type"] == written.type_name.as_str()
                && entry["record"] == json!(written.id)
                && entry["pointer"] == path.to_string()
                && of(entry.get("value"))
        })
    };
    let same = |a: &Value, b: &Value| json::equal(a, b);
    kept(path, &|value| match (value, &written.value) {
        (Some(a), Some(b)) if same(a, b) || *path != written.path => true,
        // a part of it that was written over before has an entry of its own
        (Some(Value::Object(a)), Some(Value::Object(b))) => b.iter().all(|(name, value)| {
            a.get(name).is_some_and(|other| same(other, value))
                || kept(&path.property(name), &|part| part.is_some_and(|part| same(part, value)))
        }),
        (None, None) => true,
        _ => false,
    })
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
    let record = json!({"title": dice.below(100), "status": "open", "address": {"city": "c", "street": "s"}});
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
    match dice.below(9) {
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
            place.removal.iter().for_each(|removal| note(removal.stamp));
            place.order.iter().for_each(|order| note(order.stamp));
        }
    }
    held.state.bin.iter().for_each(|bin| note(bin.stamp));
    found
}
