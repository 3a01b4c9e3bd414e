//! The official test suite of JSON Schema 2020-12, as far as its schemas pass our check.

use serde_json::Value;

use super::super::{check, compiled};
use super::corpora::corpus;

/// Files under `optional/` that we promise: formats that we assert and numbers without bounds. The other optional files
/// are about what we do not have.
const OPTIONAL: &[&str] = &["bignum.json", "float-overflow.json", "non-bmp-regex.json", "no-schema.json"];

/// Formats whose assertion we do not have, since the validator is built without the tables for it.
const NOT_ASSERTED: &[&str] = &["idn-email.json", "idn-hostname.json"];

/// `format` annotates only in the main suite's `format.json`; we assert the known ones.
const OTHERWISE: &[&str] = &["format.json"];

#[test]
fn verdicts_equal_those_of_the_official_suite() {
    let Some(suite) = corpus("json-schema-test-suite/draft2020-12") else { return };
    let mut files: Vec<_> = std::fs::read_dir(&suite).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.extend(OPTIONAL.iter().map(|name| suite.join("optional").join(name)));
    files.extend(
        std::fs::read_dir(suite.join("optional/format")).into_iter().flatten().map(|entry| entry.unwrap().path()),
    );
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.retain(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        path.exists() && !NOT_ASSERTED.contains(&name) && !OTHERWISE.contains(&name)
    });
    files.sort();
    let (mut groups, mut judged, mut equal) = (0, 0, 0);
    let (mut refused, mut failures) = (Vec::new(), Vec::new());
    for path in files {
        let name = path.strip_prefix(&suite).unwrap().display().to_string();
        let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        for case in cases {
            let what = format!("{name}: {}", case["description"].as_str().unwrap());
            groups += 1;
            let faults = check::faults(&case["schema"]);
            if let Some(fault) = faults.first() {
                refused.push(format!("{what}: {} {} {}", fault.pointer, fault.keyword, fault.message));
                continue;
            }
            let validator = match compiled::validator(&case["schema"]) {
                Ok(validator) => validator,
                Err(errors) => {
                    failures.push(format!("{what} passes the check and does not compile: {errors:?}"));
                    continue;
                }
            };
            for test in case["tests"].as_array().unwrap() {
                judged += 1;
                if validator.is_valid(&test["data"]) == test["valid"].as_bool().unwrap() {
                    equal += 1;
                } else {
                    failures.push(format!("{what}: {} is not {}", test["description"], test["valid"]));
                }
            }
        }
    }
    println!("{groups} schemas, {} refused; {equal} of {judged} verdicts equal", refused.len());
    for reason in &refused {
        println!("refused: {reason}");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
