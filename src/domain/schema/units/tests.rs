use serde_json::json;

use super::*;

fn units_of(schema: &Value) -> (Units, Shape) {
    let document = Document::read(schema);
    assert_eq!(document.faults, []);
    let mut shape = Shape::of(&document);
    let units = find(&document, &mut shape);
    (units, shape)
}

#[test]
fn units_follow_the_table() {
    let table: Vec<Value> = serde_json::from_str(include_str!("../../../../tests/data/schema/units.json")).unwrap();
    assert!(table.len() > 20);
    for case in table {
        let (units, shape) = units_of(&case["schema"]);
        let places: Vec<Vec<String>> =
            units.all().iter().map(|unit| unit.places.iter().map(Place::to_string).collect()).collect();
        assert_eq!(json!(places), case["units"], "{}", case["what"]);
        let whole = Shape::of(&Document::read(&case["schema"]));
        let mut leaves = Vec::new();
        differing(&whole, &shape, "", &mut leaves);
        if let Some(expected) = case.get("leaves") {
            assert_eq!(json!(leaves), *expected, "{}", case["what"]);
        } else {
            assert!(leaves.is_empty(), "{}: {leaves:?}", case["what"]);
        }
    }
}

/// Places that have parts in one shape and are leaves in the other.
fn differing(before: &Shape, after: &Shape, at: &str, found: &mut Vec<String>) {
    match (before, after) {
        (Shape::Object(a), Shape::Object(b)) => {
            for property in a.properties() {
                differing(&property.shape, b.shape_of(&property.name), &pointer::join(at, &property.name), found);
            }
        }
        (Shape::Group(a), Shape::Group(b)) => differing(a, b, &format!("{at}/@"), found),
        (Shape::Leaf, Shape::Leaf) => {}
        _ => found.push(at.to_string()),
    }
}

fn expanded(units: &Units, touched: &[&[&str]]) -> Vec<String> {
    units
        .expand::<&[&str], &str>(touched)
        .into_iter()
        .map(|path| path.iter().map(|name| format!("/{name}")).collect())
        .collect()
}

#[test]
fn a_write_takes_its_unit_with_it_in_the_same_item_only() {
    let (units, _) = units_of(&json!({
        "properties": {
            "a": {}, "b": {}, "c": {},
            "g": {"type": "array", "items": {"type": "object", "properties": {"x": {}, "y": {}, "z": {}, "@": {}},
                "dependentRequired": {"x": ["y"]}}}
        },
        "dependentRequired": {"a": ["b"]}
    }));
    assert_eq!(expanded(&units, &[&["a"]]), ["/a", "/b"]);
    assert_eq!(expanded(&units, &[&["c"]]), ["/c"]);
    assert_eq!(expanded(&units, &[&["b"], &["c"]]), ["/a", "/b", "/c"]);
    assert_eq!(expanded(&units, &[&["g", "@k1", "y"]]), ["/g/@k1/x", "/g/@k1/y"]);
    assert_eq!(expanded(&units, &[&["g", "@k1", "@"]]), ["/g/@k1/@"]);
    assert_eq!(expanded(&units, &[&["g", "@k1", "y"], &["g", "@k2", "z"]]), ["/g/@k1/x", "/g/@k1/y", "/g/@k2/z"]);
    // an item or a group as a whole holds its places already
    assert_eq!(expanded(&units, &[&["g", "@k1"]]), ["/g/@k1"]);
    assert_eq!(expanded(&units, &[&["g"]]), ["/g"]);
    assert_eq!(expanded(&units, &[&[]]), [""]);
    assert_eq!(expanded(&units, &[]), Vec::<String>::new());
    assert_eq!(units.of(&["a"]).map(|unit| unit.places.len()), Some(2));
    assert_eq!(units.of(&["c"]), None);
}

#[test]
fn writing_inside_an_object_writes_what_is_tied_to_it() {
    let (units, _) = units_of(&json!({
        "properties": {"a": {"type": "object", "properties": {"b": {}, "c": {}}}, "d": {}},
        "dependentRequired": {"d": ["a"]}
    }));
    assert_eq!(expanded(&units, &[&["a", "b"]]), ["/a", "/d"]);
    assert_eq!(expanded(&units, &[&["d"]]), ["/a", "/d"]);
}

#[test]
fn writing_inside_a_group_leaves_alone_what_asks_only_for_items() {
    let (units, _) = units_of(&json!({
        "properties": {"g": {"type": "array", "items": {"type": "object", "properties": {"b": {}}}}, "d": {}},
        "dependentRequired": {"d": ["g"]}
    }));
    assert_eq!(expanded(&units, &[&["g", "@k1", "b"]]), ["/g/@k1/b"]);
    assert_eq!(expanded(&units, &[&["g", "@k1"]]), ["/g/@k1"]);
    assert_eq!(expanded(&units, &[&["g"]]), ["/d", "/g"]);
    assert_eq!(expanded(&units, &[&["d"]]), ["/d", "/g"]);
}

#[test]
fn a_unit_can_be_told_to_people() {
    let (units, _) =
        units_of(&json!({"properties": {"a": {}, "b": {}, "c": {}}, "dependentRequired": {"a": ["b", "c"]}}));
    assert_eq!(units.all()[0].to_string(), "/a, /b and /c (because of /dependentRequired/a)");
    let (units, _) = units_of(&json!({"anyOf": [{"additionalProperties": false}, {"required": ["a"]}]}));
    assert_eq!(units.all()[0].to_string(), "the whole record (because of /anyOf)");
}
