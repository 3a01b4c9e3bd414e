//! `outpost node`: the nodes below a hub.

use clap::{Args, Subcommand};
use outpost::domain;
use outpost::node::{Keeping, KnownNode, NodeChange, Nodes, Order};
use outpost::store::REMAINS;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::host::{self, Absent, Served};
use super::{Failure, Result, answer, print};
use crate::config::Settings;

#[derive(Debug, Subcommand)]
pub enum Node {
    Invite(Invite),
    List(List),
    Change(Change),
    Revoke(Revoke),
    Forgetting(Forgetting),
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
    /// Lets it serve edges of its own, which join it as they would join this hub
    #[arg(long, env = "OUTPOST_RELAYS")]
    relays: bool,
    /// The site it is at: edges of one site may speak to each other directly, and bring each other's saves here
    #[arg(long, env = "OUTPOST_SITE", default_value = "", hide_default_value = true)]
    site: String,
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

/// Change what an edge may hold and do
///
/// It fetches what is new to it and drops what it may not hold any more, once its own saves in that have reached this hub.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  outpost node change 4f1c2a7730be9d15 --scope '{\"inspection\": [\"platform-7\", \"platform-9\"]}'"
)]
pub struct Change {
    /// Its id, as `outpost node list` shows it
    id: String,
    /// Which records the edge holds: "all", or for each type `true` or the values of the type's x-scope field
    #[arg(long, env = "OUTPOST_SCOPE", value_name = "JSON", value_parser = scope, required_unless_present_any = ["relays", "site"])]
    scope: Option<Scope>,
    /// Whether it may serve edges of its own
    #[arg(long, env = "OUTPOST_RELAYS", value_name = "BOOL")]
    relays: Option<bool>,
    /// The site it is at: edges of one site may speak to each other directly, and bring each other's saves here; "" for none
    #[arg(long, env = "OUTPOST_SITE")]
    site: Option<String>,
}

/// Withdraw an edge: from now on it gets and gives nothing more
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost node revoke 4f1c2a7730be9d15")]
pub struct Revoke {
    /// Its id, as `outpost node list` shows it
    id: String,
}

/// How long the hub waits for its edges before it forgets what was deleted
///
/// What is deleted for good, what moved elsewhere and what was decided is forgotten when every edge has heard of it, has
/// nothing left to send, and every backup holds it that may still be restored. Without options: says how it stands.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost node forgetting --silent-days 90 --bin-days 365")]
pub struct Forgetting {
    /// Do not wait for an edge that is silent for longer; when it comes back it compares all it holds
    #[arg(long, env = "OUTPOST_SILENT_DAYS", value_name = "DAYS")]
    silent_days: Option<u32>,
    /// For so long a backup may be restored
    #[arg(long, env = "OUTPOST_BACKUP_DAYS", value_name = "DAYS")]
    backup_days: Option<u32>,
    /// Delete for good what is in the bin for so long; `never` keeps it
    #[arg(long, env = "OUTPOST_BIN_DAYS", value_name = "DAYS")]
    bin_days: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    silent_days: i64,
    backup_days: i64,
    bin_days: Option<i64>,
    /// Records that are to be deleted for good, and wait for some edge to hear.
    waiting: usize,
    /// What deleted records were, which some edge may still have written in.
    remains: usize,
    /// Edges that are not waited for.
    silent: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    Forgetting {
        silent_days: Option<u32>,
        backup_days: Option<u32>,
        bin_days: Option<String>,
    },
    Invite {
        name: String,
        #[serde(deserialize_with = "domain::json::deserialize")]
        scope: Value,
        relays: bool,
        #[serde(default)]
        site: String,
    },
    List,
    Change {
        id: String,
        /// As JSON text, so that its values keep every digit.
        scope: Option<String>,
        relays: Option<bool>,
        #[serde(default)]
        site: Option<String>,
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
    #[serde(default)]
    relays: bool,
    /// Where it is, with others that it may speak to directly.
    #[serde(default)]
    site: Option<String>,
    /// The edge that serves it, if that is not this node.
    #[serde(default)]
    via: Option<String>,
    enrolled_at: String,
    last_contact: Option<String>,
    revoked: bool,
    behind: Option<u64>,
    waiting: Option<u64>,
    in_step: bool,
    /// It was silent for so long that nobody waits for it before something is forgotten.
    #[serde(default)]
    silent: bool,
    /// What the hub noticed of its data, in words.
    noticed: Option<String>,
}

impl Shown {
    fn of(known: KnownNode) -> Self {
        Self {
            id: known.id.to_string(),
            name: known.name,
            scope: known.scope,
            relays: known.relays,
            site: known.site,
            via: known.via,
            enrolled_at: print::rfc3339(known.enrolled_at),
            last_contact: known.last_contact.map(print::rfc3339),
            revoked: known.revoked,
            behind: known.behind,
            waiting: known.waiting,
            in_step: known.in_step,
            silent: known.silent,
            noticed: known.past.map(|past| format!("since {} {}", print::rfc3339(past.since), past.noticed.words())),
        }
    }

