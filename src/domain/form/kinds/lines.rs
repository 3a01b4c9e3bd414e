//! Text of several lines.

use serde_json::Value;

use super::{Kind, Read, Sent, plain, read_text, typed};
use crate::domain::form::field::Field;
use crate::domain::form::text::Way;
use crate::domain::form::view::Input;

pub(in crate::domain::form) struct Lines;

impl Kind for Lines {
    fn shows(&self, value: &Value) -> bool {
        !value.is_array() && !value.is_object()
    }

    fn draw(&self, _: &Field, value: Option<&Value>, sent: &Sent) -> Input {
        let text = typed(sent, || plain(value));
        Input::Lines { rows: text.lines().count().clamp(4, 20), text, is_json: false }
    }

    fn read(&self, field: &Field, value: Option<&Value>, sent: &Sent) -> Read {
        read_text(self, Way::Lines, &plain(value), field, value, sent)
    }

    fn stands_in(&self) -> Option<Way> {
        Some(Way::Lines)
    }
}
