//! The site map.

use actix_web::guard::{self, Guard};
use actix_web::web::{self, ServiceConfig};
use actix_web::{FromRequest, Handler, Resource, Responder};

use super::error::{WebError, WebResult};
use super::pages::{
    attention, demo, design, docs, form, history, home, list, live, nodes, people, quarantine, record, sign, sync,
    types,
};
use super::{api, assets};

/// Puts pages, assets and API in their places. The server has to hold a [`web::Data`] of [`crate::web::App`].
pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(only_get("/", home::show))
        .service(both("/login", sign::show, sign::enter))
        .service(only_post("/logout", sign::leave))
        .service(both("/setup", sign::setup, sign::set_up))
        .service(only_post("/display", sign::display))
        .service(only_get("/link", live::link))
        .service(only_get("/live", live::stream))
        .service(only_get("/types", types::list))
        .service(both("/types/new", design::new, design::create))
        .service(both("/types/{type}/design", design::show, design::change))
        .service(only_get("/types/{type}/schema", types::schema))
        .service(only_get("/records/{type}", list::show))
        .service(only_get("/records/{type}/live", list::live))
        .service(both("/records/{type}/new", form::new, form::create))
        .service(both("/records/{type}/{id}", record::show, record::change))
        .service(both("/records/{type}/{id}/edit", form::edit, form::save))
        .service(only_get("/records/{type}/{id}/history", history::show))
        .service(only_get("/records/{type}/{id}/reach", record::come))
        .service(only_get("/attention", attention::show))
        .service(only_post("/conflicts/{id}", attention::decide))
        .service(only_post("/quarantine/{id}", quarantine::decide))
        .service(only_get("/quarantine/{id}/export", quarantine::export))
        .service(both("/sync", sync::show, sync::steer))
        .service(both("/nodes", nodes::show, nodes::invite))
        .service(only_post("/nodes/{id}", nodes::change))
        .service(both("/users", people::show, people::add))
        .service(only_post("/users/{id}", people::change))
        .service(only_get("/demo", demo::show))
        .service(only_get("/demo/as/{person}", demo::enter))
        .service(only_post("/demo/link", demo::switch))
        .service(only_get("/api/docs", docs::show))
        .service(only_get("/static/{name}", assets::show))
        .configure(api::configure)
        .default_service(web::to(nowhere));
}

async fn nowhere() -> WebResult {
    Err(WebError::Nowhere)
}

/// `GET`, and `HEAD`, which is the same without the page.
fn reading() -> impl Guard {
    guard::Any(guard::Get()).or(guard::Head())
}

fn only_get<F, Args>(path: &str, show: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::resource(path).route(web::route().guard(reading()).to(show)).default_service(not_allowed("GET, HEAD"))
}

fn only_post<F, Args>(path: &str, change: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::resource(path).route(web::post().to(change)).default_service(not_allowed("POST"))
}

/// A page and the form on it.
fn both<F, A, G, B>(path: &str, show: F, change: G) -> Resource
where
    F: Handler<A>,
    A: FromRequest + 'static,
    F::Output: Responder + 'static,
    G: Handler<B>,
    B: FromRequest + 'static,
    G::Output: Responder + 'static,
{
    web::resource(path)
        .route(web::route().guard(reading()).to(show))
        .route(web::post().to(change))
        .default_service(not_allowed("GET, HEAD, POST"))
}

fn not_allowed(allowed: &'static str) -> actix_web::Route {
    web::to(move || async move { WebResult::Err(WebError::Method(allowed)) })
}
