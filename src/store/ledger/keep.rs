//! How a record's new state goes into the books: partition, flags, numbers, digests, notices; and how records go.

use std::collections::BTreeSet;

use super::apply::Part;
use super::{COPYING, CURSOR, Draft, Halt, Key, Shift, tally_key};
use crate::domain::ids::{Partition, SaveId, TypeName};
use crate::domain::path::{Path, Segment};
use crate::domain::record::{Document, State};
use crate::domain::stamp::Stamp;
use crate::store::{Flags, Held, Judge, Notice, Outcome};

/// Where entries are that only this node knows of. No reader asks for it.
pub(in crate::store) fn here() -> Partition {
    Partition("_here".into())
}

impl Draft<'_> {
    /// Takes over the new state of a record with its projection; its changes carry the next number. `by` is the write that decided it.
    /// Says whether the record moved from one partition to another.
    pub(super) fn keep(
        &mut self,
        key: &Key,
        before: Option<&Held>,
        (mut state, document): (State, Document),
        by: Stamp,
        provisional: bool,
    ) -> Result<bool, Halt> {
        let seq = self.seq + 1;
        self.seq = seq;
        let kept = before.map_or(Flags::default(), |held| held.flags);
        let flags = self.flags(&key.0, &state, &document.value, kept).with(Flags::PROVISIONAL, provisional);
        let partition = if provisional { here() } else { self.partition(&key.0, &document.value) };
        let left = before.map(|held| &held.partition).filter(|old| **old != partition);
        if let Some(left) = left {
            // readers of the new partition get it whole, however far they are
            state.renumber(seq);
            if *left != here() {
                let decided = self.scope_stamp(&key.0, &state, &document.value, &partition);
                self.announce(key, [left.clone()], &partition, seq, decided)?;
            }
            self.notify(left.clone(), key, seq, by);
        } else if before.is_none() && !self.left(key)?.is_empty() {
            // it was here and was dropped: whoever holds it still where it was then has to believe that it is elsewhere
            let decided = self.scope_stamp(&key.0, &state, &document.value, &partition);
            self.announce(key, [], &partition, seq, decided)?;
        }
        self.notify(partition.clone(), key, seq, by);
        let moved = left.is_some();
        let held = Held { type_name: key.0.clone(), id: key.1, partition, state, document, seq, flags };
        self.shift(before, Some(&held));
        self.put(held);
        if key.0.as_str() == TypeName::LOST {
            self.entry_changed(key)?;
        } else if before.is_none() {
            self.mark_lost(key)?;
        }
        Ok(moved)
    }

    /// Tells the readers of partitions that the record is not there: of those that it leaves now, and of all that it left
    /// before, since one of them may hold a value of its scope field that is later than what took it away then.
    pub(super) fn announce(
        &mut self,
        key: &Key,
        leaves: impl IntoIterator<Item = Partition>,
        enters: &Partition,
        seq: u64,
        decided: Stamp,
    ) -> Result<(), Halt> {
        let mut left = self.left(key)?;
        let came_back = left.remove(enters);
        let known = left.len();
        left.extend(leaves);
        if known == left.len() && !came_back {
            return Ok(());
        }
        for partition in &left {
            self.news.moved.insert((partition.clone(), key.clone()), Some((seq, decided)));
            self.head(partition, seq);
        }
        if came_back {
            self.news.moved.insert((enters.clone(), key.clone()), None);
        }
        self.facts.left.insert(key.clone(), left);
        Ok(())
    }

    /// A write that came too late to decide where the record is: readers of the partition that its author took the record
    /// to are told that it is not there. Those of them who read the partition where it is get it whole, for they drop it.
    pub(super) fn announce_overruled(&mut self, part: &Part) -> Result<(), Halt> {
        let Some(held) = self.held(part.key)?.cloned() else { return Ok(()) };
        let mut as_written = held.state.clone();
        let last = Stamp { time: as_written.latest().time.max(part.stamp.time).next(), ..part.stamp };
        as_written.apply(part.changes, last, self.seq + 1, &|_, _| true);
        let meant = self.partition(&part.key.0, &as_written.document().value);
        self.announce_absent(part.key, &meant)
    }

    /// Tells the readers of a partition that a record is not there, if it is elsewhere.
    pub(super) fn announce_absent(&mut self, key: &Key, meant: &Partition) -> Result<(), Halt> {
        let Some(mut held) = self.held(key)?.cloned() else { return Ok(()) };
        if *meant == held.partition {
            return Ok(());
        }
        self.seq += 1;
        let decided = self.scope_stamp(&key.0, &held.state, &held.document.value, &held.partition);
        let mut left = self.left(key)?;
        left.insert(meant.clone());
        self.facts.left.insert(key.clone(), left);
        self.news.moved.insert((meant.clone(), key.clone()), Some((self.seq, decided)));
        self.head(meant, self.seq);
        self.notify(meant.clone(), key, self.seq, decided);
        held.state.renumber(self.seq);
        held.seq = self.seq;
        self.head(&held.partition, self.seq);
        self.notify(held.partition.clone(), key, self.seq, decided);
        self.put(held);
        Ok(())
    }

    /// The stamp of the value that decides the partition: of the property without which, or with which, the record would
    /// be somewhere else.
    pub(super) fn scope_stamp(
        &self,
        type_name: &TypeName,
        state: &State,
        document: &serde_json::Value,
        partition: &Partition,
    ) -> Stamp {
        let Some(map) = document.as_object() else { return Stamp::NEVER };
        let written = state.root.inside.keys().filter_map(|segment| match segment {
            Segment::Property(name) => Some(name),
            Segment::Item(_) => None,
        });
        let names: BTreeSet<&String> = map.keys().chain(written).collect();
        let decides = |name: &&&String| {
            let mut other = map.clone();
            if other.shift_remove(**name).is_none() {
                other.insert((**name).clone(), serde_json::Value::from("_"));
            }
            self.partition(type_name, &serde_json::Value::Object(other)) != *partition
        };
        let stamps =
            names.iter().filter(decides).map(|name| state.cover(&Path::root().property(name.as_str())).latest());
        stamps.max().unwrap_or_else(|| state.stamp_at(&Path::root()))
    }

    pub(super) fn partition(&self, type_name: &TypeName, document: &serde_json::Value) -> Partition {
        partition_of(self.judge, self.told.as_ref(), type_name, document)
    }

    pub(super) fn flags(
        &self,
        type_name: &TypeName,
        state: &State,
        document: &serde_json::Value,
        kept: Flags,
    ) -> Flags {
        flags_of(self.judge, type_name, state, document, kept)
    }

    /// Changes only what this node knows about a record, not the record.
    pub(super) fn reflag(&mut self, held: &Held, flags: Flags) {
        if held.flags == flags {
            return;
        }
        let now = Held { flags, ..held.clone() };
        *self.news.tallies.entry(tally_key(held)).or_default() -= 1;
        *self.news.tallies.entry(tally_key(&now)).or_default() += 1;
        self.put(now);
    }

    /// Accounts for a record that was `before` and is now `after`.
    pub(super) fn shift(&mut self, before: Option<&Held>, after: Option<&Held>) {
        for (held, sign) in [(before, -1i64), (after, 1)] {
            let Some(held) = held else { continue };
            *self.news.tallies.entry(tally_key(held)).or_default() += sign;
            let hash = held.hash().0;
            let shift = self.shift_of(&held.partition);
            shift.records += sign;
            shift.digest = shift.digest.wrapping_add(if sign > 0 { hash } else { hash.wrapping_neg() });
        }
        if let Some(held) = after {
            self.head(&held.partition, held.seq);
        }
    }

    pub(super) fn shift_of(&mut self, partition: &Partition) -> &mut Shift {
        self.news.partitions.entry(partition.clone()).or_default()
    }

    pub(super) fn head(&mut self, partition: &Partition, seq: u64) {
        let shift = self.shift_of(partition);
        shift.head = shift.head.max(seq);
    }

    pub(super) fn notify(&mut self, partition: Partition, key: &Key, seq: u64, by: Stamp) {
        let Stamp { time: at, author, .. } = by;
        let (person, node) = (author.person, author.node);
        let (type_name, id) = key.clone();
        self.news.notices.push(Notice { partition, type_name, id, seq, person, node, at });
    }

    /// Takes a record out of this node; no other node hears of it.
    pub(super) fn drop_record(&mut self, held: &Held) -> Result<(), Halt> {
        let key = (held.type_name.clone(), held.id);
        self.shift(Some(held), None);
        self.notify(held.partition.clone(), &key, held.seq, held.state.latest());
        self.news.dirty.insert(key.clone());
        self.news.dropped.insert(key.clone());
        self.news.lines.retain(|(of, _)| *of != key);
        self.facts.records.insert(key.clone(), None);
        if key.0.as_str() == TypeName::LOST { self.entry_dropped(held) } else { Ok(()) }
    }

    /// Drops a record now, or when the hub has what was saved in it.
    pub(super) fn let_go(&mut self, key: &Key) -> Result<(), Halt> {
        let Some(held) = self.held(key)?.cloned() else { return Ok(()) };
        if self.unsent(key)?.is_empty() {
            return self.drop_record(&held);
        }
        self.reflag(&held, held.flags.with(Flags::LEAVING, true));
        Ok(())
    }

    /// One step of it. The cursor goes first, so that whoever comes back to the partition gets all of it.
    pub(super) fn forget(&mut self, partition: &Partition, keys: &[Key]) -> Result<(), Halt> {
        self.put_local((CURSOR.into(), partition.to_string()), None);
        self.put_local((COPYING.into(), partition.to_string()), None);
        keys.iter().try_for_each(|key| self.let_go(key))
    }

    pub(super) fn acknowledge(&mut self, saves: &[SaveId]) -> Result<Outcome, Halt> {
        for save in saves {
            let Some(keys) = self.sent(*save)? else { continue };
            for key in &keys {
                let mut unsent = self.unsent(key)?;
                unsent.remove(save);
                let last = unsent.is_empty();
                self.facts.unsent.insert(key.clone(), unsent);
                if last
                    && let Some(held) = self.held(key)?.cloned()
                    && held.flags.has(Flags::LEAVING)
                {
                    self.drop_record(&held)?;
                }
            }
            self.facts.sent.insert(*save, None);
            self.facts.queued.insert(*save, None);
            self.news.acknowledged.push(*save);
            self.send_again(*save)?;
        }
        self.drop_provisional()?;
        Ok(Outcome::Done)
    }

    pub(super) fn rejudge(&mut self, keys: &[Key]) -> Result<(), Halt> {
        for key in keys {
            let Some(held) = self.held(key)?.cloned() else { continue };
            if held.flags.has(Flags::PROVISIONAL) {
                continue;
            }
            let document = &held.document.value;
            // a publication may come before its type: until then a record is where the hub says
            self.told = (!self.judge.knows(&key.0)).then(|| held.partition.clone());
            if self.partition(&key.0, document) == held.partition {
                let flags = self.flags(&key.0, &held.state, document, held.flags);
                self.reflag(&held, flags);
            } else if self.keep(
                key,
                Some(&held),
                (held.state.clone(), held.document.clone()),
                held.state.latest(),
                false,
            )? {
                self.move_entries(key)?;
            }
        }
        Ok(())
    }
}

