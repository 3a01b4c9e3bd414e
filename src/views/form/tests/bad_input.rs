//! Posts that no form of ours would send: each gets a clear error, and the record stays as it was.

use serde_json::{Value, json};

use super::Page;
use super::browser::{CONTEXT, SECRET, layout, type_name};
use crate::domain::form::{Base, Decoded, Form, Layout, Posted, decode};
use crate::domain::ids::{RecordId, TypeName};
use crate::domain::path::Path;

fn schema() -> Value {
    json!({"type": "object", "properties": {
        "title": {"type": "string"}, "kind": {"enum": ["a", "b"]}, "fixed": {"type": "string", "readOnly": true},
        "some": {"type": "array", "uniqueItems": true, "items": {"enum": ["p", "q"]}},
        "tags": {"type": "array", "items": {"type": "string"}},
        "parts": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}}}})
}

fn record() -> Value {
    json!({"title": "t", "kind": "a", "fixed": "f", "some": ["p"], "tags": ["x"], "parts": [{"name": "n"}, {"name": "m"}]})
}

fn post(change: impl FnOnce(&mut Vec<(String, String)>)) -> (Page, Decoded) {
    let page = Page::open(layout(&schema()), Some(record()));
    let mut pairs = page.pairs();
    change(&mut pairs);
    let decoded = decode(&page.layout, &page.base, &Posted::read(pairs), CONTEXT);
    (page, decoded)
}

fn set(pairs: &mut Vec<(String, String)>, name: &str, value: &str) {
    pairs.retain(|(known, _)| known != name);
    pairs.push((name.into(), value.into()));
}

#[test]
fn forged_posts_are_refused_and_change_nothing() {
    type Forge = fn(&mut Vec<(String, String)>);
    let forged: &[(&str, Forge)] = &[
        ("an unknown field", |pairs| set(pairs, "/nothing", "x")),
        ("a name that is no pointer", |pairs| set(pairs, "title", "x")),
        ("a field inside of a field", |pairs| set(pairs, "/title/x", "x")),
        ("a part that no control has", |pairs| set(pairs, "/title#date", "x")),
        ("an item that is not there", |pairs| set(pairs, "/parts/@k9/name", "x")),
        ("an item by position", |pairs| set(pairs, "/parts/0/name", "x")),
        ("a forged item", |pairs| {
            set(pairs, "/parts#items", "/@k1/@zzzzzzzz0");
            set(pairs, "/parts/@zzzzzzzz0/name", "x");
        }),
        ("an item twice", |pairs| set(pairs, "/parts#items", "/@k1/@k1")),
        ("items that are none", |pairs| set(pairs, "/parts#items", "k1,k2")),
        ("a row of another list", |pairs| set(pairs, "/tags#items", "/@k1")),
        ("a field twice", |pairs| pairs.push(("/title".into(), "u".into()))),
        ("a choice that is not offered", |pairs| set(pairs, "/kind", "e7")),
        ("a value in place of a token", |pairs| set(pairs, "/kind", "b")),
        ("a box that is not offered", |pairs| set(pairs, "/some", "e5")),
        ("a megabyte", |pairs| set(pairs, "/title", &"x".repeat(1 << 20))),
    ];
    for (what, forge) in forged {
        let (page, decoded) = post(forge);
        assert!(!decoded.errors.is_empty(), "{what} is taken");
        assert!(decoded.errors.iter().all(|problem| problem.error.message.ends_with('.')), "{:?}", decoded.errors);
        if *what != "a megabyte" && *what != "a field twice" {
            assert_eq!(decoded.candidate, page.base.document, "{what}");
        }
        let form = Form::again(&page.layout, &page.base, &page.posted(), CONTEXT, decoded.errors, decoded.standing);
        assert!(super::browser::render(form).contains("to put right"), "{what} is told");
    }
}

#[test]
fn what_is_read_only_is_not_taken_from_a_post() {
    let (page, decoded) = post(|pairs| set(pairs, "/fixed", "g"));
    assert_eq!(decoded.errors, []);
    assert_eq!(decoded.candidate, page.base.document);
}

#[test]
fn what_is_not_sent_stays_as_it_is() {
    let (page, decoded) = post(|pairs| pairs.retain(|(name, _)| name.starts_with('_')));
    assert_eq!(decoded.errors, []);
    assert_eq!(decoded.candidate, page.base.document);
    let (_, decoded) = post(|pairs| {
        pairs.retain(|(name, _)| name.starts_with('_'));
        set(pairs, "/title", "u");
    });
    assert_eq!(decoded.candidate.value["title"], "u");
    assert_eq!(decoded.candidate.value["parts"], record()["parts"]);
}

#[test]
fn buttons_that_no_form_has_are_told() {
    let page = Page::open(layout(&schema()), Some(record()));
    for press in ["add /title", "add /nothing", "remove /parts/@k9", "up /parts", "remove /parts/0", "down /tags/@k1"] {
        let mut pairs = page.pairs();
        pairs.push(("_do".into(), press.into()));
        let posted = Posted::read(pairs);
        let action = posted.action().expect("a verb").expect("a button");
        let form = Form::reshaped(&page.layout, &page.base, &posted, CONTEXT, &action);
        assert!(form.is_err_and(|error| error.message.contains("no list or entry")), "{press}");
    }
}

#[test]
fn a_base_that_was_not_made_here_has_to_be_loaded_again() {
    let page = Page::open(layout(&schema()), Some(record()));
    let id = page.base.record;
    let open = |token: &str, secret: &[u8; 32], name: &TypeName, record: Option<RecordId>| {
        Base::open(token, secret, name, record, |_| Some(Box::new(layout(&schema())))).map(|(base, _)| base)
    };
    let token = page.posted().base().to_owned();
    let read = open(&token, &SECRET, &type_name(), Some(id)).expect("what was sealed");
    assert_eq!((&read.document, read.state.document()), (&page.base.document, page.base.state.document()));
    assert_eq!((read.submission, read.revision), (page.base.submission, page.base.revision));
    for place in ["/title", "/parts", "/parts/@k1", "/parts/@k1/name"] {
        let place = Path::parse(place, |above| above.to_string() == "/parts").expect("a pointer");
        assert_eq!(read.state.cover(&place), page.base.state.cover(&place), "{place}");
    }
    assert!(open(&token, &[8; 32], &type_name(), Some(id)).is_err());
    assert!(open(&token, &SECRET, &TypeName::custom("other").expect("a name"), Some(id)).is_err());
    assert!(open(&token, &SECRET, &type_name(), Some(RecordId::from_u128(9))).is_err());
    assert!(open(&token, &SECRET, &type_name(), None).is_err(), "a form of a record does not make a new one");
    let gone = Base::open(&token, &SECRET, &type_name(), Some(id), |_| None::<Box<Layout>>);
    assert!(gone.is_err());
    for at in (0..token.len()).step_by(7) {
        let mut bent = token.clone().into_bytes();
        bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
        let bent = String::from_utf8(bent).expect("ASCII");
        assert!(open(&bent, &SECRET, &type_name(), Some(id)).is_err(), "{at}");
        assert!(open(&token[..at], &SECRET, &type_name(), Some(id)).is_err(), "{at}");
    }
    let new = Page::open(layout(&schema()), None);
    let token = new.posted().base().to_owned();
    assert_eq!(open(&token, &SECRET, &type_name(), None).as_ref(), Ok(&new.base));
    assert!(open(&token, &SECRET, &type_name(), Some(id)).is_err());
}
