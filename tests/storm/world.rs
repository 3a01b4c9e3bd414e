//! The storm: hubs in a row, their edges, and what happens to them.

use std::sync::{Arc, Mutex};

use outpost::domain::ids::Epoch;
use outpost::domain::people::Actor;
use outpost::domain::scope::Scope;
use outpost::node::Identity;
use outpost::sync::Hub;

use crate::device::{DAY, Device, START, Time};
use crate::dice::Dice;
use crate::disk::{Disk, Ground};
use crate::faults::Fault;
use crate::forgetting::{self, Forgetting};
use crate::fuse::{Moment, Points};
use crate::invariants;
use crate::memory::Memory;
use crate::network::House;
use crate::node::Edge;
use crate::planted::Bug;
use crate::settings::Settings;
use crate::site::Site;
use crate::trace::{Report, Trace};
use crate::types::Design;
use crate::watch::{self, Watch};

pub struct Storm {
    pub settings: Settings,
    pub ground: Ground,
    pub dice: Dice,
    pub time: Time,
    pub memory: Arc<Mutex<Memory>>,
    /// The hub of all.
    pub house: Arc<House>,
    pub hub_identity: Identity,
    pub edges: Vec<Edge>,
    pub trace: Trace,
    pub report: Report,
    pub points: Points,
    pub designs: [Design; 2],
    /// Less was allowed in a type than before.
    pub narrowed: bool,
    pub raging: bool,
    pub hub_is_dead: bool,
    pub partition_until: i64,
    pub hub_full_until: i64,
    pub hub_backup: Option<Disk>,
    /// The lines of numbers that the hub gave before this one.
    pub epochs: Vec<Epoch>,
    /// The hub was put back: what only its edges hold must not go before they have given it back.
    pub restored: bool,
    /// An edge that serves others was put back: what they give it, it finds to be more than its hub has.
    pub relay_put_back: bool,
    /// When an edge brought something to one that serves it.
    pub stirred: i64,
    /// How often sessions that were ended had to heal a difference.
    pub healed: u64,
    pub forgetting: Option<Forgetting>,
    pub watch: Watch,
}

impl Storm {
    pub fn new(seed: u64, bug: Option<Bug>, log: bool) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(1));
        let mut settings = Settings::of(&mut dice, bug);
        let forgetting = Forgetting::of(seed, bug, &mut settings);
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
            raging: false,
            hub_is_dead: false,
            partition_until: 0,
            hub_full_until: 0,
            hub_backup: None,
            epochs: Vec::new(),
            restored: false,
            relay_put_back: false,
            stirred: 0,
            healed: 0,
            forgetting,
            watch: Watch::default(),
        };
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
        storm.raging = true;
        storm
    }

    pub fn note(&mut self, what: &str) {
        self.trace.note(self.now(), what);
        watch::look(self);
    }

    /// A fault happened.
    pub fn happens(&mut self, fault: Fault, to: impl std::fmt::Display) {
        self.report.count(fault);
        self.note(&format!("{}: {to}", fault.name()));
    }

    /// Milliseconds since the beginning.
    pub fn now(&self) -> i64 {
        self.time.now() - START
    }

    /// Where the hub of an edge runs.
    pub fn house_above(&self, which: usize) -> Arc<House> {
        self.edges[which].network.house.clone()
    }

    /// The hub of an edge, if it runs.
    pub fn hub_above(&self, which: usize) -> Option<Arc<Hub>> {
        self.house_above(which).hub.lock().expect("one thread").clone()
    }

    pub fn hub_is_up(&self) -> bool {
        self.house.hub.lock().expect("one thread").is_some()
    }

    /// What an edge may hold: what its hub grants it of what that may hold.
    pub fn scope_of(&self, which: usize) -> Scope {
        let edge = &self.edges[which];
        match edge.above {
            Some(above) => edge.scope.within(&self.scope_of(above)),
            None => edge.scope.clone(),
        }
    }

    /// Whether nobody on the way to the hub of all was revoked.
    pub fn is_connected(&self, which: usize) -> bool {
        let edge = &self.edges[which];
        !edge.revoked && edge.above.is_none_or(|above| self.is_connected(above))
    }

    /// How many hubs are above an edge besides the hub of all.
    pub fn depth(&self, which: usize) -> u64 {
        self.edges[which].above.map_or(0, |above| 1 + self.depth(above))
    }

    pub fn site(&self, which: Option<usize>) -> Arc<Site> {
        which.map_or(&self.house.site, |which| &self.edges[which].site).clone()
    }

    /// People work, and everything goes wrong that may.
    pub fn rage(&mut self) {
        for action in 0..self.settings.actions {
            forgetting::sometimes(self);
            if action == self.settings.actions / 3 {
                self.back_up();
            }
            self.time.pass(self.dice.below(120) as i64);
            if self.dice.chance(3) {
                self.time.pass(self.dice.below(90_000) as i64);
            }
            if self.settings.long && self.dice.chance(6) {
                // nobody is there for a while
                let days = self.dice.below(2 * DAY as u64) as i64;
                self.time.pass(days);
                self.happens(Fault::Idle, days);
            }
            if !self.hub_is_up() && self.dice.chance(50) {
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

    pub fn kill_moment(&mut self) -> Moment {
        match self.dice.below(4) {
            0 => Moment::Before,
            1..3 if self.settings.sqlite && self.settings.has(Fault::TornWrite) => Moment::Within,
            _ => Moment::After,
        }
    }

    fn save(&mut self, which: Option<usize>) {
        if which.is_none() && !self.hub_is_up() {
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
}
