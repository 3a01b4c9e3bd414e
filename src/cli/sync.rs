//! `outpost sync`: the link of an edge to its hub.

use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use outpost::node::{Link as _, LinkState, NodeRole, Travelling, settled};
use outpost::sync::{Link, Switch};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::host::{self, Absent, Host, Served};
use super::{Failure, Result, answer, print};
use crate::config::Settings;

#[derive(Debug, Subcommand)]
pub enum Sync {
    Status(Status),
    Now(Now),
    Pause(Pause),
    Resume(Resume),
    Seen(Seen),
}

/// Show how this node stands with its hub
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost sync status --json")]
pub struct Status {}

/// Send and fetch at once, and wait until this node is in step with its hub
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost sync now")]
pub struct Now {}

/// Send and fetch nothing until told to resume, over restarts, too; work goes on
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost sync pause")]
pub struct Pause {}

/// Send and fetch again
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost sync resume")]
pub struct Resume {}

/// Put away the notice that this device's data was copied or put back; it stands in the status until then
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost sync seen")]
pub struct Seen {}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    Status,
    Now,
    Pause,
    Resume,
    Seen,
}

/// How a node stands, in the words of `GET /api/v1/sync`.
#[derive(Debug, Serialize, Deserialize)]
struct Shown {
    role: String,
    node: Named,
    upstream: Option<Upstream>,
    pending_out: u64,
    pending_in: u64,
    in_step: bool,
    #[serde(default)]
    files: Files,
}

/// Files that have to travel.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Files {
    pending_out: Travelling,
    pending_in: Travelling,
}

#[derive(Debug, Serialize, Deserialize)]
struct Named {
    id: String,
    name: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Upstream {
    url: String,
    name: String,
    state: LinkState,
    /// Absent where the node does not run.
    #[serde(default)]
    since: Option<String>,
    last_contact: Option<String>,
    reason: Option<String>,
    #[serde(default)]
    next_try: Option<String>,
}

pub async fn execute(ask: Ask, on: &Served) -> Result<Value> {
    let always_up = Switch::default();
    match ask {
        Ask::Status => {}
        Ask::Now => link(on, &always_up).await?.sync_now(),
        Ask::Pause => {
            let link = link(on, &always_up).await?;
            link.pause();
            settled(link, true).await;
        }
        Ask::Resume => {
            let link = link(on, &always_up).await?;
            link.resume();
            settled(link, false).await;
        }
        Ask::Seen => {
            let link = link(on, &always_up).await?;
            link.put_away();
            let gone = link.watch();
            let waited = tokio::time::timeout(Duration::from_secs(10), async move {
                let mut gone = gone;
                gone.wait_for(|status| status.noticed.is_none()).await.is_ok()
            });
            if !matches!(waited.await, Ok(true)) {
                return Err(Failure::new("the notice could not be put away; the log says why"));
            }
        }
    }
    answer(status(on).await?)
}

/// The link, which is started for this command where the node does not run.
async fn link<'a>(on: &'a Served, switch: &Switch) -> Result<&'a Link> {
    let link = on.start_link(switch).await?;
    link.map(|link| &**link).ok_or_else(|| Failure::new("this node is the hub; it has no link of its own: ask an edge"))
}

async fn status(on: &Served) -> Result<Shown> {
    let identity = on.node.identity();
    let node = Named { id: identity.node.to_string(), name: on.node.name() };
    let (pending_out, pending_in) = on.node.blobs().map(|blobs| blobs.travelling()).unwrap_or_default();
    let files = Files { pending_out, pending_in };
    let NodeRole::Edge(hub) = &identity.role else {
        return Ok(Shown {
            role: "hub".into(),
            node,
            upstream: None,
            pending_out: 0,
            pending_in: 0,
            in_step: true,
            files,
        });
    };
    let Some(link) = on.link() else {
        let upstream = Upstream {
            url: hub.url.clone(),
            name: hub.name.clone(),
            state: LinkState::Offline,
            since: None,
            next_try: None,
            last_contact: None,
            reason: Some("this node does not run; `outpost serve` runs it".into()),
        };
        let pending_out = on.node.store().waiting().await?;
        let upstream = Some(upstream);
        return Ok(Shown { role: "edge".into(), node, upstream, pending_out, pending_in: 0, in_step: false, files });
    };
    let status = link.status();
    let upstream = Upstream {
        url: status.url,
        name: status.hub_name,
        state: status.state,
        since: Some(print::rfc3339(status.since)),
        next_try: status.next_try.map(print::rfc3339),
        last_contact: status.last_contact.map(print::rfc3339),
        reason: status.reason,
    };
    Ok(Shown {
        role: "edge".into(),
        node,
        upstream: Some(upstream),
        pending_out: status.pending_out,
        pending_in: status.pending_in,
        in_step: status.in_step,
        files,
    })
}

