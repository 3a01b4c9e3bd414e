//! How far records have come: saved here, at the hub, on so many sites. In words for people, and as JSON.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::App;
use super::api::time;
use super::frame::hub_name;
use crate::domain::feed::Digest;
use crate::domain::ids::{NodeId, RecordId, TypeName};
use crate::node::{LinkState, LinkStatus, NodeError, Sites, Sought};
use crate::store::Held;
use crate::views::part::{Reach, Stage, counted};
use crate::views::value::Clock;

/// A page about one record waits so long for what the hub says.
pub const MOMENT: Duration = Duration::from_millis(300);
/// What was told longer ago is shown with its time.
const OLD_MILLIS: i64 = 60_000;

/// What one request knows of the way of some records.
pub struct Travel {
    facts: HashMap<(TypeName, RecordId), Fact>,
    here: NodeId,
    /// On an edge, its link.
    link: Option<Upwards>,
    /// A hub that serves nobody.
    is_alone: bool,
}

struct Upwards {
    status: LinkStatus,
    hub_name: String,
}

/// What is known of the way of one record.
#[derive(Debug, Clone, Copy, Default)]
struct Fact {
    /// It has saves that the hub has not acknowledged.
    unsent: bool,
    /// `None`: not known.
    at_hub: Option<bool>,
    sites: Option<Sites>,
    /// When `sites` was so.
    as_of: i64,
}

impl Fact {
    fn is_everywhere(&self) -> bool {
        self.at_hub == Some(true) && self.sites.is_some_and(|sites| sites.of > 0 && sites.have == sites.of)
    }
}

impl Travel {
    /// Looks after these records; on an edge the hub is asked, and waited for as long as `patience`.
    pub async fn of(app: &App, records: &[Held], patience: Duration) -> Result<Self, NodeError> {
        let here = app.node.identity().node;
        let keys = || records.iter().map(|held| (held.type_name.clone(), held.id));
        if app.link.is_none() && app.node.is_hub() {
            let Some(nodes) = &app.nodes else {
                return Ok(Self { facts: HashMap::new(), here, link: None, is_alone: true });
            };
            let of: Vec<_> = records.iter().map(|held| (held.partition.clone(), held.seq)).collect();
            let now = app.node.now();
            let facts = nodes.sites(&of).await?.into_iter();
            let facts = facts.map(|sites| Fact { unsent: false, at_hub: Some(true), sites: Some(sites), as_of: now });
            return Ok(Self { facts: keys().zip(facts).collect(), here, link: None, is_alone: false });
        }
        let keys: Vec<_> = keys().collect();
        let unsent = app.node.store().unsent(&keys).await?;
        let (mut facts, mut link) = (HashMap::with_capacity(keys.len()), None);
        if let Some(upwards) = &app.link {
            let sought = |held: &&Held| !unsent.contains(&(held.type_name.clone(), held.id));
            let sought: Vec<Sought> = records
                .iter()
                .filter(sought)
                .map(|held| Sought { type_name: held.type_name.clone(), id: held.id, hash: Digest(held.hash().0) })
                .collect();
            let reached = upwards.reach(&sought, patience).await;
            let status = upwards.status();
            for (sought, reached) in sought.into_iter().zip(reached) {
                let fact = match reached {
                    Some(reached) => {
                        Fact { unsent: false, at_hub: Some(reached.at_hub), sites: reached.sites, as_of: reached.as_of }
                    }
                    // acknowledged by whoever is above: that is the hub, unless it said that it has one itself
                    None => Fact { at_hub: status.above.is_none().then_some(true), ..Fact::default() },
                };
                facts.insert((sought.type_name, sought.id), fact);
            }
            link = Some(Upwards { hub_name: hub_name(app, &status), status });
        }
        facts
            .extend(unsent.into_iter().map(|key| (key, Fact { unsent: true, at_hub: Some(false), ..Fact::default() })));
        Ok(Self { facts, here, link, is_alone: false })
    }

    fn fact(&self, held: &Held) -> Fact {
        let fact = self.facts.get(&(held.type_name.clone(), held.id)).copied();
        fact.unwrap_or(Fact { at_hub: Some(true), ..Fact::default() })
    }

    /// In a list: "not yet at hub", "at hub", "on 2 of 3 sites". `None` where here is all there is.
    pub fn brief(&self, held: &Held, clock: &Clock) -> Option<Reach> {
        let fact = self.fact(held);
        if self.is_all(&fact) {
            return None;
        }
        if let Some(reach) = self.unsent(&fact, "") {
            return Some(reach);
        }
        let sites = fact.sites.filter(|_| !is_old(&fact, clock)).and_then(on_sites);
        let words = sites.or_else(|| self.at_hub(&fact)).unwrap_or_else(|| "at hub".to_owned());
        Some(Reach::new(stage(&fact), words))
    }

