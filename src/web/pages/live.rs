//! What tells a page that it is out of date: `/live`, and the line of the bar that asks again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{self, ContentEncoding};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval_at};

use crate::node::LinkStatus;
use crate::store::Notice;
use crate::views::frame;
use crate::web::error::{WebError, WebResult};
use crate::web::frame::link as link_status;
use crate::web::htmx::show as shown;
use crate::web::session::{Signed, app, session};

/// `GET /link`: how it stands, in words.
pub async fn link(signed: Signed) -> WebResult {
    shown(&link_status(&signed.app).await?)
}

/// A hub hears nothing when an edge catches up, so it looks; a stream that is dead is noticed by this, too.
const LOOK: Duration = Duration::from_secs(5);

/// It looks this soon while something is on its way.
const LOOK_SOON: Duration = Duration::from_secs(1);

/// `GET /live`: a hint for each thing that a page may show differently now. Who is not signed in gets none.
pub async fn stream(req: HttpRequest) -> WebResult {
    let app = app(&req)?;
    if session(&req, &app.node).await?.is_none() {
        return Ok(HttpResponse::NoContent().finish());
    }
    let mut ticks = interval_at(tokio::time::Instant::now() + LOOK, LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let told = link_status(&app).await?;
    let hints = Hints {
        notices: app.node.notices(),
        stopping: app.run.stopping(),
        link: app.link.as_ref().map(|link| link.watch()),
        ticks,
        told,
        is_back: req.headers().contains_key("last-event-id"),
        req,
        begun: false,
    };
    let hints = futures_util::stream::unfold(hints, |mut hints| async {
        let bytes = hints.next().await?;
        Some((Ok::<_, WebError>(bytes), hints))
    });
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // neither a proxy nor our own compression may hold hints back
        .insert_header(("X-Accel-Buffering", "no"))
        .insert_header((header::CONTENT_ENCODING, ContentEncoding::Identity.as_str()))
        .streaming(hints))
}

struct Hints {
    req: HttpRequest,
    notices: broadcast::Receiver<Arc<Vec<Notice>>>,
    stopping: watch::Receiver<bool>,
    link: Option<watch::Receiver<LinkStatus>>,
    ticks: Interval,
    told: frame::LinkStatus,
    begun: bool,
    is_back: bool,
}

enum Turn {
    Saved(BTreeSet<String>),
    Missed,
    Look,
    Tick,
    End,
}

impl Hints {
    /// The next bytes; `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        if !self.begun {
            self.begun = true;
            let mut bytes = "retry: 2000\nid: 1\n\n".to_owned();
            // a page that was away, in a tab behind others or out of reach, has missed it does not know what
            if self.is_back {
                bytes.push_str(&self.everything());
            }
            return Some(Bytes::from(bytes));
        }
        loop {
            let is_waiting = self.link.is_none() && self.told.state != frame::LinkState::InStep;
            let turn = tokio::select! {
                saved = self.notices.recv() => match saved {
                    Ok(notices) => Turn::Saved(types(&notices)),
                    Err(RecvError::Lagged(_)) => Turn::Missed,
                    Err(RecvError::Closed) => Turn::End,
                },
                () = changed(&mut self.link) => Turn::Look,
                _ = self.ticks.tick() => Turn::Tick,
                () = tokio::time::sleep(LOOK_SOON), if is_waiting => Turn::Look,
                _ = self.stopping.wait_for(|stopping| *stopping) => Turn::End,
            };
            let mut bytes = String::new();
            match turn {
                Turn::End => return None,
                Turn::Saved(types) => {
                    for name in types {
                        bytes.push_str(&event(&format!("records-{name}")));
                    }
                }
                Turn::Missed => bytes.push_str(&self.everything()),
                Turn::Look => {}
                Turn::Tick => {
                    let app = app(&self.req).ok()?;
                    // they may have signed out meanwhile
                    session(&self.req, &app.node).await.ok()??;
                    bytes.push_str(":\n\n");
                }
            }
            let app = app(&self.req).ok()?;
            let now = link_status(&app).await.ok()?;
            if now != self.told {
                self.told = now;
                bytes.push_str(&event("link"));
            }
            if !bytes.is_empty() {
                return Some(Bytes::from(bytes));
            }
        }
    }

    /// A hint for whatever a page may show.
    fn everything(&self) -> String {
        let types = app(&self.req).map(|app| app.node.caches().types()).unwrap_or_default();
        let types = types.iter().map(|found| event(&format!("records-{}", found.name)));
        std::iter::once(event("link")).chain(types).collect()
    }
}

/// Ready when the link of an edge says something new; never on a hub.
async fn changed(link: &mut Option<watch::Receiver<LinkStatus>>) {
    let is_news = match link {
        Some(link) => link.changed().await.is_ok(),
        None => false,
    };
    if !is_news {
        std::future::pending().await
    }
}

fn types(notices: &[Notice]) -> BTreeSet<String> {
    let custom = notices.iter().filter(|notice| !notice.type_name.is_built_in());
    custom.map(|notice| notice.type_name.to_string()).collect()
}

fn event(name: &str) -> String {
    format!("event: {name}\ndata:\n\n")
}
