//! Types: the list, and the page on which one is designed as JSON.

use askama::Template;

use super::frame::Frame;
use super::part::{self, Entry, Fault, Summary, When};

/// `GET /types`.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "types/list.html")]
pub struct TypesPage {
    pub frame: Frame,
    pub types: Vec<TypeRow>,
    pub retired: Vec<TypeRow>,
}

/// A type in the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TypeRow {
    pub name: String,
    /// "Work orders".
    pub title: String,
    pub icon: &'static str,
    pub count: u64,
    /// "Version 8 since 2 May, 14 fields".
    pub words: String,
}

/// `/types/new` and `/types/{type}/design`. Fields: `name` (new types), `schema`, `reason`, `_base` (the version that was shown),
/// `_do` = `publish`, `check`, `retire` or `restore`.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "types/design.html")]
pub struct DesignPage {
    pub frame: Frame,
    /// The permanent name; what was typed, for a new type.
    pub name: String,
    /// The type's title; empty for a new one.
    pub title: String,
    pub is_new: bool,
    pub is_retired: bool,
    /// The text in the editor.
    pub schema: String,
    pub reason: String,
    /// The version this text was made from; opaque.
    pub base: String,
    /// The number that publishing would give.
    pub next_version: u64,
    pub name_error: Option<String>,
    /// What is wrong with the schema.
    pub faults: Vec<SchemaFault>,
    /// What was brought up from draft-07, a sentence each.
    pub upgrades: Vec<String>,
    /// The result of trying it on the records that exist.
    pub check: Option<Check>,
    pub versions: Vec<Version>,
}

/// Something wrong with a schema, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaFault {
    /// A JSON Pointer into the schema, or empty when the text is no JSON.
    pub pointer: String,
    /// "Line 12, column 3", when the text is no JSON.
    pub place: String,
    pub message: String,
}

/// What a change would do to the records that exist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Check {
    pub total: u64,
    pub fitting: u64,
    /// Why the others don't fit, most frequent first.
    pub misfits: Vec<Misfit>,
    /// What changed for the form, a sentence each: "Asset is required now".
    pub changes: Vec<String>,
}

/// Records that would no longer fit for one reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Misfit {
    pub count: u64,
    /// "Asset: an answer is required".
    pub words: String,
}

/// A published version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Version {
    pub number: u64,
    pub by: String,
    pub at: When,
    pub reason: String,
    /// The schema of that version.
    pub href: String,
    pub is_current: bool,
}

impl DesignPage {
    fn address(&self) -> String {
        if self.is_new { "/types/new".to_owned() } else { format!("/types/{}/design", self.name) }
    }

    fn name_entry(&self) -> Entry {
        Entry {
            id: "name".into(),
            name: "name",
            label: "Name",
            kind: "text",
            value: self.name.clone(),
            hint: "Permanent; stands in addresses. Small letters, digits and dashes, for example work-order",
            autocomplete: "off",
            error: self.name_error.clone(),
            ..Entry::default()
        }
    }

    fn summary(&self) -> Option<Summary> {
        let name = self.name_error.iter().map(|message| Fault { target: "name".into(), message: message.clone() });
        let schema = self.faults.iter().map(|fault| {
            let place = [&fault.pointer, &fault.place].into_iter().find(|text| !text.is_empty());
            let message = match place {
                Some(place) => format!("{place}: {}", fault.message),
                None => fault.message.clone(),
            };
            Fault { target: "schema".into(), message }
        });
        let faults: Vec<Fault> = name.chain(schema).collect();
        let note = "Nothing was published. Your text is still below.".to_owned();
        (!faults.is_empty()).then_some(Summary { faults, note })
    }
}