/// What lost, and what may not be, lives where its record lives; everything else is judged. As long as its type is not
/// here, which may come later than its records, a record is where the hub says: `told`.
pub(in crate::store) fn partition_of(
    judge: &dyn Judge,
    told: Option<&Partition>,
    type_name: &TypeName,
    document: &serde_json::Value,
) -> Partition {
    if matches!(type_name.as_str(), TypeName::LOST | TypeName::QUARANTINE)
        && let Some(partition) = document.get("partition").and_then(serde_json::Value::as_str)
    {
        return Partition(partition.to_owned());
    }
    match told {
        Some(told) => told.clone(),
        None => judge.partition(type_name, document),
    }
}

pub(in crate::store) fn flags_of(
    judge: &dyn Judge,
    type_name: &TypeName,
    state: &State,
    document: &serde_json::Value,
    kept: Flags,
) -> Flags {
    let valid = judge.is_valid(type_name, state.revision(), document);
    kept.with(Flags::BINNED, state.is_binned())
        .with(Flags::EDITED_AFTER_DELETION, state.is_edited_after_deletion())
        .with(Flags::INVALID, valid == Some(false))
        .with(Flags::UNKNOWN_REVISION, valid.is_none())
}

/// What was written at a place itself: by whom its value, its rank or its removal was last decided.
pub(super) fn decided(state: &State, path: &Path) -> Stamp {
    let here = state.place(path).map_or(Stamp::NEVER, |place| {
        let removal = place.removal.as_ref().map_or(Stamp::NEVER, |removal| removal.stamp);
        place.order.as_ref().map_or(removal, |order| removal.max(order.stamp))
    });
    let bin = state.bin.as_ref().filter(|_| path.is_root()).map_or(Stamp::NEVER, |bin| bin.stamp);
    state.stamp_at(path).max(here).max(bin)
}

/// Whether a path ends in an item of a group.
pub(super) fn is_item(path: &Path) -> bool {
    matches!(path.0.last(), Some(Segment::Item(_)))
}
