//! Types: listed, made, published, retired, and what a change would do.

use actix_web::http::header;
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::body::{self, object, parse};
use super::caller::Caller;
use super::write::Who;
use super::{Problem, created, matches_none, not_modified, ok, query, segment, time};
use crate::domain::FieldError;
use crate::domain::ids::RevisionId;
use crate::domain::people::Operation;
use crate::domain::schema::{self, Change, Field};
use crate::node::{Node, Published, Revision, Type};
use crate::web::App;

#[derive(Serialize)]
struct TypeBody<'a> {
    name: &'a str,
    title: &'a str,
    version: u64,
    retired: bool,
    created_at: Option<String>,
    published_at: String,
    published_by: Value,
    reason: &'a str,
    schema: &'a RawValue,
    fields: Vec<FieldBody<'a>>,
    /// After making or publishing: what was changed to bring an older draft up to 2020-12.
    #[serde(skip_serializing_if = "Option::is_none")]
    upgraded: Option<&'a [Change]>,
}

#[derive(Serialize)]
struct FieldBody<'a> {
    id: Option<&'a str>,
    #[serde(flatten)]
    field: &'a Field,
}

fn type_text(node: &Node, found: &Type, upgraded: Option<&[Change]>) -> Result<Vec<u8>, Problem> {
    let revision = &*found.current;
    let schema = revision.schema();
    let text: Box<RawValue> = RawValue::from_string(revision.text.clone()).map_err(|err| damaged(&err))?;
    let first = node.caches().versions(&found.name).pop();
    let body = TypeBody {
        name: found.name.as_str(),
        title: &found.title,
        version: revision.version,
        retired: found.retired,
        created_at: first.map(|first| time::text(first.at)),
        published_at: time::text(revision.at),
        published_by: Who::here(node).person(revision.by),
        reason: &revision.reason,
        schema: &text,
        fields: schema
            .iter()
            .flat_map(|schema| schema.fields())
            .map(|field| FieldBody { id: found.field_ids.get(&field.pointer).map(String::as_str), field })
            .collect(),
        upgraded,
    };
    serde_json::to_vec(&body).map_err(|err| damaged(&err))
}

fn damaged(err: &serde_json::Error) -> Problem {
    crate::store::StoreError::Damaged(err.to_string()).into()
}

/// `GET /types`
pub async fn list(req: HttpRequest, app: Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut retired = false;
    for (name, value) in query::only(req.query_string(), &["retired"])? {
        retired = query::flag(&value).map_err(|why| Problem::bad(format!("{name}: {why}")))?;
    }
    let mut out = b"{\"items\":[".to_vec();
    for (i, found) in app.node.types(&caller.actor, retired)?.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend(type_text(&app.node, found, None)?);
    }
    out.extend_from_slice(b"],\"next\":null}");
    Ok(ok(out))
}

/// `GET /types/{type}`
pub async fn show(req: HttpRequest, app: Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    let found = app.node.type_named(&caller.actor, segment(&req, "type"))?;
    Ok(ok(type_text(&app.node, &found, None)?))
}

/// `POST /types`
pub async fn create(
    req: HttpRequest,
    app: Data<App>,
    caller: Caller,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    caller.may(Operation::Design)?;
    let text = body::json_text(&req, payload).await?;
    let given = Given::read(&text)?;
    let mut missing = Vec::new();
    if given.name.is_none() {
        missing.push(FieldError::new("/name", "required", "Name the type, for example work-order."));
    }
    if given.schema.is_none() {
        missing.push(FieldError::new("/schema", "required", "Give the type's JSON Schema."));
    }
    let (Some(name), Some(schema)) = (given.name, given.schema) else { return Err(Problem::invalid(missing)) };
    let published = app.node.create_type(&caller.actor, &name, schema.as_bytes()).await?;
    answer(&app.node, &published)
}

/// `PUT /types/{type}`: publishes a new version; brings a retired type back.
pub async fn publish(
    req: HttpRequest,
    app: Data<App>,
    caller: Caller,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    caller.may(Operation::Design)?;
    let name = segment(&req, "type");
    let found = app.node.known_type(name)?;
    let text = body::json_text(&req, payload).await?;
    let given = Given::read(&text)?;
    if given.name.as_deref().is_some_and(|given| given != name) {
        return Err(Problem::member("/name", "const", format!("The name of a type is permanent: it is {name}.")));
    }
    match given.schema {
        Some(schema) => {
            let reason = given.reason.unwrap_or_default();
            let published = app.node.publish_type(&caller.actor, name, schema.as_bytes(), &reason).await?;
            Ok(ok(type_text(&app.node, &published.found, Some(&published.upgraded))?))
        }
        None if found.retired => {
            let found = app.node.bring_type_back(&caller.actor, name).await?;
            Ok(ok(type_text(&app.node, &found, None)?))
        }
        None => Err(Problem::member("/schema", "required", "Give the type's new JSON Schema as schema.")),
    }
}

