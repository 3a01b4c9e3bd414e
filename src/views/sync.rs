//! How this node stands with the others: an edge sees its link and what waits, the hub sees every edge.

use askama::Template;
use askama::filters::HtmlSafe;

use super::frame::{Frame, LinkState};
use super::part::{self, Entry, Happening, Link, NodeRow, Tone};

/// `GET /sync`.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "sync/page.html")]
pub struct SyncPage {
    pub frame: Frame,
    /// "This is Platform 7, an edge of Tern Bay hub."
    pub intro: String,
    /// On an edge: the link to its hub.
    pub link: Option<LinkCard>,
    /// On an edge: what has not left yet, oldest first, and how much there is in all.
    pub waiting: Vec<Waiting>,
    pub waiting_words: String,
    /// On an edge: the others of its site.
    pub peers: Option<PeersCard>,
    /// "At last contact, 13:05" and the figures below it.
    pub figures_title: String,
    pub figures: Vec<Figure>,
    /// On the hub: its edges, and how far each is.
    pub edges: Vec<Edge>,
    pub nodes: Vec<NodeRow>,
    /// What happened on the link lately.
    pub contacts: Vec<Happening>,
}

/// The link of an edge: state, reason, and what one can do. Also the partial that answers htmx for `POST /sync`
/// (`_do` = `now`, `pause`, `resume`, `seen`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Template)]
#[template(path = "sync/link.html")]
pub struct LinkCard {
    pub state: LinkState,
    /// "Hub out of reach since 13:05".
    pub title: String,
    /// What it does not affect, what happens next. "Next try in 40 s."
    pub words: String,
    pub is_paused: bool,
    /// What people are to know of this device's data, until one of them has seen it.
    pub noticed: Option<String>,
    /// Whether this person may steer the link.
    pub may_steer: bool,
    pub csrf: String,
}
impl HtmlSafe for LinkCard {}

/// The other edges of a site, from one of them. An admin adds one by `POST /sync` with `_do=meet` and its `url`, and takes one away
/// with `_do=part`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeersCard {
    pub rows: Vec<PeerRow>,
    /// What there is to know besides.
    pub words: String,
    pub may_change: bool,
    /// What was typed, and what is wrong with it.
    pub url: String,
    pub error: Option<String>,
}

/// An edge that is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerRow {
    /// What it is called, or where it is if that is not known yet.
    pub name: String,
    pub url: String,
    pub tone: Tone,
    pub icon: &'static str,
    /// "What is new there comes from it directly, last heard 14:31".
    pub words: String,
}

impl PeersCard {
    fn entry(&self) -> Entry {
        Entry {
            id: "peer-url".into(),
            name: "url",
            label: "Address of another edge",
            kind: "url",
            value: self.url.clone(),
            hint: "As seen from here, for example http://192.168.1.20:8080",
            autocomplete: "off",
            error: self.error.clone(),
            ..Entry::default()
        }
    }
}

/// A save that has not left yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waiting {
    pub record: Link,
    /// "3 fields by Ingrid Solheim, 14:30".
    pub words: String,
    /// The hub set it aside: why, and that the others are not held up.
    pub is_refused: bool,
}

/// A figure with its remark.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figure {
    pub label: String,
    pub value: String,
    pub note: String,
}

/// An edge, seen from the hub.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edge {
    pub name: String,
    pub state: LinkState,
    /// "spoke 14:31".
    pub last: String,
    /// "0 changes to fetch", "37 changes wait for it".
    pub behind: String,
    /// "work orders of platform-7", "everything".
    pub scope: String,
}
