//! Long texts that several people change at once: each save's edit is a write of its own below the text, and what people
//! see is all of them woven together.
//!
//! The text as it was last written whole is the *base*. An edit names the characters it speaks of: the place in the base
//! or in what another edit put in. So edits may come in any order and any number of times, and the weave of the same
//! edits is the same text everywhere. Between two edits that put something in at one place, the one that was made with
//! the other in sight stands first; without, their counts and keys decide. Nothing here depends on stamps, so bringing
//! writes to corrected time changes no text.
//!
//! An edit of another base than the one that stands cannot name its characters. What it put in is kept all the same,
//! behind the words that it was put behind, or else where it stood; what it took away stays.

use std::collections::HashMap;

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value, json};
use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::{Act, Change, Content, Document, Place, State};
use crate::domain::path::{ItemKey, Path, Segment};

/// Marks the keys of edits, so that they are taken for no item of a group, no element of a set and no difference.
const EDIT: char = '~';
/// How many bytes of a hash name an edit or a base: enough to tell the few hundred of one text apart.
const NAME: usize = 6;
/// When the edits of a text come to more than this, the next save writes the text whole.
const MOST_BYTES: usize = 64 * 1024;
/// What an edit takes besides its own text: key, stamp, number of arrival.
const BESIDE: usize = 40;
/// How many characters in front of what was put in an edit remembers, to find the place again in another text.
const CONTEXT: usize = 8;
/// More words than this on both sides are not compared one by one.
const MOST_WORDS: usize = 4_000;
/// For more than this that has lost its place none is looked for: only a hostile record has so much.
const MOST_STRAYS: usize = 1_000;

/// The key under which an edit is kept below its text; the same name counts once.
pub fn edit_key(once: &str) -> ItemKey {
    let hash = blake3::hash(once.as_bytes());
    ItemKey(format!("{EDIT}{}", BASE64URL_NOPAD.encode(&hash.as_bytes()[..NAME])))
}

/// Whether a place is an edit of the text above it.
pub(super) fn is_edit(path: &Path) -> bool {
    path.0.last().is_some_and(is_edit_key)
}

fn is_edit_key(segment: &Segment) -> bool {
    matches!(segment, Segment::Item(key) if key.0.starts_with(EDIT))
}

/// Whether edits are kept below a place.
pub(super) fn has_edits(place: &Place) -> bool {
    place.inside.keys().any(is_edit_key)
}

/// What shows at a place, from what was written there as a whole and the edits below it.
pub(super) fn shown(place: &Place, content: Option<Value>) -> Option<Value> {
    let base = match &content {
        Some(Value::String(text)) => text.as_str(),
        None | Some(Value::Null) => "",
        Some(_) => return content,
    };
    let woven = Weave::of(place, base).text();
    // an edit that only took away brings no cleared text back
    if woven.is_empty() && !matches!(content, Some(Value::String(_))) { content } else { Some(Value::String(woven)) }
}

/// The text that a late edit would have left, had it come to this one.
pub(super) fn with_edit(text: Option<&Value>, edit: &Value) -> Option<Value> {
    let mut woven = text.and_then(Value::as_str).unwrap_or_default().to_owned();
    for insert in &Edit::read("", edit).inserts {
        woven.insert_str(place_in(&woven, insert), insert.text);
    }
    if woven.is_empty() && text.is_none() { None } else { Some(Value::String(woven)) }
}

/// What people are told of an edit: which text it was made in, and how that would read with what it puts in. `None` if the
/// change is no edit.
pub fn edited(document: &Document, change: &Change) -> Option<(Path, Option<Value>)> {
    let text = change.path.parent().filter(|_| is_edit(&change.path))?;
    let stands = document.get(&text);
    let reads = match &change.act {
        Act::Set(Content::Json(edit)) => with_edit(stands, &edit.0),
        _ => stands.cloned(),
    };
    Some((text, reads))
}

