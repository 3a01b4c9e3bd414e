//! `outpost openapi`: the document that describes the HTTP API.

use clap::Args;
use serde_json::Value;

use super::host::{self, Absent};
use super::{Result, print};
use crate::config::Settings;

/// Print the OpenAPI document, with the types of the node in the data directory if there is one
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost openapi > openapi.json")]
pub struct Openapi {}

pub async fn run(_: Openapi, settings: &Settings) -> Result<()> {
    let document: Value = if host::has_database(&settings.data) {
        host::asked(settings, Absent::Refused, "openapi", host::Ask::Openapi).await?
    } else {
        outpost::web::api::document()
    };
    print::line(format_args!("{document:#}"))
}
