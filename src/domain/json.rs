//! Canonical JSON: what equality, hashes and digests mean. And [`read`]: how JSON from outside comes in.
//!
//! Canonical JSON is ours, not RFC 8785, which forces numbers through doubles: keys sorted by code point, no white space, strings
//! minimally escaped, numbers as exact decimals in one normal form (`1.0`, `1` and `10e-1` are one value, 2⁶⁰+1 is
//! another than 2⁶⁰). It is for comparing; what is stored and shown is what was typed.

use std::cmp::Ordering;
use std::fmt::Write;
use std::io;

use num_bigint::BigInt;
use serde::Serialize;
use serde_json::{Map, Value};

pub use read::{NotJson, deserialize, is_reserved, nesting, read, read_bytes, reserved_member};

mod read;

/// The canonical text of a value; equal values have equal texts and the reverse.
pub fn canonical(value: &Value) -> String {
    canonical_of(value, 0)
}

/// The same, for whoever knows about how long it is.
pub fn canonical_of(value: &Value, usual: usize) -> String {
    let mut out = String::with_capacity(usual);
    write_canonical(&mut out, value);
    out
}

/// Appends the canonical text of a value.
pub fn write_canonical(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(out, number.as_str()),
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_canonical(out, item);
            }
            out.push(']');
        }
        Value::Object(map) => {
            if map.keys().is_sorted() {
                return write_members(out, map.iter());
            }
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            write_members(out, entries.into_iter());
        }
    }
}

fn write_members<'a>(out: &mut String, members: impl Iterator<Item = (&'a String, &'a Value)>) {
    out.push('{');
    for (i, (key, value)) in members.enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_string(out, key);
        out.push(':');
        write_canonical(out, value);
    }
    out.push('}');
}

/// Whether two values are one: by value of numbers, whatever the order of keys.
pub fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_str(), b.as_str());
            a == b || Decimal::parse(a) == Decimal::parse(b)
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}

/// How many bytes of JSON something is, without making them; `None` for what is no JSON.
pub fn size(value: &impl Serialize) -> Option<usize> {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).ok().map(|()| count.0)
}

