//! Files of a record: the name, how large it is, where it is, and of a picture that is here the picture itself.

use std::fmt::{self, Display, Formatter};

use super::part::Escaped;
use crate::domain::blob::{FileRef, FileState, Place};

/// A file that a record refers to, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    pub name: String,
    /// Where its bytes are given, if they are here.
    pub href: Option<String>,
    pub is_picture: bool,
    /// "2.1 MB, here and at the hub".
    pub words: String,
}

impl Attached {
    /// `state`: where it is, if that is known.
    pub fn of(file: &FileRef, state: Option<&FileState>) -> Self {
        let is_here = state.is_some_and(|state| state.place != Place::Coming);
        let name = if file.name.trim().is_empty() { "A file without a name".to_owned() } else { file.name.clone() };
        let size = size_words(file.size);
        let words = match state {
            Some(state) => match &state.trouble {
                Some(trouble) => format!("{size}, {}: {trouble}", state.words()),
                None => format!("{size}, {}", state.words()),
            },
            None => size,
        };
        Self {
            name,
            href: is_here.then(|| format!("/api/v1/blobs/{}", file.hash)),
            is_picture: is_here && file.picture().is_some(),
            words,
        }
    }
}

impl Display for Attached {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let name = Escaped(&self.name);
        match &self.href {
            // one link, which its name names: the picture says nothing more to who does not see it
            Some(href) if self.is_picture => {
                write!(out, "<a href=\"{href}\"><img src=\"{href}\" alt=\"\" loading=\"lazy\">{name}</a>")?;
            }
            Some(href) => write!(out, "<a href=\"{href}\">{name}</a>")?,
            None => write!(out, "<span>{name}</span>")?,
        }
        write!(out, "<small>{}</small>", Escaped(&self.words))
    }
}

/// How large something is, as people say it: "900 bytes", "18 KB", "2.1 MB".
pub fn size_words(bytes: u64) -> String {
    match bytes {
        1 => "1 byte".into(),
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{} KB", bytes.div_ceil(1_000)),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::blob::BlobHash;

    fn file(name: &str, mime: &str) -> FileRef {
        FileRef { hash: BlobHash([10; 32]), name: name.into(), mime: mime.into(), size: 2_140_000 }
    }

    fn state(place: Place, done: u64) -> FileState {
        FileState { place, done, of: 8, trouble: None }
    }

    #[test]
    fn a_picture_that_is_here_is_shown_with_where_it_is() {
        let shown = Attached::of(&file("pump.jpg", "image/jpeg"), Some(&state(Place::Waiting, 3))).to_string();
        let address = format!("/api/v1/blobs/{}", "0a".repeat(32));
        assert!(shown.contains(&format!("<img src=\"{address}\" alt=\"\"")), "{shown}");
        assert!(shown.contains(">pump.jpg</a>"), "{shown}");
        assert!(shown.contains("2.1 MB, here, waiting to be sent (3 of 8 parts)"), "{shown}");
    }

    #[test]
    fn what_is_not_here_has_no_link_and_says_so() {
        let shown = Attached::of(&file("pump.jpg", "image/jpeg"), Some(&state(Place::Coming, 0))).to_string();
        assert!(!shown.contains("href") && !shown.contains("<img"), "{shown}");
        assert!(shown.contains("not here yet"), "{shown}");
    }

    #[test]
    fn a_name_is_never_markup_and_what_is_no_picture_is_none() {
        let evil = file("<script>\"'.svg", "image/svg+xml");
        let shown = Attached::of(&evil, Some(&state(Place::AtHub, 8))).to_string();
        assert!(!shown.contains("<script") && !shown.contains("<img"), "{shown}");
        assert!(shown.contains("here and at the hub"), "{shown}");
    }
}
