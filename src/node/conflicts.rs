//! Values that lost a merge, and what a person decides about them.

use serde_json::{Value, json};
use uuid::Uuid;

use super::types::set;
use super::{Node, NodeError, Result};
use crate::domain::ids::{NodeId, PersonId, RecordId, TypeName};
use crate::domain::path::{Path, Segment};
use crate::domain::people::{Actor, Operation, authorise};
use crate::domain::record::{Act, Change, Content, edit_key};
use crate::domain::schema::Shape;
use crate::store::{Expect, Filter, Flags, Held, LocalRecord, Operator, Query, Sort, SortKey};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConflictState {
    /// Nobody has decided.
    Open,
    /// The value was brought back.
    Restored,
    /// The one that stands is fine.
    Dismissed,
    /// Somebody who had seen it wrote the field anew.
    Seen,
}

impl ConflictState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Restored => "restored",
            Self::Dismissed => "dismissed",
            Self::Seen => "seen",
        }
    }

    fn of(text: &str) -> Self {
        match text {
            "restored" => Self::Restored,
            "dismissed" => Self::Dismissed,
            "seen" => Self::Seen,
            _ => Self::Open,
        }
    }
}

/// A value that lost, beside the one that stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    pub id: Uuid,
    pub type_name: TypeName,
    pub record: RecordId,
    /// The place, items by key.
    pub pointer: String,
    pub kept: Side,
    pub lost: Side,
    pub state: ConflictState,
    /// The type says that people are to choose between the two.
    pub asks: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Side {
    /// `None` where the place was cleared.
    pub value: Option<Value>,
    /// Milliseconds since 1970, by the writer's clock.
    pub at: i64,
    pub by: PersonId,
    pub node: NodeId,
}

/// A page of values that lost.
#[derive(Debug, Clone, Default)]
pub struct Conflicts {
    pub items: Vec<Conflict>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

impl Node {
    /// The open ones as people look at them: first those between which they are to choose, then newest first.
    pub async fn open_conflicts(&self, actor: &Actor, limit: usize, cursor: Option<String>) -> Result<Conflicts> {
        let asks = Sort { by: SortKey::Field(vec!["ask".into()]), descending: true };
        self.listed_conflicts(actor, Some("open"), Some(asks), limit, cursor).await
    }

    /// Values that lost, newest first; in one state or in any. At most `limit`, from `cursor` on.
    pub async fn conflicts(
        &self,
        actor: &Actor,
        state: Option<&str>,
        limit: usize,
        cursor: Option<String>,
    ) -> Result<Conflicts> {
        self.listed_conflicts(actor, state, None, limit, cursor).await
    }

    async fn listed_conflicts(
        &self,
        actor: &Actor,
        state: Option<&str>,
        first: Option<Sort>,
        limit: usize,
        cursor: Option<String>,
    ) -> Result<Conflicts> {
        authorise(actor, Operation::See, None, &[])?;
        let filters =
            state.map(|state| Filter { path: vec!["state".into()], operator: Operator::Equal, value: json!(state) });
        let query = Query {
            type_name: TypeName::built_in(TypeName::LOST),
            filters: filters.into_iter().collect(),
            sort: first.into_iter().chain([Sort { by: SortKey::Changed, descending: true }]).collect(),
            binned: false,
            limit,
            cursor,
        };
        let page = self.store().records(&query).await?;
        Ok(Conflicts { items: self.present(page.items).await?, next: page.next })
    }

    /// The open ones of one record.
    pub async fn conflicts_of(&self, actor: &Actor, held: &Held) -> Result<Vec<Conflict>> {
        authorise(actor, Operation::See, Some((&held.type_name, held.id)), &[])?;
        if !held.flags.has(Flags::LOST) {
            return Ok(Vec::new());
        }
        let equal = |name: &str, value: Value| Filter { path: vec![name.into()], operator: Operator::Equal, value };
        let query = Query {
            type_name: TypeName::built_in(TypeName::LOST),
            filters: vec![equal("record", json!(held.id)), equal("state", json!("open"))],
            sort: vec![Sort { by: SortKey::Changed, descending: true }],
            binned: false,
            limit: 500,
            cursor: None,
        };
        self.present(self.store().records(&query).await?.items).await
    }

    /// Brings the lost value back: a new write over the one that stands, in one save with the decision.
    pub async fn restore_conflict(&self, actor: &Actor, id: Uuid) -> Result<Held> {
        let (entry, conflict) = self.open_conflict(actor, id).await?;
        let record = self.record(actor, conflict.type_name.as_str(), conflict.record).await?;
        if record.state.is_binned() {
            return Err(NodeError::Conflict("the record is in the bin; restore it first".into()));
        }
        let path = place(&record, &conflict.pointer);
        let fields = [path.clone()];
        authorise(actor, Operation::Edit, Some((&record.type_name, record.id)), &fields)?;
        let value = conflict.lost.value;
        let edit = value.as_ref().and_then(Value::as_str).filter(|_| self.is_woven(&record, &path));
        let edit = edit.and_then(|text| record.state.text_edit(&path, text));
        let (path, content) = match edit {
            Some(edit) => (path.item(&edit_key(&id.to_string())), Content::json(edit)),
            None => (path, value.map_or(Content::Absent, Content::json)),
        };
        let change = Change { replaces: record.state.cover(&path), path, act: Act::Set(content) };
        let write = LocalRecord {
            type_name: record.type_name.clone(),
            id: record.id,
            revision: record.state.revision(),
            expect: Expect::Unchanged(record.hash()),
            changes: vec![change],
        };
        match self.save(actor, vec![write, decision(&entry, ConflictState::Restored)]).await? {
            Ok(mut saved) => Ok(saved.remove(0)),
            Err(_) => Err(NodeError::Conflict("the record was changed meanwhile; look at it again".into())),
        }
    }

