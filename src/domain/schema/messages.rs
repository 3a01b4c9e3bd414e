//! Says in words what is wrong: what to do, with an example from the field where the schema has one.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value;

use super::compiled::Schema;
use super::fields::{Kind, humanized, shown};
use super::pointer;
use crate::domain::FieldError;

/// What the meta-schema or the compiler finds wrong with a schema, for its author.
pub(super) fn of_schema_fault(error: &ValidationError) -> Vec<FieldError> {
    let at = error.instance_path().as_str();
    if let Some(nearest) = nearest_branch(error.kind()) {
        return nearest.iter().flat_map(of_schema_fault).collect();
    }
    let word = pointer::segments(at).last().unwrap_or_default();
    let message = match (error.kind(), word.as_str()) {
        (_, "type") => {
            "This is not a type. Choose one of: object, array, string, number, integer, boolean, null.".to_string()
        }
        (ValidationErrorKind::Type { .. }, _) => match type_names(error.kind()) {
            Some(names) => format!("\"{word}\" must be {names}, and here it is {}.", short(error.instance())),
            None => format!("\"{word}\" has the wrong type."),
        },
        (ValidationErrorKind::Minimum { limit }, _) => format!("\"{word}\" must be at least {limit}."),
        (ValidationErrorKind::ExclusiveMinimum { limit }, _) => format!("\"{word}\" must be greater than {limit}."),
        (ValidationErrorKind::MinItems { limit }, _) => format!("\"{word}\" must have at least {limit} entries."),
        (ValidationErrorKind::UniqueItems, _) => format!("\"{word}\" names something twice."),
        (ValidationErrorKind::Pattern { .. }, _) => format!("{} is not a \"{word}\".", short(error.instance())),
        (ValidationErrorKind::Format { format }, _) => format!("\"{word}\" must be a {format}."),
        (ValidationErrorKind::Enum { options }, _) => format!("\"{word}\" must be one of {options}."),
        _ => format!("\"{word}\" does not fit JSON Schema 2020-12."),
    };
    vec![FieldError::new(at, error.kind().keyword(), message)]
}

/// Which branch a person chose, by the place in the record and the place of the branches in the schema.
pub(super) type Chosen<'a> = &'a dyn Fn(&str, &str) -> Option<usize>;

/// What is wrong with a record, for the person who fills it in. One fault of the validator may be several for a person.
pub(super) fn of_record_fault(schema: &Schema, error: &ValidationError, chosen: Chosen) -> Vec<FieldError> {
    let at = error.instance_path().as_str();
    let rule = Rule::of(schema, error);
    let fault = |pointer: &str, keyword: &str, message: String| {
        let message = rule.own_message(keyword).unwrap_or(message);
        vec![FieldError::new(pointer, keyword, message)]
    };
    let keyword = error.kind().keyword();
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            let pointer = pointer::join(at, name);
            let keyword = if rule.path.contains("/dependentRequired") { "dependentRequired" } else { "required" };
            let message = Words::of(schema, &pointer, name).missing();
            vec![FieldError::new(pointer, keyword, message)]
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            let surplus = |name: &String| {
                let message = format!("Remove \"{name}\": there is no such field here.");
                FieldError::new(pointer::join(at, name), keyword, message)
            };
            unexpected.iter().map(surplus).collect()
        }
        ValidationErrorKind::PropertyNames { error: inner } => {
            let name = inner.instance().as_str().unwrap_or_default();
            let message = format!("\"{name}\" cannot be a name here. Choose another one.");
            fault(&pointer::join(at, name), keyword, message)
        }
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            let of_chosen = chosen(at, &rule.path).and_then(|branch| context.get(branch));
            if let Some(errors) = of_chosen.filter(|errors| !errors.is_empty()) {
                return errors.iter().flat_map(|error| of_record_fault(schema, error, chosen)).collect();
            }
            if let Some(choices) = rule.choices() {
                return fault(at, keyword, format!("Choose one of: {choices}."));
            }
            if let Some(message) = one_of_the_missing(schema, context) {
                return fault(at, keyword, message);
            }
            match nearest_branch(error.kind()) {
                Some(nearest) => nearest.iter().flat_map(|error| of_record_fault(schema, error, chosen)).collect(),
                None => fault(at, keyword, "This does not fit any of the possibilities.".to_string()),
            }
        }
        ValidationErrorKind::OneOfMultipleValid { .. } => fault(
            at,
            keyword,
            "This fits more than one of the possibilities. Fill in what tells them apart.".to_string(),
        ),
        ValidationErrorKind::FalseSchema => {
            let name = pointer::split_last(at).map(|(_, name)| name).unwrap_or_default();
            let message = format!("Leave {} empty here.", Words::of(schema, at, &name).quoted());
            let is_keyword = |word: &String| !word.bytes().all(|b| b.is_ascii_digit()) && *word != name;
            let word = pointer::segments(&rule.path).filter(is_keyword).last();
            fault(at, &word.unwrap_or_else(|| keyword.to_string()), message)
        }
        kind => fault(at, keyword, sentence(kind, &rule, schema, at)),
    }
}

