//! `outpost node`: the nodes below a hub.

use clap::{Args, Subcommand};
use outpost::domain;
use outpost::node::{KnownNode, Nodes};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::host::{self, Absent, Served};
use super::{Failure, Result, answer, print};
use crate::config::Settings;

#[derive(Debug, Subcommand)]
pub enum Node {
    Invite(Invite),
    List(List),
    Scope(Rescope),
    Revoke(Revoke),
}

/// Make a token with which one edge can join, and print it, this once
///
/// It is used up by the first edge that joins with it, and expires after seven days.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  outpost node invite --name \"Platform 7\" --scope '{\"work-order\": true, \"inspection\": [\"platform-7\"]}'"
)]
pub struct Invite {
    /// What people call the edge; else it names itself
    #[arg(long, env = "OUTPOST_NAME", default_value = "", hide_default_value = true)]
    name: String,
    /// Which records the edge holds: "all", or for each type `true` or the values of the type's x-scope field
    #[arg(long, env = "OUTPOST_SCOPE", default_value = "\"all\"", value_name = "JSON", value_parser = scope)]
    scope: Scope,
}

/// A scope as JSON; what it says is judged by the node.
#[derive(Debug, Clone)]
struct Scope(Value);

fn scope(text: &str) -> Result<Scope, String> {
    if text.trim() == "all" {
        return Ok(Scope(Value::String("all".into())));
    }
    let value = domain::json::read(text)
        .map_err(|fault| format!("{fault}; an example is {{\"inspection\": [\"platform-7\"]}}"))?;
    Ok(Scope(value))
}

/// List the edges of this hub, and how they stand
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost node list --json")]
pub struct List {}

/// Say anew what an edge holds
///
/// It fetches what is new to it and drops what it may not hold any more, once its own saves in that have reached this hub.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  outpost node scope 4f1c2a7730be9d15 '{\"inspection\": [\"platform-7\", \"platform-9\"]}'"
)]
pub struct Rescope {
    /// Its id, as `outpost node list` shows it
    id: String,
    /// Which records the edge holds: "all", or for each type `true` or the values of the type's x-scope field
    #[arg(value_name = "JSON", value_parser = scope)]
    scope: Scope,
}

/// Withdraw an edge: from now on it gets and gives nothing more
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost node revoke 4f1c2a7730be9d15")]
pub struct Revoke {
    /// Its id, as `outpost node list` shows it
    id: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    Invite {
        name: String,
        #[serde(deserialize_with = "domain::json::deserialize")]
        scope: Value,
    },
    List,
    Scope {
        id: String,
        #[serde(deserialize_with = "domain::json::deserialize")]
        scope: Value,
    },
    Revoke {
        id: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Invited {
    token: String,
    /// Where the edge finds this hub, as far as it knows itself.
    url: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Shown {
    id: String,
    name: String,
    scope: Value,
    enrolled_at: String,
    last_contact: Option<String>,
    revoked: bool,
    behind: Option<u64>,
    waiting: Option<u64>,
    in_step: bool,
}

impl Shown {
    fn of(known: KnownNode) -> Self {
        Self {
            id: known.id.to_string(),
            name: known.name,
            scope: known.scope,
            enrolled_at: print::rfc3339(known.enrolled_at),
            last_contact: known.last_contact.map(print::rfc3339),
            revoked: known.revoked,
            behind: known.behind,
            waiting: known.waiting,
            in_step: known.in_step,
        }
    }

    fn state(&self) -> String {
        match self {
            Self { revoked: true, .. } => "revoked".into(),
            Self { last_contact: None, .. } => "not heard of yet".into(),
            Self { in_step: true, .. } => "in step".into(),
            Self { behind, waiting, .. } => {
                format!("{} behind, {} waiting", behind.unwrap_or(0), waiting.unwrap_or(0))
            }
        }
    }
}

pub async fn execute(ask: Ask, on: &Served) -> Result<Value> {
    on.must_be_hub("edges are let in and withdrawn")?;
    let nodes = on.nodes().ok_or_else(|| Failure::new("this node knows no others"))?;
    match ask {
        Ask::Invite { name, scope } => {
            let token = nodes.invite(&name, scope).await?;
            answer(Invited { token, url: on.url.clone() })
        }
        Ask::List => answer(nodes.list().await?.into_iter().map(Shown::of).collect::<Vec<_>>()),
        Ask::Scope { id, scope } => {
            let known = known(&*nodes, &id).await?;
            if known.revoked {
                return Err(Failure::new(format!("{} is revoked and holds nothing of this hub any more", known.name)));
            }
            nodes.rescope(known.id, scope.clone()).await?;
            answer(Shown::of(KnownNode { scope, ..known }))
        }
        Ask::Revoke { id } => {
            let known = known(&*nodes, &id).await?;
            nodes.revoke(known.id).await?;
            answer(Shown::of(KnownNode { revoked: true, ..known }))
        }
    }
}

async fn known(nodes: &dyn Nodes, id: &str) -> Result<KnownNode> {
    let known = nodes.list().await?.into_iter().find(|known| known.id.to_string() == id);
    known.ok_or_else(|| Failure::new(format!("there is no edge {id}; `outpost node list` shows which there are")))
}

pub async fn run(command: Node, settings: &Settings) -> Result<()> {
    match command {
        Node::Invite(Invite { name, scope: Scope(scope) }) => {
            let ask = host::Ask::Node(Ask::Invite { name, scope });
            let invited: Invited = host::asked(settings, Absent::BecomesHub, "node invite", ask).await?;
            if settings.json {
                return print::json(&invited);
            }
            let url = invited.url.as_deref().unwrap_or("http://THIS-HUB:8080");
            print::note(format_args!("On the new edge: outpost join {url} --token {}", invited.token));
            print::line(invited.token)
        }
        Node::List(_) => {
            let nodes: Vec<Shown> =
                host::asked(settings, Absent::Refused, "node list", host::Ask::Node(Ask::List)).await?;
            if settings.json {
                return print::json(&nodes);
            }
            let rows: Vec<_> = nodes
                .into_iter()
                .map(|node| {
                    let state = node.state();
                    [node.id, node.name, node.last_contact.unwrap_or_default(), state, node.scope.to_string()]
                })
                .collect();
            let none = "This hub has no edges yet; `outpost node invite` lets one in.";
            print::table(["ID", "NAME", "LAST CONTACT", "STATE", "SCOPE"], &rows, none)
        }
        Node::Scope(Rescope { id, scope: Scope(scope) }) => {
            let ask = host::Ask::Node(Ask::Scope { id, scope });
            let shown: Shown = host::asked(settings, Absent::Refused, "node scope", ask).await?;
            if settings.json {
                return print::json(&shown);
            }
            print::line(format_args!("{} holds {} from its next contact on", shown.name, shown.scope))
        }
        Node::Revoke(Revoke { id }) => {
            let ask = host::Ask::Node(Ask::Revoke { id });
            let shown: Shown = host::asked(settings, Absent::Refused, "node revoke", ask).await?;
            if settings.json { print::json(&shown) } else { print::line(format_args!("{} is revoked", shown.name)) }
        }
    }
}