impl State {
    /// The edit that makes `new` of the text at a path. `None` if the text is to be written whole: what stands there is no
    /// text, or has so many edits that it is time to begin anew.
    pub fn text_edit(&self, path: &Path, new: &str) -> Option<Value> {
        let base = match self.said(path) {
            Some(Value::String(text)) => text.as_str(),
            // an edit cannot say that a text is there and empty
            None | Some(Value::Null) if new.is_empty() => return None,
            None | Some(Value::Null) => "",
            Some(_) => return None,
        };
        let nothing = Place::default();
        let place = self.place(path).unwrap_or(&nothing);
        if weight(place) > MOST_BYTES {
            return None;
        }
        Some(Weave::of(place, base).edit(base, new))
    }

    /// What the write that decides a place says of it, without what was written below.
    fn said(&self, path: &Path) -> Option<&Value> {
        fn step<'v>(place: &'v Place, said: Option<&'v Value>) -> Option<&'v Value> {
            match &place.write {
                None => said,
                Some(write) => match &write.content {
                    Content::Json(text) => Some(&text.0),
                    Content::Absent | Content::Group => None,
                },
            }
        }
        let mut place = Some(&self.root);
        let mut said = step(&self.root, None);
        for segment in &path.0 {
            place = place.and_then(|place| place.inside.get(segment));
            said = within(said, segment);
            said = place.map_or(said, |place| step(place, said));
        }
        said
    }
}

/// What a value that is written whole says of a place directly below.
pub(super) fn within<'v>(said: Option<&'v Value>, segment: &Segment) -> Option<&'v Value> {
    match segment {
        Segment::Property(name) => said?.as_object()?.get(name),
        Segment::Item(_) => None,
    }
}

/// How much the edits of a text take, about.
fn weight(place: &Place) -> usize {
    edits(place).map(|(_, edit)| edit.to_string().len() + BESIDE).sum()
}

fn edits(place: &Place) -> impl Iterator<Item = (&str, &Value)> {
    place.inside.iter().filter_map(|(segment, below)| match (segment, &below.write) {
        (Segment::Item(key), Some(write)) if key.0.starts_with(EDIT) => match &write.content {
            Content::Json(text) => Some((key.0.as_str(), &text.0)),
            Content::Absent | Content::Group => None,
        },
        _ => None,
    })
}

/// Names a base by what it says; an empty one has no name, so that two people may both begin a text.
fn name_of(base: &str) -> String {
    match base {
        "" => String::new(),
        base => BASE64URL_NOPAD.encode(&blake3::hash(base.as_bytes()).as_bytes()[..NAME]),
    }
}

/// One save's edit, read from what was written. What cannot be read of it says nothing.
struct Edit<'v> {
    key: &'v str,
    base: &'v str,
    /// One more than the highest that its author had in sight.
    count: u64,
    inserts: Vec<Insert<'v>>,
    /// The source, the first character, how many.
    deletes: Vec<(&'v str, usize, usize)>,
    /// How many characters it put in.
    length: usize,
}

struct Insert<'v> {
    /// Behind so many characters of this source: an edit's key, or nothing for the base.
    after: (&'v str, usize),
    /// Where that was in the text as its author saw it, in characters, and what stood in front.
    at: usize,
    before: &'v str,
    text: &'v str,
    /// How much of the edit's own characters comes before, and up to where it goes.
    from: usize,
    to: usize,
}

impl<'v> Edit<'v> {
    fn read(key: &'v str, value: &'v Value) -> Self {
        let number = |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok());
        let list = |name: &str| value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut edit = Edit {
            key,
            base: value.get("b").and_then(Value::as_str).unwrap_or_default(),
            count: value.get("n").and_then(Value::as_u64).unwrap_or_default(),
            inserts: Vec::new(),
            deletes: Vec::new(),
            length: 0,
        };
        for insert in list("i") {
            let Some([Value::String(source), after, at, Value::String(before), Value::String(text)]) =
                insert.as_array().map(Vec::as_slice)
            else {
                continue;
            };
            let (Some(after), Some(at)) = (number(after), number(at)) else { continue };
            let from = edit.length;
            edit.length += text.chars().count();
            edit.inserts.push(Insert { after: (source, after), at, before, text, from, to: edit.length });
        }
        for delete in list("d") {
            let Some([Value::String(source), from, count]) = delete.as_array().map(Vec::as_slice) else { continue };
            let (Some(from), Some(count)) = (number(from), number(count)) else { continue };
            edit.deletes.push((source, from, count));
        }
        edit
    }
}