fn sentence(kind: &ValidationErrorKind, rule: &Rule, schema: &Schema, at: &str) -> String {
    use ValidationErrorKind as K;
    let whole = schema.field(at).is_some_and(|field| field.kind == Kind::Integer);
    let number = if whole { "a whole number" } else { "a number" };
    match kind {
        K::Type { .. } => typed(kind, rule),
        K::Minimum { limit } => format!("Enter {number} of at least {limit}."),
        K::Maximum { limit } => format!("Enter {number} of at most {limit}."),
        K::ExclusiveMinimum { limit } => format!("Enter {number} greater than {limit}."),
        K::ExclusiveMaximum { limit } => format!("Enter {number} less than {limit}."),
        K::MultipleOf { multiple_of } => multiple(multiple_of),
        K::MinLength { limit } => format!("Enter at least {}.", counted(*limit, "character")),
        K::MaxLength { limit } => format!("Enter at most {}.", counted(*limit, "character")),
        K::Pattern { pattern } => match rule.example() {
            Some(example) => format!("Write it in the form of the example: {example}."),
            None => format!("Write it in the form that the field asks for: it must match {pattern}"),
        },
        K::Format { format } => formatted(format),
        K::Enum { options } => match options.as_array() {
            Some(options) => format!("Choose one of: {}.", listed(options.iter().map(shown))),
            None => "Choose one of the values on offer.".to_string(),
        },
        K::Constant { expected_value } if **expected_value == Value::Bool(true) => "This must be accepted.".to_string(),
        K::Constant { expected_value } => format!("This must be {}.", short(expected_value)),
        K::MinItems { limit } => format!("Add at least {}.", counted_entries(*limit)),
        K::MaxItems { limit } => format!("Keep at most {}.", counted_entries(*limit)),
        K::UniqueItems => "Remove the entry that is there twice.".to_string(),
        K::Contains => "Add an entry of the kind that is needed here.".to_string(),
        K::MinProperties { limit } => format!("Fill in at least {}.", counted(*limit, "field")),
        K::MaxProperties { limit } => format!("Fill in at most {}.", counted(*limit, "field")),
        K::UnevaluatedItems { .. } | K::AdditionalItems { .. } => {
            "Remove the entries that have no place here.".to_string()
        }
        K::Not { .. } => "This combination is not allowed.".to_string(),
        K::ContentEncoding { content_encoding } => format!("This must be encoded as {content_encoding}."),
        K::ContentMediaType { content_media_type } => format!("This must be {content_media_type}."),
        K::BacktrackLimitExceeded { .. } => {
            "This is too long to be compared with the form that the field asks for.".to_string()
        }
        _ => "This does not fit what the field asks for.".to_string(),
    }
}

fn typed(kind: &ValidationErrorKind, rule: &Rule) -> String {
    let ValidationErrorKind::Type { kind } = kind else { return String::new() };
    let mut names: Vec<JsonType> = match kind {
        TypeKind::Single(one) => vec![*one],
        TypeKind::Multiple(several) => several.iter().collect(),
    };
    if names.len() > 1 {
        names.retain(|name| *name != JsonType::Null);
    }
    let what = match names.as_slice() {
        [JsonType::Boolean] => return "Choose yes or no.".to_string(),
        [JsonType::Null] => return "Leave this empty.".to_string(),
        [JsonType::Array] => return "This must be a list.".to_string(),
        [JsonType::Object] => return "This must be a group of fields.".to_string(),
        names => {
            let mut words: Vec<&str> = names.iter().map(|name| type_word(*name)).collect();
            words.dedup();
            words.join(" or ")
        }
    };
    match rule.example() {
        Some(example) => format!("Enter {what}, for example {example}."),
        None => format!("Enter {what}."),
    }
}

