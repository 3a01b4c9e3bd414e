//! What a node keeps at hand of its types and people, and how that stays true.
//!
//! Types and people are records and may come by any way a record comes. So the caches sit around the store: whatever
//! write touched one of them, the caches are loaded again before the writer is answered.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, RwLock};

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::{Mutex, broadcast};

use super::people::Person;
use super::{Identity, NodeError, Result};
use crate::domain::form::Layout;
use crate::domain::ids::{Partition, PersonId, RecordId, RevisionId, SaveId, TypeName};
use crate::domain::json;
use crate::domain::path::Path;
use crate::domain::reconcile::{Hashed, Mark};
use crate::domain::schema::{Conflict, Schema};
use crate::domain::scope::Scope;
use crate::meter::Writes;
use crate::store::{
    Changes, Digest, Flags, Held, HistoryLine, Judge, Listed, Notice, Outcome, Page, PartitionState, Query, Request,
    Runs, Sort, SortKey, Store, StoreError, Tally, Unsent, Visit,
};

/// A custom type as it is now.
#[derive(Debug, Clone)]
pub struct Type {
    pub name: TypeName,
    pub title: String,
    /// Hidden; its records are kept and can be exported.
    pub retired: bool,
    /// The publication that new records are written under.
    pub current: Arc<Revision>,
    /// The permanent ids of its fields, by pointer.
    pub field_ids: BTreeMap<String, String>,
}

/// One publication of a type; immutable.
#[derive(Debug)]
pub struct Revision {
    pub id: RevisionId,
    pub type_name: TypeName,
    /// 1 for the first.
    pub version: u64,
    /// The schema as it was published, byte for byte.
    pub text: String,
    pub reason: String,
    /// When and by whom, from its stamp.
    pub at: i64,
    pub by: PersonId,
    schema: OnceLock<Option<Arc<Schema>>>,
    layout: OnceLock<Option<Arc<Layout>>>,
}

impl Revision {
    /// The schema made ready, once. `None` if this version of outpost cannot compile it: a newer node published it.
    pub fn schema(&self) -> Option<Arc<Schema>> {
        self.schema
            .get_or_init(|| {
                let value = json::read(&self.text).ok()?;
                Schema::compile(&value).ok().map(Arc::new)
            })
            .clone()
    }

    /// The form of this publication, made once.
    pub fn layout(&self) -> Option<Arc<Layout>> {
        self.layout.get_or_init(|| Some(Arc::new(Layout::of(self.schema()?)))).clone()
    }
}

#[derive(Default)]
pub struct Caches {
    types: RwLock<BTreeMap<TypeName, Arc<Type>>>,
    revisions: RwLock<HashMap<RevisionId, Arc<Revision>>>,
    people: RwLock<HashMap<PersonId, Arc<Person>>>,
    /// How often types began or ended to be others.
    version: AtomicU64,
}

const POISON: &str = "no holder of this lock panics";

impl Caches {
    pub fn types(&self) -> Vec<Arc<Type>> {
        self.types.read().expect(POISON).values().cloned().collect()
    }

    pub fn get(&self, name: &TypeName) -> Option<Arc<Type>> {
        self.types.read().expect(POISON).get(name).cloned()
    }

    pub fn revision(&self, id: RevisionId) -> Option<Arc<Revision>> {
        self.revisions.read().expect(POISON).get(&id).cloned()
    }

    /// The publications of a type, newest first.
    pub fn versions(&self, name: &TypeName) -> Vec<Arc<Revision>> {
        let revisions = self.revisions.read().expect(POISON);
        let mut versions: Vec<_> = revisions.values().filter(|revision| revision.type_name == *name).cloned().collect();
        versions.sort_by(|a, b| b.version.cmp(&a.version).then_with(|| b.id.cmp(&a.id)));
        versions
    }

    pub fn person(&self, id: PersonId) -> Option<Arc<Person>> {
        self.people.read().expect(POISON).get(&id).cloned()
    }

