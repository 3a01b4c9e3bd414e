//! An edge's conversation with its hub, as a state machine: it is told what happened and says what to do next.
//!
//! It has no sockets, no store, no clock and no source of chance. [`Session::next`] may be asked at any time and as often as
//! one likes; [`Session::handle`] is told how what it asked for ended. Hello, then push until the outbox is empty, then
//! pull what is behind, types first, then compare digests; then wait for something to happen. Whatever it waits for, it
//! says until when.

mod blobs;
mod copy;
#[cfg(test)]
mod crowd;
mod events;
mod failing;
mod lane;
mod status;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use self::blobs::{BlobEvent, BlobLane, BlobStep, Way};
pub use self::events::{Doing, Event, Holding, Step};
pub use self::lane::Walk;
use self::lane::{BackOff, Check, FirstCopy, Lane, rank};
pub use self::status::{LinkState, Status};
use super::feed::{Cursor, Digest};
use super::ids::{Epoch, Partition, SaveId};
use super::protocol::{Failure, Head, Hint, Limits, Pushed, Welcome};
use super::reconcile::Mark;
use super::scope::Scope;

/// While hints arrive, the hub is asked this often all the same. In milliseconds, as all times here.
const HELLO_LIVE: i64 = 60_000;
/// Without hints, asking is all there is.
const HELLO_BLIND: i64 = 10_000;
/// The hub hears this soon that a change has arrived; no more often, as long as this node stays in step.
const REPORT: i64 = 2_000;

/// `now` is in milliseconds of a clock that never goes back, wherever it begins. `random` is any number that others
/// cannot be expected to get as well.
#[derive(Debug, Clone)]
pub struct Session {
    epoch: Option<Epoch>,
    scope: Scope,
    limits: Limits,
    /// The hub's highest number at the last complete listing.
    listed: u64,
    lanes: BTreeMap<Partition, Lane>,
    pulls: u64,
    /// How many there were when the hub last listed all partitions at one moment.
    pulls_at_listing: u64,
    healed: u64,
    /// Whether the hub compares record by record.
    compares: bool,
    waiting: u64,
    /// Whether what the hub last said of itself still counts.
    greeted: bool,
    greeted_at: i64,
    /// Whether the hub was told at the last hello that this node is in step.
    told_in_step: bool,
    /// Whether something has travelled that the hub was not told of.
    unreported: bool,
    hello_at: i64,
    /// Failures that concern the hub as a whole.
    link: BackOff,
    trouble: Option<Failure>,
    out: BackOff,
    out_trouble: Option<String>,
    push_bytes: usize,
    set_aside: Option<(SaveId, String)>,
    forget: Vec<Partition>,
    forgot: bool,
    beyond: Option<Partition>,
    refused: Option<(String, i64)>,
    /// Whether the hub, which gives this node nothing any more, is still to be given what the outbox holds.
    hands_over: bool,
    /// Whether a new incarnation is to be taken, and how many were since the hub last said welcome.
    renew: bool,
    renewals: u32,
    paused: bool,
    live: bool,
    live_retry: BackOff,
    last_contact: Option<i64>,
    state: LinkState,
    since: i64,
}

impl Session {
    pub fn new(now: i64) -> Self {
        Self {
            epoch: None,
            scope: Scope::All,
            limits: Limits::default(),
            listed: 0,
            lanes: BTreeMap::new(),
            pulls: 0,
            pulls_at_listing: 0,
            healed: 0,
            compares: false,
            waiting: 0,
            greeted: false,
            greeted_at: now,
            told_in_step: false,
            unreported: false,
            hello_at: now,
            link: BackOff::default(),
            trouble: None,
            out: BackOff::default(),
            out_trouble: None,
            push_bytes: Limits::default().push_bytes,
            set_aside: None,
            forget: Vec::new(),
            forgot: false,
            beyond: None,
            refused: None,
            hands_over: false,
            renew: false,
            renewals: 0,
            paused: false,
            live: false,
            live_retry: BackOff::default(),
            last_contact: None,
            state: LinkState::Behind,
            since: now,
        }
    }

