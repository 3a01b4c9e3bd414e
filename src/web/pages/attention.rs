//! `/attention`: values that lost a merge, records that no longer fit, edits that met a deletion; and what people decide.

use actix_web::web::{Path, Query};
use serde::Deserialize;

use super::id;
use super::read::{Names, Readings, address, brief, versus};
use crate::domain::people::{Operation, Role};
use crate::node::{Conflict, Verdict};
use crate::store::{Flags, Held};
use crate::views::attention::{AttentionPage, Edited, Invalid, Lost, Settled};
use crate::views::frame::Here;
use crate::views::part::{Pointer, Post, Tab, Tone};
use crate::web::error::{WebError, WebResult};
use crate::web::frame::MANY;
use crate::web::htmx::{Htmx, show as shown};
use crate::web::sent::Sent;
use crate::web::session::{Done, Signed, local_path};

#[derive(Deserialize)]
pub struct Wanted {
    kind: Option<String>,
}

const LOST: &str = "lost";
const INVALID: &str = "invalid";
const EDITED: &str = "edited";

/// `GET /attention`.
pub async fn show(signed: Signed, wanted: Query<Wanted>) -> WebResult {
    let (node, actor) = (signed.node(), &signed.actor);
    let kind = wanted.kind.as_deref().filter(|kind| [LOST, INVALID, EDITED].contains(kind));
    let conflicts = node.conflicts(actor, Some("open"), MANY).await?;
    let invalid = node.flagged(actor, Flags::INVALID, MANY).await?;
    let edited = node.flagged(actor, Flags::EDITED_AFTER_DELETION, MANY).await?;
    let counts = [conflicts.len(), invalid.len(), edited.len()];
    let tab = |words: &str, name: Option<&str>, count: usize| Tab {
        href: name.map_or("/attention".into(), |name| format!("/attention?kind={name}")),
        words: words.into(),
        count: Some(count as u64),
        current: kind == name,
    };
    let tabs = vec![
        tab("All", None, counts.iter().sum()),
        tab("Lost values", Some(LOST), counts[0]),
        tab("No longer fit", Some(INVALID), counts[1]),
        tab("Edited after deletion", Some(EDITED), counts[2]),
    ];
    let shows = |name: &str| kind.is_none_or(|kind| kind == name);
    let names = Names::of(&signed.app).await?;
    let mut readings = Readings::new(signed.clock());
    let mut page = AttentionPage { frame: signed.frame(Here::Attention).await?, tabs, ..AttentionPage::default() };
    for conflict in conflicts.iter().filter(|_| shows(LOST)) {
        page.lost.extend(lost(&signed, &names, &mut readings, conflict).await?);
    }
    for held in invalid.iter().filter(|_| shows(INVALID)) {
        page.invalid.extend(unfit(&signed, &names, &mut readings, held));
    }
    for held in edited.iter().filter(|_| shows(EDITED)) {
        page.edited.extend(after_deletion(&signed, &names, &mut readings, held));
    }
    shown(&page)
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
        "{} put it in the bin at {}.",
        names.person(bin.stamp.author.person),
        clock.when_millis(bin.stamp.time.millis()).words
    );
    let wrote = edit.map(|(path, stamp)| {
        let field = reading.reader().label(&path.to_string());
        let at = clock.when_millis(stamp.time.millis()).words;
        format!(" {}, not knowing that, changed {field} at {at}.", names.person(stamp.author.person))
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
    for conflict in node.conflicts(actor, Some("open"), limit).await? {
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
            text: format!("{}: {kept} was kept, {lost} lost", reader.label(&conflict.pointer)),
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
        for held in node.flagged(actor, flag, limit - pointers.len()).await? {
            let Some(reading) = readings.get(node, &held.type_name) else { continue };
            let href = address(&held.type_name, held.id);
            pointers.push(Pointer { tone, icon, href, title: reading.name(&held), text: text.to_owned() });
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