/// Some of one source's characters, one behind the other. Source 0 is the base, the others are edits.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Run {
    source: usize,
    from: usize,
    to: usize,
}

struct Source<'v> {
    key: &'v str,
    chars: Vec<char>,
    /// What was put in behind so many of its characters: by an edit, and which part of that. In order.
    behind: Vec<(usize, usize, usize)>,
    /// What of it was taken away: from, to. In order, apart from one another.
    gone: Vec<(usize, usize)>,
}

struct Weave<'v> {
    sources: Vec<Source<'v>>,
    /// What is seen, in order.
    runs: Vec<Run>,
    /// The highest count.
    count: u64,
}

impl<'v> Weave<'v> {
    fn of(place: &'v Place, base: &str) -> Self {
        let mut edits: Vec<Edit> = edits(place).map(|(key, value)| Edit::read(key, value)).collect();
        edits.sort_by(|a, b| (a.count, a.key).cmp(&(b.count, b.key)));
        let count = edits.last().map_or(0, |edit| edit.count);
        let name = name_of(base);
        let source = |key, chars| Source { key, chars, behind: Vec::new(), gone: Vec::new() };
        let mut sources = vec![source("", base.chars().collect())];
        for edit in &edits {
            let chars = edit.inserts.iter().flat_map(|insert| insert.text.chars()).collect();
            sources.push(source(edit.key, chars));
        }
        let by_key: HashMap<&str, usize> = sources.iter().zip(0..).map(|(source, at)| (source.key, at)).collect();
        let mut strays = Vec::new();
        for (number, edit) in (1..).zip(&edits) {
            // of another base it knows no characters
            let find = |key: &str| by_key.get(key).copied().filter(|&at| at > 0 || edit.base == name);
            for (part, insert) in edit.inserts.iter().enumerate() {
                let at = find(insert.after.0)
                    .filter(|&at| insert.after.1 <= sources[at].chars.len() && (at == 0 || insert.after.1 > 0));
                match at {
                    Some(at) => sources[at].behind.push((insert.after.1, number, part)),
                    None => strays.push((number, part)),
                }
            }
            for &(key, from, count) in &edit.deletes {
                if let Some(at) = find(key) {
                    let to = from.saturating_add(count).min(sources[at].chars.len());
                    if from < to {
                        sources[at].gone.push((from, to));
                    }
                }
            }
        }
        sources[0].take_in(&strays, &edits, base);
        for source in &mut sources {
            source.order();
            source.gone.sort_unstable();
            source.gone.dedup_by(|next, last| {
                let joins = next.0 <= last.1;
                if joins {
                    last.1 = last.1.max(next.1);
                }
                joins
            });
        }
        let (mut runs, placed) = runs(&sources, &edits);
        let in_a_ring = |&(number, part): &(usize, usize)| !placed[number - 1][part];
        let parts =
            (1..).zip(&edits).flat_map(|(number, edit)| (0..edit.inserts.len()).map(move |part| (number, part)));
        let rings: Vec<(usize, usize)> = parts.filter(in_a_ring).collect();
        if !rings.is_empty() {
            for source in &mut sources {
                source.behind.retain(|&(_, edit, part)| placed[edit - 1][part]);
            }
            sources[0].take_in(&rings, &edits, base);
            sources[0].order();
            (runs, _) = self::runs(&sources, &edits);
        }
        Weave { sources, runs, count }
    }

    fn chars(&self) -> impl Iterator<Item = char> {
        self.runs.iter().flat_map(|run| self.sources[run.source].chars[run.from..run.to].iter().copied())
    }