    /// What to do now. Asking changes nothing that asking again would not find.
    pub fn next(&mut self, now: i64) -> Step {
        if self.paused {
            return Step::Wait { until: None };
        }
        if let Some((save, reason)) = &self.set_aside
            && self.out.is_ready(now)
        {
            return Step::SetAside { save: *save, reason: reason.clone() };
        }
        if let Some((_, until)) = &self.refused {
            if self.hands_over && self.waiting > 0 && self.set_aside.is_none() {
                return match self.out.is_ready(now) {
                    true => Step::Push { max_bytes: self.push_bytes, since: self.listed },
                    false => Step::Wait { until: Some(self.out.until()) },
                };
            }
            return if now >= *until { Step::Hello } else { Step::Wait { until: Some(*until) } };
        }
        if !self.link.is_ready(now) {
            return Step::Wait { until: Some(self.link.until()) };
        }
        if self.renew {
            return Step::Renew;
        }
        if !self.greeted || now >= self.hello_at {
            return Step::Hello;
        }
        // the hub may have forgotten the types and people that it judges saves by
        if let Some(step) = self.torn(now, |partition| rank(partition) < 2) {
            return step;
        }
        if self.waiting > 0 && self.set_aside.is_none() && self.out.is_ready(now) {
            return Step::Push { max_bytes: self.push_bytes, since: self.listed };
        }
        if !self.forget.is_empty() {
            return Step::Forget(self.forget.clone());
        }
        if self.waiting == 0
            && let Some(step) = self.torn(now, |_| true)
        {
            return step;
        }
        if let Some(partition) = self.behind(now) {
            if let Some(step) = self.lanes[&partition].copy_step(&partition) {
                return step;
            }
            let cursor = self.lanes[&partition].cursor;
            return Step::Pull { partition, cursor, max_bytes: self.limits.pull_bytes };
        }
        if self.waiting == 0 && self.lanes.values().any(Lane::is_comparable) {
            return Step::Compare;
        }
        Step::Wait { until: Some(self.wake_up(now)) }
    }

    /// The partition to pull from: types, people, then whichever was served longest ago.
    fn behind(&mut self, now: i64) -> Option<Partition> {
        for lane in self.lanes.values_mut().filter(|lane| lane.is_healing_due(now)) {
            lane.heal(now, self.compares);
            self.healed += 1;
        }
        let behind = self
            .lanes
            .iter()
            .filter(|(_, lane)| lane.walk.is_none() && !lane.is_complete() && lane.retry.is_ready(now));
        let first = behind.min_by_key(|(partition, lane)| (rank(partition), lane.served));
        first.map(|(partition, _)| partition.clone())
    }

    /// A partition to bring together with the hub again, in the same order.
    fn torn(&self, now: i64, is_due: impl Fn(&Partition) -> bool) -> Option<Step> {
        let torn = self.lanes.iter().filter_map(|(partition, lane)| Some((partition, lane, lane.walk.as_ref()?)));
        let due = torn.filter(|(partition, lane, _)| is_due(partition) && lane.retry.is_ready(now));
        let (partition, lane, walk) = due.min_by_key(|(partition, lane, _)| (rank(partition), lane.served))?;
        let (partition, epoch) = (partition.clone(), lane.cursor.epoch);
        Some(Step::Reconcile { partition, epoch, walk: walk.clone(), push_bytes: self.limits.push_bytes })
    }

    fn wake_up(&self, now: i64) -> i64 {
        let lanes = self.lanes.values().flat_map(|lane| {
            let retry = (!lane.is_complete()).then(|| lane.retry.until());
            let restart = (lane.check == Check::Differs).then_some(lane.restart_at);
            retry.into_iter().chain(restart)
        });
        let out = (self.waiting > 0).then(|| self.out.until());
        let live = (!self.live).then(|| self.live_retry.until());
        let times = lanes.chain(out).chain(live).filter(|time| *time > now);
        times.fold(self.hello_at, i64::min)
    }

    /// Whether somebody should be listening for hints, and from which number on.
    pub fn listens(&self, now: i64) -> Option<u64> {
        let quiet = self.paused || self.refused.is_some() || self.link.is_failing() || self.epoch.is_none();
        let ready = self.live || (self.greeted && self.live_retry.is_ready(now));
        (!quiet && ready).then_some(self.listed)
    }

