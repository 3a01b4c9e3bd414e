//! `/sync`: how this node stands with the others.

use std::time::Duration;

use super::nodes::{is_silent, scope_words, words as node_words};
use super::read::{Names, Readings, address};
use super::sign::message;
use crate::domain::ids::TypeName;
use crate::domain::people::{Operation, Role};
use crate::domain::save::Save;
use crate::node::{
    Holder, KnownNode, Link as NodeLink, LinkState, LinkStatus, NodeError, PeerState, PeerStatus, Peers,
};
use crate::store::Held;
use crate::views::file::size_words;
use crate::views::frame::{self, Here};
use crate::views::part::{Link, NodeRow, Tone, counted, grouped};
use crate::views::records::Places;
use crate::views::sync::{Edge, Figure, LinkCard, PeerRow, PeersCard, SyncPage, Waiting};
use crate::views::value::Clock;
use crate::web::error::{WebError, WebResult};
use crate::web::frame::{hub_name, state};
use crate::web::htmx::{Htmx, refused, show as shown};
use crate::web::sent::Sent;
use crate::web::session::{Done, Signed};
use crate::web::travel::ago;

/// As many saves as are shown one by one.
const SHOWN: usize = 50;
const OUTBOX_BYTES: usize = 256 << 10;
/// A link answers to a press within this time, if it has something new to say.
const SOON: Duration = Duration::from_millis(300);

/// `GET /sync`.
pub async fn show(signed: Signed) -> WebResult {
    let page = match signed.app.link.clone() {
        Some(link) => of_edge(&signed, &*link).await?,
        None => of_hub(&signed).await?,
    };
    shown(&page)
}

async fn of_edge(signed: &Signed, link: &dyn NodeLink) -> Result<SyncPage, WebError> {
    let (status, clock) = (link.status(), signed.clock());
    let total = signed.node().store().waiting().await?;
    let figure = |label: &str, value: String, note: &str| Figure { label: label.into(), value, note: note.into() };
    let mut figures = vec![
        figure("Saves waiting to leave", grouped(total), ""),
        figure("Records to fetch", grouped(status.pending_in), if status.in_step { "" } else { "as far as is known" }),
    ];
    let (out, to_fetch) = signed.node().blobs().map(|blobs| blobs.travelling()).unwrap_or_default();
    for (label, files) in [("Files waiting to leave", out), ("Files to fetch", to_fetch)] {
        // most types have none
        if files.files > 0 {
            figures.push(figure(label, grouped(files.files), &size_words(files.bytes)));
        }
    }
    if let Some(ahead) = status.clock_ahead {
        let seconds = counted(ahead.unsigned_abs() / 1000, "second", "seconds");
        let value = if ahead.abs() < 1000 { "right".into() } else { seconds };
        figures.push(figure(
            "Clock of this device",
            value,
            if ahead >= 1000 {
                "fast"
            } else if ahead <= -1000 {
                "slow"
            } else {
                ""
            },
        ));
    }
    let figures_title = match status.last_contact {
        Some(at) => format!("At last contact, {}", clock.when_millis(at).words),
        None => "No contact yet".to_owned(),
    };
    Ok(SyncPage {
        frame: signed.frame(Here::Sync).await?,
        intro: format!(
            "This is {}, an edge of {} at {}.",
            signed.node().name(),
            hub_name(&signed.app, &status),
            status.url
        ),
        link: Some(card(signed, &status)),
        waiting: waiting(signed).await?,
        peers: link.peers().and_then(|known| peers(signed, &*known)),
        waiting_words: if total == 0 { String::new() } else { counted(total, "save", "saves") },
        figures_title,
        figures,
        ..SyncPage::default()
    })
}

/// The other edges of the site; nothing, where there are none.
fn peers(signed: &Signed, known: &dyn Peers) -> Option<PeersCard> {
    let (list, named) = (known.list(), known.named());
    if list.is_empty() && named.is_empty() {
        return None;
    }
    let clock = signed.clock();
    let names: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
    let words = match (names.as_slice(), list.as_slice()) {
        ([], _) => "The hub names no other edge of this site any more.".to_owned(),
        (names, []) => format!(
            "The hub names {} here. Once this edge is told where they are, what is saved on one comes to the others without the hub.",
            names.join(", ")
        ),
        (names, _) => {
            format!("The hub names {} here. While it is away, what is new comes from them directly.", names.join(", "))
        }
    };
    Some(PeersCard {
        rows: list.iter().map(|peer| peer_row(peer, &clock)).collect(),
        words,
        may_change: signed.session.role >= Role::Admin,
        ..PeersCard::default()
    })
}

