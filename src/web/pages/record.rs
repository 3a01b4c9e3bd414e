//! `/records/{type}/{id}`: one record to read, and the bin.

use std::collections::HashMap;

use actix_web::web::Path;

use super::id;
use super::quarantine::of_record;
use super::read::{Names, Reading, happenings, positional, versus};
use super::sync::places;
use crate::domain::blob::{BlobHash, FileState, references};
use crate::domain::people::Operation;
use crate::node::Verdict;
use crate::store::{Flags, Held};
use crate::views::frame::Here;
use crate::views::part::{Chip, Tone};
use crate::views::reading::Notes;
use crate::views::records::{ReachLine, RecordPage};
use crate::views::value::Shown;
use crate::web::error::{WebError, WebResult};
use crate::web::htmx::show as shown;
use crate::web::sent::Sent;
use crate::web::session::{Done, Signed, local_path};
use crate::web::travel::{MOMENT, Travel};

/// As much of the history as stands beside a record.
const LATEST: usize = 5;

/// `GET /records/{type}/{id}`.
pub async fn show(signed: Signed, at: Path<(String, String)>) -> WebResult {
    let (type_name, record) = at.into_inner();
    let reading = Reading::of(&signed, &type_name)?;
    let held = signed.node().record(&signed.actor, &type_name, id(&record)?).await?;
    let names = Names::of(&signed.app).await?;
    let (errors, notes) = notes(&signed, &reading, &names, &held).await?;
    let lines = signed.node().history(&signed.actor, &type_name, held.id).await?;
    let (history, total) = happenings(&reading, &names, &held, &lines, 0..LATEST);
    shown(&RecordPage {
        frame: signed.frame(Here::Records(type_name)).await?,
        type_: reading.head(),
        id: held.id.to_string(),
        name: reading.name(&held),
        fact: fact(&reading, &held),
        reach: reach(&signed, &names, &held).await?,
        errors,
        sections: reading.reader().with_files(files(&signed, &held)).sections(&held.document.value, &notes),
        history_total: total as u64,
        history,
        places: places(&signed, &held).await?,
        denied: of_record(&signed, &names, &held).await?,
        binned: binned(&signed, &names, &held),
    })
}

/// Where the files are that a record refers to.
fn files(signed: &Signed, held: &Held) -> HashMap<BlobHash, FileState> {
    let Some(blobs) = signed.node().blobs() else { return HashMap::new() };
    references(&held.document.value).into_iter().map(|file| (file.hash, blobs.state(file.hash, file.size))).collect()
}

/// "Saved here 14:32, not yet at hub".
async fn reach(signed: &Signed, names: &Names<'_>, held: &Held) -> Result<Option<ReachLine>, WebError> {
    let travel = Travel::of(&signed.app, std::slice::from_ref(held), MOMENT).await?;
    let place = names.place(held.state.latest().author.node);
    Ok(travel.whole(held, &place, &signed.clock()).map(|reach| ReachLine {
        type_name: held.type_name.to_string(),
        id: held.id.to_string(),
        goes_on: !travel.is_everywhere(held),
        reach,
    }))
}

/// `GET /records/{type}/{id}/reach`: how far it has come, for a page that is open.
pub async fn come(signed: Signed, at: Path<(String, String)>) -> WebResult {
    let (type_name, record) = at.into_inner();
    let held = signed.node().record(&signed.actor, &type_name, id(&record)?).await?;
    let names = Names::of(&signed.app).await?;
    match reach(&signed, &names, &held).await? {
        Some(line) => shown(&line),
        None => Err(WebError::Nowhere),
    }
}

/// The state of the record, where it has a field for that: its first choice.
fn fact(reading: &Reading, held: &Held) -> Option<Shown> {
    let schema = reading.schema()?;
    let field = schema.columns().into_iter().find(|field| field.kind == crate::domain::schema::Kind::Choice)?;
    Some(reading.reader().cell(&field.pointer, &held.document.value)).filter(|shown| !shown.is_missing())
}

/// What is wrong with the record, and what stands beside its fields: errors, and values that lost.
async fn notes(
    signed: &Signed,
    reading: &Reading,
    names: &Names<'_>,
    held: &Held,
) -> Result<(Vec<(String, String)>, Notes), WebError> {
    let mut notes = Notes::new();
    let mut errors = Vec::new();
    if held.flags.has(Flags::INVALID)
        && let Verdict::Invalid(found) = signed.node().verdict(held)
    {
        errors = reading.errors(&found);
        for error in found {
            notes.entry(error.pointer).or_default().errors.push(error.message);
        }
    }
    let back = super::read::address(&held.type_name, held.id);
    for conflict in signed.node().conflicts_of(&signed.actor, held).await? {
        let note = notes.entry(positional(held, &conflict.pointer)).or_default();
        if note.chips.is_empty() {
            note.chips.push(Chip::new(Tone::Merge, "merged").with_icon("merge"));
        }
        note.lost.push(versus(signed, reading, names, &conflict, &back));
    }
    Ok((errors, notes))
}

fn binned(signed: &Signed, names: &Names<'_>, held: &Held) -> Option<String> {
    let bin = held.state.bin.as_ref().filter(|bin| bin.binned)?;
    let at = signed.clock().spoken(bin.stamp.time.millis());
    Some(format!("{} put it there {at}", names.person(bin.stamp.author.person)))
}

/// `POST /records/{type}/{id}`: into the bin, and back; or, after an edit that met a deletion, into it knowingly.
pub async fn change(sent: Sent, at: Path<(String, String)>) -> WebResult {
    sent.may(Operation::Bin)?;
    let (type_name, record) = at.into_inner();
    let (id, node, actor) = (id(&record)?, sent.node(), &sent.actor);
    let done = match sent.fields.get("_do") {
        "bin" => {
            node.bin_record(actor, &type_name, id, None, true).await?;
            Done::Binned
        }
        "restore" => {
            node.bin_record(actor, &type_name, id, None, false).await?;
            Done::Restored
        }
        "keep" => {
            node.bin_again(actor, &type_name, id).await?;
            Done::Dismissed
        }
        _ => return Err(WebError::Malformed("This form has no such button.".into())),
    };
    let here = format!("/records/{type_name}/{id}");
    sent.done(local_path(sent.fields.get("_to")).unwrap_or(&here), done)
}