    pub fn handle(&mut self, event: Event, now: i64, random: u64) {
        match event {
            Event::Waiting(waiting) => self.saved(waiting),
            Event::Welcomed { welcome, held } => self.welcomed(welcome, held, now),
            Event::Renewed => {
                self.renew = false;
                self.greeted = false;
            }
            Event::Pushed { reply, waiting } => self.pushed(reply, waiting, now),
            Event::NothingToPush => {
                self.waiting = 0;
                self.hands_over = false;
                self.out.succeed();
            }
            Event::IsAside { waiting } => {
                self.set_aside = None;
                self.waiting = waiting;
                self.out.succeed();
                self.push_bytes = self.limits.push_bytes;
            }
            Event::Forgot => {
                // should they be allowed again, they are read from the beginning
                for partition in std::mem::take(&mut self.forget) {
                    self.lanes.remove(&partition);
                }
                self.forgot = self.waiting == 0;
            }
            Event::Joined { partition, cursor, head, digest, rows } => {
                self.joined(&partition, cursor, head, digest, rows, now);
            }
            Event::Listed { partition, epoch, head, digest, left, cursor } => {
                self.in_contact(now);
                self.listed(&partition, (epoch, head, digest), left, cursor);
            }
            Event::Copied { partition, chunk, cursor } => self.copied(&partition, &chunk, cursor, now),
            Event::Reconciled { partition, begun, next } => self.reconciled(&partition, begun, next, now),
            Event::Compared { waiting, held } => self.compared(waiting, held, now),
            Event::Failed { doing, failure } => self.failed(doing, failure, now, random),
            Event::Heard(hint) => self.heard(hint),
            Event::LiveUp => {
                self.live = true;
                self.live_retry.succeed();
            }
            Event::LiveDown => {
                // most likely the network is gone, and a hello finds that out
                self.greeted &= !self.live;
                self.live = false;
                self.live_retry.fail(now, random, None);
                self.hello_at = self.hello_at.min(now + HELLO_BLIND);
            }
            Event::Report => self.report(now),
            Event::Pause => self.paused = true,
            Event::Resume => {
                self.paused = false;
                self.hurry(now);
            }
            Event::Now => self.hurry(now),
        }
        self.settle(now);
    }

    fn saved(&mut self, waiting: u64) {
        if waiting > 0 {
            // what is saved here and not there makes a difference that tells nothing
            self.lanes.values_mut().for_each(|lane| lane.check = Check::Unknown);
            // it may take a record out of the scope, which then goes
            self.forgot = false;
        }
        self.waiting = waiting;
    }

    fn in_contact(&mut self, now: i64) {
        self.link.succeed();
        self.refused = None;
        self.last_contact = Some(now);
    }

