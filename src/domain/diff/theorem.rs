//! The theorem of merge units with the real differences and the real merge: random schemas with rules of all kinds, some
//! replicas that write valid records without knowing of each other and meet in any order. Every merge is valid.
//!
//! The schema's own tests play the same with merging as simple as it can be said; here it is with repeated groups in groups,
//! objects in objects, sets, counters and long texts. What counts things is not generated, being outside of the theorem,
//! and no rule stands at a counter or a text alone, which add up from what several people write.

use serde_json::{Map, Value, json};

use super::*;
use crate::domain::clock::Hlc;
use crate::domain::ids::{NodeId, SaveId};
use crate::domain::stamp::{Author, Stamp};

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

type Fields = &'static [(&'static str, Kind)];

#[derive(Clone, Copy)]
enum Kind {
    Number,
    Object(Fields),
    Group(Fields),
    Set,
    Counter,
    Text,
}

const PAIR: Fields = &[("p", Kind::Number), ("q", Kind::Number)];
const ITEM: Fields = &[("x", Kind::Number), ("y", Kind::Number), ("h", Kind::Group(PAIR)), ("t", Kind::Set)];
const INNER: Fields = &[
    ("x", Kind::Number),
    ("y", Kind::Number),
    ("z", Kind::Number),
    ("n", Kind::Object(PAIR)),
    ("s", Kind::Counter),
    ("h", Kind::Group(PAIR)),
];
const ROOT: Fields = &[
    ("a", Kind::Number),
    ("b", Kind::Number),
    ("c", Kind::Number),
    ("o", Kind::Object(INNER)),
    ("r", Kind::Object(INNER)),
    ("g", Kind::Group(ITEM)),
    ("t", Kind::Set),
    ("s", Kind::Counter),
    ("w", Kind::Text),
];

/// Something that a rule may ask of a place.
fn below(dice: &mut Dice, kind: Kind) -> Value {
    match kind {
        Kind::Number if dice.one_in(2) => json!({"const": dice.roll(3)}),
        Kind::Number | Kind::Counter => json!({"minimum": dice.roll(3)}),
        Kind::Object(fields) => condition(dice, fields, 0),
        Kind::Group(_) if dice.one_in(4) => json!(false),
        Kind::Group(fields) => json!({"items": condition(dice, fields, 0)}),
        Kind::Set => json!({"items": {"enum": ["u0", "u1"]}}),
        Kind::Text => json!({"pattern": "a"}),
    }
}

/// A schema that says something about some of the names.
fn condition(dice: &mut Dice, fields: Fields, depth: usize) -> Value {
    if depth > 0 && dice.one_in(4) {
        let word = *dice.pick(&["allOf", "anyOf", "oneOf"]);
        let parts: Vec<Value> = (0..2).map(|_| condition(dice, fields, depth - 1)).collect();
        return json!({ word: parts });
    }
    let (name, kind) = *dice.pick(fields);
    let other = another(dice, fields, name);
    match dice.roll(8) {
        0 => json!({"required": [name]}),
        1 => json!({"not": {"required": [name]}}),
        2 => json!({"required": [name, other]}),
        3 => json!({"dependentRequired": {name: [other]}}),
        4 | 5 => json!({"properties": {name: below(dice, kind)}, "required": [name]}),
        _ => json!({"properties": {name: below(dice, kind)}}),
    }
}

fn another(dice: &mut Dice, fields: Fields, than: &str) -> &'static str {
    let others: Vec<&'static str> = fields.iter().map(|(name, _)| *name).filter(|name| *name != than).collect();
    others[dice.roll(others.len())]
}

fn rule(dice: &mut Dice, fields: Fields) -> Value {
    let (name, _) = *dice.pick(fields);
    let say = |dice: &mut Dice| condition(dice, fields, 1);
    match dice.roll(7) {
        0 => json!({"if": say(dice), "then": say(dice)}),
        1 => json!({"if": say(dice), "then": say(dice), "else": say(dice)}),
        2 => json!({"dependentRequired": {name: [another(dice, fields, name)]}}),
        3 => json!({"dependentSchemas": {name: say(dice)}}),
        4 => json!({"anyOf": [say(dice), say(dice)]}),
        5 => json!({"oneOf": [say(dice), say(dice)]}),
        _ => json!({"not": {"allOf": [say(dice), say(dice)]}}),
    }
}

