//! How far saves have travelled.

use std::collections::HashSet;

use crate::domain::ids::{RecordId, TypeName};
use crate::node::LinkState;
use crate::store::Held;
use crate::views::part::{Reach, Stage, counted};
use crate::web::{App, WebError};

/// As much of the outbox as is looked at for one page.
const OUTBOX_BYTES: usize = 1 << 20;

/// What one request knows of the way of saves.
pub enum Travel {
    /// On an edge: which records have saves that the hub does not have.
    Edge { waiting: HashSet<(TypeName, RecordId)>, refused: bool },
    /// On a hub: how many of its sites are in step.
    Hub { in_step: usize, sites: usize },
}

impl Travel {
    pub async fn of(app: &App) -> Result<Self, WebError> {
        if app.node.is_hub() {
            let known = match &app.nodes {
                Some(nodes) => nodes.list().await?,
                None => Vec::new(),
            };
            let sites = known.iter().filter(|node| !node.revoked);
            return Ok(Self::Hub { in_step: sites.clone().filter(|node| node.in_step).count(), sites: sites.count() });
        }
        let mut waiting = HashSet::new();
        if app.node.store().waiting().await? > 0 {
            for unsent in app.node.store().outbox(OUTBOX_BYTES).await? {
                waiting.extend(unsent.save.records.into_iter().map(|record| (record.type_name, record.id)));
            }
        }
        let refused = app.link.as_ref().is_some_and(|link| link.status().state == LinkState::Refused);
        Ok(Self::Edge { waiting, refused })
    }

    /// How far the newest save of a record is. `None` on a hub without sites: here is all there is.
    pub fn reach(&self, held: &Held) -> Option<Reach> {
        match self {
            Self::Edge { waiting, refused } => {
                let waits = waiting.contains(&(held.type_name.clone(), held.id));
                Some(match (waits, refused) {
                    (true, true) => Reach::new(Stage::Refused, "saved here, the hub does not take it"),
                    (true, false) => Reach::new(Stage::Here, "saved here, not yet at hub"),
                    (false, _) => Reach::new(Stage::Hub, "at hub"),
                })
            }
            Self::Hub { sites: 0, .. } => None,
            Self::Hub { in_step, sites } if in_step == sites => {
                Some(Reach::new(Stage::Sites, format!("on {}", counted(*sites as u64, "site", "sites"))))
            }
            Self::Hub { in_step: 0, .. } => Some(Reach::new(Stage::Hub, "at hub")),
            Self::Hub { in_step, sites } => {
                Some(Reach::new(Stage::Hub, format!("at hub, {in_step} of {sites} sites in step")))
            }
        }
    }
}
