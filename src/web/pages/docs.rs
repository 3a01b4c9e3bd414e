//! `GET /api/docs`: the OpenAPI document to read, for anybody.

use actix_web::HttpRequest;
use actix_web::web::Data;

use crate::views::api_docs::ApiDocs;
use crate::views::frame::Here;
use crate::web::error::WebResult;
use crate::web::htmx;
use crate::web::{App, api, frame, session};

pub async fn show(req: HttpRequest, app: Data<App>) -> WebResult {
    let signed = session::session(&req, &app.node).await?.is_some();
    let document = if signed { api::openapi(&app.node) } else { api::document() };
    htmx::show(&ApiDocs::from_openapi(frame::of_anyone(&req).await.at(Here::Api), &document))
}
