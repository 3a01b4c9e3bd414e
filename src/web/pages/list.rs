//! `/records/{type}`: the list of a type's records, and its bin.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::Path;
use serde_json::Value;

use super::read::{Names, Reading, address, so_many};
use crate::domain::form::is_date;
use crate::domain::json;
use crate::domain::people::Role;
use crate::domain::schema::{Field, Kind, Schema};
use crate::node::Type;
use crate::store::{Filter, Flags, Held, Operator, Query, Sort, SortKey};
use crate::views::frame::Here;
use crate::views::part::{Empty, Link, Tab, counted, grouped};
use crate::views::records::{Column, Filters, ListPage, LiveLine, Menu, Row, Slot, Sorted};
use crate::views::value::Shown;
use crate::web::api::query::{OPERATORS, filter as read_filter, sort as read_sort};
use crate::web::error::{WebError, WebResult};
use crate::web::frame::living;
use crate::web::htmx::{Htmx, show_as};
use crate::web::session::Signed;
use crate::web::travel::Travel;
use crate::web::urlencoded;

const PAGE: usize = 50;
const COLUMNS: usize = 5;
/// Columns after this one are left out on a phone.
const CARD_COLUMNS: usize = 3;
const MENUS: usize = 4;
const MENU_CHOICES: usize = 30;
const MAX_FILTERS: usize = 32;
const MAX_PARAMETERS: usize = 100;
/// A change is news for this long.
const NEWS_MILLIS: i64 = 60_000;
const NEWS: usize = 100;

/// Which records, as the address says it.
#[derive(Debug, Clone, Default, PartialEq)]
struct Asked {
    filters: Vec<String>,
    sort: Option<String>,
    is_bin: bool,
    cursor: Option<String>,
    since: u64,
    /// A condition that is to become a filter: field, operator, value.
    condition: [String; 3],
}

impl Asked {
    fn read(req: &HttpRequest) -> Result<Self, WebError> {
        let pairs = urlencoded::pairs(req.query_string().as_bytes(), MAX_PARAMETERS)
            .map_err(|why| WebError::Malformed(format!("The address cannot be read: {why}.")))?;
        let mut asked = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "filter" if asked.filters.len() < MAX_FILTERS => asked.filters.push(value),
                "sort" => asked.sort = Some(value).filter(|sort| !sort.is_empty()),
                "deleted" => asked.is_bin = value == "true",
                "cursor" => asked.cursor = Some(value).filter(|cursor| !cursor.is_empty()),
                "since" => asked.since = value.parse().unwrap_or_default(),
                "_field" => asked.condition[0] = value,
                "_op" => asked.condition[1] = value,
                "_value" => asked.condition[2] = value,
                _ => {}
            }
        }
        Ok(asked)
    }

    /// What makes the list, apart from where in it one is.
    fn pairs(&self) -> Vec<(&str, &str)> {
        let mut pairs: Vec<(&str, &str)> = self.filters.iter().map(|filter| ("filter", filter.as_str())).collect();
        pairs.extend(self.sort.as_deref().map(|sort| ("sort", sort)));
        pairs.extend(self.is_bin.then_some(("deleted", "true")));
        pairs
    }

    fn query_string(&self) -> String {
        let mut pairs = self.pairs();
        pairs.extend(self.cursor.as_deref().map(|cursor| ("cursor", cursor)));
        serde_urlencoded::to_string(pairs).unwrap_or_default()
    }

    fn address(&self, type_name: &str) -> String {
        match self.query_string() {
            query if query.is_empty() => format!("/records/{type_name}"),
            query => format!("/records/{type_name}?{query}"),
        }
    }

    /// The same list from its beginning, changed.
    fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut changed = Self { cursor: None, ..self.clone() };
        change(&mut changed);
        changed
    }

    fn query(&self, reading: &Reading) -> Result<Query, WebError> {
        let wrong = |why| WebError::Malformed(format!("This list cannot be made: {why}"));
        let filters = self.filters.iter().map(|text| read_filter(text)).collect::<Result<_, _>>().map_err(wrong)?;
        let sort = match &self.sort {
            Some(sort) => read_sort(sort).map_err(wrong)?,
            None => vec![Sort { by: SortKey::Changed, descending: true }],
        };
        let type_name = reading.found.name.clone();
        Ok(Query { type_name, filters, sort, binned: self.is_bin, limit: PAGE, cursor: self.cursor.clone() })
    }
}

