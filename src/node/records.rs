//! Records: made, read, listed, edited, binned.

use std::sync::Arc;

use serde_json::Value;

use super::memory::Type;
use super::{Node, NodeError, Result, Unmet};
use crate::domain::FieldError;
use crate::domain::diff;
use crate::domain::ids::{RecordId, RevisionId, TypeName};
use crate::domain::json;
use crate::domain::path::{ItemKey, Path, escape};
use crate::domain::people::{Actor, Operation, authorise};
use crate::domain::record::hash::Hash;
use crate::domain::record::{Act, Change, Document};
use crate::domain::save::{MAX_NESTING, MAX_RECORD_BYTES};
use crate::domain::schema::Schema;
use crate::store::{Expect, Held, HistoryLine, Listed, LocalRecord, Page, Query};

/// What came of making a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Created {
    pub held: Held,
    /// False if it was here already, made from the same data: sending it again is harmless.
    pub is_new: bool,
}

/// A change of a record by a program.
#[derive(Debug, Clone)]
pub enum Patch {
    /// RFC 7396.
    Merge(Value),
    /// RFC 6902, items addressed by key (`/parts/@k7f2`) or position.
    Json(Value),
}

/// A record's state under the publication it was last written with.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    Valid,
    Invalid(Vec<FieldError>),
    /// Written under a publication that is not here yet.
    UnknownRevision,
}

/// One line of an import.
#[derive(Debug, Clone)]
pub struct ImportedRow {
    pub id: Option<RecordId>,
    pub data: Value,
}

impl Node {
    /// Makes a record. With an id that is here already: harmless if it was made from the same data and lives.
    pub async fn create_record(
        &self,
        actor: &Actor,
        type_name: &str,
        id: Option<RecordId>,
        data: Value,
    ) -> Result<Created> {
        let (found, schema) = self.open_type(type_name)?;
        authorise(actor, Operation::Create, id.map(|id| (&found.name, id)), &[])?;
        let data = json::sorted(data);
        judge(&schema, &data, &[])?;
        let id = id.unwrap_or_else(|| self.new_id());
        let changes = diff::create(&schema, data.clone(), &mut item_keys(id));
        let record = local(&found, id, Expect::New, changes);
        match self.save(actor, vec![record]).await? {
            Ok(mut held) => Ok(Created { held: held.remove(0), is_new: true }),
            Err(Unmet { now: Some(held) }) => {
                if held.state.is_binned() {
                    return Err(NodeError::Conflict("a record with this id is in the bin".into()));
                }
                let original = self.original(&held).await?;
                if json::equal(&original, &data) {
                    Ok(Created { held, is_new: false })
                } else {
                    Err(NodeError::Conflict("a record with this id was made from other data".into()))
                }
            }
            Err(Unmet { now: None }) => Err(NodeError::Conflict("a record with this id is taken".into())),
        }
    }

    /// Makes many records in one save each; for imports. All are judged before; the errors name the row.
    pub async fn import_records(
        &self,
        actor: &Actor,
        type_name: &str,
        rows: Vec<ImportedRow>,
    ) -> Result<Vec<Result<Created>>> {
        let (found, _) = self.open_type(type_name)?;
        authorise(actor, Operation::Create, None, &[])?;
        let mut pending = Vec::with_capacity(rows.len());
        for row in rows {
            let node = self.clone();
            let (actor, name) = (actor.clone(), found.name.to_string());
            // together, so that they share the writer's commits
            pending.push(tokio::spawn(async move { node.create_record(&actor, &name, row.id, row.data).await }));
        }
        let mut results = Vec::with_capacity(pending.len());
        for one in pending {
            results.push(one.await.unwrap_or_else(|err| Err(NodeError::Conflict(err.to_string()))));
        }
        Ok(results)
    }

    /// Judges rows without making them.
    pub fn check_row(&self, actor: &Actor, type_name: &str, data: &Value) -> Result<()> {
        let (found, schema) = self.open_type(type_name)?;
        authorise(actor, Operation::Create, Some((&found.name, RecordId::nil())), &[])?;
        judge(&schema, data, &[])
    }

