//! Pages and partials as askama structs: domain values in, HTML out, no I/O.
//!
//! One file per resource, its templates in the folder of the same name. Handlers fill the structs with words and numbers that are
//! already decided; the structs decide only how they look. [`frame`] is what stands around every page, [`part`] the small parts
//! that pages share, [`value`] how a record's values are put into words, [`assets`] the style sheets, icons and scripts, embedded.
//! Nothing here asks the time or who is signed in: both are handed in.

pub mod api_docs;
pub mod assets;
pub mod attention;
pub mod confirm;
pub mod demo;
pub mod error;
pub mod frame;
pub mod home;
pub mod nodes;
pub mod part;
pub mod reading;
pub mod records;
pub mod session;
pub mod sync;
pub mod types;
pub mod users;
pub mod value;

pub use frame::{Frame, Here};
pub use part::Markup;
