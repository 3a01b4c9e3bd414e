//! `/records/{type}/{id}/history`: every change this node saw.

use actix_web::web::{Path, Query};
use serde::Deserialize;

use super::id;
use super::read::{Names, Reading, address, happenings};
use crate::views::frame::Here;
use crate::views::part::{counted, grouped};
use crate::views::records::HistoryPage;
use crate::web::error::WebResult;
use crate::web::htmx::show as shown;
use crate::web::session::Signed;

/// As many saves as stand on one page.
const SHOWN: usize = 100;

#[derive(Deserialize)]
pub struct Wanted {
    /// How many newer ones are left out.
    #[serde(default)]
    skip: usize,
}

/// `GET /records/{type}/{id}/history`.
pub async fn show(signed: Signed, at: Path<(String, String)>, wanted: Query<Wanted>) -> WebResult {
    let (type_name, record) = at.into_inner();
    let reading = Reading::of(&signed, &type_name)?;
    let held = signed.node().record(&signed.actor, &type_name, id(&record)?).await?;
    let lines = signed.node().history(&signed.actor, &type_name, held.id).await?;
    let names = Names::of(&signed.app).await?;
    let (begin, end) = (wanted.skip, wanted.skip.saturating_add(SHOWN));
    let (happenings, total) = happenings(&reading, &names, &held, &lines, begin..end);
    let page = |skip: usize| match skip {
        0 => format!("{}/history", address(&held.type_name, held.id)),
        skip => format!("{}/history?skip={skip}", address(&held.type_name, held.id)),
    };
    let note = if signed.node().is_hub() {
        "Every change that reached the hub, newest first."
    } else {
        "Every change this node saw, newest first. The hub saw all of them."
    };
    shown(&HistoryPage {
        frame: signed.frame(Here::Records(type_name)).await?,
        type_: reading.head(),
        id: held.id.to_string(),
        name: reading.name(&held),
        note: note.to_owned(),
        shown: match total {
            0..=SHOWN => String::new(),
            _ => {
                let (first, last) = ((begin + 1).min(total) as u64, end.min(total) as u64);
                format!("{} to {} of {}", grouped(first), grouped(last), counted(total as u64, "change", "changes"))
            }
        },
        newer: (begin > 0).then(|| page(begin.min(total).saturating_sub(SHOWN))),
        older: (total > end).then(|| page(end)),
        happenings,
    })
}