/// `GET /records/{type}`.
pub async fn show(signed: Signed, type_name: Path<String>) -> WebResult {
    let reading = Reading::of(&signed, &type_name)?;
    let mut asked = Asked::read(&signed.req)?;
    let mut error = None;
    if !asked.condition[0].is_empty() {
        match condition(&reading, &asked.condition) {
            Ok(filter) => {
                let to = asked.with(|asked| asked.filters.push(filter)).address(&type_name);
                return Ok(Htmx::of(&signed.req).see(&to));
            }
            Err(why) => error = Some(why),
        }
    }
    let condition = std::mem::take(&mut asked.condition);
    let query = asked.query(&reading)?;
    let page = signed.node().records(&signed.actor, &query).await?;
    let status = if error.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let layout = Layout::of(&reading, &asked);
    let names = Names::of(&signed.app).await?;
    let travel = Travel::of(&signed.app, &page.items, Duration::ZERO).await?;
    let tallies = signed.node().store().tallies().await?;
    let binned = tallies.iter().find(|tally| tally.type_name == reading.found.name).map_or(0, |tally| tally.binned);
    let total = if asked.is_bin { binned } else { living(&tallies, &reading.found.name) };
    let rows = page.items.iter().map(|held| row(&signed, &reading, &layout, &names, &travel, &asked, held));
    let tab = |words: &str, is_bin: bool, count: u64| Tab {
        href: Asked { is_bin, ..Asked::default() }.address(&type_name),
        words: words.into(),
        count: Some(count.into()),
        current: asked.is_bin == is_bin,
    };
    let view = ListPage {
        frame: signed.frame(Here::Records(type_name.to_string())).await?,
        type_: reading.head(),
        fact: fact(&asked, page.items.len() as u64, page.next.is_some(), total, &reading.found),
        is_bin: asked.is_bin,
        tabs: vec![tab("All", false, living(&tallies, &reading.found.name)), tab("Bin", true, binned)],
        filters: match total {
            // nothing to narrow down
            0 if asked.filters.is_empty() && error.is_none() => Filters::default(),
            _ => Filters { error, condition, ..filters(&reading, &asked) },
        },
        sorts: if total == 0 { Vec::new() } else { layout.sorts.clone() },
        name: layout.name.clone(),
        columns: layout.columns.clone(),
        rows: rows.collect(),
        shown: shown(page.items.len() as u64, total, &asked),
        next: page.next.map(|cursor| Asked { cursor: Some(cursor), ..asked.clone() }.address(&type_name)),
        first: asked.cursor.as_ref().map(|_| asked.with(|_| {}).address(&type_name)),
        live: if asked.is_bin {
            None
        } else {
            Some(live_line(&signed, &reading, &asked, newest(&signed, &query).await?, None))
        },
        empty: empty(&signed, &reading, &asked),
    };
    show_as(status, &view)
}

/// "12 work orders", "3 of 12 work orders".
fn fact(asked: &Asked, rows: u64, is_more: bool, total: u64, found: &Type) -> String {
    let all = so_many(total, &found.title);
    let words = match (asked.filters.is_empty() || total == 0, is_more || asked.cursor.is_some()) {
        (true, _) if total == 0 && asked.is_bin => String::new(),
        (true, _) => all,
        (false, false) => format!("{} of {all}", grouped(rows)),
        (false, true) => format!("Some of {all}"),
    };
    if found.retired && !asked.is_bin { format!("{words}. Retired: no new ones are made.") } else { words }
}

fn shown(rows: u64, total: u64, asked: &Asked) -> String {
    if asked.filters.is_empty() && asked.cursor.is_none() && rows == total {
        return match total {
            1 => "1 record".to_owned(),
            _ => format!("All {}", counted(total, "record", "records")),
        };
    }
    counted(rows, "record on this page", "records on this page")
}

/// A condition that was typed, as a filter; or what is wrong with it.
fn condition(reading: &Reading, [field, operator, value]: &[String; 3]) -> Result<String, String> {
    let schema = reading.schema().ok_or("This type was published by a newer version of outpost")?;
    let field = schema.field(field).ok_or("Choose a field of this type")?;
    if !OPERATORS.iter().any(|(known, _)| known == operator) {
        return Err("Choose one of the conditions".to_owned());
    }
    let value = value.trim();
    if value.is_empty() {
        return Err(format!("Enter a value for {}", field.title));
    }
    let value = match field.kind {
        Kind::Number | Kind::Integer if operator != "contains" && operator != "starts" => {
            let number: Result<serde_json::Number, _> = value.replace(',', ".").parse();
            number.map_err(|_| format!("Enter a number for {}, for example 4.5", field.title))?.to_string()
        }
        Kind::Boolean => match value.to_lowercase().as_str() {
            "yes" | "true" => "true".to_owned(),
            "no" | "false" => "false".to_owned(),
            _ => return Err(format!("Enter yes or no for {}", field.title)),
        },
        Kind::Date | Kind::DateTime if operator != "contains" && operator != "starts" => {
            let day = value.get(..10).filter(|day| is_date(day));
            day.ok_or_else(|| format!("Enter a date for {}, for example 2026-05-14", field.title))?;
            as_text(value)
        }
        _ => as_text(value),
    };
    // a day is said of a moment: any time of it
    let is_day = field.kind == Kind::DateTime && value.len() == 10;
    let operator = if operator == "eq" && is_day { "starts" } else { operator };
    let filter = format!("{}:{operator}:{value}", field.pointer);
    read_filter(&filter)?;
    Ok(filter)
}

