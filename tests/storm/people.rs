//! The types of the storm's records, and what people do to them.

use outpost::domain::ids::{Partition, SaveId, THE_HUB, TypeName};
use outpost::domain::path::{ItemKey, Path};
use outpost::domain::record::{Act, Change, Content, Cover, State, difference, edit_key};
use outpost::domain::schema::Conflict;
use outpost::domain::stamp::Stamp;
use outpost::store::{Held, Judge};
use serde_json::{Value, json};

use crate::dice::Dice;

pub fn note() -> TypeName {
    TypeName::custom("note").expect("a good name")
}

/// Whether the hub does not permit a save of an edge.
pub fn is_denied(save: SaveId) -> bool {
    (save.0 as u64).is_multiple_of(11)
}

/// Its field `site` decides who holds it.
pub fn job() -> TypeName {
    TypeName::custom("job").expect("a good name")
}

/// How many of it a new note counts.
pub const STOCK: i64 = 100;

/// The field of a note that several people write at length.
pub const STORY: &str = "story";

/// What the types say about values that lost.
pub fn policy(path: &Path) -> Conflict {
    match path.to_string().as_str() {
        "/level" => Conflict::Highest,
        "/floor" => Conflict::Lowest,
        "/choice" => Conflict::Ask,
        _ => Conflict::Later,
    }
}

pub struct Fixed;

impl Judge for Fixed {
    fn partition(&self, type_name: &TypeName, document: &Value) -> Partition {
        match type_name.as_str() {
            TypeName::LOST | TypeName::QUARANTINE => {
                Partition(document["partition"].as_str().unwrap_or("_lost").to_owned())
            }
            "job" => Partition::of_value(type_name, document.get("site")),
            _ => Partition::of_type(type_name),
        }
    }

    fn conflict(&self, _: &TypeName, _: Option<outpost::domain::ids::RevisionId>, path: &Path) -> Conflict {
        policy(path)
    }

    fn is_valid(&self, _: &TypeName, _: Option<outpost::domain::ids::RevisionId>, _: &Value) -> Option<bool> {
        Some(true)
    }
}

fn set(state: &State, path: Path, content: Content) -> Change {
    Change { replaces: state.cover(&path), path, act: Act::Set(content) }
}

fn key(dice: &mut Dice) -> ItemKey {
    ItemKey(["a", "b", "c"][dice.below(3) as usize].into())
}

/// A new record as a form would send it.
pub fn creation(dice: &mut Dice) -> (TypeName, Vec<Change>) {
    let nothing = State::default();
    let root = Path::root();
    if dice.chance(40) {
        let site = ["a", "b"][dice.below(2) as usize];
        let record = json!({"site": site, "title": dice.below(100), "state": "open", "result": dice.below(100)});
        return (job(), vec![set(&nothing, root, Content::json(record))]);
    }
    let parts = root.property("parts");
    let item = parts.item(&key(dice));
    let record =
        json!({"title": dice.below(100), "status": "open", "stock": STOCK, "address": {"city": "c", "street": "s"}});
    let changes = vec![
        set(&nothing, root, Content::json(record)),
        set(&nothing, parts, Content::Group),
        set(&nothing, item, Content::json(json!({"part": "p", "count": dice.below(9)}))),
    ];
    (note(), changes)
}

/// What one press of a person changes, given what is in front of them, and the words it takes out of a text.
pub fn edit(dice: &mut Dice, type_name: &TypeName, seen: &State, cuts_units: bool) -> (Vec<Change>, Vec<String>) {
    if *type_name == note() && dice.chance(18) {
        return write(dice, seen);
    }
    (press(dice, type_name, seen, cuts_units), Vec::new())
}

/// The words of a text, whatever is between them: two that were put in at one place at once may touch.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    const LONG: usize = 17;
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            rest = rest.get(rest.find('w')?..)?;
            let (word, after) = rest.split_at_checked(LONG)?;
            if word[1..].bytes().all(|byte| byte.is_ascii_hexdigit()) {
                rest = after;
                return Some(word);
            }
            rest = &rest[1..];
        }
    })
}

/// Puts a word of its own into the text, and sometimes takes one out.
fn write(dice: &mut Dice, seen: &State) -> (Vec<Change>, Vec<String>) {
    let path = Path::root().property(STORY);
    let document = seen.document();
    let text = document.get(&path).and_then(Value::as_str).unwrap_or_default();
    let mut words: Vec<String> = words(text).map(str::to_owned).collect();
    let mut erased = Vec::new();
    if !words.is_empty() && dice.chance(30) {
        erased.push(words.remove(dice.below(words.len() as u64) as usize));
    }
    if erased.is_empty() || dice.chance(50) {
        words.insert(dice.below(words.len() as u64 + 1) as usize, format!("w{:016x}", dice.next()));
    }
    let new: String = words.iter().map(|word| format!("{word} ")).collect();
    let Some(edit) = seen.text_edit(&path, &new) else { return (press(dice, &note(), seen, false), Vec::new()) };
    let path = path.item(&edit_key(&dice.next().to_string()));
    (vec![set(seen, path, Content::json(edit))], erased)
}