    /// At a record: "Saved here 14:32 · at hub · on 2 of 3 sites". `place` is where its newest save was made.
    pub fn whole(&self, held: &Held, place: &str, clock: &Clock) -> Option<Reach> {
        let fact = self.fact(held);
        if self.is_all(&fact) {
            return None;
        }
        let stamp = held.state.latest();
        let place = if stamp.author.node == self.here { "here" } else { place };
        let saved = format!("Saved {place} {}", clock.when_millis(stamp.time.millis()).words);
        if let Some(reach) = self.unsent(&fact, &format!("{saved}, ")) {
            return Some(reach);
        }
        let mut words = vec![saved];
        if self.link.is_some() || stamp.author.node != self.here {
            words.extend(self.at_hub(&fact));
        }
        match fact.sites {
            Some(sites) => {
                let on = on_sites(sites).unwrap_or_else(|| "on no site yet".to_owned());
                words.push(if is_old(&fact, clock) { format!("{on}, as of {}", ago(fact.as_of, clock)) } else { on });
            }
            None if self.is_out_of_reach() => words.push("on how many sites is not known out of reach".to_owned()),
            None => {}
        }
        Some(Reach::new(stage(&fact), words.join(" · ")))
    }

    /// How it is said of what has not left.
    fn unsent(&self, fact: &Fact, before: &str) -> Option<Reach> {
        fact.unsent.then(|| match self.link.as_ref().map(|link| link.status.state) {
            Some(LinkState::Refused) => {
                Reach::new(Stage::Refused, format!("{before}the hub does not let this node in"))
            }
            _ => Reach::new(Stage::Here, format!("{before}not yet at hub")),
        })
    }

    /// "at hub"; for a node below another one also where else it is.
    fn at_hub(&self, fact: &Fact) -> Option<String> {
        match (fact.at_hub, &self.link) {
            (Some(true), _) => Some("at hub".to_owned()),
            (Some(false), Some(link)) => Some(format!("at {}, not yet at hub", link.hub_name)),
            (None, Some(link)) => Some(format!("at {}", link.hub_name)),
            (_, None) => None,
        }
    }

    /// A hub whose sites may not hold it, if there are any: here is all there is.
    fn is_all(&self, fact: &Fact) -> bool {
        self.is_alone || self.link.is_none() && fact.sites.is_some_and(|sites| sites.of == 0)
    }

    fn is_out_of_reach(&self) -> bool {
        self.link.as_ref().is_some_and(|link| !matches!(link.status.state, LinkState::InStep | LinkState::Behind))
    }

    /// Whether there is nothing left to wait for.
    pub fn is_everywhere(&self, held: &Held) -> bool {
        self.is_all(&self.fact(held)) || self.fact(held).is_everywhere()
    }

    /// As the API tells it; `None` where here is all there is.
    pub fn json(&self, held: &Held) -> Option<Value> {
        let fact = self.fact(held);
        if self.is_all(&fact) {
            return None;
        }
        let state = match (fact.unsent, stage(&fact)) {
            (true, _) | (_, Stage::Here | Stage::Refused) => "here",
            (_, Stage::Hub) => "hub",
            (_, Stage::Sites) => "sites",
        };
        let sites = fact.sites.map(|sites| {
            let mut said = json!({ "have": sites.have, "of": sites.of });
            // at a hub it is so now, and what did not change is answered alike
            if self.link.is_some() {
                said["as_of"] = json!(time::text(fact.as_of));
            }
            said
        });
        Some(json!({ "state": state, "at_hub": fact.at_hub, "sites": sites }))
    }
}

fn stage(fact: &Fact) -> Stage {
    match fact.at_hub {
        _ if fact.is_everywhere() => Stage::Sites,
        Some(true) => Stage::Hub,
        Some(false) | None => Stage::Here,
    }
}

/// "on 2 of 3 sites", "on 3 sites"; `None` for none.
fn on_sites(sites: Sites) -> Option<String> {
    match sites {
        Sites { have: 0, .. } => None,
        Sites { have, of, .. } if have == of => Some(format!("on {}", counted(of, "site", "sites"))),
        Sites { have, of, .. } => Some(format!("on {have} of {}", counted(of, "site", "sites"))),
    }
}

fn is_old(fact: &Fact, clock: &Clock) -> bool {
    clock.now.as_millisecond() - fact.as_of > OLD_MILLIS
}

/// "10 min ago", and from an hour on the moment.
pub fn ago(at: i64, clock: &Clock) -> String {
    match (clock.now.as_millisecond() - at) / 60_000 {
        minutes if minutes < 1 => "a moment ago".to_owned(),
        minutes if minutes < 60 => format!("{minutes} min ago"),
        minutes if minutes < 24 * 60 => format!("{} h ago", minutes / 60),
        _ => clock.when_millis(at).words,
    }
}