    fn text(&self) -> String {
        self.chars().collect()
    }

    /// What makes `new` of the woven text, of which every character has a source.
    fn edit(&self, base: &str, new: &str) -> Value {
        let old: Vec<char> = self.chars().collect();
        let new: Vec<char> = new.chars().collect();
        let mut inserts = Vec::new();
        let mut deletes: Vec<(usize, usize, usize)> = Vec::new();
        let key = |source: usize| self.sources[source].key;
        for Replaced { from, to, by } in differences(&old, &new) {
            let mut at = 0;
            let (mut source, mut behind) = (0, 0);
            for run in &self.runs {
                let (start, end) = (at, at + run.to - run.from);
                at = end;
                if start < from {
                    (source, behind) = (run.source, run.from + (from.min(end) - start));
                }
                let (first, last) = (from.max(start), to.min(end));
                if first < last {
                    deletes.push((run.source, run.from + first - start, last - first));
                }
                if start >= to {
                    break;
                }
            }
            if !by.is_empty() {
                let before: String = old[from.saturating_sub(CONTEXT)..from].iter().collect();
                let text: String = by.iter().collect();
                inserts.push(json!([key(source), behind, from, before, text]));
            }
        }
        let mut edit = Map::new();
        edit.insert("b".into(), json!(name_of(base)));
        if !deletes.is_empty() {
            let deletes: Vec<Value> =
                deletes.into_iter().map(|(source, from, count)| json!([key(source), from, count])).collect();
            edit.insert("d".into(), Value::Array(deletes));
        }
        if !inserts.is_empty() {
            edit.insert("i".into(), Value::Array(inserts));
        }
        edit.insert("n".into(), json!(self.count.saturating_add(1)));
        Value::Object(edit)
    }
}

impl Source<'_> {
    /// Gives parts of edits that cannot name their place one in the base, so that they have one for whatever is put behind
    /// them.
    fn take_in(&mut self, strays: &[(usize, usize)], edits: &[Edit], base: &str) {
        for (searched, &(number, part)) in strays.iter().enumerate() {
            let insert = &edits[number - 1].inserts[part];
            let behind = match searched {
                ..MOST_STRAYS => base[..place_in(base, insert)].chars().count(),
                _ => insert.at.min(self.chars.len()),
            };
            self.behind.push((behind, number, part));
        }
    }

    /// The later edit stands first; its own parts in their order.
    fn order(&mut self) {
        self.behind.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)).then(a.2.cmp(&b.2)));
    }
}

/// Goes through the base and, behind each of its characters, through what was put in there, and so on. Says also which
/// parts of which edits were met.
///
/// Each part of an edit is behind one character, so it is met once at most; parts that hang on one another in a ring are
/// never met.
fn runs(sources: &[Source], edits: &[Edit]) -> (Vec<Run>, Vec<Vec<bool>>) {
    let mut placed: Vec<Vec<bool>> = edits.iter().map(|edit| vec![false; edit.inserts.len()]).collect();
    let mut seen = Vec::new();
    // a run that is to be gone through, and which of the things behind its characters is next
    let mut open = vec![(Run { source: 0, from: 0, to: sources[0].chars.len() }, 0)];
    while let Some((run, next)) = open.pop() {
        let source = &sources[run.source];
        let Some(&(behind, _, _)) = source.behind.get(next).filter(|(behind, _, _)| *behind <= run.to) else {
            see(source, run, &mut seen);
            continue;
        };
        see(source, Run { to: behind, ..run }, &mut seen);
        let same = source.behind[next..].iter().take_while(|(other, _, _)| *other == behind).count();
        open.push((Run { from: behind, ..run }, next + same));
        for &(_, edit, part) in source.behind[next..next + same].iter().rev() {
            let insert = &edits[edit - 1].inserts[part];
            placed[edit - 1][part] = true;
            let first = sources[edit].behind.partition_point(|(behind, _, _)| *behind <= insert.from);
            open.push((Run { source: edit, from: insert.from, to: insert.to }, first));
        }
    }
    (seen, placed)
}