fn press(dice: &mut Dice, type_name: &TypeName, seen: &State, cuts_units: bool) -> Vec<Change> {
    let root = Path::root();
    let document = seen.document();
    let here = |path: &Path| document.get(path).is_some();
    let number = |dice: &mut Dice| Content::json(json!(dice.below(1000)));
    if dice.chance(6) {
        let act = Act::Bin(!seen.is_binned());
        return vec![Change { replaces: seen.cover(&root), path: root, act }];
    }
    if *type_name == job() {
        return if dice.chance(25) {
            let site = ["a", "b"][dice.below(2) as usize];
            vec![set(seen, root.property("site"), Content::json(json!(site)))]
        } else if dice.chance(40) {
            finish(dice, seen, cuts_units)
        } else {
            vec![set(seen, root.property("title"), number(dice))]
        };
    }
    let address = root.property("address");
    let parts = root.property("parts");
    let item = parts.item(&key(dice));
    match dice.below(14) {
        0 => vec![set(seen, root.property("status"), number(dice)), set(seen, root.property("title"), number(dice))],
        1 => vec![set(seen, root.property("status"), Content::Absent)],
        2 => vec![set(seen, address.property("city"), number(dice))],
        3 => vec![set(seen, address, Content::json(json!({"city": dice.below(9), "street": "t"})))],
        4 if here(&address) => vec![Change { replaces: seen.cover(&address), path: address, act: Act::Remove }],
        5 if here(&item) => vec![set(seen, item.property("count"), number(dice))],
        6 if here(&item) => vec![Change { replaces: seen.cover(&item), path: item, act: Act::Remove }],
        7 if here(&item) => {
            vec![Change { replaces: Cover::nothing(), path: item, act: Act::Rank(format!("{}", dice.below(9))) }]
        }
        5..8 if !here(&item) => vec![
            set(seen, item.clone(), Content::json(json!({"part": "q", "count": dice.below(9)}))),
            Change { replaces: Cover::nothing(), path: item, act: Act::Rank(format!("{}", dice.below(9))) },
        ],
        11 => vec![set(seen, root.property("level"), number(dice))],
        12 => vec![set(seen, root.property("floor"), number(dice))],
        13 => vec![set(seen, root.property("choice"), number(dice))],
        8 | 9 => {
            let taken = root.property("stock").item(&difference(&dice.next().to_string()));
            vec![set(seen, taken, Content::json(json!(-(dice.below(9) as i64))))]
        }
        _ => vec![set(seen, root.property("title"), number(dice))],
    }
}

/// A job is done and has a result, or it is open; a rule ties the two, so they are written together.
fn finish(dice: &mut Dice, seen: &State, cuts_units: bool) -> Vec<Change> {
    let root = Path::root();
    let document = seen.document();
    let (state, result) = (root.property("state"), root.property("result"));
    let (now, known) = (document.get(&state).cloned(), document.get(&result).cloned());
    let (then, found) = match (dice.below(4), known.clone()) {
        (0, Some(known)) => ("done", Some(known)),
        (0, None) | (1, _) => ("done", Some(json!(dice.below(100)))),
        (2, known) => ("open", known),
        _ => ("open", None),
    };
    let mut changes = Vec::new();
    if !cuts_units || now != Some(json!(then)) {
        changes.push(set(seen, state, Content::json(json!(then))));
    }
    if !cuts_units || known != found || changes.is_empty() {
        changes.push(set(seen, result, found.map_or(Content::Absent, Content::json)));
    }
    changes
}

/// Whether the type says which of two values stands: then another may be written again at the hub at once.
pub fn is_up_to_the_type(path: &Path) -> bool {
    matches!(policy(path), Conflict::Highest | Conflict::Lowest)
}

/// The stamp a save gave one of its records.
pub fn stamp_of(held: &Held, save: SaveId, changes: &[Change]) -> Option<Stamp> {
    let mut found = None;
    let mut note = |stamp: Stamp| {
        if stamp.tag == save.tag() {
            found = Some(stamp);
        }
    };
    for change in changes {
        // at the hub a value may be written over at once, with the same
        let stands = held.state.stamp_at(&change.path);
        let same = match &change.act {
            Act::Set(Content::Json(text)) => crate::memory::equal(held.document.get(&change.path), Some(&text.0)),
            _ => held.document.get(&change.path).is_none(),
        };
        let by_the_hub = same && stands.author.person == THE_HUB;
        note(if by_the_hub { Stamp { tag: save.tag(), ..stands } } else { stands });
        if let Some(place) = held.state.place(&change.path) {
            // at the hub a removal may be written over at once, with the same
            let removed = place.removal.iter().map(|removal| match removal.stamp.author.person {
                THE_HUB if change.act == Act::Remove => Stamp { tag: save.tag(), ..removal.stamp },
                _ => removal.stamp,
            });
            removed.for_each(&mut note);
            place.order.iter().for_each(|order| note(order.stamp));
        }
    }
    if let Some(bin) = &held.state.bin {
        // at the hub it may be written over at once, with the same
        let same = changes.iter().any(|change| change.act == Act::Bin(bin.binned));
        let by_the_hub = same && bin.stamp.author.person == THE_HUB;
        note(if by_the_hub { Stamp { tag: save.tag(), ..bin.stamp } } else { bin.stamp });
    }
    found
}