    /// Whether what several people change at a place is woven together.
    fn is_woven(&self, record: &Held, path: &Path) -> bool {
        let schema = record.state.revision().and_then(|id| self.caches().revision(id)?.schema());
        let steps: Vec<&str> = path
            .0
            .iter()
            .map(|segment| match segment {
                Segment::Property(name) => name.as_str(),
                Segment::Item(key) => key.0.as_str(),
            })
            .collect();
        schema.is_some_and(|schema| schema.shape().at(&steps) == Some(&Shape::Text))
    }

    /// Notes that the value that stands is fine.
    pub async fn dismiss_conflict(&self, actor: &Actor, id: Uuid) -> Result<()> {
        let (entry, _) = self.open_conflict(actor, id).await?;
        match self.save(actor, vec![decision(&entry, ConflictState::Dismissed)]).await? {
            Ok(_) => Ok(()),
            Err(_) => Err(NodeError::Conflict("this was decided meanwhile".into())),
        }
    }

    /// Records people should look at: not valid, edited after deletion, written under a publication that is not here.
    /// At most `limit`, newest change first, all of them with a number below `before`.
    pub async fn flagged(&self, actor: &Actor, flags: Flags, before: Option<u64>, limit: usize) -> Result<Vec<Held>> {
        authorise(actor, Operation::See, None, &[])?;
        Ok(self.store().flagged(flags, before, limit).await?)
    }

    async fn open_conflict(&self, actor: &Actor, id: Uuid) -> Result<(Held, Conflict)> {
        let lost = TypeName::built_in(TypeName::LOST);
        authorise(actor, Operation::Decide, Some((&lost, id)), &[])?;
        let entry = self.store().record(&lost, id).await?.ok_or(NodeError::NotFound("lost value"))?;
        let conflict =
            self.present(vec![entry.clone()]).await?.pop().ok_or(NodeError::NotFound("record of this lost value"))?;
        if conflict.state != ConflictState::Open {
            return Err(NodeError::Conflict(format!("this was decided already: {}", conflict.state.as_str())));
        }
        Ok((entry, conflict))
    }

    /// Puts what stands beside what lost. An entry whose record is not here is left out.
    async fn present(&self, entries: Vec<Held>) -> Result<Vec<Conflict>> {
        let mut conflicts = Vec::with_capacity(entries.len());
        for entry in entries {
            let value = &entry.document.value;
            let text = |name: &str| value.get(name).and_then(Value::as_str);
            let (Some(type_name), Some(record), Some(pointer)) = (
                text("type").and_then(|name| TypeName::custom(name).ok()),
                text("record").and_then(|id| Uuid::parse_str(id).ok()),
                text("pointer"),
            ) else {
                continue;
            };
            let Some(held) = self.store().record(&type_name, record).await? else { continue };
            let path = place(&held, pointer);
            let kept = held.state.cover(&path).latest();
            conflicts.push(Conflict {
                id: entry.id,
                pointer: pointer.to_owned(),
                kept: Side {
                    value: held.document.get(&path).cloned(),
                    at: kept.time.millis(),
                    by: kept.author.person,
                    node: kept.author.node,
                },
                lost: Side {
                    value: value.get("value").cloned(),
                    at: value.get("at").and_then(Value::as_i64).unwrap_or_default(),
                    by: text("person").and_then(|id| Uuid::parse_str(id).ok()).unwrap_or_default(),
                    node: text("node").and_then(|id| id.parse().ok()).unwrap_or_default(),
                },
                state: ConflictState::of(text("state").unwrap_or_default()),
                asks: value.get("ask").is_some(),
                type_name,
                record,
            });
        }
        Ok(conflicts)
    }
}

/// The place a pointer with item keys speaks of in this record.
fn place(held: &Held, pointer: &str) -> Path {
    let is_group = |path: &Path| {
        held.state
            .place(path)
            .and_then(|place| place.write.as_ref())
            .is_some_and(|write| write.content == Content::Group)
    };
    Path::parse(pointer, is_group).unwrap_or_default()
}

fn decision(entry: &Held, state: ConflictState) -> LocalRecord {
    LocalRecord {
        type_name: entry.type_name.clone(),
        id: entry.id,
        revision: None,
        expect: Expect::Unchanged(entry.hash()),
        changes: vec![set(&entry.state, &Path::root().property("state"), json!(state.as_str()))],
    }
}
