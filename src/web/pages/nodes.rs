//! `/nodes`: the edges of this hub.

use std::sync::Arc;

use actix_web::web::Path;
use serde_json::{Value, json};

use super::holds;
use super::sign::message;
use crate::domain::FieldError;
use crate::domain::ids::NodeId;
use crate::domain::people::Operation;
use crate::node::{KnownNode, NodeChange, NodeError, Nodes, Noticed};
use crate::views::confirm::ConfirmPage;
use crate::views::frame::Here;
use crate::views::nodes::{Fresh, Holds, Node as Row, NodesPage};
use crate::views::part::{Link, Tone, counted};
use crate::views::value::Clock;
use crate::web::error::{WebError, WebResult};
use crate::web::htmx::{refused, show as shown};
use crate::web::sent::Sent;
use crate::web::session::{Done, Signed};

/// `GET /nodes`.
pub async fn show(signed: Signed) -> WebResult {
    shown(&page(&signed).await?)
}

async fn page(signed: &Signed) -> Result<NodesPage, WebError> {
    let known = below(signed)?.list().await?;
    let clock = signed.clock();
    let this = Row {
        id: signed.node().identity().node.to_string(),
        name: signed.node().name(),
        tone: Tone::Ok,
        icon: "hub",
        words: if signed.node().is_hub() { "The hub" } else { "An edge that serves others" }.to_owned(),
        scope: String::new(),
        is_this: true,
        is_revoked: false,
        holds: None,
    };
    let edges = known.into_iter().map(|node| Row {
        holds: (!node.revoked && node.via.is_none()).then(|| {
            holds::form(signed.node(), &format!("holds-{}", node.id), &node.scope, node.relays, site_of(&node))
        }),
        id: node.id.to_string(),
        tone: if node.revoked {
            Tone::Plain
        } else if node.past.is_some_and(|past| past.noticed == Noticed::RunsTwice) {
            Tone::Stop
        } else if node.in_step && !is_silent(&node, &clock) {
            Tone::Ok
        } else {
            Tone::Wait
        },
        icon: if node.revoked { "cut" } else { "edge" },
        words: words(&node, &clock),
        scope: match &node.site {
            _ if node.revoked => String::new(),
            Some(site) => format!("{}, at {site}", scope_words(&node.scope)),
            None => scope_words(&node.scope),
        },
        is_this: false,
        is_revoked: node.revoked,
        name: match &node.via {
            Some(via) => format!("{} (via {via})", node.name),
            None => node.name,
        },
    });
    let nodes = std::iter::once(this).chain(edges).collect();
    let holds = holds::form(signed.node(), NEW, &json!("all"), false, "");
    Ok(NodesPage { frame: signed.frame(Here::Nodes).await?, nodes, holds, ..NodesPage::default() })
}

fn site_of(node: &KnownNode) -> &str {
    node.site.as_deref().unwrap_or_default()
}

/// The nodes below, for an admin of a hub.
fn below(signed: &Signed) -> Result<Arc<dyn Nodes>, WebError> {
    signed.may(Operation::Administer)?;
    signed.app.nodes.clone().filter(|nodes| nodes.serves()).ok_or(WebError::Nowhere)
}

/// A node that listens says hello each minute; one that has not for so long is out of reach.
const SILENT_MILLIS: i64 = 180_000;

pub fn is_silent(node: &KnownNode, clock: &Clock) -> bool {
    node.last_contact.is_some_and(|at| clock.now.as_millisecond() - at > SILENT_MILLIS)
}

/// "In step, spoke 14:31".
pub fn words(node: &KnownNode, clock: &Clock) -> String {
    if node.revoked {
        return "Withdrawn; it fetches nothing any more".to_owned();
    }
    let state = match (node.in_step, node.behind) {
        _ if node.silent => "Silent for too long; when it comes back it compares all it holds".to_owned(),
        (true, _) if is_silent(node, clock) => "Out of reach, in step before".to_owned(),
        (_, Some(n)) if n > 0 && is_silent(node, clock) => {
            format!("Out of reach, {} behind", counted(n, "record", "records"))
        }
        (_, _) if is_silent(node, clock) => "Out of reach".to_owned(),
        (true, _) => "In step".to_owned(),
        (false, Some(n)) if n > 0 => format!("{} behind", counted(n, "record", "records")),
        (false, _) => "Not in step yet".to_owned(),
    };
    let spoke = match node.last_contact {
        Some(at) => format!("spoke {}", clock.when_millis(at).words),
        None => "has not spoken yet".to_owned(),
    };
    let waiting = node.waiting.filter(|n| *n > 0).map(|n| format!(", holds {} back", counted(n, "save", "saves")));
    let past = known_past(node, clock);
    format!("{state}, {spoke}{}{}", waiting.unwrap_or_default(), past.unwrap_or_default())
}

/// "; since Fri 14:20 a copy of this device's data is running …".
fn known_past(node: &KnownNode, clock: &Clock) -> Option<String> {
    let past = node.past?;
    Some(format!("; since {} {}", clock.when_millis(past.since).words, past.noticed.words()))
}