    /// A record, in the bin or not.
    pub async fn record(&self, actor: &Actor, type_name: &str, id: RecordId) -> Result<Held> {
        let found = self.known_type(type_name)?;
        authorise(actor, Operation::See, Some((&found.name, id)), &[])?;
        let held = self.store().record(&found.name, id).await?;
        held.filter(|held| held.state.exists()).ok_or(NodeError::NotFound("record"))
    }

    pub async fn records(&self, actor: &Actor, query: &Query) -> Result<Page> {
        authorise(actor, Operation::See, None, &[])?;
        self.known_type(query.type_name.as_str())?;
        Ok(self.store().records(query).await?)
    }

    /// The same page for those who pass the records on as they are.
    pub async fn listed(&self, actor: &Actor, query: &Query) -> Result<Page<Listed>> {
        authorise(actor, Operation::See, None, &[])?;
        self.known_type(query.type_name.as_str())?;
        Ok(self.store().listed(query).await?)
    }

    pub async fn history(&self, actor: &Actor, type_name: &str, id: RecordId) -> Result<Vec<HistoryLine>> {
        let held = self.record(actor, type_name, id).await?;
        Ok(self.store().history(&held.type_name, id).await?)
    }

    /// What a record was made from, by its history; `None` where this node may not have seen all of that.
    pub fn made_from(&self, held: &Held, history: &[HistoryLine]) -> Option<Value> {
        let made = held.state.root.write.as_ref()?;
        let saw_all = self.is_hub() || made.stamp.author.node == self.identity().node;
        // what came in after the record was read is not in it
        let lines = history.iter().filter(|line| line.seq <= held.seq);
        saw_all.then(|| diff::undo(&held.document, lines.map(|line| (&line.path, line.act, line.old.as_ref()))))
    }

    /// Whether a record is valid, under the publication it was last written with.
    pub fn verdict(&self, held: &Held) -> Verdict {
        self.verdict_of(held.state.revision(), &held.document.value)
    }

    /// Whether a document is valid under a publication.
    pub fn verdict_of(&self, revision: Option<RevisionId>, document: &Value) -> Verdict {
        let revision = revision.and_then(|id| self.caches().revision(id));
        match revision.and_then(|revision| revision.schema()) {
            None => Verdict::UnknownRevision,
            Some(schema) => match schema.validate(document) {
                errors if errors.is_empty() => Verdict::Valid,
                errors => Verdict::Invalid(errors),
            },
        }
    }

    /// Changes a record: only the leaves that differ are written, each with its merge unit. With `if_match`, only if the
    /// record still is that version.
    pub async fn patch_record(
        &self,
        actor: &Actor,
        type_name: &str,
        id: RecordId,
        if_match: Option<Hash>,
        patch: Patch,
    ) -> Result<Held> {
        let (_, schema) = self.open_type(type_name)?;
        let held = self.living(actor, type_name, id).await?;
        if if_match.is_some_and(|hash| hash != held.hash()) {
            return Err(NodeError::Changed(Box::new(held)));
        }
        let mut keys = self.fresh_keys();
        let candidate = match &patch {
            Patch::Merge(patch) => diff::apply_merge_patch(&schema, &held.document, patch, &mut keys),
            Patch::Json(operations) => diff::apply_json_patch(&schema, &held.document, operations, &mut keys)
                .map_err(|error| NodeError::Invalid(vec![error]))?,
        };
        let once = format!("{:032x}", self.world().random());
        let changes = diff::changes(&schema, &held.state, &candidate, &once);
        let expect = if_match.map_or(Expect::Exists, Expect::Unchanged);
        self.save_changes(actor, &held, &candidate, changes, expect).await
    }

    /// Saves what a form changed against the version it was rendered from. `rendered` is what the person saw, `candidate`
    /// what they sent: what was wrong already and was not touched does not hold them up.
    pub async fn save_form(
        &self,
        actor: &Actor,
        type_name: &str,
        id: RecordId,
        rendered: &Document,
        candidate: &Document,
        changes: Vec<Change>,
    ) -> Result<Held> {
        let mut held = self.living(actor, type_name, id).await?;
        held.document = rendered.clone();
        self.save_changes(actor, &held, candidate, changes, Expect::Exists).await
    }

