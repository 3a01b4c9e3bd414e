//! What is true with no I/O: types and schemas, validation, forms, records, clock, merge, protocol messages.
//!
//! Nothing here reads a clock, a file, a socket or a source of chance; time and ids arrive as arguments.

pub mod blob;
pub mod clock;
pub mod diff;
pub mod feed;
mod field_error;
pub mod form;
pub mod ids;
pub mod json;
pub mod path;
pub mod peer;
pub mod people;
pub mod protocol;
pub mod ratchet;
pub mod reach;
pub mod reconcile;
pub mod record;
pub mod save;
pub mod schema;
pub mod scope;
pub mod session;
pub mod snapshot;
pub mod stamp;

pub use field_error::FieldError;
