//! What people were told is saved, and where it must be found.

use std::collections::{BTreeMap, BTreeSet};

use outpost::domain::ids::{RecordId, SaveId, THE_HUB, TypeName};
use outpost::domain::json;
use outpost::domain::path::{Path, Segment};
use outpost::domain::record::{Act, Change, Content, Cover, edited};
use outpost::domain::stamp::Stamp;
use outpost::store::{Held, LocalRecord};
use serde_json::{Value, json};

use crate::people::{STOCK, STORY, words};

pub type Key = (TypeName, RecordId);

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

/// A word that a person took out of the text of a record.
pub type Erased = (RecordId, String);

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
    /// Who put which record into the bin or took it out.
    pub binned: BTreeSet<(Key, u32, bool)>,
    pub saves: u64,
    /// Words that people put into texts, and took out of them, by save.
    words: Vec<(Key, String, u32)>,
    erased: Vec<(Erased, u32)>,
    /// What was nowhere any more when the hub was put back, but in the hub that was given up.
    forgiven: BTreeSet<(RecordId, Path, u32)>,
}

impl Memory {
    /// A person is about to save this.
    pub fn expect(&mut self, parts: &[LocalRecord], save: SaveId) {
        for part in parts {
            for change in &part.changes {
                if let Act::Bin(binned) = change.act {
                    self.binned.insert(((part.type_name.clone(), part.id), save.tag(), binned));
                }
            }
        }
    }

    /// A person was told that this is saved.
    pub fn remember_all(&mut self, parts: &[LocalRecord], save: SaveId, erased: &[Erased]) {
        self.erased.extend(erased.iter().map(|erased| (erased.clone(), save.tag())));
        for part in parts {
            self.remember(&part.type_name, part.id, &part.changes, save.tag());
        }
    }

    fn remember(&mut self, type_name: &TypeName, id: RecordId, changes: &[Change], tag: u32) {
        for change in changes {
            let named =
                Named { type_name: type_name.clone(), id, path: change.path.clone(), cover: change.replaces.clone() };
            self.named.push(named);
            if let Some(words) = words_of(change) {
                let key = (type_name.clone(), id);
                self.words.extend(words.into_iter().map(|word| (key.clone(), word, tag)));
                continue;
            }
            let value = match &change.act {
                Act::Set(Content::Json(text)) => Some(text.0.clone()),
                Act::Set(Content::Absent) => None,
                _ => continue,
            };
            self.written.push(Written { type_name: type_name.clone(), id, path: change.path.clone(), tag, value });
        }
    }

    /// What is nowhere any more although it was saved, leaf by leaf. `held` and `lost` are the hub's; `unsent` are the
    /// saves of revoked nodes, which keep them, and those in quarantine, as a whole; of what is `gone` nobody asks.
    pub fn missing(
        &self,
        held: &BTreeMap<Key, Held>,
        lost: &[Held],
        unsent: &BTreeSet<u32>,
        gone: &BTreeSet<Key>,
        // whether the history tells, where that is enough: the type decided against the value at once
        told: &dyn Fn(&Written, &Path, Option<&Value>) -> bool,
    ) -> Vec<String> {
        let mut missing = Vec::new();
        // what is written inside of what was not permitted to be made is told by the history alone
        let kept = self.written.iter().filter(|written| unsent.contains(&written.tag));
        let made = kept.filter(|written| matches!(written.path.0.last(), None | Some(Segment::Item(_))));
        let unmade: BTreeSet<(RecordId, &Path)> = made.map(|written| (written.id, &written.path)).collect();
        let is_inside = |written: &Written| {
            let root = Path::root();
            unmade.contains(&(written.id, &root))
                || written.path.parent().is_some_and(|above| unmade.contains(&(written.id, &above)))
        };
        let counts = |written: &&Written| !unsent.contains(&written.tag) && !is_inside(written);
        for written in self.written.iter().filter(counts) {
            let key = (written.type_name.clone(), written.id);
            if gone.contains(&key) {
                continue;
            }
            let leaves: Vec<_> = leaves(&written.path, written.value.as_ref())
                .into_iter()
                .filter(|(path, _)| !self.forgiven.contains(&(written.id, path.clone(), written.tag)))
                .collect();
            if leaves.is_empty() {
                continue;
            }
            let Some(held) = held.get(&key) else {
                // of a record that was put back to before it was made, an edge that may not hold it any more tells nothing
                if self.is_forgiven_as_a_whole(written.id) {
                    continue;
                }
                missing.push(format!("the record of {written:?}"));
                continue;
            };
            let entries: Vec<&Value> = lost
                .iter()
                .map(|entry| &entry.document.value)
                .filter(|entry| entry["type"] == written.type_name.as_str() && entry["record"] == json!(written.id))
                .collect();
            for (path, value) in leaves {
                let is_there = stands(held, &path, written.tag, value)
                    || self.is_seen(written, &path, value)
                    || entries.iter().any(|entry| is_lost(entry, &path, value))
                    || told(written, &path, value);
                if !is_there {
                    missing.push(format!("{path} = {value:?} of {written:?}"));
                }
            }
        }
        missing.extend(self.miscounted(held, unsent, gone));
        missing.extend(self.miswritten(held, unsent, gone));
        missing
    }

