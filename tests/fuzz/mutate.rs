//! Inputs that are nearly right: recorded ones with something changed, as bytes or as what they mean.

use ciborium::Value as Cbor;
use serde_json::Value;

use super::run::Dice;

const BYTES: [u8; 12] = [0, 1, 0x0f, 0x18, 0x1b, 0x5f, 0x7f, 0x80, 0x9b, 0xbb, 0xfb, 0xff];
const NUMBERS: [u64; 10] = [0, 1, 23, 0x7f, 0xffff, 1 << 31, 1 << 47, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX];
const TEXTS: [&str; 14] = [
    "",
    "/",
    "~",
    "@",
    "note",
    "job=\"north\"",
    "_types",
    "_lost",
    "all",
    "$serde_json::private::Number",
    "__proto__",
    "\u{0}\u{1F600}\u{202e}",
    "1e999999999",
    "00000000000000aa",
];

/// Changes bytes, a few times.
pub fn bytes(dice: &mut Dice, input: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
    let mut out = input.to_vec();
    for _ in 0..=dice.below(4) {
        let at = dice.below(out.len() + 1);
        match dice.below(8) {
            0 if at < out.len() => out[at] ^= 1 << dice.below(8),
            1 if at < out.len() => out[at] = *dice.of(&BYTES),
            2 => out.truncate(at),
            3 => {
                let more: Vec<u8> = (0..dice.below(9)).map(|_| dice.next() as u8).collect();
                out.splice(at..at, more);
            }
            4 => {
                let end = (at + dice.below(16)).min(out.len());
                out.drain(at..end);
            }
            5 => {
                let end = (at + dice.below(64)).min(out.len());
                let again = out[at..end].to_vec();
                for _ in 0..=dice.below(20) {
                    out.splice(at..at, again.iter().copied());
                }
            }
            6 if !others.is_empty() => {
                let other = dice.of(others).clone();
                let from = dice.below(other.len() + 1);
                let end = (from + dice.below(64)).min(other.len());
                out.splice(at..at, other[from..end].iter().copied());
            }
            // one byte for ever: what is nested without an end
            _ if dice.one_in(20) => {
                out.extend(std::iter::repeat_n(*dice.of(&[0x81, 0xa1, 0x9f, b'[', b'{', 0xd8]), 5_000))
            }
            _ => {}
        }
    }
    out
}

/// Changes a message as what it means.
pub fn cbor(dice: &mut Dice, message: &Cbor) -> Cbor {
    let mut out = message.clone();
    for _ in 0..=dice.below(3) {
        let mut left = dice.below(size_of_cbor(&out));
        change_cbor(dice, &mut out, &mut left);
    }
    out
}

fn size_of_cbor(value: &Cbor) -> usize {
    1 + match value {
        Cbor::Array(items) => items.iter().map(size_of_cbor).sum(),
        Cbor::Map(members) => members.iter().map(|(_, value)| size_of_cbor(value)).sum(),
        _ => 0,
    }
}

/// Walks to the node of this number and changes it. True once that is done.
fn change_cbor(dice: &mut Dice, value: &mut Cbor, left: &mut usize) -> bool {
    if *left == 0 {
        *value = other_cbor(dice, value);
        return true;
    }
    *left -= 1;
    match value {
        Cbor::Array(items) => items.iter_mut().any(|item| change_cbor(dice, item, left)),
        Cbor::Map(members) => members.iter_mut().any(|(_, value)| change_cbor(dice, value, left)),
        _ => false,
    }
}

