//! The laws of differences, over random documents and histories.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::clock::Hlc;
use crate::domain::ids::{NodeId, SaveId};
use crate::domain::record::pack::{Dictionary, Values, pack, unpack};
use crate::domain::stamp::{Author, Stamp};

fn schema() -> Schema {
    let note = json!({"type": "object", "properties": {"text": {"type": "string"}, "by": {"type": "string"}}});
    let item = json!({"type": "object", "properties": {
        "name": {"type": "string"}, "quantity": {"type": "number"}, "size": {"type": "object", "properties": {"w": {}, "h": {}}},
        "notes": {"type": "array", "items": note}}});
    Schema::compile(&json!({
        "properties": {
            "title": {"type": "string"},
            "kind": {"type": "string"},
            "address": {"type": "object", "properties": {
                "city": {"type": "string"}, "street": {"type": "string"}, "geo": {"type": "object", "properties": {"x": {}, "y": {}}}}},
            "pair": {"type": "object", "properties": {"a": {}, "b": {}}, "dependentRequired": {"a": ["b"], "b": ["a"]}},
            "free": {"type": "object", "additionalProperties": {"type": "string"}},
            "parts": {"type": "array", "items": item},
            "tags": {"type": "array", "uniqueItems": true},
            "stock": {"type": "number", "x-merge": "counter"},
            "story": {"type": "string", "x-merge": "text"}
        },
        "if": {"properties": {"kind": {"const": "s1"}}, "required": ["kind"]}, "then": {"required": ["title", "address"]}
    }))
    .expect("a good schema")
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => (0..4u8).prop_map(|n| json!(format!("s{n}"))),
        2 => prop::sample::select(vec!["1", "1.0", "2.50", "1152921504606846977"])
            .prop_map(|text| serde_json::from_str(text).expect("a number")),
        1 => Just(Value::Null),
        1 => Just(json!([1, {"z": 1, "a": []}])),
    ]
}

fn number() -> impl Strategy<Value = Value> {
    (-50..50i64, 0..3u8)
        .prop_map(|(digits, places)| serde_json::from_str(&format!("{digits}e-{places}")).expect("a number"))
}

