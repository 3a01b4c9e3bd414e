//! How nodes come into the storm, serve others, end and begin again.

use std::sync::{Arc, Mutex};

use outpost::domain::ids::{Epoch, Incarnation};
use outpost::domain::protocol::Enrol;
use outpost::domain::save::Save;
use outpost::domain::scope::Scope;
use outpost::domain::session::{Event, Session};
use outpost::node::{Identity, NodeRole, Nodes, Upstream, World};
use outpost::store::Notice;
use outpost::sync::{Carrier, Corrected, Hub, Offset, Relay};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::device::{Device, HOUR};
use crate::disk::Disk;
use crate::faults::Fault;
use crate::invariants;
use crate::network::{House, Network};
use crate::people;
use crate::site::Site;
use crate::world::Storm;

/// About how large chunks are, so that a few records make several.
const CHUNK: usize = 250;

pub struct Edge {
    pub site: Arc<Site>,
    pub carrier: Carrier,
    pub network: Arc<Network>,
    pub session: Session,
    /// What its hub grants it.
    pub scope: Scope,
    pub revoked: bool,
    /// The edge that is its hub; none: the hub of all.
    pub above: Option<usize>,
    /// What it is to edges below it, if it may have any.
    pub house: Option<Arc<House>>,
    pub cut_until: i64,
    pub half_open_until: i64,
    pub full_until: i64,
    pub hints: broadcast::Receiver<Arc<Vec<Notice>>>,
    pub backup: Option<Disk>,
    /// The next try of a push waits for the next save: a planted bug.
    pub gave_up: bool,
}

/// Who comes, and where to.
struct Newcomer {
    disk: Disk,
    identity: Identity,
    device: Arc<Device>,
    scope: Scope,
    credential: String,
    above: Option<usize>,
    relays: bool,
    old: bool,
}

impl Storm {
    pub fn open_hub(&mut self) {
        let store = self.house.site.process().store;
        self.house.site.process().fuse.begin("start");
        let (identity, device) = (self.hub_identity.clone(), self.house.site.device.clone());
        let denies = self.settings.has(Fault::Deny);
        let permits = move |save: &Save| {
            if denies && people::is_denied(save.id) { Err("not permitted".to_owned()) } else { Ok(()) }
        };
        let hub = self.ground.run(Hub::open(store.clone(), identity, device, Box::new(permits)));
        let hub = hub.expect("the store works");
        hub.cut_chunks_about(CHUNK);
        *self.house.hub.lock().expect("one thread") = Some(hub);
        for edge in self.edges.iter_mut().filter(|edge| edge.above.is_none()) {
            edge.hints = store.notices();
        }
    }

    pub fn scope(&mut self) -> Value {
        match self.dice.below(3) {
            0 => json!({"note": true, "job": ["a"]}),
            1 => json!({"job": ["a", "b"]}),
            _ => json!("all"),
        }
    }

    /// The edge that a newcomer has for its hub; none: the hub of all.
    fn place(&mut self) -> Option<usize> {
        let relays = 0..self.edges.len();
        let relays = relays.filter(|which| self.edges[*which].house.is_some() && self.is_connected(*which));
        let relays: Vec<usize> = relays.collect();
        if relays.is_empty() || self.dice.chance(30) {
            return None;
        }
        Some(relays[self.dice.below(relays.len() as u64) as usize])
    }

    /// A new edge joins. Says whether it could.
    pub fn join(&mut self) -> bool {
        let above = self.place();
        let house = above.and_then(|above| self.edges[above].house.clone()).unwrap_or(self.house.clone());
        let Some(hub) = house.hub.lock().expect("one thread").clone() else { return false };
        house.site.process().fuse.set_full(false);
        let device = Device::new(&self.time, self.dice.next());
        if self.dice.chance(50) && self.settings.has(Fault::ClockSet) {
            device.set(self.dice.below(48 * HOUR as u64) as i64 - 24 * HOUR);
        }
        if self.settings.has(Fault::Drift) {
            device.run_wrong(self.dice.below(1_000) as i64 - 500);
            self.report.count(Fault::Drift);
        }
        let depth = above.map_or(0, |above| 1 + self.depth(above));
        let relays = depth < self.settings.hops && (self.edges.is_empty() || self.dice.chance(40));
        let old = !relays && self.settings.has(Fault::OldEdge) && self.dice.chance(30);
        let scope = self.scope();
        let token = self.ground.run(hub.invite("edge", scope.clone(), relays)).expect("an invitation is made");
        let enrol = Enrol { token, name: String::new(), secret: "PDaJ5Gd2Tmyl7nVqD0J4jw".into() };
        let Ok(enrolled) = self.ground.run(hub.enrol(&enrol)) else { return false };
        // of who joined since a backup was made, what comes back from it knows nothing
        match above {
            Some(above) => self.edges[above].backup = None,
            None => self.hub_backup = None,
        }
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
        let credential = enrolled.credential;
        self.connect(Newcomer { disk, identity, device, scope, credential, above, relays, old });
        if above.is_some() {
            self.report.count(Fault::Hop);
        }
        if old {
            self.report.count(Fault::OldEdge);
        }
        let which = self.edges.len() - 1;
        if relays {
            // it hears from its hub that it may serve others
            let raging = std::mem::replace(&mut self.raging, false);
            self.step(which);
            self.raging = raging;
        }
        true
    }