/// The same value with the keys of all its objects in code point order, so that nodes that saw the same changes hold
/// the same bytes. Numbers keep their text.
pub fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map.into_iter().collect();
            entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().map(|(key, value)| (key, sorted(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x8 => out.push_str("\\b"),
            0xc => out.push_str("\\f"),
            byte => write!(out, "\\u{byte:04x}").expect("a String takes all that is written"),
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

fn write_number(out: &mut String, text: &str) {
    // most numbers are in the normal form already
    if text.len() <= 16 && !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return out.push_str(text);
    }
    match Decimal::parse(text) {
        Some(number) => number.write(out),
        None => out.push_str(text),
    }
}

/// Sums are made of numbers that are at most so many powers of ten apart.
const MAX_APART: usize = 4_000;

/// An exact decimal, `±0.DIGITS × 10^point`, with no leading or trailing zeros among the digits. Compares by value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    point: i64,
}

impl Decimal {
    /// Reads the text of a JSON number. `None` if it is none, or if its exponent is beyond ±10¹⁸.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].strip_prefix('+').unwrap_or(&text[at + 1..]).parse::<i64>().ok()?),
            None => (text, 0),
        };
        if exponent.abs() > 1_000_000_000_000_000_000 {
            return None;
        }
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = whole.bytes().chain(fraction.bytes());
        if whole.is_empty() || !all.clone().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let digits: Vec<u8> = all.collect();
        let leading = digits.iter().take_while(|d| **d == b'0').count();
        let trailing = digits.iter().rev().take_while(|d| **d == b'0').count();
        if leading == digits.len() {
            return Some(Self { negative: false, digits: Vec::new(), point: 0 });
        }
        Some(Self {
            negative,
            point: exponent + whole.len() as i64 - leading as i64,
            digits: digits[leading..digits.len() - trailing].to_vec(),
        })
    }

    pub const ZERO: Decimal = Decimal { negative: false, digits: Vec::new(), point: 0 };

    /// The exact sum. `None` if the two are so far apart in size that it would have more digits than a number may.
    pub fn plus(&self, other: &Self) -> Option<Self> {
        let exponent = |number: &Self| number.point - number.digits.len() as i64;
        let common = exponent(self).min(exponent(other));
        let whole = |number: &Self| -> Option<BigInt> {
            let zeros = usize::try_from(exponent(number) - common).ok().filter(|zeros| *zeros <= MAX_APART)?;
            let mut digits = number.digits.clone();
            digits.resize(digits.len() + zeros, b'0');
            let size = BigInt::parse_bytes(&digits, 10)?;
            Some(if number.negative { -size } else { size })
        };
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, _) => Some(other.clone()),
            (_, true) => Some(self.clone()),
            _ => Self::parse(&format!("{}e{common}", whole(self)? + whole(other)?)),
        }
    }

    pub fn minus(&self, other: &Self) -> Option<Self> {
        self.plus(&Self { negative: !other.negative && !other.digits.is_empty(), ..other.clone() })
    }

    pub fn of(value: &Value) -> Option<Self> {
        Self::parse(value.as_number()?.as_str())
    }

    /// As a JSON number, in its canonical text.
    pub fn to_value(&self) -> Value {
        let mut text = String::new();
        self.write(&mut text);
        serde_json::from_str(&text).expect("a decimal is written as JSON")
    }

    /// Plain notation for the usual sizes, otherwise one digit before the point and an exponent.
    fn write(&self, out: &mut String) {
        if self.digits.is_empty() {
            return out.push('0');
        }
        if self.negative {
            out.push('-');
        }
        let digits = || self.digits.iter().map(|d| *d as char);
        let count = self.digits.len() as i64;
        match self.point {
            point if point >= count && point <= 40 => {
                out.extend(digits());
                out.extend(std::iter::repeat_n('0', (point - count) as usize));
            }
            point if point > 0 && point < count => {
                out.extend(digits().take(point as usize));
                out.push('.');
                out.extend(digits().skip(point as usize));
            }
            point if point <= 0 && point > -20 => {
                out.push_str("0.");
                out.extend(std::iter::repeat_n('0', (-point) as usize));
                out.extend(digits());
            }
            point => {
                out.extend(digits().take(1));
                if count > 1 {
                    out.push('.');
                    out.extend(digits().skip(1));
                }
                write!(out, "e{}", point - 1).expect("a String takes all that is written");
            }
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let size = |a: &Self, b: &Self| match (a.digits.is_empty(), b.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            _ => a.point.cmp(&b.point).then_with(|| a.digits.cmp(&b.digits)),
        };
        match (self.negative, other.negative) {
            (false, false) => size(self, other),
            (true, true) => size(other, self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        canonical(&serde_json::from_str(text).expect("JSON"))
    }

    #[test]
    fn one_number_has_one_text() {
        for (text, canon) in [
            ("1.0", "1"),
            ("10e-1", "1"),
            ("-0.0", "0"),
            ("1E+2", "100"),
            ("0.10", "0.1"),
            ("1152921504606846977", "1152921504606846977"),
            ("1e400", "1e400"),
            ("-12.50e-3", "-0.0125"),
            ("1.5e-30", "1.5e-30"),
        ] {
            assert_eq!(of(text), canon, "{text}");
        }
        assert_ne!(of("1152921504606846977"), of("1152921504606846976"));
    }

    #[test]
    fn the_order_of_keys_does_not_matter_and_that_of_items_does() {
        assert_eq!(of(r#"{"b":1,"a":[1.0,"x"]}"#), of(r#"{"a":[1,"x"],"b":1.00}"#));
        assert_ne!(of("[1,2]"), of("[2,1]"));
    }

    #[test]
    fn sums_are_exact() {
        for (a, b, sum) in [
            ("0.1", "0.2", "0.3"),
            ("1", "-1", "0"),
            ("0", "-2.50", "-2.5"),
            ("1152921504606846977", "1e-3", "1152921504606846977.001"),
            ("-5e3", "4999.9", "-0.1"),
            ("9.99", "0.01", "10"),
            ("1e300", "1", &format!("1{}1", "0".repeat(299))),
        ] {
            let (a, b, sum) = (Decimal::parse(a).unwrap(), Decimal::parse(b).unwrap(), Decimal::parse(sum).unwrap());
            assert_eq!(a.plus(&b), Some(sum.clone()));
            assert_eq!(b.plus(&a), Some(sum.clone()));
            assert_eq!(sum.minus(&b), Some(a));
            assert!(json_equal(&sum.to_value(), &sum));
        }
        let (a, b) = (Decimal::parse("1e9999").unwrap(), Decimal::parse("1").unwrap());
        assert_eq!(a.plus(&b), None, "too far apart");
    }

    fn json_equal(value: &Value, number: &Decimal) -> bool {
        Decimal::of(value).as_ref() == Some(number)
    }

    #[test]
    fn decimals_order_by_value() {
        let order = ["-1e5", "-2", "-0.1", "0", "0.09", "0.1", "1", "9", "10", "1e30"];
        for pair in order.windows(2) {
            let (a, b) = (Decimal::parse(pair[0]), Decimal::parse(pair[1]));
            assert!(a < b, "{} < {}", pair[0], pair[1]);
        }
    }
}
