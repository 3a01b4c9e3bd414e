//! Every page with sample data, written to a folder to be looked at, and held to what each page must keep: valid markup, one
//! heading, labelled controls, nothing inline, a token in every posting form.
//!
//! The pages lie in `target/tmp/gallery`, or where `OUTPOST_GALLERY` says; `tests/shots.sh` photographs them.

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
    Column, Filters, FormPage, HistoryPage, ListPage, LiveLine, Menu, RecordPage, Row, Slot, Sorted, TypeHead,
};
use outpost::views::session::{LoginPage, Sample, SetupErrors, SetupPage};
use outpost::views::sync::{Edge, Figure, LinkCard, SyncPage, Waiting};
use outpost::views::types::{Check, DesignPage, Misfit, SchemaFault, TypeRow, TypesPage, Version};
use outpost::views::users::{NewUser, User, UsersPage};
use outpost::views::value::{Clock, Shown};
use scraper::{ElementRef, Html, Selector};
use serde_json::{Value, json};

// ── sample data ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

fn clock() -> Clock {
    Clock::new("2026-05-14T12:32:00Z".parse().expect("a timestamp"), TimeZone::fixed(Offset::constant(2)))
}

fn when(text: &str) -> outpost::views::part::When {
    clock().when(text.parse().expect("a timestamp"))
}

fn rail() -> Vec<RailType> {
    let entry = |name: &str, title: &str, count| RailType {
        name: name.into(),
        title: title.into(),
        icon: type_icon(name),
        count,
    };
    vec![
        entry("work-order", "Work orders", 1284),
        entry("inspection", "Site inspections", 6073),
        entry("vitals", "Patient vitals", 21940),
    ]
}

fn hub(here: Here) -> Frame {
    Frame {
        place: "Tern Bay hub".into(),
        link: LinkStatus { state: LinkState::Behind, words: "2 of 3 sites in step".into() },
        person: Some(Person::named("Mei Tanaka")),
        may: May { edit: true, design: true, admin: true },
        types: rail(),
        attention: 5.into(),
        csrf: "c5rf-t0ken".into(),
        look: Look::default(),
        here,
        path: "/somewhere?x=1&y=2".into(),
        is_hub: true,
        ..Frame::default()
    }
}

fn edge(here: Here) -> Frame {
    Frame {
        place: "Platform 7".into(),
        link: LinkStatus { state: LinkState::Offline, words: "Offline · 4 saves waiting".into() },
        person: Some(Person::named("Ingrid Solheim")),
        may: May { edit: true, ..May::default() },
        is_hub: false,
        ..hub(here)
    }
}

fn work_orders() -> TypeHead {
    TypeHead::named("work-order", "Work order")
}

fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Work order", "type": "object", "required": ["title", "priority"], "x-title": ["/title"],
        "properties": {
            "title": {"type": "string", "title": "What is to be done"},
            "asset": {"type": "string", "title": "Asset", "x-reference": "asset"},
            "status": {"enum": ["open", "in progress", "done"], "title": "Status"},
            "priority": {"title": "Priority", "oneOf": [{"const": "low", "title": "Low"}, {"const": "normal", "title": "Normal"}, {"const": "urgent", "title": "Urgent"}]},
            "due": {"type": "string", "format": "date-time", "title": "Due"},
            "fault": {"type": "string", "title": "What is wrong"},
            "report": {"type": "string", "format": "uri", "title": "Report"},
            "tags": {"type": "array", "title": "Tags", "items": {"type": "string"}},
            "safety": {"type": "object", "title": "Safety", "properties": {
                "isolated": {"type": ["boolean", "null"], "title": "Pump isolated"},
                "gas": {"type": "number", "title": "Gas reading", "x-unit": "% LEL"},
                "permit": {"type": "object", "title": "Permit", "properties": {
                    "number": {"type": "string", "title": "Number"}, "until": {"type": "string", "format": "date", "title": "Valid until"}}}
            }},
            "parts": {"type": "array", "title": "Parts used", "items": {"type": "object", "properties": {
                "part": {"type": "string", "title": "Part"},
                "quantity": {"type": "number", "title": "Quantity"},
                "unit": {"type": "string", "title": "Unit"}
            }}}
        }
    })
}

fn record() -> Value {
    serde_json::from_str(
        r#"{"title": "Replace hydraulic pump seal", "asset": "018f3c1e-0000-7000-8000-00000000p204", "status": "in progress",
            "priority": "urgent", "due": "2026-05-14T16:00:00+02:00",
            "fault": "Seal weeps about a cup an hour at full load.\nOil on the bed plate, wiped at 12:10. Pump runs hotter than P-203 beside it.",
            "report": "https://docs.example.org/reports/2026/p-204-vibration-and-temperature-survey.pdf",
            "tags": ["hydraulics", "deck 2", "night shift"],
            "safety": {"isolated": true, "gas": 4.50, "permit": {"number": "HW-0412", "until": "2026-05-15"}},
            "parts": [{"part": "Seal kit HS-22", "quantity": 1, "unit": "piece"}, {"part": "Hydraulic oil ISO 46", "quantity": 12.5, "unit": "litre"}],
            "legacy_code": {"a": [1, {"b": 2}]}}"#,
    )
    .expect("sample is JSON")
}

