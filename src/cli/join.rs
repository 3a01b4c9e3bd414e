//! `outpost join`: makes a directory that of an edge, and brings the first copy over.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use outpost::node::{Caches, Identity, Link, LinkState, NodeRole, Peers as _};
use outpost::store::{LocalChange, Request, Store};
use outpost::sync::bundle::{Way, identity_to_join, key_to_join};
use outpost::sync::{self, EnrolError, Switch};
use outpost::world::SystemWorld;
use serde_json::{Value, json};

use super::host::{self, Host, Served};
use super::serve::Signals;
use super::{Failure, Result, bundle, print};
use crate::config::{Settings, machine_name};

/// Make the data directory an edge of a hub, and bring the first copy over
///
/// The token comes from `outpost node invite` on the hub and works once. If the first copy is interrupted, the same
/// command goes on with it. Afterwards `outpost serve` runs the edge, with the hub in reach or not.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost join https://hub.example.org --token opj_… --name \"Platform 7\"")]
pub struct Join {
    /// The address of the hub
    #[arg(value_name = "HUB_URL")]
    hub: String,
    /// The token the hub gave for this edge
    #[arg(long, env = "OUTPOST_TOKEN", hide_env_values = true)]
    token: String,
    /// What people call this edge, where the hub did not say; else the name of this machine
    #[arg(long, env = "OUTPOST_NAME")]
    name: Option<String>,
    /// Join by a bundle instead of a link: one that the hub made with `outpost bundle export FILE --token` and this token
    #[arg(long, env = "OUTPOST_BUNDLE", value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// The address of another edge of the site: what the hub names comes from there where it can; may be given several times
    #[arg(long = "peer", env = "OUTPOST_PEER", value_name = "URL")]
    peers: Vec<String>,
}

/// Says in the store of an edge that its first copy is still under way.
const KIND: &str = "join";
const FIRST_COPY: &str = "first-copy";
/// How long the hub may stay out of reach during the first copy.
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn run(join: Join, settings: &Settings) -> Result<()> {
    let dir = &settings.data;
    let made_here = !dir.exists();
    let lock = host::take_lock(dir, "join").await?;
    let is_new = !host::has_database(dir);
    let caches = Arc::new(Caches::default());
    let store = host::open_store(dir, caches.clone()).await?;
    let identity = match enrolled(&join, &*store, dir).await {
        Ok(identity) => identity,
        Err((failure, keep)) => {
            store.close().await;
            if is_new && !keep {
                clear(dir, made_here);
            }
            return Err(failure);
        }
    };
    let name = identity.name.clone();
    let served = Served::of(store, caches, identity).await?;
    if let Some(peers) = served.peers().await? {
        for url in &join.peers {
            if let Err(err) = peers.add(url).await {
                served.close().await;
                return Err(err.into());
            }
        }
    }
    let records = match &join.bundle {
        None => {
            let copied = first_copy(&served).await;
            served.close().await;
            drop(lock);
            copied?
        }
        Some(file) => {
            if let Err(err) = served.keep_files_in(dir).await {
                served.close().await;
                return Err(err);
            }
            let mut host = Host::Here(Box::new(served), lock);
            let copied = first_bundle(&mut host, file).await;
            host.close().await;
            copied?
        }
    };
    if settings.json {
        return print::json(&json!({ "name": name, "hub": join.hub, "data": dir, "records": records }));
    }
    print::line(format_args!("{name} is an edge of {} now and holds {records} records.", join.hub))?;
    print::line(format_args!("Run it with: outpost serve --data {}", dir.display()))
}

/// The identity of an edge: just given by the hub, or given before a first copy that was interrupted. A failure comes with
/// whether what was begun has to be kept, so that the same command can go on with it.
async fn enrolled(join: &Join, store: &dyn Store, dir: &Path) -> Result<Identity, (Failure, bool)> {
    let gone = |failure: Failure| (failure, false);
    let already = |what: String| {
        Failure::new(format!("{} is already {what}; choose another directory with --data", dir.display()))
    };
    match Identity::load(store).await.map_err(|err| gone(err.into()))? {
        Some(identity) => match &identity.role {
            NodeRole::Hub => Err(gone(already(format!("the hub {}", identity.name)))),
            NodeRole::Edge(upstream) => {
                let unfinished = is_unfinished(store).await.map_err(gone)?;
                if unfinished && upstream.url == join.hub.trim().trim_end_matches('/') {
                    return Ok(identity);
                }
                let failure = already(format!("an edge of {} at {}", upstream.name, upstream.url));
                Err(gone(Failure::new(format!("{}, or run it with `outpost serve`", failure.line))))
            }
        },
        None if join.bundle.is_some() => enrolled_by_bundle(join, store).await.map_err(gone),
        None => {
            mark(store, Some(json!(join.hub))).await.map_err(gone)?;
            let name = join.name.clone().unwrap_or_else(machine_name);
            sync::enrol(store, &SystemWorld, &join.hub, &join.token, &name)
                .await
                .map_err(|err| (Failure::new(err.to_string()), matches!(err, EnrolError::Unanswered { .. })))
        }
    }
}

