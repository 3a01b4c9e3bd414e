use std::collections::BTreeMap;

use serde_json::Value;

use crate::domain::path::{ItemKey, Path, Segment};

/// The keys of the items of each repeated group, in the order of the array; by the place of the group.
pub type Keys = BTreeMap<Path, Vec<ItemKey>>;

/// Ordinary JSON, and beside it the keys of its repeated items.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Document {
    pub value: Value,
    pub keys: Keys,
}

impl Document {
    pub fn new(value: Value) -> Self {
        Self { value, keys: Keys::new() }
    }

    /// Whether the array at this place is a group whose items have keys.
    pub fn is_group(&self, place: &Path) -> bool {
        self.keys.contains_key(place)
    }

    /// The value at a place, items found by their keys.
    pub fn get(&self, path: &Path) -> Option<&Value> {
        let mut value = &self.value;
        for (depth, segment) in path.0.iter().enumerate() {
            value = match segment {
                Segment::Property(name) => value.as_object()?.get(name)?,
                Segment::Item(key) => {
                    let keys = self.keys.get(&Path(path.0[..depth].to_vec()))?;
                    value.as_array()?.get(keys.iter().position(|other| other == key)?)?
                }
            };
        }
        Some(value)
    }

    /// The place as a plain JSON Pointer into [`Document::value`], items by position. `None` if an item is not there.
    pub fn pointer(&self, path: &Path) -> Option<String> {
        let mut pointer = String::new();
        for (depth, segment) in path.0.iter().enumerate() {
            pointer.push('/');
            match segment {
                Segment::Property(name) => pointer.push_str(&crate::domain::path::escape(name)),
                Segment::Item(key) => {
                    let keys = self.keys.get(&Path(path.0[..depth].to_vec()))?;
                    pointer.push_str(&keys.iter().position(|other| other == key)?.to_string());
                }
            }
        }
        Some(pointer)
    }

    /// The place a plain JSON Pointer speaks of: positions in groups become keys. A step that is not there yet is taken
    /// as a property. `None` if it is no pointer or a position is outside its group.
    pub fn path(&self, pointer: &str) -> Option<Path> {
        let mut path = Path::root();
        for step in Path::steps(pointer)? {
            let segment = match self.keys.get(&path) {
                Some(keys) => Segment::Item(keys.get(step.parse::<usize>().ok()?)?.clone()),
                None => Segment::Property(step),
            };
            path.0.push(segment);
        }
        Some(path)
    }
}
