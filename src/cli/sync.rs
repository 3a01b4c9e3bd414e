//! `outpost sync`: the link of an edge to its hub.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use outpost::node::{
    Link as _, LinkState, NodeError, NodeRole, PeerState, PeerStatus, Peers as _, Travelling, settled,
};
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
    #[command(subcommand)]
    Peer(Peer),
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

/// Other edges of the same site, which this one asks directly while the hub is away, and for a first copy
///
/// The hub says which edges are at one site: `outpost node invite --site NAME`, or `outpost node change ID --site NAME`. Each of
/// them has to be told where the others answer.
#[derive(Debug, Subcommand)]
pub enum Peer {
    Add(AddPeer),
    List(ListPeers),
    Remove(RemovePeer),
}

/// Ask another edge of this site, at its address, from now on
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost sync peer add http://192.168.1.20:8080")]
pub struct AddPeer {
    /// Where it answers, as seen from this edge
    url: String,
}

/// List the addresses that are asked, and how each stands
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost sync peer list --json")]
pub struct ListPeers {}

/// Do not ask at an address any more
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost sync peer remove http://192.168.1.20:8080")]
pub struct RemovePeer {
    /// The address, as `outpost sync peer list` shows it
    url: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    AddPeer { url: String },
    RemovePeer { url: String },
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
    /// The other edges of the site that this one asks.
    #[serde(default)]
    peers: Vec<ShownPeer>,
    /// What the hub calls those that it named.
    #[serde(default)]
    site: Vec<String>,
}

/// How this edge stands with another, in the words of `GET /api/v1/sync`.
#[derive(Debug, Serialize, Deserialize)]
struct ShownPeer {
    url: String,
    name: Option<String>,
    state: PeerState,
    since: String,
    last_contact: Option<String>,
    reason: Option<String>,
    next_try: Option<String>,
    saves: u64,
    records: u64,
    chunks: u64,
}

impl From<PeerStatus> for ShownPeer {
    fn from(peer: PeerStatus) -> Self {
        let PeerStatus { url, name, state, reason, saves, records, chunks, .. } = peer;
        let since = print::rfc3339(peer.since);
        let [last_contact, next_try] = [peer.last_contact, peer.next_try].map(|at| at.map(print::rfc3339));
        Self { url, name, state, since, last_contact, reason, next_try, saves, records, chunks }
    }
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
        Ask::AddPeer { url } => peers(on).await?.add(&url).await?,
        Ask::RemovePeer { url } => peers(on).await?.remove(&url).await.map_err(|err| match err {
            NodeError::NotFound(_) => {
                Failure::new(format!("{url} is not asked; `outpost sync peer list` shows which addresses are"))
            }
            err => err.into(),
        })?,
        Ask::Now => {
            link(on, &always_up).await?.sync_now();
            on.peers().await?.iter().for_each(|peers| peers.now());
        }
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

async fn peers(on: &Served) -> Result<&Arc<outpost::sync::Peers>> {
    let peers = on.peers().await?;
    peers.ok_or_else(|| Failure::new("this node is the hub, which is no peer of its edges: say it on each edge"))
}

async fn status(on: &Served) -> Result<Shown> {
    let peers = on.peers().await?;
    let site = peers.map(|peers| peers.named().into_iter().map(|(name, _)| name).collect()).unwrap_or_default();
    let peers: Vec<ShownPeer> =
        peers.map(|peers| peers.list().into_iter().map(Into::into).collect()).unwrap_or_default();
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
            peers,
            site,
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
        return Ok(Shown {
            role: "edge".into(),
            node,
            upstream,
            pending_out,
            pending_in: 0,
            in_step: false,
            files,
            peers,
            site,
        });
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
        peers,
        site,
    })
}

pub async fn run(command: Sync, settings: &Settings) -> Result<()> {
    let (ask, name) = match command {
        Sync::Now(_) => return now(settings).await,
        Sync::Peer(command) => return run_peer(command, settings).await,
        Sync::Status(_) => (Ask::Status, "sync status"),
        Sync::Pause(_) => (Ask::Pause, "sync pause"),
        Sync::Resume(_) => (Ask::Resume, "sync resume"),
        Sync::Seen(_) => (Ask::Seen, "sync seen"),
    };
    let shown: Shown = host::asked(settings, Absent::Refused, name, host::Ask::Sync(ask)).await?;
    show(&shown, settings)
}

async fn run_peer(command: Peer, settings: &Settings) -> Result<()> {
    let (ask, name) = match command {
        Peer::Add(AddPeer { url }) => (Ask::AddPeer { url }, "sync peer add"),
        Peer::Remove(RemovePeer { url }) => (Ask::RemovePeer { url }, "sync peer remove"),
        Peer::List(_) => (Ask::Status, "sync peer list"),
    };
    let shown: Shown = host::asked(settings, Absent::Refused, name, host::Ask::Sync(ask)).await?;
    if settings.json {
        return print::json(&shown.peers);
    }
    let rows: Vec<_> = shown
        .peers
        .into_iter()
        .map(|peer| {
            let reason = peer.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            let state = format!("{} since {}{reason}", peer.state.as_str(), peer.since);
            [peer.url, peer.name.unwrap_or_default(), peer.last_contact.unwrap_or_default(), state]
        })
        .collect();
    let none = match shown.site.as_slice() {
        [] => {
            "No other edge is asked. The hub says which are at one site: outpost node change ID --site NAME".to_owned()
        }
        names => {
            format!("No other edge is asked. At this site there is {}: outpost sync peer add URL", names.join(", "))
        }
    };
    print::table(["ADDRESS", "NAME", "LAST CONTACT", "STATE"], &rows, &none)
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
    ))?;
    for peer in &shown.peers {
        let name = peer.name.as_deref().map(|name| format!("{name} at ")).unwrap_or_default();
        let reason = peer.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let heard = peer.last_contact.as_deref().map_or("never heard".into(), |at| format!("last heard {at}"));
        let (state, since) = (peer.state.as_str(), &peer.since);
        print::line(format_args!("  peer {name}{}: {state} since {since}, {heard}{reason}", peer.url))?;
    }
    Ok(())
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
