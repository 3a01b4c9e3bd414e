//! Saves that the hub may not accept, and what an admin decides about them.
//!
//! Entries are read anywhere: by admins all of them, by others what they saved themselves. They are decided at the hub.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::types::set;
use super::{Node, NodeError, Result};
use crate::domain::FieldError;
use crate::domain::ids::{NodeId, PersonId, RecordId, SaveId, THE_HUB, TypeName};
use crate::domain::path::{Path, Segment};
use crate::domain::people::{Actor, Operation, authorise};
use crate::domain::record::{Act, Content, State, edited};
use crate::domain::save::{Save, SavedRecord};
use crate::domain::stamp::Author;
use crate::store::{
    Expect, Filter, Held, LocalRecord, Operator, Outcome, Query, Request, Sort, SortKey, Store, StoreError, kept_save,
};

/// A save that the hub does not take, not even into quarantine: out of the outbox, so that it holds up no other, and kept
/// as it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RefusedSave {
    pub save: Save,
    pub reason: String,
    /// Milliseconds since 1970.
    pub at: i64,
}

impl RefusedSave {
    /// The kind of local document that it is.
    pub const KIND: &'static str = "refused-save";

    /// All that are here, in no particular order.
    pub async fn all(store: &dyn Store) -> Result<Vec<Self>, StoreError> {
        let kept = store.locals(Self::KIND).await?.into_iter();
        kept.map(|(_, value)| serde_json::from_value(value).map_err(|err| StoreError::Damaged(err.to_string())))
            .collect()
    }
}

/// A word with which a save is sent back may be this long.
pub const MAX_WORD: usize = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuarantineState {
    /// An admin is to decide.
    Open,
    /// It is in the record, as a later write of its author.
    Admitted,
    /// It is not to be.
    Returned,
}

impl QuarantineState {
    pub const ALL: [QuarantineState; 3] = [Self::Open, Self::Admitted, Self::Returned];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Admitted => "admitted",
            Self::Returned => "returned",
        }
    }

    fn of(text: &str) -> Self {
        Self::ALL.into_iter().find(|state| state.as_str() == text).unwrap_or(Self::Open)
    }
}

/// What a save that may not be wrote in one record.
#[derive(Debug, Clone, PartialEq)]
pub struct Quarantined {
    pub id: Uuid,
    pub type_name: TypeName,
    pub record: RecordId,
    /// Parts of one save are decided together.
    pub save: SaveId,
    pub state: QuarantineState,
    pub reason: String,
    /// Whether it would have made the record.
    pub creates: bool,
    pub person: PersonId,
    pub node: NodeId,
    /// The node that brought it.
    pub via: NodeId,
    /// When it was saved, by the clock it was stamped with, in milliseconds.
    pub at: i64,
    /// When the hub got it.
    pub received: i64,
    pub decision: Option<Decision>,
    pub changes: Vec<DeniedChange>,
    /// Later saves in a record that it would have made: they wait for it.
    pub waiting: Vec<WaitingSave>,
    /// The save as it was made.
    pub content: Option<Save>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    pub by: PersonId,
    pub at: i64,
    /// Why, if somebody said so.
    pub word: Option<String>,
}

/// One field, as it was saved and as it stands here.
#[derive(Debug, Clone, PartialEq)]
pub struct DeniedChange {
    pub path: Path,
    pub act: DeniedAct,
    pub denied: Option<Value>,
    pub stands: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeniedAct {
    Set,
    Removed,
    Moved,
    Binned,
    Restored,
    /// Added to a counter.
    Counted,
}

impl DeniedAct {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Removed => "removed",
            Self::Moved => "moved",
            Self::Binned => "binned",
            Self::Restored => "restored",
            Self::Counted => "counted",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct WaitingSave {
    pub save: String,
    pub person: PersonId,
    pub node: NodeId,
    pub at: i64,
}

#[derive(Debug, Clone, Default)]
pub struct Quarantine {
    pub items: Vec<Quarantined>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

fn quarantine() -> TypeName {
    TypeName::built_in(TypeName::QUARANTINE)
}

fn equal(name: &str, value: Value) -> Filter {
    Filter { path: vec![name.into()], operator: Operator::Equal, value }
}

/// Entries that somebody may see.
fn visible(actor: &Actor, mut filters: Vec<Filter>, limit: usize, cursor: Option<String>) -> Query {
    if !actor.is_at_least(crate::domain::people::Role::Admin) {
        filters.push(equal("person", json!(actor.person())));
    }
    let sort = vec![Sort { by: SortKey::Changed, descending: true }];
    Query { type_name: quarantine(), filters, sort, binned: false, limit, cursor }
}

impl Node {
    /// What is in quarantine, newest first; in one state or in any. Admins see all, others what they saved.
    pub async fn quarantine(
        &self,
        actor: &Actor,
        state: Option<&str>,
        limit: usize,
        cursor: Option<String>,
    ) -> Result<Quarantine> {
        authorise(actor, Operation::See, None, &[])?;
        let filters = state.map(|state| equal("state", json!(state))).into_iter().collect();
        let page = self.store().records(&visible(actor, filters, limit, cursor)).await?;
        let mut items = Vec::with_capacity(page.items.len());
        for entry in &page.items {
            items.extend(self.read_entry(entry).await?);
        }
        Ok(Quarantine { items, next: page.next })
    }