fn side(value: &str, who: &str, at: &str, place: &str) -> Side {
    Side {
        value: Shown::text(value),
        by: Some(Person::named(who)),
        at: when(at),
        place: place.into(),
        remark: String::new(),
    }
}

fn due_versus() -> Versus {
    Versus {
        id: "c81".into(),
        csrf: "c5rf-t0ken".into(),
        kept: side("Thu 14 May, 16:00", "Tomás Reyes", "2026-05-14T12:20:00Z", "at Tern Bay hub"),
        lost: Side {
            remark: "That device’s clock was 1 h 2 min fast.".into(),
            ..side("Sat 16 May, 12:00", "Ingrid Solheim", "2026-05-14T12:12:00Z", "on Platform 7")
        },
        restore_words: "Bring back Sat 16 May, 12:00".into(),
        may_decide: true,
        back: "/attention".into(),
    }
}

fn history() -> Vec<Happening> {
    let change = |label: &str, old: &str, new: &str| Change {
        label: label.into(),
        old: (!old.is_empty()).then(|| Shown::text(old)),
        new: (!new.is_empty()).then(|| Shown::text(new)),
    };
    vec![
        Happening {
            tone: Tone::Info,
            who: "Ingrid Solheim".into(),
            what: "saved 2 fields".into(),
            changes: vec![change("Status", "open", "in progress"), change("Parts used › Quantity", "12", "12.5")],
            at: when("2026-05-14T12:30:00Z"),
            place: "on Platform 7 · reached hub 14:31".into(),
            ..Happening::default()
        },
        Happening {
            tone: Tone::Merge,
            who: "Merged".into(),
            what: "with what Tomás had saved meanwhile. 4 fields joined, Due kept the later value".into(),
            at: when("2026-05-14T12:31:00Z"),
            place: "here".into(),
            ..Happening::default()
        },
        Happening {
            who: "Tomás Reyes".into(),
            what: "saved 2 fields".into(),
            changes: vec![change("Priority", "Normal", "Urgent"), change("Remarks", "old words", "")],
            at: when("2026-05-13T12:20:00Z"),
            place: "here".into(),
            ..Happening::default()
        },
        Happening {
            who: "Tomás Reyes".into(),
            what: "opened this work order".into(),
            at: when("2026-05-02T07:14:00Z"),
            place: "here".into(),
            ..Happening::default()
        },
    ]
}

fn list_page(frame: Frame) -> ListPage {
    let column = |title: &str, sorted, slot, numeric| Column {
        title: title.into(),
        sort: Some("/records/work-order?sort=/x".into()),
        sorted,
        numeric,
        slot,
    };
    let rows = [
        (
            "Replace hydraulic pump seal",
            "In progress",
            Tone::Info,
            "Urgent",
            "Pump P-204",
            "4.50",
            "today 16:00",
            "on 2 of 3 sites",
            Stage::Hub,
        ),
        (
            "Crane limit switch sticks",
            "Open",
            Tone::Plain,
            "Urgent",
            "Crane C-01",
            "0",
            "today 18:00",
            "at hub",
            Stage::Hub,
        ),
        (
            "Fire damper will not close",
            "Needs parts",
            Tone::Wait,
            "Normal",
            "Damper FD-33",
            "1,250",
            "Fri 15 May",
            "on 3 sites",
            Stage::Sites,
        ),
        (
            "Hydraulic hose chafes at winch, replace before the next lift and check the guard",
            "Open",
            Tone::Plain,
            "Normal",
            "Winch W-2",
            "12",
            "Wed 20 May",
            "only here yet",
            Stage::Here,
        ),
        (
            "Calibrate gas detectors, level 2",
            "Overdue",
            Tone::Stop,
            "Normal",
            "GD-2 group",
            "3",
            "2 May",
            "set aside by the hub",
            Stage::Refused,
        ),
    ];
    let rows = rows
        .into_iter()
        .enumerate()
        .map(|(at, (name, status, tone, priority, asset, hours, due, reach, stage))| Row {
            href: format!("/records/work-order/{at}"),
            name: name.into(),
            note: if at == 0 { "Status changed by Tomás just now".into() } else { String::new() },
            cells: vec![
                Shown::Chip(Chip::new(tone, status)),
                Shown::Choice(priority.into()),
                Shown::text(asset),
                if at == 1 { Shown::Missing } else { Shown::text(hours) },
                Shown::text(due),
            ],
            reach: Some(Reach::new(stage, reach)),
            at: when("2026-05-14T12:30:00Z"),
            is_live: at == 0,
        })
        .collect();
    let tab = |words: &str, count: Option<u64>, current| Tab {
        href: "/records/work-order".into(),
        words: words.into(),
        count: count.map(Into::into),
        current,
    };
    ListPage {
        frame,
        type_: work_orders(),
        fact: "212 of 1,284".into(),
        is_bin: false,
        tabs: vec![tab("All", Some(1284), true), tab("Bin", Some(3), false)],
        filters: Filters {
            on: vec![Link::to("/records/work-order", "Status: not done")],
            menus: vec![
                Menu {
                    title: "Status".into(),
                    choices: vec![tab("Open", Some(140), false), tab("In progress", Some(72), true)],
                },
                Menu { title: "Priority".into(), choices: vec![tab("Low", None, false), tab("Urgent", None, false)] },
            ],
            fields: vec![("/due".into(), "Due".into()), ("/safety/gas".into(), "Safety › Gas reading".into())],
            hidden: vec![("filter".into(), "/status:ne:done".into())],
            condition: Default::default(),
            error: None,
        },
        sorts: vec![tab("Due, soonest first", None, true), tab("Latest change", None, false)],
        name: column("What is to be done", Sorted::No, Slot::Plain, false),
        columns: vec![
            column("Status", Sorted::No, Slot::Corner, false),
            column("Priority", Sorted::No, Slot::More, false),
            column("Asset", Sorted::No, Slot::Plain, false),
            column("Hours", Sorted::No, Slot::More, true),
            column("Due", Sorted::Ascending, Slot::Plain, false),
        ],
        rows,
        shown: "50 of 212, soonest due first".into(),
        next: Some("/records/work-order?cursor=x".into()),
        first: Some("/records/work-order".into()),
        live: Some(LiveLine {
            type_name: "work-order".into(),
            words: "Up to date at 14:32.".into(),
            news: Some("2 new work orders came in.".into()),
            query: "filter=%2Fstatus%3Ane%3Adone".into(),
            since: "s1".into(),
        }),
        empty: Empty::default(),
    }
}