    /// The disk of an edge is copied, and both run.
    pub fn clone_edge(&mut self, which: usize) {
        let edge = &self.edges[which];
        let newcomer = Newcomer {
            disk: edge.site.process().disk.copy(&self.ground, None),
            identity: edge.carrier.identity.clone(),
            device: Device::new(&self.time, self.dice.next()),
            scope: edge.scope.clone(),
            credential: edge.network.credential.clone(),
            above: edge.above,
            relays: false,
            old: false,
        };
        self.connect(newcomer);
    }

    fn connect(&mut self, newcomer: Newcomer) {
        let Newcomer { disk, identity, device, scope, credential, above, relays, old } = newcomer;
        let (bug, now) = (self.settings.bug, self.now());
        let site = Arc::new(Site::new(&self.ground, disk, identity.clone(), device.clone(), bug, &self.points));
        let house = above.and_then(|above| self.edges[above].house.clone()).unwrap_or(self.house.clone());
        let hints = house.site.process().store.notices();
        let network = Arc::new(Network {
            house,
            credential,
            edge: site.clone(),
            time: self.time.clone(),
            memory: self.memory.clone(),
            bug,
            old,
            chunks: self.settings.has(Fault::Chunks),
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
            house: relays.then(|| Arc::new(House { hub: Mutex::new(None), site: site.clone() })),
            site,
            network,
            session: Session::new(now),
            scope,
            revoked: false,
            above,
            cut_until: 0,
            half_open_until: 0,
            full_until: 0,
            hints,
            backup: None,
            gave_up: false,
        });
        let which = self.edges.len() - 1;
        self.serve(which);
        self.waiting(which);
    }

    /// Opens an edge's side for the edges below it, as its process does when it starts.
    fn serve(&mut self, which: usize) {
        let edge = &mut self.edges[which];
        let Some(house) = edge.house.clone() else { return };
        let (store, offset, device) =
            (edge.carrier.store.clone(), edge.carrier.offset.clone(), edge.site.device.clone());
        let identity = edge.site.identity();
        let opened = self.ground.run(async {
            let relay = Relay::load(&*store, offset.clone(), "hub").await?;
            let world = Arc::new(Corrected::new(device, offset));
            Ok::<_, outpost::store::StoreError>((
                Hub::relaying(store.clone(), identity, world, relay.clone()).await?,
                relay,
            ))
        });
        let (hub, relay) = opened.expect("the store works");
        hub.cut_chunks_about(CHUNK);
        *house.hub.lock().expect("one thread") = Some(hub.clone());
        edge.carrier.below = Some((hub, relay));
        for below in self.edges.iter_mut().filter(|below| below.above == Some(which)) {
            below.hints = store.notices();
        }
    }

    pub fn waiting(&mut self, which: usize) {
        let waiting = self.ground.run(self.edges[which].site.disk().waiting()).expect("the store works");
        let (now, random) = (self.now(), self.dice.next());
        self.edges[which].session.handle(Event::Waiting(waiting), now, random);
    }

    /// The program was ended, or its machine, and is started again on what is on the disk.
    pub fn restart(&mut self, which: usize) {
        let now = self.now();
        if self.is_connected(which) {
            self.healed += self.edges[which].session.healed();
        }
        let edge = &mut self.edges[which];
        edge.session = Session::new(now);
        edge.gave_up = false;
        let store = edge.site.process().store;
        edge.site.process().fuse.begin("start");
        let offset = self.ground.run(Offset::load(&*store)).expect("the store works");
        *edge.site.offset.lock().expect("one thread") = Some(offset.clone());
        (edge.carrier.offset, edge.carrier.store) = (offset, store);
        edge.carrier.identity = edge.site.identity();
        self.serve(which);
        self.waiting(which);
    }

    pub fn revive(&mut self, which: usize) {
        let site = self.edges[which].site.clone();
        let disk = site.wreck(&self.ground, &mut self.dice);
        site.start(&self.ground, disk);
        self.ground.run(site.recall(&self.memory));
        self.restart(which);
    }

    pub fn restart_hub(&mut self) {
        if self.hub_is_up() {
            self.open_hub();
        }
    }

    pub fn revive_hub(&mut self) {
        let site = self.house.site.clone();
        let disk = site.wreck(&self.ground, &mut self.dice);
        site.start(&self.ground, disk);
        self.ground.run(site.recall(&self.memory));
        invariants::saves_are_whole(self);
        self.open_hub();
        self.hub_is_dead = false;
        self.note("the hub is back");
    }
}
