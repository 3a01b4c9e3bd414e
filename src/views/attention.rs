//! What a person should look at: values that lost a merge, records that no longer fit, edits that met a deletion.

use askama::Template;
use askama::filters::HtmlSafe;

use super::frame::Frame;
use super::part::{self, Link, Person, Post, Tab, Total, Versus, When};
use super::value::Shown;

/// `GET /attention`, `?kind=lost|invalid|edited|denied`.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "attention/page.html")]
pub struct AttentionPage {
    pub frame: Frame,
    /// All, lost values, no longer valid, edited after deletion, not accepted.
    pub tabs: Vec<Tab>,
    pub lost: Vec<Lost>,
    pub invalid: Vec<Invalid>,
    pub edited: Vec<Edited>,
    pub denied: Vec<Denied>,
    /// Where all are, for each kind that has more than are shown among the others.
    pub more: More,
    /// The next page, and the first, where there is more of one kind than fits on a page.
    pub next: Option<String>,
    pub first: Option<String>,
}

/// The pages of whatever is not shown in full.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct More {
    pub lost: Option<String>,
    pub invalid: Option<String>,
    pub edited: Option<String>,
    pub denied: Option<String>,
}

/// A value that lost a merge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lost {
    pub record: Link,
    /// "Due".
    pub field: String,
    pub since: When,
    pub versus: Versus,
}

/// A record that no longer fits its form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Invalid {
    pub record: Link,
    /// "Asset: an answer is required".
    pub errors: Vec<String>,
    /// "Last saved by Ingrid Solheim, 2 May".
    pub words: String,
    pub edit: String,
}

/// A record in the bin that somebody edited, not knowing that it was there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edited {
    pub record: Link,
    /// "Tomás put it in the bin at 09:10. Ingrid, offline, changed Due at 09:40."
    pub words: String,
    /// The two ways on, if this person may take them: leave it, restore it.
    pub choices: Vec<Post>,
}

/// A save that the hub did not accept.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "attention/denied.html")]
pub struct Denied {
    /// As in `/quarantine/{id}`.
    pub id: String,
    pub csrf: String,
    /// The record, where there is one.
    pub record: Option<Link>,
    /// What the record is, or would be, called.
    pub name: String,
    pub since: When,
    pub by: Person,
    /// "Ingrid Solheim saved it on Tue at 18:40 on Platform 7".
    pub words: String,
    /// "Not accepted: this needs the role staff."
    pub reason: String,
    /// Who decided what, or who will.
    pub decided: Option<String>,
    pub fields: Vec<DeniedField>,
    /// What there is besides.
    pub remark: String,
    pub may_decide: bool,
    /// Where the browser goes afterwards.
    pub back: String,
}
impl HtmlSafe for Denied {}

/// One field of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeniedField {
    pub label: String,
    /// What was saved.
    pub denied: Shown,
    /// What the record says; `None` where there is nothing to compare.
    pub stands: Option<Shown>,
}

impl AttentionPage {
    fn is_empty(&self) -> bool {
        self.lost.is_empty() && self.invalid.is_empty() && self.edited.is_empty() && self.denied.is_empty()
    }

    /// "5 things a person should look at."
    fn fact(&self) -> String {
        match self.frame.attention {
            Total { n: 0, .. } => "Nothing waits for anybody.".to_owned(),
            Total { n: 1, more: false } => "One thing a person should look at. It blocks nobody.".to_owned(),
            total => format!("{total} things a person should look at. None of them blocks anybody."),
        }
    }
}

/// What stands in place of a [`Versus`] that was decided: the answer to htmx for `POST /conflicts/{id}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Template)]
#[template(path = "attention/settled.html")]
pub struct Settled {
    /// "Sat 16 May, 12:00 is back in Due."
    pub words: String,
}
impl HtmlSafe for Settled {}
