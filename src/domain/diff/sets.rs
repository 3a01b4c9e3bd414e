//! Lists without repeats: their elements are the items of a group, each known by its value.

use serde_json::Value;

use crate::domain::json;
use crate::domain::path::{ItemKey, Path, Segment};
use crate::domain::record::{Document, Keys};
use crate::domain::schema::Shape;

/// Keys are read by people in histories and pointers; a longer value is named by its hash.
const LONGEST_KEY: usize = 40;

/// Gives the elements of every set of a document their keys, whatever keys stood there. A list in which a value repeats
/// is no set and gets none: it is written as one value.
pub(super) fn key_elements(shape: &Shape, document: &mut Document) {
    let Document { value, keys } = document;
    walk(shape, &mut Path::root(), value, keys);
}

fn walk(shape: &Shape, path: &mut Path, value: &Value, keys: &mut Keys) {
    match (shape, value) {
        (Shape::Object(object), Value::Object(map)) => {
            for property in object.properties() {
                if let Some(value) = map.get(&property.name) {
                    path.0.push(Segment::Property(property.name.clone()));
                    walk(&property.shape, path, value, keys);
                    path.0.pop();
                }
            }
        }
        (Shape::Group(item), Value::Array(items)) => {
            let own = keys.get(path).cloned().unwrap_or_default();
            for (key, value) in own.into_iter().zip(items) {
                path.0.push(Segment::Item(key));
                walk(item, path, value, keys);
                path.0.pop();
            }
        }
        (Shape::Set, value) => {
            keys.remove(path);
            if let Some(made) = element_keys(value) {
                keys.insert(path.clone(), made);
            }
        }
        _ => {}
    }
}

fn element_keys(list: &Value) -> Option<Vec<ItemKey>> {
    let keys: Vec<ItemKey> = list.as_array()?.iter().map(key_of).collect();
    let distinct: std::collections::HashSet<&ItemKey> = keys.iter().collect();
    (distinct.len() == keys.len()).then_some(keys)
}

/// Equal values have equal keys, on every node: the canonical JSON of the value, or its hash, which no JSON looks like.
fn key_of(value: &Value) -> ItemKey {
    let canonical = json::canonical(value);
    if canonical.len() <= LONGEST_KEY {
        return ItemKey(canonical);
    }
    ItemKey(format!("#{}", &blake3::hash(canonical.as_bytes()).to_hex()[..32]))
}