fn object(fields: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let fields: Vec<_> =
        fields.into_iter().map(|(name, value)| prop::option::of(value).prop_map(move |v| (name, v))).collect();
    fields
        .prop_map(|fields| {
            Value::Object(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
        })
        .boxed()
}

fn list(item: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    prop::collection::vec(item, 0..4).prop_map(Value::Array).boxed()
}

fn leaf() -> BoxedStrategy<Value> {
    scalar().boxed()
}

/// Values that mostly fit the schema and sometimes do not at all.
fn document() -> BoxedStrategy<Value> {
    let geo = prop_oneof![4 => object(vec![("x", leaf()), ("y", leaf())]), 1 => leaf()].boxed();
    let address =
        prop_oneof![6 => object(vec![("city", leaf()), ("street", leaf()), ("geo", geo), ("+", leaf())]), 1 => leaf()];
    let note = object(vec![("text", leaf()), ("by", leaf())]);
    let size = object(vec![("w", leaf()), ("h", leaf())]);
    let part = prop_oneof![
        8 => object(vec![("name", leaf()), ("quantity", leaf()), ("size", size), ("notes", list(note))]),
        1 => leaf(),
    ];
    object(vec![
        ("title", leaf()),
        ("kind", leaf()),
        ("address", address.boxed()),
        ("pair", object(vec![("a", leaf()), ("b", leaf())])),
        ("free", object(vec![("p", leaf()), ("q", leaf())])),
        ("parts", list(part.boxed())),
        ("stock", prop_oneof![6 => number(), 1 => leaf()].boxed()),
        ("story", prop_oneof![6 => "[a-c ]{0,12}".prop_map(|text| json!(text)), 1 => leaf()].boxed()),
        ("tags", prop_oneof![6 => list(leaf()), 1 => leaf()].boxed()),
        ("unknown", leaf()),
    ])
}

fn stamp(node: u64, at: i64) -> Stamp {
    let author = Author { node: NodeId(node), ..Author::default() };
    Stamp::new(Hlc::at(at), author, SaveId(u128::from(node) << 120 | (at as u128) << 96))
}

fn keys(seed: usize) -> impl FnMut(&Path, usize) -> ItemKey {
    let mut count = 0;
    move |_, _| {
        count += 1;
        ItemKey(format!("{seed}-{count}"))
    }
}

fn grouped(schema: &Schema, document: &Document) -> Vec<(Path, Vec<ItemKey>)> {
    let is_group = |path: &Path| {
        let steps: Vec<&str> = path
            .0
            .iter()
            .map(|segment| match segment {
                Segment::Property(name) => name.as_str(),
                Segment::Item(key) => key.0.as_str(),
            })
            .collect();
        matches!(schema.shape().at(&steps), Some(Shape::Group(_)))
    };
    document.keys.iter().filter(|(path, _)| is_group(path)).map(|(path, keys)| (path.clone(), keys.clone())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn applying_the_changes_gives_the_candidate(versions in prop::collection::vec(document(), 2..6)) {
        let schema = schema();
        let mut state = State::default();
        for (at, value) in versions.into_iter().enumerate() {
            let before = if state.exists() { state.document() } else { Document::default() };
            let candidate = match_items(&schema, &before, value.clone(), &mut keys(at));
            prop_assert!(json::equal(&candidate.value, &value));
            let changes = changes(&schema, &state, &candidate, &format!("save {at}"));
            prop_assert_eq!(changes.is_empty(), state.exists() && json::equal(&before.value, &value));
            let applied = state.apply(&changes, stamp(1, at as i64 + 1), at as u64 + 1, &|_, _| false);
            prop_assert!(applied.lost.is_empty());
            let after = state.document();
            prop_assert_eq!(json::canonical(&after.value), json::canonical(&value));
            prop_assert_eq!(&after.value.to_string(), &json::sorted(after.value.clone()).to_string());
            if !changes.is_empty() {
                prop_assert_eq!(grouped(&schema, &after), grouped(&schema, &candidate));
            }
            prop_assert!(super::changes(&schema, &state, &after, "once").is_empty());
            let mut dictionary = Dictionary::default();
            let packed = pack(&state, 99, Values::Beside, &mut dictionary);
            let read = unpack(&packed, 99, Some(after.value.clone()), &dictionary).expect("what was packed");
            prop_assert_eq!(read.document(), after);
        }
    }

    /// Fields of one object, of different items and of the record itself: what one person does to one and another to
    /// another is all there in the end, whoever comes first.
    #[test]
    fn two_people_who_change_different_places_both_keep_their_change(
        base in document(), ours in (0..6usize, leaf()), theirs in (0..6usize, leaf()),
    ) {
        let schema = schema();
        let base = match base {
            Value::Object(mut map) => {
                map.insert("address".into(), json!({"city": "c", "geo": {"x": 1}}));
                map.insert("parts".into(), json!([{"name": "a"}, {"name": "b"}]));
                map.insert("kind".into(), json!("s9"));
                Value::Object(map)
            }
            other => other,
        };
        let places = ["/unknown", "/free", "/parts/@0-1/name", "/parts/@0-1/size", "/parts/@0-2/name", "/address/geo/x"];
        prop_assume!(ours.0 != theirs.0);
        let mut state = State::default();
        let created = create(&schema, base, &mut keys(0));
        state.apply(&created, stamp(1, 1), 1, &|_, _| false);
        let edit = |(place, value): &(usize, Value)| {
            let op = json!([{"op": "add", "path": places[*place], "value": value}]);
            let candidate = apply_json_patch(&schema, &state.document(), &op, &mut keys(7)).expect("a good patch");
            changes(&schema, &state, &candidate, "once")
        };
        let (first, second) = (edit(&ours), edit(&theirs));
        let mut one = state.clone();
        one.apply(&first, stamp(1, 2), 2, &|_, _| false);
        let lost = one.apply(&second, stamp(2, 3), 3, &|_, _| false).lost;
        prop_assert!(lost.is_empty(), "{:?}", lost);
        let mut other = state.clone();
        other.apply(&second, stamp(2, 3), 2, &|_, _| false);
        other.apply(&first, stamp(1, 2), 3, &|_, _| false);
        prop_assert_eq!(one.document(), other.document());
        for (place, value) in [&ours, &theirs] {
            let path = Path::parse(places[*place], |path| path.0.len() == 1 && path.to_string() == "/parts");
            let found = one.document().get(&path.expect("a pointer")).cloned();
            prop_assert_eq!(found.map(|found| json::canonical(&found)), Some(json::canonical(value)));
        }
    }
}