/// "everything", "work-order: platform-7, platform-9; inspection".
pub fn scope_words(scope: &Value) -> String {
    let Some(types) = scope.as_object() else { return "everything".to_owned() };
    let one = |(name, values): (&String, &Value)| match values {
        Value::Array(values) => {
            let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("{name}: {}", values.iter().map(plain).collect::<Vec<_>>().join(", "))
        }
        _ => name.clone(),
    };
    let types: Vec<String> = types.iter().map(one).collect();
    if types.is_empty() { "no records".to_owned() } else { types.join("; ") }
}

/// The form of an invitation among those of the page.
const NEW: &str = "new";

/// `POST /nodes`: an invitation.
pub async fn invite(sent: Sent) -> WebResult {
    let below = below(&sent)?;
    let name = sent.fields.get("name").trim();
    let wanted = match holds::read(sent.node(), NEW, &sent.fields, &Value::Null) {
        Ok(wanted) => wanted,
        Err(holds) => return refused(&NodesPage { name: name.into(), holds, ..page(&sent).await? }),
    };
    let (relays, at) = (holds::relays(&sent.fields), holds::site(&sent.fields));
    match below.invite_to(name, wanted.clone(), relays, at).await {
        Ok(token) => {
            let fresh = Fresh {
                command: format!("outpost join {} --token {token}", own_address(&sent)),
                words: "It works once, within 7 days. Then start the edge with outpost serve.".to_owned(),
            };
            shown(&NodesPage { fresh: Some(fresh), ..page(&sent).await? })
        }
        Err(NodeError::Invalid(errors)) => {
            let holds = Holds { error: others(&errors), ..holds::form(sent.node(), NEW, &wanted, relays, at) };
            let name_error = message(&errors, "name");
            refused(&NodesPage { name: name.into(), name_error, holds, ..page(&sent).await? })
        }
        Err(err) => Err(err.into()),
    }
}

/// What is wrong besides the name.
fn others(errors: &[FieldError]) -> Option<String> {
    let others = errors.iter().filter(|error| error.pointer != "/name").map(|error| error.message.as_str());
    let others = others.collect::<Vec<_>>().join(" ");
    (!others.is_empty()).then_some(others)
}

/// Where this node is, as the browser sees it.
fn own_address(signed: &Signed) -> String {
    let connection = signed.req.connection_info();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".:[]-".contains(c);
    match connection.host() {
        host if host.chars().all(is_plain) => format!("{}://{host}", connection.scheme()),
        _ => "ADDRESS-OF-THIS-HUB".to_owned(),
    }
}

/// Says anew what a node holds.
async fn rescope(sent: &Sent, below: &dyn Nodes, known: &KnownNode) -> WebResult {
    let (id, relays) = (format!("holds-{}", known.id), holds::relays(&sent.fields));
    let at = holds::site(&sent.fields);
    let wrong = match holds::read(sent.node(), &id, &sent.fields, &known.scope) {
        Err(wrong) => wrong,
        Ok(scope) => {
            let change = NodeChange { scope: Some(scope.clone()), relays: Some(relays) };
            // one that is of no use changes nothing
            let moved = if at == site_of(known) { Ok(()) } else { below.move_to(known.id, at).await };
            let changed = match moved {
                Ok(()) => below.change(known.id, change).await,
                Err(err) => Err(err),
            };
            match changed {
                Ok(()) => return sent.done("/nodes", Done::Changed),
                Err(NodeError::Invalid(errors)) => {
                    Holds { error: others(&errors), ..holds::form(sent.node(), &id, &scope, relays, at) }
                }
                Err(err) => return Err(err.into()),
            }
        }
    };
    let mut page = page(sent).await?;
    let row = page.nodes.iter_mut().find(|row| row.id == known.id.to_string());
    row.into_iter().for_each(|row| row.holds = Some(wrong.clone()));
    refused(&page)
}

/// `POST /nodes/{id}`: changes what a node holds, or withdraws it, once it was asked whether it is meant.
pub async fn change(sent: Sent, id: Path<String>) -> WebResult {
    let below = below(&sent)?;
    let id: NodeId = id.parse().map_err(|_| WebError::Nowhere)?;
    let known = below
        .list()
        .await?
        .into_iter()
        .find(|node| node.id == id && node.via.is_none())
        .ok_or(NodeError::NotFound("node"))?;
    match sent.fields.get("_do") {
        "revoke" => {}
        "rescope" => return rescope(&sent, &*below, &known).await,
        _ => return Err(WebError::Malformed("This form has no such button.".into())),
    }
    if sent.fields.get("_sure") == "yes" {
        below.revoke(id).await?;
        return sent.done("/nodes", Done::Withdrawn);
    }
    shown(&ConfirmPage {
        frame: sent.frame(Here::Nodes).await?,
        question: format!("Withdraw {}?", known.name),
        consequences: vec![
            "It fetches nothing any more. Saves that it still holds come into quarantine, where you decide about them."
                .to_owned(),
            "What came from it before stays. It cannot be let in again; a new invitation makes a new node.".to_owned(),
        ],
        action: format!("/nodes/{id}"),
        fields: vec![("_do".into(), "revoke".into())],
        yes: format!("Withdraw {}", known.name),
        no: Link::to("/nodes", "Keep it"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_told_in_words() {
        for (scope, words) in [
            (json!("all"), "everything"),
            (json!({}), "no records"),
            (json!({"work-order": ["platform-7", 9], "inspection": true}), "work-order: platform-7, 9; inspection"),
        ] {
            assert_eq!(scope_words(&scope), words);
        }
    }
}
