//! Forms: from a type's schema and a record to controls, and from what was posted back to a record.
//!
//! A [`Layout`] says which controls a type has. A [`Base`] is the version of the record that a form was rendered from; the form
//! carries it, so that a save replaces what its author saw. [`Form`] is the tree of controls to draw. [`decode`] makes the
//! candidate of a post, and only what differs between the two is written, see [`diff`](super::diff). What no control is
//! made for yet is edited as its JSON text: a form never refuses to open and never loses a value.
//!
//! Nothing here draws HTML; that is done in `views::form`.

mod base;
mod build;
mod decode;
mod keys;
mod layout;
mod options;
mod posted;
mod problems;
mod rows;
mod said;
mod text;
mod view;

pub use base::{Base, Reload};
pub use decode::{Context, Decoded, decode};
pub use layout::Layout;
pub use posted::{Action, Posted, Verb};
pub use problems::Problem;
pub use text::{is_date, is_time};
pub use view::{Choice, Control, Fault, Form, Head, Input, Message, MessageTone, Node, Options, Row, Rows, Section};
