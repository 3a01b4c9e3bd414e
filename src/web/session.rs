//! Who sits before the browser: the cookie of the session, and the pages that are for those who are signed in.

use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use futures_util::future::LocalBoxFuture;
use jiff::Timestamp;

use super::error::{WebError, WebResult};
use super::htmx::Htmx;
use super::{App, cookies};
use crate::domain::people::{Actor, Operation, authorise};
use crate::node::{Node, NodeError, Session};
use crate::views::value::Clock;

/// As long as the node keeps a session, in seconds.
const MONTH: u32 = 30 * 24 * 3600;
/// The next page tells what was done; if none comes, it is forgotten.
const SOON: u32 = 15;

/// The name of this node's cookie. A hub and an edge on one machine differ by their port only, which cookies ignore.
fn cookie_name(node: &Node) -> String {
    format!("outpost-{}", &node.identity().node.to_string()[..8])
}

/// The session of a browser, by its cookie; `None` if it has none that is valid.
pub async fn session(req: &HttpRequest, node: &Node) -> Result<Option<Session>, NodeError> {
    match secret(req, node) {
        Some(secret) => node.session(&secret).await,
        None => Ok(None),
    }
}

/// The secret in the cookie of a browser.
pub fn secret(req: &HttpRequest, node: &Node) -> Option<String> {
    cookies::get(req, &cookie_name(node)).map(str::to_owned)
}

/// Keeps a browser signed in.
pub fn keep(req: &HttpRequest, node: &Node, answer: &mut HttpResponse, secret: &str) {
    cookies::set(req, answer, &cookie_name(node), secret, MONTH);
}

/// Takes the cookie away.
pub fn forget(req: &HttpRequest, node: &Node, answer: &mut HttpResponse) {
    cookies::set(req, answer, &cookie_name(node), "", 0);
}

/// The node of a request.
pub fn app(req: &HttpRequest) -> Result<Data<App>, WebError> {
    req.app_data::<Data<App>>().cloned().ok_or(WebError::Setup)
}

/// A path of this node to go on to, from what a request said; `None` for what leads elsewhere.
pub fn local_path(path: &str) -> Option<&str> {
    let is_local = path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains('\\')
        && path.bytes().all(|byte| byte.is_ascii_graphic())
        && path.len() <= 2000;
    is_local.then_some(path)
}

/// Someone who is signed in, and their request. A page that takes one sends all others to sign in.
pub struct Signed {
    pub app: Data<App>,
    pub req: HttpRequest,
    pub session: Session,
    pub actor: Actor,
}

impl Signed {
    pub async fn of(req: &HttpRequest) -> Result<Self, WebError> {
        let app = app(req)?;
        let session = session(req, &app.node).await?.ok_or(WebError::SignIn)?;
        Ok(Self { actor: session.actor(), app, req: req.clone(), session })
    }

    pub fn node(&self) -> &Node {
        &self.app.node
    }

    /// Judges what the node does not judge itself.
    pub fn may(&self, operation: Operation) -> Result<(), WebError> {
        Ok(authorise(&self.actor, operation, None, &[]).map_err(NodeError::from)?)
    }

    pub fn clock(&self) -> Clock {
        clock(&self.app)
    }

    /// The way on after something was done, which the next page tells.
    pub fn done(&self, to: &str, done: Done) -> WebResult {
        let mut answer = Htmx::of(&self.req).see(to);
        cookies::set(&self.req, &mut answer, &done_name(self.node()), done.code(), SOON);
        Ok(answer)
    }
}

impl FromRequest for Signed {
    type Error = WebError;
    type Future = LocalBoxFuture<'static, Result<Self, WebError>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let req = req.clone();
        Box::pin(async move { Self::of(&req).await })
    }
}

/// The moment of a request, in the time of the site.
pub fn clock(app: &App) -> Clock {
    Clock::new(Timestamp::from_millisecond(app.node.now()).unwrap_or_default(), app.zone.clone())
}

/// What was just done, told once by the page that comes after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    Saved,
    Unchanged,
    Binned,
    Restored,
    BroughtBack,
    Dismissed,
    Published,
    Retired,
    TypeBack,
    Added,
    Changed,
    PasswordSet,
    Withdrawn,
    Admitted,
    SentBack,
}

impl Done {
    const ALL: [(Done, &'static str, &'static str); 15] = [
        (Done::Saved, "saved", "Saved here."),
        (Done::Unchanged, "unchanged", "Nothing was different, so nothing was saved."),
        (Done::Binned, "binned", "Moved to the bin. Nothing of it is lost."),
        (Done::Restored, "restored", "Back from the bin."),
        (Done::BroughtBack, "brought-back", "The value is back."),
        (Done::Dismissed, "dismissed", "Left as it is."),
        (Done::Published, "published", "Published."),
        (Done::Retired, "retired", "Retired. Its records are kept."),
        (Done::TypeBack, "type-back", "The type is in use again."),
        (Done::Added, "added", "Added."),
        (Done::Changed, "changed", "Changed."),
        (Done::PasswordSet, "password", "The password is set. Whoever was signed in with the old one is signed out."),
        (Done::Withdrawn, "withdrawn", "Withdrawn. It fetches nothing any more."),
        (Done::Admitted, "admitted", "Admitted. It is in the record now."),
        (Done::SentBack, "sent-back", "Sent back. Whoever saved it is told why."),
    ];

    fn code(self) -> &'static str {
        Self::ALL.into_iter().find(|(done, ..)| *done == self).map_or("", |(_, code, _)| code)
    }
}

fn done_name(node: &Node) -> String {
    format!("{}-done", cookie_name(node))
}

/// What the page has to tell of what was done before it.
pub(super) fn told(req: &HttpRequest, node: &Node) -> Option<&'static str> {
    let code = cookies::get(req, &done_name(node))?;
    Done::ALL.into_iter().find(|(_, known, _)| *known == code).map(|(.., words)| words)
}

/// Forgets what was told.
pub(super) fn untold(req: &HttpRequest, node: &Node, answer: &mut HttpResponse) {
    let name = done_name(node);
    if cookies::get(req, &name).is_some() {
        cookies::set(req, answer, &name, "", 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_of_this_node_is_gone_on_to() {
        for good in ["/", "/records/work-order?filter=/a:eq:%22b%22", "/a//b"] {
            assert_eq!(local_path(good), Some(good));
        }
        let bad = ["", "a", "//evil", "/\\evil", "https://evil", "/a\nb", "/a b", "javascript:alert(1)", "/\u{e4}"];
        for bad in bad {
            assert_eq!(local_path(bad), None, "{bad}");
        }
    }

    #[test]
    fn each_thing_done_has_a_code_of_its_own() {
        let mut codes: Vec<_> = Done::ALL.iter().map(|(_, code, _)| *code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Done::ALL.len());
        assert_eq!(Done::Withdrawn.code(), "withdrawn");
    }
}
