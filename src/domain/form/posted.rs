//! What a browser or a program sent: names and texts, not yet understood.

use std::collections::BTreeMap;

use crate::domain::FieldError;
use crate::domain::path::Path;

/// A posted form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Posted {
    values: BTreeMap<String, Vec<String>>,
}

/// What a button of the form asks for beyond saving; it changes the form and saves nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    pub verb: Verb,
    /// The name of the group or of the item.
    pub at: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Add,
    Remove,
    Up,
    Down,
}

impl Posted {
    pub fn read(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in pairs {
            values.entry(name).or_default().push(value);
        }
        Self { values }
    }

    /// Reads the body of a post, `application/x-www-form-urlencoded`. Unlike what libraries do, text that is not UTF-8 is
    /// refused and not replaced.
    pub fn parse(body: &[u8]) -> Result<Self, FieldError> {
        let mut pairs = Vec::new();
        for pair in body.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
            let (name, value) = match pair.iter().position(|b| *b == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            pairs.push((decoded(name)?, decoded(value)?));
        }
        Ok(Self::read(pairs))
    }

    /// The first value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.first().map(String::as_str)
    }

    pub fn all(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    /// A name as it is kept here, with its values.
    pub(super) fn entry(&self, name: &str) -> Option<(&str, &[String])> {
        self.values.get_key_value(name).map(|(name, values)| (name.as_str(), values.as_slice()))
    }

    /// The names of controls; those that begin with `_` are no controls.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str).filter(|name| !name.starts_with('_'))
    }

    /// The names that begin like this one.
    pub(super) fn beginning(&self, start: String) -> impl Iterator<Item = &str> {
        let from = (std::ops::Bound::Included(start.as_str()), std::ops::Bound::Unbounded);
        let from = self.values.range::<str, _>(from);
        from.map(|(name, _)| name.as_str()).take_while(move |name| name.starts_with(&start))
    }

    /// The sealed base.
    pub fn base(&self) -> &str {
        self.get("_base").unwrap_or_default()
    }

    /// The button that changes the form, if one was pressed. `Err` for one that no form has.
    pub fn action(&self) -> Result<Option<Action>, FieldError> {
        let Some(pressed) = self.get("_do").filter(|pressed| !pressed.is_empty()) else { return Ok(None) };
        let unknown = || FieldError::new("", "name", format!("This form has no button \"{pressed}\"."));
        let (verb, at) = pressed.split_once(' ').ok_or_else(unknown)?;
        let verb = match verb {
            "add" => Verb::Add,
            "remove" => Verb::Remove,
            "up" => Verb::Up,
            "down" => Verb::Down,
            _ => return Err(unknown()),
        };
        Path::steps(at).ok_or_else(unknown)?;
        Ok(Some(Action { verb, at: at.to_owned() }))
    }
}

fn decoded(text: &[u8]) -> Result<String, FieldError> {
    let wrong =
        || FieldError::new("", "encoding", "The form was sent in another encoding than UTF-8. Nothing was saved.");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|b| (*b as char).to_digit(16));
                let (high, low) = (digit().ok_or_else(wrong)?, digit().ok_or_else(wrong)?);
                (high * 16 + low) as u8
            }
            byte => *byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_as_browsers_write_it() {
        let posted =
            Posted::parse(b"%2Fa=1+2%0D%0A&%2Ftags=e0&%2Ftags=e1&_base=x&%2Fempty=&%2Fbare&&").expect("a form");
        assert_eq!(posted.get("/a"), Some("1 2\r\n"));
        assert_eq!(posted.all("/tags"), ["e0", "e1"]);
        assert_eq!((posted.get("/empty"), posted.get("/bare"), posted.get("/none")), (Some(""), Some(""), None));
        assert_eq!(posted.names().collect::<Vec<_>>(), ["/a", "/bare", "/empty", "/tags"]);
        assert_eq!(posted.base(), "x");
    }

    #[test]
    fn a_wrong_encoding_is_refused_and_not_repaired() {
        for body in [&b"/a=%FF"[..], b"/a=\xff", b"/a=%4", b"/a=%", b"/a=%zz", b"%C3=1", b"/a=%-1"] {
            assert_eq!(Posted::parse(body).expect_err("a wrong encoding").keyword, "encoding");
        }
    }

    #[test]
    fn a_button_is_a_verb_and_a_place() {
        let press = |text: &str| Posted::read([("_do".to_owned(), text.to_owned())]).action();
        assert_eq!(press("add /parts"), Ok(Some(Action { verb: Verb::Add, at: "/parts".into() })));
        assert_eq!(press("up /a b/@k"), Ok(Some(Action { verb: Verb::Up, at: "/a b/@k".into() })));
        assert_eq!(press(""), Ok(None));
        for unknown in ["add", "explode /parts", "add parts", "add /~3", "remove"] {
            assert!(press(unknown).is_err(), "{unknown}");
        }
    }
}
