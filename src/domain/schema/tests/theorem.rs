//! The theorem of merge units: where every write was valid and stamped the whole units it touched, every merge is valid.
//!
//! Random schemas with rules of all kinds, two replicas that write at the same time and meet again. Merging is modelled as
//! simply as it can be: the later stamp wins at each leaf; an optional object or an item is there as long as it has a leaf
//! that its remover had not seen, and then as it was; a list whose items are all removed is an empty list. What counts things is not generated, being outside of the theorem.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::super::{Schema, Shape};

/// Small and reproducible; a failing seed is told.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % sides
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.roll(from.len())]
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.roll(n) == 0
    }
}

/// A place that random rules speak of.
#[derive(Clone, Copy)]
enum Kind {
    Scalar,
    Object,
    Group,
}

const ROOT: &[(&str, Kind)] = &[
    ("a", Kind::Scalar),
    ("b", Kind::Scalar),
    ("c", Kind::Scalar),
    ("d", Kind::Scalar),
    ("o", Kind::Object),
    ("r", Kind::Object),
    ("g", Kind::Group),
];
const INNER: &[(&str, Kind)] = &[("x", Kind::Scalar), ("y", Kind::Scalar), ("z", Kind::Scalar)];

/// A schema that says something about some of the names.
fn condition(dice: &mut Dice, names: &[(&'static str, Kind)], depth: usize) -> Value {
    if depth > 0 && dice.one_in(4) {
        let word = *dice.pick(&["allOf", "anyOf", "oneOf"]);
        let parts: Vec<Value> = (0..2).map(|_| condition(dice, names, depth - 1)).collect();
        return json!({ word: parts });
    }
    let (name, kind) = *dice.pick(names);
    let (other, _) = another(dice, names, name);
    match dice.roll(8) {
        0 => json!({"required": [name]}),
        1 => json!({"not": {"required": [name]}}),
        2 => json!({"required": [name, other]}),
        3 if dice.one_in(2) => json!({"properties": {name: true}, "additionalProperties": false}),
        4 => json!({"dependentRequired": {name: [other]}}),
        _ => {
            let below = match kind {
                Kind::Scalar if dice.one_in(2) => json!({"const": dice.roll(3)}),
                Kind::Scalar => json!({"minimum": dice.roll(3)}),
                Kind::Object => condition(dice, INNER, 0),
                Kind::Group if dice.one_in(4) => json!(false),
                Kind::Group => json!({"items": condition(dice, INNER, 0)}),
            };
            if dice.one_in(2) {
                json!({"properties": {name: below}, "required": [name]})
            } else {
                json!({"properties": {name: below}})
            }
        }
    }
}

fn another(dice: &mut Dice, names: &[(&'static str, Kind)], than: &str) -> (&'static str, Kind) {
    let others: Vec<_> = names.iter().filter(|(name, _)| *name != than).copied().collect();
    *dice.pick(&others)
}

fn rule(dice: &mut Dice, names: &[(&'static str, Kind)]) -> Value {
    let (name, _) = *dice.pick(names);
    let say = |dice: &mut Dice| condition(dice, names, 1);
    match dice.roll(7) {
        0 => json!({"if": say(dice), "then": say(dice)}),
        1 => json!({"if": say(dice), "then": say(dice), "else": say(dice)}),
        2 => json!({"dependentRequired": {name: [another(dice, names, name).0]}}),
        3 => json!({"dependentSchemas": {name: say(dice)}}),
        4 => json!({"anyOf": [say(dice), say(dice)]}),
        5 => json!({"oneOf": [say(dice), say(dice)]}),
        _ => json!({"not": {"allOf": [say(dice), say(dice)]}}),
    }
}

fn random_schema(dice: &mut Dice) -> Value {
    let rules = |dice: &mut Dice, names: &[(&'static str, Kind)], most: usize| -> Vec<Value> {
        (0..dice.roll(most + 1)).map(|_| rule(dice, names)).collect()
    };
    let inner = |dice: &mut Dice| {
        let mut object = json!({"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}, "z": {"type": "integer"}}});
        if dice.one_in(3) {
            object["required"] = json!(["x"]);
        }
        let rules = rules(dice, INNER, 1);
        if !rules.is_empty() {
            object["allOf"] = json!(rules);
        }
        if dice.one_in(6) {
            object["unevaluatedProperties"] = json!(false);
        }
        object
    };
    let mut schema = json!({
        "type": "object",
        "properties": {
            "a": {"type": "integer"}, "b": {"type": "integer"}, "c": {"type": "integer"}, "d": {"type": "integer"},
            "o": inner(dice), "r": inner(dice), "g": {"type": "array", "items": inner(dice)}
        }
    });
    if dice.one_in(5) {
        let word = *dice.pick(&["anyOf", "oneOf"]);
        let branches: Vec<Value> = (0..2).map(|_| json!({"items": condition(dice, INNER, 0)})).collect();
        schema["properties"]["g"][word] = json!(branches);
    }
    if dice.one_in(8) {
        schema["unevaluatedProperties"] = json!(false);
    }
    schema["required"] = if dice.one_in(4) { json!([]) } else { json!(["r"]) };
    let mut rules = rules(dice, ROOT, 3);
    if rules.is_empty() {
        rules.push(rule(dice, ROOT));
    }
    schema["allOf"] = json!(rules);
    schema
}

/// A stamp is a time and a replica, so two saves never tie.
type Stamp = (u64, usize);
type Path = Vec<String>;

/// A replica: what it knows of each leaf, and what was seen by those who removed something.
#[derive(Clone, Default, PartialEq, Debug)]
struct Replica {
    leaves: BTreeMap<Path, (Stamp, Option<Value>)>,
    /// By object or item: the stamps inside that a remover had seen.
    covered: BTreeMap<Path, BTreeSet<Stamp>>,
}

/// A record with its items by key, as a writer has it before it.
type Keyed = Value;

impl Replica {
    fn merge(&mut self, other: &Self) {
        for (path, theirs) in &other.leaves {
            let ours = self.leaves.entry(path.clone()).or_insert_with(|| theirs.clone());
            if ours.0 < theirs.0 {
                *ours = theirs.clone();
            }
        }
        for (path, stamps) in &other.covered {
            self.covered.entry(path.clone()).or_default().extend(stamps);
        }
    }

    fn below<'s>(&'s self, path: &'s [String]) -> impl Iterator<Item = (&'s Path, &'s (Stamp, Option<Value>))> {
        self.leaves.iter().filter(move |(leaf, _)| leaf.starts_with(path) && leaf.len() > path.len())
    }

    fn is_there(&self, path: &[String]) -> bool {
        let none = BTreeSet::new();
        let covered = self.covered.get(path).unwrap_or(&none);
        self.below(path).any(|(_, (stamp, _))| !covered.contains(stamp))
    }

    fn read(&self, shape: &Shape, path: &[String]) -> Option<Keyed> {
        match shape {
            // what comes and goes by elements is no matter of units
            Shape::Set | Shape::Counter | Shape::Text | Shape::Leaf => self.leaves.get(path)?.1.clone(),
            Shape::Object(object) => {
                if !path.is_empty() && !self.is_there(path) {
                    return None;
                }
                let properties = object.properties().iter().filter_map(|property| {
                    Some((property.name.clone(), self.read(&property.shape, &with(path, &property.name))?))
                });
                Some(Value::Object(properties.collect()))
            }
            Shape::Group(item) => {
                let kept = self.leaves.get(&with(path, "")).is_some_and(|(_, value)| value.is_some());
                let keys: BTreeSet<&String> =
                    self.below(path).map(|(leaf, _)| &leaf[path.len()]).filter(|key| !key.is_empty()).collect();
                let items: Map<String, Value> = keys
                    .into_iter()
                    .filter_map(|key| Some((key.clone(), self.read(item, &with(path, key))?)))
                    .collect();
                (kept || !items.is_empty()).then_some(Value::Object(items))
            }
        }
    }

    /// Stamps all leaves at and below a path with what a record has there; what the record lacks is removed.
    fn stamp(&mut self, shape: &Shape, path: &[String], value: Option<&Keyed>, stamp: Stamp) {
        match shape {
            Shape::Set | Shape::Counter | Shape::Text | Shape::Leaf => {
                self.leaves.insert(path.to_vec(), (stamp, value.cloned()));
            }
            Shape::Object(object) => match value {
                None if !path.is_empty() => {
                    let seen: Vec<Stamp> = self.below(path).map(|(_, (stamp, _))| *stamp).collect();
                    self.covered.entry(path.to_vec()).or_default().extend(seen);
                }
                value => {
                    for property in object.properties() {
                        let below = value.and_then(|value| value.get(&property.name));
                        self.stamp(&property.shape, &with(path, &property.name), below, stamp);
                    }
                    // that the object is there, even with nothing in it
                    self.leaves.insert(with(path, ""), (stamp, None));
                }
            },
            Shape::Group(item) => {
                // that the list is there, even with nothing in it
                self.leaves.insert(with(path, ""), (stamp, value.map(|_| Value::Bool(true))));
                let keys = self.below(path).map(|(leaf, _)| leaf[path.len()].clone()).filter(|key| !key.is_empty());
                let mut keys: BTreeSet<String> = keys.collect();
                keys.extend(value.and_then(Value::as_object).into_iter().flat_map(|items| items.keys().cloned()));
                for key in keys {
                    self.stamp(item, &with(path, &key), value.and_then(|value| value.get(&key)), stamp);
                }
            }
        }
    }
}

fn with(path: &[String], segment: &str) -> Path {
    let mut longer = path.to_vec();
    longer.push(segment.to_string());
    longer
}

/// The record as the schema knows it: groups as arrays.
fn plain(shape: &Shape, keyed: &Keyed) -> Value {
    match (shape, keyed) {
        (Shape::Object(object), Value::Object(members)) => Value::Object(
            members.iter().map(|(name, value)| (name.clone(), plain(object.shape_of(name), value))).collect(),
        ),
        (Shape::Group(item), Value::Object(items)) => items.values().map(|value| plain(item, value)).collect(),
        (_, value) => value.clone(),
    }
}

/// The paths that differ, as a writer tells them.
fn differences(shape: &Shape, path: &[String], old: Option<&Keyed>, new: Option<&Keyed>, touched: &mut Vec<Path>) {
    if old == new {
        return;
    }
    match (shape, old, new) {
        (Shape::Object(object), Some(old), Some(new)) => {
            for property in object.properties() {
                let name = &property.name;
                differences(&property.shape, &with(path, name), old.get(name), new.get(name), touched);
            }
        }
        (Shape::Group(item), Some(Value::Object(old)), Some(Value::Object(new))) => {
            if new.is_empty() {
                touched.push(path.to_vec());
            }
            for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
                differences(item, &with(path, key), old.get(key), new.get(key), touched);
            }
        }
        _ => touched.push(path.to_vec()),
    }
}

fn random_object(dice: &mut Dice) -> Value {
    let mut object = Map::new();
    for (name, _) in INNER {
        if !dice.one_in(2) {
            object.insert((*name).to_string(), json!(dice.roll(3)));
        }
    }
    Value::Object(object)
}

/// Changes a record at random; where a group is one value, it is an array.
fn mutate(dice: &mut Dice, shape: &Shape, record: &mut Keyed, fresh: &mut usize) {
    let Value::Object(root) = record else { return };
    for _ in 0..=dice.roll(3) {
        let (name, kind) = *dice.pick(ROOT);
        if dice.one_in(3) {
            root.shift_remove(name);
            continue;
        }
        match kind {
            Kind::Scalar => {
                root.insert(name.to_string(), json!(dice.roll(3)));
            }
            Kind::Object => match root.get_mut(name) {
                Some(Value::Object(object)) if !dice.one_in(3) => change_one(dice, object),
                _ => {
                    root.insert(name.to_string(), random_object(dice));
                }
            },
            Kind::Group => {
                if shape.at(&[name]).is_some_and(Shape::is_leaf) {
                    let items: Vec<Value> = (0..=dice.roll(2)).map(|_| random_object(dice)).collect();
                    root.insert(name.to_string(), json!(items));
                    continue;
                }
                let items = root.entry(name).or_insert_with(|| json!({}));
                let Value::Object(items) = items else { continue };
                let keys: Vec<String> = items.keys().cloned().collect();
                match dice.roll(3) {
                    0 if !keys.is_empty() => {
                        items.shift_remove(dice.pick(&keys));
                    }
                    1 if !keys.is_empty() => {
                        if let Some(Value::Object(item)) = items.get_mut(dice.pick(&keys)) {
                            change_one(dice, item);
                        }
                    }
                    _ => {
                        *fresh += 1;
                        items.insert(format!("@{fresh}"), random_object(dice));
                    }
                }
            }
        }
    }
}

fn change_one(dice: &mut Dice, object: &mut Map<String, Value>) {
    let (name, _) = *dice.pick(INNER);
    if dice.one_in(3) {
        object.shift_remove(name);
    } else {
        object.insert(name.to_string(), json!(dice.roll(3)));
    }
}

/// A valid change of what a replica holds, written with its units. `false` where none was found.
fn save(dice: &mut Dice, schema: &Schema, replica: &mut Replica, stamp: Stamp, fresh: &mut usize) -> bool {
    let shape = schema.shape();
    let before = replica.read(shape, &[]).unwrap_or_else(|| json!({}));
    for _ in 0..30 {
        let mut after = before.clone();
        mutate(dice, shape, &mut after, fresh);
        if after == before || !schema.is_valid(&plain(shape, &after)) {
            continue;
        }
        let mut touched = Vec::new();
        differences(shape, &[], Some(&before), Some(&after), &mut touched);
        for path in schema.units().expand::<Path, String>(&touched) {
            let value = path.iter().try_fold(&after, |value, segment| value.get(segment));
            let shape = shape.at(&path).expect("a unit's places are places of the shape");
            replica.stamp(shape, &path, value, stamp);
        }
        let now = replica.read(shape, &[]).unwrap_or_else(|| json!({}));
        assert_eq!(now, after, "a save reads back as it was written, touched {touched:?}");
        return true;
    }
    false
}

/// Whether the schema had a valid record and two people found something to change.
fn play(seed: u64) -> bool {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66);
    let source = random_schema(&mut dice);
    let schema = Schema::compile(&source).unwrap_or_else(|errors| panic!("seed {seed}: {source}: {errors:?}"));
    let shape = schema.shape();
    let (mut fresh, mut clock, mut merges) = (0, 1, 0);
    let mut start = Replica::default();
    let first = (0..200).find_map(|_| {
        let mut record = json!({"r": random_object(&mut dice)});
        mutate(&mut dice, shape, &mut record, &mut fresh);
        schema.is_valid(&plain(shape, &record)).then_some(record)
    });
    let Some(first) = first else { return false };
    start.stamp(shape, &[], Some(&first), (clock, 0));
    let mut replicas = [start.clone(), start];
    for _ in 0..6 {
        let before = replicas[0].clone();
        let mut saves = 0;
        for _ in 0..1 + dice.roll(3) {
            let who = dice.roll(2);
            clock += 1;
            saves += usize::from(save(&mut dice, &schema, &mut replicas[who], (clock, who), &mut fresh));
        }
        let (left, right) = (replicas[0].clone(), replicas[1].clone());
        replicas[0].merge(&right);
        replicas[1].merge(&left);
        assert_eq!(replicas[0], replicas[1], "seed {seed}");
        merges += saves;
        let merged = replicas[0].read(shape, &[]).unwrap_or_else(|| json!({}));
        let record = plain(shape, &merged);
        assert!(
            schema.is_valid(&record),
            "seed {seed}: merged to {record}, which is not valid: {:?}\nschema {source}\nunits {:?}\nbefore {}\nleft {}\nright {}",
            schema.validate(&record),
            schema.units().all().iter().map(ToString::to_string).collect::<Vec<_>>(),
            before.read(shape, &[]).unwrap_or_default(),
            left.read(shape, &[]).unwrap_or_default(),
            right.read(shape, &[]).unwrap_or_default(),
        );
    }
    merges > 0
}

#[test]
fn merges_of_valid_writes_are_valid() {
    let seeds = std::env::var("OUTPOST_THEOREM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(2_000);
    let played = (0..seeds).filter(|seed| play(*seed)).count();
    println!("{played} of {seeds} random schemas had something to merge");
    assert!(played * 2 > seeds as usize, "most schemas have something to merge");
}
