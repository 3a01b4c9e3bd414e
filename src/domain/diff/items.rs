//! Which items of an array are the ones that were there: arrays that come by API carry no keys.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value};

use super::{MakeKey, keys_of};
use crate::domain::json;
use crate::domain::path::{ItemKey, Path, Segment};
use crate::domain::record::{Document, Keys};
use crate::domain::schema::{Schema, Shape};

/// Above so many pairs only equality and position decide.
const PAIRS: usize = 250_000;

/// Gives the items of a whole value their keys: an item that is there already keeps its own. Equal items are found first,
/// then those with the most equal fields, then those at the same position; what remains is new.
pub fn match_items(schema: &Schema, base: &Document, value: Value, keys: MakeKey) -> Document {
    assign(schema, base, Tree::of(value), keys)
}

/// A value while it is being changed: items carry the keys that are known of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tree {
    Scalar(Value),
    Object(Vec<(String, Tree)>),
    Array(Vec<Item>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    pub key: Option<ItemKey>,
    pub tree: Tree,
}

impl Tree {
    pub fn of(value: Value) -> Self {
        match value {
            Value::Object(map) => Tree::Object(map.into_iter().map(|(name, value)| (name, Tree::of(value))).collect()),
            Value::Array(items) => {
                Tree::Array(items.into_iter().map(|item| Item { key: None, tree: Tree::of(item) }).collect())
            }
            scalar => Tree::Scalar(scalar),
        }
    }

    /// With the keys of a document.
    pub fn of_document(document: &Document) -> Self {
        fn of(document: &Document, path: &mut Path, value: &Value) -> Tree {
            match value {
                Value::Object(map) => {
                    let below = |(name, value): (&String, &Value)| {
                        path.0.push(Segment::Property(name.clone()));
                        let tree = of(document, path, value);
                        path.0.pop();
                        (name.clone(), tree)
                    };
                    Tree::Object(map.iter().map(below).collect())
                }
                Value::Array(items) => match keys_of(document, path, Some(value)) {
                    None => Tree::of(value.clone()),
                    Some(keys) => {
                        let below = |(key, value): (&ItemKey, &Value)| {
                            path.0.push(Segment::Item(key.clone()));
                            let tree = of(document, path, value);
                            path.0.pop();
                            Item { key: Some(key.clone()), tree }
                        };
                        Tree::Array(keys.iter().zip(items).map(below).collect())
                    }
                },
                scalar => Tree::Scalar(scalar.clone()),
            }
        }
        of(document, &mut Path::root(), &document.value)
    }

    pub fn into_value(self) -> Value {
        match self {
            Tree::Scalar(value) => value,
            Tree::Object(members) => {
                Value::Object(members.into_iter().map(|(name, tree)| (name, tree.into_value())).collect())
            }
            Tree::Array(items) => Value::Array(items.into_iter().map(|item| item.tree.into_value()).collect()),
        }
    }
}

/// A document of a tree: each item of a group gets a key.
pub(super) fn assign(schema: &Schema, base: &Document, tree: Tree, make: MakeKey) -> Document {
    let mut assigner = Assigner { base, make, keys: Keys::new() };
    let value = assigner.value(schema.shape(), &mut Path::root(), tree);
    Document { value: json::sorted(value), keys: assigner.keys }
}

struct Assigner<'a, 'k> {
    base: &'a Document,
    make: MakeKey<'k>,
    keys: Keys,
}

impl Assigner<'_, '_> {
    fn value(&mut self, shape: &Shape, path: &mut Path, tree: Tree) -> Value {
        match (shape, tree) {
            (Shape::Object(object), Tree::Object(members)) => {
                let mut map = Map::new();
                for (name, tree) in members {
                    path.0.push(Segment::Property(name.clone()));
                    let value = self.value(object.shape_of(&name), path, tree);
                    path.0.pop();
                    map.insert(name, value);
                }
                Value::Object(map)
            }
            (Shape::Group(item), Tree::Array(items)) => self.group(item, path, items),
            (_, tree) => {
                let value = tree.into_value();
                self.keep_keys(path, &value);
                value
            }
        }
    }

    /// An array that has keys where the schema sees one value now keeps them as long as it stays as it is.
    fn keep_keys(&mut self, path: &Path, value: &Value) {
        let mut below = self.base.keys.range(path.clone()..).take_while(|(place, _)| place.0.starts_with(&path.0));
        if below.next().is_some() && self.base.get(path).is_some_and(|old| json::equal(old, value)) {
            let below = self.base.keys.range(path.clone()..).take_while(|(place, _)| place.0.starts_with(&path.0));
            self.keys.extend(below.map(|(place, keys)| (place.clone(), keys.clone())));
        }
    }

