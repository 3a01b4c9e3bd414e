//! Yes or no, and unknown where null is a value.

use serde_json::Value;

use super::{Kind, Read, Sent};
use crate::domain::form::field::Field;
use crate::domain::form::options::{self, Choosable};
use crate::domain::form::view::{Input, Options};

pub(in crate::domain::form) struct YesNo;

fn options(field: &Field, value: Option<&Value>) -> Vec<Choosable> {
    options::with(&options::yes_no(), field.nullable.then_some("Unknown"), value.into_iter())
}

impl Kind for YesNo {
    fn shows(&self, _: &Value) -> bool {
        true
    }

    fn draw(&self, field: &Field, value: Option<&Value>, sent: &Sent) -> Input {
        let blank = (!field.required && !field.nullable).then_some("No answer");
        options::draw(options(field, value), value, blank, Options::RadioRow, sent)
    }

    fn read(&self, field: &Field, value: Option<&Value>, sent: &Sent) -> Read {
        options::read(options(field, value), value, sent)
    }

    fn parts(&self) -> &'static [&'static str] {
        &["shown"]
    }
}
