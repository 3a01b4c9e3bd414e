//! What every store promises, as one suite that runs against each.

mod clocks;
mod copying;
mod counting;
mod forgetting;
mod listing;
mod opening;
mod policies;
mod quarantine;
mod relaying;
mod rewinding;
mod saving;
mod syncing;
mod weather;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::domain::ids::Incarnation;
use crate::domain::record::{Act, Content, Cover};

/// Runs tests that take a [`Kind`] against each kind of store.
macro_rules! contract {
    ($($name:ident),+ $(,)?) => {
        mod in_memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::store::contract::Kind::Memory).await;
            })+
        }
        mod in_sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::store::contract::Kind::Disk).await;
            })+
        }
    };
}
use contract;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Memory,
    Disk,
}

impl Kind {
    /// A new, empty store of this kind.
    pub async fn open(self) -> Site {
        let judge = Arc::new(Rules::default());
        let (store, dir): (Arc<dyn Store>, _) = match self {
            Kind::Memory => (Arc::new(Model::new(judge.clone())), None),
            Kind::Disk => {
                let dir = tempfile::tempdir().expect("a directory for a test");
                let store = Sqlite::open(&dir.path().join("outpost.db"), judge.clone(), Options::default()).await;
                (Arc::new(store.expect("a new database opens")), Some(dir))
            }
        };
        Site::new(store, judge, dir)
    }

    /// A node of this kind with a name of its own.
    pub async fn node(self, number: u64) -> Site {
        let mut site = self.open().await;
        site.author.node = NodeId(number);
        site
    }
}

/// `job` is scoped by its field `site`, every other type is one partition; what says `"bad": true` is not valid.
#[derive(Debug, Default)]
pub struct Rules {
    unscoped: AtomicBool,
    strict: AtomicBool,
    unknown: Mutex<BTreeSet<RevisionId>>,
}

impl Judge for Rules {
    fn partition(&self, type_name: &TypeName, document: &Value) -> Partition {
        if type_name.as_str() == "job" && !self.unscoped.load(Ordering::Relaxed) {
            Partition::of_value(type_name, document.get("site"))
        } else {
            Partition::of_type(type_name)
        }
    }

    fn knows(&self, type_name: &TypeName) -> bool {
        type_name.as_str() != "job" || !self.unscoped.load(Ordering::Relaxed)
    }

    fn conflict(&self, _: &TypeName, _: Option<RevisionId>, path: &Path) -> Conflict {
        match path.to_string().as_str() {
            "/peak" => Conflict::Highest,
            "/low" => Conflict::Lowest,
            "/answer" => Conflict::Ask,
            _ => Conflict::Later,
        }
    }

    fn is_valid(&self, _: &TypeName, revision: Option<RevisionId>, document: &Value) -> Option<bool> {
        if revision.is_some_and(|revision| self.unknown.lock().expect("not poisoned").contains(&revision)) {
            return None;
        }
        let bad = document.get("bad").is_some() || self.strict.load(Ordering::Relaxed) && document.get("due").is_none();
        Some(!bad)
    }

    fn version(&self) -> Option<u64> {
        let unknown = self.unknown.lock().expect("not poisoned").len() as u64;
        let [unscoped, strict] = [&self.unscoped, &self.strict].map(|rule| u64::from(rule.load(Ordering::Relaxed)));
        Some(unknown << 2 | strict << 1 | unscoped)
    }
}

/// A store with somebody who writes in it.
pub struct Site {
    pub store: Arc<dyn Store>,
    pub rules: Arc<Rules>,
    pub author: Author,
    /// What the person's clock says.
    pub now: AtomicU64,
    pub is_edge: bool,
    /// The correction in what the clock says, if nobody checked it lately.
    pub unchecked: Option<i64>,
    saves: AtomicU64,
    pub dir: Option<tempfile::TempDir>,
}

pub fn kind(name: &str) -> TypeName {
    name.parse().expect("a type's name")
}

pub fn id(number: u128) -> RecordId {
    Uuid::from_u128(number)
}

