//! `/attention`: values that lost a merge, records that no longer fit, edits that met a deletion, saves that were not
//! accepted; and what people decide.

use actix_web::web::{Path, Query};
use serde::Deserialize;

use super::id;
use super::quarantine::denied;
use super::read::{Names, Readings, address, brief, versus};
use crate::domain::people::{Operation, Role};
use crate::node::{Conflict, Verdict};
use crate::store::{Flags, Held};
use crate::views::attention::{AttentionPage, Edited, Invalid, Lost, Settled};
use crate::views::frame::Here;
use crate::views::part::{Pointer, Post, Tab, Tone, Total};
use crate::web::error::{WebError, WebResult};
use crate::web::frame::{MANY, open_denied, open_lost};
use crate::web::htmx::{Htmx, show as shown};
use crate::web::sent::Sent;
use crate::web::session::{Done, Signed, local_path};

#[derive(Deserialize)]
pub struct Wanted {
    kind: Option<String>,
    /// Where a page of lost values, or of what was not accepted, begins.
    cursor: Option<String>,
    /// Only records with a lower number: where a page of one of the other kinds begins.
    before: Option<u64>,
}

/// As many as stand on one page.
const PAGE: usize = 50;

const LOST: &str = "lost";
const INVALID: &str = "invalid";
const EDITED: &str = "edited";
const DENIED: &str = "denied";

/// `GET /attention`.
pub async fn show(signed: Signed, wanted: Query<Wanted>) -> WebResult {
    let (node, actor) = (signed.node(), &signed.actor);
    let kind = wanted.kind.as_deref().filter(|kind| [LOST, INVALID, EDITED, DENIED].contains(kind));
    let address = |name: &str| format!("/attention?kind={name}");
    let [invalid, edited] = [Flags::INVALID, Flags::EDITED_AFTER_DELETION];
    let frame = signed.frame(Here::Attention).await?;
    let tab = |words: &str, name: Option<&str>, count: Total| Tab {
        href: name.map_or("/attention".into(), address),
        words: words.into(),
        count: Some(count),
        current: kind == name,
    };
    let tabs = vec![
        tab("All", None, frame.attention),
        tab("Lost values", Some(LOST), open_lost(node).await?),
        tab("No longer fit", Some(INVALID), flagged(&signed, invalid).await?),
        tab("Edited after deletion", Some(EDITED), flagged(&signed, edited).await?),
        tab("Not accepted", Some(DENIED), open_denied(&signed).await?),
    ];
    let shows = |name: &str| kind.is_none_or(|kind| kind == name);
    let names = Names::of(&signed.app).await?;
    let mut readings = Readings::new(signed.clock());
    let mut page = AttentionPage { frame, tabs, ..AttentionPage::default() };
    if shows(LOST) {
        let found = node.open_conflicts(actor, PAGE, wanted.cursor.clone()).await?;
        for conflict in &found.items {
            page.lost.extend(lost(&signed, &names, &mut readings, conflict).await?);
        }
        let next = found.next.and_then(|cursor| serde_urlencoded::to_string([("cursor", cursor)]).ok());
        match kind {
            Some(_) => page.next = next.map(|next| format!("{}&{next}", address(LOST))),
            None => page.more.lost = next.map(|_| address(LOST)),
        }
    }
    for (name, flag) in [(INVALID, invalid), (EDITED, edited)] {
        if !shows(name) {
            continue;
        }
        let mut found = node.flagged(actor, flag, wanted.before, PAGE + 1).await?;
        let is_more = found.len() > PAGE;
        found.truncate(PAGE);
        for held in &found {
            match name {
                INVALID => page.invalid.extend(unfit(&signed, &names, &mut readings, held)),
                _ => page.edited.extend(after_deletion(&signed, &names, &mut readings, held)),
            }
        }
        let last = found.last().map_or(0, |held| held.seq);
        match (kind, name) {
            _ if !is_more => {}
            (Some(_), _) => page.next = Some(format!("{}&before={last}", address(name))),
            (None, INVALID) => page.more.invalid = Some(address(name)),
            (None, _) => page.more.edited = Some(address(name)),
        }
    }
    if shows(DENIED) {
        // people look for what became of their own; an admin for what is to be decided
        let state = (kind.is_none() && signed.session.role >= Role::Admin).then_some("open");
        let cursor = kind.and(wanted.cursor.clone());
        let found = node.quarantine(actor, state, PAGE, cursor).await?;
        for entry in &found.items {
            page.denied.push(denied(&signed, &names, &mut readings, entry, "/attention").await?);
        }
        let next = found.next.and_then(|cursor| serde_urlencoded::to_string([("cursor", cursor)]).ok());
        match kind {
            Some(_) => page.next = next.map(|next| format!("{}&{next}", address(DENIED))),
            None => page.more.denied = next.map(|_| address(DENIED)),
        }
    }
    if wanted.cursor.is_some() || wanted.before.is_some() {
        page.first = kind.map(address);
    }
    shown(&page)
}

