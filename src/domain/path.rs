//! The place of a value inside a record: property names and the keys of repeated items.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The key of an item of a repeated group: stable, made where the item is made, kept beside the JSON.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ItemKey(pub String);

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Segment {
    #[serde(rename = "p")]
    Property(String),
    #[serde(rename = "i")]
    Item(ItemKey),
}

/// A place in a record; empty for the record itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Path(pub Vec<Segment>);

impl Path {
    pub fn root() -> Self {
        Self::default()
    }

    pub fn property(&self, name: impl Into<String>) -> Self {
        self.child(Segment::Property(name.into()))
    }

    pub fn item(&self, key: &ItemKey) -> Self {
        self.child(Segment::Item(key.clone()))
    }

    pub fn child(&self, segment: Segment) -> Self {
        let mut segments = Vec::with_capacity(self.0.len() + 1);
        segments.extend_from_slice(&self.0);
        segments.push(segment);
        Self(segments)
    }

    pub fn join(&self, below: &Path) -> Self {
        Self(self.0.iter().chain(&below.0).cloned().collect())
    }

    pub fn parent(&self) -> Option<Path> {
        self.0.split_last().map(|(_, rest)| Path(rest.to_vec()))
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The steps of a pointer as text, unescaped (RFC 6901 §4). `None` if it is no JSON Pointer.
    pub fn steps(pointer: &str) -> Option<Vec<String>> {
        if pointer.is_empty() {
            return Some(Vec::new());
        }
        let rest = pointer.strip_prefix('/')?;
        rest.split('/').map(unescape).collect()
    }

    /// Reads a pointer in which the items of groups are named by key, `/parts/@k7f2/quantity`. Whether a step names
    /// an item is known to `is_group`, asked with the place above it: a property that is really called `@x` stays itself.
    pub fn parse(pointer: &str, mut is_group: impl FnMut(&Path) -> bool) -> Option<Path> {
        let mut path = Path::root();
        for step in Self::steps(pointer)? {
            let segment = if is_group(&path) {
                Segment::Item(ItemKey(step.strip_prefix('@').filter(|key| !key.is_empty())?.to_owned()))
            } else {
                Segment::Property(step)
            };
            path.0.push(segment);
        }
        Some(path)
    }
}

/// The JSON Pointer, items as `@key`.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.0 {
            match segment {
                Segment::Property(name) => write!(f, "/{}", escape(name))?,
                Segment::Item(key) => write!(f, "/@{}", escape(&key.0))?,
            }
        }
        Ok(())
    }
}

/// One step of a JSON Pointer, escaped (RFC 6901 §3).
pub fn escape(step: &str) -> String {
    if step.contains(['~', '/']) { step.replace('~', "~0").replace('/', "~1") } else { step.to_owned() }
}

fn unescape(step: &str) -> Option<String> {
    let mut out = String::with_capacity(step.len());
    let mut rest = step.chars();
    while let Some(c) = rest.next() {
        out.push(match c {
            '~' => match rest.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            c => c,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_keep_hostile_names() {
        for name in ["", "a/b", "a~b", "~1", "@x", "__proto__", "ä b", "#"] {
            let path = Path::root().property("o").property(name);
            assert_eq!(Path::parse(&path.to_string(), |_| false), Some(path));
        }
    }

    #[test]
    fn an_item_is_named_by_its_key_and_only_inside_a_group() {
        let path = Path::parse("/@a/@b", |place| place.0.len() == 1).expect("a pointer");
        assert_eq!(path, Path::root().property("@a").item(&ItemKey("b".into())));
        assert_eq!(Path::parse("/a/0", |place| place.0.len() == 1), None);
        assert_eq!(Path::parse("a", |_| false), None);
        assert_eq!(Path::parse("/~2", |_| false), None);
    }
}
