//! Every page with sample data, written to a folder to be looked at, and held to what each page must keep: valid markup, one
//! heading, labelled controls, nothing inline, a token in every posting form.
//!
//! The pages lie in `target/tmp/gallery`, or where `OUTPOST_GALLERY` says; `tests/shots.sh` photographs them.

mod attention;
mod forms;
mod pages;
mod records;
mod sample;
mod site;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::PathBuf;

use std::sync::Arc;

use askama::Template;
use jiff::tz::{Offset, TimeZone};
use outpost::domain::form::{Action, Base, Context, Form, Layout, Posted, Verb, decode};
use outpost::domain::ids::{RecordId, RevisionId, SaveId, TypeName};
use outpost::domain::schema::Schema;
use outpost::views::attention::{AttentionPage, Denied, DeniedField, Edited, Invalid, Lost, Settled};
use outpost::views::confirm::ConfirmPage;
use outpost::views::demo::{DemoNode, DemoPage};
use outpost::views::error::ErrorPage;
use outpost::views::form::FormView;
use outpost::views::frame::{DemoLink, Frame, Here, LinkState, LinkStatus, Look, May, RailType};
use outpost::views::home::{HomePage, Tile};
use outpost::views::nodes::{Fresh, Holds, Invitation, Node, NodesPage, Part};
use outpost::views::part::{
    Banner, Change, Chip, Empty, Happening, Link, Markup, NodeRow, Person, Pointer, Post, Reach, Side, Stage, Tab,
    Toast, Tone, Versus, type_icon,
};
use outpost::views::reading::{Note, Notes, Reader};
use outpost::views::records::{
    Column, Filters, FormPage, HistoryPage, ListPage, LiveLine, Menu, Places, ReachLine, RecordPage, Row, Slot, Sorted,
    TypeHead,
};
use outpost::views::session::{LoginPage, Sample, SetupErrors, SetupPage};
use outpost::views::sync::{Edge, Figure, LinkCard, PeerRow, PeersCard, SyncPage, Waiting};
use outpost::views::types::{Check, DesignPage, Misfit, SchemaFault, TypeRow, TypesPage, Version};
use outpost::views::users::{NewUser, User, UsersPage};
use outpost::views::value::{Clock, Shown};
use scraper::{ElementRef, Html, Selector};
use serde_json::{Value, json};

use attention::*;
use forms::*;
use pages::pages;
use records::*;
use sample::*;
use site::*;

fn select<'a>(page: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    let selector = Selector::parse(selector).unwrap_or_else(|err| panic!("{selector}: {err}"));
    page.select(&selector).collect()
}

fn each(check: impl Fn(&str, &Html, &str)) {
    for (name, html) in pages() {
        check(name, &Html::parse_document(&html), &html);
    }
}

fn words(element: ElementRef) -> String {
    element.text().collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_gallery_lies_where_it_can_be_looked_at() {
    let folder = std::env::var_os("OUTPOST_GALLERY")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("gallery"), PathBuf::from);
    fs::create_dir_all(&folder).expect("a folder for the gallery");
    for (name, html) in pages() {
        fs::write(folder.join(format!("{name}.html")), html).expect("the page is written");
    }
    println!("{}", folder.display());
}

#[test]
fn every_page_is_valid_markup_with_one_heading_and_one_title() {
    let broken = Html::parse_document("<!doctype html><title>x</title><p><div></p></p>");
    assert!(!broken.errors.is_empty(), "the parser notices wrong markup");
    each(|name, page, _| {
        assert!(page.errors.is_empty(), "{name}: {:?}", page.errors);
        assert_eq!(select(page, "h1").len(), 1, "{name} has one h1");
        assert_eq!(select(page, "main").len(), 1, "{name} has one main");
        let title = select(page, "title").first().map(|title| words(*title)).unwrap_or_default();
        assert!(title.ends_with(" · outpost") && title.len() > 12, "{name} is called {title:?}");
    });
}

#[test]
fn nothing_inline_stands_on_a_page() {
    each(|name, page, html| {
        assert!(
            select(page, "style, [style], script:not([src]), link[rel=stylesheet]:not([href^='/static/'])").is_empty(),
            "{name} has something inline"
        );
        for element in select(page, "*") {
            let inline = element
                .value()
                .attrs()
                .find(|(key, value)| key.starts_with("on") || value.trim_start().starts_with("javascript:"));
            assert_eq!(inline, None, "{name}: {}", element.html());
        }
        assert!(!html.contains("hx-on") && !html.contains("js:"), "{name} asks htmx to evaluate something");
    });
}

#[test]
fn every_control_has_a_name_that_can_be_read_out() {
    each(|name, page, _| {
        for control in select(page, "input:not([type=hidden]), select, textarea") {
            let labelled = control.attr("aria-label").is_some_and(|label| !label.is_empty())
                || control
                    .ancestors()
                    .filter_map(ElementRef::wrap)
                    .any(|up| up.value().name() == "label" && !words(up).is_empty())
                || control.attr("id").is_some_and(|id| select(page, &format!("label[for='{id}']")).len() == 1);
            assert!(labelled, "{name}: {}", control.html());
        }
        for pressed in select(page, "button, a[href], summary") {
            let said = pressed.attr("aria-label").unwrap_or_default().len() + words(pressed).len();
            assert!(said > 0, "{name}: {}", pressed.html());
        }
    });
}

