//! Every page, by the name of its picture.

use super::*;

pub fn pages() -> Vec<(&'static str, String)> {
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
            places: None,
            reach: Some(ReachLine {
                type_name: "work-order".into(),
                id: "018f3c1e-77aa-7000-8000-0123456789ab".into(),
                reach: Reach::new(Stage::Here, "Saved here 14:32, not yet at hub"),
                goes_on: true,
            }),
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
    for (name, stage) in
        [("keywords", State::Blank), ("keywords-filled", State::Filled), ("keywords-refused", State::Refused)]
    {
        add(
            name,
            FormPage {
                frame: edge(here()),
                type_: work_orders(),
                record: None,
                heading: "New site visit".into(),
                body: Markup(every(stage)),
            }
            .render(),
        );
    }

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
