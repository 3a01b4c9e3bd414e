//! Bringing a record back to what stands, by later writes.
//!
//! A save that may not be was made somewhere, and there it is part of the record. Taking it back would need the consent of
//! every node that holds it; writing over it needs none. So whoever answers for the record writes again, above everything,
//! what the record would be without that save. [`State::realigned`] says which writes that takes, [`Origins`] remembers
//! what each of them stands for, so that those who saw it are taken to have seen that.

use std::rc::Rc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::project::{is_part, rank};
use super::{Act, Change, Content, Cover, Document, State};
use crate::domain::json;
use crate::domain::path::{ItemKey, Path, Segment};
use crate::domain::stamp::Stamp;

impl State {
    /// The changes that make this version show what `truth` shows, once they are written with the stamp `by`, which is
    /// above all that is here. `denied`: the write whose traces are to be covered although they may not show.
    pub fn realigned(&self, truth: &State, by: Stamp, denied: Option<(&[Change], Stamp)>) -> Vec<Change> {
        let mut aligner =
            Aligner { now: self.clone(), truth, shown: Rc::new(truth.document()), by, changes: Vec::new() };
        if let Some((changes, stamp)) = denied {
            aligner.undo_parts(changes, stamp);
        }
        let now = aligner.now.document();
        aligner.align(&Path::root(), &now);
        if let Some((changes, stamp)) = denied {
            aligner.cover_traces(changes, stamp);
        }
        aligner.align_bin(denied.map(|(_, stamp)| stamp));
        aligner.changes
    }
}

impl State {
    /// The changes that write everything anew as `truth` shows it: nobody is taken to have said what stands but who did.
    pub fn rewritten(&self, truth: &State, by: Stamp) -> Vec<Change> {
        let mut aligner =
            Aligner { now: self.clone(), truth, shown: Rc::new(truth.document()), by, changes: Vec::new() };
        aligner.write_out(&Path::root());
        aligner.align_bin(None);
        aligner.changes
    }
}

struct Aligner<'a> {
    now: State,
    truth: &'a State,
    /// What the truth shows.
    shown: Rc<Document>,
    by: Stamp,
    changes: Vec<Change>,
}

