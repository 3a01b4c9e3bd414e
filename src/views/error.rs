//! What went wrong with a whole request: what is so, what it does not affect, what to do.

use askama::Template;
use askama::filters::HtmlSafe;

use super::frame::Frame;
use super::part::{self, Link};

/// A page in place of the one that was asked for.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "error/page.html")]
pub struct ErrorPage {
    pub frame: Frame,
    pub status: u16,
    /// What is so: "There is nothing at this address".
    pub title: String,
    /// What it does not affect, what to do.
    pub text: String,
    /// The way on.
    pub action: Option<Link>,
    /// For whoever looks it up in the log; empty when there is nothing to look up.
    pub reference: String,
}

/// The same for htmx, in place of a page: one message.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "error/note.html")]
pub struct ErrorNote {
    pub title: String,
    pub text: String,
}
impl HtmlSafe for ErrorNote {}

impl ErrorPage {
    fn new(frame: Frame, status: u16, title: &str, text: impl Into<String>, action: Option<Link>) -> ErrorPage {
        ErrorPage { frame, status, title: title.to_owned(), text: text.into(), action, reference: String::new() }
    }

    pub fn not_found(frame: Frame) -> ErrorPage {
        let text = "The address may be mistyped, or what was here belongs to another node. Nothing was changed.";
        Self::new(frame, 404, "There is nothing at this address", text, Some(Link::to("/", "Go home")))
    }

    /// `what` finishes "Your role does not include …": "making types".
    pub fn forbidden(frame: Frame, what: &str) -> ErrorPage {
        let text =
            format!("Your role does not include {what}. Nothing was changed. An admin can give you a role that does.");
        Self::new(frame, 403, "This is not yours to do", text, Some(Link::to("/", "Go home")))
    }

    /// The form came without a valid token: another tab signed out, or it is older than the session.
    pub fn stale_form(frame: Frame, back: &str) -> ErrorPage {
        let text = "This page was opened in an earlier session, so what it sent was not taken. Go back, reload the page and send it again; \
                    what you typed is still there when you go back.";
        Self::new(frame, 403, "This page is older than your session", text, Some(Link::to(back, "Open the page anew")))
    }

    pub fn busy(frame: Frame, seconds: u64) -> ErrorPage {
        let wait = part::counted(seconds.max(1), "second", "seconds");
        let text = format!(
            "There were too many tries from your side in a short time. Wait {wait}, then try again. Nothing is lost."
        );
        Self::new(frame, 429, "Too many tries", text, None)
    }

    /// `reference` stands in the log beside the cause.
    pub fn failed(frame: Frame, reference: impl Into<String>) -> ErrorPage {
        let text = "It is this node’s fault, not yours, and it was written to its log. What was saved before is safe. Go back and try again; \
                    if it stays so, tell whoever looks after this node.";
        let page = Self::new(frame, 500, "This could not be done", text, Some(Link::to("/", "Go home")));
        ErrorPage { reference: reference.into(), ..page }
    }

    /// Anything else, said by the caller.
    pub fn other(frame: Frame, status: u16, title: &str, text: impl Into<String>) -> ErrorPage {
        Self::new(frame, status, title, text, Some(Link::to("/", "Go home")))
    }

    /// The same as one message, for htmx.
    pub fn note(&self) -> ErrorNote {
        ErrorNote { title: self.title.clone(), text: self.text.clone() }
    }
}
