//! `/types`: what can be recorded here; and a type's schema, to take away.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Path, Query};
use serde::Deserialize;

use crate::node::{NodeError, Type};
use crate::views::frame::Here;
use crate::views::part::{counted, type_icon};
use crate::views::records::several;
use crate::views::types::{TypeRow, TypesPage};
use crate::web::error::WebResult;
use crate::web::frame::living;
use crate::web::htmx::show as shown;
use crate::web::session::Signed;

/// `GET /types`.
pub async fn list(signed: Signed) -> WebResult {
    let types = signed.node().types(&signed.actor, true)?;
    let tallies = signed.node().store().tallies().await?;
    let row = |found: &Type| TypeRow {
        name: found.name.to_string(),
        title: several(&found.title),
        icon: type_icon(found.name.as_str()),
        count: living(&tallies, &found.name),
        words: words(&signed, found),
    };
    let of = |retired: bool| types.iter().filter(|found| found.retired == retired).map(|found| row(found)).collect();
    shown(&TypesPage { frame: signed.frame(Here::Types).await?, types: of(false), retired: of(true) })
}

/// "Version 8 since 2 May, 14 fields".
fn words(signed: &Signed, found: &Type) -> String {
    let since = signed.clock().when_millis(found.current.at).words;
    match found.current.schema() {
        Some(schema) => {
            let fields = counted(schema.fields().len() as u64, "field", "fields");
            format!("Version {} since {since}, {fields}", found.current.version)
        }
        None => format!("Version {} since {since}; update this node to use it", found.current.version),
    }
}

#[derive(Deserialize)]
pub struct Wanted {
    version: Option<u64>,
}

/// `GET /types/{type}/schema`: the schema as it was published, byte for byte; an older one by `?version=`.
pub async fn schema(signed: Signed, name: Path<String>, wanted: Query<Wanted>) -> WebResult {
    let found = signed.node().type_named(&signed.actor, &name)?;
    let version = wanted.version.unwrap_or(found.current.version);
    let versions = signed.node().caches().versions(&found.name);
    let revision = if version == found.current.version {
        found.current.clone()
    } else {
        versions.into_iter().find(|revision| revision.version == version).ok_or(NodeError::NotFound("version"))?
    };
    let name = format!("inline; filename=\"{}.schema.json\"", found.name);
    Ok(HttpResponse::Ok()
        .content_type("application/schema+json")
        .insert_header((header::CONTENT_DISPOSITION, name))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"))
        .body(revision.text.clone()))
}
