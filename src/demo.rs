//! `outpost demo`: a hub and an edge in one process, with believable records, and a switch between them.
//!
//! The two are nodes like any others: the edge joins with a token and copies over HTTP. Only the days that the records
//! seem to have been written on are made up.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use clap::Args;
use futures_util::future::try_join_all;
use outpost::domain::ids::RecordId;
use outpost::domain::people::{Actor, Role};
use outpost::domain::schema::SAMPLES;
use outpost::node::{Caches, Identity, Link, Node, NodeError, Patch, Person, World};
use outpost::sync::{self, Switch};
use outpost::web;
use outpost::world::SystemWorld;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::{self, Failure, Running, Served, Signals, open_store};
use crate::config::{Listen, Settings, Site, url_of};

/// Try it out: a hub and an edge in one process, with sample types, people and records
///
/// A switch on the first page cuts and restores the link between the two. Everything is in a temporary directory, which
/// is removed when the demo ends.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  outpost demo\n  outpost demo --listen 127.0.0.1:0 --edge-listen 127.0.0.1:0 --json"
)]
pub struct Demo {
    /// The address of the hub
    #[arg(long, env = "OUTPOST_LISTEN", default_value = "127.0.0.1:8080", value_name = "HOST:PORT")]
    listen: Listen,
    /// The address of the edge
    #[arg(long, env = "OUTPOST_EDGE_LISTEN", default_value = "127.0.0.1:8081", value_name = "HOST:PORT")]
    edge_listen: Listen,
    #[command(flatten)]
    site: Site,
}

struct Character {
    name: &'static str,
    email: &'static str,
    password: &'static str,
    role: Role,
    does: &'static str,
}

const PEOPLE: [Character; 2] = [
    Character {
        name: "Tomás Reyes",
        email: "tomas@example.org",
        password: "harbour-7",
        role: Role::Admin,
        does: "plans the work, on the hub",
    },
    Character {
        name: "Ingrid Solheim",
        email: "ingrid@example.org",
        password: "lantern-9",
        role: Role::Staff,
        does: "technician, on the edge",
    },
];

const HUB: &str = "Tern Bay";
const EDGE: &str = "Platform 7";

const RECORDS: [(&str, &str); 3] = [
    ("inspection", include_str!("demo/inspections.json")),
    ("vitals", include_str!("demo/vitals.json")),
    ("work-order", include_str!("demo/work-orders.json")),
];

/// A record of the demo. In its texts `{+2}` stands for the date in two days.
#[derive(Deserialize)]
struct Sample {
    /// When it was made: days before today, and the hour.
    days_ago: i64,
    hour: i64,
    /// Who made it: the place among the people.
    by: usize,
    data: Value,
    /// What somebody changed later.
    #[serde(default)]
    changes: Vec<SampleChange>,
}

#[derive(Deserialize)]
struct SampleChange {
    days_ago: i64,
    hour: i64,
    by: usize,
    patch: Value,
}

/// One save of the demo's past: a record is made, or changed later.
struct Step<'a> {
    /// Days from today on, below zero, and the hour.
    moment: (i64, i64),
    by: usize,
    type_name: &'a str,
    id: RecordId,
    data: &'a Value,
    is_change: bool,
}

impl Sample {
    fn steps<'a>(&'a self, type_name: &'a str, id: RecordId) -> impl Iterator<Item = Step<'a>> {
        let step = move |days_ago: i64, hour, by, data, is_change| Step {
            moment: (-days_ago, hour),
            by,
            type_name,
            id,
            data,
            is_change,
        };
        let made = step(self.days_ago, self.hour, self.by, &self.data, false);
        let changes = self.changes.iter();
        let changes = changes.map(move |change| step(change.days_ago, change.hour, change.by, &change.patch, true));
        std::iter::once(made).chain(changes)
    }
}

impl Step<'_> {
    async fn take(&self, node: &Node, actors: &[Actor]) -> Result<(), NodeError> {
        let (actor, data) = (&actors[self.by], dated(self.data, SystemWorld.now()));
        if self.is_change {
            node.patch_record(actor, self.type_name, self.id, None, Patch::Merge(data)).await?;
        } else {
            node.create_record(actor, self.type_name, Some(self.id), data).await?;
        }
        Ok(())
    }
}

