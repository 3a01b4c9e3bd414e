//! How a link is, told to people: what the session knows, in a word and a sentence.

use serde::{Deserialize, Serialize};

use super::Session;
use super::lane::Check;
use crate::domain::protocol::Failure;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkState {
    /// The outbox is empty and every digest equals the hub's.
    InStep,
    /// In contact, and something still has to travel.
    #[default]
    Behind,
    /// Out of reach; tried again by itself.
    Offline,
    /// Somebody paused it.
    Paused,
    /// The hub does not accept this node.
    Refused,
}

impl LinkState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InStep => "in-step",
            Self::Behind => "behind",
            Self::Offline => "offline",
            Self::Paused => "paused",
            Self::Refused => "refused",
        }
    }
}

/// How the link is, in words. Times are the session's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    pub state: LinkState,
    /// A sentence for people, without its full stop.
    pub reason: String,
    pub since: i64,
    pub last_contact: Option<i64>,
    /// Saves the hub has not acknowledged.
    pub pending_out: u64,
    /// Records known to wait at the hub.
    pub pending_in: u64,
    /// When it is tried again, if it is waiting for that.
    pub next_try: Option<i64>,
}

impl Session {
    pub(super) fn assess(&self) -> (LinkState, String) {
        if self.paused {
            return (LinkState::Paused, "paused here, by hand".into());
        }
        if let Some((reason, _)) = &self.refused {
            return (LinkState::Refused, reason.clone());
        }
        if self.link.is_failing()
            && let Some(trouble) = &self.trouble
        {
            let state = match trouble {
                Failure::Busy { .. } | Failure::Local(_) => LinkState::Behind,
                _ => LinkState::Offline,
            };
            return (state, trouble.to_string());
        }
        if self.epoch.is_none() {
            return (LinkState::Behind, "looking for the hub".into());
        }
        if self.waiting > 0 {
            let saves = match self.waiting {
                1 => "1 save is on its way to the hub".to_owned(),
                many => format!("{many} saves are on their way to the hub"),
            };
            return match &self.out_trouble {
                Some(trouble) => (LinkState::Behind, format!("{saves}, the hub does not take it yet: {trouble}")),
                None => (LinkState::Behind, saves),
            };
        }
        let troubled = self.lanes.iter().find_map(|(partition, lane)| Some((partition, lane.trouble.as_ref()?)));
        if let Some((partition, trouble)) = troubled {
            return (LinkState::Behind, format!("{partition} cannot be fetched: {trouble}"));
        }
        if let Some((partition, _)) = self.lanes.iter().find(|(_, lane)| lane.walk.is_some()) {
            let reason =
                format!("{partition} is compared with the hub, one of the two was put back to an earlier state");
            return (LinkState::Behind, reason);
        }
        if self.lanes.values().any(|lane| !lane.is_complete()) {
            let reason = match self.pending_in() {
                1 => "1 record is on its way from the hub".to_owned(),
                many => format!("{many} records are on their way from the hub"),
            };
            return (LinkState::Behind, reason);
        }
        if let Some((partition, _)) = self.lanes.iter().find(|(_, lane)| lane.check == Check::Differs) {
            return (LinkState::Behind, format!("{partition} is not the same here and at the hub"));
        }
        if let Some(partition) = &self.beyond {
            return (LinkState::Behind, format!("{partition} is here and not at the hub"));
        }
        if !self.forget.is_empty() {
            return (LinkState::Behind, "dropping what this node does not hold any more".into());
        }
        if self.lanes.values().any(|lane| lane.check != Check::Equal) {
            return (LinkState::Behind, "comparing with the hub".into());
        }
        (LinkState::InStep, "this node and the hub hold the same".into())
    }

    fn pending_in(&self) -> u64 {
        let behind = self.lanes.values().filter(|lane| !lane.is_complete());
        behind.map(|lane| lane.waiting.max(1)).sum()
    }

    pub fn status(&self) -> Status {
        let (state, reason) = self.assess();
        let next_try = match state {
            LinkState::Offline | LinkState::Behind if self.link.is_failing() => Some(self.link.until()),
            LinkState::Refused => self.refused.as_ref().map(|(_, until)| *until),
            _ => None,
        };
        Status {
            state,
            reason,
            since: self.since,
            last_contact: self.last_contact,
            pending_out: self.waiting,
            pending_in: self.pending_in(),
            next_try,
        }
    }
}
