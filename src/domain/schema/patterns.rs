//! Judges regular expressions before they meet people's data.
//!
//! Most patterns are matched in a time that grows with the length of the text alone. Those with look-around or back references can
//! not be: they are given a number of steps, the same on every node, and a text that would take more does not match.

use std::collections::HashMap;

use jsonschema::{FancyRegex, PatternOptions};
use serde_json::{Value, json};

use super::{document::Document, limits, pointer};
use crate::domain::FieldError;

/// How patterns are compiled, for judging them and for using them.
pub(super) fn options() -> PatternOptions<FancyRegex> {
    of_size(limits::PATTERN_BYTES)
}

fn of_size(bytes: usize) -> PatternOptions<FancyRegex> {
    PatternOptions::fancy_regex().size_limit(bytes).dfa_size_limit(DFA_BYTES).backtrack_limit(limits::PATTERN_STEPS)
}

/// What the engine may keep of a text it is working at.
const DFA_BYTES: usize = 1024 * 1024;

/// A pattern counts as the first of these into which it fits; most fit into the first.
const SIZES: [usize; 4] = [16 * 1024, 128 * 1024, 1024 * 1024, limits::PATTERN_BYTES];

pub(super) fn check(document: &Document, errors: &mut Vec<FieldError>) {
    let mut weights: HashMap<&str, Result<usize, String>> = HashMap::new();
    let mut total = 0;
    for (pattern, at, keyword) in patterns(document) {
        let is_new = !weights.contains_key(pattern);
        let weight = weights.entry(pattern).or_insert_with(|| weigh(pattern));
        if is_new {
            // one that is refused took its time, too
            total += weight.as_ref().map_or(limits::PATTERNS_BYTES / 32, |bytes| *bytes);
        }
        if let Err(message) = weight {
            errors.push(FieldError::new(at, keyword, message.clone()));
        } else if total > limits::PATTERNS_BYTES {
            let message = "The patterns of this schema are too large together. Use fewer or simpler ones.";
            errors.push(FieldError::new(at, "limit", message));
        }
        if total > limits::PATTERNS_BYTES {
            return;
        }
    }
}

/// Every pattern of a document, where it stands, and the keyword it belongs to.
fn patterns<'d>(document: &'d Document) -> impl Iterator<Item = (&'d str, String, &'static str)> {
    document.nodes.iter().flat_map(|node| {
        let own = node.keyword("pattern").and_then(Value::as_str);
        let own = own.map(|text| (text, pointer::join(&node.pointer, "pattern"), "pattern"));
        let names = node.edges_of("patternProperties");
        own.into_iter()
            .chain(names.map(|edge| (edge.name, document.nodes[edge.to].pointer.clone(), "patternProperties")))
    })
}

/// About how many bytes the pattern takes, or why it cannot be used.
fn weigh(pattern: &str) -> Result<usize, String> {
    if pattern.chars().count() > limits::PATTERN_CHARS {
        return Err(format!("This pattern is longer than {} characters. Shorten it.", limits::PATTERN_CHARS));
    }
    let fits = |bytes: usize| {
        jsonschema::draft202012::options()
            .with_pattern_options(of_size(bytes))
            .build(&json!({ "pattern": pattern }))
            .is_ok()
    };
    if let Some(bytes) = SIZES.into_iter().find(|bytes| fits(*bytes)) {
        return Ok(bytes);
    }
    if !is_regular_expression(pattern) {
        return Err("This is not a regular expression. An example of one: ^[A-Z]{2}-[0-9]+$".to_string());
    }
    let known = regex_syntax::ast::parse::Parser::new().parse(pattern).is_ok();
    Err(match known {
        true => "This pattern grows too large. Repeat less, for example {1,50} in place of {1,5000}.".to_string(),
        false => "This pattern cannot be used here: write it with plain characters, classes, groups and repetitions."
            .to_string(),
    })
}

fn is_regular_expression(pattern: &str) -> bool {
    static FORMAT: std::sync::LazyLock<jsonschema::Validator> = std::sync::LazyLock::new(|| {
        jsonschema::draft202012::options()
            .should_validate_formats(true)
            .build(&json!({ "format": "regex" }))
            .expect("a schema of one known format compiles")
    });
    FORMAT.is_valid(&Value::String(pattern.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_patterns_pass() {
        for pattern in [
            "",
            "^[A-Z]{2}-[0-9]+$",
            r"^\d{4}-\d{2}$",
            r"^\p{L}{1,64}$",
            "(a+)+$",
            r"^(?<major>0|[1-9]\d*)\.(?:x|y)$",
            r"[\w.-]+@",
            r"^\S+$",
            r"\/",
            r"^[^/]*$",
            r"^\cM$",
            "^(?!x)y",
            "(?<=x)y",
            r"(a)\1",
            "^(?!@@)[@a-zA-Z0-9_-]+$",
        ] {
            assert!(weigh(pattern).is_ok(), "{pattern}: {:?}", weigh(pattern));
        }
    }

    #[test]
    fn a_pattern_that_cannot_be_bounded_says_why() {
        for (pattern, word) in [
            ("([", "not a regular expression"),
            ("*", "not a regular expression"),
            ("((a{1000}){1000}){1000}", "too large"),
            (&"a".repeat(1001), "longer than"),
        ] {
            let message = weigh(pattern).expect_err(pattern);
            assert!(message.contains(word), "{pattern}: {message}");
        }
    }

    #[test]
    fn a_pattern_that_would_take_for_ever_gives_up_and_does_not_match() {
        let schema = json!({ "pattern": "^(?!y)(a+)+$" });
        let validator =
            jsonschema::draft202012::options().with_pattern_options(options()).build(&schema).expect("it compiles");
        assert!(validator.is_valid(&json!("a".repeat(200))));
        for length in [30, 1_000, 100_000] {
            assert!(!validator.is_valid(&json!(format!("{}!", "a".repeat(length)))));
        }
    }
}
