use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::path::Path;
use crate::domain::stamp::Stamp;

/// What a writer had in front of them at a place: the stamps their write or removal replaces, as rendered.
///
/// It covers a write at a place below if that is no later than what was seen there. A write that is earlier than one seen
/// at the same place counts as covered, since it lost to the one that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cover {
    /// The write that decided the place as a whole.
    #[serde(rename = "a")]
    pub all: Stamp,
    /// Later writes below it, by path from the place.
    #[serde(rename = "i", default, skip_serializing_if = "BTreeMap::is_empty", with = "pairs")]
    pub inside: BTreeMap<Path, Stamp>,
}

/// JSON keys are text and paths are not: the map travels as a list of pairs.
mod pairs {
    use super::*;

    pub fn serialize<S: serde::Serializer>(map: &BTreeMap<Path, Stamp>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Path, Stamp>, D::Error> {
        Vec::<(Path, Stamp)>::deserialize(deserializer).map(|pairs| pairs.into_iter().collect())
    }
}

impl Cover {
    /// Nothing was there.
    pub fn nothing() -> Self {
        Self::default()
    }

    pub fn covers(&self, below: &Path, stamp: Stamp) -> bool {
        if stamp <= self.all {
            return true;
        }
        !self.inside.is_empty()
            && (0..=below.0.len())
                .any(|depth| self.inside.get(&Path(below.0[..depth].to_vec())).is_some_and(|seen| stamp <= *seen))
    }

    /// As [`Cover::covers`], or what was seen is the same save under another time.
    pub fn has_seen(&self, below: &Path, stamp: Stamp) -> bool {
        let names = |seen: &Stamp| seen.is_same_save(&stamp);
        self.covers(below, stamp) || names(&self.all) || self.inside.get(below).is_some_and(names)
    }

    /// What either of two writers had seen.
    pub fn join(&mut self, other: &Cover) {
        self.all = self.all.max(other.all);
        for (path, stamp) in &other.inside {
            let seen = self.inside.entry(path.clone()).or_insert(*stamp);
            *seen = (*seen).max(*stamp);
        }
        let all = self.all;
        self.inside.retain(|_, stamp| *stamp > all);
    }

    /// The latest stamp named.
    pub fn latest(&self) -> Stamp {
        self.inside.values().fold(self.all, |latest, stamp| latest.max(*stamp))
    }
}