#[test]
fn what_an_attribute_points_to_is_on_the_page_once() {
    each(|name, page, _| {
        let mut ids = HashSet::new();
        for element in select(page, "[id]") {
            let id = element.attr("id").unwrap_or_default();
            assert!(ids.insert(id.to_owned()), "{name}: #{id} is there twice");
        }
        for attribute in ["for", "form", "aria-labelledby", "aria-describedby", "popovertarget", "href", "hx-target"] {
            for element in select(page, &format!("[{attribute}]:not(use)")) {
                let value = element.attr(attribute).unwrap_or_default();
                let targets: Vec<&str> = match attribute {
                    "href" | "hx-target" => value.strip_prefix('#').into_iter().collect(),
                    _ => value.split_whitespace().collect(),
                };
                for target in targets {
                    assert!(ids.contains(target), "{name}: {attribute}=\"{value}\" leads nowhere");
                }
            }
        }
    });
}

#[test]
fn every_form_that_changes_something_posts_with_its_token() {
    each(|name, page, _| {
        for form in select(page, "form") {
            let posts = form.attr("method") == Some("post");
            let tokens = form.select(&Selector::parse("input[type=hidden][name=_csrf]").expect("a selector")).count();
            assert_eq!(tokens, usize::from(posts), "{name}: {}", form.html());
            assert!(posts || form.attr("method") == Some("get"), "{name}: {}", form.html());
        }
        for button in select(page, "button[hx-post]") {
            assert_eq!(button.attr("hx-post"), Some(""), "{name}: a button of a form posts to the page's own address");
        }
        for element in select(page, "[hx-post]:not(button)") {
            assert_eq!(
                element.attr("hx-post"),
                element.attr("action"),
                "{name} posts to one address, with htmx or without"
            );
        }
    });
}

#[test]
fn icons_are_ones_that_exist() {
    let icons = include_str!("../../static/icons.svg");
    each(|name, page, _| {
        for used in select(page, "use") {
            let href = used.attr("href").unwrap_or_default();
            let icon = href.split('#').nth(1).unwrap_or_default();
            assert!(icons.contains(&format!("id=\"{icon}\"")), "{name} uses {href}");
        }
    });
}

#[test]
fn what_was_typed_is_never_markup() {
    let evil = "\"><script>alert(1)</script>'";
    let frame = || Frame {
        place: evil.into(),
        person: Some(Person::named(evil)),
        csrf: evil.into(),
        path: evil.into(),
        ..hub(Here::Home)
    };
    let link = || Link::to(evil, evil);
    let versus = || Versus {
        id: "c1".into(),
        kept: side(evil, evil, "2026-05-14T12:20:00Z", evil),
        lost: side(evil, evil, "2026-05-14T12:20:00Z", evil),
        restore_words: evil.into(),
        keep_words: "Fine as it is".into(),
        asks: false,
        csrf: evil.into(),
        may_decide: true,
        back: evil.into(),
    };
    let lost = Lost { record: link(), field: evil.into(), since: when("2026-05-14T12:20:00Z"), versus: versus() };
    let notes = Notes::from([(
        "/a".to_owned(),
        Note {
            errors: vec![evil.into()],
            by: evil.into(),
            chips: vec![Chip::new(Tone::Stop, evil)],
            lost: vec![versus()],
        },
    )]);
    let (schema, clock) = (json!({"properties": {"a": {"title": evil, "x-unit": evil}}}), clock());
    let sections = Reader::new(&schema, &clock).sections(&json!({"a": evil, evil: {evil: [evil]}}), &notes);
    let record =
        RecordPage { name: evil.into(), sections, errors: vec![(evil.into(), evil.into())], ..record_page(frame()) };
    let pages = [
        AttentionPage { lost: vec![lost], ..attention(frame()) }.render(),
        record.render(),
        DesignPage { schema: format!("</textarea>{evil}"), reason: evil.into(), name: evil.into(), ..design(frame()) }
            .render(),
        LoginPage {
            frame: frame(),
            email: evil.into(),
            next: evil.into(),
            error: Some(evil.into()),
            ..LoginPage::default()
        }
        .render(),
        ConfirmPage {
            frame: frame(),
            question: evil.into(),
            fields: vec![(evil.into(), evil.into())],
            no: link(),
            ..ConfirmPage::default()
        }
        .render(),
        ErrorPage::other(frame(), 400, evil, evil).render(),
    ];
    for html in pages {
        let html = html.expect("a page renders");
        let page = Html::parse_document(&html);
        assert!(select(&page, "script:not([src])").is_empty(), "{html}");
        assert!(page.errors.is_empty(), "{:?}", page.errors);
        assert!(words(page.root_element()).contains("alert(1)"));
    }
}

#[test]
fn partials_keep_their_target_so_that_htmx_can_replace_them_again() {
    let link = LinkStatus { state: LinkState::InStep, words: "In step".into() }.to_string();
    assert!(link.contains("id=\"link\"") && link.contains("hx-get=\"/link\""));
    let card = edge_sync().link.expect("an edge has a link").to_string();
    assert!(card.contains("id=\"link-card\"") && card.contains("hx-target=\"#link-card\""));
    let line = list_page(hub(Here::Home)).live.expect("a live line").to_string();
    assert!(line.contains("hx-get=\"/records/work-order/live?since=s1&amp;filter=%2Fstatus%3Ane%3Adone\""), "{line}");
    assert!(line.contains("hx-trigger=\"records-work-order from:body throttle:2s\""));
    let settled = Settled { words: "<b>".into() }.to_string();
    assert!(settled.contains("&#60;b&#62;"));
}
