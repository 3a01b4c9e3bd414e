//! The nodes below a hub: invited, listed, withdrawn. And the link of an edge to its hub.

use std::sync::Arc;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::caller::Caller;
use super::write::Who;
use super::{Problem, body, query, segment, time};
use crate::domain::ids::NodeId;
use crate::domain::people::Operation;
use crate::node::{KnownNode, Link, Node, NodeChange, NodeError, NodeRole, Nodes, PeerStatus, settled};
use crate::web::App;

/// `GET /nodes`
pub async fn list(app: Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    caller.may(Operation::Administer)?;
    let known = nodes(&app)?.list().await?;
    Ok(super::json(&query::page(known.iter().map(shown).collect(), None)))
}

/// `POST /nodes/invitations`
pub async fn invite(
    req: HttpRequest,
    app: Data<App>,
    caller: Caller,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    caller.may(Operation::Administer)?;
    let nodes = nodes(&app)?;
    let (mut name, mut scope, mut relays, mut site) = (String::new(), json!("all"), false, String::new());
    for (member, value) in body::json_object(&req, payload).await? {
        match (member.as_str(), value) {
            ("name", Value::String(text)) if text.chars().count() <= 100 => name = text.trim().to_owned(),
            ("name", _) => return Err(Problem::member("/name", "type", "A name is a text of at most 100 characters.")),
            ("scope", value) => {
                check_scope(&value)?;
                scope = value;
            }
            ("relays", Value::Bool(given)) => relays = given,
            ("relays", _) => return Err(no_switch()),
            ("site", value) => site = site_of(&value)?,
            _ => return Err(super::unknown_member(&member, "name, scope, relays and site")),
        }
    }
    let token = nodes.invite_to(&name, scope.clone(), relays, &site).await?;
    Ok(HttpResponse::Created()
        .insert_header(super::NO_STORE)
        .json(json!({ "token": token, "name": name, "scope": scope, "relays": relays, "site": site })))
}

/// The name of a site; an empty one, or null, is none.
fn site_of(value: &Value) -> Result<String, Problem> {
    match value {
        Value::Null => Ok(String::new()),
        Value::String(name) => Ok(name.clone()),
        _ => Err(Problem::member("/site", "type", "The site is a name, or null.")),
    }
}

fn no_switch() -> Problem {
    Problem::member("/relays", "type", "Whether it may serve edges of its own is true or false.")
}

/// `"all"`, or per type `true` or the values of its scope field.
fn check_scope(scope: &Value) -> Result<(), Problem> {
    let example = "for example \"all\" or {\"work-order\": [\"platform-7\"], \"inspection\": true}";
    let good = match scope {
        Value::String(word) => word == "all",
        Value::Object(types) => types.values().all(|part| matches!(part, Value::Bool(true) | Value::Array(_))),
        _ => false,
    };
    let message = format!("A scope is \"all\", or says true or a list of values for each type, {example}.");
    if good { Ok(()) } else { Err(Problem::member("/scope", "type", message)) }
}

/// `PATCH /nodes/{id}`
pub async fn change(
    req: HttpRequest,
    app: Data<App>,
    caller: Caller,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    caller.may(Operation::Administer)?;
    let below = nodes(&app)?;
    let mut change = NodeChange::default();
    let mut site = None;
    for (member, value) in body::json_object(&req, payload).await? {
        match (member.as_str(), value) {
            ("scope", value) => {
                check_scope(&value)?;
                change.scope = Some(value);
            }
            ("relays", Value::Bool(given)) => change.relays = Some(given),
            ("relays", _) => return Err(no_switch()),
            ("site", value) => site = Some(site_of(&value)?),
            _ => return Err(super::unknown_member(&member, "scope, relays and site")),
        }
    }
    let id = node_id(&req)?;
    // one that is of no use changes nothing
    if let Some(site) = &site {
        below.move_to(id, site).await?;
    }
    if site.is_none() || change != NodeChange::default() {
        below.change(id, change).await?;
    }
    one(below, id).await
}

/// `DELETE /nodes/{id}`
pub async fn revoke(req: HttpRequest, app: Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    caller.may(Operation::Administer)?;
    let below = nodes(&app)?;
    let id = node_id(&req)?;
    below.revoke(id).await?;
    one(below, id).await
}

fn node_id(req: &HttpRequest) -> Result<NodeId, Problem> {
    Ok(segment(req, "id").parse().map_err(|_| NodeError::NotFound("node"))?)
}

