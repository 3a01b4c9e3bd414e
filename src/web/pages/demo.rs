//! `/demo`: the first screen of a newcomer, and the switch between the two nodes.

use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use actix_web::web::{Data, Path, Query};
use serde::Deserialize;

use super::read::Reading;
use super::sign::{samples, signed_in};
use crate::domain::people::Actor;
use crate::node::KnownNode;
use crate::store::{Query as Listing, Sort, SortKey};
use crate::views::demo::{DemoNode, DemoPage};
use crate::views::frame::Here;
use crate::views::part::counted;
use crate::web::error::{WebError, WebResult};
use crate::web::htmx::{Htmx, show as shown};
use crate::web::sent::Open;
use crate::web::session::{clock, local_path};
use crate::web::{App, Demo, DemoPerson, frame};

/// The two have found each other, or not, within this time.
const SOON: Duration = Duration::from_millis(1500);
const LOOK: Duration = Duration::from_millis(25);

/// The type and the title of the record that both sides change.
const TYPE: &str = "work-order";
const RECORD: &str = "Replace hydraulic pump seal";

/// `GET /demo`.
pub async fn show(req: HttpRequest, app: Data<App>) -> WebResult {
    page(&req, &app).await
}

/// The demo's page, for anybody. Outside the demo there is none.
pub async fn page(req: &HttpRequest, app: &App) -> WebResult {
    let demo = app.demo.as_ref().ok_or(WebError::Nowhere)?;
    let frame = frame::of_anyone(req).await.at(Here::Demo);
    let is_up = demo.switch.is_up();
    let status = frame::link(app).await?;
    let (record, edit) = record(app).await?;
    let (hub_name, edge_name) = names(app).await?;
    let holds = holds(app).await?;
    let node = |name: String, address: &str, (at, person): (usize, &DemoPerson)| DemoNode {
        name,
        address: address.split_once("://").map_or(address, |(_, host)| host).to_owned(),
        holds: holds.clone(),
        home: format!("{address}/demo/as/{at}"),
        edit: format!("{address}/demo/as/{at}?next={edit}"),
        person: person.name.split(' ').next().unwrap_or_default().to_owned(),
    };
    let [first, second] = pair(demo)?;
    shown(&DemoPage {
        // the page has a switch of its own
        frame: crate::views::Frame { demo: None, banner: None, ..frame },
        is_up,
        state: status.state,
        words: if is_up { status.words } else { "Nothing passes. Both sides work on.".to_owned() },
        hub: node(hub_name, &demo.hub, first),
        edge: node(edge_name, &demo.edge, second),
        record,
        people: samples(app),
    })
}

/// Who is on the hub and who on the edge, by their place among the demo's people.
fn pair(demo: &Demo) -> Result<[(usize, &DemoPerson); 2], WebError> {
    let mut people = demo.people.iter().enumerate();
    let first = people.next().ok_or(WebError::Setup)?;
    Ok([first, people.next().unwrap_or(first)])
}

/// The record of the second step, and the path to edit it.
async fn record(app: &App) -> Result<(String, String), WebError> {
    let Ok(found) = app.node.known_type(TYPE) else { return Ok((RECORD.into(), "/".into())) };
    let query = Listing {
        type_name: found.name.clone(),
        filters: Vec::new(),
        sort: vec![Sort { by: SortKey::Changed, descending: false }],
        binned: false,
        limit: 50,
        cursor: None,
    };
    let page = app.node.records(&Actor::Operator, &query).await?;
    let is_it = |held: &&crate::store::Held| held.document.value.get("title").is_some_and(|title| title == RECORD);
    let Some(held) = page.items.iter().find(is_it).or(page.items.first()) else {
        return Ok((RECORD.into(), format!("/records/{TYPE}/new")));
    };
    let title = held.document.value.get("title").and_then(serde_json::Value::as_str);
    let name = title.map_or_else(|| Reading::new(found, clock(app)).name(held), str::to_owned);
    Ok((name, format!("/records/{TYPE}/{}/edit", held.id)))
}

/// What hub and edge are called, as far as this one of them knows.
async fn names(app: &App) -> Result<(String, String), WebError> {
    if let Some(link) = &app.link {
        return Ok((frame::hub_name(app, &link.status()), app.node.name()));
    }
    let known = match &app.nodes {
        Some(nodes) => nodes.list().await?,
        None => Vec::new(),
    };
    let edge = known.into_iter().find(|node| !node.revoked).map(|node| node.name);
    Ok((app.node.name(), edge.unwrap_or_else(|| "on site".into())))
}

/// "39 records of 3 types".
async fn holds(app: &App) -> Result<String, WebError> {
    let tallies = app.node.store().tallies().await?;
    let types = app.node.caches().types();
    let held: Vec<u64> =
        types.iter().filter(|found| !found.retired).map(|found| frame::living(&tallies, &found.name)).collect();
    let types = counted(held.len() as u64, "type", "types");
    Ok(format!("{} of {types}", counted(held.iter().sum::<u64>(), "record", "records")))
}

#[derive(Deserialize)]
pub struct Way {
    #[serde(default)]
    next: String,
}

/// `GET /demo/as/{person}`: signs a newcomer in as one of the demo's people, whose passwords everybody knows.
pub async fn enter(req: HttpRequest, app: Data<App>, person: Path<usize>, way: Query<Way>) -> WebResult {
    let demo = app.demo.as_ref().ok_or(WebError::Nowhere)?;
    let person = demo.people.get(*person).ok_or(WebError::Nowhere)?;
    let sign_in = app.node.sign_in(&person.email, &person.password).await?;
    signed_in(&req, &app, sign_in, local_path(&way.next).unwrap_or_default())
}

/// Waits a moment for what comes of a press, so that the next page shows it.
async fn settled(app: &App, is_up: bool, since: i64) {
    let begun = Instant::now();
    while begun.elapsed() < SOON {
        let is_settled = match (&app.link, &app.nodes) {
            (Some(link), _) => link.status().in_step == is_up,
            (None, Some(nodes)) if is_up => {
                let known = nodes.list().await.unwrap_or_default();
                // what a node told before does not count
                let has_told = |node: &KnownNode| node.in_step && node.last_contact >= Some(since);
                known.iter().all(|node| node.revoked || has_told(node))
            }
            // a hub does not hear that it was cut off
            _ => true,
        };
        if is_settled {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// `POST /demo/link`: cuts or restores the link. Anybody may, the demo is theirs.
pub async fn switch(req: HttpRequest, app: Data<App>, Open(fields): Open) -> WebResult {
    let demo = app.demo.as_ref().ok_or(WebError::Nowhere)?;
    let since = app.node.now();
    match fields.get("_do") {
        "cut" => demo.switch.set(false),
        "restore" => demo.switch.set(true),
        _ => return Err(WebError::Malformed("This form has no such button.".into())),
    }
    settled(&app, demo.switch.is_up(), since).await;
    Ok(Htmx::of(&req).see(local_path(fields.get("_to")).unwrap_or("/demo")))
}
