//! What goes wrong, as RFC 9457 problem details. The one place where an error of the node becomes a status.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;

use crate::domain::FieldError;
use crate::domain::people::Denied;
use crate::node::{NodeError, etag};
use crate::store::StoreError;

pub const MEDIA_TYPE: &str = "application/problem+json";

/// A problem, ready to be answered.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    errors: Vec<FieldError>,
    header: Option<(HeaderName, String)>,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        // messages at a field end without a full stop, a detail is a sentence
        if !detail.ends_with(['.', '!', '?']) {
            detail.push('.');
        }
        Self { status, detail, errors: Vec::new(), header: None }
    }

    pub fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// What a person or a program can correct, each at its place.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] => one.message.clone(),
            several => format!("{} things have to be corrected; see errors.", several.len()),
        };
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
    }

    /// A member of the request's body that cannot be taken.
    pub fn member(pointer: &str, keyword: &str, message: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError::new(pointer, keyword, message)])
    }

    pub fn with_header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.header = Some((name, value.into()));
        self
    }

    fn signed_out() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Send a token that works: Authorization: Bearer TOKEN.")
            .with_header(header::WWW_AUTHENTICATE, "Bearer realm=\"outpost\"")
    }
}

#[derive(Serialize)]
struct Details<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let details = Details {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            errors: &self.errors,
        };
        let body = serde_json::to_vec(&details).expect("a problem is plain data");
        let mut response = HttpResponse::build(self.status);
        if self.status == StatusCode::REQUEST_TIMEOUT {
            // what still may come belongs to no request
            response.force_close();
        }
        response.content_type(MEDIA_TYPE).insert_header((header::CACHE_CONTROL, "no-store"));
        if let Some((name, value)) = &self.header
            && let Ok(value) = HeaderValue::from_str(value)
        {
            response.insert_header((name.clone(), value));
        }
        response.body(body)
    }
}

impl From<NodeError> for Problem {
    fn from(err: NodeError) -> Self {
        match err {
            NodeError::SignedOut => Self::signed_out(),
            NodeError::Denied(denied) => denied.into(),
            NodeError::Invalid(errors) => Self::invalid(errors),
            NodeError::NotFound(what @ ("type" | "person" | "token")) => {
                Self::not_found(format!("There is no {what} of this name here."))
            }
            NodeError::NotFound(what) => Self::not_found(format!("There is no {what} with this id here.")),
            NodeError::Conflict(why) => Self::conflict(sentence(&why)),
            NodeError::Changed(now) => Self::new(
                StatusCode::PRECONDITION_FAILED,
                "The record was changed since the version that If-Match names. Read it again; ETag is how it is now.",
            )
            .with_header(header::ETAG, etag(now.hash())),
            NodeError::TooLarge(why) => Self::too_large(sentence(&why)),
            NodeError::Wait(seconds) => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, format!("Too many tries; wait {seconds} seconds."))
                    .with_header(header::RETRY_AFTER, seconds.to_string())
            }
            NodeError::Store(err) => err.into(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(err: StoreError) -> Self {
        match err {
            StoreError::Cursor => Self::bad("cursor: This cursor is not one of this list; begin again without it."),
            StoreError::Closed => Self::new(StatusCode::SERVICE_UNAVAILABLE, "This node is stopping. Try again soon.")
                .with_header(header::RETRY_AFTER, "5"),
            StoreError::Full => {
                tracing::error!("{err}");
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "The disk of this node is full; nothing was changed.")
            }
            err => {
                tracing::error!("{err}");
                let detail = "This node could not do it; nothing was changed. Its log says why.";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
            }
        }
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        Self::new(StatusCode::FORBIDDEN, format!("This needs the role {}.", denied.needed))
    }
}

/// A clause as a sentence.
fn sentence(clause: &str) -> String {
    let mut rest = clause.chars();
    let Some(first) = rest.next() else { return String::new() };
    let stop = if clause.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{}{}{stop}", first.to_uppercase(), rest.as_str())
}
