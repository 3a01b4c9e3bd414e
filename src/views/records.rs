//! Records: the list, one record, its history, and the page around a form.

use askama::Template;
use askama::filters::HtmlSafe;

use super::attention::Denied;
use super::frame::Frame;
use super::part::{self, Empty, Happening, Link, Markup, NodeRow, Reach, Tab, When};
use super::reading::Section;
use super::value::Shown;

/// The type whose records a page is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TypeHead {
    pub name: String,
    /// "Work orders".
    pub title: String,
    /// "work order".
    pub one: String,
    /// No new records are made of a retired type.
    pub is_retired: bool,
}

impl TypeHead {
    /// Derives what one and several are called from the type's title: "Work order", "Work orders".
    pub fn named(name: impl Into<String>, title: &str) -> TypeHead {
        TypeHead { name: name.into(), title: several(title), one: one(title), is_retired: false }
    }
}

/// A title for one of them, in the middle of a sentence: "Work order" is "work order", "ATEX permit" stays.
pub fn one(title: &str) -> String {
    let mut chars = title.trim().chars();
    match (chars.next(), chars.next()) {
        (Some(first), second) if !second.is_some_and(char::is_uppercase) => {
            first.to_lowercase().chain(title.trim().chars().skip(1)).collect()
        }
        _ => title.trim().to_owned(),
    }
}

/// A title for many of them: "Work orders", "Site inspections"; a title that ends in "s" is one already.
pub fn several(title: &str) -> String {
    let title = title.trim();
    let last = |end: &str| title.ends_with(end);
    if last("s") || title.is_empty() || !title.is_ascii() {
        title.to_owned()
    } else if last("y") && !["ay", "ey", "oy", "uy"].into_iter().any(last) {
        format!("{}ies", &title[..title.len() - 1])
    } else if last("ch") || last("sh") || last("x") {
        format!("{title}es")
    } else if last("data") || last("ing") && !title.contains(' ') {
        title.to_owned()
    } else {
        format!("{title}s")
    }
}

/// `GET /records/{type}`, and its bin with `?deleted=true`.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "records/list.html")]
pub struct ListPage {
    pub frame: Frame,
    pub type_: TypeHead,
    /// "212 of 1,284", "1,284 records".
    pub fact: String,
    pub is_bin: bool,
    /// "All" and "Bin", later saved views.
    pub tabs: Vec<Tab>,
    pub filters: Filters,
    /// Ways to sort, for where there are no column heads to press.
    pub sorts: Vec<Tab>,
    /// The column of the record's name; its cells come from [`Row::name`].
    pub name: Column,
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
    /// "50 of 212, soonest due first".
    pub shown: String,
    /// The next page.
    pub next: Option<String>,
    /// Back to the first page, when this isn't it.
    pub first: Option<String>,
    pub live: Option<LiveLine>,
    /// What stands there when there are no rows.
    pub empty: Empty,
}

impl ListPage {
    fn heads(&self) -> impl Iterator<Item = &Column> {
        std::iter::once(&self.name).chain(&self.columns)
    }
}

/// What narrows a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters {
    /// Filters that are on; each leads to the list without it. "Status: open".
    pub on: Vec<Link>,
    /// Fields with few values: a menu each.
    pub menus: Vec<Menu>,
    /// Fields for a condition of one's own: pointer and title. The form sends `_field`, `_op`, `_value`.
    pub fields: Vec<(String, String)>,
    /// What the form must send along: the filters that are on, the order.
    pub hidden: Vec<(String, String)>,
    /// The condition that was asked for: field, operator, value.
    pub condition: [String; 3],
    /// A message about a condition that could not be understood.
    pub error: Option<String>,
}

impl Filters {
    /// The operators of the condition form, with their words.
    pub const OPERATORS: [(&'static str, &'static str); 8] = [
        ("eq", "is"),
        ("ne", "is not"),
        ("contains", "contains"),
        ("starts", "starts with"),
        ("lt", "is below"),
        ("le", "is at most"),
        ("gt", "is above"),
        ("ge", "is at least"),
    ];

    /// Whether this is what the condition that was asked for has at that place.
    fn asks(&self, at: usize, value: &str) -> bool {
        self.condition.get(at).is_some_and(|asked| asked == value)
    }

    fn is_empty(&self) -> bool {
        self.on.is_empty() && self.menus.is_empty() && self.fields.is_empty()
    }
}

/// The values of one field as links to the list that is narrowed by them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Menu {
    pub title: String,
    pub choices: Vec<Tab>,
}

