//! The API as programs see it: a node on a free port, spoken to over HTTP.

mod bad_input;
mod blobs;
mod callers;
mod conflicts;
mod events;
mod links;
mod lists;
mod operation;
mod quarantine;
mod records;
#[path = "../support/mod.rs"]
mod support;
mod texts;
mod types;
