//! Who asks: a program by its token, or a person by the session of their browser.

use actix_web::dev::Payload;
use actix_web::http::{Method, StatusCode, header};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::LocalBoxFuture;

use super::Problem;
use crate::domain::people::{Actor, Operation, authorise};
use crate::node::NodeError;
use crate::web::App;
use crate::web::session::session;

/// Someone who is signed in. A handler that takes one is closed to all others.
#[derive(Debug, Clone)]
pub struct Caller {
    pub actor: Actor,
}

impl Caller {
    /// The caller of a request. A request that changes something and comes with a cookie has to show that it comes from
    /// a page of ours, by the header `X-CSRF-Token`; a token is never sent by a browser on its own.
    pub async fn of(req: &HttpRequest) -> Result<Self, Problem> {
        let app = app(req)?;
        if let Some(value) = req.headers().get(header::AUTHORIZATION) {
            let secret = value.to_str().ok().and_then(bearer).ok_or(NodeError::SignedOut)?;
            return Ok(Self { actor: app.node.token_actor(secret).await? });
        }
        let session = session(req, &app.node).await?.ok_or(NodeError::SignedOut)?;
        let changes = !matches!(*req.method(), Method::GET | Method::HEAD);
        let shown = req.headers().get("X-CSRF-Token").map(|token| token.as_bytes());
        if changes && !shown.is_some_and(|shown| same(shown, session.csrf.as_bytes())) {
            let detail = "A request with a session cookie that changes something needs the header X-CSRF-Token.";
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
        Ok(Self { actor: session.actor() })
    }

    /// Whether a request names a caller at all, right or wrong.
    pub fn is_named(req: &HttpRequest) -> bool {
        req.headers().contains_key(header::AUTHORIZATION) || req.headers().contains_key(header::COOKIE)
    }

    /// Judges an operation on no record in particular, for what the node does not judge itself.
    pub fn may(&self, operation: Operation) -> Result<(), Problem> {
        Ok(authorise(&self.actor, operation, None, &[])?)
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let req = req.clone();
        Box::pin(async move { Self::of(&req).await })
    }
}

pub fn app(req: &HttpRequest) -> Result<&Data<App>, Problem> {
    req.app_data::<Data<App>>().ok_or_else(|| {
        tracing::error!("the server was set up without its node");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "This server was set up wrongly. Its log says more.")
    })
}

/// The token of an `Authorization` header (RFC 6750); the name of the scheme in any case.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Compares in a time that does not tell how much was right.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_a_bearer_header_only() {
        for (value, token) in [
            ("Bearer op_x", Some("op_x")),
            ("bearer  op_x ", Some("op_x")),
            ("Basic op_x", None),
            ("Bearer", None),
            ("Bearer ", None),
            ("op_x", None),
            ("", None),
        ] {
            assert_eq!(bearer(value), token, "{value:?}");
        }
    }
}