fn type_word(name: JsonType) -> &'static str {
    match name {
        JsonType::Array => "a list",
        JsonType::Boolean => "yes or no",
        JsonType::Integer => "a whole number",
        JsonType::Null => "nothing",
        JsonType::Number => "a number",
        JsonType::Object => "a group of fields",
        JsonType::String => "text",
    }
}

/// The JSON types that a schema's author may use, in words.
fn type_names(kind: &ValidationErrorKind) -> Option<String> {
    let ValidationErrorKind::Type { kind } = kind else { return None };
    let name = |name: JsonType| match name {
        JsonType::Array => "an array".to_string(),
        JsonType::Integer => "a whole number".to_string(),
        JsonType::Object => "an object".to_string(),
        JsonType::Boolean => "true or false".to_string(),
        other => format!("a {other}"),
    };
    Some(match kind {
        TypeKind::Single(one) => name(*one),
        TypeKind::Multiple(several) => several.iter().map(name).collect::<Vec<_>>().join(" or "),
    })
}

fn multiple(of: &Value) -> String {
    let text = of.to_string();
    if text == "1" || text == "1.0" {
        return "Enter a whole number.".to_string();
    }
    match text.strip_prefix("0.") {
        Some(digits) if digits.ends_with('1') && digits.trim_start_matches('0') == "1" => {
            format!("Enter a number with at most {}.", counted(digits.len() as u64, "decimal place"))
        }
        _ => format!("Enter a multiple of {text}."),
    }
}

fn formatted(format: &str) -> String {
    let (what, example) = match format {
        "date" => ("a date as year-month-day", "2026-05-14"),
        "time" => ("a time with its zone", "16:00:00+01:00"),
        "date-time" => ("a date and a time with its zone", "2026-05-14T16:00:00+01:00"),
        "duration" => ("a duration", "PT1H30M for one hour and a half"),
        "email" | "idn-email" => ("an e-mail address", "ingrid@example.com"),
        "hostname" | "idn-hostname" => ("a host name", "site.example.com"),
        "ipv4" => ("an IPv4 address", "192.0.2.7"),
        "ipv6" => ("an IPv6 address", "2001:db8::7"),
        "uri" | "iri" => ("a web address", "https://example.com/manual"),
        "uri-reference" | "iri-reference" => ("a web address or a path", "/manuals/p-204"),
        "uri-template" => ("a web address template", "https://example.com/{id}"),
        "uuid" => ("a UUID", "0198f3a2-7c11-7d3e-9a55-2f6f0c1d2e3f"),
        "regex" => ("a regular expression", "^[A-Z]{2}-[0-9]+$"),
        "json-pointer" => ("a JSON Pointer", "/parts/0/quantity"),
        "relative-json-pointer" => ("a relative JSON Pointer", "1/quantity"),
        other => return format!("This is not a valid {other}."),
    };
    format!("Enter {what}, for example {example}.")
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn counted_entries(count: u64) -> String {
    format!("{count} {}", if count == 1 { "entry" } else { "entries" })
}

/// At most ten of them, since nobody reads more.
fn listed(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    match names.get(..10) {
        Some(first) if names.len() > 10 => format!("{} and {} more", first.join(", "), names.len() - 10),
        _ => names.join(", "),
    }
}

/// A value, cut to what fits a sentence.
fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The branch that a value most probably means: the one that fails deepest, and of those the one with the fewest faults. A
/// branch for quite another type of value says nothing.
fn nearest_branch(kind: &ValidationErrorKind) -> Option<&[ValidationError<'static>]> {
    let (ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context }) = kind else {
        return None;
    };
    let depth = |error: &ValidationError| error.instance_path().as_str().matches('/').count();
    let shallowest = context.iter().flatten().map(depth).min()?;
    let misses = |errors: &[ValidationError]| {
        let own = errors.iter().filter(|error| depth(error) == shallowest);
        let weight = |error: &ValidationError| match error.kind() {
            ValidationErrorKind::Type { .. } => 1_000,
            ValidationErrorKind::Constant { .. }
            | ValidationErrorKind::Enum { .. }
            | ValidationErrorKind::FalseSchema => 100,
            _ => 1,
        };
        own.map(weight).sum::<usize>() + constants(errors) * 100
    };
    context.iter().filter(|errors| !errors.is_empty()).min_by_key(|errors| misses(errors)).map(Vec::as_slice)
}

