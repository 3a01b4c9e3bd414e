//! The demo's first screen: what it is, the switch between hub and edge, three things to try.

use askama::Template;

use super::frame::{Frame, LinkState};
use super::session::Sample;

/// `GET /demo`; the switch posts to `/demo/link` with `_do` = `cut` or `restore`, and `_to` for the way back.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "demo/page.html")]
pub struct DemoPage {
    pub frame: Frame,
    pub is_up: bool,
    /// "In step, 0 waiting".
    pub state: LinkState,
    pub words: String,
    pub hub: DemoNode,
    pub edge: DemoNode,
    /// The record that both change in step 2: "Replace hydraulic pump seal".
    pub record: String,
    pub people: Vec<Sample>,
}

/// One of the two nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DemoNode {
    /// "Tern Bay".
    pub name: String,
    /// "127.0.0.1:8080".
    pub address: String,
    /// "12 work orders, 12 inspections".
    pub holds: String,
    /// Its first page, whole address.
    pub home: String,
    /// The edit page of the record of step 2, whole address.
    pub edit: String,
    /// Who one is there: "Tomás".
    pub person: String,
}
