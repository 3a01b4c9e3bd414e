//! The node over HTTP: pages for people in `pages`, JSON for programs in `api`, siblings over one [`Node`].

pub mod api;
mod run;
mod security;
mod serve;

use std::sync::Arc;

use crate::node::{Link, Node, Nodes};

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
}

impl App {
    /// A node alone: without links.
    pub fn new(node: Node) -> Self {
        Self { node, link: None, nodes: None, demo: None, run: Run::default() }
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
