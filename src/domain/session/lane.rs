use std::collections::VecDeque;

use crate::domain::feed::{Cursor, Digest};
use crate::domain::ids::{Epoch, Partition};
use crate::domain::reconcile::Mark;
use crate::domain::snapshot::ChunkRef;

/// Waiting longer after each failure, up to a minute, never all nodes at once.
#[derive(Debug, Clone, Default)]
pub(super) struct BackOff {
    failures: u32,
    until: i64,
}

const FIRST_WAIT: i64 = 500;
const LONGEST_WAIT: i64 = 60_000;
/// Whatever a server asks for, an hour later we look again.
const LONGEST_ASKED: i64 = 3_600_000;

impl BackOff {
    pub fn fail(&mut self, now: i64, random: u64, asked: Option<i64>) {
        let ceiling = (FIRST_WAIT << self.failures.min(16)).min(LONGEST_WAIT);
        self.failures = self.failures.saturating_add(1);
        let jitter = |of: i64| i64::try_from(random % (of.unsigned_abs() / 2 + 1)).unwrap_or(0);
        // all nodes may have been asked to wait as long, so what is added grows with it
        let asked = asked.map_or(0, |asked| {
            let asked = asked.clamp(0, LONGEST_ASKED);
            asked + jitter(asked.clamp(ceiling, 2 * LONGEST_WAIT))
        });
        self.until = now + asked.max(ceiling / 2 + jitter(ceiling));
    }

    pub fn succeed(&mut self) {
        *self = Self::default();
    }

    /// Tries again at once, but goes on counting.
    pub fn hurry(&mut self) {
        self.until = 0;
    }

    pub fn is_ready(&self, now: i64) -> bool {
        now >= self.until
    }

    pub fn is_failing(&self) -> bool {
        self.failures > 0
    }

    pub fn failures(&self) -> u32 {
        self.failures
    }

    pub fn until(&self) -> i64 {
        self.until
    }
}

/// Whether this node's digest equals the hub's for the same head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    Unknown,
    Equal,
    /// They were not equal; but records move between partitions, and what was heard of them is of different moments.
    Doubtful,
    Differs,
}

/// Whether a partition comes in chunks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum FirstCopy {
    /// It is pulled page by page.
    #[default]
    No,
    /// The hub is to be asked which chunks there are.
    Wanted,
    /// These are left, of a manifest with this head.
    Under { head: u64, left: VecDeque<ChunkRef> },
}

/// A difference that was found so often, on a hub that never rests, is taken for one.
const DOUBTS: u32 = 5;

/// One partition on its way from the hub. Each fails and waits on its own.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    pub cursor: Cursor,
    /// The highest number the hub spoke of.
    pub head: u64,
    /// What the hub said its digest was, and at which head.
    pub digest: Option<(u64, Digest)>,
    pub check: Check,
    doubts: u32,
    /// Records known to wait at the hub. For showing only.
    pub waiting: u64,
    pub copy: FirstCopy,
    /// How often a chunk was gone since the last one that came.
    pub gone: u32,
    pub retry: BackOff,
    pub trouble: Option<String>,
    /// When the partition was last pulled, as a count of pulls, so that a large one does not starve the others.
    pub served: u64,
    /// How often it was pulled from the beginning because digests differed, and when it may be again.
    pub mismatches: u32,
    pub restart_at: i64,
    /// How far it is brought together with the hub again, if it has to be.
    pub walk: Option<Walk>,
}

/// How far a partition is brought together with the hub's again, record by record.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Walk {
    /// The first record that was not compared; none is the first of all.
    pub from: Option<Mark>,
    /// Where the hub was when it began: from there on it is pulled when all is compared.
    pub begun: Option<Cursor>,
}

const FIRST_RESTART: i64 = 600_000;

impl Lane {
    pub fn new(epoch: Epoch) -> Self {
        Self {
            cursor: Cursor::start(epoch),
            head: 0,
            digest: None,
            check: Check::Unknown,
            doubts: 0,
            waiting: 0,
            copy: FirstCopy::No,
            gone: 0,
            retry: BackOff::default(),
            trouble: None,
            served: 0,
            mismatches: 0,
            restart_at: 0,
            walk: None,
        }
    }

    /// Takes notice of where the hub stands.
    pub fn hear(&mut self, head: u64, digest: Digest) {
        self.head = head;
        if self.digest != Some((head, digest)) {
            self.digest = Some((head, digest));
            self.check = Check::Unknown;
        }
    }

    pub fn is_complete(&self) -> bool {
        self.walk.is_none() && self.cursor.base >= self.head
    }

    /// Whether comparing digests now would tell something.
    pub fn is_comparable(&self) -> bool {
        self.check == Check::Unknown
            && self.is_complete()
            && self.digest.is_some_and(|(head, _)| head == self.cursor.base)
    }

    /// Pulls everything again; joining it twice changes nothing.
    pub fn restart(&mut self) {
        self.cursor = Cursor::start(self.cursor.epoch);
        self.check = Check::Unknown;
    }

    /// Compares everything with the hub, unless that is under way.
    pub fn reconcile(&mut self) {
        self.walk.get_or_insert_default();
        self.check = Check::Unknown;
    }

    /// What follows from a comparison. `exact`: all digests of the hub are of one moment, and nothing was pulled since.
    pub fn compare(&mut self, mine: Digest, exact: bool) {
        let Some((_, hub)) = self.digest else { return };
        if mine == hub {
            self.check = Check::Equal;
            self.doubts = 0;
            self.mismatches = 0;
            self.restart_at = 0;
            return;
        }
        self.doubts = self.doubts.saturating_add(1);
        self.check = if exact || self.doubts >= DOUBTS { Check::Differs } else { Check::Doubtful };
    }

    /// A difference is healed by pulling from the beginning, at once the first time and then ever more rarely: what this
    /// node holds beyond the hub does not come by pulling.
    ///
    /// `compares`: the hub can say record by record, so that what it lacks comes there, too.
    pub fn heal(&mut self, now: i64, compares: bool) {
        if compares {
            self.reconcile()
        } else {
            self.restart()
        }
        self.restart_at = now + (FIRST_RESTART << self.mismatches.min(6));
        self.mismatches = self.mismatches.saturating_add(1);
    }

    pub fn is_healing_due(&self, now: i64) -> bool {
        self.check == Check::Differs && now >= self.restart_at
    }
}

/// Types come first, then people: a record is of no use without them.
pub(super) fn rank(partition: &Partition) -> u8 {
    if *partition == Partition::types() {
        0
    } else if *partition == Partition::people() {
        1
    } else {
        2
    }
}
