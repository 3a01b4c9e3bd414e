//! The OpenAPI 3.1 document. What every node can do is written down in `schemas/openapi.json`; the types that people
//! made are put in beside it.

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Map, Value, json};

use super::Problem;
use super::caller::Caller;
use crate::domain::people::Operation;
use crate::node::{Node, Type};
use crate::web::App;

const DOCUMENT: &str = include_str!("../../../schemas/openapi.json");

/// What is said once for all types, and again for each: the address, and the parts of the document that speak of data.
const PATHS: [&str; 2] = ["/types/{type}/records", "/types/{type}/records/{id}"];
const SCHEMAS: [&str; 3] = ["Record", "RecordPage", "NewRecord"];

/// `GET /api/openapi.json`. Open to all; the types are for those who may see records.
pub async fn show(req: HttpRequest, app: Data<App>) -> Result<HttpResponse, Problem> {
    let named = if Caller::is_named(&req) { Caller::of(&req).await?.may(Operation::See).is_ok() } else { false };
    let document = if named { openapi(&app.node) } else { document() };
    let mut response = super::json(&document);
    response.headers_mut().insert(header::VARY, header::HeaderValue::from_static("Authorization, Cookie"));
    Ok(response)
}

/// What this node's API is, its types included.
pub fn openapi(node: &Node) -> Value {
    let mut document = document();
    for found in node.caches().types().iter().filter(|found| !found.retired) {
        add(&mut document, found);
    }
    document
}

/// What the API of any node is, without types.
pub fn document() -> Value {
    let mut document: Value = serde_json::from_str(DOCUMENT).expect("the document is JSON, as a test shows");
    document["info"]["version"] = json!(env!("CARGO_PKG_VERSION"));
    document
}

/// Says of one type what the document says of all.
fn add(document: &mut Value, found: &Type) {
    let name = found.name.as_str();
    let Ok(Value::Object(mut schema)) = serde_json::from_str(&found.current.text) else { return };
    // its references are its own: they start at its own address
    if !schema.contains_key("$id") {
        schema.shift_insert(0, "$id".into(), json!(format!("/api/v1/types/{name}/schema")));
    }
    let mut schemas = Map::new();
    for generic in SCHEMAS {
        let mut schema = document["components"]["schemas"][generic].clone();
        specialise(&mut schema, name);
        if let Some(data) = schema.pointer_mut("/properties/data") {
            *data = json!({ "$ref": format!("#/components/schemas/{name}") });
        }
        if let Some(type_name) = schema.pointer_mut("/properties/type") {
            *type_name = json!({ "const": name });
        }
        schemas.insert(format!("{generic}.{name}"), schema);
    }
    schemas.insert(name.to_owned(), Value::Object(schema));
    let mut paths = Map::new();
    for path in PATHS {
        let mut item = document["paths"][path].clone();
        specialise(&mut item, name);
        if let Some(parameters) = item.get_mut("parameters").and_then(Value::as_array_mut) {
            parameters.retain(|parameter| parameter["$ref"] != "#/components/parameters/type");
        }
        for operation in item.as_object_mut().into_iter().flat_map(|item| item.values_mut()) {
            let Some(operation) = operation.as_object_mut() else { continue };
            if let Some(id) = operation.get("operationId").and_then(Value::as_str) {
                let id = format!("{id}.{name}");
                operation.insert("operationId".into(), json!(id));
                operation.insert("tags".into(), json!([found.title]));
            }
        }
        paths.insert(path.replace("{type}", name), item);
    }
    let tag = json!({ "name": found.title, "description": format!("The type {name}.") });
    if let Some(tags) = document["tags"].as_array_mut()
        && !tags.iter().any(|known| known["name"] == tag["name"])
    {
        tags.push(tag);
    }
    for (at, more) in [("/components/schemas", schemas), ("/paths", paths)] {
        if let Some(Value::Object(members)) = document.pointer_mut(at) {
            members.extend(more);
        }
    }
}

/// Turns references to what is said of any type into references to what is said of one.
fn specialise(value: &mut Value, name: &str) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                match value {
                    Value::String(target) if member == "$ref" => {
                        let generic = target.strip_prefix("#/components/schemas/").unwrap_or_default();
                        if SCHEMAS.contains(&generic) {
                            target.push('.');
                            target.push_str(name);
                        }
                    }
                    value => specialise(value, name),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| specialise(item, name)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_in_the_document_leads_somewhere() {
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 50);
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("all references are local");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_a_summary_and_answers() {
        let document = document();
        let mut names = std::collections::BTreeSet::new();
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, operation) in
                item.as_object().expect("a path").iter().filter(|(name, _)| *name != "parameters" && *name != "servers")
            {
                let at = format!("{method} {path}");
                assert!(names.insert(operation["operationId"].as_str().expect(&at).to_owned()), "{at}");
                assert!(operation["summary"].is_string() && operation["tags"][0].is_string(), "{at}");
                assert!(operation["responses"].as_object().is_some_and(|answers| !answers.is_empty()), "{at}");
            }
        }
        assert!(names.len() >= 25);
    }
}