    /// Counters in which a difference is missing, or counted twice.
    fn miscounted(&self, held: &BTreeMap<Key, Held>, unsent: &BTreeSet<u32>, gone: &BTreeSet<Key>) -> Vec<String> {
        let stock = Path::root().property("stock");
        let mut sums: BTreeMap<Key, i64> = BTreeMap::new();
        let counts = |written: &&Written| {
            written.path.parent().as_ref() == Some(&stock)
                && !unsent.contains(&written.tag)
                && !self.forgiven.contains(&(written.id, written.path.clone(), written.tag))
        };
        for written in self.written.iter().filter(counts) {
            let by = written.value.as_ref().and_then(Value::as_i64).unwrap_or_default();
            *sums.entry((written.type_name.clone(), written.id)).or_insert(STOCK) += by;
        }
        sums.retain(|key, _| !self.is_unborn(key, unsent) && !gone.contains(key));
        sums.retain(|key, _| held.contains_key(key) || !self.is_forgiven_as_a_whole(key.1));
        let wrong =
            |(key, sum): &(&Key, &i64)| held.get(*key).is_none_or(|held| held.document.value["stock"] != json!(**sum));
        sums.iter()
            .filter(wrong)
            .map(|(key, sum)| format!("{key:?} does not come to {sum}: {:?}", held.get(key)))
            .collect()
    }

    /// The save that made the record is not at the hub.
    fn is_unborn(&self, key: &Key, unsent: &BTreeSet<u32>) -> bool {
        let mut made = self.written.iter().filter(|written| written.id == key.1 && written.path.is_root());
        made.any(|written| unsent.contains(&written.tag))
    }

    fn is_forgiven_as_a_whole(&self, id: RecordId) -> bool {
        let mut made = self.written.iter().filter(|written| written.id == id && written.path.is_root());
        made.any(|written| {
            let leaves = leaves(&written.path, written.value.as_ref());
            leaves.into_iter().all(|(path, _)| self.forgiven.contains(&(id, path, written.tag)))
        })
    }

    /// Texts in which a word is missing that nobody took out, or stands twice, or stands although it was taken out.
    fn miswritten(&self, held: &BTreeMap<Key, Held>, unsent: &BTreeSet<u32>, gone: &BTreeSet<Key>) -> Vec<String> {
        let story = Path::root().property(STORY);
        let out: BTreeSet<&Erased> =
            self.erased.iter().filter(|(_, tag)| !unsent.contains(tag)).map(|(erased, _)| erased).collect();
        let mut wrong = Vec::new();
        for (key, word, tag) in &self.words {
            let is_forgiven = self.forgiven.contains(&(key.1, story.clone(), *tag));
            if gone.contains(key)
                || unsent.contains(tag)
                || is_forgiven
                || self.is_unborn(key, unsent)
                || !held.contains_key(key) && self.is_forgiven_as_a_whole(key.1)
            {
                continue;
            }
            let text = held.get(key).and_then(|held| held.document.get(&story)).and_then(Value::as_str);
            let times = words(text.unwrap_or_default()).filter(|other| other == word).count();
            let should = usize::from(!out.contains(&(key.1, word.clone())));
            // whose author changed the words beside it may have written it anew with them
            let again = self.words.iter().filter(|other| other.0 == *key && other.1 == *word).count() > 1;
            if times != should && !(again && times >= should) {
                wrong.push(format!("{word} stands {times} times, not {should}, in {text:?} of {key:?}"));
            }
        }
        wrong
    }

    /// The hub is put back. What is in none of these places, and in no outbox, is nowhere any more.
    pub fn forgive(&mut self, places: &[BTreeMap<Key, Held>], unsent: &BTreeSet<u32>) {
        let lost: Vec<&Value> = places
            .iter()
            .flat_map(BTreeMap::values)
            .filter(|held| held.type_name.as_str() == TypeName::LOST)
            .map(|entry| &entry.document.value)
            .collect();
        for written in self.written.iter().filter(|written| !unsent.contains(&written.tag)) {
            let key = (written.type_name.clone(), written.id);
            let held: Vec<&Held> = places.iter().filter_map(|place| place.get(&key)).collect();
            for (path, value) in leaves(&written.path, written.value.as_ref()) {
                let is_there = held.iter().any(|held| held.state.stamp_at(&path).tag == written.tag)
                    || lost.iter().any(|entry| entry["record"] == json!(written.id) && is_lost(entry, &path, value));
                if !is_there {
                    self.forgiven.insert((written.id, path, written.tag));
                }
            }
        }
        let story = Path::root().property(STORY);
        for (key, word, tag) in self.words.iter().filter(|(_, _, tag)| !unsent.contains(tag)) {
            let says = |held: &Held| {
                let mut found = false;
                held.state.each_stamp(&mut |stamp| found |= stamp.tag == *tag);
                found
            };
            if !places.iter().filter_map(|place| place.get(key)).any(says) {
                self.forgiven.insert((key.1, story.clone(), *tag));
                self.erased.retain(|((id, gone), _)| (*id, gone) != (key.1, word));
            }
        }
        // a word that was taken out stands again, if nobody has it any more that it was
        self.erased.retain(|((id, _), tag)| {
            let says = |held: &Held| {
                let mut found = false;
                held.state.each_stamp(&mut |stamp| found |= stamp.tag == *tag);
                found
            };
            unsent.contains(tag) || places.iter().flat_map(BTreeMap::values).any(|held| held.id == *id && says(held))
        });
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

/// What an edit of a text puts in; none if the change is none.
fn words_of(change: &Change) -> Option<Vec<String>> {
    let (text, _) = edited(&outpost::domain::record::Document::default(), change)?;
    let Act::Set(Content::Json(edit)) = &change.act else { return None };
    (text == Path::root().property(STORY)).then(|| {
        let inserts = edit.0["i"].as_array().map(Vec::as_slice).unwrap_or_default();
        let texts = inserts.iter().filter_map(|insert| insert[4].as_str());
        texts.flat_map(words).map(str::to_owned).collect()
    })
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

pub fn equal(a: Option<&Value>, b: Option<&Value>) -> bool {
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
