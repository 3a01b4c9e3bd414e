//! Reads the body of a request: within a limit, of the right media type, as JSON that says each thing once.

use std::fmt;
use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::web::{Bytes, BytesMut, Payload};
use actix_web::{HttpRequest, error::PayloadError};
use futures_util::StreamExt;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::Problem;

/// Bytes of a body. A record may have 1 MiB of JSON; white space and the envelope come on top.
pub const LIMIT: usize = 5 << 20;

/// What is read and thrown away of a body that is too large, so that whoever sends it hears why.
const DRAIN: usize = 64 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(10);

pub const JSON: &str = "application/json";
pub const MERGE_PATCH: &str = "application/merge-patch+json";
pub const JSON_PATCH: &str = "application/json-patch+json";

/// The media type of a body, in lower case and without its parameters; empty where none is given.
pub fn media_type(req: &HttpRequest) -> String {
    let value = req.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Reads a body that has to be `application/json`.
pub async fn json_text(req: &HttpRequest, payload: Payload) -> Result<Bytes, Problem> {
    if media_type(req) != JSON {
        let detail = "Send the body as JSON, with the header Content-Type: application/json.";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    read(req, payload).await
}

/// Reads an `application/json` body whose outermost value is an object.
pub async fn json_object(req: &HttpRequest, payload: Payload) -> Result<Map<String, Value>, Problem> {
    let text = json_text(req, payload).await?;
    object(parse(&text)?)
}

pub fn object(value: Value) -> Result<Map<String, Value>, Problem> {
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(Problem::member("", "type", "The body is a JSON object.")),
    }
}

/// Reads a body of any media type.
pub async fn read(req: &HttpRequest, mut payload: Payload) -> Result<Bytes, Problem> {
    let length = req.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let mut whole = Bytes::new();
    let mut parts = BytesMut::new();
    if length.is_none_or(|length| length <= LIMIT) {
        loop {
            let Some(chunk) = payload.next().await else {
                return Ok(if parts.is_empty() { whole } else { parts.freeze() });
            };
            let chunk = chunk.map_err(broken)?;
            if whole.len() + parts.len() + chunk.len() > LIMIT {
                break;
            }
            if whole.is_empty() && parts.is_empty() {
                // most bodies come in one piece
                whole = chunk;
                continue;
            }
            if !whole.is_empty() {
                parts.reserve(length.unwrap_or(whole.len() + chunk.len()));
                parts.extend_from_slice(&std::mem::take(&mut whole));
            }
            parts.extend_from_slice(&chunk);
        }
    }
    if length.is_none_or(|length| length <= DRAIN) {
        let drain = async {
            let mut seen = 0;
            while let Some(Ok(chunk)) = payload.next().await {
                seen += chunk.len();
                if seen > DRAIN {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(DRAIN_TIME, drain).await;
    }
    Err(Problem::too_large(format!("This body is too large; {} MiB is the most.", LIMIT >> 20)))
}

fn broken(err: PayloadError) -> Problem {
    Problem::bad(format!("The body could not be read: {err}."))
}

/// Reads JSON text. A name that stands twice in one object is an error: one of the two values would be lost.
pub fn parse(text: &[u8]) -> Result<Value, Problem> {
    let text = std::str::from_utf8(text)
        .map_err(|err| Problem::bad(format!("The body is not UTF-8: see byte {}.", err.valid_up_to())))?;
    if text.trim_ascii().is_empty() {
        return Err(Problem::bad("The body is empty; it has to be JSON."));
    }
    parse_str(text).map_err(Problem::bad)
}

/// Reads JSON text, or says in a sentence why it is none.
pub fn parse_str(text: &str) -> Result<Value, String> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|err| {
        let said = err.to_string();
        if said.starts_with("recursion limit exceeded") {
            let at = format!("line {} column {}", err.line(), err.column());
            format!("This JSON is nested more than 127 levels deep, at {at}.")
        } else if err.is_data() {
            format!("This JSON cannot be taken: {said}.")
        } else {
            format!("This is not JSON: {said}.")
        }
    })
}

/// Builds a [`Value`] as its own reader does, but refuses an object that names a member twice.
struct Strict;

/// How serde_json hands over the text of a number when digits are kept as typed.
const NUMBER: &str = "$serde_json::private::Number";
/// Names that serde_json would take for its own when it reads the record back.
const RESERVED: &str = "$serde_json::private::";

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
                let number = members.next_value::<String>()?.parse::<Number>();
                return number.map(Value::Number).map_err(A::Error::custom);
            }
            if name.starts_with(RESERVED) {
                return Err(A::Error::custom(format_args!("the name {name:?} is reserved")));
            }
            if map.contains_key(&name) {
                return Err(A::Error::custom(format_args!("the name {name:?} stands twice in one object")));
            }
            let value = members.next_value_seed(Strict)?;
            map.insert(name, value);
        }
        Ok(Value::Object(map))
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
        ] {
            let value = parse_str(text).expect(text);
            assert_eq!(value, serde_json::from_str::<Value>(text).expect(text));
            assert_eq!(value.to_string(), text);
        }
    }

    #[test]
    fn bad_json_is_refused_in_words() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        for (text, says) in [
            (r#"{"a":1,"a":1}"#, "stands twice"),
            (r#"{"a":1,"\u0061":2}"#, "stands twice"),
            (r#"[{"x":{"a":1,"b":2,"a":3}}]"#, "\"a\" stands twice"),
            (r#"{"a":{"$serde_json::private::RawValue":"["}}"#, "reserved"),
            (r#"{"a":1,"$serde_json::private::Number":"1"}"#, "reserved"),
            (r#"{"$serde_json::private::Number":"x"}"#, "cannot be taken"),
            ("{", "not JSON"),
            ("1 2", "not JSON"),
            ("NaN", "not JSON"),
            ("\u{feff}{}", "not JSON"),
            (&deep, "127 levels"),
        ] {
            let said = parse_str(text).expect_err(text);
            assert!(said.contains(says), "{text}: {said}");
        }
        assert!(parse(b"\"\xff\"").is_err() && parse(b" \n").is_err());
    }
}
