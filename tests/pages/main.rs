//! The pages as a browser without scripts sees them: a whole server on a free port, spoken to over HTTP.

mod browser;
mod elsewhere;
mod forms;
mod hostile;
mod looks;
mod quarantine;
mod records;
mod signing;
#[path = "../support/mod.rs"]
mod support;
mod sync;
mod types;