fn peer_row(peer: &PeerStatus, clock: &Clock) -> PeerRow {
    let since = clock.when_millis(peer.since).words;
    let (tone, icon, state) = match peer.state {
        PeerState::Connected => (Tone::Ok, "edge", format!("Connected since {since}")),
        PeerState::Resting => (Tone::Ok, "edge", format!("Resting since {since}")),
        PeerState::Asleep => (Tone::Plain, "edge", "Not asked yet".to_owned()),
        PeerState::Paused => (Tone::Wait, "edge", format!("Paused since {since}")),
        PeerState::Unreachable => (Tone::Wait, "cut", format!("Out of reach since {since}")),
        PeerState::Refused => (Tone::Stop, "cut", format!("Refused since {since}")),
    };
    let heard = match peer.last_contact {
        Some(at) => format!("last heard {}", clock.when_millis(at).words),
        None => "not heard yet".to_owned(),
    };
    let taken = Some(peer.saves).filter(|n| *n > 0).map(|n| format!(", {} came from it", counted(n, "save", "saves")));
    let reason = peer.reason.as_deref().map(|reason| {
        let reason = crate::web::error::capital(reason.trim_end_matches('.'));
        // what a command line says better is said there
        format!(". {}.", reason.replace('`', ""))
    });
    PeerRow {
        name: match &peer.name {
            Some(name) => format!("{name} at {}", peer.url),
            None => peer.url.clone(),
        },
        url: peer.url.clone(),
        tone,
        icon,
        words: format!("{state}, {heard}{}{}", taken.unwrap_or_default(), reason.unwrap_or_default()),
    }
}

/// Adds an edge that is asked, or takes one away.
async fn change_peers(sent: &Sent, link: &dyn NodeLink) -> WebResult {
    sent.may(Operation::Administer)?;
    let known = link.peers().ok_or(WebError::Nowhere)?;
    let url = sent.fields.get("url").trim();
    let done = match sent.fields.get("_do") {
        "meet" => known.add(url).await,
        _ => known.remove(url).await,
    };
    match done {
        Ok(()) => sent.done("/sync", Done::Changed),
        Err(NodeError::Invalid(errors)) => {
            let mut page = of_edge(sent, link).await?;
            if let Some(card) = &mut page.peers {
                card.url = url.to_owned();
                card.error = message(&errors, "url");
            }
            refused(&page)
        }
        Err(err) => Err(err.into()),
    }
}

fn card(signed: &Signed, status: &LinkStatus) -> LinkCard {
    let clock = signed.clock();
    let since = clock.when_millis(status.since).words;
    let hub = hub_name(&signed.app, status);
    let title = match status.state {
        LinkState::InStep => format!("In step with {hub} since {since}"),
        LinkState::Behind => format!("Catching up with {hub}"),
        LinkState::Offline => format!("{hub} out of reach since {since}"),
        LinkState::Paused => format!("Paused since {since}"),
        LinkState::Refused => format!("{hub} does not let this node in"),
    };
    LinkCard {
        state: state(status.state),
        title,
        words: link_words(status, &clock),
        is_paused: status.state == LinkState::Paused,
        noticed: status.noticed.map(|at| {
            let at = clock.spoken(at);
            format!("That was noticed {at}. All that was saved on either copy is kept; if one of them runs that nobody meant to run, give it up.")
        }),
        may_steer: signed.session.role >= Role::Staff,
        csrf: signed.session.csrf.clone(),
    }
}

/// What it does not affect, and what happens next.
fn link_words(status: &LinkStatus, clock: &Clock) -> String {
    let next = match status.state {
        LinkState::InStep => in_step_words(status, clock),
        LinkState::Behind => "What is missing on either side is under way.".to_owned(),
        LinkState::Offline => "Everything works here; saves leave by themselves.".to_owned(),
        LinkState::Paused => {
            "Everything works here; nothing is sent or fetched until somebody presses the switch.".to_owned()
        }
        LinkState::Refused => {
            "Everything that was saved here is kept. An admin of the hub can invite a new node in its place.".to_owned()
        }
    };
    let reason = status
        .reason
        .as_deref()
        .map(|reason| format!("{}. ", crate::web::error::capital(reason.trim_end_matches('.'))));
    let soon = status.next_try.filter(|_| status.state == LinkState::Offline).map(|at| {
        let seconds = (at - clock.now.as_millisecond()).max(0) as u64 / 1000;
        if seconds == 0 {
            " The next try is now.".to_owned()
        } else {
            format!(" Next try in {}.", counted(seconds, "second", "seconds"))
        }
    });
    format!("{}{next}{}", reason.unwrap_or_default(), soon.unwrap_or_default())
}

