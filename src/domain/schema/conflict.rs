//! `x-conflict`: what a type says about values that were written at once, one of which has to stand.
//!
//! Merging does not ask: the later write stands, everywhere alike. This is what the hub does about the one that lost.

use std::cmp::Ordering;

use serde::Serialize;
use serde_json::Value;

use crate::domain::json::Decimal;

/// What becomes of a value that lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Conflict {
    /// It is kept and shown; the later one stands.
    #[default]
    Later,
    /// People are asked which of the two it is.
    Ask,
    /// It is written again if it is higher than the one that stands.
    Highest,
    /// It is written again if it is lower.
    Lowest,
}

impl Conflict {
    pub(super) fn of(word: Option<&Value>) -> Self {
        match word.and_then(Value::as_str) {
            Some("ask") => Self::Ask,
            Some("highest") => Self::Highest,
            Some("lowest") => Self::Lowest,
            _ => Self::Later,
        }
    }

    /// Whether this decides between the two, so that nobody has to.
    pub fn decides(self, lost: Option<&Value>, stands: Option<&Value>) -> bool {
        let comparable = lost.zip(stands).is_some_and(|(lost, stands)| order(lost, stands).is_some());
        comparable && matches!(self, Self::Highest | Self::Lowest)
    }

    /// Whether the value that lost is to stand. Never where the two cannot be compared or are equal: a cleared field says
    /// something else than a value.
    pub fn prefers(self, lost: Option<&Value>, stands: Option<&Value>) -> bool {
        let order = lost.zip(stands).and_then(|(lost, stands)| order(lost, stands));
        match self {
            Self::Highest => order == Some(Ordering::Greater),
            Self::Lowest => order == Some(Ordering::Less),
            Self::Later | Self::Ask => false,
        }
    }
}

/// Numbers by value, moments by when they are, dates by the calendar.
fn order(a: &Value, b: &Value) -> Option<Ordering> {
    if let (Some(a), Some(b)) = (Decimal::of(a), Decimal::of(b)) {
        return Some(a.cmp(&b));
    }
    let (a, b) = (a.as_str()?, b.as_str()?);
    let moments = a.parse::<jiff::Timestamp>().ok().zip(b.parse::<jiff::Timestamp>().ok());
    if let Some((a, b)) = moments {
        return Some(a.cmp(&b));
    }
    let dates = a.parse::<jiff::civil::Date>().ok().zip(b.parse::<jiff::civil::Date>().ok());
    dates.map(|(a, b)| a.cmp(&b))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_higher_value_is_found_by_what_it_says() {
        let number = |text: &str| serde_json::from_str::<Value>(text).expect("a number");
        for (low, high) in [
            (number("9"), number("10.0")),
            (number("1152921504606846976"), number("1152921504606846977")),
            (json!("2026-05-09"), json!("2026-05-10")),
            (json!("2026-05-09T23:00:00+02:00"), json!("2026-05-09T22:30:00Z")),
        ] {
            assert!(Conflict::Highest.prefers(Some(&high), Some(&low)));
            assert!(!Conflict::Highest.prefers(Some(&low), Some(&high)));
            assert!(Conflict::Lowest.prefers(Some(&low), Some(&high)));
            assert!(!Conflict::Lowest.prefers(Some(&high), Some(&low)));
            assert!(!Conflict::Highest.prefers(Some(&high), Some(&high)));
            assert!(
                Conflict::Lowest.decides(Some(&high), Some(&low)) && !Conflict::Ask.decides(Some(&high), Some(&low))
            );
            assert!(
                !Conflict::Later.prefers(Some(&high), Some(&low)) && !Conflict::Ask.prefers(Some(&high), Some(&low))
            );
        }
        for (a, b) in [(json!("b"), json!("a")), (json!(1), json!("2026-05-09")), (json!(null), json!(1))] {
            assert!(!Conflict::Highest.decides(Some(&a), Some(&b)));
            assert!(!Conflict::Highest.prefers(Some(&a), Some(&b)) && !Conflict::Lowest.prefers(Some(&a), Some(&b)));
        }
        assert!(!Conflict::Highest.prefers(Some(&json!(3)), None) && !Conflict::Highest.prefers(None, Some(&json!(3))));
    }
}
