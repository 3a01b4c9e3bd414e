//! The first page after signing in: what there is, what is worth a look, what happened lately.

use askama::Template;

use super::frame::Frame;
use super::part::{Happening, NodeRow, Pointer};

/// `GET /`.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "home/page.html")]
pub struct HomePage {
    pub frame: Frame,
    /// "Thursday 14 May, 14:32", see [`Clock::heading`](super::value::Clock::heading).
    pub now: String,
    /// How it stands, in a sentence: "Boat Alma has been out of reach since Tuesday 18:40; nothing is lost."
    pub state: String,
    pub tiles: Vec<Tile>,
    pub attention: Vec<Pointer>,
    pub lately: Vec<Happening>,
    /// On the hub its edges, on an edge the hub.
    pub nodes: Vec<NodeRow>,
}

/// A type and the way into its records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tile {
    pub name: String,
    /// "Work orders".
    pub title: String,
    /// "work order", for "New work order".
    pub one: String,
    pub icon: &'static str,
    pub count: u64,
    /// "Last saved 14:30".
    pub words: String,
}
