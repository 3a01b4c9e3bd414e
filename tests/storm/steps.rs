//! What an edge does next, in whatever weather; and how it all comes to rest.

use outpost::domain::protocol::Hint;
use outpost::domain::session::{Doing, Event, LinkState, Step};
use tokio::sync::broadcast;

use crate::dice::Dice;
use crate::faults::Fault;
use crate::invariants;
use crate::network::Weather;
use crate::planted::Bug;
use crate::world::Storm;

/// No edge has more to do at once than this, once the faults are over.
const STEPS: u32 = 600;
/// Everything that waits has its time within this after the last fault: who was refused an answer waits up to a minute
/// before the next try (a full disk asks for as much), and then there is another minute for the work.
const REST: i64 = 120_000;
/// An edge looks at what those below it brought within this.
const STIRRED: i64 = 3_000;
/// Each hub on the way may have to wait for the one above it.
const REST_PER_HOP: i64 = 60_000;

impl Storm {
    /// Some of the hints that were not lost arrive.
    pub fn hint(&mut self, which: usize) {
        let now = self.now();
        let epoch = match self.edges[which].above {
            None => self.hub_identity.epoch,
            Some(above) => self.edges[above].site.identity().epoch,
        };
        let loses = self.raging && self.settings.has(Fault::LosesHints);
        let scope = self.scope_of(which);
        if self.raging && now < self.cut_until(which) {
            return;
        }
        let edge = &mut self.edges[which];
        let mut lost = 0;
        loop {
            match edge.hints.try_recv() {
                Ok(batch) => {
                    for notice in batch.iter().filter(|notice| scope.contains(&notice.partition)) {
                        if loses && self.dice.chance(30) {
                            lost += 1;
                            continue;
                        }
                        let hint = Hint { epoch, partition: notice.partition.clone(), head: notice.seq, records: 1 };
                        edge.session.handle(Event::Heard(hint), now, 0);
                    }
                }
                Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                Err(_) => break,
            }
        }
        if lost > 0 {
            self.happens(Fault::LosesHints, which);
        }
    }

    /// Until when an edge has no link to its hub.
    fn cut_until(&self, which: usize) -> i64 {
        let edge = &self.edges[which];
        if edge.above.is_some() { edge.cut_until } else { edge.cut_until.max(self.partition_until) }
    }

    fn weather(&mut self, which: usize) -> Weather {
        let now = self.now();
        let mut faults = Vec::new();
        let cut = now < self.cut_until(which);
        let (settings, dice) = (&self.settings, &mut self.dice);
        let mut strikes = |fault, percent| {
            let strikes = settings.has(fault) && dice.chance(percent);
            if strikes {
                faults.push(fault);
            }
            strikes
        };
        let mut weather = Weather {
            cut,
            loses_request: strikes(Fault::LosesRequest, 6),
            loses_answer: strikes(Fault::LosesAnswer, 8) || now < self.edges[which].half_open_until,
            repeats: strikes(Fault::Repeats, 10),
            is_busy: strikes(Fault::Busy, 2),
            is_faulty: strikes(Fault::Proxy, 3),
            delays: (0, 0),
            kills_hub: None,
        };
        let (delays, kills, meanwhile) =
            (strikes(Fault::Delays, 15), strikes(Fault::KillHub, self.settings.deadly), strikes(Fault::Meanwhile, 15));
        if delays {
            weather.delays = (self.dice.below(3_000) as i64, self.dice.below(3_000) as i64);
        }
        if kills {
            weather.kills_hub = Some((self.dice.below(7), self.kill_moment()));
        }
        if meanwhile {
            let whose = self.dice.chance(60).then_some(which);
            let whose = self.site(whose);
            let dice = Dice(self.dice.next());
            *self.edges[which].network.meanwhile.lock().expect("one thread") = Some((whose, dice));
        }
        for fault in faults.into_iter().filter(|fault| !matches!(fault, Fault::KillHub)) {
            self.happens(fault, which);
        }
        weather
    }

    fn next(&mut self, which: usize, at: i64) -> Step {
        let healed = self.edges[which].session.healed();
        let step = self.edges[which].session.next(at);
        if self.edges[which].session.healed() > healed {
            self.note(&format!("{which} differs from its hub"));
            if self.trace.is_shown() {
                invariants::from_its_hub(self, which).iter().for_each(|line| println!("  {line}"));
            }
        }
        step
    }

