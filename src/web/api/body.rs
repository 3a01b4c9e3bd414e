//! Reads the body of a request: within a limit, of the right media type, as JSON that says each thing once.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::{StatusCode, header};
use actix_web::web::{Bytes, BytesMut, Payload};
use serde_json::{Map, Value};

use super::Problem;
use crate::domain::json;
use crate::web::pieces::{Broken, Pieces};

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
pub async fn read(req: &HttpRequest, payload: Payload) -> Result<Bytes, Problem> {
    let encoding = req.headers().get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    if encoding.is_some_and(|encoding| !encoding.trim().eq_ignore_ascii_case("identity")) {
        let detail = "Send the body as it is, without a Content-Encoding.";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let mut pieces = Pieces::of(req, payload);
    let length = req.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let mut whole = Bytes::new();
    let mut parts = BytesMut::new();
    if length.is_none_or(|length| length <= LIMIT) {
        loop {
            let Some(piece) = pieces.next().await else {
                return Ok(if parts.is_empty() { whole } else { parts.freeze() });
            };
            let chunk = piece.map_err(broken)?;
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
            while let Some(Ok(chunk)) = pieces.next().await {
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

fn broken(why: Broken) -> Problem {
    match why {
        Broken::Off(err) => Problem::bad(format!("The body could not be read: {err}.")),
        Broken::Silent => {
            Problem::new(StatusCode::REQUEST_TIMEOUT, "The rest of the body did not come; nothing was changed.")
        }
    }
}

/// Reads the JSON of a body.
pub fn parse(text: &[u8]) -> Result<Value, Problem> {
    let text = std::str::from_utf8(text)
        .map_err(|err| Problem::bad(format!("The body is not UTF-8: see byte {}.", err.valid_up_to())))?;
    if text.trim_ascii().is_empty() {
        return Err(Problem::bad("The body is empty; it has to be JSON."));
    }
    json::read(text).map_err(|fault| Problem::bad(fault.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_no_text_or_says_nothing_is_refused() {
        for bad in [&b"\"\xff\""[..], b"", b" \n", b"{"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(parse(b" {\"a\":1.0}").expect("JSON").to_string(), "{\"a\":1.0}");
    }
}