pub fn at(pointer: &str) -> Path {
    Path::parse(pointer, |_| false).expect("a pointer")
}

pub fn create(value: Value) -> Vec<Change> {
    vec![Change { path: Path::root(), act: Act::Set(Content::json(value)), replaces: Cover::nothing() }]
}

/// What a form would send from what was shown in it.
pub fn write(seen: &Held, pointer: &str, value: Value) -> Change {
    let path = at(pointer);
    Change { replaces: seen.state.cover(&path), path, act: Act::Set(Content::json(value)) }
}

pub fn bin(seen: &Held, binned: bool) -> Change {
    Change { replaces: seen.state.cover(&Path::root()), path: Path::root(), act: Act::Bin(binned) }
}

pub fn part(type_name: &str, id: RecordId, expect: Expect, changes: Vec<Change>) -> LocalRecord {
    LocalRecord { type_name: kind(type_name), id, revision: Some(RevisionId(1)), expect, changes }
}

impl Site {
    pub fn new(store: Arc<dyn Store>, rules: Arc<Rules>, dir: Option<tempfile::TempDir>) -> Self {
        let author = Author { node: NodeId(1), incarnation: Incarnation(1), person: id(7) };
        let (now, saves) = (AtomicU64::new(1_800_000_000_000), AtomicU64::new(1));
        Self { store, rules, author, now, is_edge: false, unchecked: None, saves, dir }
    }

    pub fn edge(mut self) -> Self {
        self.is_edge = true;
        self
    }

    pub fn now(&self) -> i64 {
        self.now.fetch_add(10, Ordering::Relaxed) as i64
    }