/// A text as the value of a filter: bare, unless it would be read as other JSON.
fn as_text(text: &str) -> String {
    match json::read(text) {
        Ok(_) => Value::from(text).to_string(),
        Err(_) => text.to_owned(),
    }
}

fn as_value(value: &Value) -> String {
    match value {
        Value::String(text) => as_text(text),
        other => other.to_string(),
    }
}

fn filters(reading: &Reading, asked: &Asked) -> Filters {
    let name = reading.found.name.as_str();
    let Some(schema) = reading.schema() else { return Filters::default() };
    let reader = reading.reader();
    let on = asked.filters.iter().enumerate().filter_map(|(at, text)| {
        let read = read_filter(text).ok()?;
        let pointer: String = read.path.iter().map(|step| format!("/{}", crate::domain::path::escape(step))).collect();
        let value = reader.at(&pointer, Some(&read.value)).brief(40);
        let without = asked.with(|asked| drop(asked.filters.remove(at)));
        Some(Link::to(without.address(name), words(&reader.label(&pointer), &read, &value)))
    });
    let columns = schema.columns();
    let few = columns.iter().filter(|field| matches!(field.kind, Kind::Choice | Kind::Boolean));
    let menus =
        few.filter(|field| field.choices.len() <= MENU_CHOICES).take(MENUS).map(|field| menu(field, asked, name));
    let typed = columns.iter().filter(|field| !matches!(field.kind, Kind::Choice | Kind::Boolean | Kind::Const));
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    Filters {
        on: on.collect(),
        menus: menus.collect(),
        fields: typed.map(|field| (field.pointer.clone(), field.title.clone())).collect(),
        hidden: asked.pairs().into_iter().map(owned).collect(),
        condition: Default::default(),
        error: None,
    }
}

/// "Status: Open", "Due is below 5".
fn words(label: &str, filter: &Filter, value: &str) -> String {
    let code = OPERATORS.iter().find(|(_, operator)| *operator == filter.operator).map_or("", |(code, _)| code);
    match filter.operator {
        Operator::Equal => format!("{label}: {value}"),
        Operator::Empty if filter.value == Value::Bool(true) => format!("{label} is not answered"),
        Operator::Empty => format!("{label} is answered"),
        Operator::In => format!("{label} is one of {value}"),
        _ => {
            let words = Filters::OPERATORS.iter().find(|(known, _)| *known == code).map_or(code, |(_, words)| words);
            format!("{label} {words} {value}")
        }
    }
}

/// The values of a field, each leading to the list narrowed by it and by no other value of that field.
fn menu(field: &Field, asked: &Asked, type_name: &str) -> Menu {
    let others = format!("{}:eq:", field.pointer);
    let choice = |value: &Value, title: &str| {
        let filter = format!("{others}{}", as_value(value));
        let current = asked.filters.contains(&filter);
        let to = asked.with(|asked| {
            asked.filters.retain(|other| !other.starts_with(&others));
            if !current {
                asked.filters.push(filter);
            }
        });
        Tab { href: to.address(type_name), words: title.to_owned(), count: None, current }
    };
    let choices = match field.kind {
        Kind::Boolean => vec![choice(&Value::Bool(true), "Yes"), choice(&Value::Bool(false), "No")],
        _ => field.choices.iter().map(|one| choice(&one.value, &one.title)).collect(),
    };
    Menu { title: field.title.clone(), choices }
}

/// Which columns a list has, and how it is sorted.
struct Layout {
    name: Column,
    columns: Vec<Column>,
    pointers: Vec<String>,
    sorts: Vec<Tab>,
}