fn object(dice: &mut Dice, fields: Fields, most_rules: usize) -> Value {
    let mut properties = Map::new();
    for (name, kind) in fields {
        let schema = match kind {
            Kind::Number => json!({"type": "integer"}),
            Kind::Object(fields) => object(dice, fields, 1),
            Kind::Group(fields) => json!({"type": "array", "items": object(dice, fields, 1)}),
            Kind::Set => json!({"type": "array", "uniqueItems": true, "items": {"type": "string"}}),
            Kind::Counter => json!({"type": "integer", "x-merge": "counter"}),
            Kind::Text => json!({"type": "string", "x-merge": "text"}),
        };
        properties.insert((*name).to_owned(), schema);
    }
    let mut schema = json!({"type": "object", "properties": properties});
    if dice.one_in(4) {
        schema["required"] = json!([dice.pick(fields).0]);
    }
    let rules: Vec<Value> = (0..dice.roll(most_rules + 1)).map(|_| rule(dice, fields)).collect();
    if !rules.is_empty() {
        schema["allOf"] = json!(rules);
    }
    schema
}

fn value(dice: &mut Dice, kind: Kind) -> Value {
    match kind {
        Kind::Number => json!(dice.roll(3)),
        Kind::Counter => json!(dice.roll(9)),
        Kind::Text => json!(["", "a", "ab", "ba b", "bb"][dice.roll(5)]),
        Kind::Set => {
            let from = dice.roll(3);
            json!((from..from + dice.roll(3)).map(|n| format!("u{n}")).collect::<Vec<_>>())
        }
        Kind::Object(fields) => filled(dice, fields),
        Kind::Group(fields) => (0..dice.roll(3)).map(|_| filled(dice, fields)).collect(),
    }
}

fn filled(dice: &mut Dice, fields: Fields) -> Value {
    let chosen: Vec<_> = fields.iter().filter(|_| !dice.one_in(2)).collect();
    Value::Object(chosen.into_iter().map(|(name, kind)| ((*name).to_owned(), value(dice, *kind))).collect())
}

/// Changes something somewhere.
fn mutate(dice: &mut Dice, fields: Fields, map: &mut Map<String, Value>) {
    let (name, kind) = *dice.pick(fields);
    if dice.one_in(4) {
        map.shift_remove(name);
        return;
    }
    match (kind, map.get_mut(name)) {
        (Kind::Object(fields), Some(Value::Object(inside))) if !dice.one_in(4) => mutate(dice, fields, inside),
        (Kind::Group(fields), Some(Value::Array(items))) if !items.is_empty() && !dice.one_in(4) => {
            let at = dice.roll(items.len());
            match (dice.roll(4), &mut items[at]) {
                (0, _) => {
                    items.remove(at);
                }
                (1, _) => items.insert(at, filled(dice, fields)),
                (_, Value::Object(item)) => mutate(dice, fields, item),
                _ => {}
            }
        }
        (Kind::Set, Some(Value::Array(elements))) => {
            let element = json!(format!("u{}", dice.roll(4)));
            match elements.iter().position(|known| *known == element) {
                Some(at) => drop(elements.remove(at)),
                None => elements.push(element),
            }
        }
        _ => {
            map.insert(name.to_owned(), value(dice, kind));
        }
    }
}

fn keys(save: u64) -> impl FnMut(&Path, usize) -> ItemKey {
    let mut made = 0;
    move |_, _| {
        made += 1;
        ItemKey(format!("{save}-{made}"))
    }
}

fn stamp(node: usize, at: u64) -> Stamp {
    let author = Author { node: NodeId(node as u64), ..Author::default() };
    Stamp::new(Hlc::at(at as i64), author, SaveId(u128::from(at) << 96))
}

