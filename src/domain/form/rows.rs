//! Which rows a list or a group has in a posted form: they are named by key, in order, in a hidden field of their own.

use super::keys::KeyMaker;
use super::posted::{Action, Posted, Verb};
use crate::domain::FieldError;
use crate::domain::path::{ItemKey, Path};

/// The name of the hidden field that says which rows were drawn.
pub(super) fn marker(name: &str) -> String {
    format!("{name}#items")
}

/// The rows as the marker carries them: `/@k7f2/@m3x9`.
pub(super) fn written(keys: &[ItemKey]) -> String {
    Path(keys.iter().cloned().map(crate::domain::path::Segment::Item).collect()).to_string()
}

/// The rows that were posted; `None` where the list was not drawn. A key must be one that was there or that this form made.
pub(super) fn posted_rows(
    posted: &Posted,
    maker: KeyMaker,
    place: &Path,
    name: &str,
    there: &[ItemKey],
) -> Option<Result<Vec<ItemKey>, FieldError>> {
    let text = posted.get(&marker(name))?;
    let forged = || FieldError::new(name, "name", "This form names entries that it never had. Load it again.");
    let Some(path) = Path::parse(text, |_| true) else { return Some(Err(forged())) };
    let mut keys = Vec::with_capacity(path.0.len());
    for segment in path.0 {
        let crate::domain::path::Segment::Item(key) = segment else { return Some(Err(forged())) };
        keys.push(key);
    }
    let mut seen = std::collections::HashSet::with_capacity(keys.len());
    let known: std::collections::HashSet<&ItemKey> = there.iter().collect();
    let good = keys.iter().all(|key| (known.contains(key) || maker.made(place, key)) && seen.insert(key));
    Some(if good { Ok(keys) } else { Err(forged()) })
}

/// Carries out what a button asks of this list, if it speaks of it. Says the key that is new.
pub(super) fn act(
    action: &Action,
    maker: KeyMaker,
    place: &Path,
    name: &str,
    keys: &mut Vec<ItemKey>,
) -> Option<Option<ItemKey>> {
    if action.verb == Verb::Add {
        if action.at != name {
            return None;
        }
        let key = maker.next(place, keys);
        keys.push(key.clone());
        return Some(Some(key));
    }
    if !matches!(action.verb, Verb::Remove | Verb::Up | Verb::Down) {
        return None;
    }
    let item = action.at.strip_prefix(name)?;
    let at = keys.iter().position(|key| written(std::slice::from_ref(key)) == item)?;
    match action.verb {
        Verb::Remove => {
            keys.remove(at);
        }
        Verb::Up if at > 0 => keys.swap(at, at - 1),
        Verb::Down if at + 1 < keys.len() => keys.swap(at, at + 1),
        _ => {}
    }
    Some(None)
}
