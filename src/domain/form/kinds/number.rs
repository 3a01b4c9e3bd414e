//! A number, as people write it. Every digit is kept.

use std::str::FromStr;

use serde_json::Value;

use super::{Kind, Read, Sent, plain, read_text, typed};
use crate::domain::form::field::Field;
use crate::domain::form::text::Way;
use crate::domain::form::view::Input;

pub(in crate::domain::form) struct Number;

impl Kind for Number {
    fn shows(&self, value: &Value) -> bool {
        value.is_number()
    }

    fn draw(&self, field: &Field, value: Option<&Value>, sent: &Sent) -> Input {
        let inputmode = Some(if field.integer { "numeric" } else { "decimal" });
        let text = typed(sent, || plain(value));
        Input::Line { kind: "text", inputmode, text, unit: field.unit.clone(), step: None }
    }

    fn read(&self, field: &Field, value: Option<&Value>, sent: &Sent) -> Read {
        read_text(self, Way::Line, &plain(value), field, value, sent)
    }

    fn meant(&self, field: &Field, text: &str, _: Option<&Value>, _: &str) -> Result<Value, String> {
        let (what, example) = if field.integer { ("as a whole number", "4") } else { ("as a number", "4.5") };
        let example = field.example.as_deref().unwrap_or(example);
        number(text)
            .map(Value::Number)
            .ok_or_else(|| format!("Enter {} {what}, for example {example}.", field.in_sentence()))
    }
}

/// A comma may be the decimal mark, spaces may group digits.
fn number(text: &str) -> Option<serde_json::Number> {
    let mut plain: String = text.chars().filter(|c| !matches!(c, ' ' | '\u{a0}' | '\u{2009}' | '\u{202f}')).collect();
    plain = plain.replace('\u{2212}', "-");
    if plain.contains(',') {
        if plain.contains('.') || plain.matches(',').count() > 1 {
            return None;
        }
        plain = plain.replace(',', ".");
    }
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let whole_ends = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let (whole, rest) = digits.split_at(whole_ends);
    if whole.is_empty() && !rest.starts_with('.') {
        return None;
    }
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    serde_json::Number::from_str(&format!("{sign}{whole}{rest}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them_and_keep_their_digits() {
        for (text, read) in [
            ("4.5", "4.5"),
            ("4,50", "4.50"),
            ("1 234 567,8", "1234567.8"),
            ("-0", "-0"),
            ("+3", "3"),
            (".5", "0.5"),
            ("007", "7"),
            ("\u{2212}2", "-2"),
            ("1e3", "1e+3"),
            ("123456789012345678901234567890.123456789", "123456789012345678901234567890.123456789"),
        ] {
            assert_eq!(number(text).map(|number| number.to_string()).as_deref(), Some(read), "{text}");
        }
        for text in ["", "4,5,", "1,000.5", "a", "4.5x", "--1", "1.", "NaN", "Infinity", "0x10", "e3", "-", "1-2"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