/// Adds what of a run was not taken away.
fn see(source: &Source, run: Run, seen: &mut Vec<Run>) {
    let mut from = run.from;
    let first = source.gone.partition_point(|(_, to)| *to <= run.from);
    for &(gone, to) in source.gone[first..].iter().take_while(|(gone, _)| *gone < run.to) {
        if from < gone {
            seen.push(Run { from, to: gone, ..run });
        }
        from = to;
    }
    if from < run.to {
        seen.push(Run { from, ..run });
    }
}

/// Where in a text something belongs that cannot name its place: behind the words it was behind, at the nearest place
/// where they stand, or else where it was. In bytes.
fn place_in(text: &str, insert: &Insert) -> usize {
    let was = text.char_indices().nth(insert.at).map_or(text.len(), |(at, _)| at);
    if insert.before.is_empty() {
        return was;
    }
    let ends = text.match_indices(insert.before).map(|(at, found)| at + found.len());
    ends.min_by_key(|end| end.abs_diff(was)).unwrap_or(was)
}

/// These characters of the old text are others in the new one.
struct Replaced<'c> {
    from: usize,
    to: usize,
    by: &'c [char],
}

/// Where two texts differ, by words.
fn differences<'c>(old: &[char], new: &'c [char]) -> Vec<Replaced<'c>> {
    let (was, is) = (words(old), words(new));
    let head = was.iter().zip(&is).take_while(|(a, b)| a == b).count();
    let start: usize = was[..head].iter().map(|word| word.len()).sum();
    let (was, is) = (&was[head..], &is[head..]);
    let tail = was.iter().rev().zip(is.iter().rev()).take_while(|(a, b)| a == b).count();
    let (was, is) = (&was[..was.len() - tail], &is[..is.len() - tail]);
    let (old_at, new_at) = (borders(start, was), borders(start, is));
    let operations = if was.len() + is.len() > MOST_WORDS {
        vec![DiffOp::Replace { old_index: 0, old_len: was.len(), new_index: 0, new_len: is.len() }]
    } else {
        capture_diff_slices(Algorithm::Myers, was, is)
    };
    let changed = operations.into_iter().filter_map(|operation| {
        let (_, was, is) = operation.as_tag_tuple();
        let (from, to) = (old_at[was.start], old_at[was.end]);
        let by = &new[new_at[is.start]..new_at[is.end]];
        (old[from..to] != *by).then(|| tightened(old, new, Replaced { from, to, by }, new_at[is.start]))
    });
    changed.collect()
}

/// A text cut into words and what is between them.
fn words(text: &[char]) -> Vec<&[char]> {
    text.chunk_by(|a, b| a.is_alphanumeric() && b.is_alphanumeric()).collect()
}

/// Where each word begins, and where the last ends.
fn borders(start: usize, words: &[&[char]]) -> Vec<usize> {
    let ends = words.iter().scan(start, |at, word| {
        *at += word.len();
        Some(*at)
    });
    std::iter::once(start).chain(ends).collect()
}

/// A word that only grew or shrank keeps the letters that it had. Where the same letters stand on both sides of what was
/// put in or taken away, it is cut between words: "w" of a word that another takes away at the same time is not the "w" of
/// its neighbour. `start` is where the replaced part begins in the new text.
fn tightened<'c>(old: &[char], new: &'c [char], replaced: Replaced<'c>, start: usize) -> Replaced<'c> {
    let Replaced { from, to, by } = replaced;
    let gone = &old[from..to];
    let short = gone.len().min(by.len());
    let head = gone.iter().zip(by).take_while(|(a, b)| a == b).count();
    let tail = gone.iter().rev().zip(by.iter().rev()).take_while(|(a, b)| a == b).count();
    if head + tail < short {
        return replaced;
    }
    // so many characters at both ends of the longer one stay, and what is between them goes, or comes
    let (out, put) = (gone.len() - short, by.len() - short);
    let clean = |kept: &usize| {
        let (was, is) = (from + kept, start + kept);
        let borders = [(old, was), (old, was + out), (new, is), (new, is + put)];
        borders.into_iter().filter(|(text, at)| is_border(text, *at)).count()
    };
    let kept = (short - tail.min(short)..=head.min(short)).max_by_key(clean).unwrap_or(head);
    Replaced { from: from + kept, to: from + kept + out, by: &by[kept..kept + put] }
}

