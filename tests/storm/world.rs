//! Nodes, the network between them, and time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::FutureExt;
use outpost::domain::clock::{Hlc, MAX_LEAD, Reading};
use outpost::domain::feed::Digest;
use outpost::domain::ids::{Epoch, Incarnation, Partition, RecordId, SaveId, TypeName};
use outpost::domain::protocol::{Enrol, Failure, Hello, Hint, Pull, Pulled, Push, Pushed, Welcome};
use outpost::domain::save::Save;
use outpost::domain::scope::Scope;
use outpost::domain::session::{Event, LinkState, Session, Step};
use outpost::domain::stamp::Author;
use outpost::node::{Identity, NodeRole, Nodes, Upstream, World};
use outpost::store::{
    Expect, Held, LocalRecord, LocalSave, Model, Notice, Outcome, Query, Request, Sort, SortKey, Store,
};
use outpost::sync::{Carrier, Hub, HubError, LiveEvent, Offset, Transport};
use tokio::sync::{broadcast, mpsc};

use crate::people::{self, Fixed, Memory};

/// Everything here answers at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the model store never waits")
}

/// SplitMix64.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A device's clock and its source of chance.
struct Device {
    time: Arc<AtomicI64>,
    skew: AtomicI64,
    chance: AtomicU64,
}

impl World for Device {
    fn now(&self) -> i64 {
        self.time.load(Ordering::Relaxed) + self.skew.load(Ordering::Relaxed)
    }

    fn ticks(&self) -> i64 {
        self.time.load(Ordering::Relaxed)
    }

    fn random(&self) -> u128 {
        let seed = self.chance.fetch_add(1, Ordering::Relaxed);
        let mut dice = Dice(seed.wrapping_mul(0x2545_F491_4F6C_DD1D));
        u128::from(dice.next()) << 64 | u128::from(dice.next())
    }
}

/// How the network treats a request. One decision for each, made before it leaves.
#[derive(Clone, Copy, Default)]
struct Weather {
    cut: bool,
    loses_request: bool,
    loses_answer: bool,
    repeats: bool,
    is_busy: bool,
    is_faulty: bool,
}

struct Network {
    hub: Mutex<Arc<Hub>>,
    credential: String,
    weather: Mutex<Weather>,
    /// Requests that come a second time, later.
    echoes: Mutex<Vec<Push>>,
    /// What people do while a request is on its way.
    meanwhile: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
}

impl Network {
    async fn carry<T>(
        &self,
        request: impl AsyncFnOnce(Arc<Hub>, outpost::sync::NodeRecord) -> Result<T, HubError>,
    ) -> Result<T, Failure> {
        let weather = *self.weather.lock().expect("one thread");
        let unreachable = || Failure::Unreachable("the storm".into());
        if weather.cut || weather.loses_request {
            return Err(unreachable());
        }
        if weather.is_busy {
            return Err(Failure::Busy { reason: "busy".into(), retry_after: Some(700) });
        }
        if weather.is_faulty {
            return Err(Failure::Faulty("a proxy stumbled".into()));
        }
        let hub = self.hub.lock().expect("one thread").clone();
        let answer = match hub.authenticate(Some(&self.credential)).await {
            Ok(node) => request(hub, node).await,
            Err(err) => Err(err),
        };
        let meanwhile = std::mem::take(&mut *self.meanwhile.lock().expect("one thread"));
        meanwhile.into_iter().for_each(|happens| happens());
        if weather.loses_answer {
            return Err(unreachable());
        }
        answer.map_err(|err| {
            let problem = err.problem();
            Failure::of(problem.status, Some(&problem), err.retry_after().map(|seconds| i64::from(seconds) * 1000))
        })
    }
}

#[async_trait]
impl Transport for Network {
    async fn hello(&self, hello: &Hello) -> Result<Welcome, Failure> {
        now(self.carry(async |hub, node| hub.hello(&node, hello).await))
    }

    async fn push(&self, push: &Push) -> Result<Pushed, Failure> {
        if self.weather.lock().expect("one thread").repeats {
            self.echoes.lock().expect("one thread").push(push.clone());
        }
        now(self.carry(async |hub, node| hub.push(&node, push.clone()).await))
    }

    async fn pull(&self, pull: &Pull) -> Result<Pulled, Failure> {
        now(self.carry(async |hub, node| hub.pull(&node, pull).await))
    }

