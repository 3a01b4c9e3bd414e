//! A node: a device with a disk, the process that runs on it, and a person in front of it.

use std::sync::{Arc, Mutex};

use outpost::domain::clock::Reading;
use outpost::domain::ids::{RecordId, SaveId, TypeName};
use outpost::domain::stamp::Author;
use outpost::node::{Identity, Node, NodeRole, World};
use outpost::store::{
    Expect, Held, LocalRecord, LocalSave, Model, Outcome, Query, Request, Sort, SortKey, Store, StoreError,
};
use outpost::sync::Offset;

use crate::device::Device;
use crate::dice::Dice;
use crate::disk::{Disk, Ground, Kept};
use crate::fuse::{Fuse, Points};
use crate::memory::{Erased, Memory};
use crate::people;
use crate::planted::{Bug, Planted};
use crate::seam::{Rumours, Seam};

/// One life of a node, from its start to its end.
#[derive(Clone)]
pub struct Process {
    pub disk: Disk,
    /// The disk's store as the process sees it.
    pub store: Arc<dyn Store>,
    /// What one can ask of it, where types are real.
    pub node: Option<Node>,
    pub fuse: Arc<Fuse>,
    /// What would be left of the disk, if the store had answered too early.
    behind: Arc<Mutex<Option<Arc<Model>>>>,
}

/// A save that nobody was told about, because its process died over it.
struct Unsure {
    id: SaveId,
    parts: Vec<LocalRecord>,
    erased: Vec<Erased>,
}

pub struct Site {
    pub is_edge: bool,
    identity: Mutex<Identity>,
    pub author: Author,
    pub device: Arc<Device>,
    pub offset: Mutex<Option<Arc<Offset>>>,
    pub rumours: Rumours,
    bug: Option<Bug>,
    points: Points,
    process: Mutex<Process>,
    /// Forms that were opened and are open still.
    rendered: Mutex<Vec<Held>>,
    unsure: Mutex<Vec<Unsure>>,
}

impl Site {
    pub fn new(
        ground: &Ground,
        disk: Disk,
        identity: Identity,
        device: Arc<Device>,
        bug: Option<Bug>,
        points: &Points,
    ) -> Self {
        let rumours = Rumours::default();
        let is_edge = !matches!(identity.role, NodeRole::Hub);
        let author = Author { node: identity.node, incarnation: identity.incarnation, ..Author::default() };
        let process = start(ground, disk, (&identity, &device), bug, points, &rumours);
        Self {
            identity: Mutex::new(identity),
            is_edge,
            author,
            device,
            offset: Mutex::default(),
            rumours,
            bug,
            points: points.clone(),
            process: Mutex::new(process),
            rendered: Mutex::default(),
            unsure: Mutex::default(),
        }
    }

    /// Who it was when its process started.
    pub fn identity(&self) -> Identity {
        self.identity.lock().expect("one thread").clone()
    }

    pub fn process(&self) -> Process {
        self.process.lock().expect("one thread").clone()
    }

    /// The disk itself, without the process.
    pub fn disk(&self) -> Arc<dyn Store> {
        self.process().disk.store()
    }

    /// A new process on this disk. Forms stay open in browsers.
    pub fn start(&self, ground: &Ground, disk: Disk) {
        let kept = ground.run(Identity::load(&*disk.store())).expect("the store works");
        let identity = kept.unwrap_or_else(|| self.identity());
        let process = start(ground, disk, (&identity, &self.device), self.bug, &self.points, &self.rumours);
        *self.identity.lock().expect("one thread") = identity;
        *self.process.lock().expect("one thread") = process;
    }

    pub fn close_forms(&self) {
        self.rendered.lock().expect("one thread").clear();
    }

    /// What is on the disk once the process is dead, or the power gone.
    pub fn wreck(&self, ground: &Ground, dice: &mut Dice) -> Disk {
        let process = self.process();
        let behind = process.behind.lock().expect("one thread").take();
        if let Some(model) = behind {
            return Disk { kept: Kept::Memory(model), caches: None };
        }
        // of a transaction under way any part is in the log, and all of it only at its end
        let torn = process.fuse.torn().map(|(from, to)| from + dice.below(to - from + 1));
        let wreck = process.disk.copy(ground, torn);
        process.disk.discard(ground);
        wreck
    }

    pub async fn records(&self) -> Vec<Held> {
        let disk = self.disk();
        let mut records = all(&*disk, people::note()).await;
        records.extend(all(&*disk, people::job()).await);
        records
    }

    /// Opens a form and leaves it open.
    pub async fn render(&self, dice: &mut Dice) {
        let mut records = self.records().await;
        if !records.is_empty() {
            let at = dice.below(records.len() as u64) as usize;
            self.rendered.lock().expect("one thread").push(records.swap_remove(at));
        }
    }