fn other_cbor(dice: &mut Dice, value: &Cbor) -> Cbor {
    match (dice.below(12), value) {
        (0..=3, Cbor::Integer(_)) => Cbor::Integer(dice.of(&NUMBERS).to_owned().into()),
        (4, Cbor::Integer(_)) => Cbor::Integer((-(dice.next() as i64 >> dice.below(63)).abs()).into()),
        (0..=3, Cbor::Text(text)) => Cbor::Text(other_text(dice, text)),
        (0..=3, Cbor::Bytes(old)) => Cbor::Bytes(bytes(dice, old, &[])),
        (0 | 1, Cbor::Array(items)) if !items.is_empty() => {
            let mut items = items.clone();
            let again = dice.of(&items).clone();
            let most = if dice.one_in(50) { 3_000 } else { 4 };
            let times = dice.below(most);
            items.extend(std::iter::repeat_n(again, times));
            Cbor::Array(items)
        }
        (2, Cbor::Array(items)) if !items.is_empty() => {
            let mut items = items.clone();
            items.remove(dice.below(items.len()));
            Cbor::Array(items)
        }
        (0 | 1, Cbor::Map(members)) if !members.is_empty() => {
            let mut members = members.clone();
            members.remove(dice.below(members.len()));
            Cbor::Map(members)
        }
        (2, Cbor::Map(members)) => {
            let mut members = members.clone();
            let name = Cbor::Text(dice.of(&TEXTS).to_string());
            members.insert(dice.below(members.len() + 1), (name, any_cbor(dice, 3)));
            Cbor::Map(members)
        }
        (3, Cbor::Map(members)) if !members.is_empty() => {
            let mut members = members.clone();
            let twice = dice.of(&members).clone();
            members.push(twice);
            Cbor::Map(members)
        }
        (4, any) => {
            // wrapped, sometimes deeply
            let depth = if dice.one_in(30) { 300 } else { 1 };
            (0..depth).fold(any.clone(), |inside, _| Cbor::Array(vec![inside]))
        }
        _ => any_cbor(dice, 3),
    }
}

fn any_cbor(dice: &mut Dice, depth: usize) -> Cbor {
    match dice.below(if depth == 0 { 7 } else { 10 }) {
        0 => Cbor::Null,
        1 => Cbor::Bool(dice.one_in(2)),
        2 => Cbor::Integer(dice.of(&NUMBERS).to_owned().into()),
        3 => Cbor::Float(f64::from_bits(dice.next())),
        4 => Cbor::Text(dice.of(&TEXTS).to_string()),
        5 => Cbor::Bytes((0..dice.below(40)).map(|_| dice.next() as u8).collect()),
        6 => Cbor::Tag(dice.next() >> dice.below(64), Box::new(Cbor::Null)),
        7 => Cbor::Array((0..dice.below(4)).map(|_| any_cbor(dice, depth - 1)).collect()),
        8 => Cbor::Array(vec![Cbor::Map(vec![(Cbor::Text("p".into()), Cbor::Text("x".into()))]); dice.below(300)]),
        _ => {
            let member = |dice: &mut Dice| (Cbor::Text(dice.of(&TEXTS).to_string()), any_cbor(dice, depth - 1));
            Cbor::Map((0..dice.below(4)).map(|_| member(dice)).collect())
        }
    }
}

fn other_text(dice: &mut Dice, text: &str) -> String {
    match dice.below(5) {
        0 => dice.of(&TEXTS).to_string(),
        1 => text.repeat(dice.below(9)),
        2 => format!("{text}{}", dice.of(&TEXTS)),
        3 => "[".repeat(dice.below(400)),
        // often a value as JSON text
        _ => String::from_utf8_lossy(&bytes(dice, text.as_bytes(), &[])).into_owned(),
    }
}

/// Changes JSON as what it means.
pub fn json(dice: &mut Dice, value: &Value) -> Value {
    let mut out = value.clone();
    for _ in 0..=dice.below(3) {
        let mut left = dice.below(size_of_json(&out));
        change_json(dice, &mut out, &mut left);
    }
    out
}

fn size_of_json(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(size_of_json).sum(),
        Value::Object(members) => members.values().map(size_of_json).sum(),
        _ => 0,
    }
}

fn change_json(dice: &mut Dice, value: &mut Value, left: &mut usize) -> bool {
    if *left == 0 {
        *value = match (dice.below(8), &*value) {
            (0, _) => Value::Null,
            (1, _) => (*dice.of(&NUMBERS)).into(),
            (2, Value::String(text)) => other_text(dice, text).into(),
            (2, _) => (*dice.of(&TEXTS)).into(),
            (3, any) => (0..dice.below(200)).fold(any.clone(), |inside, _| Value::Array(vec![inside])),
            (4, Value::Array(items)) if !items.is_empty() => {
                items.iter().cycle().take(dice.below(40)).cloned().collect()
            }
            (5, Value::Object(members)) => {
                let mut members = members.clone();
                members.insert(dice.of(&TEXTS).to_string(), Value::Bool(true));
                Value::Object(members)
            }
            (6, any) => Value::Object([(dice.of(&TEXTS).to_string(), any.clone())].into_iter().collect()),
            (_, any) => any.clone(),
        };
        return true;
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|item| change_json(dice, item, left)),
        Value::Object(members) => members.values_mut().any(|member| change_json(dice, member, left)),
        _ => false,
    }
}
