//! Pages for people. A handler is one paragraph: what came in, what the node says, what to show.

pub mod attention;
pub mod demo;
pub mod design;
pub mod docs;
pub mod form;
pub mod history;
mod holds;
pub mod home;
pub mod list;
pub mod live;
pub mod nodes;
pub mod people;
pub mod quarantine;
mod read;
pub mod record;
pub mod sign;
pub mod sync;
pub mod types;

use uuid::Uuid;

use super::error::WebError;
use crate::domain::ids::RecordId;

/// The id of an address; what is none leads nowhere.
fn id(text: &str) -> Result<RecordId, WebError> {
    if text.len() == 36 { Uuid::try_parse(text).map_err(|_| WebError::Nowhere) } else { Err(WebError::Nowhere) }
}
