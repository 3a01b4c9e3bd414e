//! What went wrong with a request, as a page for people. The status is one `match`; the cause of what is this node's fault
//! is logged here, once, and not shown.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{HttpRequest, HttpResponse, ResponseError};

use super::frame;
use super::htmx::{self, Htmx};
use super::session::{self, local_path};
use crate::domain::people::Role;
use crate::node::NodeError;
use crate::store::StoreError;
use crate::views::Frame;
use crate::views::error::ErrorPage;
use crate::views::part::Link;

pub type WebResult = Result<HttpResponse, WebError>;

#[derive(Debug, thiserror::Error)]
pub enum WebError {
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error("sign in first")]
    SignIn,
    #[error("the form has no valid token")]
    StaleForm,
    #[error("the form comes from another site")]
    Foreign,
    #[error("there is nothing at this address")]
    Nowhere,
    /// What may be asked of this address.
    #[error("only {0} can be asked of this address")]
    Method(&'static str),
    #[error("{0}")]
    Malformed(String),
    #[error("a form is sent as application/x-www-form-urlencoded")]
    Media,
    #[error("the form stopped coming")]
    Silent,
    #[error("{0}")]
    TooLarge(String),
    /// Not any more.
    #[error("{0}")]
    Gone(&'static str),
    #[error("a page could not be written: {0}")]
    Template(#[from] askama::Error),
    #[error("the server was set up wrongly")]
    Setup,
}

impl From<StoreError> for WebError {
    fn from(err: StoreError) -> Self {
        Self::Node(err.into())
    }
}

impl ResponseError for WebError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::SignIn | Self::Node(NodeError::SignedOut) => StatusCode::SEE_OTHER,
            Self::StaleForm | Self::Foreign | Self::Node(NodeError::Denied(_)) => StatusCode::FORBIDDEN,
            Self::Nowhere | Self::Node(NodeError::NotFound(_)) => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Malformed(_) | Self::Node(NodeError::Store(StoreError::Cursor)) => StatusCode::BAD_REQUEST,
            Self::Silent => StatusCode::REQUEST_TIMEOUT,
            Self::Media => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge(_) | Self::Node(NodeError::TooLarge(_)) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Gone(_) => StatusCode::GONE,
            Self::Node(NodeError::Invalid(_)) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Node(NodeError::Conflict(_) | NodeError::Changed(_)) => StatusCode::CONFLICT,
            Self::Node(NodeError::Wait(_)) => StatusCode::TOO_MANY_REQUESTS,
            Self::Node(NodeError::Store(StoreError::Full)) => StatusCode::INSUFFICIENT_STORAGE,
            Self::Node(NodeError::Store(StoreError::Closed | StoreError::ReadOnly(_))) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Node(NodeError::Store(_)) | Self::Template(_) | Self::Setup => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Without a page: that is put around it where the whole request is known.
    fn error_response(&self) -> HttpResponse<BoxBody> {
        HttpResponse::new(self.status_code())
    }
}

/// Addresses whose answers are for programs, who have their own words for what went wrong.
fn is_for_programs(path: &str) -> bool {
    let begins = |start: &str| path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    (begins("/api") && path != "/api/docs") || ["/sync/v1", "/healthz", "/readyz", "/metrics"].into_iter().any(begins)
}

/// Gives every refusal its page.
pub async fn dress<B: MessageBody + 'static>(
    req: ServiceRequest,
    next: Next<B>,
) -> actix_web::Result<ServiceResponse<BoxBody>> {
    let mut res = next.call(req).await?.map_into_boxed_body();
    if is_for_programs(res.request().path()) {
        return Ok(res);
    }
    if let Some(err) = res.response().error() {
        let page = match err.as_error::<WebError>() {
            Some(err) => answer(res.request(), err).await,
            None => bare(res.request(), res.status()).await,
        };
        res = res.into_response(page);
    } else if is_page(&res)
        && let Ok(app) = session::app(res.request())
    {
        // the page has told what was done
        let req = res.request().clone();
        session::untold(&req, &app.node, res.response_mut());
    }
    Ok(res)
}

