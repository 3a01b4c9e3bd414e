//! Forms without HTTP: opening and drawing one of 300 fields and one of 500 items, and what a post of 30 fields costs from the pairs to the changes.

use std::hint::black_box;
use std::sync::Arc;

use askama::Template;
use criterion::{Criterion, criterion_group, criterion_main};
use outpost::domain::clock::Hlc;
use outpost::domain::diff;
use outpost::domain::form::{Base, Context, Form, Layout, Node, Posted, decode};
use outpost::domain::ids::{RecordId, RevisionId, SaveId, TypeName};
use outpost::domain::path::ItemKey;
use outpost::domain::record::State;
use outpost::domain::schema::Schema;
use outpost::domain::stamp::{Author, Stamp};
use outpost::views::form::FormView;
use serde_json::{Map, Value, json};

const SECRET: [u8; 32] = [7; 32];
const CONTEXT: Context = Context { secret: &SECRET, zone: "Z" };

/// A type of so many fields of the usual kinds, and a record of it.
fn of(count: usize) -> (Layout, State) {
    let (mut properties, mut record) = (Map::new(), Map::new());
    for n in 0..count {
        let (schema, value): (Value, Value) = match n % 6 {
            0 => (
                json!({"type": "string", "title": format!("Field {n}"), "description": "What you see."}),
                json!("as good as new"),
            ),
            1 => (json!({"type": "number", "minimum": 0, "x-unit": "kg"}), json!(12.5)),
            2 => (json!({"enum": ["open", "doing", "done"]}), json!("doing")),
            3 => (json!({"type": "string", "format": "date"}), json!("2026-05-14")),
            4 => (json!({"type": ["boolean", "null"]}), json!(true)),
            _ => (json!({"type": "string", "maxLength": 500}), json!("two\nlines")),
        };
        properties.insert(format!("field_{n}"), schema);
        record.insert(format!("field_{n}"), value);
    }
    let schema = json!({"type": "object", "required": ["field_0"], "properties": properties});
    let layout = Layout::of(Arc::new(Schema::compile(&schema).expect("a good schema")));
    let changes = diff::create(layout.schema(), Value::Object(record), &mut |_, n| ItemKey(format!("k{n}")));
    let mut state = State::default();
    state.apply(&changes, Stamp::new(Hlc::at(1), Author::default(), SaveId(1 << 100)), 1, &|_, _| false);
    (layout, state)
}

/// A type with a repeated group, and a record with so many items.
fn of_items(count: usize) -> (Layout, State) {
    let item = json!({"type": "object", "required": ["part"], "properties": {
        "part": {"type": "string"}, "quantity": {"type": "number"}, "unit": {"enum": ["pieces", "litres", "metres"]},
        "due": {"type": "string", "format": "date"}, "done": {"type": "boolean"}}});
    let schema = json!({"type": "object", "properties": {"parts": {"type": "array", "items": item}}});
    let layout = Layout::of(Arc::new(Schema::compile(&schema).expect("a good schema")));
    let item =
        |n: usize| json!({"part": format!("Part {n}"), "quantity": n, "unit": "pieces", "done": n.is_multiple_of(2)});
    let record = json!({"parts": (0..count).map(item).collect::<Vec<_>>()});
    let changes = diff::create(layout.schema(), record, &mut |_, n| ItemKey(format!("k{n}")));
    let mut state = State::default();
    state.apply(&changes, Stamp::new(Hlc::at(1), Author::default(), SaveId(1 << 100)), 1, &|_, _| false);
    (layout, state)
}

fn name() -> TypeName {
    TypeName::custom("thing").expect("a good name")
}

fn open(layout: &Layout, state: State) -> (Base, Form) {
    let (id, revision) = (RecordId::from_u128(5), RevisionId(6));
    let base = Base::edit(layout, &SECRET, name(), id, revision, SaveId(7), state);
    let form = Form::open(layout, &base, CONTEXT);
    (base, form)
}

fn draw(form: Form) -> String {
    FormView { form, action: "/records/thing/5/edit".into(), save: "Save".into(), ..FormView::default() }
        .render()
        .expect("a page")
}

/// What a browser posts: every control as it is, and one that was changed.
fn pairs(form: &Form) -> Vec<(String, String)> {
    use outpost::domain::form::Input;
    let mut pairs: Vec<(String, String)> =
        form.hidden.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    for node in &form.nodes {
        let Node::Control(control) = node else { continue };
        let name = control.head.name.clone();
        match &control.input {
            Input::Line { text, .. } | Input::Lines { text, .. } => pairs.push((name, text.replace('\n', "\r\n"))),
            Input::Options { options, .. } => {
                pairs.push((format!("{name}#shown"), "1".to_owned()));
                pairs.extend(
                    options.iter().filter(|option| option.chosen).map(|option| (name.clone(), option.token.clone())),
                );
            }
            _ => {}
        }
    }
    let changed = pairs.iter_mut().find(|(name, _)| name == "/field_1").expect("a number");
    changed.1 = "13,5".to_owned();
    pairs
}

fn forms(criterion: &mut Criterion) {
    let (layout, state) = of(300);
    criterion.bench_function("open and draw a form of 300 fields", |bencher| {
        bencher.iter(|| draw(open(&layout, black_box(&state).clone()).1));
    });
    let (layout, state) = of_items(500);
    criterion.bench_function("open and draw a group of 500 items", |bencher| {
        bencher.iter(|| draw(open(&layout, black_box(&state).clone()).1));
    });
    let (layout, state) = of(30);
    let (base, form) = open(&layout, state);
    let pairs = pairs(&form);
    criterion.bench_function("decode and validate a post of 30 fields", |bencher| {
        bencher.iter(|| {
            let decoded = decode(&layout, &base, &Posted::read(black_box(&pairs).iter().cloned()), CONTEXT);
            assert!(decoded.errors.is_empty());
            decoded
        });
    });
    let layout = Arc::new(layout);
    criterion.bench_function("the same from the sealed base to the changes", |bencher| {
        bencher.iter(|| {
            let posted = Posted::read(black_box(&pairs).iter().cloned());
            let id = Some(RecordId::from_u128(5));
            let (base, layout) =
                Base::open(posted.base(), &SECRET, &name(), id, |_| Some(layout.clone())).expect("sealed");
            let decoded = decode(&layout, &base, &posted, CONTEXT);
            let changes = diff::changes(layout.schema(), &base.state, &decoded.candidate, "once");
            assert_eq!(changes.len(), 1);
            changes
        });
    });
}

criterion_group!(benches, forms);
criterion_main!(benches);
