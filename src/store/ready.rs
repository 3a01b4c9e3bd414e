//! Rows of a chunk made ready to be written where nothing is of them yet: unpacked, projected, hashed and put into text.
//!
//! None of that needs to know what is here, and it is most of the work of a first copy; so it is done before the writer is
//! asked, beside what it writes just then. What a row does to the books is the ledger's to say, as ever.

use std::sync::Arc;

use super::Row;
use crate::domain::json as canonical;
use crate::domain::record::hash::Hash;
use crate::domain::record::pack::{Dictionary, unpack};
use crate::domain::record::{Document, State};
use crate::domain::save::MAX_NESTING;
use crate::domain::stamp::Stamp;

/// A row as it will be if nothing is here of its record.
#[derive(Debug)]
pub struct ReadyRow {
    /// All of it has the number 1, which stands for the one that the record will get.
    pub state: State,
    /// The document as it is kept.
    pub text: String,
    pub hash: Hash,
    pub latest: Stamp,
}

/// The rows of a page made ready, in its order; `None` for what has to be looked at one by one. Empty if that was not done.
#[derive(Debug, Clone, Default)]
pub struct Ready(pub Arc<Vec<Option<ReadyRow>>>);

impl Ready {
    pub fn of(rows: &[Row], dictionary: &Dictionary) -> Self {
        Self(Arc::new(rows.iter().map(|row| ReadyRow::of(row, dictionary)).collect()))
    }
}

impl ReadyRow {
    fn of(row: &Row, dictionary: &Dictionary) -> Option<Self> {
        let mut state = unpack(&row.state, row.seq, None, dictionary).ok()?;
        state.renumber(1);
        if !state.exists() {
            return None;
        }
        let shown = state.shown();
        if canonical::nesting(&shown) > MAX_NESTING {
            return None;
        }
        let normal = canonical::canonical_of(&shown, row.state.len());
        let hash = state.hash_of(&row.type_name, row.id, &normal);
        // an object at the end of what came, in the one normal form, is its own text
        let is_text = shown.is_object() && row.state.ends_with(normal.as_bytes());
        let text = if is_text { normal } else { shown.to_string() };
        drop(shown);
        let latest = state.latest();
        Some(Self { state, text, hash, latest })
    }

    /// The record as it is kept under a number.
    pub(super) fn numbered(&self, seq: u64) -> (State, Document) {
        let mut state = self.state.clone();
        state.renumber(seq);
        let document = state.document();
        (state, document)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::clock::Hlc;
    use crate::domain::ids::{RecordId, SaveId, TypeName};
    use crate::domain::path::Path;
    use crate::domain::record::pack::{Values, pack};
    use crate::domain::record::{Act, Change, Content, Cover};
    use crate::domain::stamp::Author;

    fn made(value: &str, change: Option<(&str, Value)>) -> (Option<ReadyRow>, State) {
        let value: Value = serde_json::from_str(value).expect("JSON");
        let stamp = |time| Stamp::new(Hlc::at(time), Author::default(), SaveId(9 << 96));
        let mut state = State::default();
        let set = |path, value, replaces| Change { path, act: Act::Set(Content::json(value)), replaces };
        state.apply(&[set(Path::root(), value, Cover::nothing())], stamp(1), 1, &|_, _| true);
        if let Some((name, value)) = change {
            let path = Path::root().property(name);
            let replaces = state.cover(&path);
            state.apply(&[set(path, value, replaces)], stamp(2), 1, &|_, _| true);
        }
        let mut dictionary = Dictionary::default();
        let bytes = pack(&state, 7, Values::Inline, &mut dictionary);
        let row = Row {
            type_name: TypeName::custom("note").expect("a good name"),
            id: RecordId::from_u128(3),
            seq: 7,
            state: bytes,
        };
        (ReadyRow::of(&row, &dictionary), state)
    }

    #[test]
    fn what_is_ready_is_what_the_record_will_be() {
        let type_name = TypeName::custom("note").expect("a good name");
        for (value, change) in [
            (r#"{"a":1,"b":"x\"\u0001ä","c":{"d":[1.50,null]}}"#, None),
            (r#"{"a":1,"b":2}"#, None),
            (r#"{"b":1.0,"a":-0}"#, None),
            (r#"{"a":{"a":1}}"#, None),
            (r#"{"a":1,"b":2}"#, Some(("b", json!({"a": 3})))),
            (r#"{"a":1}"#, Some(("n", json!(0)))),
            ("-0", None),
            ("[]", None),
            ("\"}\"", None),
            ("{}", None),
        ] {
            let (ready, state) = made(value, change);
            let ready = ready.expect("it is a record");
            let document = state.document();
            assert_eq!(ready.text, document.value.to_string(), "{value}");
            assert_eq!(ready.hash, state.hash(&type_name, RecordId::from_u128(3), &document.value), "{value}");
            assert_eq!(ready.latest, state.latest());
            assert_eq!(*ready.state.shown(), document.value, "{value}");
            let (kept, projected) = ready.numbered(1);
            assert_eq!((kept, projected), (state, document), "{value}");
        }
    }

    #[test]
    fn what_cannot_be_read_or_is_no_whole_record_is_left_to_be_judged() {
        let (_, mut state) = made(r#"{"a":1}"#, Some(("b", json!(2))));
        state.root.write = None;
        let mut dictionary = Dictionary::default();
        let part = pack(&state, 7, Values::Inline, &mut dictionary);
        let deep = format!("{}1{}", "[".repeat(MAX_NESTING + 1), "]".repeat(MAX_NESTING + 1));
        let id = RecordId::from_u128(3);
        let type_name = TypeName::custom("note").expect("a good name");
        let row = |state| Row { type_name: type_name.clone(), id, seq: 7, state };
        let rows = [row(part), row(vec![99]), row(Vec::new())];
        assert!(Ready::of(&rows, &dictionary).0.iter().all(Option::is_none));
        assert!(made(&deep, None).0.is_none());
    }
}