    fn group(&mut self, shape: &Shape, path: &mut Path, items: Vec<Item>) -> Value {
        let old = self.base.get(path);
        let old_keys = keys_of(self.base, path, old).unwrap_or_default();
        let old_items = old.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut taken: BTreeSet<ItemKey> = BTreeSet::new();
        let mut keys: Vec<Option<ItemKey>> =
            items.iter().map(|item| item.key.clone().filter(|key| taken.insert(key.clone()))).collect();
        let trees: Vec<Tree> = items.into_iter().map(|item| item.tree).collect();
        if taken.is_empty() && !old_keys.is_empty() {
            let plain: Vec<Value> = trees.iter().map(|tree| tree.clone().into_value()).collect();
            for (new, old) in pairs(old_items, &plain).into_iter().enumerate() {
                keys[new] = old.map(|old| old_keys[old].clone());
                taken.extend(keys[new].clone());
            }
        }
        let reserved: BTreeSet<&ItemKey> = old_keys.iter().collect();
        let mut order = Vec::with_capacity(trees.len());
        let mut values = Vec::with_capacity(trees.len());
        for (position, (key, tree)) in keys.into_iter().zip(trees).enumerate() {
            let key = key.unwrap_or_else(|| self.fresh(path, position, &taken, &reserved));
            taken.insert(key.clone());
            path.0.push(Segment::Item(key.clone()));
            values.push(self.value(shape, path, tree));
            path.0.pop();
            order.push(key);
        }
        self.keys.insert(path.clone(), order);
        Value::Array(values)
    }

    fn fresh(
        &mut self,
        place: &Path,
        position: usize,
        taken: &BTreeSet<ItemKey>,
        reserved: &BTreeSet<&ItemKey>,
    ) -> ItemKey {
        let free = |key: &ItemKey| !taken.contains(key) && !reserved.contains(key);
        let tries = std::iter::once(position).chain(position + 10_000..);
        let mut last = ItemKey(String::new());
        for number in tries.take(100) {
            last = (self.make)(place, number);
            if free(&last) {
                return last;
            }
        }
        // a maker that knows one key only: it is told apart here
        let mut numbered = (0u64..).map(|number| ItemKey(format!("{}{number}", last.0)));
        numbered.find(free).unwrap_or(last)
    }
}

/// For each new item the old one that it is, if any.
fn pairs(old: &[Value], new: &[Value]) -> Vec<Option<usize>> {
    let mut found: Vec<Option<usize>> = vec![None; new.len()];
    let mut free = vec![true; old.len()];
    let mut equal: HashMap<String, Vec<usize>> = HashMap::new();
    for (at, value) in old.iter().enumerate().rev() {
        equal.entry(json::canonical(value)).or_default().push(at);
    }
    for (value, slot) in new.iter().zip(&mut found) {
        if let Some(at) = equal.get_mut(&json::canonical(value)).and_then(Vec::pop) {
            free[at] = false;
            *slot = Some(at);
        }
    }
    let open = |found: &[Option<usize>]| (0..found.len()).filter(|at| found[*at].is_none()).collect::<Vec<_>>();
    let left = free.iter().filter(|free| **free).count();
    if open(&found).len() * left <= PAIRS {
        let mut likely: BTreeMap<(std::cmp::Reverse<usize>, usize, usize), usize> = BTreeMap::new();
        for at in open(&found) {
            for candidate in (0..old.len()).filter(|candidate| free[*candidate]) {
                let score = equal_fields(&old[candidate], &new[at]);
                if score > 0 {
                    likely.insert((std::cmp::Reverse(score), at.abs_diff(candidate), at), candidate);
                }
            }
        }
        for ((_, _, at), candidate) in likely {
            if found[at].is_none() && free[candidate] {
                free[candidate] = false;
                found[at] = Some(candidate);
            }
        }
    }
    for at in open(&found) {
        if free.get(at) == Some(&true) {
            free[at] = false;
            found[at] = Some(at);
        }
    }
    found
}

fn equal_fields(a: &Value, b: &Value) -> usize {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.iter().filter(|(name, value)| b.get(*name).is_some_and(|other| json::equal(value, other))).count()
        }
        _ => 0,
    }
}
