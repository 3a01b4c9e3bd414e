//! Pages and partials as askama structs: domain values in, HTML out, no I/O.
//!
//! One file per resource, its templates in the folder of the same name. Handlers fill the structs with words and numbers that are
//! already decided; the structs decide only how they look. [`frame`] is what stands around every page, [`part`] the small parts
//! that pages share, [`value`] how a record's values are put into words, [`assets`] the style sheets, icons and scripts, embedded.
//! Nothing here asks the time or who is signed in: both are handed in.
//!
//! What the pages expect of the server beside the addresses in their forms:
//! - `GET /live`, server-sent events without data of their own: `link` when [`frame::LinkStatus`] changed, `records-TYPE` when
//!   records of a type did. Each leads to one small request; without them the pages work the same. Not signed in: 204.
//! - `GET /link` answers with [`frame::LinkStatus`], `GET /records/{type}/live?since=…&QUERY` with [`records::LiveLine`].
//! - A form with `hx-post` gets its partial when the request carries `HX-Request` and `HX-Request-Type: partial`:
//!   `POST /sync` the [`sync::LinkCard`], `POST /conflicts/{id}` [`attention::Settled`]. Without, 303 to `_to` (a path of this node,
//!   to be checked) or to the page itself. What htmx swaps in after an error is [`error::ErrorNote`].
//! - `POST /nodes/{id}` with `_do=revoke` and without `_sure=yes` is answered with [`confirm::ConfirmPage`].

pub mod api_docs;
pub mod assets;
pub mod attention;
pub mod confirm;
pub mod demo;
pub mod error;
pub mod file;
pub mod form;
pub mod frame;
pub mod home;
pub mod nodes;
pub mod part;
pub mod reading;
pub mod records;
mod schema_parts;
pub mod session;
pub mod sync;
pub mod types;
pub mod users;
pub mod value;

pub use frame::{Frame, Here};
pub use part::Markup;