/// A valid change of what a replica holds. `false` where none was found. `cuts`: only what differs is written.
fn save(dice: &mut Dice, schema: &Schema, replica: &mut State, (node, at): (usize, u64), cuts: bool) -> bool {
    let before = replica.document();
    for _ in 0..30 {
        let mut after = before.value.clone();
        let Value::Object(map) = &mut after else { return false };
        for _ in 0..=dice.roll(3) {
            mutate(dice, ROOT, map);
        }
        if json::equal(&after, &before.value) || !schema.is_valid(&after) {
            continue;
        }
        let candidate = match_items(schema, &before, after.clone(), &mut keys(at));
        let mut changes = changes(schema, replica, &candidate, &format!("save {at}"));
        changes.retain(|change| {
            let (old, new) = (before.get(&change.path), candidate.get(&change.path));
            !cuts || !matches!(change.act, Act::Set(_)) || old != new || old.is_none()
        });
        replica.apply(&changes, stamp(node, at), at, &|_, _| true);
        let now = replica.document().value;
        assert!(json::equal(&now, &after), "a save reads back as it was written: {now}, not {after}");
        return true;
    }
    false
}

/// Whether the schema had a valid record and people found something to change; why not, if a merge was not valid.
fn play(seed: u64, cuts: bool) -> Result<bool, String> {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66);
    let mut source = object(&mut dice, ROOT, 3);
    if source.get("allOf").is_none() {
        source["allOf"] = json!([rule(&mut dice, ROOT)]);
    }
    let schema = Schema::compile(&source).unwrap_or_else(|errors| panic!("seed {seed}: {source}: {errors:?}"));
    let first = (0..200).find_map(|_| Some(filled(&mut dice, ROOT)).filter(|record| schema.is_valid(record)));
    let Some(first) = first else { return Ok(false) };
    let mut start = State::default();
    start.apply(&create(&schema, first, &mut keys(0)), stamp(0, 1), 1, &|_, _| true);
    let mut replicas = vec![start; 2 + dice.roll(3)];
    let (mut clock, mut saves) = (1, 0);
    let check = |replica: &State, of: &str| {
        let record = replica.document().value;
        if schema.is_valid(&record) {
            return Ok(());
        }
        let units: Vec<String> = schema.units().all().iter().map(ToString::to_string).collect();
        let errors = schema.validate(&record);
        Err(format!("seed {seed}: {of} to {record}, which is not valid: {errors:?}\nschema {source}\nunits {units:?}"))
    };
    for _ in 0..5 {
        for _ in 0..1 + dice.roll(4) {
            let who = dice.roll(replicas.len());
            clock += 1;
            saves += usize::from(save(&mut dice, &schema, &mut replicas[who], (who, clock), cuts));
        }
        // some meet some, one way or both
        for _ in 0..dice.roll(4) {
            let (to, from) = (dice.roll(replicas.len()), dice.roll(replicas.len()));
            let other = replicas[from].clone();
            replicas[to].join(other, clock);
            check(&replicas[to], "merged")?;
        }
    }
    let all = replicas.clone();
    for replica in &mut replicas {
        all.iter().for_each(|other| drop(replica.join(other.clone(), clock)));
        check(replica, "all merged")?;
    }
    assert!(replicas.windows(2).all(|two| two[0].document() == two[1].document()), "seed {seed}: they differ");
    Ok(saves > 0)
}

#[test]
fn merges_of_valid_records_are_valid() {
    let seeds = std::env::var("OUTPOST_THEOREM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(1_000);
    let played = (0..seeds).filter(|seed| play(*seed, false).unwrap_or_else(|why| panic!("{why}"))).count();
    println!("{played} of {seeds} random schemas had something to merge");
    assert!(played * 2 > seeds as usize, "most schemas have something to merge");
}

#[test]
fn writing_only_what_differs_would_make_merges_that_are_not_valid() {
    assert!((0..300).filter(|seed| play(*seed, true).is_err()).count() > 3, "this test sees where a unit is cut");
}