    async fn live(&self, _: u64, _: mpsc::Sender<LiveEvent>) -> Failure {
        Failure::Local("hints are delivered by the storm".into())
    }
}

/// A person at a node: what they rendered some time ago, and may save now.
struct Desk {
    store: Arc<dyn Store>,
    author: Author,
    device: Arc<Device>,
    offset: Mutex<Option<Arc<Offset>>>,
    is_edge: bool,
    rendered: Mutex<Vec<Held>>,
}

impl Desk {
    fn records(&self) -> Vec<Held> {
        [people::note(), people::job()].into_iter().flat_map(|name| all(&*self.store, name)).collect()
    }

    /// Opens a form and leaves it open.
    fn render(&self, dice: &mut Dice) {
        let records = self.records();
        if !records.is_empty() {
            let mut rendered = self.rendered.lock().expect("one thread");
            rendered.push(records[dice.below(records.len() as u64) as usize].clone());
        }
    }

    /// Saves one to three records at once, new, as they are, or as they were rendered a while ago.
    fn save(&self, dice: &mut Dice, memory: &mut Memory) {
        let records = self.records();
        let mut parts: Vec<LocalRecord> = Vec::new();
        for _ in 0..=u64::from(dice.chance(20)) + u64::from(dice.chance(10)) {
            if records.is_empty() || dice.chance(15) {
                let (type_name, changes) = people::creation(dice);
                let id = RecordId::from_u128(u128::from(dice.next()) << 64 | u128::from(dice.next()));
                parts.push(LocalRecord { type_name, id, revision: None, expect: Expect::New, changes });
                continue;
            }
            let mut rendered = self.rendered.lock().expect("one thread");
            let seen = if !rendered.is_empty() && dice.chance(40) {
                let at = dice.below(rendered.len() as u64) as usize;
                rendered.swap_remove(at)
            } else {
                records[dice.below(records.len() as u64) as usize].clone()
            };
            if parts.iter().any(|part| part.id == seen.id) {
                continue;
            }
            let changes = people::edit(dice, &seen.type_name, &seen.state);
            let (type_name, id) = (seen.type_name, seen.id);
            parts.push(LocalRecord { type_name, id, revision: None, expect: Expect::Exists, changes });
        }
        if parts.is_empty() {
            return;
        }
        memory.saves += 1;
        // the tag is unique, so that a stamp can be told from its save
        let id = SaveId(u128::from(memory.saves) << 96 | u128::from(dice.next()));
        let offset = self.offset.lock().expect("one thread").clone();
        let Reading { now: shown, unchecked } = match offset {
            Some(offset) => offset.reading(&*self.device),
            None => self.device.reading(),
        };
        let (author, outbox) = (self.author, self.is_edge);
        let save = LocalSave { id, author, now: shown, unchecked, records: parts.clone(), outbox };
        match now(self.store.write(Request::Save(save))).expect("the model store works") {
            Outcome::Saved(held) => {
                assert_eq!(held.len(), parts.len());
                for (held, part) in held.iter().zip(&parts) {
                    let stamp = people::stamp_of(held, id, &part.changes);
                    let stamp = stamp.unwrap_or_else(|| panic!("what was saved does not stand: {part:?} {held:?}"));
                    let denied = self.is_edge && people::is_denied(id);
                    memory.remember(&part.type_name, part.id, &part.changes, stamp.tag, denied);
                }
            }
            // the record was moved away and dropped since it was rendered
            Outcome::Refused { now: None, .. } => {}
            other => panic!("a save was answered by {other:?}"),
        }
    }
}

fn all(store: &dyn Store, type_name: TypeName) -> Vec<Held> {
    let mut records = Vec::new();
    for binned in [false, true] {
        let mut query = Query {
            type_name: type_name.clone(),
            filters: Vec::new(),
            sort: vec![Sort { by: SortKey::Changed, descending: false }],
            binned,
            limit: 500,
            cursor: None,
        };
        loop {
            let page = now(store.records(&query)).expect("the model store works");
            records.extend(page.items);
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => break,
            }
        }
    }
    records
}

struct Edge {
    desk: Arc<Desk>,
    carrier: Carrier,
    network: Arc<Network>,
    session: Session,
    scope: Scope,
    cut_until: i64,
    hints: broadcast::Receiver<Arc<Vec<Notice>>>,
}

