//! Answers a browser and htmx each in its way.

use std::convert::Infallible;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use askama::Template;

use super::error::WebResult;

/// How the request was made.
#[derive(Debug, Clone, Copy)]
pub struct Htmx {
    /// By htmx, not by the browser itself.
    pub is_on: bool,
    /// By htmx, to replace a part of the page.
    pub is_partial: bool,
}

const REDIRECT: HeaderName = HeaderName::from_static("hx-redirect");
const HTML: &str = "text/html; charset=utf-8";
/// Pages are one person's, and show what is so now; going back still shows what was typed.
const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-cache");
const VARY: HeaderValue = HeaderValue::from_static("Cookie, HX-Request");

impl Htmx {
    pub fn of(req: &HttpRequest) -> Self {
        let is = |name: &str, value: &str| req.headers().get(name).is_some_and(|found| found == value);
        let is_on = is("HX-Request", "true");
        Self { is_on, is_partial: is_on && is("HX-Request-Type", "partial") }
    }

    /// The way on after something was done.
    pub fn see(self, to: &str) -> HttpResponse {
        if self.is_on {
            return HttpResponse::Ok()
                .insert_header((REDIRECT, to))
                .insert_header((header::VARY, VARY))
                .content_type(HTML)
                .finish();
        }
        HttpResponse::SeeOther()
            .insert_header((header::LOCATION, to))
            .insert_header((header::CACHE_CONTROL, PRIVATE))
            .insert_header((header::VARY, VARY))
            .finish()
    }
}

impl FromRequest for Htmx {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self::of(req)))
    }
}

/// A page or a part of one, as an answer.
pub fn show(view: &impl Template) -> WebResult {
    show_as(StatusCode::OK, view)
}

/// What was sent could not be taken: the same page with what was typed and what is wrong.
pub fn refused(view: &impl Template) -> WebResult {
    show_as(StatusCode::UNPROCESSABLE_ENTITY, view)
}

pub fn show_as(status: StatusCode, view: &impl Template) -> WebResult {
    let html = view.render()?;
    Ok(HttpResponse::build(status)
        .insert_header((header::CACHE_CONTROL, PRIVATE))
        .insert_header((header::VARY, VARY))
        .content_type(HTML)
        .body(html))
}

/// A message in place of what was asked for: it goes to the page's own place for that, whatever the request was to replace,
/// so that what was typed stays.
pub fn note(status: StatusCode, note: &impl Template) -> WebResult {
    const PLACE: &str = "#notice";
    let mut answer = show_as(status, note)?;
    let headers = answer.headers_mut();
    for (name, value) in [("hx-retarget", PLACE), ("hx-reselect", PLACE), ("hx-reswap", "outerHTML")] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    Ok(answer)
}
