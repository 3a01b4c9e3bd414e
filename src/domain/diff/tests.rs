use serde_json::json;

use super::*;
use crate::domain::clock::Hlc;
use crate::domain::ids::SaveId;
use crate::domain::record::EffectKind;
use crate::domain::stamp::{Author, Stamp};

fn schema() -> Schema {
    Schema::compile(&json!({
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "address": {"type": "object", "properties": {"city": {"type": "string"}, "street": {"type": "string"}}},
            "systolic": {"type": "number"},
            "diastolic": {"type": "number"},
            "parts": {"type": "array", "items": {"type": "object", "properties": {
                "name": {"type": "string"}, "quantity": {"type": "number"},
                "notes": {"type": "array", "items": {"type": "object", "properties": {"text": {"type": "string"}}}}
            }}}
        },
        "dependentRequired": {"systolic": ["diastolic"], "diastolic": ["systolic"]}
    }))
    .expect("a good schema")
}

fn keys() -> impl FnMut(&Path, usize) -> ItemKey {
    let mut count = 0;
    move |_, _| {
        count += 1;
        ItemKey(format!("k{count}"))
    }
}

fn stamp(at: i64) -> Stamp {
    Stamp::new(Hlc::at(at), Author::default(), SaveId((at as u128) << 96))
}

fn save(state: &mut State, at: i64, changes: &[Change]) {
    state.apply(changes, stamp(at), at as u64, &|_, _| false);
}

fn created(value: Value) -> State {
    let mut state = State::default();
    save(&mut state, 1, &create(&schema(), value, &mut keys()));
    state
}

/// What a merge patch writes: the places, and the kind of act.
fn patched(state: &State, patch: Value) -> Vec<String> {
    let mut names = keys();
    let candidate = apply_merge_patch(&schema(), &state.document(), &patch, &mut |place, n| {
        ItemKey(format!("new{}", names(place, n).0))
    });
    changes(&schema(), state, &candidate, "once")
        .into_iter()
        .map(|change| {
            let act = match change.act {
                Act::Set(Content::Absent) => "absent",
                Act::Set(Content::Group) => "group",
                Act::Set(Content::Json(_)) => "set",
                Act::Rank(_) => "rank",
                Act::Remove => "remove",
                Act::Bin(_) => "bin",
            };
            format!("{act} {}", change.path)
        })
        .collect()
}

#[test]
fn only_what_differs_is_written() {
    let state = created(json!({"title": "a", "tags": ["x"], "n": 1.0, "address": {"city": "Bergen"},
        "parts": [{"name": "seal", "quantity": 1}, {"name": "oil"}]}));
    let none: [&str; 0] = [];
    assert_eq!(patched(&state, json!({})), none);
    assert_eq!(patched(&state, json!({"title": "a", "n": 1, "address": {"city": "Bergen"}})), none);
    assert_eq!(patched(&state, json!({"title": "b"})), ["set /title"]);
    assert_eq!(patched(&state, json!({"title": null})), ["absent /title"]);
    assert_eq!(patched(&state, json!({"tags": ["x", "y"]})), ["set /tags"]);
    assert_eq!(patched(&state, json!({"address": {"street": "Torget"}})), ["set /address/street"]);
    assert_eq!(patched(&state, json!({"address": null})), ["remove /address"]);
    assert_eq!(patched(&state, json!({"other": {"a": [1]}})), ["set /other"]);
    let parts = [json!({"name": "seal", "quantity": 1}), json!({"name": "oil"})];
    assert_eq!(patched(&state, json!({"parts": [parts[1], parts[0]]})), ["rank /parts/@k2"]);
    assert_eq!(patched(&state, json!({"parts": [parts[0]]})), ["remove /parts/@k2"]);
    assert_eq!(patched(&state, json!({"parts": null})), ["remove /parts/@k1", "remove /parts/@k2", "remove /parts"]);
    assert_eq!(
        patched(&state, json!({"parts": [{"name": "seal", "quantity": 2}, parts[1]]})),
        ["set /parts/@k1/quantity"]
    );
    assert_eq!(
        patched(&state, json!({"parts": [parts[0], parts[1], {"name": "bolt"}]})),
        ["set /parts/@newk1", "rank /parts/@newk1"]
    );
}