pub struct Storm {
    dice: Dice,
    time: Arc<AtomicI64>,
    memory: Arc<Mutex<Memory>>,
    hub_store: Arc<dyn Store>,
    hub_desk: Arc<Desk>,
    hub_device: Arc<Device>,
    hub_identity: Identity,
    edges: Vec<Edge>,
    trace: blake3::Hasher,
    raging: bool,
    /// How often sessions that were ended had to heal a difference.
    healed: u64,
}

const START: i64 = 1_760_000_000_000;
const HOUR: i64 = 3_600_000;
const YEAR: i64 = 365 * 24 * HOUR;

impl Storm {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(1));
        let time = Arc::new(AtomicI64::new(START));
        let memory = Arc::new(Mutex::new(Memory::default()));
        let mut device = |skew: i64| {
            Arc::new(Device {
                time: time.clone(),
                skew: AtomicI64::new(skew),
                chance: AtomicU64::new(dice.next() & !0xffff_ffff),
            })
        };
        let hub_device = device(0);
        let hub_store: Arc<dyn Store> = Arc::new(Model::new(Arc::new(Fixed)));
        let hub_identity = Identity::hub(&*hub_device, "hub");
        let hub = open_hub(&hub_store, &hub_identity, &hub_device);
        let desk = |store: &Arc<dyn Store>, identity: &Identity, device: &Arc<Device>, offset, is_edge| {
            Arc::new(Desk {
                store: store.clone(),
                author: Author { node: identity.node, incarnation: identity.incarnation, ..Author::default() },
                device: device.clone(),
                offset: Mutex::new(offset),
                is_edge,
                rendered: Mutex::default(),
            })
        };
        let devices: Vec<Arc<Device>> = (0..3).map(|_| device(0)).collect();
        let count = 1 + dice.below(3) as usize;
        let mut edges = Vec::new();
        for device in devices.into_iter().take(count) {
            if dice.chance(50) {
                device.skew.store(dice.below(48 * HOUR as u64) as i64 - 24 * HOUR, Ordering::Relaxed);
            }
            let scope = match dice.below(3) {
                0 => serde_json::json!({"note": true, "job": ["a"]}),
                1 => serde_json::json!({"job": ["a", "b"]}),
                _ => serde_json::json!("all"),
            };
            let token = now(hub.invite("edge", scope.clone(), false)).expect("an invitation is made");
            let enrolled =
                now(hub.enrol(&Enrol { token, name: String::new(), secret: "PDaJ5Gd2Tmyl7nVqD0J4jw".into() }))
                    .expect("the edge is let in");
            let store: Arc<dyn Store> = Arc::new(Model::new(Arc::new(Fixed)));
            let offset = now(Offset::load(&*store)).expect("the model store works");
            let identity = Identity {
                ancestors: Vec::new(),
                node: enrolled.node,
                incarnation: Incarnation(device.random() as u64),
                epoch: Epoch(device.random() as u64),
                name: enrolled.name,
                role: NodeRole::Edge(Upstream {
                    url: String::new(),
                    name: enrolled.hub_name,
                    node: enrolled.hub,
                    credential: enrolled.credential.clone(),
                }),
            };
            let network = Arc::new(Network {
                hub: Mutex::new(hub.clone()),
                credential: enrolled.credential,
                weather: Mutex::default(),
                echoes: Mutex::default(),
                meanwhile: Mutex::default(),
            });
            edges.push(Edge {
                desk: desk(&store, &identity, &device, Some(offset.clone()), true),
                carrier: Carrier { store, transport: network.clone(), identity, world: device, offset, below: None },
                network,
                session: Session::new(0),
                scope: Scope::from_json(&scope).expect("a good scope"),
                cut_until: 0,
                hints: hub_store.notices(),
            });
        }
        let hub_desk = desk(&hub_store, &hub_identity, &hub_device, None, false);
        Self {
            dice,
            time,
            memory,
            hub_store,
            hub_desk,
            hub_device,
            hub_identity,
            edges,
            trace: blake3::Hasher::new(),
            raging: true,
            healed: 0,
        }
    }

    fn note(&mut self, what: &str) {
        self.trace.update(what.as_bytes());
        self.trace.update(&self.now().to_le_bytes());
        if std::env::var_os("OUTPOST_STORM_LOG").is_some() {
            println!("{:>8} {what}", self.now());
        }
    }

    /// Milliseconds since the beginning.
    fn now(&self) -> i64 {
        self.time.load(Ordering::Relaxed) - START
    }

    fn pass(&mut self, millis: i64) {
        self.time.fetch_add(millis, Ordering::Relaxed);
    }

    /// People work, and everything goes wrong that can.
    pub fn rage(&mut self) {
        let actions = 60 + self.dice.below(240);
        for _ in 0..actions {
            let pause = self.dice.below(120) as i64;
            self.pass(pause);
            if self.dice.chance(3) {
                let long = self.dice.below(90_000) as i64;
                self.pass(long);
            }
            let which = self.dice.below(self.edges.len() as u64) as usize;
            match self.dice.below(100) {
                0..12 => self.save(None),
                12..32 => self.save(Some(which)),
                32..38 => {
                    let desk = self.desk(self.dice.0.is_multiple_of(3).then_some(which));
                    desk.render(&mut self.dice);
                }
                38..42 => {
                    let long = self.dice.below(20_000) as i64;
                    self.edges[which].cut_until = self.now() + long;
                    self.note("cut");
                }
                42..47 => self.echo(which),
                47..49 => {
                    // the program was ended and started again
                    let now = self.now();
                    self.healed += self.edges[which].session.healed();
                    let edge = &mut self.edges[which];
                    edge.session = Session::new(now);
                    let offset = self::now(Offset::load(&*edge.carrier.store)).expect("the model store works");
                    *edge.desk.offset.lock().expect("one thread") = Some(offset.clone());
                    edge.carrier.offset = offset;
                    self.waiting(which);
                    self.note("restart");
                }
                49 => self.new_epoch(),
                50..52 => {
                    let (now, random) = (self.now(), self.dice.next());
                    let event = if self.dice.chance(30) { Event::Pause } else { Event::Resume };
                    self.edges[which].session.handle(event, now, random);
                }
                52..54 => {
                    let far = if self.dice.chance(30) { 10 * YEAR } else { HOUR };
                    let skew = self.dice.below(2 * far as u64) as i64 - far;
                    self.edges[which].desk.device.skew.store(skew, Ordering::Relaxed);
                }
                54..58 => self.hint(which),
                _ => self.step(which),
            }
        }
    }

    fn desk(&self, which: Option<usize>) -> Arc<Desk> {
        which.map_or(&self.hub_desk, |which| &self.edges[which].desk).clone()
    }

    fn save(&mut self, which: Option<usize>) {
        let desk = self.desk(which);
        desk.save(&mut self.dice, &mut self.memory.lock().expect("one thread"));
        if let Some(which) = which {
            self.waiting(which);
        }
        self.note(&format!("save {which:?}"));
    }

    fn waiting(&mut self, which: usize) {
        let waiting = now(self.edges[which].carrier.store.waiting()).expect("the model store works");
        let (now, random) = (self.now(), self.dice.next());
        self.edges[which].session.handle(Event::Waiting(waiting), now, random);
    }

    /// A push that was sent long ago arrives once more.
    fn echo(&mut self, which: usize) {
        let network = self.edges[which].network.clone();
        let mut echoes = network.echoes.lock().expect("one thread");
        if echoes.is_empty() {
            return;
        }
        let at = self.dice.below(echoes.len() as u64) as usize;
        let push = echoes.swap_remove(at);
        drop(echoes);
        let hub = network.hub.lock().expect("one thread").clone();
        let node = now(hub.authenticate(Some(&network.credential))).expect("the edge is let in");
        let pushed = now(hub.push(&node, push)).expect("the model store works");
        assert!(pushed.verdicts.iter().all(|verdict| verdict.refused.is_none()), "{pushed:?}");
        self.note("echo");
    }

    /// The hub counts from a new beginning.
    fn new_epoch(&mut self) {
        self.hub_identity.epoch = Epoch(self.dice.next());
        let hub = open_hub(&self.hub_store, &self.hub_identity, &self.hub_device);
        for edge in &self.edges {
            *edge.network.hub.lock().expect("one thread") = hub.clone();
        }
        self.note("new epoch");
    }

    /// Some of the hints that were not lost arrive.
    fn hint(&mut self, which: usize) {
        let (now, epoch) = (self.now(), self.hub_identity.epoch);
        let edge = &mut self.edges[which];
        if now < edge.cut_until {
            return;
        }
        loop {
            match edge.hints.try_recv() {
                Ok(batch) => {
                    for notice in batch.iter().filter(|notice| edge.scope.contains(&notice.partition)) {
                        if self.raging && self.dice.chance(30) {
                            continue;
                        }
                        let hint = Hint { epoch, partition: notice.partition.clone(), head: notice.seq, records: 1 };
                        edge.session.handle(Event::Heard(hint), now, 0);
                    }
                }
                Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                Err(_) => return,
            }
        }
    }

    /// An edge does what it wants to do, in whatever weather.
    fn step(&mut self, which: usize) {
        let at = self.now();
        let step = self.edges[which].session.next(at);
        if matches!(step, Step::Wait { .. }) {
            return;
        }
        let mut weather = Weather::default();
        if self.raging {
            weather = Weather {
                cut: at < self.edges[which].cut_until,
                loses_request: self.dice.chance(6),
                loses_answer: self.dice.chance(8),
                repeats: self.dice.chance(10),
                is_busy: self.dice.chance(2),
                is_faulty: self.dice.chance(3),
            };
            if self.dice.chance(15) {
                // somebody saves while the request is on its way
                let whose = self.dice.chance(60).then_some(which);
                let desk = self.desk(whose);
                let (memory, mut dice) = (self.memory.clone(), Dice(self.dice.next()));
                let happens = move || desk.save(&mut dice, &mut memory.lock().expect("one thread"));
                self.edges[which].network.meanwhile.lock().expect("one thread").push(Box::new(happens));
            }
        }
        // pages are small, so that there are many
        let step = match step {
            Step::Pull { partition, cursor, .. } => {
                Step::Pull { partition, cursor, max_bytes: 1 + self.dice.below(2_000) as usize }
            }
            Step::Push { since, max_bytes } => {
                Step::Push { since, max_bytes: max_bytes.min(1 + self.dice.below(3_000) as usize) }
            }
            step => step,
        };
        let edge = &mut self.edges[which];
        *edge.network.weather.lock().expect("one thread") = weather;
        let in_step = edge.session.is_in_step();
        let label = format!("{which} {step:?}");
        let event = now(edge.carrier.carry_out(step, in_step)).expect("it was no wait");
        edge.network.meanwhile.lock().expect("one thread").clear();
        let label = match &event {
            Event::Failed { failure, .. } => format!("{label}: {failure}"),
            Event::Joined { rows, .. } => format!("{label}: {rows} rows"),
            _ => label,
        };
        let random = self.dice.next();
        edge.session.handle(event, at, random);
        self.waiting(which);
        self.note(&label);
    }

    /// No more faults; people are asleep. Everything must come to rest soon.
    pub fn drain(&mut self) {
        self.raging = false;
        let began = self.now();
        for which in 0..self.edges.len() {
            let (now, random) = (self.now(), self.dice.next());
            self.edges[which].session.handle(Event::Resume, now, random);
        }
        loop {
            for which in 0..self.edges.len() {
                for _ in 0..10_000 {
                    self.hint(which);
                    let now = self.now();
                    if matches!(self.edges[which].session.next(now), Step::Wait { .. }) {
                        break;
                    }
                    self.step(which);
                }
            }
            let in_step = |edge: &Edge| edge.session.status().state == LinkState::InStep;
            if self.edges.iter().all(in_step) && self.is_quiet() {
                return;
            }
            if self.now() - began > 180_000 {
                let states: Vec<_> = self.edges.iter().map(|edge| edge.session.status()).collect();
                self.check_digests();
                let differing: Vec<String> = self.edges.iter().flat_map(|edge| self.differences(edge)).collect();
                panic!("not at rest three minutes after the last fault: {states:#?}\n{}", differing.join("\n"));
            }
            self.pass(1_000);
        }
    }

    /// Whether the hub has nothing that an edge has not heard of.
    fn is_quiet(&self) -> bool {
        let heads = now(self.hub_store.partitions()).expect("the model store works");
        self.edges.iter().all(|edge| {
            heads.iter().filter(|state| edge.scope.contains(&state.partition)).all(|state| {
                edge.session
                    .cursors()
                    .any(|(partition, cursor)| *partition == state.partition && cursor.base >= state.head)
            })
        })
    }

    fn held(store: &dyn Store) -> BTreeMap<(TypeName, RecordId), Held> {
        let built_in = [TypeName::LOST, TypeName::QUARANTINE].map(TypeName::built_in);
        let names = [people::note(), people::job()].into_iter().chain(built_in);
        let records = names.flat_map(|name| all(store, name));
        records.map(|held| ((held.type_name.clone(), held.id), held)).collect()
    }

    fn differences(&self, edge: &Edge) -> Vec<String> {
        let hub = Self::held(&*self.hub_store);
        let mine = Self::held(&*edge.carrier.store);
        let mut found = Vec::new();
        for (key, held) in hub.iter().filter(|(_, held)| edge.scope.contains(&held.partition)) {
            match mine.get(key) {
                None => found.push(format!("missing on the edge: {held:?}")),
                Some(mine) if mine.hash() != held.hash() || mine.partition != held.partition => {
                    found.push(format!("differs:\n hub  {held:?}\n edge {mine:?}"));
                }
                Some(mine) => {
                    if mine.document != held.document || mine.flags != held.flags {
                        found.push(format!("shown differently:\n hub  {held:?}\n edge {mine:?}"));
                    }
                }
            }
        }
        for (key, held) in &mine {
            let there = hub.get(key).map(|there| &there.partition);
            if !edge.scope.contains(&held.partition) || there != Some(&held.partition) {
                found.push(format!("only on the edge, at the hub in {there:?}: {held:?}"));
            }
        }
        found
    }

    pub fn check(&mut self) {
        for edge in &self.edges {
            let differences = self.differences(edge);
            assert!(differences.is_empty(), "{}", differences.join("\n"));
            assert_eq!(now(edge.carrier.store.waiting()).expect("the model store works"), 0);
        }
        self.check_digests();
        let healed: u64 = self.edges.iter().map(|edge| edge.session.healed()).sum();
        assert_eq!(self.healed + healed, 0, "digests differed, and pulling from the beginning healed it");
        let hub = Self::held(&*self.hub_store);
        let lost: Vec<Held> = hub.values().filter(|held| held.type_name.as_str() == TypeName::LOST).cloned().collect();
        // whatever any clock showed, no write is later than the last fault
        let latest = Hlc::at(self.time.load(Ordering::Relaxed) + MAX_LEAD);
        for held in hub.values() {
            assert!(held.state.latest().time <= latest, "written in the future: {held:?}");
        }
        let missing = self.memory.lock().expect("one thread").missing(&hub, &lost);
        assert!(missing.is_empty(), "saved and nowhere any more:\n{}", missing.join("\n"));
    }

    /// The digests that nodes compare are those of what they hold.
    fn check_digests(&self) {
        let edges = self.edges.iter().enumerate().map(|(which, edge)| (Some(which), &edge.carrier.store));
        for (which, store) in edges.chain([(None, &self.hub_store)]) {
            let mut sums: BTreeMap<Partition, (Digest, u64)> = BTreeMap::new();
            for held in Self::held(&**store).values() {
                let (digest, records) = sums.entry(held.partition.clone()).or_default();
                *digest = digest.plus(held.hash());
                *records += 1;
            }
            for state in now(store.partitions()).expect("the model store works") {
                let sum = sums.remove(&state.partition).unwrap_or_default();
                assert_eq!((state.digest, state.records), sum, "{} of {which:?}", state.partition);
            }
            assert!(sums.is_empty(), "{which:?}: {sums:?}");
        }
    }

    /// A hash of all that happened and all that is.
    pub fn trace(&mut self) -> String {
        for held in Self::held(&*self.hub_store).values() {
            self.trace.update(&held.hash().0.to_le_bytes());
            self.trace.update(&held.seq.to_le_bytes());
        }
        self.trace.finalize().to_hex()[..16].to_owned()
    }
}

fn open_hub(store: &Arc<dyn Store>, identity: &Identity, device: &Arc<Device>) -> Arc<Hub> {
    let permits = |save: &Save| if people::is_denied(save.id) { Err("not permitted".to_owned()) } else { Ok(()) };
    let hub = Hub::open(store.clone(), identity.clone(), device.clone(), Box::new(permits));
    now(hub).expect("the model store works")
}