    /// Makes the record of a form that was rendered without one. A form that is sent twice makes one record.
    pub async fn create_from_form(
        &self,
        actor: &Actor,
        type_name: &str,
        id: RecordId,
        candidate: &Document,
        changes: Vec<Change>,
    ) -> Result<Created> {
        let (found, schema) = self.open_type(type_name)?;
        authorise(actor, Operation::Create, Some((&found.name, id)), &[])?;
        judge(&schema, &candidate.value, &[])?;
        match self.save(actor, vec![local(&found, id, Expect::New, changes)]).await? {
            Ok(mut held) => Ok(Created { held: held.remove(0), is_new: true }),
            Err(Unmet { now: Some(held) }) => Ok(Created { held, is_new: false }),
            Err(Unmet { now: None }) => Err(NodeError::Conflict("a record with this id is taken".into())),
        }
    }

    async fn save_changes(
        &self,
        actor: &Actor,
        held: &Held,
        candidate: &Document,
        changes: Vec<Change>,
        expect: Expect,
    ) -> Result<Held> {
        let (found, schema) = self.open_type(held.type_name.as_str())?;
        let fields: Vec<Path> = changes.iter().map(|change| change.path.clone()).collect();
        authorise(actor, Operation::Edit, Some((&found.name, held.id)), &fields)?;
        if changes.is_empty() {
            return self.record(actor, held.type_name.as_str(), held.id).await;
        }
        judge(&schema, &candidate.value, &schema.validate(&held.document.value))?;
        match self.save(actor, vec![local(&found, held.id, expect, changes)]).await? {
            Ok(mut saved) => Ok(saved.remove(0)),
            Err(Unmet { now: Some(now) }) => Err(NodeError::Changed(Box::new(now))),
            Err(Unmet { now: None }) => Err(NodeError::NotFound("record")),
        }
    }

    /// Puts a record into the bin, or takes it out. Doing it again changes nothing.
    pub async fn bin_record(
        &self,
        actor: &Actor,
        type_name: &str,
        id: RecordId,
        if_match: Option<Hash>,
        binned: bool,
    ) -> Result<Held> {
        let held = self.record(actor, type_name, id).await?;
        authorise(actor, Operation::Bin, Some((&held.type_name, id)), &[])?;
        if if_match.is_some_and(|hash| hash != held.hash()) {
            return Err(NodeError::Changed(Box::new(held)));
        }
        if held.state.is_binned() == binned {
            return Ok(held);
        }
        self.write_bin(actor, &held, if_match, binned).await
    }

    /// Leaves a record in the bin that somebody edited who did not know that it was there: their edit is seen now.
    pub async fn bin_again(&self, actor: &Actor, type_name: &str, id: RecordId) -> Result<Held> {
        let held = self.record(actor, type_name, id).await?;
        authorise(actor, Operation::Bin, Some((&held.type_name, id)), &[])?;
        if held.state.is_edited_after_deletion() { self.write_bin(actor, &held, None, true).await } else { Ok(held) }
    }

    async fn write_bin(&self, actor: &Actor, held: &Held, if_match: Option<Hash>, binned: bool) -> Result<Held> {
        let root = Path::root();
        let change = Change { replaces: held.state.cover(&root), path: root, act: Act::Bin(binned) };
        let record = LocalRecord {
            type_name: held.type_name.clone(),
            id: held.id,
            revision: None,
            expect: if_match.map_or(Expect::Exists, Expect::Unchanged),
            changes: vec![change],
        };
        match self.save(actor, vec![record]).await? {
            Ok(mut saved) => Ok(saved.remove(0)),
            Err(Unmet { now: Some(now) }) => Err(NodeError::Changed(Box::new(now))),
            Err(Unmet { now: None }) => Err(NodeError::NotFound("record")),
        }
    }

    /// A record that may be edited: here and not in the bin.
    async fn living(&self, actor: &Actor, type_name: &str, id: RecordId) -> Result<Held> {
        let held = self.record(actor, type_name, id).await?;
        if held.state.is_binned() {
            return Err(NodeError::Conflict("the record is in the bin; restore it first".into()));
        }
        Ok(held)
    }

