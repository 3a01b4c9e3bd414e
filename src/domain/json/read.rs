//! Reads JSON that somebody else wrote: the one door for bodies, posts, files, schemas, filters and sync messages.
//!
//! Refused, beside what is no JSON: nesting that would take the stack, an object that names a member twice (one of the two
//! values would be lost), and names that our JSON library keeps for itself. An object that begins with one of those is
//! taken for a number, or for JSON in a text, whenever it is read back; nobody's record may hold one.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

/// How the library hands over the text of a number whose digits are kept as typed.
const NUMBER: &str = "$serde_json::private::Number";
/// What the names begin with that it keeps for itself.
const RESERVED: &str = "$serde_json::private::";

/// Why a text is not taken as JSON, and where. As text it is a sentence without its full stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} at line {line} column {column}")]
pub struct NotJson {
    pub what: String,
    /// From 1.
    pub line: usize,
    pub column: usize,
    /// It is JSON, but says what we cannot keep.
    pub is_json: bool,
}

impl From<serde_json::Error> for NotJson {
    fn from(err: serde_json::Error) -> Self {
        let said = err.to_string();
        let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said);
        let deep = said.starts_with("recursion limit exceeded");
        let what = if deep {
            "This JSON is nested more than 127 levels deep,".to_owned()
        } else if err.is_data() {
            format!("This JSON cannot be taken: {said}")
        } else {
            format!("This is not JSON: {said}")
        };
        Self { what, line: err.line(), column: err.column(), is_json: deep || err.is_data() }
    }
}

/// Reads JSON text from outside.
pub fn read(text: &str) -> Result<Value, NotJson> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(NotJson::from)
}

/// Reads JSON text from outside that may not even be text.
pub fn read_bytes(bytes: &[u8]) -> Result<Value, NotJson> {
    let text = std::str::from_utf8(bytes).map_err(|err| {
        let before = &bytes[..err.valid_up_to()];
        let begin = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        NotJson {
            what: "This is not JSON: it is not UTF-8".to_owned(),
            line: before.iter().filter(|byte| **byte == b'\n').count() + 1,
            column: before.len() - begin + 1,
            is_json: false,
        }
    })?;
    read(text)
}

/// Reads a value inside a message from outside by the same rules: `#[serde(deserialize_with = "json::deserialize")]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    Strict.deserialize(deserializer)
}

/// Whether a name is one that the library keeps for itself.
pub fn is_reserved(name: &str) -> bool {
    name.starts_with(RESERVED)
}

/// The first member with a reserved name: where the object is that holds it, and the name. For values that were put
/// together from names, and not read.
pub fn reserved_member(value: &Value) -> Option<(String, &str)> {
    match value {
        Value::Object(map) => map.iter().find_map(|(name, value)| {
            if is_reserved(name) {
                return Some((String::new(), name.as_str()));
            }
            let (below, found) = reserved_member(value)?;
            Some((format!("/{}{below}", crate::domain::path::escape(name)), found))
        }),
        Value::Array(items) => items.iter().enumerate().find_map(|(at, item)| {
            let (below, found) = reserved_member(item)?;
            Some((format!("/{at}{below}"), found))
        }),
        _ => None,
    }
}

/// How many objects and arrays lie within one another.
pub fn nesting(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(nesting).max().unwrap_or_default(),
        Value::Object(map) => 1 + map.values().map(nesting).max().unwrap_or_default(),
        _ => 0,
    }
}

/// Builds a [`Value`] as its own reader does, but refuses what it would misread or lose.
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Strict)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if map.is_empty() && name == NUMBER {
                return members.next_value_seed(Digits).map(Value::Number);
            }
            if is_reserved(&name) {
                return Err(reserved(&name));
            }
            let place = match map.entry(name) {
                Entry::Vacant(place) => place,
                Entry::Occupied(there) => {
                    let name = there.key();
                    return Err(A::Error::custom(format_args!("the name {name:?} stands twice in one object")));
                }
            };
            place.insert(members.next_value_seed(Strict)?);
        }
        Ok(Value::Object(map))
    }
}

fn reserved<E: Error>(name: &str) -> E {
    E::custom(format_args!("the name {name:?} is reserved"))
}

/// The text of a number. The library hands its own over as an owned text; one that somebody wrote after that name in an
/// object is borrowed from what is read, and so is told apart.
struct Digits;

