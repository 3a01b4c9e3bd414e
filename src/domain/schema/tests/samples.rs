use serde_json::{Value, json};

use super::super::*;

fn sample(name: &str) -> Schema {
    let (_, text) = SAMPLES.iter().find(|(known, _)| *known == name).expect(name);
    let schema = parse(text.as_bytes()).unwrap_or_else(|errors| panic!("{name}: {errors:?}"));
    Schema::compile(&schema).unwrap_or_else(|errors| panic!("{name}: {errors:?}"))
}

#[test]
fn the_sample_types_compile_and_have_names_for_their_records() {
    for (name, _) in SAMPLES {
        let schema = sample(name);
        assert!(schema.title().is_some(), "{name}");
        assert_eq!(schema.title_fields().len(), 2, "{name}");
        assert!(schema.columns().len() >= 5, "{name}");
        assert!(schema.fields().iter().all(|field| field.kind != Kind::Json), "{name}: a field without a control");
    }
    assert_eq!(sample("inspection").scope_field(), Some("/site"));
    assert_eq!(sample("work-order").scope_field(), None);
}

#[test]
fn a_work_order_is_cut_field_by_field_and_part_by_part() {
    let schema = sample("work-order");
    let shape = schema.shape();
    assert!(shape.at(&["title"]).is_some_and(Shape::is_leaf));
    assert!(matches!(shape.at(&["parts"]), Some(Shape::Group(_))));
    assert!(shape.at(&["parts", "@k7f2", "quantity"]).is_some_and(Shape::is_leaf));
    assert!(matches!(shape.at(&["location"]), Some(Shape::Object(_))));
    let units: Vec<String> = schema.units().all().iter().map(Unit::to_string).collect();
    assert_eq!(units, ["/hot_work and /permit (because of /if)"]);
}

#[test]
fn blood_pressure_is_written_whole() {
    let schema = sample("vitals");
    let expanded = schema.units().expand(&[["systolic"]]);
    assert_eq!(expanded.into_iter().collect::<Vec<_>>(), [["diastolic"], ["systolic"]]);
    let expanded = schema.units().expand(&[["medication", "@a", "dose"]]);
    assert_eq!(
        expanded.into_iter().collect::<Vec<_>>(),
        [["medication", "@a", "dose"], ["medication", "@a", "dose_unit"]]
    );
}

#[test]
fn ordinary_records_of_the_samples_are_valid() {
    let records = [
        (
            "work-order",
            json!({"title": "Replace hydraulic pump seal", "status": "in-progress", "priority": "urgent",
            "asset": "Pump P-204, deck 2", "due": "2026-05-14T16:00:00+01:00", "hot_work": true, "permit": "HW-0412",
            "gas_reading": 4.5, "isolated": null, "parts": [{"part": "Seal kit HS-22", "quantity": 1, "unit": "pieces"}],
            "location": {"deck": "2"}, "hours": 1.75, "unknown": {"kept": true}}),
        ),
        (
            "inspection",
            json!({"site": "platform-7", "area": "Pump room", "inspected_on": "2026-05-14", "result": "unsafe",
            "measures": "Closed the gate.", "hazards": ["slip", "noise"], "findings": [{"what": "Loose rail"}]}),
        ),
        (
            "vitals",
            json!({"patient": "A. L.", "taken_at": "2026-05-14T12:00:00Z", "systolic": 128, "diastolic": 82,
            "temperature": 36.8, "consciousness": "alert", "consent": true}),
        ),
    ];
    for (name, record) in records {
        assert_eq!(sample(name).validate(&record), [], "{name}");
    }
}

#[test]
fn a_type_holds_against_the_meta_schema_that_is_published() {
    let registry = jsonschema::Registry::new()
        .add("urn:outpost:vocabulary", serde_json::from_str::<Value>(VOCABULARY).unwrap())
        .and_then(|registry| registry.prepare())
        .unwrap();
    let meta: Value = serde_json::from_str(TYPE).unwrap();
    let validator = jsonschema::draft202012::options().with_registry(&registry).build(&meta).unwrap();
    for (name, text) in SAMPLES {
        let schema: Value = serde_json::from_str(text).unwrap();
        assert!(validator.is_valid(&schema), "{name}");
    }
    for wrong in [
        json!({"type": "string"}),
        json!(true),
        json!({"properties": {"a": {"type": "strin"}}}),
        json!({"properties": {"a": {"items": {"x-unit": 3}}}}),
        json!({"$defs": {"a": {"x-merge": "sometimes"}}}),
    ] {
        assert!(!validator.is_valid(&wrong), "{wrong}");
        check(&wrong).expect_err("the check agrees");
    }
    assert!(validator.is_valid(&json!({"properties": {"a": {"x-house-word": [1]}}})));
}