    /// An edge does what it wants to do, in whatever weather.
    pub fn step(&mut self, which: usize) {
        let at = self.now();
        let step = self.next(which, at);
        if matches!(step, Step::Wait { .. }) || (self.edges[which].gave_up && matches!(step, Step::Push { .. })) {
            return;
        }
        let above = self.edges[which].above;
        let fuse = self.edges[which].site.process().fuse;
        let full_above = above.map_or(self.hub_full_until, |above| self.edges[above].full_until);
        fuse.set_full(self.raging && at < self.edges[which].full_until);
        self.house_above(which).site.process().fuse.set_full(self.raging && at < full_above);
        fuse.begin(name(&step));
        let mut weather = Weather::default();
        if self.raging {
            weather = self.weather(which);
            if self.settings.has(Fault::KillEdge) && self.dice.chance(self.settings.deadly) {
                fuse.arm(self.dice.below(9), self.kill_moment());
            }
        }
        let copies = matches!(step, Step::List { .. } | Step::Copy { .. });
        let step = if self.settings.has(Fault::SmallPages) { self.in_pieces(step) } else { step };
        let edge = &mut self.edges[which];
        *edge.network.weather.lock().expect("one thread") = weather;
        let in_step = edge.session.is_in_step();
        let label = format!("{which} {step:?}");
        let event = self.ground.run(fuse.guard(edge.carrier.carry_out(step, in_step)));
        fuse.disarm();
        *edge.network.meanwhile.lock().expect("one thread") = None;
        let Some(event) = event else {
            self.note(&label);
            self.happens(Fault::KillEdge, format!("{which} {:?}", fuse.blown()));
            if copies {
                self.happens(Fault::KillCopy, which);
            }
            if fuse.torn().is_some() {
                self.happens(Fault::TornWrite, which);
            }
            self.house_died(above);
            return self.revive(which);
        };
        let event = event.expect("it was no wait");
        let label = match &event {
            Event::Failed { failure, .. } => format!("{label}: {failure}"),
            Event::Joined { rows, .. } => format!("{label}: {rows} rows"),
            _ => label,
        };
        match &event {
            Event::Copied { .. } => self.report.count(Fault::Chunks),
            Event::Reconciled { .. } => self.report.reconciled += 1,
            _ => {}
        }
        let stirs = matches!(&event, Event::Reconciled { .. } | Event::Pushed { .. });
        let pushing = matches!(&event, Event::Failed { doing: Doing::Push(_), .. });
        self.edges[which].gave_up |= pushing && self.settings.bug == Some(Bug::NoRetry);
        let (now, random) = (self.now(), self.dice.next());
        self.edges[which].session.handle(event, now, random);
        self.waiting(which);
        self.note(&label);
        self.house_died(above);
        if let Some(above) = above {
            self.waiting(above);
            if stirs {
                let (now, random) = (self.now(), self.dice.next());
                self.edges[above].session.handle(Event::Report, now, random);
                self.stirred = now;
            }
        }
    }

    /// Whether an edge has nothing to do. What it wants to do is asked for again, when it does it.
    fn waits(&mut self, which: usize) -> bool {
        let at = self.now();
        matches!(self.next(which, at), Step::Wait { .. })
    }

    /// Takes notice of it, if the hub of an edge died meanwhile.
    fn house_died(&mut self, above: Option<usize>) {
        match above {
            None => self.hub_died(),
            Some(above) => {
                let fuse = self.edges[above].site.process().fuse;
                if let Some(point) = fuse.blown() {
                    let torn = fuse.torn().is_some();
                    let fault = if torn { Fault::TornWrite } else { Fault::KillRelay };
                    self.happens(fault, format!("{above} {point:?}"));
                    self.revive(above);
                }
            }
        }
    }

    fn hub_died(&mut self) {
        let blown = self.house.site.process().fuse.blown();
        if let Some(point) = blown.filter(|_| !self.hub_is_dead) {
            self.hub_is_dead = true;
            *self.house.hub.lock().expect("one thread") = None;
            let torn = self.house.site.process().fuse.torn().is_some();
            self.happens(if torn { Fault::TornWrite } else { Fault::KillHub }, format!("the hub {point:?}"));
        }
    }

    /// Pages are small, so that there are many.
    fn in_pieces(&mut self, step: Step) -> Step {
        match step {
            Step::Pull { partition, cursor, .. } => {
                self.report.count(Fault::SmallPages);
                Step::Pull { partition, cursor, max_bytes: 1 + self.dice.below(2_000) as usize }
            }
            Step::Push { since, max_bytes } => {
                Step::Push { since, max_bytes: max_bytes.min(1 + self.dice.below(3_000) as usize) }
            }
            step => step,
        }
    }

    /// No more faults; people are asleep. Everything must come to rest.
    pub fn drain(&mut self) {
        self.raging = false;
        if !self.hub_is_up() {
            self.revive_hub();
        }
        for which in 0..self.edges.len() {
            let (now, random) = (self.now(), self.dice.next());
            if self.edges[which].session.status().state == LinkState::Paused {
                self.edges[which].session.handle(Event::Resume, now, random);
            }
        }
        let hops = (0..self.edges.len()).map(|which| self.depth(which)).max().unwrap_or(0);
        let (began, rest) = (self.now(), REST + REST_PER_HOP * hops as i64);
        loop {
            for which in 0..self.edges.len() {
                let mut steps = 0;
                loop {
                    self.hint(which);
                    if self.waits(which) || self.edges[which].gave_up {
                        break;
                    }
                    self.step(which);
                    steps += 1;
                    if steps > STEPS {
                        // two nodes that answer each other for ever
                        invariants::not_at_rest(self);
                    }
                }
            }
            if self.now() - self.stirred > STIRRED && invariants::is_at_rest(self) {
                self.report.rest = self.now() - began;
                return;
            }
            if self.now() - began > rest {
                invariants::not_at_rest(self);
            }
            self.time.pass(1_000);
        }
    }
}

fn name(step: &Step) -> &'static str {
    match step {
        Step::Hello => "hello",
        Step::Renew => "renew",
        Step::Reconcile { .. } => "reconcile",
        Step::Push { .. } => "push",
        Step::SetAside { .. } => "set aside",
        Step::Forget(_) => "forget",
        Step::Pull { .. } => "pull",
        Step::List { .. } => "list",
        Step::Copy { .. } => "copy",
        Step::Compare => "compare",
        Step::Wait { .. } => "wait",
    }
}