    /// What is in quarantine about one record and may be seen by this actor, newest first.
    pub async fn quarantine_of(&self, actor: &Actor, type_name: &TypeName, id: RecordId) -> Result<Vec<Quarantined>> {
        authorise(actor, Operation::See, Some((type_name, id)), &[])?;
        let about = vec![equal("record", json!(id)), equal("type", json!(type_name))];
        let page = self.store().records(&visible(actor, about, 50, None)).await?;
        let mut items = Vec::with_capacity(page.items.len());
        for entry in &page.items {
            items.extend(self.read_entry(entry).await?);
        }
        Ok(items)
    }

    pub async fn quarantined(&self, actor: &Actor, id: Uuid) -> Result<Quarantined> {
        authorise(actor, Operation::See, None, &[])?;
        let entry = self.store().record(&quarantine(), id).await?;
        let found = match &entry {
            Some(entry) => self.read_entry(entry).await?,
            None => None,
        };
        let may = |found: &Quarantined| {
            actor.is_at_least(crate::domain::people::Role::Admin) || found.person == actor.person()
        };
        found.filter(may).ok_or(NodeError::NotFound("save in quarantine"))
    }

    /// Saves that the hub does not take.
    pub async fn refused_saves(&self, actor: &Actor) -> Result<Vec<RefusedSave>> {
        authorise(actor, Operation::See, None, &[])?;
        Ok(RefusedSave::all(&**self.store()).await?)
    }

    /// Lets a save be after all, with all of its parts: it is applied as a later write of its author.
    pub async fn admit(&self, actor: &Actor, id: Uuid) -> Result<Quarantined> {
        let mut parts = self.open_parts(actor, id).await?;
        parts.sort_by_key(|part| (!part.creates, part.at));
        let identity = self.identity();
        let by = Author { node: identity.node, incarnation: identity.incarnation, person: actor.person() };
        let entries: Vec<Uuid> = parts.iter().map(|part| part.id).collect();
        let request = Request::Admit { entries, save: SaveId(self.world().random()), by, now: self.now() };
        match self.store().write(request).await? {
            Outcome::Done => self.quarantined(actor, id).await,
            _ => {
                Err(NodeError::Conflict("the record is not here; admit the save that would have made it first".into()))
            }
        }
    }

    /// Closes a save, with all of its parts, that is not to be, and says why.
    pub async fn send_back(&self, actor: &Actor, id: Uuid, word: &str) -> Result<Quarantined> {
        let word = word.trim();
        if word.is_empty() || word.chars().count() > MAX_WORD {
            let message = format!("Say in a few words why, in at most {MAX_WORD} characters");
            return Err(NodeError::Invalid(vec![FieldError::new("/reason", "required", message)]));
        }
        let mut records = Vec::new();
        for part in self.open_parts(actor, id).await? {
            let entry = self.store().record(&quarantine(), part.id).await?;
            let entry = entry.ok_or(NodeError::NotFound("save in quarantine"))?;
            let fields = [
                ("by", json!(actor.person())),
                ("decided", json!(self.now())),
                ("state", json!(QuarantineState::Returned.as_str())),
                ("word", json!(word)),
            ];
            let changes = fields.map(|(name, value)| set(&entry.state, &Path::root().property(name), value)).to_vec();
            let expect = Expect::Unchanged(entry.hash());
            records.push(LocalRecord { type_name: quarantine(), id: entry.id, revision: None, expect, changes });
        }
        match self.save(actor, records).await? {
            Ok(_) => self.quarantined(actor, id).await,
            Err(_) => Err(NodeError::Conflict("this was decided meanwhile".into())),
        }
    }

    /// The parts of the save that an entry belongs to, if they are still to be decided and may be, here and by this actor.
    async fn open_parts(&self, actor: &Actor, id: Uuid) -> Result<Vec<Quarantined>> {
        authorise(actor, Operation::Administer, Some((&quarantine(), id)), &[])?;
        let entry = self.quarantined(actor, id).await?;
        if !self.is_hub() {
            return Err(NodeError::Conflict("what is in quarantine is decided at the hub".into()));
        }
        if entry.state != QuarantineState::Open {
            return Err(NodeError::Conflict(format!("this was decided already: {}", entry.state.as_str())));
        }
        let filters = vec![equal("save", json!(entry.save)), equal("state", json!("open"))];
        let mut query = visible(actor, filters, 500, None);
        let mut parts = Vec::new();
        loop {
            let page = self.store().records(&query).await?;
            for entry in &page.items {
                parts.extend(self.read_entry(entry).await?);
            }
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => return Ok(parts),
            }
        }
    }