fn record_page(frame: Frame) -> RecordPage {
    let (schema, clock, data) = (schema(), clock(), record());
    let names = HashMap::from([("018f3c1e-0000-7000-8000-00000000p204".to_owned(), "Pump P-204, deck 2".to_owned())]);
    let reader = Reader::new(&schema, &clock).with_names(names);
    let merged = Chip::new(Tone::Merge, "merged").with_icon("merge");
    let notes = Notes::from([
        (
            "/priority".to_owned(),
            Note {
                chips: vec![merged.clone()],
                by: "Tomás Reyes, 14:20 at the hub, while Ingrid was editing".into(),
                ..Note::default()
            },
        ),
        (
            "/due".to_owned(),
            Note {
                chips: vec![Chip::new(Tone::Merge, "merged, one value lost")],
                lost: vec![due_versus()],
                ..Note::default()
            },
        ),
        (
            "/parts/1/quantity".to_owned(),
            Note { lost: vec![Versus { id: "c82".into(), ..due_versus() }], ..Note::default() },
        ),
        ("/safety".to_owned(), Note { chips: vec![merged], ..Note::default() }),
        ("/safety/gas".to_owned(), Note { errors: vec!["Enter 3 or less".into()], ..Note::default() }),
    ]);
    RecordPage {
        frame,
        type_: work_orders(),
        id: "018f3c1e-77aa-7000-8000-0123456789ab".into(),
        name: reader.name_of(&data).expect("a name"),
        fact: Some(Shown::Chip(Chip::new(Tone::Info, "In progress"))),
        reach: Some(Reach::new(Stage::Hub, "Saved on Platform 7 14:30 · at hub 14:31 · on 2 of 3 sites")),
        errors: vec![],
        sections: reader.sections(&data, &notes),
        history: history(),
        history_total: 14,
        places: vec![
            node(Tone::Ok, "check", "Tern Bay hub", "since 14:31"),
            node(Tone::Ok, "check", "Platform 7", "since 14:30, where it was typed"),
            node(Tone::Wait, "clock", "Boat Alma", "has the version of Tue 18:40"),
        ],
        denied: vec![],
        binned: None,
    }
}

fn node(tone: Tone, icon: &'static str, name: &str, words: &str) -> NodeRow {
    NodeRow { tone, icon, name: name.into(), words: words.into() }
}

fn home(frame: Frame) -> HomePage {
    let tile = |name: &str, title: &str, count, words: &str| {
        let head = TypeHead::named(name, title);
        Tile { name: name.into(), title: head.title, one: head.one, icon: type_icon(name), count, words: words.into() }
    };
    let look = |tone, icon, title: &str, text: &str| Pointer {
        tone,
        icon,
        href: "/attention".into(),
        title: title.into(),
        text: text.into(),
    };
    HomePage {
        frame,
        now: clock().heading(),
        state: "Boat Alma has been out of reach since Tuesday 18:40; its people go on working and nothing is lost."
            .into(),
        tiles: vec![
            tile("work-order", "Work order", 1284, "Ingrid saved one 2 min ago on Platform 7."),
            tile("inspection", "Site inspection", 6073, "Last saved today 13:51."),
            tile("vitals", "Patient vitals", 21940, ""),
        ],
        attention: vec![
            look(
                Tone::Merge,
                "merge",
                "2 values lost a merge",
                "Two people changed the same field of a work order. Both values are kept.",
            ),
            look(
                Tone::Stop,
                "stop",
                "15 records no longer fit their form",
                "An inspection lacks its asset, 14 work orders a priority that is still offered.",
            ),
        ],
        lately: vec![
            Happening {
                tone: Tone::Info,
                who: "Ingrid Solheim".into(),
                what: "saved".into(),
                subject: Some(Link::to("/records/work-order/1", "Replace hydraulic pump seal")),
                at: when("2026-05-14T12:30:00Z"),
                place: "on Platform 7".into(),
                ..Happening::default()
            },
            Happening {
                tone: Tone::Merge,
                who: "Tomás Reyes".into(),
                what: "and Ingrid Solheim both changed".into(),
                subject: Some(Link::to("/records/work-order/1", "Replace hydraulic pump seal")),
                at: when("2026-05-14T12:20:00Z"),
                place: "here; all but one value merged".into(),
                ..Happening::default()
            },
            Happening {
                who: "Jon Petersen".into(),
                what: "published Work order, version 8".into(),
                at: when("2026-05-14T09:05:00Z"),
                place: "here".into(),
                ..Happening::default()
            },
        ],
        nodes: vec![
            node(Tone::Ok, "edge", "Platform 7", "In step · spoke 14:31"),
            node(Tone::Ok, "edge", "North clinic", "In step · spoke 14:32"),
            node(Tone::Wait, "cut", "Boat Alma", "Out of reach since Tue 18:40 · 37 changes wait for it"),
        ],
    }
}

