//! What one step of the ledger reads and writes: over what is known, and taken over or dropped as a whole.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Facts, Halt, Key, Need, News, Quiet};
use crate::domain::clock::Clock;
use crate::domain::ids::{Partition, RecordId, SaveId};
use crate::domain::json;
use crate::domain::path::Path;
use crate::domain::record::is_difference;
use crate::domain::save::Save;
use crate::domain::stamp::Stamp;
use crate::store::{Held, Judge, LocalChange, Outcome};

/// One step's changes over what is known, taken over or dropped as a whole.
pub(super) struct Draft<'a> {
    pub(super) judge: &'a dyn Judge,
    /// Where the hub says that the record is, if its type is not here yet.
    pub(super) told: Option<Partition>,
    pub(super) quiet: Quiet,
    pub(super) base: &'a Facts,
    pub(super) past: &'a News,
    pub(super) seq: u64,
    pub(super) clock: Clock,
    pub(super) facts: Facts,
    pub(super) news: News,
}

pub(super) fn missing<T>(need: Need) -> Result<T, Halt> {
    Err(Halt::Missing(vec![need]))
}

impl Draft<'_> {
    pub(super) fn held(&self, key: &Key) -> Result<Option<&Held>, Halt> {
        match self.facts.records.get(key).or_else(|| self.base.records.get(key)) {
            Some(held) => Ok(held.as_ref()),
            None => missing(Need::Record(key.clone())),
        }
    }

    pub(super) fn waiting(&self, key: &Key) -> Result<Vec<Save>, Halt> {
        match self.facts.waiting.get(key).or_else(|| self.base.waiting.get(key)) {
            Some(saves) => Ok(saves.clone()),
            None if self.quiet.waiting => Ok(Vec::new()),
            None => missing(Need::Waiting(key.clone())),
        }
    }

    pub(super) fn entries(&self, key: &Key) -> Result<BTreeMap<RecordId, bool>, Halt> {
        match self.facts.entries.get(key).or_else(|| self.base.entries.get(key)) {
            Some(entries) => Ok(entries.clone()),
            None if self.quiet.entries => Ok(BTreeMap::new()),
            None => missing(Need::Entries(key.clone())),
        }
    }

    pub(super) fn unsent(&self, key: &Key) -> Result<BTreeSet<SaveId>, Halt> {
        match self.facts.unsent.get(key).or_else(|| self.base.unsent.get(key)) {
            Some(saves) => Ok(saves.clone()),
            None if self.quiet.unsent => Ok(BTreeSet::new()),
            None => missing(Need::Unsent(key.clone())),
        }
    }

    pub(super) fn sent(&self, save: SaveId) -> Result<Option<Vec<Key>>, Halt> {
        match self.facts.sent.get(&save).or_else(|| self.base.sent.get(&save)) {
            Some(keys) => Ok(keys.clone()),
            None if self.quiet.unsent => Ok(None),
            None => missing(Need::Sent(save)),
        }
    }

    pub(super) fn queued(&self, save: SaveId) -> Result<Option<&Save>, Halt> {
        match self.facts.queued.get(&save).or_else(|| self.base.queued.get(&save)) {
            Some(queued) => Ok(queued.as_ref()),
            None if self.quiet.unsent => Ok(None),
            None => missing(Need::Queued(save)),
        }
    }

    pub(super) fn left(&self, key: &Key) -> Result<BTreeSet<Partition>, Halt> {
        match self.facts.left.get(key).or_else(|| self.base.left.get(key)) {
            Some(partitions) => Ok(partitions.clone()),
            None if self.quiet.moved => Ok(BTreeSet::new()),
            None => missing(Need::Left(key.clone())),
        }
    }

    pub(super) fn provisional(&self) -> Result<BTreeSet<RecordId>, Halt> {
        match self.facts.provisional.as_ref().or(self.base.provisional.as_ref()) {
            Some(entries) => Ok(entries.clone()),
            None if self.quiet.entries => Ok(BTreeSet::new()),
            None => missing(Need::Provisional),
        }
    }

    /// Whether some write known here names that write as seen; `None` if what is on disk has to be looked at first.
    pub(super) fn is_named(&self, key: &Key, path: &Path, stamp: Stamp) -> Option<bool> {
        let recent = self.past.lines.iter().chain(&self.news.lines);
        // a difference has a place of its own: whoever names that has counted it, whatever clock it was stamped by then
        let counts = is_difference(path);
        // and a save says the same under whatever time it came
        let is_it = |of: &Path, replaced: Stamp| {
            of == path && (replaced.is_same_save(&stamp) || (counts && replaced != Stamp::NEVER))
        };
        if recent.into_iter().any(|(of, line)| of == key && is_it(&line.path, line.replaced)) {
            return Some(true);
        }
        let named = self.base.named.get(key)?;
        let of_place = named.range((path.clone(), Stamp::NEVER)..).take_while(|(of, _)| of == path);
        Some(of_place.into_iter().any(|(of, replaced)| is_it(of, *replaced)))
    }

    pub(super) fn put(&mut self, held: Held) {
        let key = (held.type_name.clone(), held.id);
        self.news.dirty.insert(key.clone());
        self.facts.records.insert(key, Some(held));
    }

    /// All or none: documents of this node alone.
    pub(super) fn local(&mut self, changes: &[LocalChange]) -> Result<Outcome, Halt> {
        for (index, change) in changes.iter().enumerate() {
            let key = (change.kind.to_owned(), change.key.clone());
            if let Some(expected) = &change.expect {
                let same = match (self.local_now(&key)?, expected) {
                    (None, None) => true,
                    (Some(now), Some(expected)) => json::equal(now, expected),
                    _ => false,
                };
                if !same {
                    return Ok(Outcome::Unexpected { index });
                }
            }
            self.put_local(key, change.value.clone());
        }
        Ok(Outcome::Done)
    }

    pub(super) fn local_now(&self, key: &(String, String)) -> Result<Option<&Value>, Halt> {
        match self.facts.locals.get(key).or_else(|| self.base.locals.get(key)) {
            Some(now) => Ok(now.as_ref()),
            None => missing(Need::Local(key.0.clone(), key.1.clone())),
        }
    }

    pub(super) fn put_local(&mut self, key: (String, String), value: Option<Value>) {
        self.facts.locals.insert(key.clone(), value.clone());
        self.news.locals.insert(key, value);
    }
}
