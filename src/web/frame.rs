//! What stands around every page, for one request: who, where, how it stands with the others.

use actix_web::HttpRequest;
use serde_json::json;

use super::session::{self, Signed};
use super::{App, WebError, cookies};
use crate::domain::ids::TypeName;
use crate::domain::people::Role;
use crate::node::{LinkState, LinkStatus, Node, NodeRole};
use crate::store::{Filter, Operator, Query, Sort, SortKey, Tally};
use crate::views::frame::{self, DemoLink, Density, Frame, Here, Look, May, RailType, Theme};
use crate::views::part::{Banner, Link, Person, Toast, Tone, Total, counted, type_icon};
use crate::views::records::several;
use crate::views::value::Clock;

/// The cookie of the display; one for all nodes on a machine.
pub const LOOK: &str = "outpost-look";
/// More than this many things to look at are not counted one by one.
pub const MANY: usize = 200;

impl Signed {
    /// The frame of a page for whoever is signed in.
    pub async fn frame(&self, here: Here) -> Result<Frame, WebError> {
        let app = &self.app;
        let tallies = app.node.store().tallies().await?;
        let role = self.session.role;
        let name = if self.session.name.is_empty() { &self.session.email } else { &self.session.name };
        let told = session::told(&self.req, &app.node);
        Ok(Frame {
            person: Some(Person::named(name)),
            may: May { edit: role >= Role::Staff, design: role >= Role::Designer, admin: role >= Role::Admin },
            types: rail(&app.node, &tallies),
            attention: attention(self, &tallies).await?,
            csrf: self.session.csrf.clone(),
            banner: status(app).await?.and_then(|status| banner(app, &status, &self.clock(), &here)),
            toast: told.map(|words| Toast { words: words.into(), undo: None }),
            link: link(app).await?,
            ..alone(&self.req, app)
        }
        .at(here))
    }
}

/// The frame for a page that anyone may see, as whoever asks sees it.
pub async fn of_anyone(req: &HttpRequest) -> Frame {
    if let Ok(signed) = Signed::of(req).await
        && let Ok(frame) = signed.frame(Here::Elsewhere).await
    {
        return frame;
    }
    session::app(req).map_or_else(|_| Frame::default(), |app| alone(req, &app))
}

/// The frame for whoever is not signed in.
pub fn alone(req: &HttpRequest, app: &App) -> Frame {
    Frame {
        look: look(req),
        path: req.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        is_hub: app.node.is_hub(),
        serves: app.nodes.as_ref().is_some_and(|nodes| nodes.serves()),
        demo: app.demo.as_ref().map(|demo| DemoLink { is_up: demo.switch.is_up() }),
        ..Frame::alone(app.node.name())
    }
}

fn look(req: &HttpRequest) -> Look {
    let (theme, density) = cookies::get(req, LOOK).and_then(|value| value.split_once('.')).unwrap_or_default();
    Look { theme: Theme::named(theme).unwrap_or_default(), density: Density::named(density).unwrap_or_default() }
}

fn rail(node: &Node, tallies: &[Tally]) -> Vec<RailType> {
    let types = node.caches().types();
    let entry = |found: &std::sync::Arc<crate::node::Type>| RailType {
        name: found.name.to_string(),
        title: several(&found.title),
        icon: type_icon(found.name.as_str()),
        count: living(tallies, &found.name),
    };
    types.iter().filter(|found| !found.retired).map(entry).collect()
}

/// How many records of a type are not in the bin.
pub fn living(tallies: &[Tally], name: &TypeName) -> u64 {
    tallies.iter().find(|tally| tally.type_name == *name).map_or(0, |tally| tally.living)
}

/// How many things wait for a person: lost values nobody decided about, records that are flagged, and what is in
/// quarantine, as far as it is this person's business.
async fn attention(signed: &Signed, tallies: &[Tally]) -> Result<Total, WebError> {
    let has = |name: &str| tallies.iter().any(|tally| tally.type_name.as_str() == name && tally.living > 0);
    let lost = if has(TypeName::LOST) { open_lost(signed.node()).await? } else { Total::default() };
    let denied = if has(TypeName::QUARANTINE) { open_denied(signed).await? } else { Total::default() };
    let flagged = tallies.iter().map(|tally| tally.flagged).sum::<u64>();
    Ok(Total { n: lost.n + denied.n + flagged, more: lost.more || denied.more })
}

