//! Judges regular expressions before they meet people's data.
//!
//! Records are matched by an engine whose time grows with the length of the text alone. It has no look-around and no
//! back references, so patterns that need them are refused here, with words, rather than later by a slow record.

use std::collections::HashMap;

use jsonschema::{PatternOptions, Regex};
use serde_json::{Value, json};

use super::{document::Document, limits, pointer};
use crate::domain::FieldError;

/// How patterns are compiled, for judging them and for using them.
pub(super) fn options() -> PatternOptions<Regex> {
    PatternOptions::regex().size_limit(limits::PATTERN_BYTES).dfa_size_limit(limits::PATTERN_BYTES)
}

/// A pattern that fits into this counts as this; most do.
const SMALL_PATTERN_BYTES: usize = 32 * 1024;

pub(super) fn check(document: &Document, errors: &mut Vec<FieldError>) {
    let mut seen: HashMap<&str, Result<usize, String>> = HashMap::new();
    let mut total = 0;
    let mut judge = |text, at: String, keyword: &str| {
        let fresh = !seen.contains_key(text);
        match seen.entry(text).or_insert_with(|| weigh(text)) {
            Ok(bytes) if fresh => {
                total += *bytes;
                if total > limits::PATTERNS_BYTES && total - *bytes <= limits::PATTERNS_BYTES {
                    let message = "The patterns of this schema are too large together. Use fewer or simpler ones.";
                    errors.push(FieldError::new(at, "limit", message));
                }
            }
            Ok(_) => {}
            Err(message) => errors.push(FieldError::new(at, keyword, message.clone())),
        }
    };
    for node in &document.nodes {
        if let Some(Value::String(text)) = node.keyword("pattern") {
            judge(text, pointer::join(&node.pointer, "pattern"), "pattern");
        }
        for edge in node.edges_of("patternProperties") {
            judge(edge.name, document.nodes[edge.to].pointer.clone(), "patternProperties");
        }
    }
}

/// About how many bytes the pattern takes, or why it cannot be used.
fn weigh(pattern: &str) -> Result<usize, String> {
    if pattern.chars().count() > limits::PATTERN_CHARS {
        return Err(format!("This pattern is longer than {} characters. Shorten it.", limits::PATTERN_CHARS));
    }
    let compiles = |options: PatternOptions<Regex>| {
        jsonschema::draft202012::options().with_pattern_options(options).build(&json!({ "pattern": pattern })).is_ok()
    };
    if compiles(PatternOptions::regex().size_limit(SMALL_PATTERN_BYTES)) {
        return Ok(SMALL_PATTERN_BYTES);
    }
    if compiles(options()) {
        return Ok(limits::PATTERN_BYTES);
    }
    if !is_regular_expression(pattern) {
        return Err("This is not a regular expression. An example of one: ^[A-Z]{2}-[0-9]+$".to_string());
    }
    if let Some(what) = unsupported(pattern) {
        return Err(format!(
            "This pattern uses {what}, which can take for ever on some texts and is not supported. Say it without, or split \
             it into two patterns joined by \"allOf\" or \"not\"."
        ));
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

/// What of ECMA-262 the pattern uses that the engine does not have.
fn unsupported(pattern: &str) -> Option<&'static str> {
    use regex_syntax::ast::{ErrorKind, parse::Parser};
    match Parser::new().parse(pattern) {
        Err(error) => match error.kind() {
            ErrorKind::UnsupportedLookAround => Some("look-around, (?=…) or (?!…)"),
            ErrorKind::UnsupportedBackreference => Some("a back reference, \\1"),
            _ => None,
        },
        Ok(_) => None,
    }
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
            r"^\p{L}{1,20}$",
            "(a+)+$",
            r"^(?<major>0|[1-9]\d*)\.(?:x|y)$",
            r"[\w.-]+@",
            r"^\S+$",
            r"\/",
            r"^[^/]*$",
            r"^\cM$",
        ] {
            assert!(weigh(pattern).is_ok(), "{pattern}: {:?}", weigh(pattern));
        }
    }

    #[test]
    fn a_pattern_that_cannot_be_bounded_says_why() {
        for (pattern, word) in [
            ("^(?!x)y", "look-around"),
            ("(?<=x)y", "look-around"),
            (r"(a)\1", "back reference"),
            ("([", "not a regular expression"),
            ("*", "not a regular expression"),
            ("((a{1000}){1000}){1000}", "too large"),
            (&"a".repeat(1001), "longer than"),
        ] {
            let message = weigh(pattern).expect_err(pattern);
            assert!(message.contains(word), "{pattern}: {message}");
        }
    }
}