    pub fn people(&self) -> Vec<Arc<Person>> {
        let mut people: Vec<_> = self.people.read().expect(POISON).values().cloned().collect();
        people.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.id.cmp(&b.id)));
        people
    }

    /// Reads all types, publications and people.
    pub async fn load(&self, store: &dyn Store) -> Result<(), StoreError> {
        self.load_types(store).await?;
        self.load_people(store).await
    }

    async fn load_types(&self, store: &dyn Store) -> Result<(), StoreError> {
        let known = self.revisions.read().expect(POISON).clone();
        let mut revisions = HashMap::new();
        for held in all(store, TypeName::REVISION).await? {
            let Some(revision) = revision_of(&held) else { continue };
            // a compiled one is kept: publications never change
            let revision = known.get(&revision.id).cloned().unwrap_or_else(|| Arc::new(revision));
            revisions.insert(revision.id, revision);
        }
        let mut types = BTreeMap::new();
        for held in all(store, TypeName::TYPE).await? {
            if let Some(found) = type_of(&held, &revisions) {
                types.insert(found.name.clone(), Arc::new(found));
            }
        }
        // before and after: what was judged meanwhile counts as judged by none of both
        self.version.fetch_add(1, Ordering::AcqRel);
        *self.revisions.write().expect(POISON) = revisions;
        *self.types.write().expect(POISON) = types;
        self.version.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    async fn load_people(&self, store: &dyn Store) -> Result<(), StoreError> {
        let people = all(store, TypeName::PERSON).await?;
        let people = people.iter().filter_map(Person::of).map(|person| (person.id, Arc::new(person))).collect();
        *self.people.write().expect(POISON) = people;
        Ok(())
    }
}

/// All records of a built-in type that are not in the bin.
async fn all(store: &dyn Store, type_name: &'static str) -> Result<Vec<Held>, StoreError> {
    let mut query = Query {
        type_name: TypeName::built_in(type_name),
        filters: Vec::new(),
        sort: vec![Sort { by: SortKey::Changed, descending: false }],
        binned: false,
        limit: 500,
        cursor: None,
    };
    let mut records = Vec::new();
    loop {
        let page = store.records(&query).await?;
        records.extend(page.items);
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => return Ok(records),
        }
    }
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str()
}

fn revision_of(held: &Held) -> Option<Revision> {
    let value = &held.document.value;
    let stamp = held.state.root.write.as_ref()?.stamp;
    Some(Revision {
        id: text(value, "revision")?.parse().ok()?,
        type_name: TypeName::custom(text(value, "type")?).ok()?,
        version: value.get("version")?.as_u64()?,
        text: text(value, "schema")?.to_owned(),
        reason: text(value, "reason").unwrap_or_default().to_owned(),
        at: stamp.time.millis(),
        by: stamp.author.person,
        schema: OnceLock::new(),
        layout: OnceLock::new(),
    })
}

fn type_of(held: &Held, revisions: &HashMap<RevisionId, Arc<Revision>>) -> Option<Type> {
    let value = &held.document.value;
    let name = TypeName::custom(text(value, "name")?).ok()?;
    let current = revisions.get(&text(value, "current")?.parse().ok()?)?.clone();
    let schema: Value = serde_json::from_str(&current.text).ok()?;
    Some(Type {
        title: text(&schema, "title").map_or_else(|| name.to_string(), str::to_owned),
        retired: value.get("retired").and_then(Value::as_bool).unwrap_or(false),
        field_ids: value
            .get("fields")
            .and_then(Value::as_object)
            .map(|fields| {
                fields.iter().filter_map(|(pointer, id)| Some((pointer.clone(), id.as_str()?.to_owned()))).collect()
            })
            .unwrap_or_default(),
        name,
        current,
    })
}

impl Judge for Caches {
    fn partition(&self, type_name: &TypeName, document: &Value) -> Partition {
        match type_name.as_str() {
            TypeName::TYPE | TypeName::REVISION => return Partition::types(),
            TypeName::PERSON => return Partition::people(),
            TypeName::LOST | TypeName::QUARANTINE => {
                // what lost, or may not be, lives where its record lives
                return Partition(text(document, "partition").unwrap_or("_lost").to_owned());
            }
            _ => {}
        }
        // the field is fixed with the first publication, so any version tells it
        let schema = self.get(type_name).and_then(|found| found.current.schema());
        match schema.as_ref().and_then(|schema| schema.scope_field()) {
            Some(field) => Partition::of_value(type_name, document.pointer(field)),
            None => Partition::of_type(type_name),
        }
    }

