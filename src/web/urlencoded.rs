//! `application/x-www-form-urlencoded`, read strictly: in a form as in a query. What is not proper UTF-8 in proper
//! percent-encoding is refused; a guess would end up in a record, or find nothing.

/// Why a text is not taken; finishes "It cannot be read: ".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("a % stands alone")]
    Percent,
    #[error("it is not in UTF-8")]
    Utf8,
    /// More than were asked for at most.
    #[error("it has too many fields")]
    TooMany,
}

/// The names and values, in their order.
pub fn pairs(text: &[u8], most: usize) -> Result<Vec<(String, String)>, Unreadable> {
    let mut pairs = Vec::new();
    for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        if pairs.len() == most {
            return Err(Unreadable::TooMany);
        }
        let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let value = pair.get(at + 1..).unwrap_or_default();
        pairs.push((decode(&pair[..at])?, decode(value)?));
    }
    Ok(pairs)
}

fn decode(text: &[u8]) -> Result<String, Unreadable> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
                let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
                    return Err(Unreadable::Percent);
                };
                (high * 16 + low) as u8
            }
            byte => *byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| Unreadable::Utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_in_order_and_as_they_were_typed() {
        let pairs =
            pairs(b"%2Ftitle=a+b%26&&/x=&_do=add+%2Fparts&/x=2&bare&%C3%A4=%E2%82%AC", 9).expect("well encoded");
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(
            pairs,
            [("/title", "a b&"), ("/x", ""), ("_do", "add /parts"), ("/x", "2"), ("bare", ""), ("ä", "€")]
        );
    }

    #[test]
    fn what_is_not_encoded_as_forms_are_is_refused() {
        for (bad, why) in [
            (&b"a=%"[..], Unreadable::Percent),
            (b"a=%1", Unreadable::Percent),
            (b"a=%zz", Unreadable::Percent),
            (b"%ff=1", Unreadable::Utf8),
            (b"a=\xff", Unreadable::Utf8),
            (b"a=%c3", Unreadable::Utf8),
            (b"a=%ed%a0%80", Unreadable::Utf8),
            (b"a&b&c&d", Unreadable::TooMany),
        ] {
            assert_eq!(pairs(bad, 3), Err(why), "{bad:?}");
        }
        assert_eq!(pairs(b"a&b&c", 3).map(|pairs| pairs.len()), Ok(3));
    }
}
