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

#[cfg(test)]
mod tests {
    use super::*;

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
