//! The storm: a hub, its edges, and what happens to them.

use std::sync::{Arc, Mutex};

use outpost::domain::ids::{Epoch, Incarnation};
use outpost::domain::people::Actor;
use outpost::domain::protocol::{Enrol, Hint};
use outpost::domain::save::Save;
use outpost::domain::scope::Scope;
use outpost::domain::session::{Event, LinkState, Session, Step};
use outpost::node::{Identity, NodeChange, NodeRole, Nodes, Upstream, World};
use outpost::store::Notice;
use outpost::sync::{Carrier, Hub, Offset};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::device::{Device, HOUR, START, Time, YEAR};
use crate::dice::Dice;
use crate::disk::{Disk, Ground};
use crate::faults::Fault;
use crate::forgetting::{self, Forgetting};
use crate::fuse::{Moment, Points};
use crate::invariants;
use crate::memory::Memory;
use crate::network::{House, Network, Weather};
use crate::people;
use crate::planted::Bug;
use crate::settings::Settings;
use crate::site::Site;
use crate::trace::{Report, Trace};
use crate::types::Design;

/// Everything that waits has its time within this after the last fault: who was refused an answer waits up to a minute
/// before the next try (a full disk asks for as much), and then there is another minute for the work.
/// No edge has more to do at once than this, once the faults are over.
const STEPS: u32 = 600;
const REST: i64 = 120_000;

pub struct Edge {
    pub site: Arc<Site>,
    pub carrier: Carrier,
    pub network: Arc<Network>,
    pub session: Session,
    pub scope: Scope,
    pub revoked: bool,
    cut_until: i64,
    half_open_until: i64,
    full_until: i64,
    hints: broadcast::Receiver<Arc<Vec<Notice>>>,
    backup: Option<Disk>,
    /// The next try of a push waits for the next save: a planted bug.
    gave_up: bool,
}

pub struct Storm {
    pub settings: Settings,
    pub ground: Ground,
    pub dice: Dice,
    pub time: Time,
    pub memory: Arc<Mutex<Memory>>,
    pub house: Arc<House>,
    pub hub_identity: Identity,
    pub edges: Vec<Edge>,
    pub trace: Trace,
    pub report: Report,
    pub points: Points,
    designs: [Design; 2],
    /// Less was allowed in a type than before.
    pub narrowed: bool,
    raging: bool,
    hub_is_dead: bool,
    partition_until: i64,
    hub_full_until: i64,
    /// How often sessions that were ended had to heal a difference.
    pub healed: u64,
    pub forgetting: Option<Forgetting>,
}