/// A hub that is an edge itself may be out of reach of its own.
fn in_step_words(status: &LinkStatus, clock: &Clock) -> String {
    let Some(above) = status.above.as_ref().filter(|above| !above.in_step) else {
        return "What is saved here is at the hub within a moment, and the other way round.".to_owned();
    };
    let spoke = above.last_contact.map(|at| format!(", last spoke with it {}", clock.when_millis(at).words));
    let holds = counted(above.waiting, "save", "saves");
    format!(
        "What is saved here is at {} within a moment, and the other way round. {} in turn is not in step with {}{}, and holds {holds} for it.",
        status.hub_name,
        status.hub_name,
        above.name,
        spoke.unwrap_or_default()
    )
}

/// The saves that have not left, oldest first.
async fn waiting(signed: &Signed) -> Result<Vec<Waiting>, WebError> {
    let node = signed.node();
    let names = Names::of(&signed.app).await?;
    let mut readings = Readings::new(signed.clock());
    let mut rows = Vec::new();
    for unsent in node.store().outbox(OUTBOX_BYTES).await?.iter().take(SHOWN) {
        rows.extend(waiting_of(signed, &names, &mut readings, &unsent.save).await?);
    }
    // what a hub did not take at all is nowhere else
    for aside in node.refused_saves(&signed.actor).await?.iter().take(SHOWN) {
        let refused = waiting_of(signed, &names, &mut readings, &aside.save).await?.into_iter();
        rows.extend(refused.map(|row| Waiting {
            words: format!("{}. The hub did not take it: {}", row.words, aside.reason),
            is_refused: true,
            ..row
        }));
    }
    Ok(rows)
}

/// One row for each record of a save.
async fn waiting_of(
    signed: &Signed,
    names: &Names<'_>,
    readings: &mut Readings,
    save: &Save,
) -> Result<Vec<Waiting>, WebError> {
    let mut rows = Vec::with_capacity(save.records.len());
    for part in &save.records {
        let held = signed.node().store().record(&part.type_name, part.id).await?;
        let record = match (held, readings.get(signed.node(), &part.type_name)) {
            (Some(held), Some(reading)) => reading.link(&held),
            (_, Some(_)) => Link::to(address(&part.type_name, part.id), part.id.to_string()),
            (_, None) => built_in(&part.type_name),
        };
        let what =
            if part.creates() { "made".to_owned() } else { counted(part.changes.len() as u64, "field", "fields") };
        let at = signed.clock().when_millis(part.time.millis()).words;
        rows.push(Waiting {
            record,
            words: format!("{what} by {}, {at}", names.person(save.author.person)),
            is_refused: false,
        });
    }
    Ok(rows)
}

fn built_in(type_name: &TypeName) -> Link {
    match type_name.as_str() {
        TypeName::LOST => Link::to("/attention", "A decision about a lost value"),
        TypeName::QUARANTINE => Link::to("/attention?kind=denied", "A save that was not accepted"),
        TypeName::PERSON => Link::to("/users", "A person"),
        _ => Link::to("/types", "A type"),
    }
}

async fn of_hub(signed: &Signed) -> Result<SyncPage, WebError> {
    let known = match &signed.app.nodes {
        Some(nodes) => nodes.list().await?,
        None => Vec::new(),
    };
    let clock = signed.clock();
    let tallies = signed.node().store().tallies().await?;
    let records: u64 = tallies.iter().filter(|tally| !tally.type_name.is_built_in()).map(|tally| tally.living).sum();
    let figure = |label: &str, value: u64| Figure { label: label.into(), value: grouped(value), note: String::new() };
    let live = known.iter().filter(|node| !node.revoked);
    Ok(SyncPage {
        frame: signed.frame(Here::Sync).await?,
        intro: format!("This is {}, the hub. It sees every edge that has joined.", signed.node().name()),
        edges: live.clone().map(|node| edge(node, &clock)).collect(),
        figures_title: "Here now".to_owned(),
        figures: vec![figure("Records", records), figure("Edges", live.count() as u64)],
        ..SyncPage::default()
    })
}

fn edge(node: &KnownNode, clock: &Clock) -> Edge {
    let behind = match (node.in_step, node.behind) {
        (true, _) => "nothing".to_owned(),
        (false, Some(n)) => counted(n, "record", "records"),
        (false, None) => "everything".to_owned(),
    };
    Edge {
        name: node.name.clone(),
        state: match node.in_step {
            _ if is_silent(node, clock) => frame::LinkState::Offline,
            true => frame::LinkState::InStep,
            false => frame::LinkState::Behind,
        },
        last: node.last_contact.map_or("never".to_owned(), |at| clock.when_millis(at).words),
        behind,
        scope: scope_words(&node.scope),
    }
}

