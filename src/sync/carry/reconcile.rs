//! One stretch of bringing a partition together with the hub's, carried out to its end.

use std::collections::{BTreeMap, BTreeSet};

use super::Carrier;
use crate::domain::feed::Cursor;
use crate::domain::ids::{Epoch, Partition, RecordId};
use crate::domain::protocol::Failure;
use crate::domain::reconcile::{
    Compared, Differences, Fetch, Hashed, MAX_LISTED, MAX_RANGES, MAX_ROWS, Mark, Offer, RANGE_ROWS, Range, Reconcile,
};
use crate::domain::record::pack::{Dictionary, Values, pack};
use crate::domain::save::Save;
use crate::domain::session::{Event, Walk};
use crate::store::{PulledPage, Request, Row, Store, StoreError};

/// How many of this node's records a stretch goes over.
const STRETCH: usize = MAX_RANGES * RANGE_ROWS;

impl Carrier {
    pub(super) async fn reconcile(
        &self,
        partition: Partition,
        epoch: Epoch,
        walk: Walk,
        push_bytes: usize,
    ) -> Result<Event, Failure> {
        let mut own = self.store.hashes(&partition, walk.from.as_ref(), None, STRETCH + 1).await?;
        let mut next = own.get(STRETCH).map(|row| row.mark.clone());
        own.truncate(STRETCH);
        let ranges = ranges(walk.from.clone(), next.clone(), &own);
        let asked = Reconcile { partition: partition.clone(), epoch, ranges };
        let answer = self.transport.reconcile(&asked).await?;
        if answer.ranges.len() != asked.ranges.len() {
            return Err(Failure::Faulty("the hub answered about other ranges than were sent".into()));
        }
        let begun = walk.begun.unwrap_or(Cursor { epoch, base: answer.head, after: answer.head, tag: answer.tag });
        let mut wanted = Vec::new();
        let mut offered = Vec::new();
        for (range, compared) in asked.ranges.iter().zip(answer.ranges) {
            let Compared::Rows(listing) = compared else { continue };
            let is_after = |mark: &Mark| range.from.as_ref().is_none_or(|from| from <= mark);
            let end = listing.to.as_ref().or(range.to.as_ref());
            let is_before = |mark: &Mark| end.is_none_or(|end| mark < end);
            let fits = |row: &Hashed| is_after(&row.mark) && is_before(&row.mark);
            let goes_on = listing.to.as_ref().is_none_or(|to| range.from.as_ref().is_none_or(|from| from < to));
            let is_ordered = listing.rows.is_sorted_by(|a, b| a.mark < b.mark);
            if listing.rows.len() > MAX_LISTED || !listing.rows.iter().all(fits) || !goes_on || !is_ordered {
                return Err(Failure::Faulty("the hub listed other records than were asked about".into()));
            }
            let mine: Vec<Hashed> = own.iter().filter(|row| fits(row)).cloned().collect();
            let differences: Differences = listing.differences(&mine);
            wanted.extend(differences.wanted);
            offered.extend(differences.offered);
            if listing.to.is_some() {
                // the hub has more than fits; what is behind is looked at again from there
                next = listing.to;
                break;
            }
        }
        // first what is here, as it is: once the hub's is joined, a value that lost against it is gone, and nobody was told
        self.offer(&partition, epoch, offered, push_bytes).await?;
        self.fetch(&partition, epoch, &wanted).await?;
        if next.is_none() {
            let (rows, moved, dictionary) = Default::default();
            let page = PulledPage { partition: partition.clone(), rows, moved, cursor: begun, dictionary };
            self.store.write(Request::Join { page, now: self.now() }).await?;
        }
        Ok(Event::Reconciled { partition, begun, next })
    }

    /// Gets these records and joins them. The cursor stays where it is until all is done.
    async fn fetch(&self, partition: &Partition, epoch: Epoch, wanted: &[Hashed]) -> Result<(), Failure> {
        let mut marks: Vec<Mark> = wanted.iter().map(|row| row.mark.clone()).collect();
        while !marks.is_empty() {
            let asked = Fetch { partition: partition.clone(), epoch, marks };
            let fetched = self.transport.fetch(&asked).await?;
            marks = asked.marks;
            if fetched.looked_at == 0 {
                return Err(Failure::Faulty("the hub does not look at what it is asked for".into()));
            }
            marks.drain(..fetched.looked_at.min(marks.len()));
            let held = self.held().await?.into_iter().find(|holding| holding.partition == *partition);
            let page = PulledPage {
                partition: partition.clone(),
                rows: fetched.rows,
                moved: Vec::new(),
                cursor: held.and_then(|holding| holding.cursor).unwrap_or_default(),
                dictionary: fetched.dictionary,
            };
            self.store.write(Request::Join { page, now: self.now() }).await?;
        }
        Ok(())
    }

