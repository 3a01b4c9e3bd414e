//! From two versions of a record to changes. (Replaced when the form runtime lands.)
use serde_json::Value;

use super::FieldError;
use super::path::{ItemKey, Path};
use super::record::{Act, Change, Content, Cover, Document, EffectKind, State};
use super::schema::Schema;

type Keys<'a> = &'a mut dyn FnMut(&Path, usize) -> ItemKey;

pub fn create(_schema: &Schema, value: Value, _keys: Keys) -> Vec<Change> {
    vec![Change { path: Path::root(), act: Act::Set(Content::json(value)), replaces: Cover::nothing() }]
}
pub fn changes(_schema: &Schema, _base: &State, _candidate: &Document) -> Vec<Change> {
    Vec::new()
}
pub fn apply_merge_patch(_schema: &Schema, base: &Document, _patch: &Value, _keys: Keys) -> Document {
    base.clone()
}
pub fn apply_json_patch(_schema: &Schema, base: &Document, _ops: &Value, _keys: Keys) -> Result<Document, FieldError> {
    Ok(base.clone())
}
pub fn undo<'a>(now: &Document, _lines: impl Iterator<Item = (&'a Path, EffectKind, Option<&'a Value>)>) -> Value {
    now.value.clone()
}
