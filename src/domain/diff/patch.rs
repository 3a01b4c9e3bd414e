//! Changes as programs describe them: RFC 7396 and RFC 6902. Both make a candidate; what of it is written is decided after.

use serde_json::{Map, Value};

use super::items::{Item, Tree, assign};
use super::{MakeKey, match_items};
use crate::domain::path::Path;
use crate::domain::record::Document;
use crate::domain::save::MAX_RECORD_BYTES;
use crate::domain::schema::Schema;
use crate::domain::{FieldError, json};

/// At most this many operations in one JSON Patch: moves nest what is there, one level each.
const MAX_OPERATIONS: usize = 1_000;

/// RFC 7396. A `null` removes; an array replaces the array, its items are matched to those that were there.
pub fn apply_merge_patch(schema: &Schema, base: &Document, patch: &Value, keys: MakeKey) -> Document {
    let mut value = base.value.clone();
    merge(&mut value, patch);
    match_items(schema, base, value, keys)
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.shift_remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// RFC 6902, all or nothing. An item of a group is addressed by its key, `/parts/@k7f2/quantity`, or by its position. The
/// pointer of an error leads into the patch.
pub fn apply_json_patch(
    schema: &Schema,
    base: &Document,
    operations: &Value,
    keys: MakeKey,
) -> Result<Document, FieldError> {
    let Value::Array(list) = operations else {
        let example = r#"[{"op": "replace", "path": "/title", "value": "Check the pump"}]"#;
        return Err(FieldError::new(
            "",
            "patch",
            format!("A JSON Patch is a list of operations, for example {example}."),
        ));
    };
    if list.len() > MAX_OPERATIONS {
        return Err(FieldError::new("", "limit", "A JSON Patch may have 1,000 operations; send it in parts."));
    }
    let mut tree = Tree::of_document(base);
    // copies of copies double each time
    let mut copied = 0;
    for (number, operation) in list.iter().enumerate() {
        let fault = |fault: Fault| FieldError::new(format!("/{number}{}", fault.at), fault.keyword, fault.message);
        apply(&mut tree, operation, &mut copied).map_err(fault)?;
    }
    Ok(assign(schema, base, tree, keys))
}

struct Fault {
    at: &'static str,
    keyword: &'static str,
    message: String,
}

fn fault<T>(at: &'static str, message: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { at, keyword: "patch", message: message.into() })
}

fn apply(tree: &mut Tree, operation: &Value, copied: &mut usize) -> Result<(), Fault> {
    let Some(name) = operation.get("op").and_then(Value::as_str) else {
        return fault("/op", "Say what to do: one of add, remove, replace, move, copy, test.");
    };
    let path = steps(operation, "path", "/path")?;
    let value = || match operation.get("value") {
        Some(value) => Ok(Tree::of(value.clone())),
        None => fault("/value", format!("\"{name}\" needs a value.")),
    };
    match name {
        "add" => add(tree, &path, Item { key: None, tree: value()? }),
        "remove" => remove(tree, &path, "/path").map(|_| ()),
        "replace" => {
            let value = value()?;
            *find(tree, &path, "/path")? = value;
            Ok(())
        }
        "move" => {
            let from = steps(operation, "from", "/from")?;
            if path.len() > from.len() && path.starts_with(&from) {
                return fault("/path", "A value cannot be moved into itself.");
            }
            let mut item = remove(tree, &from, "/from")?;
            // an item keeps its key only in its own group
            if from.split_last().map(|(_, group)| group) != path.split_last().map(|(_, group)| group) {
                item.key = None;
            }
            add(tree, &path, item)
        }
        "copy" => {
            let from = steps(operation, "from", "/from")?;
            let value = find(tree, &from, "/from")?.clone().into_value();
            *copied += value.to_string().len();
            if *copied > MAX_RECORD_BYTES {
                let message = "What is copied is larger than a record may be, 1 MiB.".into();
                return Err(Fault { at: "", keyword: "limit", message });
            }
            let copy = Tree::of(value);
            add(tree, &path, Item { key: None, tree: copy })
        }
        "test" => {
            let expected = value()?.into_value();
            let found = find(tree, &path, "/path")?.clone().into_value();
            if json::equal(&found, &expected) {
                return Ok(());
            }
            Err(Fault {
                at: "",
                keyword: "test",
                message: "The value there is another one than the test expects.".into(),
            })
        }
        other => {
            fault("/op", format!("\"{other}\" is no operation; use one of add, remove, replace, move, copy, test."))
        }
    }
}

fn steps(operation: &Value, name: &str, at: &'static str) -> Result<Vec<String>, Fault> {
    let pointer = operation.get(name).and_then(Value::as_str);
    match pointer.and_then(Path::steps) {
        Some(steps) => Ok(steps),
        None => fault(at, format!("\"{name}\" must be a JSON Pointer, for example /title or /parts/@k7f2/quantity.")),
    }
}

fn find<'t>(tree: &'t mut Tree, steps: &[String], at: &'static str) -> Result<&'t mut Tree, Fault> {
    let mut here = tree;
    for step in steps {
        let next = match here {
            Tree::Object(members) => members.iter_mut().find(|(name, _)| name == step).map(|(_, tree)| tree),
            Tree::Array(items) => position(items, step).and_then(|at| items.get_mut(at)).map(|item| &mut item.tree),
            Tree::Scalar(_) => None,
        };
        here = match next {
            Some(next) => next,
            None => return missing(at, steps),
        };
    }
    Ok(here)
}

fn missing<T>(at: &'static str, steps: &[String]) -> Result<T, Fault> {
    fault(at, format!("There is nothing at /{}.", steps.join("/")))
}

/// Where an item is that is named by key or position. Positions are written without leading zeros.
fn position(items: &[Item], step: &str) -> Option<usize> {
    if let Some(key) = step.strip_prefix('@') {
        return items.iter().position(|item| item.key.as_ref().is_some_and(|own| own.0 == key));
    }
    let plain = step == "0" || (!step.starts_with('0') && step.bytes().all(|b| b.is_ascii_digit()));
    if plain { step.parse().ok() } else { None }
}

fn add(tree: &mut Tree, steps: &[String], item: Item) -> Result<(), Fault> {
    let Some((last, above)) = steps.split_last() else {
        *tree = item.tree;
        return Ok(());
    };
    match find(tree, above, "/path")? {
        Tree::Object(members) => match members.iter_mut().find(|(name, _)| name == last) {
            Some((_, tree)) => *tree = item.tree,
            None => members.push((last.clone(), item.tree)),
        },
        Tree::Array(items) => {
            let at = if last == "-" { Some(items.len()) } else { position(items, last) };
            match at.filter(|at| *at <= items.len()) {
                Some(at) => items.insert(at, item),
                None => return fault("/path", format!("There is no place {last} in this list; - is its end.")),
            }
        }
        Tree::Scalar(_) => return missing("/path", steps),
    }
    Ok(())
}

fn remove(tree: &mut Tree, steps: &[String], at: &'static str) -> Result<Item, Fault> {
    let Some((last, above)) = steps.split_last() else {
        return fault(at, "The record itself cannot be removed by a patch; delete it instead.");
    };
    let removed = match find(tree, above, at)? {
        Tree::Object(members) => {
            let place = members.iter().position(|(name, _)| name == last);
            place.map(|place| Item { key: None, tree: members.remove(place).1 })
        }
        Tree::Array(items) => {
            position(items, last).filter(|place| *place < items.len()).map(|place| items.remove(place))
        }
        Tree::Scalar(_) => None,
    };
    match removed {
        Some(item) => Ok(item),
        None => missing(at, steps),
    }
}
