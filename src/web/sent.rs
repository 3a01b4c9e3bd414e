//! What a form sent: its fields, decoded strictly, and the proof that it comes from a page of ours.

use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::BytesMut;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;

use super::error::WebError;
use super::session::Signed;

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

    /// Reads `application/x-www-form-urlencoded`. What is not proper UTF-8 in proper percent-encoding is refused: a guess
    /// would end up in a record.
    pub fn decode(body: &[u8]) -> Result<Self, WebError> {
        let mut fields = Vec::new();
        for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let value = pair.get(at + 1..).unwrap_or_default();
            fields.push((decode(&pair[..at])?, decode(value)?));
            if fields.len() > MAX_FIELDS {
                return Err(WebError::TooLarge(format!("A form may have {MAX_FIELDS} fields; this one has more.")));
            }
        }
        Ok(Self(fields))
    }

    async fn read(req: &HttpRequest, mut payload: Payload) -> Result<Self, WebError> {
        let mut body = BytesMut::new();
        let mut drained = 0;
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|err| WebError::Malformed(format!("The form did not arrive whole: {err}.")))?;
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
        if !body.is_empty() && req.content_type() != "application/x-www-form-urlencoded" {
            return Err(WebError::Media);
        }
        Self::decode(&body)
    }
}

fn decode(text: &[u8]) -> Result<String, WebError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
                let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
                    return Err(WebError::Malformed("The form is not encoded as forms are: a % stands alone.".into()));
                };
                (high * 16 + low) as u8
            }
            byte => *byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| WebError::Malformed("The form is not in UTF-8.".into()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_in_order_and_as_they_were_typed() {
        let fields =
            Fields::decode(b"%2Ftitle=a+b%26&&/x=&_do=add+%2Fparts&/x=2&bare&%C3%A4=%E2%82%AC").expect("a form");
        let pairs: Vec<(&str, &str)> = fields.pairs().iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(
            pairs,
            [("/title", "a b&"), ("/x", ""), ("_do", "add /parts"), ("/x", "2"), ("bare", ""), ("ä", "€")]
        );
        assert_eq!((fields.get("/x"), fields.get("none")), ("", ""));
    }

    #[test]
    fn what_is_not_encoded_as_forms_are_is_refused() {
        for bad in [&b"a=%"[..], b"a=%1", b"a=%zz", b"%ff=1", b"a=\xff", b"a=%c3", b"a=%ed%a0%80"] {
            assert!(matches!(Fields::decode(bad), Err(WebError::Malformed(_))), "{bad:?}");
        }
        let many = b"a&".repeat(MAX_FIELDS + 1);
        assert!(matches!(Fields::decode(&many), Err(WebError::TooLarge(_))));
    }
}