    /// Gives the hub the records of these saves, of which it has nothing: it was put back to before they came.
    pub(super) async fn give_whole(
        &self,
        epoch: Epoch,
        saves: impl Iterator<Item = &Save>,
        push_bytes: usize,
    ) -> Result<(), Failure> {
        let marks = saves.flat_map(|save| &save.records);
        let marks: BTreeSet<Mark> =
            marks.map(|record| Mark { type_name: record.type_name.clone(), id: record.id }).collect();
        if marks.is_empty() {
            return Ok(());
        }
        let unsent = self.store.outbox(usize::MAX).await?.into_iter().filter(|unsent| !unsent.checked);
        // in these the time is not right yet; their saves are answered alike
        let untimed: BTreeSet<RecordId> =
            unsent.flat_map(|unsent| unsent.save.records).map(|record| record.id).collect();
        let marks = marks.into_iter().filter(|mark| !untimed.contains(&mark.id));
        for (partition, marks) in by_partition(&*self.store, marks).await? {
            self.offer(&partition, epoch, marks, push_bytes).await?;
        }
        Ok(())
    }

    /// Gives these records to the hub.
    async fn offer(
        &self,
        partition: &Partition,
        epoch: Epoch,
        marks: Vec<Mark>,
        push_bytes: usize,
    ) -> Result<(), Failure> {
        let mut marks = marks.into_iter().peekable();
        while marks.peek().is_some() {
            let offer = next_offer(&*self.store, partition, epoch, &mut marks, push_bytes).await?;
            if offer.rows.is_empty() {
                continue;
            }
            for refused in self.transport.offer(&offer).await?.refused {
                let Mark { type_name, id } = refused.mark;
                tracing::warn!("the hub does not take {type_name} {id} back: {}", refused.reason);
            }
        }
        Ok(())
    }
}

/// Where the records are of which this node has something.
pub(in crate::sync) async fn by_partition(
    store: &dyn Store,
    marks: impl Iterator<Item = Mark>,
) -> Result<BTreeMap<Partition, Vec<Mark>>, StoreError> {
    let mut found: BTreeMap<Partition, Vec<Mark>> = BTreeMap::new();
    for mark in marks {
        if let Some(held) = store.record(&mark.type_name, mark.id).await? {
            found.entry(held.partition).or_default().push(mark);
        }
    }
    Ok(found)
}

/// The next of these records, whole, about `bytes` of them.
pub(in crate::sync) async fn next_offer(
    store: &dyn Store,
    partition: &Partition,
    epoch: Epoch,
    marks: &mut impl Iterator<Item = Mark>,
    bytes: usize,
) -> Result<Offer, StoreError> {
    let mut offer = Offer { partition: partition.clone(), epoch, dictionary: Dictionary::default(), rows: Vec::new() };
    let mut size = 0;
    while size < bytes
        && offer.rows.len() < MAX_ROWS
        && let Some(Mark { type_name, id }) = marks.next()
    {
        let Some(held) = store.record(&type_name, id).await? else { continue };
        let state = pack(&held.state, held.seq, Values::Inline, &mut offer.dictionary);
        size += state.len();
        offer.rows.push(Row { type_name, id, seq: held.seq, state });
    }
    Ok(offer)
}

/// Ranges of a few records each, from `from` to before `to`.
fn ranges(from: Option<Mark>, to: Option<Mark>, rows: &[Hashed]) -> Vec<Range> {
    if rows.is_empty() {
        return vec![Range::of(from, to, rows)];
    }
    let mut ranges = Vec::new();
    let mut from = from;
    let mut chunks = rows.chunks(RANGE_ROWS).peekable();
    while let Some(chunk) = chunks.next() {
        let end = chunks.peek().and_then(|chunk| chunk.first()).map(|row| row.mark.clone()).or_else(|| to.clone());
        ranges.push(Range::of(from.take(), end.clone(), chunk));
        from = end;
    }
    ranges
}