    /// The type and its current schema, for writing under it.
    fn open_type(&self, type_name: &str) -> Result<(Arc<Type>, Arc<Schema>)> {
        let found = self.known_type(type_name)?;
        if found.retired {
            return Err(NodeError::Conflict(format!("the type {type_name} is retired; bring it back first")));
        }
        let schema = found.current.schema().ok_or_else(|| {
            NodeError::Conflict(format!(
                "the type {type_name} was published by a newer version of outpost; update this node"
            ))
        })?;
        Ok((found, schema))
    }

    /// What a record was made from: what it is now, with its history undone.
    async fn original(&self, held: &Held) -> Result<Value> {
        let root = &held.state.root;
        let untouched = root.write.as_ref().is_some_and(|write| {
            let stamp = write.stamp;
            held.state.stamps().iter().all(|(_, other)| *other == stamp) && held.state.bin.is_none()
        });
        if untouched {
            return Ok(held.document.value.clone());
        }
        let lines = self.store().history(&held.type_name, held.id).await?;
        Ok(diff::undo(&held.document, lines.iter().map(|line| (&line.path, line.act, line.old.as_ref()))))
    }

    /// Keys for items that come by API: random, short, for this one use.
    fn fresh_keys(&self) -> impl FnMut(&Path, usize) -> ItemKey + use<> {
        let seed = self.inner.world.random().to_le_bytes();
        let mut count = 0u64;
        move |place, _| {
            count += 1;
            key_of(&seed, place, count)
        }
    }
}

/// Keys of the items a record is made with: they follow from the record, so that making it twice makes the same.
fn item_keys(id: RecordId) -> impl FnMut(&Path, usize) -> ItemKey {
    move |place, position| key_of(id.as_bytes(), place, position as u64)
}

fn key_of(seed: &[u8; 16], place: &Path, number: u64) -> ItemKey {
    let mut hasher = blake3::Hasher::new();
    hasher.update(seed).update(place.to_string().as_bytes()).update(&number.to_le_bytes());
    let hash = hasher.finalize();
    ItemKey(data_encoding::BASE32_DNSSEC.encode(&hash.as_bytes()[..5]))
}

fn local(found: &Type, id: RecordId, expect: Expect, changes: Vec<Change>) -> LocalRecord {
    let revision: RevisionId = found.current.id;
    LocalRecord { type_name: found.name.clone(), id, revision: Some(revision), expect, changes }
}

/// Refuses what is not valid, except for what was wrong in the same way `before`.
fn judge(schema: &Schema, data: &Value, before: &[FieldError]) -> Result<()> {
    if !data.is_object() {
        return Err(NodeError::Invalid(vec![FieldError::new("", "type", "A record is a JSON object")]));
    }
    if let Some((at, name)) = json::reserved_member(data) {
        let message = format!("The name {name:?} is reserved; choose another");
        return Err(NodeError::Invalid(vec![FieldError::new(at, "name", message)]));
    }
    if json::nesting(data) > MAX_NESTING {
        let deep = data.as_object().and_then(|map| map.iter().find(|(_, value)| json::nesting(value) >= MAX_NESTING));
        let at = deep.map_or(String::new(), |(name, _)| format!("/{}", escape(name)));
        let message = format!("This is nested too deep; a record may be nested {MAX_NESTING} levels");
        return Err(NodeError::Invalid(vec![FieldError::new(at, "limit", message)]));
    }
    let errors: Vec<FieldError> = schema
        .validate(data)
        .into_iter()
        .filter(|error| !before.iter().any(|old| old.pointer == error.pointer && old.keyword == error.keyword))
        .collect();
    if !errors.is_empty() {
        return Err(NodeError::Invalid(errors));
    }
    if json::size(data).is_none_or(|size| size > MAX_RECORD_BYTES) {
        return Err(NodeError::TooLarge("a record may have 1 MiB of JSON".into()));
    }
    Ok(())
}

/// The names of types are checked where they come in; a query of a type that is not here is "not found".
impl Node {
    pub fn type_name(&self, name: &str) -> Result<TypeName> {
        Ok(self.known_type(name)?.name.clone())
    }
}
