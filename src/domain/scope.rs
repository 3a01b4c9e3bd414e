//! Which partitions a node may hold.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ids::{Partition, TypeName};
use super::json;
use super::record::JsonText;

/// `"all"`, or per type `true` or the values of the field that the type declares with `x-scope`. Types and people belong
/// to every scope.
#[derive(Debug, Clone, PartialEq)]
pub enum Scope {
    All,
    Types(BTreeMap<TypeName, Part>),
}

/// What of one type is in a scope.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    Whole,
    /// The records whose scope field has one of these values; `null` takes in those that have none.
    Values(Values),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Values {
    given: Vec<Value>,
    partitions: BTreeSet<Partition>,
}

/// See [`Scope::named`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<'a> {
    pub partitions: Vec<Partition>,
    pub whole: Vec<&'a TypeName>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    #[error(
        "a scope is \"all\" or an object with one entry for each type, \
         for example {{\"work-order\": [\"platform-7\"], \"inspection\": true}}"
    )]
    Shape,
    #[error("{0:?} is not the name of a type")]
    Name(String),
    #[error("the scope of {0} is true or a list of values of its scope field")]
    Part(String),
    #[error("the scope of {0} lists a value that is no text, number, boolean or null")]
    Value(String),
}

impl Scope {
    pub fn contains(&self, partition: &Partition) -> bool {
        let Scope::Types(types) = self else { return !partition.is_local() };
        if *partition == Partition::types() || *partition == Partition::people() {
            return true;
        }
        types.iter().any(|(name, part)| {
            name.as_str() == partition.type_name()
                && match part {
                    Part::Whole => true,
                    Part::Values(values) => values.partitions.contains(partition),
                }
        })
    }

    /// What is in both.
    pub fn within(&self, other: &Scope) -> Scope {
        match (self, other) {
            (Scope::All, scope) | (scope, Scope::All) => scope.clone(),
            (Scope::Types(ours), Scope::Types(theirs)) => {
                let both = ours.iter().filter_map(|(name, part)| {
                    let part = match (part, theirs.get(name)?) {
                        (Part::Whole, part) | (part, Part::Whole) => part.clone(),
                        (Part::Values(ours), Part::Values(theirs)) => Part::Values(ours.within(theirs, name)),
                    };
                    Some((name.clone(), part))
                });
                Scope::Types(both.collect())
            }
        }
    }

    /// The partitions of this scope, for whoever keeps them by name: those it names one by one, and the types of which it
    /// has all. `None`: there is nothing that it does not have.
    pub fn named(&self) -> Option<Named<'_>> {
        let Scope::Types(types) = self else { return None };
        let mut named = Named { partitions: vec![Partition::types(), Partition::people()], whole: Vec::new() };
        for (name, part) in types {
            match part {
                Part::Whole => named.whole.push(name),
                Part::Values(values) => named.partitions.extend(values.partitions.iter().cloned()),
            }
        }
        Some(named)
    }

    pub fn from_json(json: &Value) -> Result<Self, ScopeError> {
        match json {
            Value::String(text) if text == "all" => Ok(Scope::All),
            Value::Object(types) => types
                .iter()
                .map(|(name, part)| {
                    let name = TypeName::custom(name).map_err(|_| ScopeError::Name(name.clone()))?;
                    let part = Part::from_json(&name, part)?;
                    Ok((name, part))
                })
                .collect::<Result<_, _>>()
                .map(Scope::Types),
            _ => Err(ScopeError::Shape),
        }
    }

    pub fn to_json(&self) -> Value {
        match self {
            Scope::All => Value::from("all"),
            Scope::Types(types) => Value::Object(
                types
                    .iter()
                    .map(|(name, part)| {
                        let part = match part {
                            Part::Whole => Value::Bool(true),
                            Part::Values(values) => Value::Array(values.given.clone()),
                        };
                        (name.to_string(), part)
                    })
                    .collect(),
            ),
        }
    }
}

impl Values {
    fn of(name: &TypeName, given: &[Value]) -> Self {
        let mut partitions: BTreeSet<Partition> =
            given.iter().map(|value| Partition::of_value(name, Some(value))).collect();
        if given.contains(&Value::Null) {
            partitions.insert(Partition::of_value(name, None));
        }
        Self { given: given.to_vec(), partitions }
    }

    fn within(&self, other: &Values, name: &TypeName) -> Self {
        let is_theirs = |value: &&Value| other.partitions.contains(&Partition::of_value(name, Some(value)));
        let both: Vec<Value> = self.given.iter().filter(is_theirs).cloned().collect();
        Self::of(name, &both)
    }
}

impl Part {
    fn from_json(name: &TypeName, json: &Value) -> Result<Self, ScopeError> {
        match json {
            Value::Bool(true) => Ok(Part::Whole),
            Value::Array(given) => {
                if given.iter().any(|value| value.is_array() || value.is_object()) {
                    return Err(ScopeError::Value(name.to_string()));
                }
                Ok(Part::Values(Values::of(name, given)))
            }
            _ => Err(ScopeError::Part(name.to_string())),
        }
    }
}

/// In binary messages the scope is its JSON text, so that values keep every digit.
impl Serialize for Scope {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        JsonText(self.to_json()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Scope::from_json(&JsonText::deserialize(deserializer)?.0).map_err(serde::de::Error::custom)
    }
}