    /// One to three records that a person saves at once: new, as they are, or as they were rendered a while ago.
    /// With the words that they take out of texts.
    async fn compose(&self, dice: &mut Dice) -> (Vec<LocalRecord>, Vec<Erased>) {
        let records = self.records().await;
        let node = self.process().node;
        // the publication that the form was made of; without one there is no form
        let form = |type_name: &TypeName| match &node {
            None => Some(None),
            Some(node) => node.caches().get(type_name).map(|found| Some(found.current.id)),
        };
        let (mut parts, mut erased): (Vec<LocalRecord>, Vec<Erased>) = Default::default();
        for _ in 0..=u64::from(dice.chance(20)) + u64::from(dice.chance(10)) {
            if records.is_empty() || dice.chance(15) {
                let (type_name, changes) = people::creation(dice);
                let id = RecordId::from_u128(dice.wide());
                let Some(revision) = form(&type_name) else { continue };
                parts.push(LocalRecord { type_name, id, revision, expect: Expect::New, changes });
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
            let Some(revision) = form(&seen.type_name) else { continue };
            let cuts_units = self.bug == Some(Bug::CutsUnits);
            let (changes, words) = people::edit(dice, &seen.type_name, &seen.state, cuts_units);
            let (type_name, id) = (seen.type_name, seen.id);
            erased.extend(words.into_iter().map(|word| (id, word)));
            parts.push(LocalRecord { type_name, id, revision, expect: Expect::Exists, changes });
        }
        (parts, erased)
    }

    /// A person saves. If that kills the process, nobody knows what became of it until it is started again.
    pub async fn save(&self, dice: &mut Dice, memory: &Mutex<Memory>) {
        let (parts, erased) = self.compose(dice).await;
        if parts.is_empty() {
            return;
        }
        let id = {
            let mut memory = memory.lock().expect("one thread");
            memory.saves += 1;
            // the tag is unique, so that a stamp can be told from its save; the hub's own are the numbers it gives
            let id = SaveId(u128::from(1 << 24 | memory.saves) << 96 | u128::from(dice.next()));
            memory.expect(&parts, id);
            id
        };
        let offset = self.offset.lock().expect("one thread").clone();
        let Reading { now, unchecked } = match offset {
            Some(offset) => offset.reading(&*self.device),
            None => self.device.reading(),
        };
        // a node that was copied or put back takes another incarnation
        let present = Identity::load(&*self.disk()).await.expect("the store works").unwrap_or_else(|| self.identity());
        let author = Author { incarnation: present.incarnation, ..self.author };
        let save = LocalSave { id, author, now, unchecked, records: parts.clone(), outbox: self.is_edge };
        let Process { store, fuse, .. } = self.process();
        let Some(answer) = fuse.guard(store.write(Request::Save(save))).await else {
            self.unsure.lock().expect("one thread").push(Unsure { id, parts, erased });
            return;
        };
        match answer {
            Ok(Outcome::Saved(held)) => {
                assert_eq!(held.len(), parts.len());
                let saved: Vec<_> = held
                    .iter()
                    .zip(&parts)
                    .map(|(held, part)| stands(held, id, part) || is_up_to_the_type(part))
                    .collect();
                assert!(saved.iter().all(|stands| *stands), "I3: what was saved does not stand: {parts:?} {held:?}");
                memory.lock().expect("one thread").remember_all(&parts, id, &erased);
            }
            // the record was moved away and dropped since it was rendered; or nothing was changed, as the person is told
            Ok(Outcome::Refused { now: None, .. }) | Err(StoreError::Full) => {}
            other => panic!("a save was answered by {other:?}"),
        }
    }

    /// Looks what became of the saves that nobody was told about: each is there as a whole, or not at all.
    pub async fn recall(&self, memory: &Mutex<Memory>) {
        let unsure = std::mem::take(&mut *self.unsure.lock().expect("one thread"));
        let disk = self.disk();
        for Unsure { id, parts, erased } in unsure {
            let (mut there, mut itself) = (0, false);
            let telling: Vec<_> = parts.iter().filter(|part| !is_up_to_the_type(part)).collect();
            let telling = if telling.is_empty() { parts.iter().collect() } else { telling };
            for part in &telling {
                let held = disk.record(&part.type_name, part.id).await.expect("the store works");
                there += usize::from(held.as_ref().is_some_and(|held| stands(held, id, part)));
                // what the hub wrote in the place of another's write may say the same
                let held = held.into_iter();
                held.for_each(|held| held.state.each_stamp(&mut |stamp| itself |= stamp.tag == id.tag()));
            }
            assert!(!itself || there == telling.len(), "I4: of a save only a part is there: {parts:?}");
            if itself {
                memory.lock().expect("one thread").remember_all(&parts, id, &erased);
            }
        }
    }
}

fn start(
    ground: &Ground,
    disk: Disk,
    (identity, device): (&Identity, &Arc<Device>),
    bug: Option<Bug>,
    points: &Points,
    rumours: &Rumours,
) -> Process {
    let is_edge = !matches!(identity.role, NodeRole::Hub);
    let fuse = Fuse::new(if is_edge { "edge" } else { "hub" }, disk.log(), points);
    fuse.begin("start");
    let seam = Seam::new(&disk, &fuse, bug.map(|bug| Planted::new(bug, is_edge, rumours)));
    let behind = seam.behind.clone();
    // as it was at the start; what is on disk already stays
    ground.run(identity.settle(&*disk.store())).expect("the store works");
    let store: Arc<dyn Store> = Arc::new(seam);
    match disk.caches.clone() {
        None => Process { disk, store, node: None, fuse, behind },
        Some(caches) => {
            let node = ground.run(Node::open(store, caches, device.clone(), identity.clone())).expect("a node opens");
            Process { disk, store: node.store().clone(), node: Some(node), fuse, behind }
        }
    }
}

fn is_up_to_the_type(part: &LocalRecord) -> bool {
    part.changes.iter().all(|change| people::is_up_to_the_type(&change.path))
}

fn stands(held: &Held, id: SaveId, part: &LocalRecord) -> bool {
    people::stamp_of(held, id, &part.changes).is_some()
}

/// All records of a type, those in the bin, too.
pub async fn all(store: &dyn Store, type_name: TypeName) -> Vec<Held> {
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
            let page = store.records(&query).await.expect("the store works");
            records.extend(page.items);
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => break,
            }
        }
    }
    records
}
