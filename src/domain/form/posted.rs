//! What a browser or a program sent: names and texts, not yet understood.

use std::collections::BTreeMap;

use crate::domain::FieldError;
use crate::domain::path::Path;

/// A posted form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Posted {
    values: BTreeMap<String, Vec<String>>,
}

/// The hidden field that carries what was typed into controls that are not there now.
pub(super) const PARKED: &str = "_parked";

/// What a button of the form asks for beyond saving; it changes the form and saves nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    pub verb: Verb,
    /// The name of the group, of the item or of what is chosen.
    pub at: String,
    /// Which branch, by position.
    pub number: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Add,
    Remove,
    Up,
    Down,
    Choose,
    /// The form as the answers make it.
    Refresh,
}

impl Posted {
    pub fn read(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in pairs {
            // a browser makes every line break in a name one of these
            let name = if name.contains('\r') { name.replace("\r\n", "\n").replace('\r', "\n") } else { name };
            values.entry(name).or_default().push(value);
        }
        // what was typed before its control went away comes back with it
        let parked = values.get(PARKED).and_then(|texts| texts.first());
        let parked = parked.and_then(|text| serde_json::from_str::<Vec<(String, Vec<String>)>>(text).ok());
        for (name, texts) in parked.unwrap_or_default() {
            if !name.starts_with('_') {
                values.entry(name).or_insert(texts);
            }
        }
        Self { values }
    }

    /// Whether anything was posted for a value.
    pub(super) fn has_control(&self, name: &str) -> bool {
        let is_own =
            |other: &str| other.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '#']));
        self.beginning(name.to_owned()).any(is_own)
    }

    /// The same where what was posted for rows is of these properties.
    pub(super) fn moved(&self, moves: &[(String, String)]) -> Self {
        let mut values = self.values.clone();
        for (row, property) in moves {
            let Some((list, key)) = row.rsplit_once('/') else { continue };
            if let Some(marker) = values.get_mut(&super::rows::marker(list)).and_then(|texts| texts.first_mut()) {
                let keys: Vec<&str> = marker.split('/').filter(|own| *own != key).collect();
                *marker = keys.join("/");
            }
            for name in self.beginning(row.clone()).map(str::to_owned).collect::<Vec<_>>() {
                let Some(texts) = values.remove(&name) else { continue };
                let rest = &name[row.len()..];
                if rest != "#name" {
                    values.insert(format!("{property}{rest}"), texts);
                }
            }
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
        if pressed == "refresh" {
            return Ok(Some(Action { verb: Verb::Refresh, at: String::new(), number: None }));
        }
        let (verb, mut at) = pressed.split_once(' ').ok_or_else(unknown)?;
        let mut number = None;
        let verb = match verb {
            "add" => Verb::Add,
            "remove" => Verb::Remove,
            "up" => Verb::Up,
            "down" => Verb::Down,
            "choose" => {
                let (place, position) = at.rsplit_once(' ').ok_or_else(unknown)?;
                number = Some(position.parse().map_err(|_| unknown())?);
                at = place;
                Verb::Choose
            }
            _ => return Err(unknown()),
        };
        let (pointer, _) = at.split_once('#').unwrap_or((at, ""));
        Path::steps(if verb == Verb::Choose { pointer } else { at }).ok_or_else(unknown)?;
        Ok(Some(Action { verb, at: at.to_owned(), number }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_button_is_a_verb_and_a_place() {
        let press = |text: &str| Posted::read([("_do".to_owned(), text.to_owned())]).action();
        assert_eq!(press("add /parts"), Ok(Some(Action { verb: Verb::Add, at: "/parts".into(), number: None })));
        assert_eq!(press("up /a b/@k"), Ok(Some(Action { verb: Verb::Up, at: "/a b/@k".into(), number: None })));
        let choose = |at: &str, number| Ok(Some(Action { verb: Verb::Choose, at: at.into(), number: Some(number) }));
        assert_eq!(press("choose /contact 2"), choose("/contact", 2));
        assert_eq!(press("choose /a 1 0"), choose("/a 1", 0));
        assert_eq!(press("choose  1"), choose("", 1));
        assert_eq!(press("choose #choice-abc 1"), choose("#choice-abc", 1));
        assert_eq!(press(""), Ok(None));
        for unknown in [
            "add",
            "explode /parts",
            "add parts",
            "add /~3",
            "remove",
            "choose /a",
            "choose /a x",
            "choose /~3 1",
            "choose /a -1",
        ] {
            assert!(press(unknown).is_err(), "{unknown}");
        }
    }
}