    async fn read_entry(&self, entry: &Held) -> Result<Option<Quarantined>> {
        let value = &entry.document.value;
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let number = |name: &str| value.get(name).and_then(Value::as_i64);
        let (Some(type_name), Some(record), Some(save)) = (
            text("type").and_then(|name| name.parse::<TypeName>().ok()),
            text("record").and_then(|id| Uuid::parse_str(id).ok()),
            text("save").and_then(|id| id.parse::<SaveId>().ok()),
        ) else {
            return Ok(None);
        };
        let held = self.store().record(&type_name, record).await?;
        let content = kept_save(value);
        let changes = content.iter().flat_map(|save| &save.records).flat_map(|part| changes(part, held.as_ref()));
        let person = |name: &str| text(name).and_then(|id| Uuid::parse_str(id).ok());
        let node = |name: &str| text(name).and_then(|id| id.parse().ok()).unwrap_or_default();
        let state = QuarantineState::of(text("state").unwrap_or_default());
        let decided = Some(state).filter(|state| *state != QuarantineState::Open);
        Ok(Some(Quarantined {
            id: entry.id,
            record,
            save,
            state,
            reason: text("reason").unwrap_or_default().to_owned(),
            creates: value.get("creates") == Some(&json!(true)),
            person: person("person").unwrap_or_default(),
            node: node("node"),
            via: node("via"),
            at: number("at").unwrap_or_default(),
            received: number("received").unwrap_or_default(),
            decision: decided.map(|_| Decision {
                by: person("by").unwrap_or(THE_HUB),
                at: number("decided").unwrap_or_default(),
                word: text("word").map(str::to_owned),
            }),
            changes: changes.collect(),
            waiting: waiting(value),
            content,
            type_name,
        }))
    }
}

fn waiting(entry: &Value) -> Vec<WaitingSave> {
    let listed = entry.get("waiting").and_then(Value::as_array).into_iter().flatten();
    let read = |save: &Value| {
        let text = |name: &str| save.get(name).and_then(Value::as_str);
        Some(WaitingSave {
            save: text("save")?.to_owned(),
            person: Uuid::parse_str(text("person")?).ok()?,
            node: text("node")?.parse().ok()?,
            at: save.get("at")?.as_i64()?,
        })
    };
    listed.filter_map(read).collect()
}

/// What a part of a save wrote, field by field, beside what stands.
fn changes(part: &SavedRecord, held: Option<&Held>) -> Vec<DeniedChange> {
    let stands = |path: &Path| held.and_then(|held| held.document.get(path)).cloned();
    if part.creates() {
        let mut made = State::default();
        let stamp = crate::domain::stamp::Stamp { time: part.time, ..Default::default() };
        made.apply(&part.changes, stamp, 1, &|_, _| true);
        let document = made.document().value;
        let fields = document.as_object().into_iter().flatten();
        let field = |(name, value): (&String, &Value)| {
            let path = Path::root().property(name.as_str());
            DeniedChange { act: DeniedAct::Set, denied: Some(value.clone()), stands: stands(&path), path }
        };
        return fields.map(field).collect();
    }
    let mut found: Vec<DeniedChange> = Vec::new();
    for change in &part.changes {
        let counts = |key: &str| key.starts_with('+');
        let (act, denied) = match &change.act {
            Act::Set(Content::Json(text)) => (DeniedAct::Set, Some(text.0.clone())),
            Act::Set(Content::Absent) => (DeniedAct::Set, None),
            Act::Set(Content::Group) => continue,
            Act::Rank(_) => (DeniedAct::Moved, None),
            Act::Remove => (DeniedAct::Removed, None),
            Act::Bin(true) => (DeniedAct::Binned, None),
            Act::Bin(false) => (DeniedAct::Restored, None),
        };
        let (path, act) = match (change.path.0.last(), change.path.parent()) {
            (Some(Segment::Item(key)), Some(parent)) if counts(&key.0) => (parent, DeniedAct::Counted),
            _ => (change.path.clone(), act),
        };
        let edit = held.and_then(|held| edited(&held.document, change));
        let (path, denied) = edit.unwrap_or((path, denied));
        // a new item has a place as well; that is no news of its own
        if act == DeniedAct::Moved && found.iter().any(|other| other.path == path) {
            continue;
        }
        found.push(DeniedChange { stands: stands(&path), path, act, denied });
    }
    found
}
