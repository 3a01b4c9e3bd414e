//! URI references inside a schema: what they resolve to, and what their fragment says.

/// `reference` seen from `base`, without its fragment; `None` where either is not a URI.
pub(super) fn resolve(base: &str, reference: &str) -> Option<String> {
    let base = jsonschema::uri::from_str(base).ok()?;
    let resolved = jsonschema::uri::resolve_against(&base.borrow(), without_fragment(reference)).ok()?;
    Some(without_fragment(resolved.as_str()).to_string())
}

/// The part of a URI reference before `#`.
pub(super) fn without_fragment(uri: &str) -> &str {
    uri.split_once('#').map_or(uri, |(before, _)| before)
}

/// The part of a URI reference after `#`, percent-decoded; empty where there is none.
pub(super) fn fragment(uri: &str) -> String {
    let Some((_, text)) = uri.split_once('#') else { return String::new() };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
        rest = tail;
        match tail {
            [high, low, after @ ..] if first == b'%' => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high * 16 + low);
                    rest = after;
                }
                _ => bytes.push(first),
            },
            _ => bytes.push(first),
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_is_percent_decoded() {
        assert_eq!(fragment("#/$defs/a%20b~1c"), "/$defs/a b~1c");
        assert_eq!(fragment("x#100%"), "100%");
        assert_eq!(fragment("x"), "");
    }

    #[test]
    fn references_resolve_against_their_base() {
        assert_eq!(resolve("http://a/b/c", "../d#e").as_deref(), Some("http://a/d"));
        assert_eq!(resolve("json-schema:///", "item").as_deref(), Some("json-schema:///item"));
        assert_eq!(resolve("http://a/b", "http://[").as_deref(), None);
    }
}