fn is_page(res: &ServiceResponse<BoxBody>) -> bool {
    let html = res.headers().get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
    res.request().method() == Method::GET && html && !Htmx::of(res.request()).is_on
}

async fn answer(req: &HttpRequest, err: &WebError) -> HttpResponse {
    if matches!(err, WebError::SignIn | WebError::Node(NodeError::SignedOut)) {
        return sign_in(req);
    }
    let frame = frame::of_anyone(req).await;
    let page = page(req, frame, err);
    let mut answer = shown(req, err.status_code(), &page);
    match err {
        WebError::Method(allowed) => {
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        WebError::Silent => answer.head_mut().set_connection_type(ConnectionType::Close),
        WebError::Node(NodeError::Wait(seconds)) => {
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
        }
        _ => {}
    }
    answer
}

/// Refused by the framework, before a handler was asked.
async fn bare(req: &HttpRequest, status: StatusCode) -> HttpResponse {
    let frame = frame::of_anyone(req).await;
    let page = match status {
        StatusCode::NOT_FOUND => ErrorPage::not_found(frame),
        status if status.is_server_error() => ErrorPage::failed(frame, ""),
        status => {
            let text = "The request cannot be read as it was sent. Nothing was changed.";
            ErrorPage::other(frame, status.as_u16(), "This was not understood", text)
        }
    };
    shown(req, status, &page)
}

fn shown(req: &HttpRequest, status: StatusCode, page: &ErrorPage) -> HttpResponse {
    let htmx = Htmx::of(req);
    let shown = if htmx.is_on { htmx::note(status, &page.note()) } else { htmx::show_as(status, page) };
    shown.unwrap_or_else(|_| HttpResponse::new(StatusCode::INTERNAL_SERVER_ERROR))
}

/// To the sign-in, and back afterwards.
fn sign_in(req: &HttpRequest) -> HttpResponse {
    let here = req.uri().path_and_query().map_or("/", |path| path.as_str());
    let is_get = matches!(*req.method(), Method::GET | Method::HEAD);
    let htmx = Htmx::of(req);
    if is_get && !htmx.is_on && req.headers().get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        // a link from elsewhere comes without our strict cookie; asked again from here it comes with it
        return match local_path(here).and_then(|here| HeaderValue::try_from(format!("0; url={here}")).ok()) {
            Some(again) => HttpResponse::Ok()
                .insert_header((header::REFRESH, again))
                .insert_header((header::CACHE_CONTROL, "no-store"))
                .content_type("text/html; charset=utf-8")
                .body("<!doctype html><title>outpost</title>"),
            None => htmx.see("/login"),
        };
    }
    let next = if is_get && !htmx.is_on { Some(here.to_owned()) } else { referring_path(req) };
    match next.as_deref().and_then(local_path).filter(|next| *next != "/") {
        Some(next) => {
            let query = serde_urlencoded::to_string([("next", next)]).unwrap_or_default();
            htmx.see(&format!("/login?{query}"))
        }
        None => htmx.see("/login"),
    }
}

/// The page of ours that a request came from.
fn referring_path(req: &HttpRequest) -> Option<String> {
    let from: actix_web::http::Uri = req.headers().get(header::REFERER)?.to_str().ok()?.parse().ok()?;
    let is_ours = from.authority()?.as_str() == req.connection_info().host();
    is_ours.then(|| from.path_and_query().map(|path| path.as_str().to_owned()))?
}

