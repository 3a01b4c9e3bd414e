//! What a form sent: its fields, decoded strictly, and the proof that it comes from a page of ours.

use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::BytesMut;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use futures_util::future::LocalBoxFuture;

use super::error::WebError;
use super::pieces::{Broken, Pieces};
use super::session::Signed;
use super::urlencoded::{self, Unreadable};

/// A record may have 1 MiB of JSON; encoded for a form it takes up to three times that, and there is something around it.
const MAX_BYTES: usize = 4 << 20;
/// What is read and thrown away so that the sender hears why.
const MAX_DRAINED: usize = 64 << 20;
const MAX_FIELDS: usize = 20_000;

/// The fields of a form, in the order they were sent.
#[derive(Debug, Clone, Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// The first value of this name; empty if there is none.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// Reads `application/x-www-form-urlencoded`.
    fn decode(body: &[u8]) -> Result<Self, WebError> {
        urlencoded::pairs(body, MAX_FIELDS).map(Self).map_err(|why| match why {
            Unreadable::TooMany => {
                WebError::TooLarge(format!("A form may have {MAX_FIELDS} fields; this one has more."))
            }
            why => WebError::Malformed(format!("The form is not encoded as forms are: {why}.")),
        })
    }

    async fn read(req: &HttpRequest, payload: Payload) -> Result<Self, WebError> {
        let mut pieces = Pieces::of(req, payload);
        let mut body = BytesMut::new();
        let mut drained = 0;
        while let Some(piece) = pieces.next().await {
            let chunk = piece.map_err(|broken| match broken {
                Broken::Silent => WebError::Silent,
                Broken::Off(err) => WebError::Malformed(format!("The form did not arrive whole: {err}.")),
            })?;
            if drained == 0 && body.len() + chunk.len() <= MAX_BYTES {
                body.extend_from_slice(&chunk);
                continue;
            }
            drained += chunk.len();
            if drained > MAX_DRAINED {
                break;
            }
        }
        if drained > 0 {
            return Err(WebError::TooLarge("What was sent is larger than 4 MiB, and a record may have 1 MiB.".into()));
        }
        let is_packed = req.headers().contains_key(header::CONTENT_ENCODING);
        if !body.is_empty() && (is_packed || req.content_type() != "application/x-www-form-urlencoded") {
            return Err(WebError::Media);
        }
        Self::decode(&body)
    }
}

/// A form that someone sent who is signed in, from a page of theirs.
pub struct Sent {
    pub signed: Signed,
    pub fields: Fields,
}

impl Deref for Sent {
    type Target = Signed;

    fn deref(&self) -> &Signed {
        &self.signed
    }
}

impl FromRequest for Sent {
    type Error = WebError;
    type Future = LocalBoxFuture<'static, Result<Self, WebError>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (req, payload) = (req.clone(), payload.take());
        Box::pin(async move {
            // read first: whoever sends something hears the answer only after it was taken in
            let fields = Fields::read(&req, payload).await;
            let signed = Signed::of(&req).await?;
            let fields = fields?;
            if !same(fields.get("_csrf").as_bytes(), signed.session.csrf.as_bytes()) {
                return Err(WebError::StaleForm);
            }
            Ok(Self { signed, fields })
        })
    }
}

/// A form that is sent without being signed in: to sign in, for one. The browser has to say that it comes from here.
pub struct Open(pub Fields);

impl FromRequest for Open {
    type Error = WebError;
    type Future = LocalBoxFuture<'static, Result<Self, WebError>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (req, payload) = (req.clone(), payload.take());
        Box::pin(async move {
            let fields = Fields::read(&req, payload).await?;
            if is_from_here(&req) { Ok(Self(fields)) } else { Err(WebError::Foreign) }
        })
    }
}

/// Whether a post comes from a page of this node, as far as a browser tells; a program, which tells nothing, is believed.
fn is_from_here(req: &HttpRequest) -> bool {
    let header = |name: header::HeaderName| req.headers().get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = header(header::HeaderName::from_static("sec-fetch-site")) {
        return matches!(site, "same-origin" | "none");
    }
    match header(header::ORIGIN) {
        Some(origin) => origin.split_once("://").is_some_and(|(_, host)| host == req.connection_info().host()),
        None => true,
    }
}

/// Compares in a time that does not tell how much was right.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}
