//! Saves that the hub may not accept: as they are shown in Attention and at their record, decided, and taken elsewhere.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Path;

use super::id;
use super::read::{Names, Readings, address};
use crate::domain::ids::TypeName;
use crate::domain::people::Operation;
use crate::domain::record::Document;
use crate::node::{DeniedAct, DeniedChange, Node, QuarantineState, Quarantined};
use crate::store::Held;
use crate::views::attention::{Denied, DeniedField};
use crate::views::part::{Link, Person, counted};
use crate::views::value::Shown;
use crate::web::api::{Who, exported};
use crate::web::error::{WebError, WebResult};
use crate::web::sent::Sent;
use crate::web::session::{Done, Signed, local_path};

/// As many fields as are shown of one save.
const FIELDS: usize = 12;

/// An entry in words. `back`: where the browser goes once it is decided.
pub async fn denied(
    signed: &Signed,
    names: &Names<'_>,
    readings: &mut Readings,
    entry: &Quarantined,
    back: &str,
) -> Result<Denied, WebError> {
    let node = signed.node();
    let held = node.store().record(&entry.type_name, entry.record).await?;
    let clock = signed.clock();
    let (record, name) = record(node, readings, entry, held.as_ref());
    let place = names.place(entry.node);
    let what = if entry.creates { "made it" } else { "saved it" };
    let by = Person::named(names.person(entry.person));
    let mut words = format!("{} {what} {} {place}", by.name, clock.spoken(entry.at));
    if entry.via != entry.node {
        words.push_str(&format!("; it was brought by another device, {}", names.place(entry.via)));
    }
    let shown = entry.changes.iter().take(FIELDS);
    let fields = shown.map(|change| field(node, readings, entry, held.as_ref(), change)).collect();
    let mut remarks = Vec::new();
    if entry.changes.len() > FIELDS {
        remarks.push(format!("{} more.", counted((entry.changes.len() - FIELDS) as u64, "field", "fields")));
    }
    if !entry.waiting.is_empty() {
        let later = counted(entry.waiting.len() as u64, "later save", "later saves");
        remarks.push(format!("{later} in this record came after it and will follow it if it is admitted."));
    }
    let is_open = entry.state == QuarantineState::Open;
    Ok(Denied {
        id: entry.id.to_string(),
        csrf: signed.session.csrf.clone(),
        record,
        name,
        since: clock.when_millis(entry.received),
        by,
        words,
        reason: format!("Not accepted: {}.", entry.reason.trim_end_matches('.')),
        decided: decided(signed, names, entry),
        fields,
        remark: remarks.join(" "),
        may_decide: is_open && node.is_hub() && signed.may(Operation::Administer).is_ok(),
        back: back.to_owned(),
    })
}

fn decided(signed: &Signed, names: &Names<'_>, entry: &Quarantined) -> Option<String> {
    let Some(decision) = &entry.decision else {
        let waits = !signed.node().is_hub() || signed.may(Operation::Administer).is_err();
        return waits.then(|| "An admin decides about it at the hub. Until then nothing of it is lost.".to_owned());
    };
    let (who, at) = (names.person(decision.by), signed.clock().spoken(decision.at));
    Some(match (entry.state, &decision.word) {
        (QuarantineState::Admitted, _) => format!("{who} admitted it {at}."),
        (_, Some(word)) => format!("{who} sent it back {at}: “{word}”"),
        (_, None) => format!("{who} sent it back {at}."),
    })
}

/// The record, where there is one, and what it is or would be called.
fn record(node: &Node, readings: &mut Readings, entry: &Quarantined, held: Option<&Held>) -> (Option<Link>, String) {
    let Some(reading) = readings.get(node, &entry.type_name) else {
        let link = built_in(&entry.type_name);
        let words = link.words.clone();
        return (Some(link), words);
    };
    if let Some(held) = held {
        return (Some(reading.link(held)), reading.name(held));
    }
    let fields = entry.changes.iter().filter_map(|change| {
        let name = change.path.to_string();
        Some((name.strip_prefix('/')?.to_owned(), change.denied.clone()?))
    });
    let name = reading.reader().name_of(&serde_json::Value::Object(fields.collect()));
    (None, name.unwrap_or_else(|| format!("A new {}", reading.head().title)))
}

