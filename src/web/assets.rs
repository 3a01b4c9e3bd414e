//! `GET /static/{name}`: the embedded files.

use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use super::error::{WebError, WebResult};
use crate::views::assets;

#[derive(Deserialize)]
pub struct Address {
    v: Option<String>,
}

/// An address with the hash of what it leads to may be kept for ever; any other is asked for again.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("public, no-cache");

pub async fn show(req: HttpRequest, name: Path<String>, address: Query<Address>) -> WebResult {
    let asset = assets::asset(&name).ok_or(WebError::Nowhere)?;
    let keep = if address.v.as_deref() == Some(&asset.version) { FOR_EVER } else { ASK_AGAIN };
    let is_known = req.headers().get_all(header::IF_NONE_MATCH).filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == asset.etag)
    });
    let mut answer = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    answer.insert_header((header::CACHE_CONTROL, keep)).insert_header((header::ETAG, asset.etag.as_str()));
    Ok(if is_known { answer.finish() } else { answer.content_type(asset.content_type).body(asset.bytes) })
}