    fn welcomed(&mut self, welcome: Welcome, held: Vec<Holding>, now: i64) {
        self.in_contact(now);
        self.greeted = true;
        self.renewals = 0;
        self.greeted_at = now;
        self.told_in_step = self.is_in_step();
        self.unreported = false;
        self.hello_at = now + if self.live { HELLO_LIVE } else { HELLO_BLIND };
        if self.epoch.replace(welcome.epoch) != Some(welcome.epoch) {
            self.lanes.clear();
        }
        self.compares = welcome.ratchet.is_some();
        self.scope = welcome.scope;
        if self.push_bytes == self.limits.push_bytes {
            self.push_bytes = welcome.limits.push_bytes;
        }
        self.limits = welcome.limits;
        self.listed = welcome.head;
        self.pulls_at_listing = self.pulls;
        let listed: BTreeSet<&Partition> = welcome.partitions.iter().map(|head| &head.id).collect();
        self.lanes.retain(|partition, _| listed.contains(partition));
        let cursors: BTreeMap<&Partition, Cursor> =
            held.iter().filter_map(|holding| Some((&holding.partition, holding.cursor?))).collect();
        let digests: BTreeMap<&Partition, Digest> =
            held.iter().map(|holding| (&holding.partition, holding.digest)).collect();
        let ancestors = welcome.ancestors;
        // saves that were acknowledged and never pulled: a hub that was put back since may lack them, one that forgets may
        // have deleted them for good, and no cursor tells
        let forgets: BTreeSet<&Partition> =
            welcome.partitions.iter().filter(|head| head.forgets).map(|head| &head.id).collect();
        let unread = |partition: &Partition| {
            let mut unread = held.iter().filter(|holding| holding.cursor.is_none() && !holding.copying);
            (!ancestors.is_empty() || forgets.contains(partition))
                && unread.any(|holding| holding.records > 0 && holding.partition == *partition)
        };
        // whoever holds some of it already is told by pulls only what left meanwhile
        let is_begun = |holding: &&Holding| holding.cursor.is_some() || (holding.records > 0 && !holding.copying);
        let begun: BTreeSet<&Partition> = held.iter().filter(is_begun).map(|holding| &holding.partition).collect();
        for head in &welcome.partitions {
            let lane = self.lanes.entry(head.id.clone()).or_insert_with(|| {
                let mut lane = Lane::new(welcome.epoch);
                match cursors.get(&head.id) {
                    Some(cursor) if cursor.epoch == welcome.epoch => lane.cursor = *cursor,
                    Some(cursor) if ancestors.contains(&cursor.epoch) => lane.reconcile(),
                    _ => {}
                }
                if head.newer >= self.limits.chunk_records && !begun.contains(&head.id) {
                    lane.copy = FirstCopy::Wanted;
                }
                lane
            });
            lane.hear(head.head, head.digest);
            lane.waiting = head.newer;
            // those below may have given this node what the hub does not have
            let grew = lane.check == Check::Equal && digests.get(&head.id).is_some_and(|mine| *mine != head.digest);
            if lane.check == Check::Doubtful || grew {
                lane.check = Check::Unknown;
            }
            if lane.cursor.base > head.head {
                // the hub knows less than it handed out: its past changed without its saying so
                if self.compares { lane.reconcile() } else { lane.restart() }
            } else if head.put_back || (self.compares && lane.cursor.after == 0 && unread(&head.id)) {
                lane.reconcile();
            }
        }
        // what the hub handed out and does not hold at all
        let gone = held.iter().filter(|holding| {
            let counted = |cursor: Cursor| {
                cursor.base > 0 && (cursor.epoch == welcome.epoch || ancestors.contains(&cursor.epoch))
            };
            let is_known = holding.cursor.is_some_and(counted) || unread(&holding.partition);
            holding.records > 0 && is_known && self.scope.contains(&holding.partition)
        });
        for holding in gone.filter(|_| self.compares) {
            self.lanes.entry(holding.partition.clone()).or_insert_with(|| {
                let mut lane = Lane::new(welcome.epoch);
                lane.reconcile();
                lane
            });
        }
        self.forgot = false;
        self.find_foreign(&held);
        if self.waiting == 0 {
            self.find_beyond(&held);
        }
    }

    /// Notes which partitions this node holds and may not.
    fn find_foreign(&mut self, held: &[Holding]) {
        let foreign = held.iter().filter(|holding| holding.records > 0 && !self.scope.contains(&holding.partition));
        self.forget = foreign.map(|holding| holding.partition.clone()).collect();
    }

    /// Notes a partition of the scope that this node holds and the hub does not, although nothing waits to be pushed.
    fn find_beyond(&mut self, held: &[Holding]) {
        let beyond = held.iter().find(|holding| {
            holding.records > 0
                && self.scope.contains(&holding.partition)
                && !self.lanes.contains_key(&holding.partition)
        });
        self.beyond = beyond.map(|holding| holding.partition.clone());
    }

    fn pushed(&mut self, reply: Pushed, waiting: u64, now: i64) {
        if self.refused.is_some() {
            // it rests when all is handed over; what is saved later goes with the next try
            self.last_contact = Some(now);
            self.waiting = waiting;
            self.hands_over = waiting > 0;
            self.out.succeed();
            return;
        }
        self.in_contact(now);
        self.out.succeed();
        self.out_trouble = None;
        self.push_bytes = self.limits.push_bytes;
        self.waiting = waiting;
        self.lanes.values_mut().for_each(|lane| lane.check = Check::Unknown);
        self.report(now);
        if self.epoch != Some(reply.epoch) {
            self.greeted = false;
            return;
        }
        self.listed = self.listed.max(reply.head);
        for Head { id, head, digest, .. } in reply.partitions {
            if !self.scope.contains(&id) {
                // it may hold more than it was told
                self.greeted = false;
                continue;
            }
            let lane = self.lanes.entry(id).or_insert_with(|| Lane::new(reply.epoch));
            lane.hear(head, digest);
        }
    }