/// How the others are, for home.
pub async fn rows(signed: &Signed) -> Result<Vec<NodeRow>, WebError> {
    let clock = signed.clock();
    if let Some(link) = &signed.app.link {
        let status = link.status();
        let spoke = status
            .last_contact
            .map_or("no contact yet".to_owned(), |at| format!("spoke {}", clock.when_millis(at).words));
        let state = state(status.state);
        let icon = if state == frame::LinkState::Offline { "cut" } else { "hub" };
        let words = format!("{}, {spoke}", crate::web::error::capital(state.word()));
        return Ok(vec![NodeRow { tone: state.tone(), icon, name: hub_name(&signed.app, &status), words }]);
    }
    let Some(nodes) = &signed.app.nodes else { return Ok(Vec::new()) };
    let live = nodes.list().await?.into_iter().filter(|node| !node.revoked);
    Ok(live
        .map(|node| NodeRow {
            tone: if node.in_step && !is_silent(&node, &clock) { Tone::Ok } else { Tone::Wait },
            icon: "edge",
            words: node_words(&node, &clock),
            name: node.name,
        })
        .collect())
}

/// As many sites as are told by name.
const NAMED: usize = 50;

/// Where a record is, by name: those first that do not have it.
pub async fn places(signed: &Signed, held: &Held) -> Result<Option<Places>, WebError> {
    let clock = signed.clock();
    let mut places =
        Places { rows: if signed.node().is_hub() { Vec::new() } else { rows(signed).await? }, ..Places::default() };
    if let Some(nodes) = signed.app.nodes.as_ref().filter(|nodes| nodes.serves()) {
        let holders = nodes.holders(&held.partition, held.seq).await?;
        let have = holders.iter().filter(|holder| holder.has).count();
        let of = holders.len();
        places.rows.extend(holders.iter().take(NAMED).map(|holder| place(holder, &clock)));
        if of > 0 {
            let below = if signed.node().is_hub() { "" } else { " below" };
            places.words = match have {
                all if all == of => format!(
                    "{}{below} {} it",
                    counted(of as u64, "site", "sites"),
                    if of == 1 { "has" } else { "have" }
                ),
                some => format!(
                    "{some} of {}{below} {} it",
                    counted(of as u64, "site", "sites"),
                    if some == 1 { "has" } else { "have" }
                ),
            };
        }
        if of > NAMED {
            places.more = format!("and {} more", grouped((of - NAMED) as u64));
        }
    }
    Ok(Some(places).filter(|places| !places.rows.is_empty()))
}

/// "Platform 9: not yet, last seen 3 h ago".
fn place(holder: &Holder, clock: &Clock) -> NodeRow {
    let seen = match holder.last_contact {
        Some(at) => format!("last seen {}", ago(at, clock)),
        None => "not seen yet".to_owned(),
    };
    let (tone, icon, words) = match holder.has {
        true => (Tone::Ok, "check", "has it".to_owned()),
        false => (Tone::Wait, "clock", format!("not yet, {seen}")),
    };
    let name = match &holder.via {
        Some(via) => format!("{} (via {via})", holder.name),
        None => holder.name.clone(),
    };
    NodeRow { tone, icon, name, words }
}

/// `POST /sync`: now, pause, resume; which other edges are asked.
pub async fn steer(sent: Sent) -> WebResult {
    sent.may(Operation::Link)?;
    let link = sent.app.link.clone().ok_or(WebError::Nowhere)?;
    if matches!(sent.fields.get("_do"), "meet" | "part") {
        return change_peers(&sent, &*link).await;
    }
    let mut status = link.watch();
    let before = status.borrow_and_update().clone();
    match sent.fields.get("_do") {
        "now" => link.sync_now(),
        "pause" => link.pause(),
        "resume" => link.resume(),
        "seen" => link.put_away(),
        _ => return Err(WebError::Malformed("This form has no such button.".into())),
    }
    // what is shown next shows what came of it; a link that has nothing new to say is not waited for long
    let is_told = |now: &LinkStatus| now.state != before.state || now.noticed != before.noticed;
    let _ = tokio::time::timeout(SOON, status.wait_for(is_told)).await;
    let htmx = Htmx::of(&sent.req);
    if htmx.is_partial { shown(&card(&sent, &link.status())) } else { Ok(htmx.see("/sync")) }
}
