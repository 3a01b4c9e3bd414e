//! The lane of files: which part of which file travels next, told by what happened, without sockets or disk.
//!
//! It rests as long as there are records to send or to pull: files never come before them. Small ones go first, two at a time,
//! each part by itself; one that does not get on waits alone. Where each stands is asked of the hub and of the disk
//! whenever it begins, so it goes on where it was after whatever happened.

use std::collections::BTreeMap;

use super::lane::BackOff;
use crate::domain::blob::{BlobHash, HubHas, MAX_ASKED, parts};
use crate::domain::ids::Epoch;
use crate::domain::protocol::Failure;

/// So many parts are under way at once.
const AT_ONCE: usize = 2;
/// What was rejected is tried again all the same, in case somebody put it right.
const REJECTED: i64 = 300_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Up,
    Down,
}

/// What to do next; several at once, until [`BlobStep::Wait`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobStep {
    /// Find out which files have to travel.
    List,
    /// Ask the hub how it stands with these.
    Ask(Vec<BlobHash>),
    Send {
        hash: BlobHash,
        size: u64,
        part: u64,
    },
    /// `part` is the first; how far it is here is known to the disk.
    Fetch {
        hash: BlobHash,
        size: u64,
    },
    Wait {
        until: Option<i64>,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub enum BlobEvent {
    /// Whether the hub is in reach and no record waits on either side.
    Calm(bool),
    /// Something may have to travel that did not before.
    Stirred,
    Listed {
        up: Vec<(BlobHash, u64)>,
        down: Vec<(BlobHash, u64)>,
    },
    Told {
        epoch: Epoch,
        hub: Vec<(BlobHash, HubHas)>,
    },
    /// A part arrived where it goes. `None`: the whole file did.
    Moved {
        hash: BlobHash,
        next: Option<u64>,
    },
    Failed {
        doing: Option<BlobHash>,
        failure: Failure,
    },
}

#[derive(Debug, Clone)]
struct Want {
    way: Way,
    size: u64,
    /// The next part, once the hub was asked.
    next: Option<u64>,
    under_way: bool,
    retry: BackOff,
    /// The other side does not take it, or gives something else: nothing that is soon otherwise.
    rejected: bool,
    trouble: Option<String>,
}

/// Times are in milliseconds of a clock that never goes back, as those of [`super::Session`].
#[derive(Debug, Clone, Default)]
pub struct BlobLane {
    calm: bool,
    epoch: Option<Epoch>,
    wants: BTreeMap<BlobHash, Want>,
    /// Whether the list is out of date, and whether it is being made.
    dirty: bool,
    listing: bool,
    asking: bool,
    link: BackOff,
}

impl BlobLane {
    pub fn new() -> Self {
        Self { dirty: true, ..Self::default() }
    }

    /// The line of numbers of the hub that was last asked; what it had in another, it may have no more.
    pub fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// Why a file does not get on, if it does not.
    pub fn trouble(&self, hash: BlobHash) -> Option<&str> {
        self.wants.get(&hash)?.trouble.as_deref()
    }

    pub fn way(&self, hash: BlobHash) -> Option<Way> {
        self.wants.get(&hash).map(|want| want.way)
    }

    pub fn handle(&mut self, event: BlobEvent, now: i64, random: u64) {
        match event {
            BlobEvent::Calm(calm) => {
                if calm && !self.calm {
                    // the hub is there again, or has the records that refer to them now
                    self.dirty = true;
                    self.link.hurry();
                    self.wants.values_mut().filter(|want| !want.rejected).for_each(|want| want.retry.hurry());
                }
                self.calm = calm;
            }
            BlobEvent::Stirred => self.dirty = true,
            BlobEvent::Listed { up, down } => self.listed(up, down),
            BlobEvent::Told { epoch, hub } => self.told(epoch, hub, now, random),
            BlobEvent::Moved { hash, next } => {
                self.link.succeed();
                match (next, self.wants.get_mut(&hash)) {
                    (None, _) => drop(self.wants.remove(&hash)),
                    (Some(next), Some(want)) => {
                        want.under_way = false;
                        want.next = Some(next);
                        want.retry.succeed();
                        want.trouble = None;
                        want.rejected = false;
                    }
                    (Some(_), None) => {}
                }
            }
            BlobEvent::Failed { doing, failure } => self.failed(doing, &failure, now, random),
        }
    }

    fn listed(&mut self, up: Vec<(BlobHash, u64)>, down: Vec<(BlobHash, u64)>) {
        self.listing = false;
        let mut old = std::mem::take(&mut self.wants);
        let ups = up.into_iter().map(|want| (Way::Up, want));
        for (way, (hash, size)) in ups.chain(down.into_iter().map(|want| (Way::Down, want))) {
            let known = old.remove(&hash).filter(|known| known.way == way && known.size == size);
            let new = || Want {
                way,
                size,
                next: None,
                under_way: false,
                retry: BackOff::default(),
                rejected: false,
                trouble: None,
            };
            self.wants.insert(hash, known.unwrap_or_else(new));
        }
        // what is still under way ends first
        self.wants.extend(old.into_iter().filter(|(_, want)| want.under_way));
    }

    fn told(&mut self, epoch: Epoch, hub: Vec<(BlobHash, HubHas)>, now: i64, random: u64) {
        self.asking = false;
        self.link.succeed();
        if self.epoch.replace(epoch).is_some_and(|known| known != epoch) {
            self.dirty = true;
        }
        for (hash, has) in hub {
            let Some(want) = self.wants.get_mut(&hash) else { continue };
            match (want.way, has) {
                (Way::Up, HubHas::Whole) => drop(self.wants.remove(&hash)),
                (Way::Up, HubHas::Parts(next)) => want.next = Some(next.min(parts(want.size) - 1)),
                (Way::Down, HubHas::Whole) => want.next = Some(0),
                (Way::Down, HubHas::Parts(_)) => {
                    want.trouble = Some("the hub does not have it yet".into());
                    want.retry.fail(now, random, None);
                }
                (_, HubHas::Unknown) => {
                    want.trouble = Some("no record at the hub refers to it".into());
                    want.retry.fail(now, random, None);
                }
            }
        }
    }

    fn failed(&mut self, doing: Option<BlobHash>, failure: &Failure, now: i64, random: u64) {
        let asked = match failure {
            Failure::Busy { retry_after, .. } => *retry_after,
            Failure::Rejected(_) => Some(REJECTED),
            _ => None,
        };
        let of_the_file = matches!(failure, Failure::Rejected(_) | Failure::NoChunk(_) | Failure::OutOfScope(_));
        match doing.and_then(|hash| self.wants.get_mut(&hash)) {
            Some(want) => {
                want.under_way = false;
                // where it stands is asked anew: perhaps a part arrived, perhaps all were thrown away
                want.next = None;
                want.trouble = Some(failure.to_string());
                want.rejected = matches!(failure, Failure::Rejected(_));
                want.retry.fail(now, random, asked);
            }
            None if doing.is_none() => {
                self.asking = false;
                if self.listing {
                    self.listing = false;
                    self.dirty = true;
                }
            }
            None => {}
        }
        if doing.is_none() || !of_the_file {
            self.link.fail(now, random, asked);
        }
    }

    pub fn next(&mut self, now: i64) -> BlobStep {
        if !self.calm || self.listing {
            return BlobStep::Wait { until: None };
        }
        if !self.link.is_ready(now) {
            return BlobStep::Wait { until: Some(self.link.until()) };
        }
        if self.dirty {
            self.dirty = false;
            self.listing = true;
            return BlobStep::List;
        }
        if self.wants.values().filter(|want| want.under_way).count() < AT_ONCE {
            let ready = self.wants.iter_mut().filter(|(_, want)| !want.under_way && want.retry.is_ready(now));
            let ready = ready.filter_map(|(hash, want)| Some((want.next?, hash, want)));
            // the smallest rest first: most photos are seen soonest
            if let Some((part, hash, want)) = ready.min_by_key(|(part, _, want)| parts(want.size).saturating_sub(*part))
            {
                want.under_way = true;
                let (hash, size) = (*hash, want.size);
                return match want.way {
                    Way::Up => BlobStep::Send { hash, size, part },
                    Way::Down => BlobStep::Fetch { hash, size },
                };
            }
        }
        let unknown = self.wants.iter().filter(|(_, want)| want.next.is_none() && !want.under_way);
        if !self.asking {
            let ask: Vec<BlobHash> = unknown
                .clone()
                .filter(|(_, want)| want.retry.is_ready(now))
                .map(|(hash, _)| *hash)
                .take(MAX_ASKED)
                .collect();
            if !ask.is_empty() {
                self.asking = true;
                return BlobStep::Ask(ask);
            }
        }
        let waiting = self.wants.values().filter(|want| !want.under_way).map(|want| want.retry.until());
        BlobStep::Wait { until: waiting.filter(|until| *until > now).min() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::blob::CHUNK;

    fn hash(n: u8) -> BlobHash {
        BlobHash([n; 32])
    }

    const EPOCH: Epoch = Epoch(7);

    fn lane(up: &[(u8, u64)], down: &[(u8, u64)]) -> BlobLane {
        let mut lane = BlobLane::new();
        assert_eq!(lane.next(0), BlobStep::Wait { until: None }, "records come first");
        lane.handle(BlobEvent::Calm(true), 0, 0);
        assert_eq!(lane.next(0), BlobStep::List);
        let of = |files: &[(u8, u64)]| files.iter().map(|(n, parts)| (hash(*n), parts * CHUNK)).collect();
        lane.handle(BlobEvent::Listed { up: of(up), down: of(down) }, 0, 0);
        lane
    }

    fn tell(lane: &mut BlobLane, hub: &[(u8, HubHas)]) {
        let hub = hub.iter().map(|(n, has)| (hash(*n), *has)).collect();
        lane.handle(BlobEvent::Told { epoch: EPOCH, hub }, 0, 0);
    }

    fn moved(lane: &mut BlobLane, n: u8, next: Option<u64>) {
        lane.handle(BlobEvent::Moved { hash: hash(n), next }, 0, 0);
    }

    fn send(n: u8, size: u64, part: u64) -> BlobStep {
        BlobStep::Send { hash: hash(n), size: size * CHUNK, part }
    }

    #[test]
    fn files_go_on_where_the_hub_has_them_the_smallest_rest_first_two_at_once() {
        let mut lane = lane(&[(1, 9), (2, 3), (3, 8)], &[]);
        assert_eq!(lane.next(0), BlobStep::Ask(vec![hash(1), hash(2), hash(3)]));
        assert_eq!(lane.next(0), BlobStep::Wait { until: None }, "it is being asked");
        tell(&mut lane, &[(1, HubHas::Parts(7)), (2, HubHas::Parts(0)), (3, HubHas::Whole)]);
        assert_eq!(lane.next(0), send(1, 9, 7));
        assert_eq!(lane.next(0), send(2, 3, 0));
        assert_eq!(lane.next(0), BlobStep::Wait { until: None });
        moved(&mut lane, 1, Some(8));
        assert_eq!(lane.next(0), send(1, 9, 8));
        moved(&mut lane, 1, None);
        moved(&mut lane, 2, Some(1));
        assert_eq!(lane.next(0), send(2, 3, 1));
        moved(&mut lane, 2, None);
        assert_eq!(lane.next(0), BlobStep::Wait { until: None }, "the third was there already");
    }

    #[test]
    fn as_soon_as_a_record_waits_no_further_part_begins() {
        let mut lane = lane(&[(1, 9)], &[]);
        lane.next(0);
        tell(&mut lane, &[(1, HubHas::Parts(0))]);
        assert_eq!(lane.next(0), send(1, 9, 0));
        lane.handle(BlobEvent::Calm(false), 0, 0);
        moved(&mut lane, 1, Some(1));
        assert_eq!(lane.next(0), BlobStep::Wait { until: None });
        lane.handle(BlobEvent::Calm(true), 0, 0);
        assert_eq!(lane.next(0), BlobStep::List, "what has to travel may be other files now");
        lane.handle(BlobEvent::Listed { up: vec![(hash(1), 9 * CHUNK)], down: vec![] }, 0, 0);
        assert_eq!(lane.next(0), send(1, 9, 1), "and it goes on where it was");
    }

    #[test]
    fn one_bad_file_does_not_stall_the_others() {
        let mut lane = lane(&[(1, 1), (2, 5)], &[]);
        lane.next(0);
        tell(&mut lane, &[(1, HubHas::Parts(0)), (2, HubHas::Parts(0))]);
        assert_eq!(lane.next(0), send(1, 1, 0));
        let failure = Failure::Rejected("too large for this hub".into());
        lane.handle(BlobEvent::Failed { doing: Some(hash(1)), failure }, 0, 0);
        assert_eq!(lane.next(0), send(2, 5, 0));
        moved(&mut lane, 2, Some(1));
        assert_eq!(lane.next(0), send(2, 5, 1));
        assert_eq!(lane.trouble(hash(1)), Some("too large for this hub"));
        let BlobStep::Wait { until: Some(until) } = lane.next(0) else { panic!("it waits for the bad one") };
        moved(&mut lane, 2, None);
        assert_eq!(lane.next(until), BlobStep::Ask(vec![hash(1)]), "it is tried again, from where the hub says");
    }

    #[test]
    fn what_the_hub_lacks_still_is_asked_for_again_ever_more_rarely() {
        let mut lane = lane(&[], &[(1, 2)]);
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..12 {
            assert_eq!(lane.next(now), BlobStep::Ask(vec![hash(1)]));
            lane.handle(BlobEvent::Told { epoch: EPOCH, hub: vec![(hash(1), HubHas::Parts(1))] }, now, 3);
            let BlobStep::Wait { until: Some(until) } = lane.next(now) else { panic!("it waits") };
            waits.push(until - now);
            now = until;
        }
        assert!(waits[0] < 1_000 && waits[11] >= 30_000 && waits[11] <= 60_000, "{waits:?}");
        lane.next(now);
        lane.handle(BlobEvent::Told { epoch: EPOCH, hub: vec![(hash(1), HubHas::Whole)] }, now, 3);
        assert_eq!(lane.next(now), BlobStep::Fetch { hash: hash(1), size: 2 * CHUNK });
    }

    #[test]
    fn a_hub_out_of_reach_is_left_alone_for_a_while_and_a_hub_put_back_is_asked_anew() {
        let mut lane = lane(&[(1, 2)], &[]);
        lane.next(0);
        lane.handle(BlobEvent::Failed { doing: None, failure: Failure::Unreachable("gone".into()) }, 0, 0);
        let BlobStep::Wait { until: Some(until) } = lane.next(0) else { panic!("it waits") };
        assert_eq!(lane.next(until), BlobStep::Ask(vec![hash(1)]));
        tell(&mut lane, &[(1, HubHas::Whole)]);
        assert_eq!(lane.next(until), BlobStep::Wait { until: None });
        lane.handle(BlobEvent::Told { epoch: Epoch(8), hub: vec![] }, until, 0);
        assert_eq!(lane.next(until), BlobStep::List);
    }
}