impl Layout {
    fn of(reading: &Reading, asked: &Asked) -> Self {
        let type_name = reading.found.name.as_str();
        let Some(schema) = reading.schema() else {
            let name = Column { title: "Record".into(), ..Column::default() };
            return Self { name, columns: Vec::new(), pointers: Vec::new(), sorts: Vec::new() };
        };
        let named = schema.title_fields();
        let all = schema.columns();
        let first = named.first().and_then(|pointer| all.iter().find(|field| field.pointer == *pointer));
        let name = match first {
            Some(field) => Column { numeric: false, ..column(field, asked, type_name) },
            None => Column { title: "Record".into(), ..Column::default() },
        };
        let others: Vec<&&Field> = all
            .iter()
            .filter(|field| {
                !named.contains(&field.pointer) && field.kind != Kind::Const && field.kind != Kind::LongText
            })
            .take(COLUMNS)
            .collect();
        let corner = others.iter().position(|field| field.kind == Kind::Choice);
        let columns = others.iter().enumerate().map(|(at, field)| {
            let slot = match at {
                at if Some(at) == corner => Slot::Corner,
                at if at < CARD_COLUMNS => Slot::Plain,
                _ => Slot::More,
            };
            Column { slot, ..column(field, asked, type_name) }
        });
        let newest = Tab {
            href: asked.with(|asked| asked.sort = None).address(type_name),
            words: "Newest save first".to_owned(),
            count: None,
            current: asked.sort.is_none(),
        };
        let sorts = first.into_iter().chain(others.iter().copied()).map(|field| Tab {
            href: asked.with(|asked| asked.sort = Some(field.pointer.clone())).address(type_name),
            words: field.title.clone(),
            count: None,
            current: asked.sort.as_deref() == Some(&field.pointer),
        });
        Self {
            name,
            columns: columns.collect(),
            pointers: others.iter().map(|field| field.pointer.clone()).collect(),
            sorts: std::iter::once(newest).chain(sorts).collect(),
        }
    }
}

fn column(field: &Field, asked: &Asked, type_name: &str) -> Column {
    let down = format!("-{}", field.pointer);
    let sorted = match asked.sort.as_deref() {
        Some(sort) if sort == field.pointer => Sorted::Ascending,
        Some(sort) if sort == down => Sorted::Descending,
        _ => Sorted::No,
    };
    let next = if sorted == Sorted::Ascending { down } else { field.pointer.clone() };
    // a comma in a pointer would be read as the next one
    let sort = (!field.pointer.contains(',')).then(|| asked.with(|asked| asked.sort = Some(next)).address(type_name));
    Column {
        title: field.title.clone(),
        sort,
        sorted,
        numeric: matches!(field.kind, Kind::Number | Kind::Integer),
        slot: Slot::Plain,
    }
}

fn row(
    signed: &Signed,
    reading: &Reading,
    layout: &Layout,
    names: &Names<'_>,
    travel: &Travel,
    asked: &Asked,
    held: &Held,
) -> Row {
    let reader = reading.reader();
    let latest = held.state.latest();
    let is_live =
        latest.author.person != signed.session.person && signed.node().now() - latest.time.millis() < NEWS_MILLIS;
    let (name, rest) = naming(reading, held);
    let note = if held.flags.has(Flags::INVALID) {
        "no longer fits its form".to_owned()
    } else if held.flags.has(Flags::LOST) {
        "a value lost a merge".to_owned()
    } else if is_live {
        format!("saved by {} just now", names.person(latest.author.person))
    } else {
        rest
    };
    let at = match &held.state.bin {
        Some(bin) if asked.is_bin => bin.stamp,
        _ => latest,
    };
    Row {
        href: address(&held.type_name, held.id),
        name,
        note,
        cells: layout.pointers.iter().map(|pointer| reader.cell(pointer, &held.document.value)).collect(),
        // the time stands below it
        reach: travel.brief(held, &signed.clock()),
        at: signed.clock().when_millis(at.time.millis()),
        is_live,
    }
}

/// A record's name in a list: its first field that names it, and what else does on a line of its own.
fn naming(reading: &Reading, held: &Held) -> (String, String) {
    let reader = reading.reader();
    let fields = reading.schema().map(Schema::title_fields).unwrap_or_default();
    let words = |pointer: &String| match reader.cell(pointer, &held.document.value) {
        Shown::Missing | Shown::Unknown | Shown::Blank | Shown::Nothing => None,
        shown => Some(shown.brief(90)),
    };
    match fields.split_first() {
        Some((first, others)) => match words(first) {
            Some(name) => (name, others.iter().filter_map(words).collect::<Vec<_>>().join(" · ")),
            None => (reading.name(held), String::new()),
        },
        None => (reading.name(held), String::new()),
    }
}