/// How many records have a flag, counted up to [`MANY`].
async fn flagged(signed: &Signed, flag: Flags) -> Result<Total, WebError> {
    let n = signed.node().flagged(&signed.actor, flag, None, MANY + 1).await?.len();
    Ok(Total { n: n.min(MANY) as u64, more: n > MANY })
}

async fn lost(
    signed: &Signed,
    names: &Names<'_>,
    readings: &mut Readings,
    conflict: &Conflict,
) -> Result<Option<Lost>, WebError> {
    let Some(reading) = readings.get(signed.node(), &conflict.type_name) else { return Ok(None) };
    let Some(held) = signed.node().store().record(&conflict.type_name, conflict.record).await? else { return Ok(None) };
    Ok(Some(Lost {
        record: reading.link(&held),
        field: reading.reader().label(&conflict.pointer),
        since: signed.clock().when_millis(conflict.lost.at),
        versus: versus(signed, reading, names, conflict, "/attention"),
    }))
}

fn unfit(signed: &Signed, names: &Names<'_>, readings: &mut Readings, held: &Held) -> Option<Invalid> {
    let reading = readings.get(signed.node(), &held.type_name)?;
    let errors = match signed.node().verdict(held) {
        Verdict::Invalid(errors) => reading.errors(&errors),
        Verdict::Valid | Verdict::UnknownRevision => Vec::new(),
    };
    let stamp = held.state.latest();
    let at = signed.clock().when_millis(stamp.time.millis()).words;
    Some(Invalid {
        record: reading.link(held),
        errors: errors.into_iter().map(|(label, message)| format!("{label}: {message}")).collect(),
        words: format!("Last saved by {}, {at}", names.person(stamp.author.person)),
        edit: format!("{}/edit", address(&held.type_name, held.id)),
    })
}

fn after_deletion(signed: &Signed, names: &Names<'_>, readings: &mut Readings, held: &Held) -> Option<Edited> {
    let reading = readings.get(signed.node(), &held.type_name)?;
    let bin = held.state.bin.as_ref()?;
    let clock = signed.clock();
    let edit = held.state.stamps().into_iter().filter(|(path, stamp)| !bin.cover.covers(path, *stamp));
    let edit = edit.max_by_key(|(_, stamp)| *stamp);
    let binned = format!(
        "{} put it in the bin {}.",
        names.person(bin.stamp.author.person),
        clock.spoken(bin.stamp.time.millis())
    );
    let wrote = edit.map(|(path, stamp)| {
        let field = reading.reader().label(&path.to_string());
        let at = clock.spoken(stamp.time.millis());
        format!(" {}, not knowing that, changed {field} {at}.", names.person(stamp.author.person))
    });
    let post = |verb: &'static str, words: &str, icon, kind| Post {
        action: address(&held.type_name, held.id),
        csrf: signed.session.csrf.clone(),
        verb,
        fields: vec![("_to".into(), "/attention".into())],
        words: words.to_owned(),
        icon,
        kind,
    };
    let choices = if signed.session.role >= Role::Staff {
        vec![post("restore", "Restore it", Some("undo"), ""), post("keep", "Leave it in the bin", None, "quiet")]
    } else {
        Vec::new()
    };
    Some(Edited { record: reading.link(held), words: format!("{binned}{}", wrote.unwrap_or_default()), choices })
}

