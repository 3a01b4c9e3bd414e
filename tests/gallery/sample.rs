//! One place, its people and one record: what the pages show.

use super::*;

pub fn clock() -> Clock {
    Clock::new("2026-05-14T12:32:00Z".parse().expect("a timestamp"), TimeZone::fixed(Offset::constant(2)))
}

pub fn when(text: &str) -> outpost::views::part::When {
    clock().when(text.parse().expect("a timestamp"))
}

pub fn rail() -> Vec<RailType> {
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

pub fn hub(here: Here) -> Frame {
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

pub fn edge(here: Here) -> Frame {
    Frame {
        place: "Platform 7".into(),
        link: LinkStatus { state: LinkState::Offline, words: "Offline · 4 saves waiting".into() },
        person: Some(Person::named("Ingrid Solheim")),
        may: May { edit: true, ..May::default() },
        is_hub: false,
        ..hub(here)
    }
}

pub fn work_orders() -> TypeHead {
    TypeHead::named("work-order", "Work order")
}

pub fn schema() -> Value {
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
            "photos": {"type": "array", "title": "Photos", "items": {"type": "object", "x-kind": "photo"}},
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

pub fn record() -> Value {
    serde_json::from_str(
        r#"{"title": "Replace hydraulic pump seal", "asset": "018f3c1e-0000-7000-8000-00000000p204", "status": "in progress",
            "priority": "urgent", "due": "2026-05-14T16:00:00+02:00",
            "fault": "Seal weeps about a cup an hour at full load.\nOil on the bed plate, wiped at 12:10. Pump runs hotter than P-203 beside it.",
            "report": "https://docs.example.org/reports/2026/p-204-vibration-and-temperature-survey.pdf",
            "photos": [
                {"id": "a", "name": "pump-204-seal-from-below.jpg", "mime": "image/jpeg", "size": 2140000, "sha256": "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"},
                {"id": "b", "name": "survey.pdf", "mime": "application/pdf", "size": 880000, "sha256": "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"},
                {"id": "c", "name": "gauge.jpg", "mime": "image/jpeg", "size": 1310000, "sha256": "0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c"}],
            "tags": ["hydraulics", "deck 2", "night shift"],
            "safety": {"isolated": true, "gas": 4.50, "permit": {"number": "HW-0412", "until": "2026-05-15"}},
            "parts": [{"part": "Seal kit HS-22", "quantity": 1, "unit": "piece"}, {"part": "Hydraulic oil ISO 46", "quantity": 12.5, "unit": "litre"}],
            "legacy_code": {"a": [1, {"b": 2}]}}"#,
    )
    .expect("sample is JSON")
}

pub fn side(value: &str, who: &str, at: &str, place: &str) -> Side {
    Side {
        value: Shown::text(value),
        by: Some(Person::named(who)),
        at: when(at),
        place: place.into(),
        remark: String::new(),
    }
}

pub fn due_versus() -> Versus {
    Versus {
        id: "c81".into(),
        csrf: "c5rf-t0ken".into(),
        kept: side("Thu 14 May, 16:00", "Tomás Reyes", "2026-05-14T12:20:00Z", "at Tern Bay hub"),
        lost: Side {
            remark: "That device’s clock was 1 h 2 min fast.".into(),
            ..side("Sat 16 May, 12:00", "Ingrid Solheim", "2026-05-14T12:12:00Z", "on Platform 7")
        },
        restore_words: "Bring back Sat 16 May, 12:00".into(),
        keep_words: "Fine as it is".into(),
        asks: false,
        may_decide: true,
        back: "/attention".into(),
    }
}

pub fn history() -> Vec<Happening> {
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
