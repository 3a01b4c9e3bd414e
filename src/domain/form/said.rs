//! What a schema says about one value beyond its field: gathered from where `$ref`, `allOf`, conditions and branches have
//! spread it. Nothing is merged; what stands nearest comes first.

use std::collections::HashSet;

use serde_json::Value;

use crate::domain::path::escape;
use crate::domain::schema::Schema;

/// A subschema and where it stands.
type Part<'s> = (String, &'s Value);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Holding {
    Always,
    Sometimes,
}

/// The subschemas that speak of one value.
pub(super) struct Said<'s> {
    schema: &'s Schema,
    always: Vec<Part<'s>>,
    /// On a condition, or as one branch of several.
    sometimes: Vec<Part<'s>>,
}

impl<'s> Said<'s> {
    pub fn of_record(schema: &'s Schema) -> Self {
        Self::gather(schema, vec![(String::new(), schema.source())], Vec::new())
    }

    fn gather(schema: &'s Schema, always: Vec<Part<'s>>, sometimes: Vec<Part<'s>>) -> Self {
        let mut said = Self { schema, always: Vec::new(), sometimes: Vec::new() };
        let mut seen = HashSet::new();
        for (parts, holding) in [(always, Holding::Always), (sometimes, Holding::Sometimes)] {
            for part in parts {
                said.add(part, holding, &mut seen);
            }
        }
        said
    }

    fn add(&mut self, part: Part<'s>, holding: Holding, seen: &mut HashSet<(String, Holding)>) {
        if !seen.insert((part.0.clone(), holding)) {
            return;
        }
        let (pointer, schema) = part.clone();
        match holding {
            Holding::Always => self.always.push(part),
            Holding::Sometimes => self.sometimes.push(part),
        }
        if let Some((pointer, schema)) = self.schema.referent(&pointer) {
            self.add((pointer.to_owned(), schema), holding, seen);
        }
        let Value::Object(words) = schema else { return };
        for (word, below) in words {
            let (below, holding): (Vec<Part>, Holding) = match (word.as_str(), below) {
                ("allOf", Value::Array(all)) => (numbered(&pointer, word, all), holding),
                ("anyOf" | "oneOf", Value::Array(all)) => (numbered(&pointer, word, all), Holding::Sometimes),
                ("if" | "then" | "else", one) => (vec![(format!("{pointer}/{word}"), one)], Holding::Sometimes),
                ("dependentSchemas", Value::Object(named)) => {
                    let part =
                        |(name, below): (&String, &'s Value)| (format!("{pointer}/{word}/{}", escape(name)), below);
                    (named.iter().map(part).collect(), Holding::Sometimes)
                }
                _ => continue,
            };
            for part in below {
                self.add(part, holding, seen);
            }
        }
    }

    fn below(&self, step: impl Fn(&Part<'s>) -> Option<Part<'s>>) -> Self {
        let step = &step;
        let of = |parts: &[Part<'s>]| parts.iter().filter_map(step).collect();
        Self::gather(self.schema, of(&self.always), of(&self.sometimes))
    }

    /// What is said of a property.
    pub fn property(&self, name: &str) -> Self {
        self.below(|(pointer, schema)| {
            let below = schema.get("properties")?.get(name)?;
            Some((format!("{pointer}/properties/{}", escape(name)), below))
        })
    }

    /// What is said of the items of a list.
    pub fn items(&self) -> Self {
        self.below(|(pointer, schema)| Some((format!("{pointer}/items"), schema.get("items")?)))
    }

    /// The first that is always said by a word.
    pub fn word(&self, word: &str) -> Option<&'s Value> {
        self.always.iter().find_map(|(_, schema)| schema.get(word))
    }

    /// The same where what is said sometimes will do, too: for titles and hints.
    pub fn hint(&self, word: &str) -> Option<&'s Value> {
        self.word(word).or_else(|| self.sometimes.iter().find_map(|(_, schema)| schema.get(word)))
    }

    pub fn text(&self, word: &str) -> Option<String> {
        self.hint(word).and_then(Value::as_str).filter(|text| !text.trim().is_empty()).map(str::to_owned)
    }

    pub fn count(&self, word: &str) -> Option<usize> {
        usize::try_from(self.word(word)?.as_u64()?).ok()
    }

    /// Whether a rule may ask for a property on some condition.
    pub fn may_ask_for(&self, name: &str) -> bool {
        let names = |list: &Value| list.as_array().is_some_and(|list| list.iter().any(|one| one == name));
        let asks = |(_, schema): &Part| schema.get("required").is_some_and(names);
        let depends = |(_, schema): &Part| {
            let dependent = schema.get("dependentRequired").and_then(Value::as_object);
            dependent.is_some_and(|dependent| dependent.values().any(names))
        };
        self.sometimes.iter().any(asks) || self.always.iter().chain(&self.sometimes).any(depends)
    }

    /// What stands beside a listed value: the `description` of the branch that holds it.
    pub fn of_choice(&self, value: &Value) -> Option<String> {
        let branch = self.sometimes.iter().find(|(_, schema)| schema.get("const") == Some(value))?;
        branch.1.get("description").and_then(Value::as_str).map(str::to_owned)
    }
}

fn numbered<'s>(pointer: &str, word: &str, all: &'s [Value]) -> Vec<Part<'s>> {
    all.iter().enumerate().map(|(i, one)| (format!("{pointer}/{word}/{i}"), one)).collect()
}
