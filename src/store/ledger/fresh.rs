//! Records of a chunk of which nothing is here: their books are kept all at once.
//!
//! What it comes to is what [`Draft::join`](super::Draft) does for a record that is new, and no more than that; a row that
//! is anything else goes that way.

use super::keep::{flags_of, partition_of};
use super::{COUNTED, Halt, Key, Ledger, Need, Shift};
use crate::domain::ids::{Partition, RecordId, TypeName};
use crate::domain::record::hash::Hash;
use crate::store::ready::{Ready, ReadyRow};
use crate::store::{Flags, Held, Notice, PulledPage};

/// A record that is to be written down, and was not here before.
#[derive(Debug)]
pub(in crate::store) struct Fresh {
    pub key: Key,
    pub partition: Partition,
    pub seq: u64,
    pub flags: Flags,
    ready: Ready,
    at: usize,
}

impl Fresh {
    pub fn row(&self) -> &ReadyRow {
        self.ready.rows[self.at].as_ref().expect("only rows that are ready become fresh ones")
    }

    pub fn held(&self) -> Held {
        let (state, document) = self.row().numbered(self.seq);
        let (type_name, id) = self.key.clone();
        Held { type_name, id, partition: self.partition.clone(), state, document, seq: self.seq, flags: self.flags }
    }
}

/// From the first to the last record of a type in a page.
pub(in crate::store) type Span = (TypeName, RecordId, RecordId);

/// The spans of a page that is in order; `None` if it is not, or holds what touches other records.
fn spans(page: &PulledPage) -> Option<Vec<Span>> {
    let in_order = page.rows.windows(2).all(|pair| {
        let [one, other] = pair else { return true };
        (&one.type_name, one.id) < (&other.type_name, other.id)
    });
    let is_plain = page.moved.is_empty() && page.rows.iter().all(|row| row.type_name.as_str() != TypeName::LOST);
    if !in_order || !is_plain {
        return None;
    }
    let mut spans: Vec<Span> = Vec::new();
    for row in &page.rows {
        match spans.last_mut() {
            Some((type_name, _, last)) if *type_name == row.type_name => *last = row.id,
            _ => spans.push((row.type_name.clone(), row.id, row.id)),
        }
    }
    Some(spans)
}

impl Ledger<'_> {
    /// What has to be known to tell whether anything is here that the rows of a chunk could meet; `None` if the rows have to
    /// be looked at one by one anyhow.
    pub(super) fn gaps_of(&self, page: &PulledPage) -> Option<Vec<Span>> {
        let quiet = self.quiet.waiting && self.quiet.moved && self.quiet.entries;
        let untouched = self.facts.records.is_empty() && self.news.dirty.is_empty();
        if quiet && untouched { spans(page) } else { None }
    }

    /// Takes in the rows of a chunk that are ready, if nothing is here that they could meet. Gives the places of the others.
    pub(super) fn take_fresh(
        &mut self,
        page: &PulledPage,
        ready: &Ready,
        now: i64,
    ) -> Result<Option<Vec<usize>>, Halt> {
        let Some(spans) = self.gaps_of(page) else { return Ok(None) };
        self.require(spans.iter().cloned().map(Need::Gap).collect())?;
        if !spans.iter().all(|span| self.facts.gaps.get(span).copied().unwrap_or(false)) {
            return Ok(None);
        }
        let is_done = ready.rows.len() == page.rows.len();
        let ready =
            if is_done { ready.clone() } else { Ready::of(&page.rows, &page.dictionary, &page.partition, None) };
        let is_judged = ready.judged_by.is_some() && ready.judged_by == self.judge.version();
        let mut rest = Vec::new();
        let mut tallies: Vec<((TypeName, u8), i64)> = Vec::new();
        let mut shifts: Vec<(Partition, Shift)> = Vec::new();
        for (at, row) in page.rows.iter().enumerate() {
            let Some(made) = &ready.rows[at] else {
                rest.push(at);
                continue;
            };
            let type_name = &row.type_name;
            self.seq += 1;
            self.clock.observe(now, made.latest.time);
            let seq = self.seq;
            let (flags, partition) = match made.judged.as_ref().filter(|_| is_judged) {
                Some((flags, partition)) => (*flags, partition.clone()),
                None => {
                    let shown = made.shown();
                    let told = (!self.judge.knows(type_name)).then_some(&page.partition);
                    let flags = flags_of(self.judge, type_name, &made.state, &shown, Flags::default());
                    (flags, partition_of(self.judge, told, type_name, &shown))
                }
            };
            match tallies.last_mut() {
                Some(((of, kind), count)) if of == type_name && *kind == flags.0 & COUNTED.0 => *count += 1,
                _ => tallies.push(((type_name.clone(), flags.0 & COUNTED.0), 1)),
            }
            match shifts.last_mut() {
                Some((of, shift)) if *of == partition => shift.add(seq, made.hash),
                _ => {
                    let mut shift = Shift::default();
                    shift.add(seq, made.hash);
                    shifts.push((partition.clone(), shift));
                }
            }
            let by = made.latest;
            self.news.notices.push(Notice {
                partition: partition.clone(),
                type_name: type_name.clone(),
                id: row.id,
                seq,
                person: by.author.person,
                node: by.author.node,
                at: by.time,
            });
            let key = (type_name.clone(), row.id);
            self.news.fresh.push(Fresh { key, partition, seq, flags, ready: ready.clone(), at });
        }
        for (tally, count) in tallies {
            *self.news.tallies.entry(tally).or_default() += count;
        }
        for (partition, shift) in shifts {
            self.news.shift(partition, shift);
        }
        Ok(Some(rest))
    }

    /// Makes them records like all others, for a request that comes after them in the same group.
    pub(super) fn settle_fresh(&mut self) {
        for fresh in std::mem::take(&mut self.news.fresh) {
            self.news.dirty.insert(fresh.key.clone());
            self.facts.records.insert(fresh.key.clone(), Some(fresh.held()));
        }
    }
}

impl Shift {
    fn add(&mut self, seq: u64, hash: Hash) {
        self.head = seq;
        self.records += 1;
        self.digest = self.digest.wrapping_add(hash.0);
    }
}
