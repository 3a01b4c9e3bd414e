//! The keys of items that are made in a form. They follow from the submission, the place and a number, so that a form that is
//! answered twice makes the same ones; and from the node's secret, so that a key nobody gave out is noticed.

use crate::domain::ids::SaveId;
use crate::domain::path::{ItemKey, Path};

/// Gives out and recognises the keys of one submission.
#[derive(Clone, Copy)]
pub(super) struct KeyMaker<'a> {
    pub secret: &'a [u8; 32],
    pub submission: SaveId,
}

/// Characters that depend on the secret; what follows is the number.
const SEAL: usize = 8;

impl KeyMaker<'_> {
    pub fn key(&self, place: &Path, number: usize) -> ItemKey {
        let mut hasher = blake3::Hasher::new_keyed(self.secret);
        hasher.update(b"outpost item key\n").update(&self.submission.0.to_be_bytes());
        hasher.update(&(number as u64).to_be_bytes()).update(place.to_string().as_bytes());
        let seal = data_encoding::BASE32_DNSSEC.encode(&hasher.finalize().as_bytes()[..5]);
        ItemKey(format!("{}{number}", &seal[..SEAL]))
    }

    /// Whether a key is one of those that [`KeyMaker::key`] gives out for this place.
    pub fn made(&self, place: &Path, key: &ItemKey) -> bool {
        let number = key.0.get(SEAL..).filter(|digits| digits.len() <= 6).and_then(|digits| digits.parse().ok());
        number.is_some_and(|number| self.key(place, number) == *key)
    }

    /// The first key for this place that is not in use.
    pub fn next(&self, place: &Path, in_use: &[ItemKey]) -> ItemKey {
        let mut keys = (0..).map(|number| self.key(place, number));
        keys.find(|key| !in_use.contains(key)).unwrap_or_else(|| self.key(place, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_again_only_where_it_was_given_out() {
        let maker = KeyMaker { secret: &[7; 32], submission: SaveId(9) };
        let parts = Path::root().property("parts");
        let key = maker.key(&parts, 12);
        assert_eq!(key, maker.key(&parts, 12));
        assert!(maker.made(&parts, &key));
        assert!(!maker.made(&Path::root().property("others"), &key));
        assert!(!KeyMaker { submission: SaveId(10), ..maker }.made(&parts, &key));
        assert!(!KeyMaker { secret: &[8; 32], ..maker }.made(&parts, &key));
        for forged in ["", "k7f2", "aaaaaaaa0", "äöüäöüäö1", "aaaaaaaa-1", &format!("{}x", key.0)] {
            assert!(!maker.made(&parts, &ItemKey(forged.into())), "{forged}");
        }
        assert_eq!(maker.next(&parts, &[maker.key(&parts, 0)]), maker.key(&parts, 1));
    }
}