    fn knows(&self, type_name: &TypeName) -> bool {
        type_name.is_built_in() || self.types.read().expect(POISON).contains_key(type_name)
    }

    fn conflict(&self, type_name: &TypeName, revision: Option<RevisionId>, path: &Path) -> Conflict {
        if type_name.is_built_in() {
            return Conflict::Later;
        }
        let schema = revision.and_then(|id| self.revision(id)?.schema());
        schema.map_or(Conflict::Later, |schema| schema.conflict(path))
    }

    fn is_valid(&self, type_name: &TypeName, revision: Option<RevisionId>, document: &Value) -> Option<bool> {
        if type_name.is_built_in() {
            return Some(true);
        }
        let schema = self.revision(revision?)?.schema()?;
        Some(schema.is_valid(document))
    }

    fn version(&self) -> Option<u64> {
        Some(self.version.load(Ordering::Acquire))
    }
}

/// A store that keeps the caches true.
pub(super) struct Watched {
    store: Arc<dyn Store>,
    caches: Arc<Caches>,
    loading: Mutex<()>,
    /// What the node stamps its saves with.
    incarnation: Arc<AtomicU64>,
}

impl Watched {
    pub fn new(store: Arc<dyn Store>, caches: Arc<Caches>, incarnation: Arc<AtomicU64>) -> Self {
        Self { store, caches, loading: Mutex::new(()), incarnation }
    }
}

/// Whether a request may write types, and people.
fn touches(request: &Request) -> (bool, bool) {
    let of = |names: &mut dyn Iterator<Item = &TypeName>| {
        let mut found = (false, false);
        for name in names {
            found.0 |= matches!(name.as_str(), TypeName::TYPE | TypeName::REVISION);
            found.1 |= name.as_str() == TypeName::PERSON;
        }
        found
    };
    match request {
        Request::Save(save) => of(&mut save.records.iter().map(|record| &record.type_name)),
        Request::Receive { saves, .. } => {
            of(&mut saves.iter().flat_map(|save| save.records.iter().map(|record| &record.type_name)))
        }
        Request::Quarantine { saves, .. } => {
            let records = saves.iter().flat_map(|denied| &denied.save.records);
            of(&mut records.map(|record| &record.type_name))
        }
        // what is admitted may be anything
        Request::Admit { .. } => (true, true),
        Request::Join { page, .. } | Request::JoinChunk { page, .. } => {
            let moved = page.moved.iter().map(|moved| &moved.type_name);
            of(&mut page.rows.iter().map(|row| &row.type_name).chain(moved))
        }
        Request::Offer { page, .. } => of(&mut page.rows.iter().map(|row| &row.type_name)),
        Request::Purge { records, .. } => of(&mut records.iter().map(|(type_name, _)| type_name)),
        Request::Acknowledge(_)
        | Request::Forget(_)
        | Request::Rejudge(_)
        | Request::Retime { .. }
        | Request::Absent { .. }
        | Request::Settle { .. }
        | Request::Local(_) => (false, false),
    }
}

#[async_trait]
impl Store for Watched {
    async fn write(&self, request: Request) -> Result<Outcome, StoreError> {
        let (types, people) = touches(&request);
        let incarnation = Identity::incarnation_in(&request);
        let outcome = self.store.write(request).await?;
        if let Some(incarnation) = incarnation.filter(|_| outcome == Outcome::Done) {
            self.incarnation.store(incarnation.0, Ordering::Release);
        }
        if types || people {
            let _one_at_a_time = self.loading.lock().await;
            if people {
                self.caches.load_people(&*self.store).await?;
            }
            if types {
                let before = self.caches.revisions.read().expect(POISON).clone();
                self.caches.load_types(&*self.store).await?;
                let now = self.caches.revisions.read().expect(POISON).clone();
                let mut grown: Vec<&TypeName> = now
                    .values()
                    .filter(|revision| !before.contains_key(&revision.id))
                    .map(|revision| &revision.type_name)
                    .collect();
                grown.sort();
                grown.dedup();
                // records may have come before the publication they were written under
                let waiting = self.store.flagged(Flags::UNKNOWN_REVISION, None, 1).await?;
                if !waiting.is_empty() {
                    for name in grown {
                        self.store.write(Request::Rejudge(name.clone())).await?;
                    }
                }
            }
        }
        Ok(outcome)
    }

