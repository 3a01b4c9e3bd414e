//! The first copy of a large partition: which chunks there are, then one after the other, then on by pulling.
//!
//! It is only for who holds nothing of the partition: chunks tell what is there, not what left. Whatever goes wrong with
//! them, the partition can always be pulled page by page from the beginning.

use super::lane::{FirstCopy, Lane};
use super::{Session, Step};
use crate::domain::feed::{Cursor, Digest};
use crate::domain::ids::{Epoch, Partition};
use crate::domain::protocol::Failure;
use crate::domain::snapshot::ChunkRef;

/// After so many failures, or chunks that were gone, in a row it is pulled page by page.
const TRIES: u32 = 5;

impl Lane {
    /// What is to be done for the first copy; `None` if the partition is pulled.
    pub(super) fn copy_step(&self, partition: &Partition) -> Option<Step> {
        let (partition, epoch) = (partition.clone(), self.cursor.epoch);
        match &self.copy {
            FirstCopy::No => None,
            FirstCopy::Wanted => Some(Step::List { partition, epoch }),
            FirstCopy::Under { head, left } => {
                let chunk = left.front()?.clone();
                let then = left.get(1).map(|chunk| chunk.hash);
                Some(Step::Copy { partition, epoch, head: *head, chunk, then })
            }
        }
    }

    fn arrive(&mut self, cursor: Cursor) {
        self.copy = FirstCopy::No;
        self.cursor = cursor;
        if self.is_complete() {
            self.waiting = 0;
        }
    }
}

impl Session {
    pub(super) fn listed(
        &mut self,
        partition: &Partition,
        (epoch, head, digest): (Epoch, u64, Digest),
        left: Vec<ChunkRef>,
        cursor: Option<Cursor>,
    ) {
        let Some(lane) = self.lanes.get_mut(partition).filter(|lane| lane.cursor.epoch == epoch) else { return };
        lane.retry.succeed();
        lane.trouble = None;
        // a manifest may be older than what was heard since
        if head > lane.head {
            lane.hear(head, digest);
        }
        match cursor {
            Some(cursor) => lane.arrive(cursor),
            None => {
                lane.waiting = left.iter().map(|chunk| chunk.records).sum();
                lane.copy = FirstCopy::Under { head, left: left.into() };
            }
        }
    }

    pub(super) fn copied(&mut self, partition: &Partition, chunk: &ChunkRef, cursor: Option<Cursor>, now: i64) {
        self.in_contact(now);
        self.pulls += 1;
        let Some(lane) = self.lanes.get_mut(partition) else { return };
        lane.served = self.pulls;
        lane.retry.succeed();
        lane.trouble = None;
        lane.gone = 0;
        lane.waiting = lane.waiting.saturating_sub(chunk.records);
        if let FirstCopy::Under { left, .. } = &mut lane.copy {
            left.retain(|other| other.hash != chunk.hash);
        }
        if let Some(cursor) = cursor.filter(|cursor| cursor.epoch == lane.cursor.epoch) {
            lane.arrive(cursor);
        }
        self.report(now);
    }

