//! Types: made, published, retired, brought back.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Node, NodeError, Result, Type};
use crate::domain::FieldError;
use crate::domain::ids::{FieldId, RecordId, RevisionId, TypeName};
use crate::domain::json as canonical;
use crate::domain::path::Path;
use crate::domain::people::{Actor, Operation, authorise};
use crate::domain::record::{Act, Change, Content, Cover, State};
use crate::domain::schema::{self, Schema, Upgraded};
use crate::store::{Expect, LocalRecord, Query, Sort, SortKey};

/// What came of making or publishing a type.
#[derive(Debug, Clone)]
pub struct Published {
    pub found: Arc<Type>,
    /// What was changed to bring an older draft up to 2020-12; empty if nothing.
    pub upgraded: Vec<schema::Change>,
    /// False if the type already was exactly so.
    pub is_new: bool,
}

/// What a change of a type would do to the records that exist.
#[derive(Debug, Clone, Default)]
pub struct CheckReport {
    pub upgraded: Vec<schema::Change>,
    pub records: u64,
    pub valid: u64,
    /// The first few that would not be valid, with what would be wrong.
    pub invalid: Vec<(RecordId, Vec<FieldError>)>,
}

/// A schema that may be published.
struct Judged {
    text: String,
    schema: Schema,
    upgraded: Vec<schema::Change>,
}

impl Node {
    /// Types that are not retired, by name; all of them for `retired`.
    pub fn types(&self, actor: &Actor, retired: bool) -> Result<Vec<Arc<Type>>> {
        authorise(actor, Operation::See, None, &[])?;
        Ok(self.caches().types().into_iter().filter(|found| retired || !found.retired).collect())
    }

    pub fn type_named(&self, actor: &Actor, name: &str) -> Result<Arc<Type>> {
        authorise(actor, Operation::See, None, &[])?;
        self.known_type(name)
    }

    /// Makes a type with its first publication. Making the same again is harmless; another schema under a taken name is
    /// a conflict.
    pub async fn create_type(&self, actor: &Actor, name: &str, text: &[u8]) -> Result<Published> {
        authorise(actor, Operation::Design, None, &[])?;
        let Ok(type_name) = TypeName::custom(name) else {
            let message =
                "Begin with a lower-case letter, then lower-case letters, digits and hyphens, for example work-order";
            return Err(NodeError::Invalid(vec![FieldError::new("/name", "pattern", message)]));
        };
        let judged = judge(text)?;
        if let Some(found) = self.caches().get(&type_name) {
            if !found.retired && same_schema(&found.current.text, &judged.text) {
                return Ok(Published { found, upgraded: judged.upgraded, is_new: false });
            }
            let message = format!("a type named {name} exists; publish a new version of it instead");
            return Err(NodeError::Conflict(message));
        }
        let revision = RevisionId(self.world().random() as u64);
        let mut document = Map::new();
        document.insert("name".into(), json!(name));
        document.insert("current".into(), json!(revision.to_string()));
        let fields = self.field_ids(&judged.schema, |_| false);
        document.insert("fields".into(), Value::Object(fields));
        let create = Change {
            path: Path::root(),
            act: Act::Set(Content::json(Value::Object(document))),
            replaces: Cover::nothing(),
        };
        let records = vec![
            revision_record(&type_name, revision, 1, &judged.text, ""),
            LocalRecord {
                id: type_id(&type_name),
                type_name: TypeName::built_in(TypeName::TYPE),
                revision: None,
                expect: Expect::New,
                changes: vec![create],
            },
        ];
        if self.save(actor, records).await?.is_err() {
            return Err(NodeError::Conflict(format!("a type named {name} was made meanwhile")));
        }
        Ok(Published { found: self.known_type(name)?, upgraded: judged.upgraded, is_new: true })
    }

    /// Publishes a new version, and brings a retired type back. Publishing what is current changes nothing.
    pub async fn publish_type(&self, actor: &Actor, name: &str, text: &[u8], reason: &str) -> Result<Published> {
        authorise(actor, Operation::Design, None, &[])?;
        let found = self.known_type(name)?;
        let judged = judge(text)?;
        if let Some(current) = found.current.schema()
            && current.scope_field() != judged.schema.scope_field()
        {
            let message = "Which field decides the scope cannot change once the type is published";
            return Err(NodeError::Invalid(vec![FieldError::new("/x-scope", "x-scope", message)]));
        }
        let is_new = !same_text(&found.current.text, &judged.text);
        if !is_new && !found.retired {
            return Ok(Published { found, upgraded: judged.upgraded, is_new });
        }
        let held = self.type_record(&found.name).await?;
        let mut records = Vec::new();
        let mut changes = Vec::new();
        if is_new {
            let revision = RevisionId(self.world().random() as u64);
            let version = found.current.version + 1;
            records.push(revision_record(&found.name, revision, version, &judged.text, reason));
            changes.push(set(&held.state, &Path::root().property("current"), json!(revision.to_string())));
            let new = self.field_ids(&judged.schema, |pointer| found.field_ids.contains_key(pointer));
            let fields = Path::root().property("fields");
            changes.extend(new.into_iter().map(|(pointer, id)| set(&held.state, &fields.property(pointer), id)));
        }
        if found.retired {
            changes.push(set(&held.state, &Path::root().property("retired"), json!(false)));
        }
        records.push(LocalRecord {
            id: held.id,
            type_name: held.type_name.clone(),
            revision: None,
            expect: Expect::Unchanged(held.hash()),
            changes,
        });
        if self.save(actor, records).await?.is_err() {
            return Err(NodeError::Conflict(
                "somebody published this type at the same time; look at theirs first".into(),
            ));
        }
        Ok(Published { found: self.known_type(name)?, upgraded: judged.upgraded, is_new })
    }

