//! What is true with no I/O: types and schemas, validation, forms, records, clock, merge, protocol messages.
//!
//! Nothing here reads a clock, a file, a socket or a source of chance; time and ids arrive as arguments.

mod field_error;
pub mod schema;

pub use field_error::FieldError;
