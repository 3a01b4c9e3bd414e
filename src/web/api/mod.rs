//! The node over HTTP as JSON for programs: `/api/v1`, and the addresses for those who operate it.
//!
//! A handler says what came in, what the node says, and what to answer. Rules are the node's; what is here is only
//! HTTP: media types, entity tags, problem details, streams.

mod blobs;
mod body;
mod caller;
mod conflicts;
mod events;
mod health;
mod metrics;
mod nodes;
mod openapi;
mod problem;
mod quarantine;
pub(super) mod query;
mod records;
pub(super) mod time;
mod types;
mod write;

use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use actix_web::{FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder, guard};
use serde::Serialize;
use uuid::Uuid;

use crate::domain::ids::RecordId;

pub use openapi::{document, openapi};
pub use problem::Problem;
pub use quarantine::whole as exported;
pub use write::Who;

/// Puts the API in its place. The server has to hold a [`web::Data`] of [`crate::web::App`].
pub fn configure(cfg: &mut ServiceConfig) {
    let api = web::scope("/api/v1")
        .wrap(from_fn(health::count))
        .service(at("/types").get(types::list).on(Method::POST, types::create).done())
        .service(
            at("/types/{type}")
                .get(types::show)
                .on(Method::PUT, types::publish)
                .on(Method::DELETE, types::retire)
                .done(),
        )
        .service(at("/types/{type}/schema").get(types::schema).done())
        .service(at("/types/{type}/versions").get(types::versions).done())
        .service(at("/types/{type}/check").on(Method::POST, types::check).done())
        .service(at("/types/{type}/records").get(records::list).on(Method::POST, records::create).done())
        .service(
            at("/types/{type}/records/{id}")
                .get(records::show)
                .on(Method::PATCH, records::patch)
                .on(Method::DELETE, records::bin)
                .done(),
        )
        .service(at("/types/{type}/records/{id}/restore").on(Method::POST, records::restore).done())
        .service(at("/types/{type}/records/{id}/history").get(records::history).done())
        .service(at("/conflicts").get(conflicts::list).done())
        .service(at("/conflicts/{id}/restore").on(Method::POST, conflicts::restore).done())
        .service(at("/conflicts/{id}/dismiss").on(Method::POST, conflicts::dismiss).done())
        .service(at("/quarantine").get(quarantine::list).done())
        .service(at("/quarantine/{id}").get(quarantine::show).done())
        .service(at("/quarantine/{id}/admit").on(Method::POST, quarantine::admit).done())
        .service(at("/quarantine/{id}/return").on(Method::POST, quarantine::send_back).done())
        .service(at("/blobs/{hash}").get(blobs::show).on(Method::PUT, blobs::put).done())
        .service(at("/blobs/{hash}/state").get(blobs::state).done())
        .service(at("/events").get(events::stream).done())
        .service(at("/nodes").get(nodes::list).done())
        .service(at("/nodes/invitations").on(Method::POST, nodes::invite).done())
        .service(at("/nodes/{id}").on(Method::PATCH, nodes::change).on(Method::DELETE, nodes::revoke).done())
        .service(at("/sync").get(nodes::link).done())
        .service(at("/sync/now").on(Method::POST, nodes::sync_now).done())
        .service(at("/sync/pause").on(Method::POST, nodes::pause).done())
        .service(at("/sync/resume").on(Method::POST, nodes::resume).done())
        .default_service(web::to(nowhere));
    cfg.service(api)
        .service(at("/api/openapi.json").get(openapi::show).done())
        .service(at("/healthz").get(health::live).done())
        .service(at("/readyz").get(health::ready).done())
        .service(at("/metrics").get(health::metrics).done())
        // the page about the API is one of the pages
        .service(
            web::resource("/api/{rest:.*}")
                .guard(guard::fn_guard(|ctx| ctx.head().uri.path() != "/api/docs"))
                .to(nowhere),
        );
}

async fn nowhere() -> Result<HttpResponse, Problem> {
    Err(Problem::not_found("There is nothing at this address. What there is stands in /api/openapi.json."))
}

/// An address and what may be asked of it; anything else is answered with what may.
struct Place {
    resource: Resource,
    allowed: Vec<&'static str>,
}

fn at(path: &str) -> Place {
    Place { resource: web::resource(path), allowed: Vec::new() }
}

impl Place {
    fn get<F, Args>(mut self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.allowed.extend(["GET", "HEAD"]);
        let route = web::route().guard(guard::Any(guard::Get()).or(guard::Head()));
        self.resource = self.resource.route(route.to(handler));
        self
    }

    fn on<F, Args>(mut self, method: Method, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.allowed.push(match method {
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            _ => unreachable!("the site map above uses no other method"),
        });
        self.resource = self.resource.route(web::method(method).to(handler));
        self
    }

    fn done(self) -> Resource {
        let allowed = self.allowed.join(", ");
        self.resource.default_service(web::to(move || {
            let detail = format!("Only {allowed} can be asked of this address.");
            let problem =
                Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail).with_header(header::ALLOW, allowed.clone());
            async move { Err::<HttpResponse, _>(problem) }
        }))
    }
}

const NO_STORE: (HeaderName, HeaderValue) = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
/// What has an entity tag may be kept, and is asked for again with it.
const REVALIDATE: HeaderValue = HeaderValue::from_static("private, no-cache");

fn ok(json: Vec<u8>) -> HttpResponse {
    HttpResponse::Ok().content_type(body::JSON).insert_header(NO_STORE).body(json)
}

fn json(value: &impl Serialize) -> HttpResponse {
    ok(serde_json::to_vec(value).expect("what is answered is plain data"))
}

fn created(at: &str, json: Vec<u8>) -> HttpResponse {
    HttpResponse::Created()
        .content_type(body::JSON)
        .insert_header(NO_STORE)
        .insert_header((header::LOCATION, at))
        .body(json)
}

fn not_modified(tag: &str) -> HttpResponse {
    HttpResponse::NotModified()
        .insert_header((header::ETAG, tag))
        .insert_header((header::CACHE_CONTROL, REVALIDATE))
        .finish()
}

/// The entity tags of a header, as they stand there.
fn tags<'a>(req: &'a HttpRequest, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = req.headers().get_all(name).filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|tag| !tag.is_empty())
}

/// Whether `If-None-Match` lets this version be sent: it names another, or is not there.
fn matches_none(req: &HttpRequest, tag: &str) -> bool {
    !tags(req, &header::IF_NONE_MATCH).any(|given| given == "*" || given.strip_prefix("W/").unwrap_or(given) == tag)
}

/// A part of the address, decoded; empty if it has none of this name.
fn segment<'a>(req: &'a HttpRequest, name: &str) -> &'a str {
    req.match_info().get(name).unwrap_or_default()
}

/// A UUID in its usual form: 36 characters.
fn record_id(text: &str) -> Option<RecordId> {
    if text.len() == 36 { Uuid::try_parse(text).ok() } else { None }
}

/// A member that the body of a request does not have: most likely a slip of the pen.
fn unknown_member(name: &str, known: &str) -> Problem {
    let pointer = format!("/{}", crate::domain::path::escape(name));
    Problem::member(&pointer, "additionalProperties", format!("There is no member of this name; there are {known}."))
}