impl Storm {
    pub fn new(seed: u64, bug: Option<Bug>, log: bool) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(1));
        let settings = Settings::of(&mut dice, bug);
        let ground = Ground::new(settings.sqlite, settings.typed);
        let (time, points) = (Time::default(), Points::default());
        let device = Device::new(&time, dice.next());
        let hub_identity = Identity::hub(&*device, "hub");
        let disk = Disk::empty(&ground);
        let site = Arc::new(Site::new(&ground, disk, hub_identity.clone(), device, bug, &points));
        let house = Arc::new(House { hub: Mutex::new(None), site });
        let mut storm = Self {
            settings,
            ground,
            dice,
            time,
            memory: Arc::default(),
            house,
            hub_identity,
            edges: Vec::new(),
            trace: Trace::new(log),
            report: Report::default(),
            points,
            designs: Design::all(),
            narrowed: false,
            raging: true,
            hub_is_dead: false,
            partition_until: 0,
            hub_full_until: 0,
            healed: 0,
            forgetting: Forgetting::of(seed, bug),
        };
        let voids = [Fault::NewEpoch, Fault::Revoke].iter().any(|fault| storm.settings.has(*fault));
        storm.forgetting = storm.forgetting.filter(|_| !voids);
        storm.note(&format!("{:?}", storm.settings));
        storm.open_hub();
        for design in &storm.designs {
            let node = storm.house.site.process().node;
            let text = design.text();
            let made = node.map(|node| {
                storm.ground.run(async { node.create_type(&Actor::Operator, design.name, text.as_bytes()).await })
            });
            made.into_iter().for_each(|made| assert!(made.is_ok_and(|made| made.is_new), "a type is made"));
        }
        for _ in 0..storm.settings.edges {
            storm.join();
        }
        storm
    }

    pub fn note(&mut self, what: &str) {
        self.trace.note(self.now(), what);
    }

    /// A fault happened.
    fn happens(&mut self, fault: Fault, to: impl std::fmt::Display) {
        *self.report.faults.entry(fault.name()).or_default() += 1;
        self.note(&format!("{}: {to}", fault.name()));
    }

    /// Milliseconds since the beginning.
    pub fn now(&self) -> i64 {
        self.time.now() - START
    }

    fn hub(&self) -> Arc<Hub> {
        self.house.hub.lock().expect("one thread").clone().expect("the hub is up")
    }

    fn open_hub(&mut self) {
        let store = self.house.site.process().store;
        self.house.site.process().fuse.begin("start");
        let (identity, device) = (self.hub_identity.clone(), self.house.site.device.clone());
        let denies = self.settings.has(Fault::Deny);
        let permits = move |save: &Save| {
            if denies && people::is_denied(save.id) { Err("not permitted".to_owned()) } else { Ok(()) }
        };
        let hub = self.ground.run(Hub::open(store.clone(), identity, device, Box::new(permits)));
        *self.house.hub.lock().expect("one thread") = Some(hub.expect("the store works"));
        for edge in &mut self.edges {
            edge.hints = store.notices();
        }
    }

    fn scope(&mut self) -> Value {
        match self.dice.below(3) {
            0 => json!({"note": true, "job": ["a"]}),
            1 => json!({"job": ["a", "b"]}),
            _ => json!("all"),
        }
    }

    /// A new edge joins.
    fn join(&mut self) {
        let device = Device::new(&self.time, self.dice.next());
        if self.dice.chance(50) && self.settings.has(Fault::ClockSet) {
            device.set(self.dice.below(48 * HOUR as u64) as i64 - 24 * HOUR);
        }
        if self.settings.has(Fault::Drift) {
            device.run_wrong(self.dice.below(1_000) as i64 - 500);
            *self.report.faults.entry(Fault::Drift.name()).or_default() += 1;
        }
        let scope = self.scope();
        let hub = self.hub();
        let token = self.ground.run(hub.invite("edge", scope.clone(), false)).expect("an invitation is made");
        let enrol = Enrol { token, name: String::new(), secret: "PDaJ5Gd2Tmyl7nVqD0J4jw".into() };
        let enrolled = self.ground.run(hub.enrol(&enrol)).expect("the edge is let in");
        let identity = Identity {
            node: enrolled.node,
            incarnation: Incarnation(device.random() as u64),
            epoch: Epoch(device.random() as u64),
            ancestors: Vec::new(),
            name: enrolled.name,
            role: NodeRole::Edge(Upstream {
                url: String::new(),
                name: enrolled.hub_name,
                node: enrolled.hub,
                credential: enrolled.credential.clone(),
            }),
        };
        let disk = Disk::empty(&self.ground);
        let scope = Scope::from_json(&scope).expect("a good scope");
        self.connect(disk, identity, device, scope, enrolled.credential);
    }

    fn connect(&mut self, disk: Disk, identity: Identity, device: Arc<Device>, scope: Scope, credential: String) {
        let (bug, now) = (self.settings.bug, self.now());
        let site = Arc::new(Site::new(&self.ground, disk, identity.clone(), device.clone(), bug, &self.points));
        let network = Arc::new(Network {
            house: self.house.clone(),
            credential,
            edge: site.clone(),
            time: self.time.clone(),
            memory: self.memory.clone(),
            bug,
            weather: Mutex::default(),
            echoes: Mutex::default(),
            meanwhile: Mutex::default(),
            epoch: Mutex::default(),
        });
        let store = site.process().store;
        let offset = self.ground.run(Offset::load(&*store)).expect("the store works");
        *site.offset.lock().expect("one thread") = Some(offset.clone());
        self.edges.push(Edge {
            carrier: Carrier { store, transport: network.clone(), identity, world: device, offset, below: None },
            site,
            network,
            session: Session::new(now),
            scope,
            revoked: false,
            cut_until: 0,
            half_open_until: 0,
            full_until: 0,
            hints: self.house.site.process().store.notices(),
            backup: None,
            gave_up: false,
        });
        let which = self.edges.len() - 1;
        self.waiting(which);
    }

    /// People work, and everything goes wrong that may.
    pub fn rage(&mut self) {
        for action in 0..self.settings.actions {
            forgetting::sometimes(self);
            self.time.pass(self.dice.below(120) as i64);
            if self.dice.chance(3) {
                self.time.pass(self.dice.below(90_000) as i64);
            }
            if self.house.hub.lock().expect("one thread").is_none() && self.dice.chance(50) {
                self.revive_hub();
            }
            let which = self.dice.below(self.edges.len() as u64) as usize;
            match self.dice.below(100) {
                0..12 => self.save(None),
                12..32 => self.save(Some(which)),
                32..37 => {
                    let whose = self.dice.chance(60).then_some(which);
                    let site = self.site(whose);
                    self.ground.run(site.render(&mut self.dice));
                }
                37..54 => self.misfortune(which),
                54..58 => self.hint(which),
                _ => self.step(which),
            }
            if action % 32 == 31 {
                invariants::at_any_time(self);
            }
        }
    }

    /// One of the faults that are no matter of a single request.
    fn misfortune(&mut self, which: usize) {
        let fault = Fault::ALL[self.dice.below(Fault::ALL.len() as u64) as usize];
        if !self.settings.has(fault) {
            return;
        }
        let now = self.now();
        let long = self.dice.below(20_000) as i64;
        match fault {
            Fault::Cut => self.edges[which].cut_until = now + long,
            Fault::HalfOpen => self.edges[which].half_open_until = now + long,
            Fault::Partition => self.partition_until = now + long,
            Fault::Repeats => return self.echo(which),
            Fault::Restart => {
                if self.dice.chance(20) {
                    self.restart_hub();
                    return self.happens(fault, "the hub");
                }
                self.restart(which);
            }
            Fault::FullDisk if self.dice.chance(25) => self.hub_full_until = now + long,
            Fault::FullDisk => self.edges[which].full_until = now + long,
            Fault::ClockSet => {
                let far = if self.dice.chance(30) { 10 * YEAR } else { HOUR };
                let skew = self.dice.below(2 * far as u64) as i64 - far;
                self.edges[which].site.device.set(skew);
            }
            Fault::NewEpoch => {
                self.hub_identity.epoch = Epoch(self.dice.next());
                self.restart_hub();
            }
            Fault::Pause => {
                let random = self.dice.next();
                let event = if self.dice.chance(30) { Event::Pause } else { Event::Resume };
                self.edges[which].session.handle(event, now, random);
            }
            Fault::Scope => {
                let hub = self.house.hub.lock().expect("one thread").clone();
                let Some(hub) = hub else { return };
                let scope = self.scope();
                self.rescope(which, &hub, scope);
            }
            Fault::Revoke => {
                let alive = self.edges.iter().filter(|edge| !edge.revoked).count();
                if alive < 2 || self.dice.chance(80) {
                    return;
                }
                let hub = self.house.hub.lock().expect("one thread").clone();
                let node = self.edges[which].carrier.identity.node;
                let Some(hub) = hub.filter(|_| !self.house.site.process().fuse.is_full()) else { return };
                self.ground.run(hub.revoke(node)).expect("the store works");
                // and with it every copy of its disk
                self.edges
                    .iter_mut()
                    .filter(|edge| edge.carrier.identity.node == node)
                    .for_each(|edge| edge.revoked = true);
            }
            Fault::Clone => {
                if self.edges.len() > 2 * self.settings.edges || self.edges[which].revoked || self.dice.chance(50) {
                    return;
                }
                let edge = &self.edges[which];
                let (identity, scope) = (edge.carrier.identity.clone(), edge.scope.clone());
                let credential = edge.network.credential.clone();
                let disk = edge.site.process().disk.copy(&self.ground, None);
                let device = Device::new(&self.time, self.dice.next());
                self.connect(disk, identity, device, scope, credential);
            }
            Fault::Publish => {
                let site = self.house.site.clone();
                let is_up = self.house.hub.lock().expect("one thread").is_some() && !site.process().fuse.is_full();
                let Some(node) = site.process().node.filter(|_| is_up) else { return };
                let design = &mut self.designs[self.dice.below(2) as usize];
                self.narrowed |= design.change(&mut self.dice, self.settings.narrows);
                let text = design.text();
                let published = self.ground.run(node.publish_type(&Actor::Operator, design.name, text.as_bytes(), ""));
                assert!(published.is_ok_and(|published| published.is_new), "a type is published");
            }
            Fault::RollBack => return self.roll_back(which),
            _ => return,
        }
        self.happens(fault, which);
    }

    /// An admin changes what a node holds.
    fn rescope(&mut self, which: usize, hub: &Hub, scope: Value) {
        let node = self.edges[which].carrier.identity.node;
        let change = NodeChange { scope: Some(scope.clone()), relays: None };
        if self.ground.run(hub.change(node, change)).is_err() {
            // withdrawn, or the disk is full
            return;
        }
        let scope = Scope::from_json(&scope).expect("a good scope");
        // copies of the node's disk are the same node
        let same = self.edges.iter_mut().filter(|edge| edge.carrier.identity.node == node);
        same.for_each(|edge| edge.scope = scope.clone());
    }

    /// The edge goes on from an older copy of its disk, if nothing is lost by that which only this disk holds.
    fn roll_back(&mut self, which: usize) {
        let edge = &mut self.edges[which];
        let disk = edge.site.process().disk;
        let waiting = self.ground.run(edge.site.disk().waiting()).expect("the store works");
        match edge.backup.take() {
            None => edge.backup = Some(disk.copy(&self.ground, None)),
            Some(backup) if waiting == 0 => {
                disk.discard(&self.ground);
                edge.site.start(&self.ground, backup);
                edge.site.close_forms();
                self.restart(which);
                self.happens(Fault::RollBack, which);
            }
            backup => edge.backup = backup,
        }
    }

    pub fn site(&self, which: Option<usize>) -> Arc<Site> {
        which.map_or(&self.house.site, |which| &self.edges[which].site).clone()
    }

    fn kill_moment(&mut self) -> Moment {
        match self.dice.below(4) {
            0 => Moment::Before,
            1..3 if self.settings.sqlite && self.settings.has(Fault::TornWrite) => Moment::Within,
            _ => Moment::After,
        }
    }

    fn save(&mut self, which: Option<usize>) {
        if which.is_none() && self.house.hub.lock().expect("one thread").is_none() {
            return;
        }
        let site = self.site(which);
        let fuse = site.process().fuse;
        let now = self.now();
        fuse.set_full(self.raging && now < which.map_or(self.hub_full_until, |which| self.edges[which].full_until));
        fuse.begin("person");
        if self.settings.has(Fault::KillSave) && self.dice.chance(self.settings.deadly) {
            fuse.arm(0, self.kill_moment());
        }
        self.ground.run(site.save(&mut self.dice, &self.memory));
        fuse.disarm();
        self.note(&format!("save {which:?}"));
        if fuse.blown().is_some() {
            let fault = if fuse.torn().is_some() { Fault::TornWrite } else { Fault::KillSave };
            self.happens(fault, format!("{which:?} {:?}", fuse.blown()));
            match which {
                Some(which) => self.revive(which),
                None => {
                    *self.house.hub.lock().expect("one thread") = None;
                    self.hub_is_dead = true;
                }
            }
        }
        if let Some(which) = which {
            self.edges[which].gave_up = false;
            self.waiting(which);
        }
    }

    fn waiting(&mut self, which: usize) {
        let waiting = self.ground.run(self.edges[which].site.disk().waiting()).expect("the store works");
        let (now, random) = (self.now(), self.dice.next());
        self.edges[which].session.handle(Event::Waiting(waiting), now, random);
    }

    /// The program was ended, or its machine, and is started again on what is on the disk.
    fn restart(&mut self, which: usize) {
        let now = self.now();
        self.healed += self.edges[which].session.healed();
        let edge = &mut self.edges[which];
        edge.session = Session::new(now);
        edge.gave_up = false;
        let store = edge.site.process().store;
        edge.site.process().fuse.begin("start");
        let offset = self.ground.run(Offset::load(&*store)).expect("the store works");
        *edge.site.offset.lock().expect("one thread") = Some(offset.clone());
        (edge.carrier.offset, edge.carrier.store) = (offset, store);
        self.waiting(which);
    }

    fn revive(&mut self, which: usize) {
        let site = self.edges[which].site.clone();
        let disk = site.wreck(&self.ground, &mut self.dice);
        site.start(&self.ground, disk);
        self.ground.run(site.recall(&self.memory));
        self.restart(which);
    }

    fn restart_hub(&mut self) {
        if self.house.hub.lock().expect("one thread").is_some() {
            self.open_hub();
        }
    }

    fn revive_hub(&mut self) {
        let site = self.house.site.clone();
        let disk = site.wreck(&self.ground, &mut self.dice);
        site.start(&self.ground, disk);
        self.ground.run(site.recall(&self.memory));
        invariants::saves_are_whole(self);
        self.open_hub();
        self.hub_is_dead = false;
        self.note("the hub is back");
    }

    /// A push that was sent long ago arrives once more.
    fn echo(&mut self, which: usize) {
        let edge = &self.edges[which];
        let hub = self.house.hub.lock().expect("one thread").clone();
        let Some(hub) = hub.filter(|_| !edge.revoked) else { return };
        let push = {
            let mut echoes = edge.network.echoes.lock().expect("one thread");
            if echoes.is_empty() {
                return;
            }
            let at = self.dice.below(echoes.len() as u64) as usize;
            echoes.swap_remove(at)
        };
        self.house.site.process().fuse.set_full(false);
        let credential = edge.network.credential.clone();
        let pushed = self.ground.run(async {
            let node = hub.authenticate(Some(&credential)).await.expect("the edge is let in");
            hub.push(&node, push).await.expect("the store works")
        });
        assert!(pushed.verdicts.iter().all(|verdict| verdict.refused.is_none()), "{pushed:?}");
        self.happens(Fault::Repeats, which);
    }

    /// Some of the hints that were not lost arrive.
    fn hint(&mut self, which: usize) {
        let (now, epoch) = (self.now(), self.hub_identity.epoch);
        let loses = self.raging && self.settings.has(Fault::LosesHints);
        let edge = &mut self.edges[which];
        if self.raging && now < edge.cut_until.max(self.partition_until) {
            return;
        }
        let mut lost = 0;
        loop {
            match edge.hints.try_recv() {
                Ok(batch) => {
                    for notice in batch.iter().filter(|notice| edge.scope.contains(&notice.partition)) {
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

    fn weather(&mut self, which: usize) -> Weather {
        let now = self.now();
        let mut faults = Vec::new();
        let (settings, dice) = (&self.settings, &mut self.dice);
        let mut strikes = |fault, percent| {
            let strikes = settings.has(fault) && dice.chance(percent);
            if strikes {
                faults.push(fault);
            }
            strikes
        };
        let mut weather = Weather {
            cut: now < self.edges[which].cut_until.max(self.partition_until),
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

    /// An edge does what it wants to do, in whatever weather.
    fn step(&mut self, which: usize) {
        let at = self.now();
        let step = self.edges[which].session.next(at);
        if matches!(step, Step::Wait { .. }) || (self.edges[which].gave_up && matches!(step, Step::Push { .. })) {
            return;
        }
        let fuse = self.edges[which].site.process().fuse;
        fuse.set_full(self.raging && at < self.edges[which].full_until);
        self.house.site.process().fuse.set_full(self.raging && at < self.hub_full_until);
        fuse.begin(name(&step));
        let mut weather = Weather::default();
        if self.raging {
            weather = self.weather(which);
            if self.settings.has(Fault::KillEdge) && self.dice.chance(self.settings.deadly) {
                fuse.arm(self.dice.below(9), self.kill_moment());
            }
        }
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
            if fuse.torn().is_some() {
                self.happens(Fault::TornWrite, which);
            }
            self.hub_died();
            return self.revive(which);
        };
        let event = event.expect("it was no wait");
        let label = match &event {
            Event::Failed { failure, .. } => format!("{label}: {failure}"),
            Event::Joined { rows, .. } => format!("{label}: {rows} rows"),
            _ => label,
        };
        let pushing = matches!(&event, Event::Failed { doing: outpost::domain::session::Doing::Push(_), .. });
        edge.gave_up |= pushing && self.settings.bug == Some(Bug::NoRetry);
        let (now, random) = (self.now(), self.dice.next());
        self.edges[which].session.handle(event, now, random);
        self.waiting(which);
        self.note(&label);
        self.hub_died();
    }

    /// Takes notice of it, if the hub died meanwhile.
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
                *self.report.faults.entry(Fault::SmallPages.name()).or_default() += 1;
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
        if self.house.hub.lock().expect("one thread").is_none() {
            self.revive_hub();
        }
        for which in 0..self.edges.len() {
            let (now, random) = (self.now(), self.dice.next());
            if self.edges[which].session.status().state == LinkState::Paused {
                self.edges[which].session.handle(Event::Resume, now, random);
            }
        }
        let began = self.now();
        loop {
            for which in 0..self.edges.len() {
                let mut steps = 0;
                loop {
                    self.hint(which);
                    let now = self.now();
                    if matches!(self.edges[which].session.next(now), Step::Wait { .. }) || self.edges[which].gave_up {
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
            if invariants::is_at_rest(self) {
                self.report.rest = self.now() - began;
                return;
            }
            if self.now() - began > REST {
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