pub async fn run(demo: Demo, settings: &Settings) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let listener = demo.listen.bind("--listen")?;
    let edge_listener = demo.edge_listen.bind("--edge-listen")?;
    let dir = tempfile::Builder::new()
        .prefix("outpost-demo-")
        .tempdir()
        .map_err(|err| Failure::of_data(&std::env::temp_dir(), &err))?;
    let switch = Switch::default();
    let shown = web::Demo {
        hub: url_of(&listener)?,
        edge: url_of(&edge_listener)?,
        people: PEOPLE.iter().map(shown).collect(),
        switch: Arc::new(Cut(switch.clone())),
    };

    let hub = open_hub(&dir.path().join("hub")).await?;
    let hub = Running::start(hub, listener, &switch, &demo.site, Some(shown.clone())).await?;
    let edge = async {
        let edge = open_edge(&dir.path().join("edge"), &hub).await?;
        let edge = Running::start(edge, edge_listener, &switch, &demo.site, Some(shown.clone())).await?;
        in_step(&hub, &edge).await;
        Ok::<_, Failure>(edge)
    };
    let ended = match edge.await {
        Ok(edge) => {
            let told = tell(&shown, settings);
            if told.is_ok() {
                signals.next().await;
            }
            signals.next_one_kills();
            let stopped = edge.stop().await;
            told.and(stopped)
        }
        Err(failure) => Err(failure),
    };
    let stopped = hub.stop().await;
    // what cannot be removed lies in the directory for temporary files
    let _ = dir.close();
    ended.and(stopped)
}

fn tell(shown: &web::Demo, settings: &Settings) -> Result<(), Failure> {
    if settings.json {
        let people = PEOPLE.iter().map(|one| json!({ "email": one.email, "password": one.password, "role": one.role }));
        return cli::json(&json!({ "hub": shown.hub, "edge": shown.edge, "people": people.collect::<Vec<_>>() }));
    }
    let [tomas, ingrid] = &PEOPLE;
    cli::line(format_args!(
        "The demo runs. Open the hub and begin with the three steps on its first page.\n\n  \
         hub   {HUB:<12}{}   {} · {}\n  \
         edge  {EDGE:<12}{}   {} · {}\n\n\
         Both can sign in on both. Ctrl-C ends the demo and removes its data.",
        shown.hub, tomas.email, tomas.password, shown.edge, ingrid.email, ingrid.password,
    ))
}

fn shown(character: &Character) -> web::DemoPerson {
    web::DemoPerson {
        name: character.name.into(),
        email: character.email.into(),
        password: character.password.into(),
        role: character.role.to_string(),
        does: character.does.into(),
    }
}

/// The switch of the page over the one of the link.
struct Cut(Switch);

impl web::Switch for Cut {
    fn is_up(&self) -> bool {
        self.0.is_up()
    }

    fn set(&self, up: bool) {
        self.0.set(up);
    }
}

/// The real world some days ago.
#[derive(Default)]
struct Past {
    millis: AtomicI64,
}

impl Past {
    fn go(&self, days_ago: i64, hour: i64) {
        let (now, day) = (SystemWorld.now(), 24 * 3_600_000);
        let then = now - now.rem_euclid(day) - days_ago * day + hour * 3_600_000;
        self.millis.store(now.min(then) - now, Relaxed);
    }
}

impl World for Past {
    fn now(&self) -> i64 {
        SystemWorld.now() + self.millis.load(Relaxed)
    }

    fn ticks(&self) -> i64 {
        SystemWorld.ticks()
    }

    fn random(&self) -> u128 {
        SystemWorld.random()
    }
}

async fn open_hub(dir: &Path) -> Result<Served, Failure> {
    std::fs::create_dir(dir).map_err(|err| Failure::of_data(dir, &err))?;
    let caches = Arc::new(Caches::default());
    let store = open_store(dir, caches.clone()).await?;
    let identity = Identity::hub(&SystemWorld, HUB);
    identity.settle(&*store).await?;
    let past = Arc::new(Past::default());
    let node = Node::open(store.clone(), caches.clone(), past.clone(), identity.clone()).await?;
    fill(&node, &past).await?;
    let served = Served::of(store, caches, identity).await?;
    served.keep_files_in(dir).await?;
    Ok(served)
}