    pub fn request(&self, records: Vec<LocalRecord>) -> Request {
        let number = u128::from(self.saves.fetch_add(1, Ordering::Relaxed));
        let id = SaveId(
            (u128::from(self.author.node.0) << 64 | number).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835),
        );
        Request::Save(LocalSave {
            id,
            author: self.author,
            now: self.now(),
            unchecked: self.unchecked,
            records,
            outbox: self.is_edge,
        })
    }

    pub async fn write(&self, request: Request) -> Outcome {
        self.store.write(request).await.expect("the store works")
    }

    pub async fn save(&self, records: Vec<LocalRecord>) -> Outcome {
        self.write(self.request(records)).await
    }

    pub async fn create(&self, type_name: &str, number: u128, value: Value) -> Held {
        match self.save(vec![part(type_name, id(number), Expect::New, create(value))]).await {
            Outcome::Saved(mut held) => held.remove(0),
            other => panic!("a new record is created, not {other:?}"),
        }
    }

    /// Changes what is here, as somebody would who had `seen` in front of them.
    pub async fn change(&self, seen: &Held, changes: Vec<Change>) -> Held {
        let revision = Some(RevisionId(1)).filter(|_| !seen.type_name.is_built_in());
        let record =
            LocalRecord { type_name: seen.type_name.clone(), id: seen.id, revision, expect: Expect::Exists, changes };
        match self.save(vec![record]).await {
            Outcome::Saved(mut held) => held.remove(0),
            other => panic!("the record is changed, not {other:?}"),
        }
    }

    pub async fn held(&self, type_name: &str, number: u128) -> Option<Held> {
        self.store.record(&kind(type_name), id(number)).await.expect("the store works")
    }

    pub async fn value(&self, type_name: &str, number: u128) -> Value {
        self.held(type_name, number).await.map_or(Value::Null, |held| held.document.value)
    }

    /// All entries about lost values.
    pub async fn lost(&self) -> Vec<Value> {
        let query = query(TypeName::LOST);
        let page = self.store.records(&query).await.expect("the store works");
        page.items.into_iter().map(|held| held.document.value).collect()
    }

    /// What waits here.
    pub async fn unsent(&self, max_bytes: usize) -> Vec<Save> {
        let unsent = self.store.outbox(max_bytes).await.expect("the store works");
        unsent.into_iter().map(|unsent| unsent.save).collect()
    }

    /// Sends what waits here to the hub and takes note of what it has.
    pub async fn push(&self, hub: &Site) {
        loop {
            let saves = self.unsent(2_000).await;
            if saves.is_empty() {
                return;
            }
            let ids = saves.iter().map(|save| save.id).collect();
            let verdicts = hub.write(Request::Receive { saves, now: hub.now(), relay: false }).await;
            let Outcome::Received(verdicts) = verdicts else { panic!("verdicts, not {verdicts:?}") };
            assert!(
                verdicts.iter().all(|verdict| matches!(verdict, Verdict::Accepted | Verdict::Waits)),
                "{verdicts:?}"
            );
            assert_eq!(self.write(Request::Acknowledge(ids)).await, Outcome::Done);
        }
    }

    /// Where this node is in a partition of the hub.
    pub async fn cursor(&self, partition: &Partition) -> Cursor {
        let value = self.store.local("cursor", &partition.0).await.expect("the store works");
        value.map_or_else(Cursor::default, |value| serde_json::from_value(value).expect("a cursor"))
    }

    /// Pulls one page; says whether it was the last.
    pub async fn pull_page(&self, hub: &Site, partition: &Partition, max_bytes: usize) -> bool {
        let Cursor { base, after, .. } = self.cursor(partition).await;
        let changes = hub.store.changes(partition, base, after, max_bytes).await.expect("the store works");
        let cursor = match changes.next {
            Some(after) => Cursor { base, after, ..Cursor::default() },
            None => Cursor { base: changes.head, after: changes.head, ..Cursor::default() },
        };
        // as it is on the wire
        let mut bytes = Vec::new();
        ciborium::into_writer(&(&changes.rows, &changes.moved, &changes.dictionary), &mut bytes).expect("it encodes");
        let (rows, moved, dictionary) = ciborium::from_reader(bytes.as_slice()).expect("it decodes");
        let page = PulledPage { partition: partition.clone(), rows, moved, cursor, dictionary };
        assert_eq!(self.write(Request::Join { page, now: self.now() }).await, Outcome::Done);
        changes.next.is_none()
    }

    pub async fn pull(&self, hub: &Site, partition: &Partition) {
        while !self.pull_page(hub, partition, 700).await {}
    }

    pub async fn digest(&self, partition: &Partition) -> Digest {
        let states = self.store.partitions().await.expect("the store works");
        states.into_iter().find(|state| state.partition == *partition).map_or(Digest::default(), |state| state.digest)
    }

    /// Holds what the store says of its partitions against all their rows.
    pub async fn check(&self) {
        let mut anew: std::collections::BTreeMap<_, _> =
            self.store.recompute_digests().await.expect("the store works").into_iter().collect();
        for state in self.store.partitions().await.expect("the store works") {
            let digest = anew.remove(&state.partition).unwrap_or_default();
            assert_eq!(state.digest, digest, "the digest of {} is that of its rows", state.partition);
        }
        assert!(anew.is_empty(), "every partition is known: {anew:?}");
    }
}

/// Whether they are the same to everybody: what a write held before others were made inside it is nobody's to see.
pub fn alike(a: &Held, b: &Held) -> bool {
    let seen = |held: &Held| (held.hash(), held.document.clone(), held.partition.clone(), held.seq, held.flags);
    seen(a) == seen(b)
}

pub fn query(type_name: &str) -> Query {
    Query { type_name: kind(type_name), filters: Vec::new(), sort: Vec::new(), binned: false, limit: 100, cursor: None }
}

/// Both hold the same of a partition, and each holds what it says.
pub async fn agree(a: &Site, b: &Site, partition: &Partition) {
    a.check().await;
    b.check().await;
    assert_eq!(a.digest(partition).await, b.digest(partition).await, "{partition} is the same on both");
}

pub fn notes() -> Partition {
    Partition::of_type(&kind("note"))
}

pub fn jobs_at(site: &str) -> Partition {
    Partition::of_value(&kind("job"), Some(&json!(site)))
}