    async fn record(&self, type_name: &TypeName, id: RecordId) -> Result<Option<Held>, StoreError> {
        self.store.record(type_name, id).await
    }

    async fn records(&self, query: &Query) -> Result<Page, StoreError> {
        self.store.records(query).await
    }

    async fn listed(&self, query: &Query) -> Result<Page<Listed>, StoreError> {
        self.store.listed(query).await
    }

    async fn tallies(&self) -> Result<Vec<Tally>, StoreError> {
        self.store.tallies().await
    }

    async fn flagged(&self, flags: Flags, before: Option<u64>, limit: usize) -> Result<Vec<Held>, StoreError> {
        self.store.flagged(flags, before, limit).await
    }

    async fn history(&self, type_name: &TypeName, id: RecordId) -> Result<Vec<HistoryLine>, StoreError> {
        self.store.history(type_name, id).await
    }

    async fn changes(
        &self,
        partition: &Partition,
        base: u64,
        after: u64,
        max_bytes: usize,
    ) -> Result<Changes, StoreError> {
        self.store.changes(partition, base, after, max_bytes).await
    }

    async fn walk(&self, partition: &Partition, visit: &mut Visit<'_>) -> Result<PartitionState, StoreError> {
        self.store.walk(partition, visit).await
    }

    async fn outbox(&self, max_bytes: usize) -> Result<Vec<Unsent>, StoreError> {
        self.store.outbox(max_bytes).await
    }

    async fn outbox_after(&self, after: Option<SaveId>, max_bytes: usize) -> Result<Vec<Unsent>, StoreError> {
        self.store.outbox_after(after, max_bytes).await
    }

    async fn waiting(&self) -> Result<u64, StoreError> {
        self.store.waiting().await
    }

    async fn unsent(&self, of: &[(TypeName, RecordId)]) -> Result<HashSet<(TypeName, RecordId)>, StoreError> {
        self.store.unsent(of).await
    }

    async fn partitions(&self) -> Result<Vec<PartitionState>, StoreError> {
        self.store.partitions().await
    }

    async fn partitions_in(&self, scope: &Scope) -> Result<Vec<PartitionState>, StoreError> {
        self.store.partitions_in(scope).await
    }

    async fn locals(&self, kind: &str) -> Result<Vec<(String, Value)>, StoreError> {
        self.store.locals(kind).await
    }

    async fn locals_under(&self, kind: &str, prefix: &str) -> Result<Vec<(String, Value)>, StoreError> {
        self.store.locals_under(kind, prefix).await
    }

    async fn local(&self, kind: &str, key: &str) -> Result<Option<Value>, StoreError> {
        self.store.local(kind, key).await
    }

    async fn recompute_digests(&self) -> Result<Vec<(Partition, Digest)>, StoreError> {
        self.store.recompute_digests().await
    }

    async fn removals(&self) -> Result<Vec<(Partition, u64)>, StoreError> {
        self.store.removals().await
    }

    async fn runs(&self) -> Result<Runs, StoreError> {
        self.store.runs().await
    }

    async fn hashes(
        &self,
        partition: &Partition,
        from: Option<&Mark>,
        to: Option<&Mark>,
        limit: usize,
    ) -> Result<Vec<Hashed>, StoreError> {
        self.store.hashes(partition, from, to, limit).await
    }

    fn judge(&self) -> Option<Arc<dyn Judge>> {
        self.store.judge()
    }

    fn notices(&self) -> broadcast::Receiver<Arc<Vec<Notice>>> {
        self.store.notices()
    }

    fn meter(&self) -> Option<Arc<Writes>> {
        self.store.meter()
    }

    async fn close(&self) {
        self.store.close().await;
    }
}

impl super::Node {
    pub fn caches(&self) -> &Caches {
        &self.inner.caches
    }

    /// A custom type that is here, retired or not.
    pub fn known_type(&self, name: &str) -> Result<Arc<Type>> {
        TypeName::custom(name).ok().and_then(|name| self.inner.caches.get(&name)).ok_or(NodeError::NotFound("type"))
    }
}
