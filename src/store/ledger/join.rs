//! Pages pulled from the hub.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::keep::{decided, is_item};
use super::{Draft, Halt, Key, Ledger, Line, Need, lost};
use crate::domain::ids::{Partition, TypeName};
use crate::domain::json as canonical;
use crate::domain::path::Path;
use crate::domain::record::pack::unpack;
use crate::domain::record::{Document, EffectKind, LostValue, State, told_at};
use crate::domain::save::MAX_NESTING;
use crate::domain::stamp::Stamp;
use crate::store::{Copying, Flags, Held, Moved, PulledPage, Row};

/// The kind of local document that says how far a partition was pulled; by partition.
pub(in crate::store) const CURSOR: &str = "cursor";
/// The kind of local document that says how far the first copy of a partition is; by partition.
pub const COPYING: &str = "copying";
/// The kind of local document that keeps a row as it came, since it could not be understood.
const SET_ASIDE: &str = "set-aside";

impl Ledger<'_> {
    pub(super) fn needs_of_page(&self, page: &PulledPage) -> Vec<Need> {
        let mut needs = Vec::new();
        for row in &page.rows {
            let key = (row.type_name.clone(), row.id);
            if row.type_name.as_str() == TypeName::LOST {
                let state = unpack(&row.state, row.seq, None, &page.dictionary).ok();
                if let Some(of) = state.and_then(|state| target(row, &state)) {
                    needs.extend([Need::Record(of.clone()), Need::Entries(of)]);
                }
            } else if !self.quiet.entries {
                needs.push(Need::Entries(key.clone()));
            }
            needs.extend([Need::Record(key.clone()), Need::Unsent(key)]);
        }
        for moved in &page.moved {
            let key = (moved.type_name.clone(), moved.id);
            needs.extend([Need::Waiting(key.clone()), Need::Left(key.clone())]);
            needs.extend([Need::Record(key.clone()), Need::Unsent(key)]);
        }
        needs.retain(|need| match need {
            Need::Waiting(_) => !self.quiet.waiting,
            Need::Left(_) => !self.quiet.moved,
            Need::Entries(_) => !self.quiet.entries,
            Need::Unsent(_) => !self.quiet.unsent,
            _ => true,
        });
        needs
    }
}

/// The record that a new entry is about.
fn target(row: &Row, state: &State) -> Option<Key> {
    lost::target(&Held {
        type_name: row.type_name.clone(),
        id: row.id,
        partition: Partition(String::new()),
        state: State::default(),
        document: state.document(),
        seq: 0,
        flags: Flags::default(),
    })
}

