//! The node over HTTP: pages for people in `pages`, JSON for programs in `api`, siblings over one [`Node`].
//!
//! Nothing is decided here that a node decides: who may do what, what is valid, what a save changes. Nothing is drawn
//! here either; `views` draws.

pub mod api;
mod assets;
mod cookies;
mod error;
mod frame;
mod htmx;
mod pages;
mod pieces;
mod routes;
mod run;
mod security;
mod sent;
mod serve;
pub mod session;
mod travel;
mod urlencoded;

use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::node::{Link, Node, Nodes};

pub use error::{WebError, WebResult};
pub use routes::configure;
pub use run::Run;
pub use serve::serve;

/// What the handlers work with.
pub struct App {
    pub node: Node,
    /// On an edge, its link to the hub.
    pub link: Option<Arc<dyn Link>>,
    /// On a hub, the nodes below it.
    pub nodes: Option<Arc<dyn Nodes>>,
    /// In the demo, the other half of it.
    pub demo: Option<Demo>,
    /// What this server counts, and when it stops.
    pub run: Run,
    /// Where the site is: moments are told to people in its time.
    pub zone: TimeZone,
}

impl App {
    /// A node alone: without links, in universal time.
    pub fn new(node: Node) -> Self {
        Self { node, link: None, nodes: None, demo: None, run: Run::default(), zone: TimeZone::UTC }
    }
}

/// The demo: where both nodes are, who can sign in, and the switch between them.
#[derive(Clone)]
pub struct Demo {
    pub hub: String,
    pub edge: String,
    pub people: Vec<DemoPerson>,
    pub switch: Arc<dyn Switch>,
}

#[derive(Debug, Clone)]
pub struct DemoPerson {
    pub name: String,
    pub email: String,
    pub password: String,
    pub role: String,
    /// What they do, for people.
    pub does: String,
}

/// Cuts and restores the link between the two nodes of the demo.
pub trait Switch: Send + Sync {
    fn is_up(&self) -> bool;
    fn set(&self, up: bool);
}