    pub(super) fn copy_failed(&mut self, partition: &Partition, failure: Failure, now: i64, random: u64) {
        if matches!(failure, Failure::ForeignEpoch | Failure::OutOfScope(_)) {
            self.greeted = false;
        }
        let Some(lane) = self.lanes.get_mut(partition) else { return };
        let asked = match &failure {
            Failure::Busy { retry_after, .. } => *retry_after,
            _ => None,
        };
        lane.retry.fail(now, random, asked);
        lane.trouble = Some(failure.to_string());
        match failure {
            Failure::NoChunk(_) if lane.copy != FirstCopy::Wanted && lane.gone < TRIES => {
                lane.gone += 1;
                lane.copy = FirstCopy::Wanted;
                // the hub is well: what is joined stays joined, and the rest is asked for anew
                lane.retry.hurry();
                lane.trouble = None;
            }
            Failure::NoChunk(_) => lane.copy = FirstCopy::No,
            Failure::Busy { .. } => {}
            _ if lane.retry.failures() >= TRIES => lane.copy = FirstCopy::No,
            _ => {}
        }
        if lane.copy == FirstCopy::No {
            lane.retry.succeed();
            lane.trouble = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::protocol::{Head, Welcome};
    use crate::domain::session::{Doing, Event, Holding};
    use crate::domain::snapshot::ChunkHash;

    const EPOCH: Epoch = Epoch(1);

    fn notes() -> Partition {
        Partition("note".into())
    }

    fn chunk(number: u8) -> ChunkRef {
        ChunkRef { hash: ChunkHash([number; 32]), bytes: 9, records: 4_000 }
    }

    /// A hub with 12,000 notes, up to number 50; this node holds so many of them.
    fn greeted(held: Option<Holding>, epoch: Epoch) -> Session {
        let mut session = Session::new(0);
        assert_eq!(session.next(0), Step::Hello);
        session.handle(Event::Welcomed { welcome: welcome(epoch), held: held.into_iter().collect() }, 0, 0);
        session
    }

    fn welcome(epoch: Epoch) -> Welcome {
        let notes = Head { id: notes(), head: 50, digest: Digest(50), newer: 12_000, put_back: false, forgets: false };
        crate::domain::session::tests::welcome(epoch, vec![notes])
    }

    fn holding(records: u64, cursor: Option<Cursor>, copying: bool) -> Holding {
        Holding { partition: notes(), cursor, records, digest: Digest(0), copying }
    }

    fn list(session: &mut Session, head: u64, chunks: &[u8], now: i64) {
        assert_eq!(session.next(now), Step::List { partition: notes(), epoch: EPOCH });
        let left = chunks.iter().map(|number| chunk(*number)).collect();
        let (partition, digest) = (notes(), Digest(u128::from(head)));
        session.handle(Event::Listed { partition, epoch: EPOCH, head, digest, left, cursor: None }, now, 0);
    }

    /// Takes the next chunk; says which it was, of which manifest, and whether it was the last.
    fn copy(session: &mut Session, now: i64) -> (u8, u64, bool) {
        let Step::Copy { partition, epoch, head, chunk, then } = session.next(now) else {
            panic!("a chunk was expected, not {:?}", session.next(now))
        };
        let is_last = then.is_none();
        let cursor = is_last.then_some(Cursor { epoch, base: head, after: head, tag: None });
        let number = chunk.hash.0[0];
        session.handle(Event::Copied { partition, chunk, cursor }, now, 0);
        (number, head, is_last)
    }

    fn fail(session: &mut Session, failure: Failure, now: i64) {
        let doing = match session.next(now) {
            Step::List { partition, .. } => Doing::List(partition),
            Step::Copy { partition, .. } => Doing::Copy(partition),
            other => panic!("{other:?} has nothing to do with chunks"),
        };
        session.handle(Event::Failed { doing, failure }, now, 0);
    }

    fn pulls_from(session: &mut Session, now: i64) -> u64 {
        match session.next(now) {
            Step::Pull { cursor, .. } => cursor.base,
            other => panic!("a pull was expected, not {other:?}"),
        }
    }

    #[test]
    fn chunk_after_chunk_then_what_came_since_then_digests() {
        let mut session = greeted(None, EPOCH);
        list(&mut session, 40, &[1, 2], 1);
        assert_eq!(session.status().pending_in, 8_000);
        assert_eq!(copy(&mut session, 1), (1, 40, false));
        assert_eq!(session.status().pending_in, 4_000);
        assert_eq!(copy(&mut session, 1), (2, 40, true));
        assert_eq!(pulls_from(&mut session, 1), 40, "the manifest was older than what the hub told");
        let mut session = greeted(None, EPOCH);
        list(&mut session, 60, &[1], 1);
        copy(&mut session, 1);
        assert_eq!(session.next(1), Step::Compare);
    }

    #[test]
    fn only_who_holds_nothing_or_was_copying_copies() {
        let cursor = |epoch, base| Some(Cursor { epoch, base, after: base, tag: None });
        for (holding, copies) in [
            (holding(0, None, false), true),
            (holding(4_000, None, true), true),
            (holding(1, None, false), false),
            (holding(9, cursor(EPOCH, 3), false), false),
            (holding(9, cursor(Epoch(77), 3), false), false),
        ] {
            let mut session = greeted(Some(holding.clone()), EPOCH);
            assert_eq!(matches!(session.next(1), Step::List { .. }), copies, "{holding:?}");
        }
        let mut small = Session::new(0);
        let mut welcome = welcome(EPOCH);
        welcome.partitions[0].newer = 4_999;
        small.handle(Event::Welcomed { welcome, held: Vec::new() }, 0, 0);
        assert_eq!(pulls_from(&mut small, 1), 0);
    }

    #[test]
    fn a_chunk_that_is_gone_makes_it_ask_which_there_are_now() {
        let mut session = greeted(None, EPOCH);
        list(&mut session, 40, &[1, 2, 3], 1);
        copy(&mut session, 1);
        fail(&mut session, Failure::NoChunk("gone".into()), 1);
        list(&mut session, 60, &[4, 3], 1);
        assert_eq!(copy(&mut session, 1), (4, 60, false));
        assert_eq!(copy(&mut session, 1), (3, 60, true));
    }

    #[test]
    fn whatever_is_wrong_with_chunks_the_partition_is_pulled_in_the_end() {
        for failure in
            [Failure::Faulty("damaged".into()), Failure::NoChunk("gone".into()), Failure::Local("full".into())]
        {
            let mut session = greeted(None, EPOCH);
            let mut now = 1;
            for _ in 0..100 {
                match session.next(now) {
                    Step::List { .. } => list(&mut session, 40, &[1, 2], now),
                    Step::Copy { .. } => fail(&mut session, failure.clone(), now),
                    Step::Pull { .. } => break,
                    Step::Wait { until } => now = until.expect("it goes on"),
                    Step::Hello => {
                        session.handle(Event::Welcomed { welcome: welcome(EPOCH), held: Vec::new() }, now, 0)
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(pulls_from(&mut session, now), 0, "{failure:?}");
        }
        let mut session = greeted(None, EPOCH);
        fail(&mut session, Failure::NoChunk("this hub makes none".into()), 1);
        assert_eq!(pulls_from(&mut session, 1), 0);
    }

    #[test]
    fn a_hub_that_is_still_making_chunks_is_asked_again_and_holds_up_nothing_else() {
        let mut session = greeted(None, EPOCH);
        for now in [1, 6_001, 12_001, 18_001, 24_001, 30_001] {
            if session.next(now) == Step::Hello {
                session.handle(Event::Welcomed { welcome: welcome(EPOCH), held: Vec::new() }, now, 0);
            }
            fail(&mut session, Failure::Busy { reason: "soon".into(), retry_after: Some(5_000) }, now);
            assert!(matches!(session.next(now), Step::Wait { .. }));
        }
    }

    #[test]
    fn a_hub_that_counts_anew_is_greeted_anew() {
        let mut session = greeted(None, EPOCH);
        fail(&mut session, Failure::ForeignEpoch, 1);
        assert_eq!(session.next(1), Step::Hello);
        session.handle(Event::Welcomed { welcome: welcome(Epoch(2)), held: Vec::new() }, 1, 0);
        assert_eq!(session.next(1), Step::List { partition: notes(), epoch: Epoch(2) });
        // an answer that was still on its way
        let late = Event::Listed {
            partition: notes(),
            epoch: EPOCH,
            head: 9,
            digest: Digest(9),
            left: vec![chunk(1)],
            cursor: None,
        };
        session.handle(late, 1, 0);
        assert_eq!(session.next(1), Step::List { partition: notes(), epoch: Epoch(2) });
    }
}