impl Draft<'_> {
    pub(super) fn join(&mut self, row: &Row, page: &PulledPage, now: i64) -> Result<(), Halt> {
        let key = (row.type_name.clone(), row.id);
        self.told = (!self.judge.knows(&row.type_name)).then(|| page.partition.clone());
        let incoming = match unpack(&row.state, row.seq, None, &page.dictionary) {
            Ok(state) => state,
            Err(damage) => return self.set_aside(row, page, &damage.to_string()),
        };
        let held = self.held(&key)?.cloned();
        if held.is_none() && !incoming.exists() {
            return self.set_aside(row, page, "it is a part of a record that is not here");
        }
        let latest = incoming.latest();
        // what the hub judged takes the place of what was shown meanwhile
        let known = held.as_ref().filter(|held| !held.flags.has(Flags::PROVISIONAL));
        let mut state = known.map_or_else(State::default, |held| held.state.clone());
        let (changed, written) = (state.join(incoming, self.seq + 1), state.written);
        let document = state.document();
        if canonical::nesting(&document.value) > MAX_NESTING {
            return self.set_aside(row, page, "it is nested too deep");
        }
        self.clock.observe(now, latest.time);
        let new_revision = known.is_none_or(|held| held.state.written != written);
        if changed.is_empty() && !new_revision {
            if let Some(held) = known {
                self.reflag(held, held.flags.with(Flags::LEAVING, false));
            }
            return Ok(());
        }
        let mut before = held.clone();
        if let Some(held) = &mut before {
            held.flags = held.flags.with(Flags::LEAVING, false);
        }
        let beaten = match known {
            Some(held) => self.beaten(&key, held, (&state, &document), &changed)?,
            None => Vec::new(),
        };
        let by = changed.iter().map(|path| decided(&state, path)).max().unwrap_or(latest);
        let seq = self.seq + 1;
        self.keep(&key, before.as_ref(), (state, document), by, false)?;
        let Some(known) = known else { return self.come(&key, now, true) };
        self.tell_of_page(&key, known, &changed, seq, now)?;
        if row.type_name.as_str() != TypeName::LOST {
            for lost in &beaten {
                self.lose(&key, lost, true)?;
            }
        }
        Ok(())
    }

    /// Writes down what people shall read of what came.
    pub(super) fn tell_of_page(
        &mut self,
        key: &Key,
        before: &Held,
        changed: &[Path],
        seq: u64,
        now: i64,
    ) -> Result<(), Halt> {
        if let Some(after) = self.held(key)? {
            let lines = lines(before, after, changed, seq, now);
            self.news.lines.extend(lines.into_iter().map(|line| (key.clone(), line)));
        }
        Ok(())
    }

    /// Values of saves the hub does not have yet that lost against what came from it. Nobody there can have seen them.
    fn beaten(
        &self,
        key: &Key,
        before: &Held,
        (after, document): (&State, &Document),
        changed: &[Path],
    ) -> Result<Vec<LostValue>, Halt> {
        let unsent = self.unsent(key)?;
        if unsent.is_empty() {
            return Ok(Vec::new());
        }
        let beaten = changed.iter().filter_map(|path| {
            let stood = before.state.stamp_at(path);
            let ours = unsent.iter().any(|save| save.tag() == stood.tag);
            let old = before.document.get(path);
            (ours && after.stamp_at(path) > stood && !same(old, document.get(path))).then(|| LostValue {
                path: path.clone(),
                stamp: stood,
                value: old.cloned(),
            })
        });
        Ok(beaten.collect())
    }

    /// A record is not in the partition at the hub. It is dropped if it is there here, unless the value that took it away,
    /// or a later one, is known: then it came by another partition, or is on its way to the hub.
    pub(super) fn leave(&mut self, moved: &Moved, partition: &Partition) -> Result<(), Halt> {
        let key = (moved.type_name.clone(), moved.id);
        let Some(held) = self.held(&key)? else { return self.pass_on(&key, moved, partition) };
        if held.partition == *partition
            && self.scope_stamp(&key.0, &held.state, &held.document.value, &held.partition) < moved.stamp
        {
            // those who read from this node hear it, too
            self.seq += 1;
            let seq = self.seq;
            self.announce(&key, [partition.clone()], &super::here(), seq, moved.stamp)?;
            self.notify(partition.clone(), &key, seq, moved.stamp);
            self.let_go(&key)?;
        }
        Ok(())
    }

    /// A record that is not here is not in the partition either. Those who read from this node may have saved in it since they
    /// heard so, and have to believe what decided against that.
    fn pass_on(&mut self, key: &Key, moved: &Moved, partition: &Partition) -> Result<(), Halt> {
        let mut left = self.left(key)?;
        if !left.contains(partition) && self.waiting(key)?.is_empty() {
            return Ok(());
        }
        self.seq += 1;
        left.insert(partition.clone());
        self.facts.left.insert(key.clone(), left);
        self.news.moved.insert((partition.clone(), key.clone()), Some((self.seq, moved.stamp)));
        self.head(partition, self.seq);
        self.notify(partition.clone(), key, self.seq, moved.stamp);
        Ok(())
    }

    /// A chunk is in: that is remembered with it, and there is no cursor before the last.
    pub(super) fn copied(&mut self, page: &PulledPage, copying: &Copying) -> Result<(), Halt> {
        self.shift_of(&page.partition);
        self.put_local((COPYING.into(), page.partition.to_string()), Some(json!(copying)));
        Ok(())
    }

    /// The page is in: the cursor moves with it. Whoever has a cursor copies no more.
    pub(super) fn reach(&mut self, page: &PulledPage) -> Result<(), Halt> {
        self.shift_of(&page.partition);
        self.put_local((COPYING.into(), page.partition.to_string()), None);
        self.put_local((CURSOR.into(), page.partition.to_string()), Some(json!(page.cursor)));
        Ok(())
    }

    /// Keeps a row as it came, so that the cursor may pass and nothing is lost.
    fn set_aside(&mut self, row: &Row, page: &PulledPage, why: &str) -> Result<(), Halt> {
        let key = format!("{}/{}/{}", row.type_name, row.id, row.seq);
        let value = json!({"partition": page.partition, "row": row, "dictionary": page.dictionary, "why": why});
        self.put_local((SET_ASIDE.into(), key), Some(value));
        Ok(())
    }
}

/// What people shall read of what came.
fn lines(before: &Held, after: &Held, changed: &[Path], seq: u64, now: i64) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut told: BTreeMap<Path, Stamp> = BTreeMap::new();
    for path in changed {
        let latest = told.entry(told_at(path)).or_default();
        *latest = (*latest).max(decided(&after.state, path));
    }
    for (path, by) in &told {
        let by = *by;
        let mut line = |act, stamp, old: Option<&Value>, new: Option<&Value>| {
            lines.push(Line {
                seq,
                stamp,
                path: path.clone(),
                act: Some(act),
                old: old.cloned(),
                new: new.cloned(),
                replaced: Stamp::NEVER,
                seen_at: now,
            });
        };
        if path.is_root() {
            let bin = |held: &Held| held.state.bin.clone().map(|bin| (bin.binned, bin.stamp));
            if let Some((binned, stamp)) = bin(after).filter(|_| bin(before) != bin(after)) {
                line(if binned { EffectKind::Binned } else { EffectKind::Restored }, stamp, None, None);
            }
            if before.state.stamp_at(path) == after.state.stamp_at(path) {
                continue;
            }
        }
        let (old, new) = (before.document.get(path), after.document.get(path));
        if !same(old, new) {
            line(EffectKind::Changed, by, old, new);
        } else if is_item(path) && order(before, path) != order(after, path) {
            line(EffectKind::Moved, order(after, path), None, None);
        }
    }
    lines
}

fn order(held: &Held, path: &Path) -> Stamp {
    held.state.place(path).and_then(|place| place.order.as_ref()).map_or(Stamp::NEVER, |order| order.stamp)
}

fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => canonical::equal(a, b),
        _ => false,
    }
}