async fn one(nodes: &Arc<dyn Nodes>, id: NodeId) -> Result<HttpResponse, Problem> {
    let known = nodes.list().await?.into_iter().find(|known| known.id == id);
    Ok(super::json(&shown(&known.ok_or(NodeError::NotFound("node"))?)))
}

fn nodes(app: &App) -> Result<&Arc<dyn Nodes>, Problem> {
    let nodes = app.nodes.as_ref().filter(|nodes| nodes.serves());
    nodes.ok_or_else(|| Problem::conflict("This node is an edge; nodes are let in by the hub."))
}

fn shown(known: &KnownNode) -> Value {
    json!({
        "id": known.id,
        "name": known.name,
        "scope": known.scope,
        "relays": known.relays,
        "site": known.site,
        "via": known.via,
        "enrolled_at": time::text(known.enrolled_at),
        "last_contact": known.last_contact.map(time::text),
        "revoked": known.revoked,
        "behind": known.behind,
        "waiting": known.waiting,
        "in_step": known.in_step,
        "silent": known.silent,
        "noticed": known.past.map(|past| json!({"what": past.noticed, "since": time::text(past.since)})),
    })
}

/// `GET /sync`
pub async fn link(app: Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    caller.may(Operation::See)?;
    status(&app).await
}

/// `POST /sync/now`
pub async fn sync_now(app: Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    steered(&app, &caller)?.sync_now();
    status(&app).await
}

/// `POST /sync/pause`
pub async fn pause(app: Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    let link = steered(&app, &caller)?;
    link.pause();
    settled(link, true).await;
    status(&app).await
}

/// `POST /sync/resume`
pub async fn resume(app: Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    let link = steered(&app, &caller)?;
    link.resume();
    settled(link, false).await;
    status(&app).await
}

/// The link, for one who may steer it.
fn steered<'a>(app: &'a App, caller: &Caller) -> Result<&'a dyn Link, Problem> {
    caller.may(Operation::Link)?;
    app.link.as_deref().ok_or_else(|| Problem::conflict("This node is the hub; it has no link upwards."))
}

/// Another edge of the site.
fn peer(peer: &PeerStatus) -> Value {
    json!({
        "url": peer.url,
        "name": peer.name,
        "state": peer.state,
        "since": time::text(peer.since),
        "last_contact": peer.last_contact.map(time::text),
        "reason": peer.reason,
        "next_try": peer.next_try.map(time::text),
        "saves": peer.saves,
        "records": peer.records,
        "chunks": peer.chunks,
    })
}

/// Files that have to travel.
fn files(node: &Node) -> Value {
    let (out, to_fetch) = node.blobs().map(|blobs| blobs.travelling()).unwrap_or_default();
    json!({ "pending_out": out, "pending_in": to_fetch })
}

async fn status(app: &App) -> Result<HttpResponse, Problem> {
    let node = &app.node;
    let role = match node.identity().role {
        NodeRole::Hub => "hub",
        NodeRole::Edge(_) => "edge",
    };
    let own = Who::here(node).node(node.identity().node);
    let Some(link) = &app.link else {
        return Ok(super::json(&json!({
            "role": role, "node": own, "upstream": null, "pending_out": 0, "pending_in": 0, "in_step": true,
            "files": files(node),
        })));
    };
    let status = link.status();
    let mut said = json!({
        "role": role,
        "node": own,
        "upstream": {
            "url": status.url,
            "name": status.hub_name,
            "state": status.state,
            "since": time::text(status.since),
            "last_contact": status.last_contact.map(time::text),
            "reason": status.reason,
            "next_try": status.next_try.map(time::text),
            "above": status.above.as_ref().map(|above| json!({
                "name": above.name,
                "in_step": above.in_step,
                "waiting": above.waiting,
                "last_contact": above.last_contact.map(time::text),
            })),
        },
        "pending_out": status.pending_out,
        "pending_in": status.pending_in,
        "in_step": status.in_step,
        "clock_ahead_ms": status.clock_ahead,
        "files": files(node),
    });
    if let Some(peers) = link.peers() {
        said["peers"] = peers.list().iter().map(peer).collect();
        said["site"] = peers
            .named()
            .into_iter()
            .map(|(name, asked)| json!({"name": name, "asked": asked.map(time::text)}))
            .collect();
    }
    if let Some(at) = status.noticed {
        said["upstream"]["noticed"] = json!(time::text(at));
    }
    Ok(super::json(&said))
}