    fn state(&self) -> String {
        match self {
            Self { revoked: true, .. } => "revoked".into(),
            Self { last_contact: None, .. } => "not heard of yet".into(),
            Self { silent: true, .. } => "silent for too long".into(),
            Self { in_step: true, .. } => "in step".into(),
            Self { behind, waiting, .. } => {
                format!("{} behind, {} waiting", behind.unwrap_or(0), waiting.unwrap_or(0))
            }
        }
    }
}

pub async fn execute(ask: Ask, on: &Served) -> Result<Value> {
    on.must_serve()?;
    let nodes = on.nodes();
    match ask {
        Ask::Invite { name, scope, relays, site } => {
            let token = nodes.invite_to(&name, scope, relays, &site).await?;
            answer(Invited { token, url: on.url.clone() })
        }
        Ask::Forgetting { silent_days, backup_days, bin_days } => {
            let store = on.node.store();
            let mut keeping = Keeping::load(&**store).await?;
            if silent_days.is_some() || backup_days.is_some() || bin_days.is_some() {
                on.must_be_hub("how long is waited for is said")?;
                keeping = keeping.in_days(silent_days, backup_days, bin_days.as_deref()).map_err(Failure::new)?;
                keeping.keep(&**store).await?;
            }
            nodes.forget().await?;
            let days = |millis: i64| millis / (24 * 3_600_000);
            answer(Kept {
                silent_days: days(keeping.silent),
                backup_days: days(keeping.backups),
                bin_days: keeping.bin.map(days),
                waiting: Order::all(&**store).await?.len(),
                remains: store.locals(REMAINS).await?.len(),
                silent: nodes.list().await?.into_iter().filter(|node| node.silent).map(|node| node.name).collect(),
            })
        }
        Ask::List => answer(nodes.list().await?.into_iter().map(Shown::of).collect::<Vec<_>>()),
        Ask::Change { id, scope, relays, site } => {
            let known = known(&*nodes, &id).await?;
            if known.revoked {
                return Err(Failure::new(format!("{} is revoked and holds nothing of this hub any more", known.name)));
            }
            let scope = scope
                .as_deref()
                .map(domain::json::read)
                .transpose()
                .map_err(|fault| Failure::new(fault.to_string()))?;
            if scope.is_some() || relays.is_some() {
                nodes.change(known.id, NodeChange { scope, relays }).await?;
            }
            if let Some(site) = site {
                nodes.move_to(known.id, &site).await?;
            }
            answer(Shown::of(self::known(&*nodes, &id).await?))
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
    if let Some(KnownNode { via: Some(via), name, .. }) = &known {
        return Err(Failure::new(format!("{name} is served by {via}; it is changed and revoked there")));
    }
    known.ok_or_else(|| Failure::new(format!("there is no edge {id}; `outpost node list` shows which there are")))
}

pub async fn run(command: Node, settings: &Settings) -> Result<()> {
    match command {
        Node::Invite(Invite { name, scope: Scope(scope), relays, site }) => {
            let ask = host::Ask::Node(Ask::Invite { name, scope, relays, site });
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
            for node in &nodes {
                if let Some(noticed) = &node.noticed {
                    print::note(format_args!("{}: {noticed}", node.name));
                }
            }
            let rows: Vec<_> = nodes
                .into_iter()
                .map(|node| {
                    let state = node.state();
                    let name = match &node.via {
                        Some(via) => format!("{} (via {via})", node.name),
                        None => node.name,
                    };
                    [node.id, name, node.last_contact.unwrap_or_default(), state, node.scope.to_string()]
                })
                .collect();
            let none = "This hub has no edges yet; `outpost node invite` lets one in.";
            print::table(["ID", "NAME", "LAST CONTACT", "STATE", "SCOPE"], &rows, none)
        }
        Node::Forgetting(Forgetting { silent_days, backup_days, bin_days }) => {
            let ask = host::Ask::Node(Ask::Forgetting { silent_days, backup_days, bin_days });
            let kept: Kept = host::asked(settings, Absent::Refused, "node forgetting", ask).await?;
            if settings.json {
                return print::json(&kept);
            }
            print::line(format_args!(
                "an edge is waited for as long as it was heard of within {} days",
                kept.silent_days
            ))?;
            print::line(format_args!("a backup may be restored for {} days", kept.backup_days))?;
            match kept.bin_days {
                Some(days) => print::line(format_args!("what is in the bin for {days} days is deleted for good"))?,
                None => print::line("what is in the bin stays there until an admin deletes it for good")?,
            }
            if kept.waiting > 0 {
                print::line(format_args!("{} records wait to be deleted until every edge has heard", kept.waiting))?;
            }
            if kept.remains > 0 {
                print::line(format_args!("{} deleted records are kept until every edge has heard", kept.remains))?;
            }
            for name in &kept.silent {
                print::line(format_args!("{name} is not waited for: it was silent for too long"))?;
            }
            Ok(())
        }
        Node::Change(Change { id, scope, relays, site }) => {
            let scope = scope.map(|Scope(scope)| scope.to_string());
            let ask = host::Ask::Node(Ask::Change { id, scope, relays, site });
            let shown: Shown = host::asked(settings, Absent::Refused, "node change", ask).await?;
            if settings.json {
                return print::json(&shown);
            }
            let serves = if shown.relays { ", and may serve edges of its own" } else { "" };
            let at = shown.site.as_deref().map(|site| format!(", at the site {site}")).unwrap_or_default();
            print::line(format_args!("{} holds {} from its next contact on{serves}{at}", shown.name, shown.scope))
        }
        Node::Revoke(Revoke { id }) => {
            let ask = host::Ask::Node(Ask::Revoke { id });
            let shown: Shown = host::asked(settings, Absent::Refused, "node revoke", ask).await?;
            if settings.json { print::json(&shown) } else { print::line(format_args!("{} is revoked", shown.name)) }
        }
    }
}