fn built_in(type_name: &TypeName) -> Link {
    match type_name.as_str() {
        TypeName::LOST => Link::to("/attention", "A decision about a lost value"),
        TypeName::PERSON => Link::to("/users", "A person"),
        _ => Link::to("/types", "A type"),
    }
}

fn field(
    node: &Node,
    readings: &mut Readings,
    entry: &Quarantined,
    held: Option<&Held>,
    change: &DeniedChange,
) -> DeniedField {
    let pointer = change.path.to_string();
    let told = |words: &str| Shown::Text(words.to_owned());
    let Some(reading) = readings.get(node, &entry.type_name) else {
        // of our own types only what was meant is told
        return DeniedField { label: pointer, denied: told("changed"), stands: None };
    };
    let reader = reading.reader();
    let label = if change.path.is_root() { "The record".to_owned() } else { reader.label(&pointer) };
    let value = || reader.at(&pointer, change.denied.as_ref());
    let denied = match (change.act, &change.denied) {
        (DeniedAct::Set, Some(_)) => value(),
        (DeniedAct::Set, None) => told("cleared"),
        (DeniedAct::Removed, _) => told("removed"),
        (DeniedAct::Moved, _) => told("moved"),
        (DeniedAct::Binned, _) => told("put in the bin"),
        (DeniedAct::Restored, _) => told("taken out of the bin"),
        (DeniedAct::Counted, by) => {
            let by = by.as_ref().map(ToString::to_string).unwrap_or_default();
            told(&if by.starts_with('-') { by } else { format!("+{by}") })
        }
    };
    let is_there = held.map(|held| &held.document).is_some_and(|document: &Document| !document.value.is_null());
    let has_value = matches!(change.act, DeniedAct::Set | DeniedAct::Counted);
    let stands = (is_there && has_value).then(|| reader.at(&pointer, change.stands.as_ref()));
    DeniedField { label, denied, stands }
}

/// What waits about one record, as it is shown there.
pub async fn of_record(signed: &Signed, names: &Names<'_>, held: &Held) -> Result<Vec<Denied>, WebError> {
    let mut readings = Readings::new(signed.clock());
    let mut shown = Vec::new();
    let back = address(&held.type_name, held.id);
    for entry in signed.node().quarantine_of(&signed.actor, &held.type_name, held.id).await? {
        if entry.state != QuarantineState::Admitted {
            shown.push(denied(signed, names, &mut readings, &entry, &back).await?);
        }
    }
    Ok(shown)
}

/// `POST /quarantine/{id}`: admits a save, or sends it back.
pub async fn decide(sent: Sent, address: Path<String>) -> WebResult {
    sent.may(Operation::Administer)?;
    let (id, node, actor) = (id(&address)?, sent.node(), &sent.actor);
    let done = match sent.fields.get("_do") {
        "admit" => {
            node.admit(actor, id).await?;
            Done::Admitted
        }
        "return" => {
            node.send_back(actor, id, sent.fields.get("word")).await?;
            Done::SentBack
        }
        _ => return Err(WebError::Malformed("This form has no such button.".into())),
    };
    sent.done(local_path(sent.fields.get("_to")).unwrap_or("/attention"), done)
}

/// `GET /quarantine/{id}/export`: the entry with the save in it, to be kept elsewhere.
pub async fn export(signed: Signed, address: Path<String>) -> WebResult {
    let entry = signed.node().quarantined(&signed.actor, id(&address)?).await?;
    let who = Who::everywhere(&signed.app).await;
    let name = format!("attachment; filename=\"save-{}.json\"", entry.id);
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::CONTENT_DISPOSITION, name))
        .body(serde_json::to_vec_pretty(&exported(&entry, &who)).expect("an entry is plain data")))
}