fn samples() -> Vec<Sample> {
    let sample = |who: &str, email: &str| Sample { who: who.into(), email: email.into(), password: "harbour".into() };
    vec![
        sample("Tomás, plans the work", "tomas@demo.example"),
        sample("Ingrid, on the platform", "ingrid@demo.example"),
    ]
}

fn design(frame: Frame) -> DesignPage {
    let version = |number, reason: &str, is_current| Version {
        number,
        by: "Jon Petersen".into(),
        at: when("2026-05-02T07:14:00Z"),
        reason: reason.into(),
        href: format!("/api/v1/types/work-order/schema?version={number}"),
        is_current,
    };
    DesignPage {
        frame,
        name: "work-order".into(),
        title: "Work order".into(),
        schema: serde_json::to_string_pretty(&schema()).expect("a schema is JSON"),
        base: "b8".into(),
        next_version: 9,
        check: Some(Check {
            total: 1284,
            fitting: 1270,
            misfits: vec![Misfit { count: 14, words: "Asset: an answer is required".into() }],
            changes: vec![
                "Asset is required now".into(),
                "Remarks is no longer part of the form; its answers are kept".into(),
            ],
        }),
        versions: vec![
            version(8, "The night shift asked for the asset", true),
            version(7, "", false),
            version(6, "Units for parts", false),
        ],
        ..DesignPage::default()
    }
}

fn denied(may_decide: bool) -> Denied {
    let field = |label: &str, denied: &str, stands: Option<&str>| DeniedField {
        label: label.into(),
        denied: Shown::Text(denied.into()),
        stands: stands.map(|stands| Shown::Text(stands.into())),
    };
    Denied {
        id: "d41".into(),
        csrf: "c5rf-t0ken".into(),
        record: Some(Link::to("/records/work-order/1", "Replace hydraulic pump seal")),
        name: "Replace hydraulic pump seal".into(),
        since: when("2026-05-14T11:02:00Z"),
        by: Person::named("Ingrid Solheim"),
        words: "Ingrid Solheim saved it on Tue at 18:40 on Platform 7".into(),
        reason: "Not accepted: Ingrid Solheim may not sign in any more.".into(),
        decided: (!may_decide)
            .then(|| "An admin decides about it at the hub. Until then nothing of it is lost.".into()),
        fields: vec![
            field("Due", "16 May 2026", Some("14 May 2026")),
            field("Findings", "Seal worn through on the drive side, shaft scored 0.2 mm", Some("Not answered")),
        ],
        remark: String::new(),
        may_decide,
        back: "/attention".into(),
    }
}

fn denied_creation() -> Denied {
    let field = |label: &str, denied: &str| DeniedField {
        label: label.into(),
        denied: Shown::Text(denied.into()),
        stands: None,
    };
    Denied {
        id: "d42".into(),
        record: None,
        name: "Crane C-02 yearly".into(),
        by: Person::named("Tomás Reyes"),
        words: "Tomás Reyes made it on Tue at 09:12 on Boat Alma".into(),
        reason: "Not accepted: the device it was made on was revoked.".into(),
        fields: vec![field("Asset", "Crane C-02"), field("Result", "Passed")],
        remark: "2 later saves in this record came after it and will follow it if it is admitted.".into(),
        ..denied(true)
    }
}