/// Whether a word begins or ends here, or none is near.
fn is_border(text: &[char], at: usize) -> bool {
    match (at.checked_sub(1).and_then(|before| text.get(before)), text.get(at)) {
        (Some(a), Some(b)) => !(a.is_alphanumeric() && b.is_alphanumeric()),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::record::Write;
    use crate::domain::stamp::Stamp;

    fn put(place: &mut Place, once: &str, edit: Value) {
        let write = Write { stamp: Stamp::NEVER, arrival: 1, content: Content::json(edit) };
        let below = Place { write: Some(write), ..Place::default() };
        place.inside.insert(Segment::Item(edit_key(once)), below);
    }

    fn text_of(place: &Place, base: &str) -> String {
        Weave::of(place, base).text()
    }

    /// Three people who each edit from what they have; now and then one gets all edits of another.
    fn step() -> impl Strategy<Value = (usize, usize, bool, usize, usize, String)> {
        (0..3usize, 0..3usize, any::<bool>(), 0..40usize, 0..6usize, "[a-c ]{0,4}")
    }

    proptest! {
        #[test]
        fn an_edit_makes_the_text_that_was_meant_and_all_edits_weave_alike(
            base in "[a-c ]{0,20}", steps in prop::collection::vec(step(), 0..24)
        ) {
            let mut people = vec![Place::default(); 3];
            for (number, (who, other, takes, at, gone, new)) in steps.iter().enumerate() {
                if *takes {
                    let theirs = people[*other].clone();
                    people[*who].inside.extend(theirs.inside);
                }
                let place = &mut people[*who];
                let mut text: Vec<char> = text_of(place, &base).chars().collect();
                let at = at % (text.len() + 1);
                let to = (at + gone).min(text.len());
                text.splice(at..to, new.chars());
                let meant: String = text.into_iter().collect();
                let edit = Weave::of(place, &base).edit(&base, &meant);
                put(place, &format!("save {number}"), edit);
                prop_assert_eq!(text_of(place, &base), meant);
            }
            let joined = |order: [usize; 3]| {
                let mut all = Place::default();
                order.iter().for_each(|who| all.inside.extend(people[*who].inside.clone()));
                text_of(&all, &base)
            };
            prop_assert_eq!(joined([0, 1, 2]), joined([2, 1, 0]));
        }

        #[test]
        fn what_nobody_takes_away_is_in_the_text_whatever_base_stands(
            base in "[a-c ]{0,20}", other in "[a-c ]{0,20}", edits in prop::collection::vec((0..20usize, "[x-z]{1,5}"), 1..6)
        ) {
            let mut all = Place::default();
            for (number, (at, new)) in edits.iter().enumerate() {
                let mut text: Vec<char> = base.chars().collect();
                let at = at % (text.len() + 1);
                text.splice(at..at, new.chars());
                let edit = Weave::of(&Place::default(), &base).edit(&base, &text.into_iter().collect::<String>());
                put(&mut all, &format!("save {number}"), edit);
            }
            for base in [&base, &other] {
                let woven = text_of(&all, base);
                for (_, new) in &edits {
                    prop_assert!(new.chars().all(|c| woven.contains(c)), "{new} is in {woven}");
                }
                prop_assert_eq!(woven.len(), base.len() + edits.iter().map(|(_, new)| new.len()).sum::<usize>());
                // who edits it then is understood
                let meant = format!("<{}>", woven.replace('x', "").replace('y', "yy"));
                let mut next = all.clone();
                let edit = Weave::of(&all, base).edit(base, &meant);
                put(&mut next, "next", edit);
                prop_assert_eq!(text_of(&next, base), meant);
            }
        }

        #[test]
        fn hostile_edits_never_panic_and_add_no_more_than_they_bring(
            base in "\\PC{0,12}", edits in prop::collection::vec((any::<[u64; 4]>(), 0..4usize, 0..4usize, "\\PC{0,6}", any::<bool>()), 0..12)
        ) {
            let mut place = Place::default();
            let name = name_of(&base);
            let keys: Vec<String> = (0..3).map(|number| edit_key(&number.to_string()).0).chain([String::new()]).collect();
            for (number, (numbers, after, from, text, own)) in edits.iter().enumerate() {
                let small = |number: u64| if number.is_multiple_of(3) { number } else { number % 9 };
                let edit = json!({
                    "b": if *own { name.as_str() } else { "other" },
                    "n": small(numbers[0]),
                    "i": [[keys[*after], small(numbers[1]), small(numbers[2]), text, text], [keys[*from], 1, 0, "", "y"], 7, ["", -1]],
                    "d": [[keys[*from], small(numbers[2]), small(numbers[3])], "x", [1, 2, 3]],
                });
                put(&mut place, &(number % 5).to_string(), edit);
            }
            put(&mut place, "no edit", json!([1, {"i": 3}]));
            let woven = text_of(&place, &base);
            let brought: usize = edits.iter().map(|(_, _, _, text, _)| text.len() + 1).sum();
            prop_assert!(woven.len() <= base.len() + brought);
            let meant = format!("<{woven}>");
            let edit = Weave::of(&place, &base).edit(&base, &meant);
            put(&mut place, "next", edit);
            let _ = text_of(&place, &base);
        }
    }

    #[test]
    fn what_comes_or_goes_beside_like_letters_is_cut_between_words() {
        let cut = |old: &str, new: &str| {
            let (old, new): (Vec<char>, Vec<char>) = (old.chars().collect(), new.chars().collect());
            let found = differences(&old, &new);
            found.iter().map(|it| (it.from, it.to, it.by.iter().collect::<String>())).collect::<Vec<_>>()
        };
        assert_eq!(cut("a w12w34 b", "a w34 b"), [(2, 5, String::new())], "not \"12w\"");
        assert_eq!(cut("a w34 b", "a w12w34 b"), [(2, 2, "w12".into())]);
        assert_eq!(cut("see pump", "see pumps"), [(8, 8, "s".into())], "who goes on with a word goes on behind it");
        assert_eq!(cut("aa", "aaa"), [(2, 2, "a".into())]);
    }

    #[test]
    fn who_takes_a_word_away_leaves_the_one_that_touches_it_to_others() {
        let base = "one w12w34 two";
        let mut all = Place::default();
        for (name, meant) in [("a", "one w34 two"), ("b", "one w34 two"), ("c", "one w12w34 two three")] {
            let edit = Weave::of(&Place::default(), base).edit(base, meant);
            put(&mut all, name, edit);
        }
        // both take the same word away, one of them by way of another text
        let mut other = Place::default();
        let edit = Weave::of(&other, base).edit(base, "one w12 w34 two");
        put(&mut other, "d", edit.clone());
        put(&mut all, "d", edit);
        let edit = Weave::of(&other, base).edit(base, "one w34 two");
        put(&mut all, "e", edit);
        assert!(text_of(&all, base).contains("w34"), "{}", text_of(&all, base));
    }

    #[test]
    fn very_long_texts_are_compared_in_reasonable_time() {
        let base: String = (0..60_000).map(|number| format!("{number} ")).collect();
        let other: String = (0..60_000).rev().map(|number| format!("{number} ")).collect();
        let edit = Weave::of(&Place::default(), &base).edit(&base, &other);
        let mut place = Place::default();
        put(&mut place, "once", edit);
        assert_eq!(text_of(&place, &base), other);
    }
}
