//! One record's part of a save.

use std::cell::Cell;

use super::{Draft, Halt, Key, Line, Need, missing};
use crate::domain::ids::{RevisionId, TypeName};
use crate::domain::path::Path;
use crate::domain::record::{Applied, Change, EffectKind, State, Written, is_difference};
use crate::domain::stamp::Stamp;
use crate::store::Flags;

pub(super) struct Part<'a> {
    pub key: &'a Key,
    pub changes: &'a [Change],
    pub stamp: Stamp,
    pub revision: Option<RevisionId>,
}

impl Draft<'_> {
    /// Applies it, and if that makes the record, all that waited for it. `provisional`: whether what loses by it is for
    /// this node to show and for the hub to judge.
    pub(super) fn apply(&mut self, part: &Part, now: i64, provisional: bool) -> Result<(), Halt> {
        let is_new = self.held(part.key)?.is_none();
        self.apply_one(part, now, provisional)?;
        if is_new { self.come(part.key, now, provisional) } else { Ok(()) }
    }

    /// Applies what waited for a record that came.
    pub(super) fn come(&mut self, key: &Key, now: i64, provisional: bool) -> Result<(), Halt> {
        let mut waiting = self.waiting(key)?;
        if waiting.is_empty() {
            return Ok(());
        }
        waiting.sort_by_key(|save| save.records.first().map(|record| save.stamp(record)));
        for save in &waiting {
            for record in &save.records {
                let stamp = save.stamp(record);
                let part = Part { key, changes: &record.changes, stamp, revision: record.revision };
                self.apply_one(&part, now, provisional)?;
            }
        }
        self.facts.waiting.insert(key.clone(), Vec::new());
        self.news.came.insert(key.clone());
        if provisional && self.unsent(key)?.is_empty() {
            // the hub has judged them already
            self.drop_provisional()?;
        }
        Ok(())
    }

    pub(super) fn apply_one(&mut self, part: &Part, now: i64, provisional: bool) -> Result<(), Halt> {
        let Part { key, changes, stamp, revision } = *part;
        let before = self.held(key)?.cloned();
        if let Some(shadow) = self.shadow(key)? {
            return self.apply_beside(part, before, shadow, now);
        }
        let mut state = before.as_ref().map_or_else(State::default, |held| held.state.clone());
        let seq = self.seq + 1;
        let unknown = Cell::new(false);
        let was_seen = |path: &Path, stamp: Stamp| {
            self.is_named(key, path, stamp).unwrap_or_else(|| {
                unknown.set(true);
                false
            })
        };
        let applied = state.apply(changes, stamp, seq, &was_seen);
        if unknown.get() {
            return missing(Need::Named(key.clone()));
        }
        let written_before = state.written;
        if let Some(revision) = revision {
            state.note_revision(Written { stamp, arrival: seq, revision });
        }
        let rewritten = state.written != written_before;
        if before.is_some() {
            self.write_lines(key, stamp, &applied, now)?;
        }
        if applied.changed || rewritten {
            let own = before.as_ref().is_some_and(|held| held.flags.has(Flags::PROVISIONAL));
            // an edge leaves that to the hub, where the record may have moved otherwise
            let document = state.document();
            if self.keep(key, before.as_ref(), (state, document), stamp, own)? && !provisional {
                self.move_entries(key)?;
            }
        }
        let overruled = !applied.changed || applied.effects.iter().any(|effect| effect.act == EffectKind::Overruled);
        // on an edge that serves others, too: whoever wrote it below holds the record where it would be by that
        if overruled && before.is_some() {
            self.announce_overruled(part)?;
        }
        self.tell(part, &applied, seq, now, provisional)
    }

    /// Makes the entries of what lost, and closes those that the write had seen.
    pub(super) fn tell(
        &mut self,
        part: &Part,
        applied: &Applied,
        seq: u64,
        now: i64,
        provisional: bool,
    ) -> Result<(), Halt> {
        let Part { key, stamp, .. } = *part;
        if key.0.as_str() == TypeName::LOST {
            return Ok(());
        }
        for lost in applied.lost.iter().filter(|lost| !is_difference(&lost.path)) {
            let made = self.lose(key, lost, provisional)?;
            if made && !applied.changed && lost.stamp == stamp {
                // nothing of the save came in, so this is the only trace of what it said
                let line = Line {
                    seq,
                    stamp,
                    path: lost.path.clone(),
                    act: Some(EffectKind::Overruled),
                    old: self.held(key)?.and_then(|held| held.document.get(&lost.path).cloned()),
                    new: lost.value.clone(),
                    replaced: Stamp::NEVER,
                    seen_at: now,
                };
                self.news.lines.push((key.clone(), line));
            }
        }
        self.close_seen(key, &applied.seen, stamp)?;
        if applied.changed {
            self.close_own(key, part.changes, stamp)?;
        }
        if !provisional {
            applied.lost.iter().try_for_each(|lost| self.put_again(key, lost, now))?;
        }
        Ok(())
    }

    /// Writes down what people shall read of it, and beside that which writes its author had seen.
    pub(super) fn write_lines(&mut self, key: &Key, stamp: Stamp, applied: &Applied, now: i64) -> Result<(), Halt> {
        let seq = self.seq + 1;
        let hidden = |path: &Path, replaced| Line {
            seq,
            stamp,
            path: path.clone(),
            act: None,
            old: None,
            new: None,
            replaced,
            seen_at: now,
        };
        let shown = applied.effects.iter().map(|effect| Line {
            act: Some(effect.act),
            old: effect.old.clone(),
            new: effect.new.clone(),
            ..hidden(&effect.path, effect.replaced)
        });
        let mut lines: Vec<Line> = shown.collect();
        for (path, seen) in &applied.seen {
            if *seen == Stamp::NEVER || lines.iter().any(|line| line.path == *path && line.replaced == *seen) {
                continue;
            }
            // a save that arrives again says nothing new
            let known = if applied.changed { false } else { self.known(key, path, *seen)? };
            if !known {
                lines.push(hidden(path, *seen));
            }
        }
        self.news.lines.extend(lines.into_iter().map(|line| (key.clone(), line)));
        Ok(())
    }

    fn known(&self, key: &Key, path: &Path, stamp: Stamp) -> Result<bool, Halt> {
        self.is_named(key, path, stamp).map_or_else(|| missing(Need::Named(key.clone())), Ok)
    }
}
