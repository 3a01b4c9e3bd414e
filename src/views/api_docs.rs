//! The OpenAPI document as a page one can read. It shows what the document says and adds nothing.

use askama::Template;
use serde_json::Value;

use super::frame::Frame;
use super::part::Prose;

/// `GET /api/docs`.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "api_docs/page.html")]
pub struct ApiDocs {
    pub frame: Frame,
    pub title: String,
    pub version: String,
    /// Paragraphs.
    pub description: Vec<Prose>,
    pub groups: Vec<Group>,
}

/// Operations under one tag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    pub id: String,
    pub title: String,
    pub operations: Vec<Operation>,
}

/// One request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operation {
    pub id: String,
    /// "GET".
    pub method: String,
    pub path: String,
    pub summary: Prose,
    pub description: Vec<Prose>,
    pub parameters: Vec<Parameter>,
    /// Media types it takes.
    pub takes: Vec<String>,
    /// Status and what it means.
    pub answers: Vec<(String, Prose)>,
}

/// A parameter of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameter {
    pub name: String,
    /// "path", "query", "header".
    pub place: String,
    /// "string", "integer, required".
    pub kind: String,
    pub description: Prose,
}

const METHODS: [&str; 7] = ["get", "post", "put", "patch", "delete", "head", "options"];

impl ApiDocs {
    /// Reads an OpenAPI 3.1 document; what it lacks is left out.
    pub fn from_openapi(frame: Frame, document: &Value) -> ApiDocs {
        let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut groups: Vec<Group> = Vec::new();
        let paths = document.get("paths").and_then(Value::as_object);
        for (path, item) in paths.into_iter().flatten() {
            for method in METHODS {
                let Some(operation) = item.get(method) else { continue };
                let tag = operation.pointer("/tags/0").and_then(Value::as_str).unwrap_or("other");
                let operation = read_operation(document, path, method, item, operation);
                match groups.iter_mut().find(|group| group.title == tag) {
                    Some(group) => group.operations.push(operation),
                    None => groups.push(Group {
                        id: anchor(&["tag", tag]),
                        title: tag.to_owned(),
                        operations: vec![operation],
                    }),
                }
            }
        }
        ApiDocs {
            frame,
            title: text("/info/title"),
            version: text("/info/version"),
            description: paragraphs(document.pointer("/info/description")),
            groups,
        }
    }
}

fn read_operation(document: &Value, path: &str, method: &str, item: &Value, operation: &Value) -> Operation {
    let word = |key: &str| operation.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let own = operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
    let shared = item.get("parameters").and_then(Value::as_array).into_iter().flatten();
    let body = operation.get("requestBody").map(|body| resolved(document, body));
    let media = body.and_then(|body| body.get("content")?.as_object());
    let answers = operation.get("responses").and_then(Value::as_object);
    Operation {
        id: anchor(&[method, path]),
        method: method.to_uppercase(),
        path: path.to_owned(),
        summary: Prose(word("summary")),
        description: paragraphs(operation.get("description")),
        parameters: shared.chain(own).map(|parameter| read_parameter(resolved(document, parameter))).collect(),
        takes: media.into_iter().flat_map(|media| media.keys().cloned()).collect(),
        answers: answers
            .into_iter()
            .flatten()
            .map(|(status, answer)| {
                let answer = resolved(document, answer);
                (
                    status.clone(),
                    Prose(answer.get("description").and_then(Value::as_str).unwrap_or_default().to_owned()),
                )
            })
            .collect(),
    }
}

fn read_parameter(parameter: &Value) -> Parameter {
    let word = |key: &str| parameter.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut kind = match parameter.pointer("/schema/type") {
        Some(Value::String(one)) => one.clone(),
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ => String::new(),
    };
    if parameter.get("required") == Some(&Value::Bool(true)) {
        kind.push_str(if kind.is_empty() { "required" } else { ", required" });
    }
    Parameter { name: word("name"), place: word("in"), kind, description: Prose(word("description")) }
}

/// What a local `$ref` leads to; anything else is itself.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let target = value.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
    target.and_then(|pointer| document.pointer(pointer)).unwrap_or(value)
}

fn paragraphs(text: Option<&Value>) -> Vec<Prose> {
    let text = text.and_then(Value::as_str).unwrap_or_default();
    text.split("\n\n")
        .map(str::trim)
        .filter(|paragraph| !paragraph.is_empty())
        .map(|paragraph| Prose(paragraph.to_owned()))
        .collect()
}

fn anchor(words: &[&str]) -> String {
    words.join("-").replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_is_read_by_tag_and_a_poor_one_is_no_error() {
        let document = json!({
            "info": {"title": "outpost", "version": "1", "description": "One.\n\nTwo."},
            "paths": {"/types": {
                "parameters": [{"$ref": "#/components/parameters/limit"}],
                "get": {"tags": ["types"], "summary": "List", "responses": {"200": {"description": "The types"}}},
                "post": {"tags": ["types"], "requestBody": {"content": {"application/json": {}}}},
                "delete": {}
            }},
            "components": {"parameters": {"limit": {"name": "limit", "in": "query", "required": true, "schema": {"type": "integer"}}}}
        });
        let docs = ApiDocs::from_openapi(Frame::default(), &document);
        assert_eq!(docs.description, [Prose("One.".into()), Prose("Two.".into())]);
        assert_eq!(docs.groups.len(), 2);
        let list = &docs.groups[0].operations[0];
        assert_eq!((list.method.as_str(), list.path.as_str(), list.id.as_str()), ("GET", "/types", "get--types"));
        assert_eq!(list.parameters[0].kind, "integer, required");
        assert_eq!(list.answers, [("200".to_owned(), Prose("The types".into()))]);
        assert_eq!(docs.groups[0].operations[1].takes, ["application/json"]);
        assert!(ApiDocs::from_openapi(Frame::default(), &json!([1])).groups.is_empty());
    }
}