fn attention(frame: Frame) -> AttentionPage {
    let tab = |words: &str, count: u64, current| Tab {
        href: "/attention".into(),
        words: words.into(),
        count: Some(count.into()),
        current,
    };
    let remarks = |words: &str, who: &str, at: &str, place: &str| Side {
        value: Shown::Lines(words.into()),
        ..side(words, who, at, place)
    };
    AttentionPage {
        frame,
        tabs: vec![
            tab("All", 5, true),
            tab("Lost values", 2, false),
            tab("No longer valid", 2, false),
            tab("Edited after deletion", 1, false),
            tab("Not accepted", 2, false),
        ],
        denied: vec![denied(true), denied_creation()],
        lost: vec![
            Lost {
                record: Link::to("/records/work-order/1", "Replace hydraulic pump seal"),
                field: "Due".into(),
                since: when("2026-05-14T12:20:00Z"),
                versus: due_versus(),
            },
            Lost {
                record: Link::to("/records/inspection/2", "Lifeboat 2 monthly"),
                field: "Remarks".into(),
                since: when("2026-05-14T09:48:00Z"),
                versus: Versus {
                    id: "c83".into(),
                    kept: remarks(
                        "Hook release tested twice, both good. Painter line frayed, replace before next drill.",
                        "Amina Yusuf",
                        "2026-05-14T09:48:00Z",
                        "at North clinic",
                    ),
                    lost: remarks(
                        "Hook release tested twice, both good. Battery charger lamp is out.",
                        "Ingrid Solheim",
                        "2026-05-14T09:31:00Z",
                        "on Platform 7",
                    ),
                    restore_words: "Bring back Ingrid’s".into(),
                    ..due_versus()
                },
            },
        ],
        invalid: vec![Invalid {
            record: Link::to("/records/inspection/877", "Crane C-01 yearly"),
            errors: vec!["Asset: an answer is required".into()],
            words: "Last saved by Ingrid Solheim, 2 May".into(),
            edit: "/records/inspection/877/edit".into(),
        }],
        edited: vec![Edited {
            record: Link::to("/records/work-order/2377", "Inspect ladder cage"),
            words: "Tomás put it in the bin at 09:10. Ingrid, offline, changed Due at 09:40.".into(),
            choices: vec![
                post("/conflicts/c90", "dismiss", "Leave in bin", "quiet"),
                post("/records/work-order/2377", "restore", "Restore all of it", ""),
            ],
        }],
        ..AttentionPage::default()
    }
}

fn post(action: &str, verb: &'static str, words: &str, kind: &'static str) -> Post {
    Post { action: action.into(), csrf: "c5rf-t0ken".into(), verb, words: words.into(), kind, ..Post::default() }
}

fn edge_sync() -> SyncPage {
    let figure =
        |label: &str, value: &str, note: &str| Figure { label: label.into(), value: value.into(), note: note.into() };
    let waiting = |name: &str, words: &str, is_refused| Waiting {
        record: Link::to("/records/work-order/1", name),
        words: words.into(),
        is_refused,
    };
    SyncPage {
        frame: Frame {
            banner: Some(Banner {
                tone: Tone::Wait,
                icon: "clock",
                strong: "This device’s clock is 1 h 2 min fast.".into(),
                text: "Saves are stamped with the corrected time, so nothing is out of order. Set the clock when you can.".into(),
                action: None,
            }),
            ..edge(Here::Sync)
        },
        intro: "This is Platform 7, an edge of Tern Bay hub.".into(),
        link: Some(LinkCard {
            state: LinkState::Offline,
            title: "Hub out of reach since 13:05".into(),
            words: "Everything works here: signing in, forms, search, export. 4 saves wait and leave by themselves when the hub answers. Next try in 40 s.".into(),
            is_paused: false,
            may_steer: true,
            csrf: "c5rf-t0ken".into(),
        }),
        waiting: vec![
            waiting("Replace hydraulic pump seal", "3 fields by Ingrid Solheim, 14:30", false),
            waiting("Crane limit switch sticks", "new, by Ingrid Solheim, 14:02", false),
            waiting("Test sprinkler, deck 1", "The hub set this one aside at 12:58: it is 1.3 MB and a record may have 1 MB. Kept here. The others are not held up.", true),
        ],
        waiting_words: "4 saves, 18 KB".into(),
        figures_title: "At last contact, 13:05".into(),
        figures: vec![figure("Records here", "12,408", "same as the hub"), figure("To fetch", "not known", "since 13:05"), figure("To send", "4", "oldest 13:31"), figure("Types", "3 of 3", "newest versions")],
        nodes: vec![node(Tone::Wait, "hub", "Tern Bay hub", "last spoke 13:05"), node(Tone::Ok, "edge", "Platform 7", "this node")],
        contacts: vec![
            Happening { tone: Tone::Wait, what: "No answer from the hub, 9 tries".into(), at: when("2026-05-14T12:31:00Z"), ..Happening::default() },
            Happening { what: "Sent 11, fetched 46, then cut".into(), at: when("2026-05-14T11:05:00Z"), ..Happening::default() },
        ],
        ..SyncPage::default()
    }
}

fn hub_sync() -> SyncPage {
    let row = |name: &str, state, last: &str, behind: &str, scope: &str| Edge {
        name: name.into(),
        state,
        last: last.into(),
        behind: behind.into(),
        scope: scope.into(),
    };
    SyncPage {
        frame: hub(Here::Sync),
        intro: "This is Tern Bay hub. 3 edges work from it.".into(),
        edges: vec![
            row("Platform 7", LinkState::InStep, "14:31", "nothing", "work-order: platform-7"),
            row("North clinic", LinkState::Behind, "14:32", "12 changes", "everything"),
            row("Boat Alma", LinkState::Offline, "Tue 18:40", "37 changes", "everything"),
        ],
        figures_title: "Now".into(),
        figures: vec![
            Figure { label: "Records".into(), value: "29,297".into(), note: String::new() },
            Figure { label: "Edges in step".into(), value: "1 of 3".into(), note: String::new() },
        ],
        contacts: history(),
        ..SyncPage::default()
    }
}

