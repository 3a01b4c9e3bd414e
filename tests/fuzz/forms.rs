//! Forms of every keyword, and posts of them that are nearly right.

use std::sync::Arc;

use outpost::domain::form::{Base, Context, Form, Input, Layout, Node, Posted, decode};
use outpost::domain::ids::{RecordId, RevisionId, SaveId, TypeName};
use outpost::domain::json;
use outpost::domain::schema::Schema;
use serde_json::{Value, json};

use super::run::Dice;

const SECRET: [u8; 32] = [7; 32];
const CONTEXT: Context = Context { secret: &SECRET, zone: "+01:00" };

/// The forms that are posted to, and what a browser would send of each.
pub struct Forms {
    forms: Vec<(Layout, Base)>,
    pub pairs: Vec<Vec<(String, String)>>,
}

impl Forms {
    pub fn all() -> Self {
        let table: Vec<Value> =
            serde_json::from_str(include_str!("../data/form/answers.json")).expect("the table is JSON");
        let (mut forms, mut pairs) = (Vec::new(), Vec::new());
        for case in table {
            let mut schema = case["schema"].clone();
            schema["type"] = json!("object");
            let layout = Layout::of(Arc::new(Schema::compile(&schema).expect("a good schema")));
            let name = TypeName::custom("thing").expect("a good name");
            let base = Base::new_record(name, RecordId::from_u128(5), RevisionId(6), SaveId(7));
            let form = Form::open(&layout, &base, CONTEXT);
            let mut sent = Vec::new();
            gather(&form.nodes, &mut sent);
            // what the table does is what people do
            for step in case["do"].as_array().into_iter().flatten() {
                let text = |at: usize| step.get(at).and_then(Value::as_str).unwrap_or_default().to_owned();
                match text(0).as_str() {
                    "press" => sent.push(("_do".to_owned(), text(1))),
                    _ => sent.push((text(1), text(2))),
                }
            }
            forms.push((layout, base));
            pairs.push(sent);
        }
        Self { forms, pairs }
    }

    /// Reads a post, changes the form if a button asks for it, and draws it again. Says whether it would have been saved.
    pub fn post(&self, at: usize, pairs: Vec<(String, String)>) -> bool {
        let (layout, base) = &self.forms[at % self.forms.len()];
        let posted = Posted::read(pairs);
        let decoded = decode(layout, base, &posted, CONTEXT);
        assert_eq!(decoded, decode(layout, base, &posted, CONTEXT), "the same post means the same");
        if let Ok(Some(action)) = posted.action() {
            let _ = Form::reshaped(layout, base, &posted, CONTEXT, &action);
        }
        let is_good = decoded.errors.is_empty();
        if is_good {
            assert_eq!(layout.schema().validate(&decoded.candidate.value), [], "what is saved is valid");
            assert!(decoded.candidate.value.is_object());
            assert!(json::equal(&decoded.candidate.value, &json::sorted(decoded.candidate.value.clone())));
        }
        let form = Form::again(layout, base, &posted, CONTEXT, decoded.errors, decoded.standing);
        assert!(is_good || !form.summary.is_empty(), "what is wrong is told");
        is_good
    }
}

/// What a browser sends of the controls that are drawn.
fn gather(nodes: &[Node], pairs: &mut Vec<(String, String)>) {
    for node in nodes {
        match node {
            Node::Section(section) => {
                pairs.extend(section.closing.iter().map(|closing| (closing.marker.clone(), "0".to_owned())));
                gather(&section.nodes, pairs);
            }
            Node::Rows(rows) => {
                pairs.push(rows.marker.clone());
                rows.rows.iter().for_each(|row| gather(&row.nodes, pairs));
            }
            Node::Chooser(chooser) => {
                pairs.push((chooser.name.clone(), String::new()));
                gather(&chooser.nodes, pairs);
            }
            Node::Control(control) => {
                let name = control.head.name.clone();
                match &control.input {
                    Input::Options { options, .. } => {
                        pairs.push((format!("{name}#shown"), "1".to_owned()));
                        pairs.extend(options.first().map(|option| (name, option.token.clone())));
                    }
                    Input::Moment { .. } => pairs.push((format!("{name}#date"), String::new())),
                    _ => pairs.push((name, String::new())),
                }
            }
        }
    }
}

const PARTS: [&str; 12] =
    ["#items", "#name", "#choice", "#type", "#shown", "#date", "#time", "#zone", "#choice-aaaaaa", "#", "/", "/@k"];
const VALUES: [&str; 22] = [
    "",
    "0",
    "1",
    "-1",
    "7",
    "true",
    "/@k1",
    "/@k1/@k1",
    "/@",
    "string",
    "object",
    "array",
    "null",
    "4,5",
    "1e400",
    "x",
    "\u{0}\r\n\u{202e}<script>",
    "2026-02-30",
    "[[\"/v\",[\"x\"]]]",
    "[[\"/v/@k/a\",[\"x\",\"y\"]],[\"_do\",[\"add /v\"]]]",
    "{}",
    "e0",
];
const BUTTONS: [&str; 9] =
    ["add /v", "add ", "remove /v", "remove /v/@k1", "up /v/@k1", "choose /v 0", "choose /v 1", "choose  1", "refresh"];

/// A post that is nearly right.
pub fn mutated(dice: &mut Dice, pairs: &[(String, String)], others: &[Vec<(String, String)>]) -> Vec<(String, String)> {
    let mut pairs = pairs.to_vec();
    for _ in 0..=dice.below(6) {
        let at = dice.below(pairs.len() + 1);
        match dice.below(9) {
            0 if at < pairs.len() => pairs[at].1 = (*dice.of(&VALUES)).to_owned(),
            1 if at < pairs.len() => drop(pairs.remove(at)),
            2 if at < pairs.len() => pairs.push(pairs[at].clone()),
            3 if at < pairs.len() => {
                let name = format!("{}{}", pairs[at].0, dice.of(&PARTS));
                pairs.push((name, (*dice.of(&VALUES)).to_owned()));
            }
            4 => {
                let other = dice.of(others);
                if !other.is_empty() {
                    pairs.push(dice.of(other).clone());
                }
            }
            5 => pairs.push(("_do".to_owned(), (*dice.of(&BUTTONS)).to_owned())),
            6 => pairs.push(("_parked".to_owned(), (*dice.of(&VALUES)).to_owned())),
            7 if at < pairs.len() => {
                // keys of rows that this form made
                let made = pairs
                    .iter()
                    .find_map(|(name, _)| name.split('/').find(|step| step.len() > 6 && step.starts_with('@')));
                let key = made.unwrap_or("@k1").to_owned();
                pairs[at].1 = format!("/{key}");
            }
            _ => {
                let deep = "/v".repeat(dice.below(80));
                pairs.push((deep, (*dice.of(&VALUES)).to_owned()));
            }
        }
    }
    pairs
}