/// A constant that differs one level down usually says "another kind of thing".
fn constants(errors: &[ValidationError]) -> usize {
    errors.iter().filter(|error| matches!(error.kind(), ValidationErrorKind::Constant { .. })).count()
}

/// "Fill in at least one of: phone, e-mail", where every branch fails only for what is missing.
fn one_of_the_missing(schema: &Schema, context: &[Vec<ValidationError>]) -> Option<String> {
    let mut titles = Vec::new();
    for errors in context {
        for error in errors {
            let ValidationErrorKind::Required { property } = error.kind() else { return None };
            let name = property.as_str()?;
            let title = Words::of(schema, &pointer::join(error.instance_path().as_str(), name), name).title;
            if !titles.contains(&title) {
                titles.push(title);
            }
        }
    }
    (titles.len() > 1).then(|| format!("Fill in at least one of: {}.", listed(titles.into_iter())))
}

/// The rule that was broken, and the subschema it stands in.
struct Rule<'s> {
    path: String,
    subschema: Option<&'s Value>,
}

impl<'s> Rule<'s> {
    fn of(schema: &'s Schema, error: &ValidationError) -> Self {
        let path = error.schema_path().as_str().to_string();
        let keyword = error.kind().keyword();
        let holder = path.strip_suffix(keyword).and_then(|rest| rest.strip_suffix('/'));
        let subschema = holder.and_then(|holder| schema.source().pointer(holder));
        Self { path, subschema }
    }

    fn word(&self, word: &str) -> Option<&'s Value> {
        self.subschema?.get(word)
    }

    /// What the type's author wants to be said: `x-message`, for all rules of a field or by keyword.
    fn own_message(&self, keyword: &str) -> Option<String> {
        match self.word("x-message")? {
            Value::String(text) => Some(text.clone()),
            Value::Object(by_keyword) => by_keyword.get(keyword)?.as_str().map(str::to_string),
            _ => None,
        }
    }

    fn example(&self) -> Option<String> {
        let first = self.word("examples")?.as_array()?.first()?;
        (!first.is_object() && !first.is_array()).then(|| shown(first))
    }

    /// The titles of `oneOf` or `anyOf` branches that are each one constant.
    fn choices(&self) -> Option<String> {
        let branches = self.word("oneOf").or_else(|| self.word("anyOf"))?.as_array()?;
        let title = |branch: &Value| {
            let value = branch.get("const")?;
            Some(branch.get("title").and_then(Value::as_str).map_or_else(|| shown(value), str::to_string))
        };
        let titles = branches.iter().map(title).collect::<Option<Vec<String>>>()?;
        Some(listed(titles.into_iter()))
    }
}

/// What people call a field.
struct Words {
    title: String,
    kind: Option<Kind>,
    example: Option<String>,
}

impl Words {
    fn of(schema: &Schema, pointer: &str, name: &str) -> Self {
        match schema.field(pointer) {
            Some(field) => Self { title: field.title.clone(), kind: Some(field.kind), example: field.example.clone() },
            None => Self { title: humanized(name), kind: None, example: None },
        }
    }

    fn quoted(&self) -> String {
        format!("“{}”", self.title)
    }

    fn missing(&self) -> String {
        let title = self.in_a_sentence();
        match self.kind {
            Some(Kind::Boolean) => "Choose yes or no.".to_string(),
            Some(Kind::Choice | Kind::Choices) => format!("Choose {title}."),
            Some(Kind::Group | Kind::List) => format!("Add {title}."),
            Some(Kind::Const) => format!("Accept {title}."),
            Some(Kind::Object) => format!("Fill in {title}."),
            _ => match &self.example {
                Some(example) => format!("Enter {title}, for example {example}."),
                None => format!("Enter {title}."),
            },
        }
    }

    /// "Permit number" becomes "permit number"; "ID" and "pH" stay. A question stays one, in quotes.
    fn in_a_sentence(&self) -> String {
        if self.title.ends_with('?') {
            return self.quoted();
        }
        let mut chars = self.title.chars();
        match (chars.next(), chars.next()) {
            (Some(first), Some(second)) if first.is_uppercase() && (second.is_lowercase() || second == ' ') => {
                first.to_lowercase().chain(std::iter::once(second)).chain(chars).collect()
            }
            _ => self.title.clone(),
        }
    }
}