    /// Hides a type; its records are kept. Retiring a retired one changes nothing.
    pub async fn retire_type(&self, actor: &Actor, name: &str) -> Result<Arc<Type>> {
        self.set_retired(actor, name, true).await
    }

    /// Shows a retired type again.
    pub async fn bring_type_back(&self, actor: &Actor, name: &str) -> Result<Arc<Type>> {
        self.set_retired(actor, name, false).await
    }

    async fn set_retired(&self, actor: &Actor, name: &str, retired: bool) -> Result<Arc<Type>> {
        authorise(actor, Operation::Design, None, &[])?;
        let found = self.known_type(name)?;
        if found.retired == retired {
            return Ok(found);
        }
        let held = self.type_record(&found.name).await?;
        let record = LocalRecord {
            id: held.id,
            type_name: held.type_name.clone(),
            revision: None,
            expect: Expect::Exists,
            changes: vec![set(&held.state, &Path::root().property("retired"), json!(retired))],
        };
        if self.save(actor, vec![record]).await?.is_err() {
            return Err(NodeError::NotFound("type"));
        }
        self.known_type(name)
    }

    /// What publishing this schema would do to the records that exist. Changes nothing. The first twenty that would not
    /// be valid are named.
    pub async fn check_type(&self, actor: &Actor, name: &str, text: &[u8]) -> Result<CheckReport> {
        authorise(actor, Operation::Design, None, &[])?;
        let found = self.known_type(name)?;
        let judged = judge(text)?;
        let mut report = CheckReport { upgraded: judged.upgraded, ..CheckReport::default() };
        let mut query = Query {
            type_name: found.name.clone(),
            filters: Vec::new(),
            sort: vec![Sort { by: SortKey::Changed, descending: false }],
            binned: false,
            limit: 500,
            cursor: None,
        };
        loop {
            let page = self.store().records(&query).await?;
            for held in page.items {
                report.records += 1;
                if judged.schema.is_valid(&held.document.value) {
                    report.valid += 1;
                } else if report.invalid.len() < 20 {
                    report.invalid.push((held.id, judged.schema.validate(&held.document.value)));
                }
            }
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => return Ok(report),
            }
        }
    }

    async fn type_record(&self, name: &TypeName) -> Result<crate::store::Held> {
        let held = self.store().record(&TypeName::built_in(TypeName::TYPE), type_id(name)).await?;
        held.ok_or(NodeError::NotFound("type"))
    }

    /// New permanent ids for the fields that have none.
    fn field_ids(&self, schema: &Schema, has: impl Fn(&str) -> bool) -> Map<String, Value> {
        let new = schema.fields().iter().filter(|field| !has(&field.pointer));
        new.map(|field| (field.pointer.clone(), json!(FieldId(self.world().random() as u64).to_string()))).collect()
    }
}

/// A schema as a person gave it, brought up to 2020-12 and judged.
fn judge(text: &[u8]) -> Result<Judged> {
    let given = schema::parse(text).map_err(NodeError::Invalid)?;
    let Upgraded { schema: value, report, .. } = schema::upgrade(given);
    let schema = Schema::compile(&value).map_err(NodeError::Invalid)?;
    // what was not changed is kept as it was typed, byte for byte
    let text = if report.is_empty() {
        String::from_utf8_lossy(text).into_owned()
    } else {
        serde_json::to_string_pretty(&value).expect("JSON is written")
    };
    Ok(Judged { text, schema, upgraded: report })
}

fn same_text(a: &str, b: &str) -> bool {
    a == b
}

fn same_schema(a: &str, b: &str) -> bool {
    match (serde_json::from_str::<Value>(a), serde_json::from_str::<Value>(b)) {
        (Ok(a), Ok(b)) => canonical::equal(&a, &b),
        _ => false,
    }
}

/// The record of a type document: the same on two nodes that make a type of the same name apart.
fn type_id(name: &TypeName) -> RecordId {
    let hash = blake3::derive_key("outpost type document", name.as_str().as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn revision_record(name: &TypeName, revision: RevisionId, version: u64, text: &str, reason: &str) -> LocalRecord {
    let document = json!({
        "type": name.as_str(),
        "revision": revision.to_string(),
        "version": version,
        "schema": text,
        "reason": reason,
    });
    let create = Change {
        path: Path::root(),
        act: Act::Set(Content::json(canonical::sorted(document))),
        replaces: Cover::nothing(),
    };
    LocalRecord {
        id: Uuid::from_u64_pair((type_id(name).as_u128() >> 64) as u64, revision.0),
        type_name: TypeName::built_in(TypeName::REVISION),
        revision: None,
        expect: Expect::New,
        changes: vec![create],
    }
}

/// Writes one place of a built-in record.
pub(super) fn set(state: &State, path: &Path, value: Value) -> Change {
    Change { path: path.clone(), act: Act::Set(Content::json(value)), replaces: state.cover(path) }
}