fn holds(id: &str) -> Holds {
    let part = |name: &str, title: &str, field: Option<&str>, choice, values: &str| Part {
        name: name.into(),
        title: title.into(),
        field: field.map(Into::into),
        choice,
        values: values.into(),
        error: None,
    };
    Holds {
        id: id.into(),
        everything: false,
        parts: vec![
            part("gas-reading", "Gas readings", None, "all", ""),
            part("work-order", "Work orders", Some("Site"), "values", "platform-7\nplatform-9"),
            Part {
                error: Some("Enter at least one, each on a line of its own".into()),
                ..part("inspection", "Inspections", Some("Site"), "values", "")
            },
        ],
        relays: true,
        error: None,
    }
}

fn nodes_page() -> NodesPage {
    let node = |id: &str, name: &str, tone, icon, words: &str, is_this, is_revoked| Node {
        id: id.into(),
        name: name.into(),
        tone,
        icon,
        words: words.into(),
        scope: "everything".into(),
        is_this,
        is_revoked,
        holds: (!is_this && !is_revoked).then(|| holds(&format!("holds-{id}"))),
    };
    NodesPage {
        frame: hub(Here::Nodes),
        holds: holds("new"),
        nodes: vec![
            node("n1", "Tern Bay hub", Tone::Ok, "hub", "Since 2 May", true, false),
            node("n2", "Platform 7", Tone::Ok, "edge", "In step, spoke 14:31", false, false),
            node("n3", "Boat Alma", Tone::Stop, "edge", "Withdrawn 2 May by Mei Tanaka", false, true),
        ],
        invitations: vec![Invitation {
            name: "North clinic".into(),
            words: "made by Mei Tanaka 14:20, expires Fri 14:20".into(),
        }],
        fresh: Some(Fresh {
            command:
                "outpost join http://hub.ternbay.example:8080 --token enrol_7f3q9x2kd81mz0v4w6y5 --name \"Platform 9\""
                    .into(),
            words: "It works once, until Fri 14:20.".into(),
        }),
        ..NodesPage::default()
    }
}

fn users_page() -> UsersPage {
    let user = |id: &str, name: &str, role: &str, is_disabled, is_self| User {
        id: id.into(),
        person: Person::named(name),
        email: format!("{}@ternbay.example", name.split(' ').next().unwrap_or_default().to_lowercase()),
        role: role.into(),
        is_disabled,
        is_self,
        words: "last seen 14:30 on Platform 7".into(),
        error: None,
    };
    UsersPage {
        frame: hub(Here::Users),
        users: vec![
            user("u1", "Mei Tanaka", "admin", false, true),
            User {
                error: Some("A password has at least 8 characters".into()),
                ..user("u2", "Ingrid Solheim", "staff", false, false)
            },
            user("u3", "Jon Petersen", "designer", true, false),
        ],
        new: NewUser::default(),
    }
}

fn demo(is_up: bool) -> DemoPage {
    let node = |name: &str, port: u16, person: &str| DemoNode {
        name: name.into(),
        address: format!("127.0.0.1:{port}"),
        holds: "12 work orders".into(),
        home: format!("http://127.0.0.1:{port}/"),
        edit: format!("http://127.0.0.1:{port}/records/work-order/1/edit"),
        person: person.into(),
    };
    DemoPage {
        frame: Frame { demo: None, ..hub(Here::Demo) },
        is_up,
        state: if is_up { LinkState::InStep } else { LinkState::Offline },
        words: if is_up { "In step, 0 waiting".into() } else { "2 saves waiting".into() },
        hub: node("Tern Bay", 8080, "Tomás"),
        edge: node("Platform 7", 8081, "Ingrid"),
        record: "Replace hydraulic pump seal".into(),
        people: samples(),
    }
}

fn api_docs() -> outpost::views::api_docs::ApiDocs {
    let document = json!({
        "info": {"title": "outpost", "version": "0.1.0", "description": "Records and types of this node.\n\nSigned in by a bearer token or by the browser's session."},
        "paths": {
            "/api/v1/types": {"get": {"tags": ["Types"], "summary": "List types", "responses": {"200": {"description": "The types"}}},
                "post": {"tags": ["Types"], "summary": "Create a type", "requestBody": {"content": {"application/json": {}}}, "responses": {"201": {"description": "Made"}, "422": {"description": "The schema has faults"}}}},
            "/api/v1/types/{type}/records": {"get": {"tags": ["Records"], "summary": "List records, filtered and sorted", "description": "Pages by cursor.",
                "parameters": [{"name": "type", "in": "path", "required": true, "schema": {"type": "string"}, "description": "The type's permanent name"},
                    {"name": "filter", "in": "query", "schema": {"type": "string"}, "description": "`/status:eq:open`; repeated means and"}],
                "responses": {"200": {"description": "A page"}}}},
            "/api/v1/types/{type}/records/{id}": {"delete": {"tags": ["Records"], "summary": "Put into the bin", "responses": {"200": {"description": "It is in the bin"}}}}
        }
    });
    outpost::views::api_docs::ApiDocs::from_openapi(hub(Here::Api), &document)
}