#[test]
fn a_group_that_was_not_there_is_made_with_its_items() {
    let state = created(json!({"title": "a"}));
    assert_eq!(
        patched(&state, json!({"parts": [{"name": "seal", "notes": [{"text": "worn"}]}]})),
        [
            "group /parts",
            "set /parts/@newk1",
            "group /parts/@newk1/notes",
            "set /parts/@newk1/notes/@newk2",
            "rank /parts/@newk1/notes/@newk2",
            "rank /parts/@newk1"
        ]
    );
    assert_eq!(patched(&state, json!({"parts": []})), ["group /parts"]);
}

#[test]
fn an_object_that_never_was_there_is_added_field_by_field_and_one_that_was_as_a_whole() {
    let mut state = created(json!({"title": "a"}));
    assert_eq!(patched(&state, json!({"address": {"city": "Oslo"}})), ["set /address/city"]);
    assert_eq!(patched(&state, json!({"address": {}})), ["set /address"]);
    for (at, patch) in [(2, json!({"address": {"city": "Oslo", "x": 1}})), (3, json!({"address": null}))] {
        let candidate = apply_merge_patch(&schema(), &state.document(), &patch, &mut keys());
        let changes = changes(&schema(), &state, &candidate, "once");
        save(&mut state, at, &changes);
    }
    assert_eq!(state.document().value, json!({"title": "a"}));
    assert_eq!(patched(&state, json!({"address": {"city": "Oslo"}})), ["set /address"]);
}

#[test]
fn what_a_rule_ties_together_is_written_together() {
    let state = created(json!({"systolic": 120, "diastolic": 80}));
    assert_eq!(patched(&state, json!({"systolic": 130})), ["set /systolic", "set /diastolic"]);
    assert_eq!(patched(&created(json!({})), json!({"systolic": 1, "diastolic": 2})).len(), 2);
    let change = &changes(
        &schema(),
        &state,
        &apply_merge_patch(&schema(), &state.document(), &json!({"systolic": 130}), &mut keys()),
        "once",
    )[1];
    assert_eq!(change.replaces.all, stamp(1));
}

#[test]
fn a_place_that_was_removed_is_not_brought_back_by_a_rule() {
    let schema = Schema::compile(&json!({
        "properties": {
            "kind": {"type": "string"},
            "hot": {"type": "object", "properties": {"permit": {"type": "string"}}}
        },
        "if": {"required": ["kind"]}, "then": {"required": ["hot"]}
    }))
    .expect("a good schema");
    let mut state = State::default();
    save(&mut state, 1, &create(&schema, json!({"hot": {"permit": "p", "more": 1}}), &mut keys()));
    for (at, patch) in [(2, json!({"hot": null})), (3, json!({"other": 1}))] {
        let candidate = apply_merge_patch(&schema, &state.document(), &patch, &mut keys());
        let changes = changes(&schema, &state, &candidate, "once");
        save(&mut state, at, &changes);
    }
    let candidate = Document::new(json!({"other": 1, "kind": "x", "hot": {}}));
    let made = changes(&schema, &state, &candidate, "once");
    save(&mut state, 4, &made);
    let candidate = Document::new(json!({"other": 1}));
    let made = changes(&schema, &state, &candidate, "once");
    save(&mut state, 5, &made);
    assert_eq!(state.document().value, json!({"other": 1}));
}