/// How many saves that were not accepted are undecided, counted up to [`MANY`].
pub async fn open_denied(signed: &Signed) -> Result<Total, WebError> {
    let found = signed.node().quarantine(&signed.actor, Some("open"), MANY, None).await?;
    Ok(Total { n: found.items.len() as u64, more: found.next.is_some() })
}

/// How many values lost and nobody has decided, counted up to [`MANY`].
pub async fn open_lost(node: &Node) -> Result<Total, WebError> {
    let query = Query {
        type_name: TypeName::built_in(TypeName::LOST),
        filters: vec![Filter { path: vec!["state".into()], operator: Operator::Equal, value: json!("open") }],
        sort: vec![Sort { by: SortKey::Changed, descending: true }],
        binned: false,
        limit: MANY,
        cursor: None,
    };
    let page = node.store().records(&query).await?;
    Ok(Total { n: page.items.len() as u64, more: page.next.is_some() })
}

/// How an edge stands with its hub. What waits is counted now: a save that was just made is among it.
pub async fn status(app: &App) -> Result<Option<LinkStatus>, WebError> {
    let Some(link) = &app.link else { return Ok(None) };
    Ok(Some(LinkStatus { pending_out: app.node.store().waiting().await?, ..link.status() }))
}

/// How this node stands with the others, for the bar.
pub async fn link(app: &App) -> Result<frame::LinkStatus, WebError> {
    if let Some(status) = status(app).await? {
        return Ok(frame::LinkStatus { state: state(status.state), words: words(&status) });
    }
    let known = match &app.nodes {
        Some(nodes) => nodes.list().await?,
        None => Vec::new(),
    };
    let sites = known.iter().filter(|node| !node.revoked);
    let in_step = sites.clone().filter(|node| node.in_step).count();
    Ok(of_hub(in_step, sites.count()))
}

pub fn state(state: LinkState) -> frame::LinkState {
    match state {
        LinkState::InStep => frame::LinkState::InStep,
        LinkState::Behind => frame::LinkState::Behind,
        LinkState::Offline => frame::LinkState::Offline,
        LinkState::Paused => frame::LinkState::Paused,
        LinkState::Refused => frame::LinkState::Refused,
    }
}

fn of_hub(in_step: usize, sites: usize) -> frame::LinkStatus {
    let state = if in_step == sites { frame::LinkState::InStep } else { frame::LinkState::Behind };
    let words = match (in_step, sites) {
        (_, 0) => "Hub, no sites yet".to_owned(),
        (1, 1) => "1 site in step".to_owned(),
        (a, b) if a == b => format!("All {b} sites in step"),
        (a, b) => format!("{a} of {b} {} in step", if b == 1 { "site" } else { "sites" }),
    };
    frame::LinkStatus { state, words }
}

/// At most 26 characters: a phone's bar holds no more.
fn words(status: &LinkStatus) -> String {
    let of = |word: &str, n: u64| match n {
        0 => word.to_owned(),
        1 => format!("{word} · 1 save waiting"),
        n if n < 100 && word.len() <= 7 => format!("{word} · {n} saves waiting"),
        n if n < 100_000 => format!("{word} · {n} waiting"),
        _ => format!("{word} · many waiting"),
    };
    match status.state {
        LinkState::InStep => "In step".to_owned(),
        LinkState::Offline => of("Offline", status.pending_out),
        LinkState::Paused => of("Paused", status.pending_out),
        LinkState::Refused => of("Withdrawn", status.pending_out),
        LinkState::Behind => match (status.pending_out, status.pending_in) {
            (0, 0) => "Catching up".to_owned(),
            (1, _) => "Sending 1 save".to_owned(),
            (n, _) if n > 0 => format!("Sending {n} saves"),
            (_, 1) => "Fetching 1 record".to_owned(),
            (_, n) => format!("Fetching {n} records"),
        },
    }
}

/// How far a clock may be wrong before people are told.
const CLOCK_MILLIS: i64 = 60_000;

