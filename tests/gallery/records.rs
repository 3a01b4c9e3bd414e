//! A list, a record and its form.

use super::*;
use outpost::domain::blob::{BlobHash, FileState, Place};

pub fn list_page(frame: Frame) -> ListPage {
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

pub fn record_page(frame: Frame) -> RecordPage {
    let (schema, clock, data) = (schema(), clock(), record());
    let names = HashMap::from([("018f3c1e-0000-7000-8000-00000000p204".to_owned(), "Pump P-204, deck 2".to_owned())]);
    let state = |place, done| FileState { place, done, of: 9, trouble: None };
    let files = [(10, state(Place::AtHub, 9)), (11, state(Place::Waiting, 3)), (12, state(Place::Coming, 0))];
    let files = files.map(|(byte, state)| (BlobHash([byte; 32]), state)).into();
    let reader = Reader::new(&schema, &clock).with_names(names).with_files(files);
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
        reach: Some(ReachLine {
            type_name: "work-order".into(),
            id: "018f3c1e-77aa-7000-8000-0123456789ab".into(),
            reach: Reach::new(Stage::Hub, "Saved on Platform 7 14:30 · at hub · on 2 of 3 sites"),
            goes_on: true,
        }),
        errors: vec![],
        sections: reader.sections(&data, &notes),
        history: history(),
        history_total: 14,
        places: Some(Places {
            words: "2 of 3 sites have it".into(),
            rows: vec![
                node(Tone::Wait, "clock", "Boat Alma", "not yet, last seen 3 h ago"),
                node(Tone::Ok, "check", "North clinic", "has it"),
                node(Tone::Ok, "check", "Platform 7", "has it"),
            ],
            more: String::new(),
        }),
        denied: vec![],
        binned: None,
    }
}

/// Every page, by the name of its file.
/// The form of a work order: refused with two answers to put right, or blank.
pub fn form(refused: bool) -> String {
    const CONTEXT: Context = Context { secret: &[7; 32], zone: "+02:00" };
    let (_, schema) = outpost::domain::schema::SAMPLES[0];
    let schema = serde_json::from_str(schema).expect("the sample is JSON");
    let layout = Layout::of(Arc::new(Schema::compile(&schema).expect("the sample is a type")));
    let name = TypeName::custom("work-order").expect("a good name");
    let (id, revision, submission) = (RecordId::from_u128(1), RevisionId(8), SaveId(3));
    let base = Base::new_record(name, id, revision, submission);
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
            let add = Action { verb: Verb::Add, at: "/parts".into(), number: None };
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