#[test]
fn items_are_found_again_by_what_is_in_them() {
    let old = json!({"parts": [{"name": "a", "quantity": 1}, {"name": "b", "quantity": 2}, {"name": "c"}]});
    let base = match_items(&schema(), &Document::default(), old, &mut keys());
    let find = |new: Value| {
        let mut count = 10;
        let found = match_items(&schema(), &base, json!({"parts": new}), &mut |_, _| {
            count += 1;
            ItemKey(format!("k{count}"))
        });
        found.keys[&Path::root().property("parts")].iter().map(|key| key.0.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        find(json!([{"name": "c"}, {"name": "b", "quantity": 2.0}, {"name": "a", "quantity": 1}])),
        ["k3", "k2", "k1"]
    );
    assert_eq!(find(json!([{"name": "new"}, {"name": "a", "quantity": 5}])), ["k11", "k1"]);
    assert_eq!(find(json!([{"name": "x"}, {"name": "y"}])), ["k1", "k2"]);
    assert_eq!(find(json!([{"name": "a", "quantity": 1}, {"name": "a", "quantity": 1}])), ["k1", "k2"]);
}

#[test]
fn a_json_patch_reaches_items_by_key_and_by_position() {
    let base = match_items(
        &schema(),
        &Document::default(),
        json!({"title": "a", "tags": ["x", "y"], "parts": [{"name": "seal"}, {"name": "oil"}]}),
        &mut keys(),
    );
    let apply = |ops: Value| apply_json_patch(&schema(), &base, &ops, &mut |_, n| ItemKey(format!("n{n}")));
    let done = apply(json!([
        {"op": "test", "path": "/parts/@k2/name", "value": "oil"},
        {"op": "replace", "path": "/parts/@k2/name", "value": "grease"},
        {"op": "add", "path": "/parts/-", "value": {"name": "bolt"}},
        {"op": "move", "from": "/parts/1", "path": "/parts/0"},
        {"op": "copy", "from": "/parts/@k1", "path": "/parts/-"},
        {"op": "remove", "path": "/tags/0"},
        {"op": "add", "path": "/tags/1", "value": null},
        {"op": "add", "path": "/a~1b", "value": 1}
    ]))
    .expect("a good patch");
    assert_eq!(
        done.value,
        json!({"a/b": 1, "parts": [{"name": "grease"}, {"name": "seal"}, {"name": "bolt"}, {"name": "seal"}],
            "tags": ["y", null], "title": "a"})
    );
    let names: Vec<&str> = done.keys[&Path::root().property("parts")].iter().map(|key| key.0.as_str()).collect();
    assert_eq!(names, ["k2", "k1", "n2", "n3"]);
    for (ops, at, keyword) in [
        (json!({}), "", "patch"),
        (json!([{"path": "/title"}]), "/0/op", "patch"),
        (json!([{"op": "frobnicate", "path": "/title"}]), "/0/op", "patch"),
        (json!([{"op": "remove", "path": "title"}]), "/0/path", "patch"),
        (json!([{"op": "remove", "path": "/nothing"}]), "/0/path", "patch"),
        (json!([{"op": "remove", "path": "/parts/@k9"}]), "/0/path", "patch"),
        (json!([{"op": "remove", "path": "/parts/2"}]), "/0/path", "patch"),
        (json!([{"op": "remove", "path": "/parts/01"}]), "/0/path", "patch"),
        (json!([{"op": "remove", "path": ""}]), "/0/path", "patch"),
        (json!([{"op": "add", "path": "/parts/7", "value": 1}]), "/0/path", "patch"),
        (json!([{"op": "add", "path": "/x"}]), "/0/value", "patch"),
        (json!([{"op": "move", "from": "/parts", "path": "/parts/0/in"}]), "/0/path", "patch"),
        (json!([{"op": "copy", "from": "/none", "path": "/x"}]), "/0/from", "patch"),
        (
            json!([{"op": "test", "path": "/title", "value": "a"}, {"op": "test", "path": "/title", "value": "b"}]),
            "/1",
            "test",
        ),
    ] {
        let error = apply(ops.clone()).expect_err("a bad patch");
        assert_eq!((error.pointer.as_str(), error.keyword.as_str()), (at, keyword), "{ops}");
    }
}

#[test]
fn an_array_without_keys_where_there_is_a_group_now_is_converted() {
    let plain = [Change {
        path: Path::root(),
        act: Act::Set(Content::json(json!({"parts": [{"name": "a"}, {"name": "b"}]}))),
        replaces: Default::default(),
    }];
    let mut state = State::default();
    save(&mut state, 1, &plain);
    assert_eq!(patched(&state, json!({"title": "x"})), ["set /title"]);
    let acts = patched(&state, json!({"parts": [{"name": "a"}]}));
    assert_eq!(acts, ["group /parts", "set /parts/@newk1", "rank /parts/@newk1"]);
    assert_eq!(patched(&state, json!({"parts": null})), ["absent /parts"]);
}

#[test]
fn history_taken_back_gives_the_original() {
    let original = json!({"title": "a", "address": {"city": "Oslo"}, "parts": [{"name": "a"}, {"name": "b"}]});
    let mut state = created(original.clone());
    let mut lines = Vec::new();
    for (at, patch) in [
        (2, json!({"title": null, "parts": [{"name": "a", "quantity": 2}]})),
        (3, json!({"address": null, "x": 1})),
        (4, json!({"parts": null})),
    ] {
        let candidate = apply_merge_patch(&schema(), &state.document(), &patch, &mut keys());
        let changes = changes(&schema(), &state, &candidate, "once");
        let applied = state.apply(&changes, stamp(at), at as u64, &|_, _| false);
        lines.splice(0..0, applied.effects.into_iter().rev());
    }
    let now = state.document();
    let undone = undo(&now, lines.iter().map(|line| (&line.path, line.act, line.old.as_ref())));
    assert!(json::equal(&undone, &original), "{undone}");
    assert!(lines.iter().all(|line| line.act == EffectKind::Changed));
}

fn tagged() -> Schema {
    let tags = json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true, "minItems": 1});
    Schema::compile(&json!({"properties": {"title": {"type": "string"}, "tags": tags}})).expect("a good schema")
}