/// Every page, by the name of its file.
/// The form of a work order: refused with two answers to put right, or blank.
fn form(refused: bool) -> String {
    const CONTEXT: Context = Context { secret: &[7; 32], zone: "+02:00" };
    let (_, schema) = outpost::domain::schema::SAMPLES[0];
    let schema = serde_json::from_str(schema).expect("the sample is JSON");
    let layout = Layout::of(Arc::new(Schema::compile(&schema).expect("the sample is a type")));
    let name = TypeName::custom("work-order").expect("a good name");
    let (id, revision, submission) = (RecordId::from_u128(1), RevisionId(8), SaveId(3));
    let base = Base::new_record(&layout, CONTEXT.secret, name, id, revision, submission);
    let form = if refused {
        let typed = [
            ("/title", "Replace hydraulic pump seal"),
            ("/due#date", "2026-05-14"),
            ("/due#time", "16:00"),
            ("/fault", "Seal weeps about a cup an hour at full load.\nPump runs hotter than P-203 beside it."),
            ("/hot_work", "e0"),
            ("/gas_reading", "4,5,"),
        ];
        let mut pairs: Vec<(String, String)> =
            typed.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        for part in ["Seal kit HS-22", "Hydraulic oil ISO 46"] {
            let add = Action { verb: Verb::Add, at: "/parts".into() };
            let form = Form::reshaped(&layout, &base, &Posted::read(pairs.clone()), CONTEXT, &add).expect("a group");
            let rows = form.nodes.iter().find_map(|node| match node {
                outpost::domain::form::Node::Rows(rows) => Some(rows),
                _ => None,
            });
            let rows = rows.expect("the parts");
            pairs.retain(|(name, _)| *name != rows.marker.0);
            pairs.push(rows.marker.clone());
            pairs.push((format!("{}/part", rows.rows.last().expect("the new one").name), part.to_owned()));
        }
        let posted = Posted::read(pairs);
        let decoded = decode(&layout, &base, &posted, CONTEXT);
        Form::again(&layout, &base, &posted, CONTEXT, decoded.errors, decoded.standing)
    } else {
        Form::open(&layout, &base, CONTEXT)
    };
    let view = FormView {
        form,
        action: "/records/work-order/1/edit".into(),
        csrf: "t".into(),
        title: "Job".into(),
        save: "Save work order".into(),
        leave: "/records/work-order/1".into(),
        state: "Works without the hub. It is saved here first.".into(),
    };
    view.render().expect("a form")
}

