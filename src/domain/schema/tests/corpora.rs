//! Schemas from the wild: draft 4 to 2020-12, with documents that are valid under them.

use std::path::PathBuf;

use serde_json::Value;

use super::super::*;

/// A corpus beside the project, or `None` with a printed reason. `OUTPOST_TEST_ALL=1` makes its absence a failure.
pub(super) fn corpus(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("OUTPOST_CORPORA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora"), PathBuf::from);
    let path = root.join(name);
    if path.is_dir() {
        return Some(path);
    }
    let reason = format!("{} is not there; OUTPOST_CORPORA names another place", path.display());
    assert!(std::env::var_os("OUTPOST_TEST_ALL").is_none_or(|all| all != "1"), "{reason}");
    println!("skipped: {reason}");
    None
}

fn read(path: &std::path::Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

#[test]
fn schemas_from_the_wild_are_upgraded_and_accepted() {
    let Some(corpus) = corpus("schemastore") else { return };
    let mut names: Vec<PathBuf> = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let (mut accepted, mut valid, mut failures) = (0, 0, Vec::new());
    for directory in &names {
        let name = directory.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read(directory.join("schema.json")).unwrap();
        let upgraded = upgrade(parse(&text).unwrap_or_else(|errors| panic!("{name}: {errors:?}")));
        match Schema::compile(&upgraded.schema) {
            Ok(schema) => {
                accepted += 1;
                assert_eq!(schema.nesting(), limits::RECORD_NESTING, "{name}");
                let again = upgrade(upgraded.schema.clone());
                assert_eq!(again.schema, upgraded.schema, "{name}: what was upgraded stays as it is");
                let documents = directory.join("valid");
                for path in std::fs::read_dir(documents).into_iter().flatten().map(|entry| entry.unwrap().path()) {
                    if path.extension().is_none_or(|extension| extension != "json") {
                        continue;
                    }
                    valid += 1;
                    let errors = schema.validate(&read(&path));
                    if !errors.is_empty() {
                        failures.push(format!("{name}: {} is valid, but: {errors:?}", path.display()));
                    }
                }
            }
            Err(errors) => failures.push(format!("{name}: {errors:#?}")),
        }
    }
    println!("{accepted} of {} schemas accepted, {valid} documents valid", names.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
