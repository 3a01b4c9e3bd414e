//! One of the listed values: side by side where they are few, else a menu.

use serde_json::Value;

use super::{Kind, Read, Sent};
use crate::domain::form::field::Field;
use crate::domain::form::options::{self, Choosable};
use crate::domain::form::view::{Input, Options};

pub(in crate::domain::form) struct Choice;

/// Choices up to this many are laid out side by side.
const SIDE_BY_SIDE: usize = 5;

fn options(field: &Field, value: Option<&Value>) -> Vec<Choosable> {
    options::with(&field.options, field.nullable.then_some("None"), value.into_iter())
}

impl Kind for Choice {
    fn shows(&self, _: &Value) -> bool {
        true
    }

    fn draw(&self, field: &Field, value: Option<&Value>, sent: &Sent) -> Input {
        let is_menu = match field.widget.as_str() {
            "select" => true,
            "radio" => false,
            _ => field.options.len() > SIDE_BY_SIDE,
        };
        let blank = match is_menu {
            true => Some("Not answered"),
            // where null is a value, it is the way back
            false => (!field.required && !field.nullable).then_some("No answer"),
        };
        options::draw(options(field, value), value, blank, if is_menu { Options::Menu } else { Options::Radio }, sent)
    }

    fn read(&self, field: &Field, value: Option<&Value>, sent: &Sent) -> Read {
        options::read(options(field, value), value, sent)
    }

    fn parts(&self) -> &'static [&'static str] {
        &["shown"]
    }
}