/// What somebody writes who makes `tags` of what they see.
fn retagged(seen: &State, tags: Value) -> Vec<Change> {
    let candidate = apply_merge_patch(&tagged(), &seen.document(), &json!({"tags": tags}), &mut keys());
    changes(&tagged(), seen, &candidate, "once")
}

fn tags_of(state: &State) -> Value {
    state.document().value["tags"].clone()
}

#[test]
fn entries_that_two_people_add_to_a_set_are_both_there_and_the_same_one_only_once() {
    let mut base = State::default();
    save(&mut base, 1, &create(&tagged(), json!({"tags": ["a", "b"]}), &mut keys()));
    for (mine, theirs, both) in [
        (json!(["a", "b", "c"]), json!(["a", "b", "d"]), json!(["a", "b", "c", "d"])),
        (json!(["a", "b", "c"]), json!(["a", "b", "c"]), json!(["a", "b", "c"])),
        (json!(["a"]), json!(["b"]), json!([])),
        (json!(["c"]), json!(["d"]), json!(["c", "d"])),
        (json!(["b", "a"]), json!(["a", "b", "c"]), json!(["b", "a", "c"])),
    ] {
        let (first, second) = (retagged(&base, mine), retagged(&base, theirs));
        let mut one = base.clone();
        save(&mut one, 2, &first);
        let applied = one.apply(&second, stamp(3), 3, &|_, _| false);
        assert!(applied.lost.is_empty(), "{:?}", applied.lost);
        let mut other = base.clone();
        save(&mut other, 3, &second);
        save(&mut other, 2, &first);
        assert_eq!(one.document(), other.document());
        assert_eq!(tags_of(&one), both);
    }
}

#[test]
fn an_entry_that_is_added_again_while_another_removes_it_stays() {
    let mut base = State::default();
    save(&mut base, 1, &create(&tagged(), json!({"tags": ["a", "b"]}), &mut keys()));
    let mut mine = base.clone();
    save(&mut mine, 2, &retagged(&base, json!(["a"])));
    assert_eq!(tags_of(&mine), json!(["a"]));
    let back = retagged(&mine, json!(["a", "b"]));
    let removed = retagged(&base, json!(["a"]));
    save(&mut mine, 3, &back);
    save(&mut mine, 4, &removed);
    assert_eq!(tags_of(&mine), json!(["a", "b"]), "who removed it had not seen that it was added again");
    let gone = retagged(&mine, json!(["a"]));
    save(&mut mine, 5, &gone);
    assert_eq!(tags_of(&mine), json!(["a"]), "and whoever has seen it can");
}

#[test]
fn a_set_is_written_entry_by_entry_and_a_list_that_repeats_as_a_whole() {
    let mut state = State::default();
    save(&mut state, 1, &create(&tagged(), json!({"tags": ["a", "a"]}), &mut keys()));
    assert_eq!(tags_of(&state), json!(["a", "a"]), "what is not valid is kept as it is");
    assert!(!state.document().is_group(&Path::root().property("tags")));
    let mended = retagged(&state, json!(["a", "long enough to be named by its hash instead of its text"]));
    save(&mut state, 2, &mended);
    let keys = &state.document().keys[&Path::root().property("tags")];
    assert_eq!(keys[0].0, "\"a\"");
    assert!(keys[1].0.starts_with('#'), "{keys:?}");
    let written =
        |tags: Value| -> Vec<String> { retagged(&state, tags).iter().map(|change| change.path.to_string()).collect() };
    assert_eq!(written(json!(["a", "b"])).len(), 3, "one goes, one comes and has its place");
    assert_eq!(written(json!(["a", "a"])), ["/tags"]);
    let candidate = apply_json_patch(
        &tagged(),
        &state.document(),
        &json!([{"op": "remove", "path": "/tags/@\"a\""}, {"op": "add", "path": "/tags/-", "value": "b"}]),
        &mut self::keys(),
    );
    assert_eq!(candidate.expect("a good patch").value["tags"][1], json!("b"));
}

