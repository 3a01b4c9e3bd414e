//! `/`: what there is, what is worth a look, what happened lately.

use actix_web::HttpRequest;
use actix_web::web::Data;

use super::read::{Names, Reading, made};
use super::sync::rows;
use super::{attention, demo};
use crate::node::LinkState;
use crate::store::{Held, Query, Sort, SortKey};
use crate::views::frame::Here;
use crate::views::home::{HomePage, Tile};
use crate::views::part::{Happening, Tone, counted, type_icon};
use crate::web::App;
use crate::web::error::{WebError, WebResult};
use crate::web::frame::{hub_name, living};
use crate::web::htmx::show as shown;
use crate::web::session::Signed;

const LATELY: usize = 8;
const WORTH_A_LOOK: usize = 4;

/// `GET /`. In the demo, whoever is not signed in yet sees what to try.
pub async fn show(req: HttpRequest, app: Data<App>) -> WebResult {
    let signed = match Signed::of(&req).await {
        Ok(signed) => signed,
        Err(WebError::SignIn) if app.demo.is_some() => return demo::page(&req, &app).await,
        Err(err) => return Err(err),
    };
    let names = Names::of(&app).await?;
    let tallies = app.node.store().tallies().await?;
    let mut tiles = Vec::new();
    let mut lately: Vec<(i64, Happening)> = Vec::new();
    for found in app.node.types(&signed.actor, false)? {
        let reading = Reading::new(found, signed.clock());
        let latest = latest(&signed, &reading).await?;
        let head = reading.head();
        let words = match latest.iter().map(|held| held.state.latest().time.millis()).max() {
            Some(at) => format!("Last saved {}", signed.clock().when_millis(at).words),
            None => "No records yet".to_owned(),
        };
        tiles.push(Tile {
            icon: type_icon(&head.name),
            count: living(&tallies, &reading.found.name),
            words,
            name: head.name,
            title: head.title,
            one: head.one,
        });
        lately.extend(latest.iter().map(|held| happening(&signed, &reading, &names, held)));
    }
    lately.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let frame = signed.frame(Here::Home).await?;
    shown(&HomePage {
        now: signed.clock().heading(),
        state: state(&app).await?,
        tiles,
        attention: attention::pointers(&signed, WORTH_A_LOOK).await?,
        lately: lately.into_iter().take(LATELY).map(|(_, happening)| happening).collect(),
        nodes: rows(&signed).await?,
        frame,
    })
}

async fn latest(signed: &Signed, reading: &Reading) -> Result<Vec<Held>, WebError> {
    let query = Query {
        type_name: reading.found.name.clone(),
        filters: Vec::new(),
        sort: vec![Sort { by: SortKey::Changed, descending: true }],
        binned: false,
        limit: LATELY,
        cursor: None,
    };
    Ok(signed.node().records(&signed.actor, &query).await?.items)
}

fn happening(signed: &Signed, reading: &Reading, names: &Names<'_>, held: &Held) -> (i64, Happening) {
    let stamp = held.state.latest();
    let is_new = made(held) == Some(stamp);
    let happening = Happening {
        tone: if is_new { Tone::Info } else { Tone::Plain },
        who: names.person(stamp.author.person),
        what: if is_new { "made" } else { "saved" }.to_owned(),
        subject: Some(reading.link(held)),
        changes: Vec::new(),
        at: signed.clock().when_millis(stamp.time.millis()),
        place: names.place(stamp.author.node),
    };
    (stamp.time.millis(), happening)
}

/// How it stands, in a sentence.
async fn state(app: &App) -> Result<String, WebError> {
    if let Some(link) = &app.link {
        let status = link.status();
        let hub = hub_name(app, &status);
        return Ok(match status.state {
            LinkState::InStep => format!("In step with {hub}."),
            LinkState::Offline => format!("{hub} is out of reach; everything works here and nothing is lost."),
            LinkState::Behind => format!("Catching up with {hub}."),
            LinkState::Paused => format!("The link to {hub} is paused; everything works here."),
            LinkState::Refused => format!("{hub} does not let this node in; everything saved here is kept."),
        });
    }
    let Some(nodes) = &app.nodes else { return Ok(String::new()) };
    let known = nodes.list().await?;
    let behind: Vec<&str> =
        known.iter().filter(|node| !node.revoked && !node.in_step).map(|node| node.name.as_str()).collect();
    let sites = known.iter().filter(|node| !node.revoked).count() as u64;
    Ok(match behind[..] {
        [] if sites == 0 => String::new(),
        [] => format!("{} in step.", crate::web::error::capital(&counted(sites, "site is", "sites are"))),
        [one] => format!("{one} is not in step yet; nothing is lost."),
        _ => format!("{} of {} are not in step yet; nothing is lost.", behind.len(), counted(sites, "site", "sites")),
    })
}
