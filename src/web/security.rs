//! Headers that every answer carries: what a browser may do with it.
//!
//! What nodes say to each other no browser shows, and most of it is small: it carries the least.
//!
//! Nothing inline, nothing from another host: the policy forbids both, and the pages live with it.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::middleware::Next;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'; manifest-src 'self'";

const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // the origin of a form's post is checked, so it has to be told to ourselves, and to nobody else
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::CROSS_ORIGIN_OPENER_POLICY, "same-origin"),
    (header::CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
    (header::PERMISSIONS_POLICY, "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
];

/// The addresses of the sync protocol.
const SYNC: &str = "/sync/v";

/// A year, once it was served by https.
const STRICT: &str = "max-age=31536000";

/// Puts the headers on what has none of its own.
pub async fn headers<B: MessageBody>(req: ServiceRequest, next: Next<B>) -> actix_web::Result<ServiceResponse<B>> {
    let is_https = req.connection_info().scheme() == "https";
    let between_nodes = req.path().starts_with(SYNC);
    let mut res = next.call(req).await?;
    let headers = res.headers_mut();
    for (name, value) in HEADERS {
        if between_nodes && name != header::X_CONTENT_TYPE_OPTIONS {
            continue;
        }
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    if is_https {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(STRICT));
    }
    Ok(res)
}
