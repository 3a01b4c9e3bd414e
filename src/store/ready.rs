//! Rows of a chunk made ready to be written where nothing is of them yet: unpacked, projected, hashed and put into text.
//!
//! None of that needs to know what is here, and it is most of the work of a first copy; so it is done before the writer is
//! asked, beside what it writes just then. What a row does to the books is the ledger's to say, as ever.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use super::ledger::{flags_of, partition_of};
use super::{Flags, Judge, Row};
use crate::domain::ids::Partition;
use crate::domain::json as canonical;
use crate::domain::record::hash::Hash;
use crate::domain::record::pack::{Dictionary, unpack};
use crate::domain::record::{Content, Document, State};
use crate::domain::save::MAX_NESTING;
use crate::domain::stamp::Stamp;

/// A row as it will be if nothing is here of its record.
#[derive(Debug)]
pub struct ReadyRow {
    /// All of it has the number 1, which stands for the one that the record will get.
    pub state: State,
    /// The value that was written is not in the state, where it is what shows: then it stands in the text alone. So what
    /// was made by one thread to be dropped by another is little.
    is_hollow: bool,
    /// The document as it is kept.
    pub text: String,
    pub hash: Hash,
    pub latest: Stamp,
    /// What was found about it.
    pub judged: Option<(Flags, Partition)>,
}

/// The rows of a page made ready, in its order; `None` for what has to be looked at one by one. Empty if that was not done.
#[derive(Debug, Clone, Default)]
pub struct Ready {
    pub rows: Arc<Vec<Option<ReadyRow>>>,
    /// Of which version the judge was, if they were judged; otherwise it has to be asked again.
    pub judged_by: Option<u64>,
}

impl Ready {
    /// `told` is the partition they are in. With a judge they are judged, too, as far as its word is good for later.
    pub fn of(rows: &[Row], dictionary: &Dictionary, told: &Partition, judge: Option<&dyn Judge>) -> Self {
        let judge = judge.and_then(|judge| Some((judge, judge.version()?)));
        let by = judge.map(|(judge, _)| judge);
        let rows: Vec<_> = rows.iter().map(|row| ReadyRow::of(row, dictionary, told, by)).collect();
        let judged_by = judge.and_then(|(judge, version)| (judge.version() == Some(version)).then_some(version));
        Self { rows: Arc::new(rows), judged_by }
    }
}

impl ReadyRow {
    fn of(row: &Row, dictionary: &Dictionary, told: &Partition, judge: Option<&dyn Judge>) -> Option<Self> {
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
        let judged = judge.map(|judge| {
            let flags = flags_of(judge, &row.type_name, &state, &shown, Flags::default());
            let told = (!judge.knows(&row.type_name)).then_some(told);
            (flags, partition_of(judge, told, &row.type_name, &shown))
        });
        let is_hollow = judged.is_some() && matches!(shown, Cow::Borrowed(_));
        drop(shown);
        if is_hollow && let Some(write) = &mut state.root.write {
            write.content = Content::json(Value::Null);
        }
        let latest = state.latest();
        Some(Self { state, is_hollow, text, hash, latest, judged })
    }

    /// What the record shows.
    pub fn shown(&self) -> Cow<'_, Value> {
        if self.is_hollow { Cow::Owned(self.value()) } else { self.state.shown() }
    }

    fn value(&self) -> Value {
        serde_json::from_str(&self.text).expect("it was written as JSON")
    }

    /// The record as it is kept under a number.
    pub(super) fn numbered(&self, seq: u64) -> (State, Document) {
        let mut state = self.state.clone();
        if self.is_hollow
            && let Some(write) = &mut state.root.write
        {
            write.content = Content::json(self.value());
        }
        state.renumber(seq);
        let document = state.document();
        (state, document)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::clock::Hlc;
    use crate::domain::ids::{RecordId, RevisionId, SaveId, TypeName};
    use crate::domain::path::Path;
    use crate::domain::record::pack::{Values, pack};
    use crate::domain::record::{Act, Change, Cover};
    use crate::domain::stamp::Author;

    struct Anything;

    impl Judge for Anything {
        fn partition(&self, type_name: &TypeName, _: &Value) -> Partition {
            Partition::of_type(type_name)
        }

        fn is_valid(&self, _: &TypeName, _: Option<RevisionId>, value: &Value) -> Option<bool> {
            Some(value.get("a").is_some())
        }

        fn version(&self) -> Option<u64> {
            Some(1)
        }
    }

    fn made(value: &str, change: Option<(&str, Value)>, judge: Option<&dyn Judge>) -> (Option<ReadyRow>, State) {
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
        (ReadyRow::of(&row, &dictionary, &Partition("note".into()), judge), state)
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
            for judge in [None, Some(&Anything as &dyn Judge)] {
                let (ready, state) = made(value, change.clone(), judge);
                let ready = ready.expect("it is a record");
                let document = state.document();
                let valid = document.value.get("a").is_some();
                let judged = judge.map(|_| (Flags::default().with(Flags::INVALID, !valid), Partition("note".into())));
                assert_eq!(ready.judged, judged, "{value}");
                let pack = |state: &State| pack(state, 1, Values::Beside, &mut Dictionary::default());
                assert_eq!(pack(&ready.state), pack(&state), "{value}");
                assert_eq!(ready.text, document.value.to_string(), "{value}");
                assert_eq!(ready.hash, state.hash(&type_name, RecordId::from_u128(3), &document.value), "{value}");
                assert_eq!(ready.latest, state.latest());
                assert_eq!(*ready.shown(), document.value, "{value}");
                let (kept, projected) = ready.numbered(1);
                assert_eq!((kept, projected), (state, document), "{value}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_or_is_no_whole_record_is_left_to_be_judged() {
        let (_, mut state) = made(r#"{"a":1}"#, Some(("b", json!(2))), None);
        state.root.write = None;
        let mut dictionary = Dictionary::default();
        let part = pack(&state, 7, Values::Inline, &mut dictionary);
        let deep = format!("{}1{}", "[".repeat(MAX_NESTING + 1), "]".repeat(MAX_NESTING + 1));
        let id = RecordId::from_u128(3);
        let type_name = TypeName::custom("note").expect("a good name");
        let row = |state| Row { type_name: type_name.clone(), id, seq: 7, state };
        let rows = [row(part), row(vec![99]), row(Vec::new())];
        let ready = Ready::of(&rows, &dictionary, &Partition("note".into()), None);
        assert!(ready.rows.iter().all(Option::is_none) && ready.judged_by.is_none());
        assert!(made(&deep, None, None).0.is_none());
    }
}