/// What the hub would hold after some weeks of work.
async fn fill(node: &Node, past: &Past) -> Result<(), NodeError> {
    let operator = Actor::Operator;
    past.go(21, 8);
    let people = PEOPLE.iter().map(|one| node.add_person(&operator, one.email, one.name, one.role, Some(one.password)));
    let people: Vec<Person> = try_join_all(people).await?;
    let actors: Vec<Actor> = people.iter().map(|one| Actor::Person { id: one.id, role: one.role }).collect();
    for (name, schema) in SAMPLES {
        node.create_type(&actors[0], name, schema.as_bytes()).await?;
    }
    let mut samples: Vec<(&str, RecordId, Sample)> = Vec::new();
    for (type_name, text) in RECORDS {
        let records: Vec<Sample> =
            serde_json::from_str(text).expect("the demo's records are well-formed, as a test shows");
        samples.extend(records.into_iter().map(|sample| (type_name, node.new_id(), sample)));
    }
    // in the order of the moments, for the clock only moves on; what is of one moment is about different records
    let mut steps: Vec<Step<'_>> = samples.iter().flat_map(|(name, id, sample)| sample.steps(name, *id)).collect();
    steps.sort_by_key(|step| step.moment);
    for moment in steps.chunk_by(|a, b| a.moment == b.moment) {
        let (days_ago, hour) = moment[0].moment;
        past.go(-days_ago, hour);
        try_join_all(moment.iter().map(|step| step.take(node, &actors))).await?;
    }
    Ok(())
}

/// The value with `{+2}` in its texts replaced by the date in two days.
fn dated(value: &Value, now: i64) -> Value {
    match value {
        Value::String(text) => match text.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            Some((days, rest)) => match days.parse::<i64>() {
                Ok(days) => Value::String(format!("{}{rest}", date(now + days * 24 * 3_600_000))),
                Err(_) => value.clone(),
            },
            None => value.clone(),
        },
        Value::Array(items) => items.iter().map(|item| dated(item, now)).collect(),
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), dated(value, now))).collect(),
        other => other.clone(),
    }
}

fn date(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).unwrap_or_default().strftime("%Y-%m-%d").to_string()
}

/// Joins as any edge does.
async fn open_edge(dir: &Path, hub: &Running) -> Result<Served, Failure> {
    std::fs::create_dir(dir).map_err(|err| Failure::of_data(dir, &err))?;
    let nodes = hub.served.nodes();
    let token = nodes.invite(EDGE, json!("all"), false).await?;
    let caches = Arc::new(Caches::default());
    let store = open_store(dir, caches.clone()).await?;
    let identity = sync::enrol(&*store, &SystemWorld, &hub.url, &token, EDGE)
        .await
        .map_err(|err| Failure::new(format!("the demo's edge cannot join: {err}")))?;
    let served = Served::of(store, caches, identity).await?;
    served.keep_files_in(dir).await?;
    Ok(served)
}

/// Waits until the first copy is there and the hub has heard so, or a while: the demo is of use before.
async fn in_step(hub: &Running, edge: &Running) {
    let (Some(link), nodes) = (edge.served.link(), hub.served.nodes()) else { return };
    let mut status = link.watch();
    let reached = async {
        let _ = status.wait_for(|status| status.in_step).await;
        while nodes.list().await.is_ok_and(|known| known.iter().any(|node| !node.in_step)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(10), reached).await.is_err() {
        tracing::warn!("the edge is not in step with the hub yet");
    }
}

#[cfg(test)]
mod tests {
    use outpost::domain::schema::Schema;

    use super::*;

    #[test]
    fn every_record_of_the_demo_is_a_good_one() {
        for (type_name, text) in RECORDS {
            let (_, schema) = SAMPLES.iter().find(|(name, _)| *name == type_name).expect("a sample type");
            let schema: Value = serde_json::from_str(schema).expect("JSON");
            let schema = Schema::compile(&schema).expect("a good schema");
            let samples: Vec<Sample> = serde_json::from_str(text).expect("well-formed");
            assert!(samples.len() >= 12, "{type_name} has {}", samples.len());
            for sample in &samples {
                let mut data = dated(&sample.data, 1_800_000_000_000);
                assert_eq!(schema.validate(&data), [], "{data:#}");
                for change in &sample.changes {
                    assert!((change.days_ago, -change.hour) <= (sample.days_ago, -sample.hour), "{data:#}");
                    for (name, value) in change.patch.as_object().expect("an object") {
                        data[name] = dated(value, 1_800_000_000_000);
                    }
                    assert_eq!(schema.validate(&data), [], "{data:#}");
                }
            }
        }
    }

    #[test]
    fn dates_are_counted_from_today() {
        let value = json!({ "due": ["{+2}T08:00:00Z", "{-1}"], "text": "{not}" });
        assert_eq!(dated(&value, 0), json!({ "due": ["1970-01-03T08:00:00Z", "1969-12-31"], "text": "{not}" }));
    }
}