fn counting() -> Schema {
    Schema::compile(&json!({"properties": {
        "stock": {"type": "number", "x-merge": "counter"},
        "parts": {"type": "array", "items": {"type": "object", "properties": {
            "used": {"type": "integer", "x-merge": "counter"}}}}
    }}))
    .expect("a good schema")
}

fn counted(state: &State, patch: Value, once: &str) -> Vec<Change> {
    let candidate = apply_merge_patch(&counting(), &state.document(), &patch, &mut keys());
    changes(&counting(), state, &candidate, once)
}

#[test]
fn what_two_people_take_away_at_once_is_taken_away_twice_and_what_comes_twice_only_once() {
    let mut base = State::default();
    save(&mut base, 1, &create(&counting(), json!({"stock": 10.5}), &mut keys()));
    let mine = counted(&base, json!({"stock": 8}), "mine");
    let theirs = counted(&base, json!({"stock": 9.25}), "theirs");
    let mut state = base.clone();
    save(&mut state, 2, &mine);
    assert_eq!(state.document().value, json!({"stock": 8}));
    let applied = state.apply(&theirs, stamp(3), 3, &|_, _| false);
    assert_eq!(state.document().value.to_string(), r#"{"stock":6.75}"#);
    assert!(applied.lost.is_empty(), "{:?}", applied.lost);
    let effect = &applied.effects[0];
    assert_eq!((effect.path.to_string().as_str(), effect.act), ("/stock", EffectKind::Changed));
    assert_eq!((effect.old.clone(), effect.new.clone()), (Some(json!(8)), Some(json!(6.75))), "told as what it did");
    // the same again, as it was or with another stamp
    save(&mut state, 2, &mine);
    save(&mut state, 4, &mine);
    assert_eq!(state.document().value, json!({"stock": 6.75}));
    let mut other = base.clone();
    for (at, changes) in [(4, &mine), (3, &theirs), (2, &mine)] {
        save(&mut other, at, changes);
    }
    assert_eq!(hash(&other), hash(&state));
    assert!(counted(&state, json!({"stock": 6.750}), "none").is_empty());

    // someone who says that there is none at all has seen what stood there, and differences to that are gone with it
    let cleared = counted(&state, json!({"stock": null}), "x");
    assert_eq!(cleared[0].act, Act::Set(Content::Absent));
    save(&mut state, 9, &cleared);
    assert_eq!(state.document().value, json!({}));
    let begun = counted(&state, json!({"stock": 3}), "y");
    save(&mut state, 10, &begun);
    assert_eq!(state.document().value, json!({"stock": 3}));
}

fn hash(state: &State) -> crate::domain::record::hash::Hash {
    state.hash(&"note".parse().expect("a name"), uuid::Uuid::nil(), &state.document().value)
}

#[test]
fn numbers_in_items_count_too_and_survive_a_disk() {
    use crate::domain::record::pack::{Dictionary, Values, pack, unpack};
    let mut state = State::default();
    save(&mut state, 1, &create(&counting(), json!({"stock": 1, "parts": [{"used": 2}, {"used": 5}]}), &mut keys()));
    let candidate = |operations, once| {
        let made = apply_json_patch(&counting(), &state.document(), &operations, &mut keys());
        changes(&counting(), &state, &made.expect("a good patch"), once)
    };
    let used = |value| json!({"op": "replace", "path": "/parts/0/used", "value": value});
    let one = candidate(json!([used(3)]), "a");
    let two = candidate(json!([used(12), {"op": "replace", "path": "/stock", "value": 0}]), "b");
    save(&mut state, 2, &one);
    save(&mut state, 3, &two);
    assert_eq!(state.document().value, json!({"parts": [{"used": 13}, {"used": 5}], "stock": 0}));
    for values in [Values::Beside, Values::Inline] {
        let mut dictionary = Dictionary::default();
        let packed = pack(&state, 9, values, &mut dictionary);
        let document = Some(state.document().value).filter(|_| values == Values::Beside);
        let read = unpack(&packed, 9, document, &dictionary).expect("what was packed");
        assert_eq!(read.document(), state.document());
        assert_eq!(hash(&read), hash(&state));
    }
}

fn telling() -> Schema {
    Schema::compile(&json!({"properties": {
        "story": {"type": "string", "x-merge": "text"},
        "parts": {"type": "array", "items": {"type": "object", "properties": {
            "name": {"type": "string"}, "note": {"type": "string", "x-merge": "text"}}}}
    }}))
    .expect("a good schema")
}

fn told(state: &State, patch: Value, once: &str) -> Vec<Change> {
    let candidate = apply_merge_patch(&telling(), &state.document(), &patch, &mut keys());
    changes(&telling(), state, &candidate, once)
}

fn story(text: &str) -> State {
    let mut state = State::default();
    save(&mut state, 1, &create(&telling(), json!({"story": text}), &mut keys()));
    state
}

/// The text after these saves, in this order and in the other.
fn woven(base: &State, saves: &[(i64, &Vec<Change>)]) -> Value {
    let run = |saves: &mut dyn Iterator<Item = &(i64, &Vec<Change>)>| {
        let mut state = base.clone();
        saves.for_each(|(time, changes)| save(&mut state, *time, changes));
        state
    };
    let one = run(&mut saves.iter());
    let other = run(&mut saves.iter().rev().chain(saves));
    assert_eq!(hash(&one), hash(&other));
    assert_eq!(one.document(), other.document());
    one.document().value["story"].clone()
}

#[test]
fn two_people_who_edit_one_text_both_keep_their_edits() {
    let base = story("The pump is loud. The valve is shut.");
    let mine = told(&base, json!({"story": "The old pump is loud. The valve is shut."}), "mine");
    let theirs = told(&base, json!({"story": "The pump is loud. The valve is open. Call me."}), "theirs");
    assert_eq!(mine.len(), 1);
    assert!(matches!(&mine[0].act, Act::Set(Content::Json(_))) && mine[0].path.0.len() == 2, "one edit: {mine:?}");
    let both = woven(&base, &[(2, &mine), (3, &theirs)]);
    assert_eq!(both, json!("The old pump is loud. The valve is open. Call me."));

    let mut state = base.clone();
    save(&mut state, 2, &mine);
    let applied = state.apply(&theirs, stamp(3), 3, &|_, _| false);
    assert!(applied.lost.is_empty(), "{:?}", applied.lost);
    let effect = &applied.effects[0];
    assert_eq!((effect.path.to_string().as_str(), effect.act), ("/story", EffectKind::Changed));
    assert_eq!(effect.old, Some(json!("The old pump is loud. The valve is shut.")));
    assert_eq!(effect.new, Some(both));
    assert!(told(&state, json!({"story": state.document().value["story"]}), "none").is_empty());
    let older = told(&state, json!({"story": "The old pump is loud. The valve is shut."}), "back");
    assert_eq!(older[0].path.0.len(), 2, "going back to an older text is an edit, too");
}

#[test]
fn what_two_people_put_into_one_place_both_stays() {
    let base = story("Seen today:");
    let mine = told(&base, json!({"story": "Seen today: a leak."}), "mine");
    let theirs = told(&base, json!({"story": "Seen today: rust."}), "theirs");
    let both = woven(&base, &[(2, &mine), (3, &theirs)]);
    assert!(both == json!("Seen today: a leak. rust.") || both == json!("Seen today: rust. a leak."), "{both}");

    let gone = told(&base, json!({"story": "Seen:"}), "gone");
    assert_eq!(woven(&base, &[(2, &mine), (3, &gone)]), json!("Seen: a leak."));

    let begun = {
        let mut state = State::default();
        save(&mut state, 1, &create(&telling(), json!({}), &mut keys()));
        state
    };
    let mine = told(&begun, json!({"story": "One."}), "mine");
    let theirs = told(&begun, json!({"story": "Two."}), "theirs");
    let both = woven(&begun, &[(2, &mine), (3, &theirs)]);
    assert!(both == json!("One.Two.") || both == json!("Two.One."), "{both}");
}

#[test]
fn a_text_that_is_written_whole_meanwhile_keeps_what_was_put_into_the_one_before() {
    let base = story("The pump is loud.");
    let edit = told(&base, json!({"story": "The pump is loud and hot."}), "edit");
    let path = Path::root().property("story");
    let whole = |text: &str| {
        let act = Act::Set(Content::json(json!(text)));
        vec![Change { replaces: base.cover(&path), path: path.clone(), act }]
    };
    // by a program of before, or under a publication where the text was a plain value
    let other = whole("Since May the pump is loud. Look at it.");
    assert_eq!(woven(&base, &[(2, &other), (3, &edit)]), json!("Since May the pump is loud and hot. Look at it."));

    let mut state = base.clone();
    save(&mut state, 3, &other);
    let late = state.apply(&edit, stamp(2), 2, &|_, _| false);
    assert_eq!(late.lost.len(), 1, "{:?}", late.lost);
    assert_eq!(late.lost[0].path, path);
    assert_eq!(late.lost[0].value, Some(json!("Since May the pump is loud and hot. Look at it.")));

    let mut state = base.clone();
    save(&mut state, 2, &edit);
    let later = state.apply(&other, stamp(3), 3, &|_, _| false);
    assert_eq!(later.lost.len(), 1, "{:?}", later.lost);
    assert_eq!((&later.lost[0].path, &later.lost[0].value), (&path, &Some(json!("The pump is loud and hot."))));
    assert_eq!(state.document().value["story"], json!("Since May the pump is loud. Look at it."));

    // who edits the text now begins from what shows
    let mut state = base.clone();
    save(&mut state, 2, &other);
    save(&mut state, 3, &edit);
    let next = told(&state, json!({"story": "Since May it is loud and hot. Look at it."}), "next");
    save(&mut state, 4, &next);
    assert_eq!(state.document().value["story"], json!("Since May it is loud and hot. Look at it."));

    // cleared by one, added to by another: what was added is there
    let cleared = vec![Change { replaces: base.cover(&path), path: path.clone(), act: Act::Set(Content::Absent) }];
    assert_eq!(woven(&base, &[(2, &cleared), (3, &edit)]), json!(" and hot"));
}

#[test]
fn a_form_that_comes_twice_with_more_text_says_it_once() {
    let base = story("One.");
    let first = told(&base, json!({"story": "One. Two."}), "form");
    let again = told(&base, json!({"story": "One. Two. Three."}), "form");
    assert_eq!(woven(&base, &[(2, &first), (3, &again)]), json!("One. Two. Three."));
    let mut state = base.clone();
    save(&mut state, 2, &first);
    let applied = state.apply(&again, stamp(3), 3, &|_, _| false);
    assert!(applied.lost.is_empty(), "{:?}", applied.lost);
}

#[test]
fn texts_in_items_survive_a_disk_and_many_edits_begin_anew() {
    use crate::domain::record::pack::{Dictionary, Values, pack, unpack};
    let mut state = State::default();
    let made = create(&telling(), json!({"parts": [{"name": "a", "note": "tight"}, {"name": "b"}]}), &mut keys());
    save(&mut state, 1, &made);
    let mut folded = 0;
    for number in 0..900i64 {
        let note = format!("word {number} {}", "and more of it ".repeat(number as usize % 7));
        let place = format!("/parts/{}/note", number % 2);
        let operations = json!([{"op": "add", "path": place, "value": note}]);
        let candidate =
            apply_json_patch(&telling(), &state.document(), &operations, &mut keys()).expect("a good patch");
        let changes = changes(&telling(), &state, &candidate, &format!("save {number}"));
        folded += usize::from(changes.iter().any(|change| change.path.0.len() == 3));
        save(&mut state, number + 2, &changes);
        assert_eq!(state.document().value["parts"][number as usize % 2]["note"], json!(note));
        if number % 100 == 7 {
            for values in [Values::Beside, Values::Inline] {
                let mut dictionary = Dictionary::default();
                let packed = pack(&state, 999, values, &mut dictionary);
                let document = Some(state.document().value).filter(|_| values == Values::Beside);
                let read = unpack(&packed, 999, document, &dictionary).expect("what was packed");
                assert_eq!(read.document(), state.document());
                assert_eq!(hash(&read), hash(&state));
                assert!(packed.len() < 200_000, "{} bytes", packed.len());
                state = read;
            }
        }
    }
    assert!(folded > 0, "a text with many edits is written whole");
}
