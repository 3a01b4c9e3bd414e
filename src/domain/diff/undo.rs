//! What a record was, from what it is and its history.

use serde_json::{Map, Value};

use super::keys_of;
use crate::domain::path::{ItemKey, Path, Segment};
use crate::domain::record::{Document, EffectKind, Keys};

/// Takes back lines of a record's history, newest first: place, what happened, and the value before.
///
/// Where items stood is not in the history: what was removed comes back at the end of its group, moves stay.
pub fn undo<'a>(now: &Document, lines: impl Iterator<Item = (&'a Path, EffectKind, Option<&'a Value>)>) -> Value {
    let mut document = now.clone();
    let lines: Vec<Line> =
        lines.filter(|(_, kind, _)| *kind == EffectKind::Changed).map(|(path, _, old)| (path, old)).collect();
    for (at, (path, old)) in lines.iter().enumerate() {
        put(&mut document, path, old.cloned());
        if let Some(Value::Array(items)) = old
            && let Some(keys) = keys_beside(&lines, at, path, items)
        {
            document.keys.insert((*path).clone(), keys);
        }
    }
    document.value
}

type Line<'a> = (&'a Path, Option<&'a Value>);

/// The keys of a group that was removed: with it, line by line, each of its items was.
fn keys_beside(lines: &[Line], at: usize, place: &Path, items: &[Value]) -> Option<Vec<ItemKey>> {
    let near = &lines[at.saturating_sub(items.len())..lines.len().min(at + items.len() + 1)];
    let mut keys: Vec<(&ItemKey, &Value)> = Vec::new();
    for (path, old) in near {
        if let (Some((Segment::Item(key), above)), Some(old)) = (path.0.split_last(), old)
            && above == place.0
        {
            keys.push((key, old));
        }
    }
    let mut take = |item: &Value| {
        let found = keys.iter().position(|(_, old)| *old == item)?;
        Some(keys.remove(found).0.clone())
    };
    items.iter().map(&mut take).collect()
}

fn put(document: &mut Document, path: &Path, value: Option<Value>) {
    let Some((last, above)) = path.0.split_last() else {
        document.value = value.unwrap_or_default();
        document.keys.clear();
        return;
    };
    let above = Path(above.to_vec());
    let Document { value: root, keys } = document;
    match last {
        Segment::Property(name) => {
            let Some(holder) = object(root, keys, &above, value.is_some()) else { return };
            match value {
                Some(value) => holder.insert(name.clone(), value),
                None => holder.shift_remove(name),
            };
            keys.retain(|place, _| !place.0.starts_with(&path.0));
        }
        Segment::Item(key) => {
            if keys_of(document, &above, document.get(&above)).is_none() {
                // the group as a whole is taken back by a line of its own
                return;
            }
            let Document { value: root, keys } = document;
            let at = keys.get(&above).and_then(|keys| keys.iter().position(|other| other == key));
            let Some(items) = find(root, keys, &above).and_then(Value::as_array_mut) else { return };
            let order = keys.entry(above).or_default();
            match (at, value) {
                (Some(at), Some(value)) => items[at] = value,
                (Some(at), None) => {
                    items.remove(at);
                    order.remove(at);
                }
                (None, Some(value)) => {
                    items.push(value);
                    order.push(key.clone());
                }
                (None, None) => {}
            }
            keys.retain(|place, _| place.0.len() <= path.0.len() - 1 || !place.0.starts_with(&path.0));
        }
    }
}

fn find<'v>(root: &'v mut Value, keys: &Keys, path: &Path) -> Option<&'v mut Value> {
    let mut here = root;
    for (depth, segment) in path.0.iter().enumerate() {
        here = match segment {
            Segment::Property(name) => here.as_object_mut()?.get_mut(name)?,
            Segment::Item(key) => {
                let order = keys.get(&Path(path.0[..depth].to_vec()))?;
                let at = order.iter().position(|other| other == key)?;
                here.as_array_mut()?.get_mut(at)?
            }
        };
    }
    Some(here)
}

/// The object at a place; made where it is missing and a value is to be put into it.
fn object<'v>(root: &'v mut Value, keys: &Keys, path: &Path, make: bool) -> Option<&'v mut Map<String, Value>> {
    let there = find(root, keys, path).is_some_and(|value| value.is_object());
    if !there {
        let (Segment::Property(name), above) = path.0.split_last()? else { return None };
        let above = if make { object(root, keys, &Path(above.to_vec()), make)? } else { return None };
        above.insert(name.clone(), Value::Object(Map::new()));
    }
    find(root, keys, path)?.as_object_mut()
}