/// A column of the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Column {
    pub title: String,
    /// The list sorted by it; `None` where one cannot sort.
    pub sort: Option<String>,
    pub sorted: Sorted,
    pub numeric: bool,
    pub slot: Slot,
}

/// Whether a list is sorted by a column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sorted {
    #[default]
    No,
    Ascending,
    Descending,
}

/// Where a cell goes when a row becomes a card on a narrow screen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Slot {
    #[default]
    Plain,
    /// The state, at the top right.
    Corner,
    /// Left out there.
    More,
}

/// A record in the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    pub href: String,
    pub name: String,
    /// A second line: "changed by Tomás just now", "no longer fits its form".
    pub note: String,
    /// In the order of the columns.
    pub cells: Vec<Shown>,
    pub reach: Option<Reach>,
    pub at: When,
    /// Changed a moment ago by somebody else.
    pub is_live: bool,
}

/// "2 new work orders came in. Show them": the line above a list, and the partial that `GET /records/{type}/live` answers with.
///
/// When `/live` sends the event `records-TYPE`, the line asks again with the list's `since`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Template)]
#[template(path = "records/live.html")]
pub struct LiveLine {
    pub type_name: String,
    /// "Up to date at 14:32."
    pub words: String,
    /// "2 new work orders came in."
    pub news: Option<String>,
    /// The query of the list, encoded, without `?`: its filters and order.
    pub query: String,
    /// Opaque: what the list has seen. Sent back as `since`, before the query.
    pub since: String,
}
impl HtmlSafe for LiveLine {}

/// `GET /records/{type}/{id}`.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "records/record.html")]
pub struct RecordPage {
    pub frame: Frame,
    pub type_: TypeHead,
    pub id: String,
    pub name: String,
    /// Below the name, if anything is to be said: "WO-2417 · In progress".
    pub fact: Option<Shown>,
    pub reach: Option<ReachLine>,
    /// What is wrong with it, field and sentence, if it no longer fits its form.
    pub errors: Vec<(String, String)>,
    pub sections: Vec<Section>,
    /// The latest of its history.
    pub history: Vec<Happening>,
    pub history_total: u64,
    pub places: Option<Places>,
    /// Saves in it that the hub did not accept, as far as they are this person's business.
    pub denied: Vec<Denied>,
    /// Who put it in the bin and when: "Tomás Reyes put it in the bin at 14:20".
    pub binned: Option<String>,
}

/// How far a record has come, and the partial that `GET /records/{type}/{id}/reach` answers with.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "records/reach.html")]
pub struct ReachLine {
    pub type_name: String,
    pub id: String,
    pub reach: Reach,
    /// There is something to wait for: the line asks again.
    pub goes_on: bool,
}
impl HtmlSafe for ReachLine {}

/// Where a record is, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// "2 of 3 sites have it"; empty: the rows stand for themselves.
    pub words: String,
    pub rows: Vec<NodeRow>,
    /// "and 9,950 more".
    pub more: String,
}

/// `GET /records/{type}/{id}/history`.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "records/history.html")]
pub struct HistoryPage {
    pub frame: Frame,
    pub type_: TypeHead,
    pub id: String,
    pub name: String,
    pub happenings: Vec<Happening>,
    /// On an edge: what is missing here is at the hub.
    pub note: String,
    /// "101 to 200 of 5,012 changes", where there is more than fits on a page.
    pub shown: String,
    pub newer: Option<String>,
    pub older: Option<String>,
}

/// The page around a record's form: `/records/{type}/new` and `…/{id}/edit`. The body is the form, rendered by `views::form`.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "records/form.html")]
pub struct FormPage {
    pub frame: Frame,
    pub type_: TypeHead,
    /// The record, when there is one: its address and name.
    pub record: Option<Link>,
    /// "New work order", or the record's name.
    pub heading: String,
    pub body: Markup,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_called_by_its_title_for_one_and_for_many() {
        let both = |title: &str| (one(title), several(title));
        assert_eq!(both("Work order"), ("work order".into(), "Work orders".into()));
        assert_eq!(both("Delivery"), ("delivery".into(), "Deliveries".into()));
        assert_eq!(both("Survey"), ("survey".into(), "Surveys".into()));
        assert_eq!(both("Patient vitals"), ("patient vitals".into(), "Patient vitals".into()));
        assert_eq!(both("ATEX permit"), ("ATEX permit".into(), "ATEX permits".into()));
        assert_eq!(both("Ärztin"), ("ärztin".into(), "Ärztin".into()));
        assert_eq!(both(""), (String::new(), String::new()));
    }
}
