//! Nodes of this hub: who belongs to it, inviting another, withdrawing one.

use askama::Template;

use super::frame::Frame;
use super::part::{self, Entry, Tone};

/// `GET /nodes`. Inviting posts here with `_do=invite`, `name`, `scope`; withdrawing posts to `/nodes/{id}` with `_do=revoke`.
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
    pub scope: String,
    pub scope_error: Option<String>,
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
    fn entries(&self) -> [Entry; 2] {
        [
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
            },
            Entry {
                id: "node-scope".into(),
                name: "scope",
                label: "What it holds",
                kind: "text",
                value: self.scope.clone(),
                hint: "Everything, unless you say which: {\"work-order\": [\"platform-7\"], \"inspection\": true}",
                autocomplete: "off",
                optional: true,
                error: self.scope_error.clone(),
                ..Entry::default()
            },
        ]
    }
}
