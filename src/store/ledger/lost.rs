//! Entries for values that lost: records of a built-in type, whose id, content and stamp follow from the write that lost,
//! so that every node makes the same ones.
//!
//! The node where every save passes, the hub, makes them. An edge, which may judge otherwise for what it does not know
//! yet, makes provisional ones: the same, but in no partition, gone when the hub has judged.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::apply::Part;
use super::{Draft, Halt, Key};
use crate::domain::ids::{RecordId, TypeName};
use crate::domain::json as canonical;
use crate::domain::path::Path;
use crate::domain::record::{Act, Change, Content, Cover, LostValue, State, is_difference, told_at};
use crate::domain::schema::Conflict;
use crate::domain::stamp::{Author, Stamp};
use crate::store::{Flags, Held};

impl Draft<'_> {
    /// Makes the entry of a value that lost; says whether it is new.
    pub(super) fn lose(&mut self, of: &Key, lost: &LostValue, provisional: bool) -> Result<bool, Halt> {
        let Some(record) = self.held(of)? else { return Ok(false) };
        let asks = self.judge.conflict(&of.0, record.state.revision(), &lost.path) == Conflict::Ask;
        let document = content(record, lost, asks);
        let key = (TypeName::built_in(TypeName::LOST), entry_id(of, &lost.path, lost.stamp));
        let before = self.held(&key)?.cloned();
        if (provisional && before.is_some()) || (before.is_none() && self.is_gone(&key)?) {
            return Ok(false);
        }
        if before.is_none() && self.is_told(of, lost)? {
            return Ok(false);
        }
        // what a hub has judged takes the place of what was shown meanwhile
        let known = before.as_ref().filter(|held| !held.flags.has(Flags::PROVISIONAL));
        let mut state = known.map_or_else(State::default, |held| held.state.clone());
        let stamp = Stamp { tag: content_tag(&document), ..lost.stamp };
        let change = Change { path: Path::root(), act: Act::Set(Content::json(document)), replaces: Cover::nothing() };
        let applied = state.apply(&[change], stamp, self.seq + 1, &|_, _| true);
        if applied.changed {
            let document = state.document();
            self.keep(&key, before.as_ref(), (state, document), stamp, provisional)?;
            if provisional {
                let mut entries = self.provisional()?;
                entries.insert(key.1);
                self.facts.provisional = Some(entries);
            }
        }
        Ok(before.is_none())
    }

    /// Where the type says that the highest or the lowest value stands, and this is the one: it is written again, above all
    /// that is there, as if its author had written once more having seen the other. Either way its entry closes.
    ///
    /// The write follows from the one that lost and what it met, so a hub that was put back makes the same one.
    pub(super) fn put_again(&mut self, of: &Key, lost: &LostValue, now: i64) -> Result<(), Halt> {
        if is_difference(&lost.path) {
            return self.count_again(of, lost, now);
        }
        let Some(held) = self.held(of)?.cloned() else { return Ok(()) };
        let policy = self.judge.conflict(&of.0, held.state.revision(), &lost.path);
        let stands = held.document.get(&lost.path);
        let Some(value) = lost.value.as_ref().filter(|value| policy.decides(Some(*value), stands)) else {
            return Ok(());
        };
        let replaces = held.state.cover(&lost.path);
        if !policy.prefers(Some(value), stands) {
            // what stands would stand anyhow
            return self.close_seen(of, &[(lost.path.clone(), lost.stamp)], replaces.latest());
        }
        let time = replaces.latest().time.max(lost.stamp.time).next();
        let stamp = Stamp { time, tag: content_tag(value), ..lost.stamp };
        let change = Change { path: lost.path.clone(), act: Act::Set(Content::json(value.clone())), replaces };
        self.clock.observe(now, time);
        self.apply_one(&Part { key: of, changes: &[change], stamp, revision: None }, now, false)?;
        self.close_seen(of, &[(lost.path.clone(), lost.stamp)], stamp)
    }

    /// A difference that somebody's later number hides, who had not counted it, adds to that number: it is written again above
    /// it. Under its own name, so however often that happens, and wherever, it counts once.
    ///
    /// That is so when two people do both at once, and when two copies of a device give the save that made the record two
    /// times, of which the later is after the difference.
    pub(super) fn count_again(&mut self, of: &Key, lost: &LostValue, now: i64) -> Result<(), Halt> {
        let (Some(held), Some(value)) = (self.held(of)?.cloned(), lost.value.clone()) else { return Ok(()) };
        let Some(number) = lost.path.parent().filter(|number| held.document.get(number).is_some()) else {
            // there is no number any more that it could add to
            return self.lose(of, lost, false).map(|_| ());
        };
        let replaces = held.state.cover(&lost.path);
        let time = held.state.stamp_at(&number).time.max(lost.stamp.time).next();
        self.clock.observe(now, time);
        let change = Change { path: lost.path.clone(), act: Act::Set(Content::json(value)), replaces };
        let stamp = Stamp { time, ..lost.stamp };
        self.apply_one(&Part { key: of, changes: &[change], stamp, revision: None }, now, false)
    }

    /// A later write names these as seen: their entries close, wherever they are known, with the stamp of that write.
    pub(super) fn close_seen(&mut self, of: &Key, seen: &[(Path, Stamp)], by: Stamp) -> Result<(), Halt> {
        let entries = self.entries(of)?;
        if entries.is_empty() {
            return Ok(());
        }
        for (path, stamp) in seen {
            let id = entry_id(of, path, *stamp);
            if *stamp != Stamp::NEVER && entries.contains_key(&id) {
                self.write_entry(id, "state", json!("seen"), by)?;
            }
        }
        Ok(())
    }

    /// Whether an entry says already that this save lost this value here, under another time that the same save came with.
    fn is_told(&self, of: &Key, lost: &LostValue) -> Result<bool, Halt> {
        let pointer = lost.path.to_string();
        for id in self.entries(of)?.into_keys() {
            let entry = self.held(&(TypeName::built_in(TypeName::LOST), id))?;
            let says_so = |entry: &&Held| {
                let said = &entry.document.value;
                let same = match (said.get("value"), &lost.value) {
                    (Some(a), Some(b)) => canonical::equal(a, b),
                    (None, None) => true,
                    _ => false,
                };
                !entry.flags.has(Flags::PROVISIONAL) && is_about(said, lost.stamp) && said["pointer"] == pointer && same
            };
            if entry.filter(says_so).is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The same save came with another time, as two copies of a device give it, and now what it says stands: nothing of it
    /// is lost any more.
    pub(super) fn close_own(&mut self, of: &Key, changes: &[Change], stamp: Stamp) -> Result<(), Halt> {
        let open = self.entries(of)?.into_iter().filter(|(_, open)| *open);
        for id in open.map(|(id, _)| id).collect::<Vec<_>>() {
            let entry = self.held(&(TypeName::built_in(TypeName::LOST), id))?;
            let Some(entry) = entry.filter(|entry| is_about(&entry.document.value, stamp)) else { continue };
            let (latest, pointer) =
                (entry.state.latest(), entry.document.value["pointer"].as_str().unwrap_or_default());
            let Some(state) = self.held(of)?.map(|held| &held.state) else { continue };
            let is_group = |path: &Path| {
                let write = state.place(path).and_then(|place| place.write.as_ref());
                write.is_some_and(|write| write.content == Content::Group)
            };
            let stands = Path::parse(pointer, is_group).is_some_and(|path| {
                // an edit is told of where its text is
                let mut here = changes.iter().map(|change| &change.path).filter(|at| told_at(at) == path);
                state.stamp_at(&path) == stamp || here.any(|at| state.stamp_at(at) == stamp)
            });
            if stands && latest < stamp {
                self.write_entry(id, "state", json!("seen"), stamp)?;
            }
        }
        Ok(())
    }

    /// The entries that a write with these changes closes; without those that are this node's alone, which the hub's replace.
    pub(super) fn entries_seen(&self, of: &Key, changes: &[Change]) -> Result<Vec<&Held>, Halt> {
        let entries = self.entries(of)?;
        let mut found = Vec::new();
        if entries.is_empty() {
            return Ok(found);
        }
        for change in changes {
            let inside = change.replaces.inside.iter().map(|(below, stamp)| (change.path.join(below), *stamp));
            for (path, stamp) in inside.chain([(change.path.clone(), change.replaces.all)]) {
                let id = entry_id(of, &path, stamp);
                if entries.contains_key(&id) {
                    let entry = self.held(&(TypeName::built_in(TypeName::LOST), id))?;
                    found.extend(entry.filter(|entry| !entry.flags.has(Flags::PROVISIONAL)));
                }
            }
        }
        Ok(found)
    }

    /// Entries live where their record lives. They move by the next moment of their own, which no other write has.
    pub(super) fn move_entries(&mut self, of: &Key) -> Result<(), Halt> {
        let Some(partition) = self.held(of)?.map(|held| held.partition.to_string()) else { return Ok(()) };
        for id in self.entries(of)?.into_keys() {
            let entry = self.held(&(TypeName::built_in(TypeName::LOST), id))?;
            let Some(latest) = entry.map(|held| held.state.latest()) else { continue };
            let by = Stamp { time: latest.time.next(), ..latest };
            self.write_entry(id, "partition", json!(partition), by)?;
        }
        self.move_quarantined(of, &partition)
    }

    fn write_entry(&mut self, id: RecordId, field: &str, value: Value, by: Stamp) -> Result<(), Halt> {
        self.write_fields(&(TypeName::built_in(TypeName::LOST), id), vec![(field, value)], by)
    }

    /// Writes fields of an entry of either kind.
    pub(super) fn write_fields(&mut self, key: &Key, fields: Vec<(&str, Value)>, by: Stamp) -> Result<(), Halt> {
        let Some(before) = self.held(key)?.cloned() else { return Ok(()) };
        let mut state = before.state.clone();
        let write = |(field, value): (&str, Value)| {
            let path = Path::root().property(field);
            Change { replaces: before.state.cover(&path), path, act: Act::Set(Content::json(value)) }
        };
        let changes: Vec<Change> = fields.into_iter().map(write).collect();
        if let Some(shadow) = self.shadow(key)? {
            let now = self.clock.last.millis();
            return self.apply_beside(
                &Part { key, changes: &changes, stamp: by, revision: None },
                Some(before),
                shadow,
                now,
            );
        }
        if state.apply(&changes, by, self.seq + 1, &|_, _| true).changed {
            let document = state.document();
            self.keep(key, Some(&before), (state, document), by, before.flags.has(Flags::PROVISIONAL))?;
        }
        Ok(())
    }

    /// An entry is not what it was: the record it is about is flagged as long as one of its entries is open.
    pub(super) fn entry_changed(&mut self, entry: &Key) -> Result<(), Halt> {
        let Some(held) = self.held(entry)?.cloned() else { return Ok(()) };
        let Some(of) = target(&held) else { return Ok(()) };
        let mut entries = self.entries(&of)?;
        entries.insert(held.id, is_open(&held));
        self.facts.entries.insert(of.clone(), entries);
        self.mark_lost(&of)
    }

    pub(super) fn entry_dropped(&mut self, entry: &Held) -> Result<(), Halt> {
        let Some(of) = target(entry) else { return Ok(()) };
        let mut entries = self.entries(&of)?;
        entries.remove(&entry.id);
        self.facts.entries.insert(of.clone(), entries);
        self.mark_lost(&of)
    }

    pub(super) fn mark_lost(&mut self, of: &Key) -> Result<(), Halt> {
        let open = self.entries(of)?.values().any(|open| *open);
        if let Some(held) = self.held(of)?.cloned() {
            self.reflag(&held, held.flags.with(Flags::LOST, open));
        }
        Ok(())
    }

    /// Drops the provisional entries of records whose saves the hub has all judged: it made its own.
    pub(super) fn drop_provisional(&mut self) -> Result<(), Halt> {
        let mut left = self.provisional()?;
        for id in left.clone() {
            let key = (TypeName::built_in(TypeName::LOST), id);
            let held = self.held(&key)?.filter(|held| held.flags.has(Flags::PROVISIONAL)).cloned();
            let Some(held) = held else {
                left.remove(&id);
                continue;
            };
            let judged = match target(&held) {
                Some(of) => self.unsent(&of)?.is_empty(),
                None => true,
            };
            if judged && self.unsent(&key)?.is_empty() {
                self.drop_record(&held)?;
                left.remove(&id);
            }
        }
        self.facts.provisional = Some(left);
        Ok(())
    }
}

/// The record an entry is about.
pub(super) fn target(entry: &Held) -> Option<Key> {
    let text = |name: &str| entry.document.value.get(name).and_then(Value::as_str);
    let type_name = text("type")?.parse().ok()?;
    Some((type_name, Uuid::parse_str(text("record")?).ok()?))
}

/// Whether an entry tells of this save, under whatever time.
fn is_about(entry: &Value, stamp: Stamp) -> bool {
    entry["tag"] == format!("{:08x}", stamp.tag)
        && entry["node"] == json!(stamp.author.node)
        && entry["incarnation"] == json!(stamp.author.incarnation)
}

pub(super) fn is_open(entry: &Held) -> bool {
    !entry.state.is_binned() && entry.document.value.get("state").and_then(Value::as_str) == Some("open")
}

pub(super) fn entry_id(of: &Key, path: &Path, stamp: Stamp) -> RecordId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(of.0.as_str().as_bytes());
    hasher.update(&[0]);
    hasher.update(of.1.as_bytes());
    hasher.update(path.to_string().as_bytes());
    hasher.update(&[0]);
    hasher.update(&stamp.time.0.to_le_bytes());
    hasher.update(&stamp.author.node.0.to_le_bytes());
    hasher.update(&stamp.author.incarnation.0.to_le_bytes());
    hasher.update(&stamp.tag.to_le_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn content(record: &Held, lost: &LostValue, asks: bool) -> Value {
    let Stamp { time, author, tag } = lost.stamp;
    let Author { node, incarnation, person } = author;
    let mut map = Map::new();
    if asks {
        map.insert("ask".into(), json!(1));
    }
    map.insert("at".into(), json!(time.millis()));
    map.insert("incarnation".into(), json!(incarnation));
    map.insert("node".into(), json!(node));
    map.insert("partition".into(), json!(record.partition));
    map.insert("person".into(), json!(person));
    map.insert("pointer".into(), json!(lost.path.to_string()));
    map.insert("record".into(), json!(record.id));
    map.insert("state".into(), json!("open"));
    map.insert("tag".into(), json!(format!("{tag:08x}")));
    map.insert("type".into(), json!(record.type_name));
    if let Some(value) = &lost.value {
        map.insert("value".into(), canonical::sorted(value.clone()));
    }
    Value::Object(map)
}

/// Two nodes may see the value, or the record's partition, otherwise: then their entries are two writes, and the same one
/// of them is the later everywhere.
fn content_tag(document: &Value) -> u32 {
    let hash = blake3::hash(canonical::canonical(document).as_bytes());
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&hash.as_bytes()[..4]);
    u32::from_le_bytes(bytes)
}
