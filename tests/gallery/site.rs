//! The hub, its edges, its people.

use super::*;

pub fn node(tone: Tone, icon: &'static str, name: &str, words: &str) -> NodeRow {
    NodeRow { tone, icon, name: name.into(), words: words.into() }
}

pub fn home(frame: Frame) -> HomePage {
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

pub fn samples() -> Vec<Sample> {
    let sample = |who: &str, email: &str| Sample { who: who.into(), email: email.into(), password: "harbour".into() };
    vec![
        sample("Tomás, plans the work", "tomas@demo.example"),
        sample("Ingrid, on the platform", "ingrid@demo.example"),
    ]
}

pub fn post(action: &str, verb: &'static str, words: &str, kind: &'static str) -> Post {
    Post { action: action.into(), csrf: "c5rf-t0ken".into(), verb, words: words.into(), kind, ..Post::default() }
}

pub fn edge_sync() -> SyncPage {
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
            noticed: Some("That was noticed at 13:01. All that was saved on either copy is kept; if one of them runs that nobody meant to run, give it up.".into()),
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
        peers: Some(PeersCard {
            rows: vec![
                PeerRow {
                    name: "Platform 9 at http://192.168.1.20:8080".into(),
                    url: "http://192.168.1.20:8080".into(),
                    tone: Tone::Ok,
                    icon: "edge",
                    words: "Connected since 13:05, last heard 14:31, 12 saves came from it".into(),
                },
                PeerRow {
                    name: "http://192.168.1.21:8080".into(),
                    url: "http://192.168.1.21:8080".into(),
                    tone: Tone::Wait,
                    icon: "cut",
                    words: "Out of reach since 13:20, not heard yet. It cannot be reached: connection refused.".into(),
                },
            ],
            words: "The hub names Platform 9, Boat Alma here. While it is away, what is new comes from them directly.".into(),
            may_change: true,
            ..PeersCard::default()
        }),
        nodes: vec![node(Tone::Wait, "hub", "Tern Bay hub", "last spoke 13:05"), node(Tone::Ok, "edge", "Platform 7", "this node")],
        contacts: vec![
            Happening { tone: Tone::Wait, what: "No answer from the hub, 9 tries".into(), at: when("2026-05-14T12:31:00Z"), ..Happening::default() },
            Happening { what: "Sent 11, fetched 46, then cut".into(), at: when("2026-05-14T11:05:00Z"), ..Happening::default() },
        ],
        ..SyncPage::default()
    }
}

pub fn hub_sync() -> SyncPage {
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

pub fn holds(id: &str) -> Holds {
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
        site: "Tern Bay".into(),
        relays: true,
        error: None,
    }
}

pub fn nodes_page() -> NodesPage {
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

pub fn users_page() -> UsersPage {
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

pub fn demo(is_up: bool) -> DemoPage {
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

pub fn api_docs() -> outpost::views::api_docs::ApiDocs {
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