fn page(req: &HttpRequest, frame: Frame, err: &WebError) -> ErrorPage {
    let status = err.status_code().as_u16();
    let other = |frame, title: &str, text: &str| ErrorPage::other(frame, status, title, text);
    match err {
        WebError::Nowhere => ErrorPage::not_found(frame),
        WebError::Node(NodeError::NotFound(what)) => {
            let text =
                format!("No {what} of this name is here. It may be on another node, or the address is mistyped.");
            ErrorPage { text, ..ErrorPage::not_found(frame) }
        }
        WebError::Node(NodeError::Denied(denied)) => ErrorPage::forbidden(frame, needed(denied.needed)),
        WebError::StaleForm => {
            let back = referring_path(req);
            let back = back.as_deref().and_then(local_path).unwrap_or("/");
            ErrorPage::stale_form(frame, back)
        }
        WebError::Foreign => {
            other(frame, "This came from another site", "Only pages of this node may send this. Nothing was changed.")
        }
        WebError::Method(allowed) => {
            let text = format!("Only {allowed} can be asked of this address. Nothing was changed.");
            other(frame, "This address does not take that", &text)
        }
        WebError::Malformed(why) => other(frame, "This was not understood", &format!("{why} Nothing was changed.")),
        WebError::Silent => {
            let text = "The rest of the form did not come. Nothing was changed. Send it again.";
            other(frame, "This did not arrive whole", text)
        }
        WebError::Media => {
            let text = "A form is sent as application/x-www-form-urlencoded. Nothing was changed.";
            other(frame, "This was not understood", text)
        }
        WebError::TooLarge(why) => other(frame, "This is too large", &format!("{why} Nothing was changed.")),
        WebError::Node(NodeError::TooLarge(why)) => {
            other(frame, "This is too large", &format!("{}. Nothing was changed.", capital(why)))
        }
        WebError::Gone(why) => other(frame, "Not any more", why),
        WebError::Node(NodeError::Invalid(errors)) => {
            let text: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
            other(frame, "This cannot be taken as it is", &format!("{} Nothing was changed.", text.join(" ")))
        }
        WebError::Node(NodeError::Conflict(why)) => {
            other(frame, "This is not so any more", &format!("{}. Nothing was changed.", capital(why)))
        }
        WebError::Node(NodeError::Changed(_)) => {
            let text =
                "Somebody saved it after you opened it. Nothing was changed. Open it anew and look at theirs first.";
            other(frame, "It was changed meanwhile", text)
        }
        WebError::Node(NodeError::Wait(seconds)) => ErrorPage::busy(frame, *seconds),
        WebError::Node(NodeError::Store(StoreError::Cursor)) => {
            let text = "This page of the list is from another order or filter. Begin at the first page.";
            let action = Some(Link::to(req.path(), "First page"));
            ErrorPage { action, ..other(frame, "There is no such page of this list", text) }
        }
        WebError::Node(NodeError::Store(StoreError::Full)) => {
            let text = "Nothing more fits on the disk of this node, so this was not saved. What was saved before is safe. \
                        Tell whoever looks after this node.";
            other(frame, "The disk is full", text)
        }
        WebError::Node(NodeError::Store(StoreError::Closed)) => {
            let text = "This node is about to stop. Nothing was changed. Try again in a minute.";
            other(frame, "This node is stopping", text)
        }
        WebError::SignIn | WebError::Node(_) | WebError::Template(_) | WebError::Setup => {
            let reference =
                session::app(req).map_or(String::new(), |app| format!("{:08x}", app.node.world().random() as u32));
            tracing::error!(reference, path = req.path(), "a request failed: {err}");
            ErrorPage { status, ..ErrorPage::failed(frame, reference) }
        }
    }
}

/// Finishes "Your role does not include …".
fn needed(role: Role) -> &'static str {
    match role {
        Role::Viewer => "seeing records",
        Role::Staff => "changing records",
        Role::Designer => "making and changing types",
        Role::Admin => "people, nodes and tokens",
    }
}

/// A sentence from words of an error.
pub fn capital(words: &str) -> String {
    let mut chars = words.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_keep_their_own_words() {
        for path in ["/api", "/api/v1/types", "/api/openapi.json", "/sync/v1/pull", "/healthz", "/metrics"] {
            assert!(is_for_programs(path), "{path}");
        }
        for path in ["/", "/api/docs", "/apiary", "/sync", "/records/api"] {
            assert!(!is_for_programs(path), "{path}");
        }
    }
}