/// The gravest thing about the whole node that a person must know.
fn banner(app: &App, status: &LinkStatus, clock: &Clock, here: &Here) -> Option<Banner> {
    let leave = match status.pending_out {
        0 => "What is saved here leaves by itself when the hub is back.".to_owned(),
        1 => "1 save leaves by itself when the hub is back.".to_owned(),
        n => format!("{} leave by themselves when the hub is back.", counted(n, "save", "saves")),
    };
    match status.state {
        LinkState::Refused => Some(Banner {
            tone: Tone::Stop,
            icon: "stop",
            strong: format!("{} does not let this node in.", hub_name(app, status)),
            text: "Everything that was saved here is kept and can be read; nothing leaves this node any more.".into(),
            action: Some(Link::to("/sync", "Look at the link")).filter(|_| *here != Here::Sync),
        }),
        LinkState::Offline => Some(Banner {
            tone: Tone::Wait,
            icon: "cut",
            strong: format!("Hub out of reach since {}.", clock.when_millis(status.since).words),
            text: format!("Everything works here. {leave}"),
            action: None,
        }),
        _ => clock_banner(status),
    }
}

fn clock_banner(status: &LinkStatus) -> Option<Banner> {
    let ahead = status.clock_ahead.filter(|ahead| ahead.abs() > CLOCK_MILLIS)?;
    let minutes = counted(ahead.unsigned_abs().div_ceil(60_000), "minute", "minutes");
    Some(Banner {
        tone: Tone::Wait,
        icon: "clock",
        strong: format!("The clock of this device is {minutes} {}.", if ahead > 0 { "fast" } else { "slow" }),
        text: "Saves are stamped with the hub’s time, so nothing is lost by it. Set the clock right when you can."
            .into(),
        action: None,
    })
}

/// What the hub of an edge is called.
pub fn hub_name(app: &App, status: &LinkStatus) -> String {
    match &app.node.identity().role {
        _ if !status.hub_name.is_empty() => status.hub_name.clone(),
        NodeRole::Edge(upstream) if !upstream.name.is_empty() => upstream.name.clone(),
        _ => "The hub".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: LinkState, pending_out: u64, pending_in: u64) -> LinkStatus {
        LinkStatus {
            url: String::new(),
            hub_name: String::new(),
            state,
            since: 0,
            last_contact: None,
            reason: None,
            next_try: None,
            pending_out,
            pending_in,
            in_step: state == LinkState::InStep,
            clock_ahead: None,
            above: None,
            noticed: None,
        }
    }

    #[test]
    fn the_bar_says_how_it_stands_in_26_characters() {
        for (state, out, back, said) in [
            (LinkState::InStep, 0, 0, "In step"),
            (LinkState::Offline, 0, 0, "Offline"),
            (LinkState::Offline, 1, 0, "Offline · 1 save waiting"),
            (LinkState::Offline, 4, 0, "Offline · 4 saves waiting"),
            (LinkState::Offline, 99, 3, "Offline · 99 saves waiting"),
            (LinkState::Offline, 12_408, 0, "Offline · 12408 waiting"),
            (LinkState::Paused, 4, 0, "Paused · 4 saves waiting"),
            (LinkState::Refused, 99_999, 0, "Withdrawn · 99999 waiting"),
            (LinkState::Refused, 12, 0, "Withdrawn · 12 waiting"),
            (LinkState::Behind, 0, 0, "Catching up"),
            (LinkState::Behind, 7, 5, "Sending 7 saves"),
            (LinkState::Behind, 0, 1, "Fetching 1 record"),
            (LinkState::Behind, 0, 12_408, "Fetching 12408 records"),
            (LinkState::Offline, u64::MAX, 0, "Offline · many waiting"),
        ] {
            let words = words(&status(state, out, back));
            assert_eq!(words, said);
            assert!(words.chars().count() <= 26, "{words}");
        }
        for (in_step, sites, said) in [
            (0, 0, "Hub, no sites yet"),
            (1, 1, "1 site in step"),
            (0, 1, "0 of 1 site in step"),
            (2, 3, "2 of 3 sites in step"),
            (3, 3, "All 3 sites in step"),
        ] {
            assert_eq!(of_hub(in_step, sites).words, said);
        }
    }

    #[test]
    fn a_wrong_clock_is_told_in_minutes() {
        let told = |ahead| clock_banner(&LinkStatus { clock_ahead: Some(ahead), ..status(LinkState::InStep, 0, 0) });
        assert_eq!(told(59_000), None);
        assert!(
            told(-7_200_000).is_some_and(|banner| banner.strong == "The clock of this device is 120 minutes slow.")
        );
    }
}
