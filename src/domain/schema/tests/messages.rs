//! What people are told, rule by rule: `tests/data/schema/messages.json`.

use serde_json::{Value, json};

use super::super::Schema;

#[test]
fn messages_follow_the_table() {
    let table: Vec<Value> = serde_json::from_str(include_str!("../../../../tests/data/schema/messages.json")).unwrap();
    assert!(table.len() > 40);
    let mut failures = Vec::new();
    for case in table {
        let schema = Schema::compile(&case["schema"]).unwrap_or_else(|errors| panic!("{}: {errors:?}", case["schema"]));
        let errors = schema.validate(&case["record"]);
        assert_eq!(schema.is_valid(&case["record"]), errors.is_empty());
        let told: Vec<Value> =
            errors.iter().map(|error| json!([error.pointer, error.keyword, error.message])).collect();
        if Value::from(told.clone()) != case["errors"] {
            failures.push(format!(
                "{} {}\n  is told   {}\n  should be {}",
                case["schema"],
                case["record"],
                json!(told),
                case["errors"]
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
