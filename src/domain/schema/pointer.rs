//! The little of RFC 6901 that schemas need.

/// `pointer` with one more segment, escaped.
pub(super) fn join(pointer: &str, segment: &str) -> String {
    let mut joined = String::with_capacity(pointer.len() + segment.len() + 1);
    joined.push_str(pointer);
    joined.push('/');
    escape_into(&mut joined, segment);
    joined
}

/// The segments of a pointer, unescaped.
pub(super) fn segments(pointer: &str) -> impl Iterator<Item = String> + '_ {
    pointer.split('/').skip(1).map(|segment| segment.replace("~1", "/").replace("~0", "~"))
}

/// The pointer that leads to what holds `pointer`, and the last segment unescaped; `None` for the root.
pub(super) fn split_last(pointer: &str) -> Option<(&str, String)> {
    let (parent, last) = pointer.rsplit_once('/')?;
    Some((parent, last.replace("~1", "/").replace("~0", "~")))
}

fn escape_into(text: &mut String, segment: &str) {
    for c in segment.chars() {
        match c {
            '~' => text.push_str("~0"),
            '/' => text.push_str("~1"),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_slashes_tildes_and_nothing_come_back_as_they_were() {
        for name in ["", "a/b", "m~n", "~1", "~01", "__proto__", "ü 😀"] {
            let pointer = join("/x", name);
            assert_eq!(segments(&pointer).collect::<Vec<_>>(), ["x", name]);
            assert_eq!(split_last(&pointer), Some(("/x", name.to_string())));
        }
        assert_eq!(segments("").count(), 0);
        assert_eq!(split_last(""), None);
    }
}