    fn joined(&mut self, partition: &Partition, cursor: Cursor, head: u64, digest: Digest, rows: u64, now: i64) {
        self.in_contact(now);
        self.pulls += 1;
        let Some(lane) = self.lanes.get_mut(partition) else { return };
        if lane.cursor.epoch != cursor.epoch {
            return;
        }
        lane.cursor = cursor;
        lane.served = self.pulls;
        lane.retry.succeed();
        lane.trouble = None;
        lane.waiting = lane.waiting.saturating_sub(rows);
        lane.hear(head, digest);
        if lane.is_complete() {
            lane.waiting = 0;
        }
        self.report(now);
    }

    fn reconciled(&mut self, partition: &Partition, begun: Cursor, next: Option<Mark>, now: i64) {
        self.in_contact(now);
        self.pulls += 1;
        let Some(lane) = self.lanes.get_mut(partition).filter(|lane| lane.cursor.epoch == begun.epoch) else { return };
        lane.served = self.pulls;
        lane.retry.succeed();
        lane.trouble = None;
        lane.check = Check::Unknown;
        match next {
            Some(from) => lane.walk = Some(Walk { from: Some(from), begun: Some(begun) }),
            None => (lane.walk, lane.cursor) = (None, begun),
        }
        self.report(now);
    }

    /// Says hello soon, so that the hub knows how far this node is, or this node what the hub holds.
    fn report(&mut self, now: i64) {
        self.unreported = true;
        self.hello_at = self.hello_at.min(now + REPORT);
    }

    /// This node has come into step: the hub, which people look at, too, hears it at once if it thinks otherwise.
    fn report_in_step(&mut self, now: i64) {
        if !self.told_in_step {
            self.hello_at = now;
        } else if self.unreported {
            self.hello_at = self.hello_at.min(now.max(self.greeted_at + REPORT));
        }
    }

    fn heard(&mut self, hint: Hint) {
        if self.epoch != Some(hint.epoch) {
            self.greeted = false;
            return;
        }
        if !self.scope.contains(&hint.partition) {
            self.greeted = false;
            return;
        }
        let lane = self.lanes.entry(hint.partition).or_insert_with(|| Lane::new(hint.epoch));
        if hint.head > lane.head {
            lane.head = hint.head;
            lane.waiting += hint.records.max(1);
        }
    }

    fn compared(&mut self, waiting: u64, held: Vec<Holding>, now: i64) {
        self.waiting = waiting;
        if waiting > 0 {
            return;
        }
        if !self.forgot {
            self.find_foreign(&held);
        }
        self.find_beyond(&held);
        let exact = self.pulls == self.pulls_at_listing;
        let digests: BTreeMap<Partition, Digest> =
            held.into_iter().map(|holding| (holding.partition, holding.digest)).collect();
        for (partition, lane) in self.lanes.iter_mut().filter(|(_, lane)| lane.is_comparable()) {
            lane.compare(digests.get(partition).copied().unwrap_or_default(), exact);
        }
        if self.lanes.values().any(|lane| lane.check == Check::Doubtful) {
            self.report(now);
        }
    }

    fn settle(&mut self, now: i64) {
        let (state, _) = self.assess();
        if state != self.state {
            self.state = state;
            self.since = now;
            if state == LinkState::InStep {
                self.report_in_step(now);
            }
        }
    }

    /// Where each partition stands, for telling the hub.
    pub fn cursors(&self) -> impl Iterator<Item = (&Partition, Cursor)> {
        self.lanes.iter().map(|(partition, lane)| (partition, lane.cursor))
    }

    /// How often a digest that differed made it pull a partition from the beginning. Each time is a fault somewhere.
    pub fn healed(&self) -> u64 {
        self.healed
    }

    pub fn is_in_step(&self) -> bool {
        self.state == LinkState::InStep
    }
}