fn pages() -> Vec<(&'static str, String)> {
    let mut pages: Vec<(&'static str, String)> = Vec::new();
    let mut add = |name, page: Result<String, askama::Error>| pages.push((name, page.expect("a page renders")));
    let here = || Here::Records("work-order".into());
    let alone = || Frame { csrf: "c5rf-t0ken".into(), ..Frame::alone("Platform 7, an edge of Tern Bay hub") };

    add("home", home(hub(Here::Home)).render());
    add("home-demo", home(Frame { demo: Some(DemoLink { is_up: false }), ..edge(Here::Home) }).render());
    add(
        "home-empty",
        HomePage {
            frame: Frame { types: vec![], attention: 0.into(), ..hub(Here::Home) },
            now: clock().heading(),
            ..HomePage::default()
        }
        .render(),
    );
    let login = LoginPage {
        frame: alone(),
        email: "ingrid@ternbay.example".into(),
        error: Some("That password does not match. 3 tries left, then 5 minutes’ wait.".into()),
        next: "/sync".into(),
        note: "The hub is out of reach. Signing in works here without it, for everyone who was enrolled before 13:05 today.".into(),
        samples: vec![],
    };
    add("login", login.render());
    add("login-demo", LoginPage { frame: alone(), samples: samples(), ..LoginPage::default() }.render());
    let errors = SetupErrors {
        email: Some("Enter an e-mail address, for example mei@ternbay.example".into()),
        password: Some("Enter at least 8 characters".into()),
        ..SetupErrors::default()
    };
    add(
        "setup",
        SetupPage { frame: alone(), token: "t/ok&en".into(), email: "mei".into(), errors, ..SetupPage::default() }
            .render(),
    );

    add("list", list_page(hub(here())).render());
    let toast = Toast {
        words: "Test sprinkler, deck 1 moved to the bin.".into(),
        undo: Some(Post { icon: Some("undo"), ..post("/records/work-order/9", "restore", "Undo", "") }),
    };
    add("list-edge", ListPage { live: None, ..list_page(Frame { toast: Some(toast), ..edge(here()) }) }.render());
    let nothing = Empty {
        icon: "records",
        title: "No work orders yet".into(),
        text: "Make the first one here. It works offline too.".into(),
        action: Some(Link::to("/records/work-order/new", "New work order")),
    };
    add(
        "list-empty",
        ListPage {
            frame: hub(here()),
            type_: work_orders(),
            fact: "0 records".into(),
            empty: nothing,
            ..ListPage::default()
        }
        .render(),
    );
    let wrong = Filters {
        error: Some("Enter the gas reading as a number, for example 4.5".into()),
        ..list_page(hub(here())).filters
    };
    add("list-filter", ListPage { filters: wrong, live: None, ..list_page(hub(here())) }.render());
    add(
        "list-bin",
        ListPage {
            is_bin: true,
            fact: "3 in the bin".into(),
            live: None,
            next: None,
            first: None,
            ..list_page(hub(here()))
        }
        .render(),
    );
    add("record", record_page(hub(here())).render());
    let errors = vec![
        ("Asset".to_owned(), "An answer is required".to_owned()),
        ("Safety › Gas reading".to_owned(), "Enter 3 or less".to_owned()),
    ];
    add(
        "record-invalid",
        RecordPage {
            errors,
            places: vec![],
            reach: Some(Reach::new(Stage::Here, "Saved here 14:32, not yet at hub")),
            ..record_page(edge(here()))
        }
        .render(),
    );
    let mine = RecordPage { denied: vec![denied(false)], ..record_page(edge(here())) };
    add("record-denied", mine.render());
    add(
        "record-bin",
        RecordPage { binned: Some("Tomás Reyes put it there at 14:20".into()), ..record_page(hub(here())) }.render(),
    );
    let note = "Everything this node saw, newest first. The hub saw all of it.".to_owned();
    add(
        "history",
        HistoryPage {
            frame: edge(here()),
            type_: work_orders(),
            id: "1".into(),
            name: "Replace hydraulic pump seal".into(),
            happenings: history(),
            note,
            shown: "1 to 100 of 112 changes".into(),
            newer: None,
            older: Some("?skip=100".into()),
        }
        .render(),
    );
    let body = Markup(form(true));
    add(
        "form",
        FormPage {
            frame: edge(here()),
            type_: work_orders(),
            record: Some(Link::to("/records/work-order/1", "Replace hydraulic pump seal")),
            heading: "Replace hydraulic pump seal".into(),
            body,
        }
        .render(),
    );
    add(
        "form-new",
        FormPage {
            frame: edge(here()),
            type_: work_orders(),
            record: None,
            heading: "New work order".into(),
            body: Markup(form(false)),
        }
        .render(),
    );

    let row = |name: &str, title: &str, count| TypeRow {
        name: name.into(),
        title: title.into(),
        icon: type_icon(name),
        count,
        words: "version 8 since 2 May, 14 fields".into(),
    };
    let types = vec![
        row("work-order", "Work orders", 1284),
        row("inspection", "Site inspections", 6073),
        row("vitals", "Patient vitals", 21940),
    ];
    add(
        "types",
        TypesPage {
            frame: hub(Here::Types),
            types: types.clone(),
            retired: vec![row("old-permit", "Old permits", 12)],
        }
        .render(),
    );
    add("types-edge", TypesPage { frame: edge(Here::Types), types, retired: vec![] }.render());
    add("design", design(hub(Here::Types)).render());
    let faults = vec![
        SchemaFault {
            pointer: "/properties/due/format".into(),
            message: "Enter a text, not a list".into(),
            ..SchemaFault::default()
        },
        SchemaFault {
            place: "Line 12, column 3".into(),
            message: "A comma is missing before this".into(),
            ..SchemaFault::default()
        },
    ];
    let fresh = DesignPage {
        name: "Work order".into(),
        is_new: true,
        title: String::new(),
        name_error: Some("Use small letters, digits and dashes, for example work-order".into()),
        faults,
        check: None,
        versions: vec![],
        upgrades: vec!["“definitions” is now “$defs”".into()],
        ..design(hub(Here::Types))
    };
    add("design-new", fresh.render());
    add("design-read", DesignPage { check: None, ..design(edge(Here::Types)) }.render());
    add("attention", attention(hub(Here::Attention)).render());
    add(
        "attention-empty",
        AttentionPage { frame: Frame { attention: 0.into(), ..hub(Here::Attention) }, ..AttentionPage::default() }
            .render(),
    );
    add("sync-edge", edge_sync().render());
    add("sync-hub", hub_sync().render());
    add("nodes", nodes_page().render());
    add("users", users_page().render());
    add("demo", demo(true).render());
    add("demo-cut", demo(false).render());
    add("api", api_docs().render());
    let confirm = ConfirmPage {
        frame: hub(Here::Nodes),
        question: "Withdraw Platform 7?".into(),
        consequences: vec![
            "It can no longer send or fetch. What was saved there and has not left yet stays there.".into(),
            "It cannot be taken back; to use the device again, invite it anew.".into(),
        ],
        action: "/nodes/n2".into(),
        fields: vec![("_do".into(), "revoke".into())],
        yes: "Withdraw Platform 7".into(),
        no: Link::to("/nodes", "Keep it"),
    };
    add("confirm", confirm.render());
    add("error-404", ErrorPage::not_found(hub(Here::Elsewhere)).render());
    add("error-403", ErrorPage::forbidden(edge(Here::Elsewhere), "making types").render());
    add("error-429", ErrorPage::busy(alone(), 40).render());
    add("error-500", ErrorPage::failed(hub(Here::Elsewhere), "7f3q9x").render());
    pages
}

// ── what every page must keep ─────────────────────────────────────────────────────────────────────────────────────────────────

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
    let icons = include_str!("../static/icons.svg");
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
