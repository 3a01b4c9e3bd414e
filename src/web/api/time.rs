//! Moments as text: RFC 3339 in UTC with milliseconds.

use std::io::Write;

use jiff::Timestamp;

/// `2026-11-03T09:14:05.020Z`
pub fn text(millis: i64) -> String {
    let moment = moment(millis);
    format!("{moment:.3}")
}

/// The same, appended.
pub fn write(out: &mut Vec<u8>, millis: i64) {
    let moment = moment(millis);
    write!(out, "{moment:.3}").expect("a Vec takes all that is written");
}

fn moment(millis: i64) -> Timestamp {
    let bound = if millis < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_millisecond(millis).unwrap_or(bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_utc_with_milliseconds() {
        assert_eq!(text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(1_793_697_245_020), "2026-11-03T09:14:05.020Z");
        assert_eq!(text(1_793_697_245_000), "2026-11-03T09:14:05.000Z");
        assert!(text(i64::MAX).ends_with('Z'));
    }
}
