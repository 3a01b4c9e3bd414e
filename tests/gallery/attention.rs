//! What waits for a person: lost values, what was not accepted, a type that is tried.

use super::*;

pub fn design(frame: Frame) -> DesignPage {
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

pub fn denied(may_decide: bool) -> Denied {
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

pub fn denied_creation() -> Denied {
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

pub fn attention(frame: Frame) -> AttentionPage {
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
                    keep_words: "Fine as it is".into(),
                    asks: false,
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