impl std::str::FromStr for Scope {
    type Err = ScopeError;
    /// JSON text; the bare word `all` as well, since shells eat quotes.
    fn from_str(text: &str) -> Result<Self, ScopeError> {
        if text.trim() == "all" {
            return Ok(Scope::All);
        }
        Scope::from_json(&json::read(text).map_err(|_| ScopeError::Shape)?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn name(text: &str) -> TypeName {
        TypeName::custom(text).expect("a good name")
    }

    #[test]
    fn a_scope_of_values_holds_these_partitions_and_no_others() {
        let scope =
            Scope::from_json(&json!({"work-order": ["platform-7", 9], "inspection": true})).expect("a good scope");
        let of = |value: &Value| Partition::of_value(&name("work-order"), Some(value));
        assert!(scope.contains(&of(&json!("platform-7"))));
        assert!(scope.contains(&of(&json!(9.0))), "values compare as values");
        for outside in [of(&json!("9")), of(&json!("platform-8")), of(&Value::Null)] {
            assert!(!scope.contains(&outside), "{outside}");
        }
        assert!(!scope.contains(&Partition::of_type(&name("work-order"))));
        assert!(!scope.contains(&Partition::of_value(&name("work-order"), None)));
        assert!(scope.contains(&Partition::of_type(&name("inspection"))));
        assert!(scope.contains(&Partition::of_value(&name("inspection"), Some(&json!("x")))));
        assert!(!scope.contains(&Partition::of_type(&name("vitals"))));
        assert!(!scope.contains(&Partition::of_type(&name("inspection-2"))));
    }

    #[test]
    fn types_and_people_belong_to_every_scope() {
        for scope in [Scope::All, Scope::Types(BTreeMap::new())] {
            assert!(scope.contains(&Partition::types()));
            assert!(scope.contains(&Partition::people()));
        }
        assert!(Scope::All.contains(&Partition::of_type(&name("vitals"))));
        assert!(!Scope::All.contains(&Partition("_here".into())), "what is a node's own never travels");
    }

    #[test]
    fn what_two_scopes_have_in_common_is_what_both_contain() {
        let scopes = [
            json!("all"),
            json!({}),
            json!({"a": true}),
            json!({"a": ["x", 1], "b": true}),
            json!({"a": ["x", null], "b": ["y"]}),
            json!({"a": [1.0, "z"], "c": true}),
        ];
        let scopes = scopes.map(|json| Scope::from_json(&json).expect("a good scope"));
        let values = [json!("x"), json!(1), json!("z"), json!("y"), Value::Null];
        let of = |name: &str| {
            let name = self::name(name);
            let values = values.iter().map(Some).chain([None]);
            values.map(|value| Partition::of_value(&name, value)).chain([Partition::of_type(&name)]).collect::<Vec<_>>()
        };
        let partitions: Vec<Partition> = ["a", "b", "c"].into_iter().flat_map(of).collect();
        for (one, two) in scopes.iter().flat_map(|one| scopes.iter().map(move |two| (one, two))) {
            let both = one.within(two);
            for partition in &partitions {
                let contained = one.contains(partition) && two.contains(partition);
                assert_eq!(both.contains(partition), contained, "{one:?} {two:?} {partition}");
            }
        }
    }

    #[test]
    fn null_takes_in_the_records_without_a_value() {
        let scope = Scope::from_json(&json!({"a": [null]})).expect("a good scope");
        assert!(scope.contains(&Partition::of_value(&name("a"), None)));
        assert!(scope.contains(&Partition::of_value(&name("a"), Some(&Value::Null))));
        assert!(!scope.contains(&Partition::of_value(&name("a"), Some(&json!("")))));
    }

    #[test]
    fn a_scope_survives_json_and_text() {
        for json in [json!("all"), json!({}), json!({"a": true, "b": ["x", 1.50, null, false]})] {
            let scope = Scope::from_json(&json).expect("a good scope");
            assert_eq!(scope.to_json(), json);
            assert_eq!(scope.to_json().to_string().parse(), Ok(scope.clone()));
            let mut cbor = Vec::new();
            ciborium::into_writer(&scope, &mut cbor).expect("a scope is encoded");
            assert_eq!(ciborium::from_reader::<Scope, _>(&cbor[..]).expect("a scope is decoded"), scope);
        }
        assert_eq!("all".parse(), Ok(Scope::All));
    }

    #[test]
    fn what_is_no_scope_is_told() {
        let cases = [
            (json!(null), ScopeError::Shape),
            (json!("everything"), ScopeError::Shape),
            (json!(["a"]), ScopeError::Shape),
            (json!({"A": true}), ScopeError::Name("A".into())),
            (json!({"_person": true}), ScopeError::Name("_person".into())),
            (json!({"a": false}), ScopeError::Part("a".into())),
            (json!({"a": "x"}), ScopeError::Part("a".into())),
            (json!({"a": [["x"]]}), ScopeError::Value("a".into())),
        ];
        for (json, error) in cases {
            assert_eq!(Scope::from_json(&json), Err(error), "{json}");
        }
        assert_eq!("{".parse::<Scope>(), Err(ScopeError::Shape));
    }
}