/// The first few things to look at, for home.
pub async fn pointers(signed: &Signed, limit: usize) -> Result<Vec<Pointer>, WebError> {
    let (node, actor) = (signed.node(), &signed.actor);
    let mut readings = Readings::new(signed.clock());
    let mut pointers = Vec::new();
    for conflict in node.open_conflicts(actor, limit, None).await?.items {
        let Some(reading) = readings.get(node, &conflict.type_name) else { continue };
        let Some(held) = node.store().record(&conflict.type_name, conflict.record).await? else { continue };
        let reader = reading.reader();
        let kept = brief(&reader.at(&conflict.pointer, conflict.kept.value.as_ref()));
        let lost = brief(&reader.at(&conflict.pointer, conflict.lost.value.as_ref()));
        pointers.push(Pointer {
            tone: Tone::Merge,
            icon: "merge",
            href: address(&held.type_name, held.id),
            title: reading.name(&held),
            text: match conflict.asks {
                true => format!("{}: {kept} or {lost}? Two answers: choose", reader.label(&conflict.pointer)),
                false => format!("{}: {kept} was kept, {lost} lost", reader.label(&conflict.pointer)),
            },
        });
    }
    let flagged = [
        (Flags::INVALID, Tone::Stop, "stop", "It no longer fits its form"),
        (Flags::EDITED_AFTER_DELETION, Tone::Wait, "trash", "It was edited after it was put in the bin"),
    ];
    for (flag, tone, icon, text) in flagged {
        if pointers.len() >= limit {
            break;
        }
        for held in node.flagged(actor, flag, None, limit - pointers.len()).await? {
            let Some(reading) = readings.get(node, &held.type_name) else { continue };
            let href = address(&held.type_name, held.id);
            pointers.push(Pointer { tone, icon, href, title: reading.name(&held), text: text.to_owned() });
        }
    }
    if pointers.len() < limit {
        let names = Names::of(&signed.app).await?;
        for entry in node.quarantine(actor, Some("open"), limit - pointers.len(), None).await?.items {
            let entry = denied(signed, &names, &mut readings, &entry, "/attention").await?;
            let href = "/attention?kind=denied".to_owned();
            pointers.push(Pointer { tone: Tone::Stop, icon: "stop", href, title: entry.name, text: entry.reason });
        }
    }
    pointers.truncate(limit);
    Ok(pointers)
}

/// `POST /conflicts/{id}`: brings a lost value back, or leaves it.
pub async fn decide(sent: Sent, address: Path<String>) -> WebResult {
    sent.may(Operation::Decide)?;
    let (id, node, actor) = (id(&address)?, sent.node(), &sent.actor);
    let (words, done) = match sent.fields.get("_do") {
        "restore" => {
            node.restore_conflict(actor, id).await?;
            ("The value is back. The other one stays in the history.", Done::BroughtBack)
        }
        "dismiss" => {
            node.dismiss_conflict(actor, id).await?;
            ("Left as it is. The lost value stays in the history.", Done::Dismissed)
        }
        _ => return Err(WebError::Malformed("This form has no such button.".into())),
    };
    if Htmx::of(&sent.req).is_partial {
        return shown(&Settled { words: words.to_owned() });
    }
    sent.done(local_path(sent.fields.get("_to")).unwrap_or("/attention"), done)
}