pub async fn run(command: Sync, settings: &Settings) -> Result<()> {
    let (ask, name) = match command {
        Sync::Now(_) => return now(settings).await,
        Sync::Status(_) => (Ask::Status, "sync status"),
        Sync::Pause(_) => (Ask::Pause, "sync pause"),
        Sync::Resume(_) => (Ask::Resume, "sync resume"),
        Sync::Seen(_) => (Ask::Seen, "sync seen"),
    };
    let shown: Shown = host::asked(settings, Absent::Refused, name, host::Ask::Sync(ask)).await?;
    show(&shown, settings)
}

fn show(shown: &Shown, settings: &Settings) -> Result<()> {
    if settings.json {
        return print::json(shown);
    }
    let Some(upstream) = &shown.upstream else {
        return print::line(format_args!("{} is the hub; `outpost node list` shows its edges", shown.node.name));
    };
    let state = match upstream.state {
        LinkState::InStep => "in step",
        LinkState::Behind => "behind",
        LinkState::Offline => "offline",
        LinkState::Paused => "paused",
        LinkState::Refused => "refused",
    };
    let since = upstream.since.as_ref().map(|at| format!(" since {at}")).unwrap_or_default();
    print::line(format_args!("{} is {state} with {} at {}{since}", shown.node.name, upstream.name, upstream.url))?;
    if let Some(reason) = &upstream.reason {
        print::line(format_args!("  {reason}"))?;
    }
    if let Some(todo) = todo(upstream) {
        print::line(format_args!("  {todo}"))?;
    }
    if let Some(at) = &upstream.last_contact {
        print::line(format_args!("  last contact {at}"))?;
    }
    print::line(format_args!("  {} saves to send, {} records to fetch", shown.pending_out, shown.pending_in))?;
    let Files { pending_out: out, pending_in: to_fetch } = shown.files;
    print::line(format_args!(
        "  {} files to send ({} bytes), {} to fetch ({} bytes)",
        out.files, out.bytes, to_fetch.files, to_fetch.bytes
    ))
}

/// What happens next, and what somebody can do.
fn todo(upstream: &Upstream) -> Option<String> {
    match upstream.state {
        // a node that does not run says so in its reason
        LinkState::Offline if upstream.since.is_none() => None,
        LinkState::Offline => {
            let next = upstream.next_try.as_ref().map(|at| format!(", next at {at}")).unwrap_or_default();
            Some(format!("work goes on; it tries again by itself{next}, or now with `outpost sync now`"))
        }
        LinkState::Paused => Some("work goes on; `outpost sync resume` lets it send and fetch again".into()),
        LinkState::Refused => {
            Some("all that was saved here is kept; an admin of the hub can invite a new node in its place".into())
        }
        LinkState::Behind | LinkState::InStep => None,
    }
}

async fn now(settings: &Settings) -> Result<()> {
    let mut host = Host::find(settings, Absent::Refused, "sync now").await?;
    let shown = until_in_step(&mut host).await;
    host.close().await;
    show(&shown?, settings)
}

/// Asks for an exchange and waits for one that leaves the two in step.
async fn until_in_step(host: &mut Host) -> Result<Shown> {
    /// How long the hub may stay out of reach.
    const PATIENCE: Duration = Duration::from_secs(8);
    let before: Shown = host.ask(host::Ask::Sync(Ask::Status)).await?;
    let before = before.upstream.and_then(|upstream| upstream.last_contact);
    let mut shown: Shown = host.ask(host::Ask::Sync(Ask::Now)).await?;
    let mut progress = print::Progress::new("exchanging records", None);
    let mut last_moved = Instant::now();
    let mut moved = 0;
    loop {
        let Some(upstream) = &shown.upstream else { return Ok(shown) };
        if shown.in_step && upstream.last_contact != before {
            return Ok(shown);
        }
        let left = shown.pending_in + shown.pending_out;
        if upstream.state == LinkState::Behind && left != moved {
            (moved, last_moved) = (left, Instant::now());
            progress.set(left);
        }
        let reason = || upstream.reason.clone().unwrap_or_else(|| "the hub cannot be reached".into());
        match upstream.state {
            LinkState::Paused => return Err(Failure::new("the link is paused; `outpost sync resume` lets it go on")),
            LinkState::Refused => return Err(Failure::new(format!("the hub does not let this node in: {}", reason()))),
            LinkState::Offline if last_moved.elapsed() > PATIENCE => {
                return Err(Failure::new(format!("not in step with the hub at {}: {}", upstream.url, reason())));
            }
            LinkState::Behind if last_moved.elapsed() > PATIENCE * 8 => {
                return Err(Failure::new(format!("the exchange with the hub at {} does not move on", upstream.url)));
            }
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        shown = host.ask(host::Ask::Sync(Ask::Status)).await?;
    }
}
