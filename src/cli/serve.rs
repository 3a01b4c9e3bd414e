//! `outpost serve`: runs a node.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{Data, ServiceConfig};
use clap::Args;
use outpost::node::Link;
use outpost::sync::{self, Switch};
use outpost::web;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::door::Door;
use super::host::{self, Absent, Served};
use super::{Failure, Result, print};
use crate::config::{Listen, Settings, Site, url_of};

/// Run the node in the data directory; a new directory becomes a hub
///
/// While a hub has nobody who could sign in, a one-time address is printed at which the first admin sets themselves up.
/// Commands on the same directory work meanwhile. SIGTERM and SIGINT end it in order: open requests are answered, and
/// what was answered is on disk.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost serve --data /var/lib/outpost --listen 0.0.0.0:8080")]
pub struct Serve {
    /// The address to answer browsers at
    #[arg(long, env = "OUTPOST_LISTEN", default_value = "127.0.0.1:8080", value_name = "HOST:PORT")]
    listen: Listen,
    /// The largest photo or file that is taken, in MiB
    #[arg(long, env = "OUTPOST_MAX_FILE", default_value_t = 50, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=4096))]
    max_file: u64,
    #[command(flatten)]
    site: Site,
}

pub async fn run(serve: Serve, settings: &Settings) -> Result<()> {
    let mut signals = Signals::listen()?;
    let dir = &settings.data;
    let mut lock = host::take_lock(dir, "serve").await?;
    let listener = serve.listen.bind("--listen")?;
    lock.set_url(&url_of(&listener)?);
    let served = Served::open(dir, Absent::BecomesHub).await?;
    if let Some(blobs) = served.node.blobs() {
        blobs.take_at_most(serve.max_file << 20);
    }
    let mut running = Running::start(served, listener, &Switch::default(), &serve.site, None).await?;
    let door = Door::open(dir, running.served.clone()).inspect_err(|err| {
        tracing::warn!("commands cannot reach this node while it runs, as {} takes no socket: {err}", dir.display());
    });
    let told = tell(&running, settings).await;
    let ended = if told.is_ok() {
        tokio::select! {
            () = signals.next() => None,
            ended = running.ended() => Some(ended),
        }
    } else {
        None
    };
    tracing::info!("stopping");
    signals.next_one_kills();
    if let Ok(door) = door {
        door.close().await;
    }
    let stopped = running.stop().await;
    drop(lock);
    told.and(ended.unwrap_or(stopped))
}

/// Says where the node is, and how its first admin gets in.
async fn tell(running: &Running, settings: &Settings) -> Result<()> {
    let (node, url) = (&running.served.node, &running.url);
    let setup = node.begin_setup().await?.map(|secret| format!("{url}/setup?token={secret}"));
    let role = if node.is_hub() { "hub" } else { "edge" };
    if settings.json {
        return print::json(&serde_json::json!({ "url": url, "role": role, "setup": setup }));
    }
    print::line(format_args!("The {role} {} answers at {url}", node.name()))?;
    if let Some(setup) = setup {
        print::line("Nobody can sign in yet. Open this address, once, to become the first admin:")?;
        print::line(setup)?;
    }
    Ok(())
}

/// How often it is looked whether there is something to forget.
const FORGETS_EVERY: Duration = Duration::from_secs(600);

/// A node that answers browsers.
pub struct Running {
    pub served: Arc<Served>,
    pub url: String,
    stopping: watch::Sender<bool>,
    server: JoinHandle<std::io::Result<()>>,
}

impl Running {
    /// Starts the link of an edge and the server. In the demo, `switch` cuts the link.
    pub async fn start(
        mut served: Served,
        listener: TcpListener,
        switch: &Switch,
        site: &Site,
        demo: Option<web::Demo>,
    ) -> Result<Self> {
        let url = url_of(&listener)?;
        served.url = Some(url.clone());
        let link = match served.start_link(switch).await {
            Ok(link) => link.cloned(),
            Err(failure) => {
                served.close().await;
                return Err(failure);
            }
        };
        let app = web::App {
            link: link.map(|link| link as Arc<dyn Link>),
            nodes: Some(served.nodes()),
            demo,
            zone: site.zone(),
            ..web::App::new(served.node.clone())
        };
        let hub = served.hub.clone();
        let closing = hub.clone();
        let extra = move |cfg: &mut ServiceConfig| {
            cfg.app_data(Data::from(hub.clone()));
            cfg.configure(sync::http::configure);
        };
        let stopping = watch::Sender::new(false);
        let mut stop = stopping.subscribe();
        let shutdown = async move {
            // a sender that is gone means the same
            let _ = stop.wait_for(|stop| *stop).await;
            closing.close();
        };
        let forgetting = served.hub.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = forgetting.closing() => return,
                    () = tokio::time::sleep(FORGETS_EVERY) => {}
                }
                if let Err(err) = forgetting.forget().await {
                    tracing::warn!(%err, "forgetting what every node knows");
                }
            }
        });
        let server = tokio::spawn(web::serve(app, listener, extra, shutdown));
        Ok(Self { served: Arc::new(served), url, stopping, server })
    }

    /// Returns when the server ended by itself.
    pub async fn ended(&mut self) -> Result<()> {
        of_server((&mut self.server).await)
    }

    /// Lets open requests finish, ends live streams and the link, and closes the store.
    pub async fn stop(self) -> Result<()> {
        self.stopping.send_replace(true);
        let ended = if self.server.is_finished() { Ok(()) } else { of_server(self.server.await) };
        self.served.close().await;
        ended
    }
}

fn of_server(ended: std::result::Result<std::io::Result<()>, tokio::task::JoinError>) -> Result<()> {
    match ended {
        Ok(Ok(())) => Ok(()),
        Ok(Err(err)) => Err(Failure::new(format!("the server failed: {err}"))),
        Err(err) => Err(Failure::new(format!("the server failed: {err}"))),
    }
}

/// The signals that ask a process to stop.
pub struct Signals([Signal; 3]);

impl Signals {
    pub fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).map_err(|err| Failure::new(format!("signals cannot be received: {err}")));
        Ok(Self([listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?, listen(SignalKind::hangup())?]))
    }

    pub async fn next(&mut self) {
        let [terminate, interrupt, hangup] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    }

    /// Whoever asks a second time does not want to wait.
    pub fn next_one_kills(mut self) {
        tokio::spawn(async move {
            self.next().await;
            tracing::warn!("asked to stop a second time: stopping at once");
            std::process::exit(1);
        });
    }
}
