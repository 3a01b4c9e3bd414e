//! The schemas and instances that forms are tried with.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// A schema of a type, and records that fit it or do not.
pub struct Case {
    pub known_as: String,
    pub schema: Value,
    pub valid: Vec<Value>,
    pub invalid: Vec<Value>,
}

/// `None` where the corpora are not there, which is a failure where everything has to be tested.
pub fn corpus(name: &str) -> Option<PathBuf> {
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

fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

fn sorted(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

/// Schemas of form size from the wild, each with instances of people's own.
pub fn schemastore() -> Option<Vec<Case>> {
    let instances = |directory: PathBuf| {
        let files = sorted(&directory).into_iter().filter(|path| path.extension().is_some_and(|end| end == "json"));
        files.map(|path| read(&path)).filter(Value::is_object).collect()
    };
    let case = |directory: &PathBuf| Case {
        known_as: directory.file_name().expect("a name").to_string_lossy().into_owned(),
        schema: read(&directory.join("schema.json")),
        valid: instances(directory.join("valid")),
        invalid: instances(directory.join("invalid")),
    };
    let directories = sorted(&corpus("schemastore")?);
    Some(directories.iter().filter(|path| path.join("schema.json").is_file()).map(case).collect())
}

/// The official suite, each schema as that of a property, since a record is an object.
pub fn suite() -> Option<Vec<Case>> {
    let files = sorted(&corpus("json-schema-test-suite/draft2020-12")?);
    let mut cases = Vec::new();
    for path in files.iter().filter(|path| path.extension().is_some_and(|end| end == "json")) {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        // `format` only annotates there, and we assert the formats we know
        if name == "format" {
            continue;
        }
        for group in read(path).as_array().expect("a list of groups") {
            let mut schema = group["schema"].clone();
            // a dialect of its own is another document, which is never fetched
            if schema.get("$schema").is_some_and(|own| own != "https://json-schema.org/draft/2020-12/schema") {
                continue;
            }
            if let Value::Object(map) = &mut schema {
                // what refers to the root refers to this
                map.shift_remove("$schema");
                map.entry("$id").or_insert_with(|| json!(format!("urn:suite:{}", cases.len())));
            }
            let of = |valid: bool| {
                let tests = group["tests"].as_array().into_iter().flatten();
                let tests = tests.filter(|test| test["valid"] == json!(valid));
                tests.map(|test| json!({ "v": test["data"] })).collect()
            };
            cases.push(Case {
                known_as: format!("{name}: {}", group["description"].as_str().unwrap_or_default()),
                schema: json!({ "type": "object", "properties": { "v": schema }, "required": ["v"] }),
                valid: of(true),
                invalid: of(false),
            });
        }
    }
    Some(cases)
}