fn empty(signed: &Signed, reading: &Reading, asked: &Asked) -> Empty {
    let head = reading.head();
    let name = &head.name;
    if !asked.filters.is_empty() {
        return Empty {
            icon: "search",
            title: format!("No {} fits", head.one),
            text: "Take a filter away, or look in all of them.".to_owned(),
            action: Some(Link::to(asked.with(|asked| asked.filters.clear()).address(name), "Show all")),
        };
    }
    if asked.is_bin {
        return Empty {
            icon: "trash",
            title: "The bin is empty".to_owned(),
            text: "What is put here is kept with everything in it, and can be restored.".to_owned(),
            action: None,
        };
    }
    let may = signed.session.role >= Role::Staff && !reading.found.retired;
    Empty {
        icon: "records",
        title: format!("No {} yet", crate::views::records::one(&head.title)),
        text: "They appear here as soon as somebody saves one, on this node or another.".to_owned(),
        action: may.then(|| Link::to(format!("/records/{name}/new"), format!("New {}", head.one))),
    }
}

/// The number of the newest change among these records.
async fn newest(signed: &Signed, query: &Query) -> Result<u64, WebError> {
    let sort = vec![Sort { by: SortKey::Changed, descending: true }];
    let query = Query { sort, limit: 1, cursor: None, ..query.clone() };
    Ok(signed.node().records(&signed.actor, &query).await?.items.first().map_or(0, |held| held.seq))
}

fn live_line(signed: &Signed, reading: &Reading, asked: &Asked, since: u64, news: Option<String>) -> LiveLine {
    let words = match news {
        Some(_) => String::new(),
        None => format!("Up to date at {}.", signed.clock().when_millis(signed.node().now()).words),
    };
    LiveLine {
        type_name: reading.found.name.to_string(),
        words,
        news,
        query: asked.with(|_| {}).query_string(),
        since: since.to_string(),
    }
}

/// `GET /records/{type}/live`: what came in since the list was made.
pub async fn live(signed: Signed, type_name: Path<String>) -> WebResult {
    let reading = Reading::of(&signed, &type_name)?;
    let asked = Asked::read(&signed.req)?;
    let sort = vec![Sort { by: SortKey::Changed, descending: true }];
    let query = Query { sort, limit: NEWS, cursor: None, ..asked.query(&reading)? };
    let page = signed.node().records(&signed.actor, &query).await?;
    let came: Vec<&Held> = page.items.iter().take_while(|held| held.seq > asked.since).collect();
    let is_new = |held: &&&Held| held.state.root.write.as_ref().is_some_and(|write| write.arrival > asked.since);
    let new = came.iter().filter(is_new).count() as u64;
    let changed = came.len() as u64 - new;
    let head = reading.head();
    let many =
        |n: u64, title: &str| format!("{}{}", so_many(n, title), if came.len() == NEWS { " or more" } else { "" });
    let news = match (new, changed) {
        (0, 0) => None,
        (0, n) => Some(format!("{} changed.", many(n, &reading.found.title))),
        (1, 0) => Some(format!("1 new {} came in.", head.one)),
        (n, 0) => Some(format!("{n} new {} came in.", crate::views::records::one(&head.title))),
        (n, m) => Some(format!("{} came in, {m} changed.", many(n, &reading.found.title))),
    };
    crate::web::htmx::show(&live_line(&signed, &reading, &asked, asked.since, news))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn asked(query: &str) -> Asked {
        Asked::read(&TestRequest::with_uri(&format!("/records/a?{query}")).to_http_request()).expect("a query")
    }

    #[test]
    fn an_address_says_the_list_again() {
        let query = "filter=%2Fa%3Aeq%3Ax+y&filter=%2Fb%3Aempty&sort=-%2Fdue&deleted=true";
        assert_eq!(asked(query).query_string(), query);
        assert_eq!(asked(query).address("a"), format!("/records/a?{query}"));
        assert_eq!(asked("").address("a"), "/records/a");
        let on = asked("cursor=c&sort=/due").with(|asked| asked.filters.push("/a:eq:1".into()));
        assert_eq!(on.query_string(), "filter=%2Fa%3Aeq%3A1&sort=%2Fdue");
    }

    #[test]
    fn a_text_that_looks_like_other_json_stays_text() {
        for (text, value) in [("open", "open"), ("007", "007"), ("7", "\"7\""), ("true", "\"true\""), ("\"", "\"")] {
            assert_eq!(as_text(text), value);
            let read = read_filter(&format!("/a:eq:{value}")).expect("a filter");
            assert_eq!(read.value, text);
        }
    }
}
