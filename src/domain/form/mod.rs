//! Forms: from a type's schema and a record to controls, and from what was posted back to a record.
//!
//! Three things are never mixed. A [`Base`] is the version of the record that a form was rendered from; the form carries it, so
//! that a save replaces what its author saw. What was [`Posted`] is text, and may be anything. The candidate that [`decode`]
//! makes of it is judged, by the schema as it stands; and only what differs from the base is written, see
//! [`diff`](super::diff).
//!
//! Which controls there are follows from what holds for each value with the answers so far (`say`): what always does, what a
//! condition adds, and the branches a person chose (`ways`). One walk (`walk`) both reads and draws. Each kind of control is
//! one file in `kinds`. A value that no control can show is edited as its JSON text: a form never refuses to open and never loses
//! a value. Nothing here draws HTML; that is done in `views::form`.

mod base;
mod decode;
mod field;
mod keys;
mod kinds;
mod layout;
mod options;
mod posted;
mod problems;
mod reach;
mod rows;
mod say;
mod text;
mod view;
mod walk;
mod ways;

pub use base::{Base, Reload};
pub use decode::{Context, Decoded, decode};
pub use kinds::{is_date, is_time};
pub use layout::Layout;
pub use posted::{Action, Posted, Verb};
pub use problems::Problem;
pub use view::{
    Branch, Choice, Chooser, Closing, Control, Fault, Form, Head, Input, Key, Message, MessageTone, Node, Options, Row,
    Rows, Section,
};
