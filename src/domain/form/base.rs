//! What a form was rendered from, as the form carries it: what a save replaces is what its author saw, not what stands now.

use ciborium::{de, ser};
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::keys::KeyMaker;
use super::layout::Layout;
use crate::domain::ids::{RecordId, RevisionId, SaveId, TypeName};
use crate::domain::path::{Path, Segment};
use crate::domain::record::pack::{Dictionary, Values, pack, unpack};
use crate::domain::record::{Document, Keys, State};
use crate::domain::schema::Shape;

/// The version of a record that a form was rendered from.
#[derive(Debug, Clone, PartialEq)]
pub struct Base {
    pub type_name: TypeName,
    /// For a new record the id that it will have, so that a form that is sent twice makes one record.
    pub record: RecordId,
    /// The publication of the type that the form was drawn from.
    pub revision: RevisionId,
    /// Once only: the id of the save that comes of this form.
    pub submission: SaveId,
    /// The record as rendered; for a new one it does not exist.
    pub state: State,
    /// The record as rendered, every repeated group with keys; empty for a new one.
    pub document: Document,
}

/// The form was not made here, is damaged, or is of another record, type or version: it has to be loaded again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the form has to be loaded again: {0}")]
pub struct Reload(&'static str);

#[derive(Serialize, Deserialize)]
struct Carried {
    #[serde(rename = "t")]
    type_name: TypeName,
    #[serde(rename = "i")]
    record: RecordId,
    #[serde(rename = "v")]
    revision: RevisionId,
    #[serde(rename = "o")]
    submission: SaveId,
    #[serde(rename = "d")]
    document: String,
    /// Packed stamps, and the authors and names they speak of; nothing for a new record.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    stamps: Option<(Vec<u8>, Dictionary)>,
}

const SEAL: usize = 16;

impl Base {
    /// A form for a record that is to be made.
    pub fn new_record(type_name: TypeName, record: RecordId, revision: RevisionId, submission: SaveId) -> Self {
        let document = Document::new(Value::Object(Map::new()));
        Self { type_name, record, revision, submission, state: State::default(), document }
    }

    /// A form for a record that is there.
    pub fn edit(
        layout: &Layout,
        secret: &[u8; 32],
        type_name: TypeName,
        record: RecordId,
        revision: RevisionId,
        submission: SaveId,
        state: State,
    ) -> Self {
        let document = keyed(layout, state.document(), KeyMaker { secret, submission });
        Self { type_name, record, revision, submission, state, document }
    }

    /// Whether the form makes a new record.
    pub fn is_new(&self) -> bool {
        !self.state.exists()
    }

    /// What the hidden field `_base` carries: opaque, authenticated with the node's secret.
    pub fn seal(&self, secret: &[u8; 32]) -> String {
        let stamps = (!self.is_new()).then(|| {
            let mut dictionary = Dictionary::default();
            let packed = pack(&self.state, 0, Values::Beside, &mut dictionary);
            (packed, dictionary)
        });
        let carried = Carried {
            type_name: self.type_name.clone(),
            record: self.record,
            revision: self.revision,
            submission: self.submission,
            document: self.document.value.to_string(),
            stamps,
        };
        let mut bytes = vec![0; SEAL];
        ser::into_writer(&carried, &mut bytes).expect("a Vec takes all that is written");
        let seal = seal(secret, &bytes[SEAL..]);
        bytes[..SEAL].copy_from_slice(&seal);
        BASE64URL_NOPAD.encode(&bytes)
    }

    /// Reads what [`Base::seal`] made. `record` is the one that the form is posted to; a form for a new record has none yet.
    /// The layout of the publication that the form was drawn from is asked for by id.
    pub fn open<L: std::ops::Deref<Target = Layout>>(
        token: &str,
        secret: &[u8; 32],
        type_name: &TypeName,
        record: Option<RecordId>,
        layout: impl FnOnce(RevisionId) -> Option<L>,
    ) -> Result<(Self, L), Reload> {
        let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).map_err(|_| Reload("it is damaged"))?;
        let (given, carried) = bytes.split_at_checked(SEAL).ok_or(Reload("it is damaged"))?;
        // compared in constant time
        if blake3::Hash::from_bytes(widened(given)) != blake3::Hash::from_bytes(widened(&seal(secret, carried))) {
            return Err(Reload("it was not made by this node"));
        }
        let carried: Carried = de::from_reader(carried).map_err(|_| Reload("it is of another version"))?;
        if carried.type_name != *type_name || record.is_some_and(|record| record != carried.record) {
            return Err(Reload("it belongs to another record"));
        }
        if record.is_some() != carried.stamps.is_some() {
            return Err(Reload("it belongs to another record"));
        }
        let layout = layout(carried.revision).ok_or(Reload("the type has another form now"))?;
        let value: Value = serde_json::from_str(&carried.document).map_err(|_| Reload("it is damaged"))?;
        let (state, document) = match carried.stamps {
            None => (State::default(), Document::new(value)),
            Some((packed, dictionary)) => {
                let state = unpack(&packed, 0, Some(value), &dictionary).map_err(|_| Reload("it is damaged"))?;
                let document = state.document();
                (state, document)
            }
        };
        let Carried { type_name, record, revision, submission, .. } = carried;
        let document = keyed(&layout, document, KeyMaker { secret, submission });
        Ok((Self { type_name, record, revision, submission, state, document }, layout))
    }
}

fn seal(secret: &[u8; 32], bytes: &[u8]) -> [u8; SEAL] {
    let mut hasher = blake3::Hasher::new_keyed(secret);
    hasher.update(b"outpost form base\n").update(bytes);
    let mut seal = [0; SEAL];
    seal.copy_from_slice(&hasher.finalize().as_bytes()[..SEAL]);
    seal
}

fn widened(seal: &[u8]) -> [u8; 32] {
    let mut wide = [0; 32];
    wide[..seal.len().min(32)].copy_from_slice(&seal[..seal.len().min(32)]);
    wide
}

/// Gives keys to arrays that have none where the schema sees a repeated group, and takes those of a set's elements away.
fn keyed(layout: &Layout, mut document: Document, maker: KeyMaker) -> Document {
    fn walk(shape: &Shape, path: &mut Path, value: &Value, keys: &mut Keys, maker: KeyMaker) {
        match (shape, value) {
            (Shape::Object(object), Value::Object(map)) => {
                for property in object.properties().iter().filter(|property| property.shape != Shape::Leaf) {
                    let Some(value) = map.get(&property.name) else { continue };
                    path.0.push(Segment::Property(property.name.clone()));
                    walk(&property.shape, path, value, keys, maker);
                    path.0.pop();
                }
            }
            (Shape::Group(item), Value::Array(items)) => {
                if keys.get(path).is_none_or(|keys| keys.len() != items.len()) {
                    let made = (0..items.len()).map(|number| maker.key(path, number)).collect();
                    keys.insert(path.clone(), made);
                }
                let own = keys.get(path).cloned().unwrap_or_default();
                for (key, value) in own.into_iter().zip(items) {
                    path.0.push(Segment::Item(key));
                    walk(item, path, value, keys, maker);
                    path.0.pop();
                }
            }
            // rows of a list are known by where they stood in the form
            (Shape::Set, _) => {
                keys.remove(path);
            }
            _ => {}
        }
    }
    if !document.value.is_object() {
        return Document::new(Value::Object(Map::new()));
    }
    walk(layout.schema().shape(), &mut Path::root(), &document.value, &mut document.keys, maker);
    document
}