/// `DELETE /types/{type}`
pub async fn retire(req: HttpRequest, app: Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    let found = app.node.retire_type(&caller.actor, segment(&req, "type")).await?;
    Ok(ok(type_text(&app.node, &found, None)?))
}

fn answer(node: &Node, published: &Published) -> Result<HttpResponse, Problem> {
    let text = type_text(node, &published.found, Some(&published.upgraded))?;
    let at = format!("/api/v1/types/{}", published.found.name);
    Ok(if published.is_new { created(&at, text) } else { ok(text) })
}

/// `GET /types/{type}/schema`: byte for byte as it was published. `?version=` or `?revision=` names an older one.
pub async fn schema(req: HttpRequest, app: Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    let found = app.node.type_named(&caller.actor, segment(&req, "type"))?;
    let mut revision = found.current.clone();
    for (name, value) in query::only(req.query_string(), &["version", "revision"])? {
        let versions = app.node.caches().versions(&found.name);
        let wanted = |one: &Revision| match name.as_str() {
            "version" => value.parse() == Ok(one.version),
            _ => value.parse::<RevisionId>() == Ok(one.id),
        };
        revision = versions
            .into_iter()
            .find(|one| wanted(one))
            .ok_or_else(|| Problem::not_found(format!("This type has no {name} {value} here.")))?;
    }
    let tag = format!("\"{}\"", blake3::hash(revision.text.as_bytes()).to_hex());
    if !matches_none(&req, &tag) {
        return Ok(not_modified(&tag));
    }
    Ok(HttpResponse::Ok()
        .content_type("application/schema+json")
        .insert_header((header::ETAG, tag))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"))
        .body(revision.text.clone()))
}

/// `GET /types/{type}/versions`, newest first
pub async fn versions(req: HttpRequest, app: Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    let found = app.node.type_named(&caller.actor, segment(&req, "type"))?;
    let who = Who::here(&app.node);
    let version = |revision: &std::sync::Arc<Revision>| {
        json!({
            "version": revision.version,
            "revision": revision.id.to_string(),
            "current": revision.id == found.current.id,
            "published_at": time::text(revision.at),
            "published_by": who.person(revision.by),
            "reason": revision.reason,
            "schema_url": format!("/api/v1/types/{}/schema?revision={}", found.name, revision.id),
        })
    };
    let versions = app.node.caches().versions(&found.name);
    Ok(super::json(&query::page(versions.iter().map(version).collect(), None)))
}

/// `POST /types/{type}/check`: what publishing a schema would do to the records that exist.
pub async fn check(
    req: HttpRequest,
    app: Data<App>,
    caller: Caller,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    caller.may(Operation::Design)?;
    let text = body::json_text(&req, payload).await?;
    let given = Given::read(&text)?;
    let schema = given.schema.ok_or_else(|| Problem::member("/schema", "required", "Give the schema to check."))?;
    let report = app.node.check_type(&caller.actor, segment(&req, "type"), schema.as_bytes()).await?;
    let examples: Vec<Value> =
        report.invalid.iter().map(|(id, errors)| json!({ "id": id, "errors": errors })).collect();
    Ok(super::json(&json!({
        "records": report.records,
        "valid": report.valid,
        "invalid": report.records - report.valid,
        "examples": examples,
        "upgraded": report.upgraded,
    })))
}

/// What a request says of a type. The schema is kept as it was typed.
#[derive(Default)]
struct Given {
    name: Option<String>,
    schema: Option<String>,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, default)]
    schema: Option<&'a RawValue>,
}

impl Given {
    /// What a `GET` tells beside these may come back, and says nothing here.
    const TOLD: [&'static str; 8] =
        ["title", "version", "retired", "created_at", "published_at", "published_by", "fields", "upgraded"];

    fn read(text: &Bytes) -> Result<Self, Problem> {
        let mut given = Self::default();
        for (name, value) in object(parse(text)?)? {
            match (name.as_str(), value) {
                ("name", Value::String(name)) => given.name = Some(name),
                ("reason", Value::String(reason)) => given.reason = Some(reason),
                ("name" | "reason", _) => {
                    return Err(Problem::member(&format!("/{name}"), "type", "This is a text."));
                }
                ("schema", _) => {
                    let raw: Raw = serde_json::from_slice(text).map_err(|err| Problem::bad(err.to_string()))?;
                    given.schema = Some(raw.schema.map_or("null", RawValue::get).to_owned());
                }
                (told, _) if Self::TOLD.contains(&told) => {}
                _ => return Err(super::unknown_member(&name, "name, schema and reason")),
            }
        }
        if given.schema.as_ref().is_some_and(|schema| schema.len() > schema::limits::SCHEMA_BYTES) {
            return Err(Problem::too_large("This schema is too large; 1 MiB is the most. Split the type."));
        }
        Ok(given)
    }
}