/// The identity that a bundle gives to whoever knows the token it was made with.
async fn enrolled_by_bundle(join: &Join, store: &dyn Store) -> Result<Identity> {
    let file = join.bundle.as_deref().unwrap_or(Path::new(""));
    let mut reader = bundle::open(file)?;
    let header = reader.header().clone();
    let is_for_it = header.way == Way::Down && reader.unseal(&key_to_join(&header, &join.token)).is_ok();
    if !is_for_it {
        return Err(Failure::new(format!(
            "{} was not made for an edge that joins with this token; at the hub, `outpost bundle export FILE --token TOKEN` makes one",
            file.display()
        )));
    }
    let identity = identity_to_join(&header, &join.token, &join.hub, &SystemWorld);
    let identity = identity.map_err(|err| Failure::new(err.to_string()))?;
    mark(store, Some(json!(join.hub))).await?;
    if identity.settle(store).await? {
        Ok(identity)
    } else {
        Err(Failure::new("this node has just joined another hub"))
    }
}

/// Takes in a bundle as the first copy. How many records there are then.
async fn first_bundle(host: &mut Host, file: &Path) -> Result<u64> {
    bundle::take_in(host, file).await?;
    let Host::Here(served, _) = host else { return Err(Failure::new("the node runs elsewhere")) };
    mark(&**served.node.store(), None).await?;
    count(served).await
}

async fn count(served: &Served) -> Result<u64> {
    let tallies = served.node.store().tallies().await?;
    Ok(tallies.iter().filter(|tally| !tally.type_name.is_built_in()).map(|tally| tally.living + tally.binned).sum())
}

/// Whether a join was begun in this store and did not come to its end.
pub(super) async fn is_unfinished(store: &dyn Store) -> Result<bool> {
    Ok(store.local(KIND, FIRST_COPY).await?.is_some())
}

async fn mark(store: &dyn Store, value: Option<Value>) -> Result<()> {
    let change = LocalChange { kind: KIND, key: FIRST_COPY.into(), value, expect: None };
    store.write(Request::Local(vec![change])).await?;
    Ok(())
}

/// Runs the link until both are in step. How many records there are then.
async fn first_copy(served: &Served) -> Result<u64> {
    let mut signals = Signals::listen()?;
    let link = served.start_link(&Switch::default()).await?;
    let link = link.ok_or_else(|| Failure::new("this node is a hub and has nothing to copy"))?;
    let mut status = link.watch();
    let mut progress = print::Progress::new("bringing the first copy over", None);
    let (mut most, mut reached) = (0, Instant::now());
    loop {
        let now = status.borrow_and_update().clone();
        let reason = || now.reason.clone().unwrap_or_else(|| "it cannot be reached".into());
        match now.state {
            LinkState::InStep if now.in_step => break,
            LinkState::Refused => return Err(Failure::new(format!("the hub does not let this node in: {}", reason()))),
            LinkState::Offline if reached.elapsed() > PATIENCE => {
                return Err(Failure::new(format!(
                    "the hub at {} is out of reach: {}; run the same command again to go on",
                    now.url,
                    reason()
                )));
            }
            LinkState::Offline => {}
            LinkState::Paused => link.resume(),
            LinkState::Behind | LinkState::InStep => reached = Instant::now(),
        }
        if now.pending_in > most {
            most = now.pending_in;
            progress.set_total(most);
        }
        progress.set(most - now.pending_in);
        tokio::select! {
            changed = status.changed() => {
                changed.map_err(|_| Failure::new("the link ended; run the same command again to go on"))?;
            }
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            () = signals.next() => {
                return Err(Failure::new("interrupted; run the same command again to go on"));
            }
        }
    }
    mark(&**served.node.store(), None).await?;
    count(served).await
}

/// Takes away what a join that failed has made.
fn clear(dir: &Path, made_here: bool) {
    for name in ["outpost.db", "outpost.db-wal", "outpost.db-shm"] {
        // what cannot be removed is an empty database, which does no harm
        let _ = fs::remove_file(dir.join(name));
    }
    if made_here {
        let _ = fs::remove_file(dir.join("outpost.lock"));
        let _ = fs::remove_dir(dir);
    }
}
