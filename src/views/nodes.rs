//! Nodes of this hub: who belongs to it, inviting another, withdrawing one.

use askama::Template;
use askama::filters::HtmlSafe;

use super::frame::Frame;
use super::part::{self, Entry, Tone};

/// `GET /nodes`. Inviting posts here with `_do=invite`, `name` and what it [`Holds`]; a node posts to `/nodes/{id}`
/// with `_do=revoke`, or `_do=rescope` and what it holds.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "nodes/page.html")]
pub struct NodesPage {
    pub frame: Frame,
    pub nodes: Vec<Node>,
    pub invitations: Vec<Invitation>,
    /// A token that was just made; shown this once.
    pub fresh: Option<Fresh>,
    /// What was typed into the invitation.
    pub name: String,
    pub name_error: Option<String>,
    pub holds: Holds,
}

/// A node of this hub.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    pub id: String,
    pub name: String,
    pub tone: Tone,
    /// `hub` or `edge`.
    pub icon: &'static str,
    /// "In step, spoke 14:31", "withdrawn 2 May".
    pub words: String,
    /// "everything", "work-order: platform-7".
    pub scope: String,
    pub is_this: bool,
    pub is_revoked: bool,
    /// For changing what it holds.
    pub holds: Option<Holds>,
}

/// What an edge holds, as the part of a form: `holds` is `everything` or `chosen`; then for each type `part/TYPE` is `none`,
/// `all` or `values`, and `values/TYPE` has one value of its scope field on each line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Template)]
#[template(path = "nodes/holds.html")]
pub struct Holds {
    /// Unique on the page.
    pub id: String,
    pub everything: bool,
    pub parts: Vec<Part>,
    /// `relays` is `yes`: other edges may join this one.
    pub relays: bool,
    /// The site it is at; empty if at none.
    pub site: String,
    pub error: Option<String>,
}
impl HtmlSafe for Holds {}

/// How much of a type.
pub const CHOICES: &[(&str, &str)] = &[("none", "None"), ("all", "All records"), ("values", "Some records")];

/// What of one type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    pub name: String,
    pub title: String,
    /// What the field is called that decides who holds a record; without one a type is held whole or not at all.
    pub field: Option<String>,
    /// `none`, `all`, `values`.
    pub choice: &'static str,
    pub values: String,
    pub error: Option<String>,
}

impl Holds {
    pub fn is_wrong(&self) -> bool {
        self.error.is_some() || self.parts.iter().any(|part| part.error.is_some())
    }
}

/// An invitation that nobody has used yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Invitation {
    pub name: String,
    /// "made by Mei Tanaka 14:20, expires Fri 14:20".
    pub words: String,
}

/// A new enrolment token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fresh {
    /// The whole command: `outpost join https://hub.example --token …`.
    pub command: String,
    /// "It works once, until Fri 14:20."
    pub words: String,
}

impl NodesPage {
    fn entry(&self) -> Entry {
        Entry {
            id: "node-name".into(),
            name: "name",
            label: "Name",
            kind: "text",
            value: self.name.clone(),
            hint: "Where it will stand, for example Platform 7",
            autocomplete: "off",
            error: self.name_error.clone(),
            ..Entry::default()
        }
    }
}