impl<'de> DeserializeSeed<'de> for Digits {
    type Value = Number;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Number, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Digits {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value without a reserved name")
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Number, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Number, E> {
        Err(reserved(NUMBER))
    }

    fn visit_unit<E: Error>(self) -> Result<Number, E> {
        Err(reserved(NUMBER))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Number, E> {
        Err(reserved(NUMBER))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Number, A::Error> {
        Err(reserved(NUMBER))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Number, A::Error> {
        Err(reserved(NUMBER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_json_is_read_as_it_was_typed() {
        for text in [
            r#"{"b":1.0,"a":[1e+400,-0,12345678901234567890123,null,true,"ä\n"],"":{}}"#,
            "[]",
            "\"x\"",
            "0.10",
            r#"{"a":{"x":1},"b":{"x":1}}"#,
            r#"["$serde_json::private::Number","$serde_json::private::RawValue"]"#,
        ] {
            let value = read(text).expect(text);
            assert_eq!(value, serde_json::from_str::<Value>(text).expect(text));
            assert_eq!(value.to_string(), text);
            assert_eq!(read_bytes(text.as_bytes()), Ok(value));
        }
    }

    #[test]
    fn bad_json_is_refused_in_words() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        for (text, says) in [
            (r#"{"a":1,"a":1}"#, "stands twice in one object at line 1 column 10"),
            (r#"{"a":1,"\u0061":2}"#, "stands twice"),
            (r#"[{"x":{"a":1,"b":2,"a":3}}]"#, "\"a\" stands twice"),
            ("{", "not JSON: EOF while parsing an object at line 1 column 1"),
            ("1 2", "not JSON"),
            ("NaN", "not JSON"),
            ("", "not JSON"),
            ("\u{feff}{}", "not JSON"),
            (&deep, "127 levels deep, at line 1 column 128"),
        ] {
            let said = read(text).expect_err(text).to_string();
            assert!(said.contains(says), "{text}: {said}");
        }
        let said = read_bytes(b"[\n \"\xff\"]").expect_err("no UTF-8").to_string();
        assert_eq!(said, "This is not JSON: it is not UTF-8 at line 2 column 3");
    }

    /// Such an object would be read back as a number, or as what its text says, or not at all.
    #[test]
    fn names_that_the_reader_keeps_for_itself_are_refused_wherever_they_stand() {
        for text in [
            r#"{"$serde_json::private::Number":"12"}"#,
            r#"{"$serde_json::private::Number":"12","a":1}"#,
            r#"{"$serde_json::private::Number":"x"}"#,
            r#"{"$serde_json::private::Number":"1\u0032"}"#,
            r#"{"\u0024serde_json::private::Number":"12"}"#,
            r#"{"$serde_json::private::Number":12}"#,
            r#"{"$serde_json::private::Number":1.5e400}"#,
            r#"{"$serde_json::private::Number":null}"#,
            r#"{"$serde_json::private::Number":true}"#,
            r#"{"$serde_json::private::Number":["12"]}"#,
            r#"{"$serde_json::private::Number":{"$serde_json::private::Number":"1"}}"#,
            r#"{"a":1,"$serde_json::private::Number":"1"}"#,
            r#"{"$serde_json::private::RawValue":"[1]"}"#,
            r#"[{"a":{"$serde_json::private::RawValue":"["}}]"#,
            r#"{"\u0024serde_json::\u0070rivate::RawValue":"["}"#,
            r#"{"$serde_json::private::Anything":1}"#,
        ] {
            let said = read(text).expect_err(text);
            assert!(said.is_json && said.to_string().contains("reserved"), "{text}: {said}");
            let inside = serde_json::from_slice::<Message>(format!("{{\"value\":{text}}}").as_bytes());
            assert!(inside.is_err_and(|err| err.to_string().contains("reserved")), "{text}");
        }
        let message: Message = serde_json::from_str(r#"{"value":{"x":1.50}}"#).expect("a message");
        assert_eq!(message.value.to_string(), r#"{"x":1.50}"#);
    }

    #[derive(Debug, serde::Deserialize)]
    struct Message {
        #[serde(deserialize_with = "super::deserialize")]
        value: Value,
    }

    #[test]
    fn a_reserved_name_is_found_in_what_was_put_together() {
        let name = format!("{RESERVED}RawValue");
        let value = serde_json::json!({"a": [1, {"b/c": {name.as_str(): 1}}]});
        assert_eq!(reserved_member(&value), Some(("/a/1/b~1c".to_owned(), name.as_str())));
        assert_eq!(reserved_member(&serde_json::json!({"$a": [name.as_str()]})), None);
    }
}