impl Aligner<'_> {
    fn push(&mut self, path: &Path, act: Act) {
        let replaces = self.now.cover(path);
        self.changes.push(Change { path: path.clone(), act, replaces });
    }

    /// What was added to a counter or put into a text is taken out of it, and what others add is left alone.
    fn undo_parts(&mut self, changes: &[Change], stamp: Stamp) {
        for change in changes.iter().filter(|change| is_part(&change.path)) {
            let stands = self.now.place(&change.path).and_then(|place| place.write.as_ref());
            if stands.is_some_and(|write| write.stamp == stamp) {
                self.push(&change.path, Act::Set(Content::Absent));
            }
        }
        self.now.apply(&self.changes, self.by, 0, &|_, _| true);
    }

    fn align(&mut self, path: &Path, now: &Document) {
        let shown = self.shown.clone();
        match (now.keys.get(path), shown.keys.get(path)) {
            (Some(here), Some(there)) => return self.align_items(path, now, here, there),
            (None, None) => {}
            _ => return self.write_out(path),
        }
        match (now.get(path), shown.get(path)) {
            (Some(Value::Object(here)), Some(Value::Object(there))) if self.is_one(path, here, there) => {
                self.write_out(path);
            }
            (Some(Value::Object(here)), Some(Value::Object(there))) => {
                let gone = here.keys().filter(|name| !there.contains_key(*name));
                let names: Vec<String> = there.keys().chain(gone).cloned().collect();
                names.iter().for_each(|name| self.align(&path.property(name.as_str()), now));
            }
            (Some(here), Some(there)) if json::equal(here, there) => {}
            (None, None) => {}
            _ => self.write_out(path),
        }
    }

    /// Whether what differs inside an object was said by a write of the whole: then it is restated as a whole, so that
    /// whoever sees it is taken to have seen that write.
    fn is_one(&self, path: &Path, here: &Map<String, Value>, there: &Map<String, Value>) -> bool {
        let Some(write) = self.truth.place(path).and_then(|place| place.write.as_ref()) else { return false };
        let differs = |name: &String| match (here.get(name), there.get(name)) {
            (Some(here), Some(there)) => !json::equal(here, there),
            (None, None) => false,
            _ => true,
        };
        let said = |name: &String| self.truth.stamp_at(&path.property(name.as_str())) == write.stamp;
        !path.is_root() && there.keys().chain(here.keys()).any(|name| differs(name) && said(name))
    }

    fn align_items(&mut self, path: &Path, now: &Document, here: &[ItemKey], there: &[ItemKey]) {
        for key in here.iter().filter(|key| !there.contains(key)) {
            self.push(&path.item(key), Act::Remove);
        }
        for key in there {
            let item = path.item(key);
            if !here.contains(key) {
                self.write_item(&item);
                continue;
            }
            let ranks = [&self.now, self.truth].map(|state| state.place(&item).map_or("", rank).to_owned());
            if ranks[0] != ranks[1] {
                self.write_rank(&item);
            }
            self.align(&item, now);
        }
    }

    fn write_item(&mut self, item: &Path) {
        self.write_out(item);
        self.write_rank(item);
    }

    fn write_rank(&mut self, item: &Path) {
        let rank = self.truth.place(item).map_or("", rank).to_owned();
        self.push(item, Act::Rank(rank));
    }

    /// Writes the place as the truth shows it, with all that is in it.
    fn write_out(&mut self, path: &Path) {
        let shown = self.shown.clone();
        let Some(value) = shown.get(path) else { return self.push(path, Act::Set(Content::Absent)) };
        if let Some(keys) = shown.keys.get(path) {
            self.push(path, Act::Set(Content::Group));
            keys.iter().for_each(|key| self.write_item(&path.item(key)));
            return;
        }
        let depth = path.0.len();
        let is_outermost = |group: &&Path| {
            group.0.len() > depth
                && group.0[..depth] == path.0[..]
                && group.0[depth..].iter().all(|segment| matches!(segment, Segment::Property(_)))
        };
        let groups: Vec<Path> = shown.keys.keys().filter(is_outermost).cloned().collect();
        let mut value = value.clone();
        groups.iter().for_each(|group| take_out(&mut value, &group.0[depth..]));
        self.push(path, Act::Set(Content::json(value)));
        groups.iter().for_each(|group| self.write_out(group));
    }

    /// Where a denied write said what stands anyhow, it is not the one who said so.
    fn cover_traces(&mut self, changes: &[Change], stamp: Stamp) {
        for change in changes {
            let path = &change.path;
            let is_written = self
                .changes
                .iter()
                .any(|done| matches!(done.act, Act::Set(_) | Act::Remove) && path.0.starts_with(&done.path.0));
            let sets = matches!(change.act, Act::Set(_)) && !is_part(path);
            if !sets || is_written || self.now.stamp_at(path) != stamp {
                continue;
            }
            match path.0.last() {
                // an item is whole or removed; what is not shown is no trace
                Some(Segment::Item(_)) if self.shown.get(path).is_none() => {}
                Some(Segment::Item(_)) => self.write_item(path),
                _ => self.write_out(path),
            }
        }
    }

    fn align_bin(&mut self, denied: Option<Stamp>) {
        let there = self.truth;
        let mut here = self.now.clone();
        here.apply(&self.changes, self.by, 0, &|_, _| true);
        let same = here.is_binned() == there.is_binned()
            && here.is_edited_after_deletion() == there.is_edited_after_deletion();
        let traced = denied.is_some() && here.bin.as_ref().map(|bin| bin.stamp) == denied;
        if same && !traced {
            return;
        }
        let edited = there.bin.as_ref().filter(|_| there.is_edited_after_deletion());
        // unless somebody edited it after it was binned, all that is there was seen, and what is written with this as well
        let all_seen = || Cover { all: self.by, ..Cover::default() };
        let replaces = edited.map_or_else(all_seen, |bin| bin.cover.clone());
        self.changes.push(Change { path: Path::root(), act: Act::Bin(there.is_binned()), replaces });
    }
}

fn take_out(value: &mut Value, steps: &[Segment]) {
    let [Segment::Property(name), rest @ ..] = steps else { return };
    let Some(map) = value.as_object_mut() else { return };
    if rest.is_empty() {
        map.shift_remove(name);
    } else if let Some(inside) = map.get_mut(name) {
        take_out(inside, rest);
    }
}

/// What writes stand for that nobody made of their own accord: a restatement for what it restated, a denied write for
/// what its author had seen.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Origins(Vec<Origin>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Origin {
    #[serde(rename = "w")]
    stamp: Stamp,
    #[serde(rename = "p")]
    path: Path,
    #[serde(rename = "s")]
    stands_for: Cover,
}

impl Origins {
    /// Notes what a denied save had seen.
    pub fn note_denied(&mut self, changes: &[Change], stamp: Stamp) {
        if self.0.iter().any(|origin| origin.stamp == stamp) {
            return;
        }
        let of = |change: &Change| Origin { stamp, path: change.path.clone(), stands_for: change.replaces.clone() };
        self.0.extend(changes.iter().map(of));
    }

    /// Notes what a restatement restates.
    pub fn note_restated(&mut self, changes: &[Change], stamp: Stamp, truth: &State) {
        let of = |change: &Change| Origin { stamp, path: change.path.clone(), stands_for: truth.cover(&change.path) };
        self.0.extend(changes.iter().map(of));
    }

    /// The write is one like any other from now on.
    pub fn forget(&mut self, stamp: Stamp) {
        self.0.retain(|origin| origin.stamp != stamp);
    }

    /// The same changes as their author would have made them, had there been nothing to deny.
    pub fn translate(&self, changes: &[Change]) -> Vec<Change> {
        let translated = changes
            .iter()
            .map(|change| Change { replaces: self.translate_cover(&change.path, &change.replaces), ..change.clone() });
        translated.collect()
    }

    fn translate_cover(&self, path: &Path, cover: &Cover) -> Cover {
        let mut seen = self.resolve(path, cover.all);
        for (below, stamp) in &cover.inside {
            let there = self.resolve(&path.join(below), *stamp);
            let pairs = there.inside.iter().map(|(deeper, stamp)| (below.join(deeper), *stamp));
            for (at, stamp) in pairs.chain([(below.clone(), there.all)]) {
                let known = seen.inside.entry(at).or_insert(stamp);
                *known = (*known).max(stamp);
            }
        }
        let all = seen.all;
        seen.inside.retain(|_, stamp| *stamp > all);
        seen
    }

    /// What somebody saw at a place who saw this write there.
    fn resolve(&self, path: &Path, stamp: Stamp) -> Cover {
        let covers = |origin: &&Origin| origin.stamp == stamp && path.0.starts_with(&origin.path.0);
        let nearest = self.0.iter().filter(covers).max_by_key(|origin| origin.path.0.len());
        let Some(Origin { path: from, stands_for, .. }) = nearest else {
            return Cover { all: stamp, ..Cover::default() };
        };
        let below = &path.0[from.0.len()..];
        let mut all = stands_for.all;
        let mut inside = Vec::new();
        for (at, stamp) in &stands_for.inside {
            if below.starts_with(&at.0) {
                all = all.max(*stamp);
            } else if at.0.starts_with(below) {
                inside.push((Path(at.0[below.len()..].to_vec()), *stamp));
            }
        }
        // what it stands for is earlier; a save that claims otherwise is taken at its word only so far
        if all >= stamp {
            return Cover { all: stamp, ..Cover::default() };
        }
        let mut seen = self.resolve(path, all);
        for (at, stamp) in inside.into_iter().filter(|(_, other)| *other < stamp) {
            let there = self.resolve(&path.join(&at), stamp);
            let known = seen.inside.entry(at).or_insert(there.all);
            *known = (*known).max(there.all);
        }
        let all = seen.all;
        seen.inside.retain(|_, stamp| *stamp > all);
        seen
    }
}
