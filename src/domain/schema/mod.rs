//! Everything about a custom type's JSON Schema: judging it, bringing old drafts up to 2020-12, compiling it, and what
//! follows from it: how records are cut for merging, what is written together, which fields there are.
//!
//! It does not draw forms and does not merge. A schema that passed [`check`] cannot make validating a record endless, fetch
//! anything, or overflow the stack.

mod annotations;
mod check;
mod compiled;
mod conflict;
mod document;
mod facets;
mod fields;
mod graph;
pub mod limits;
mod messages;
mod parts;
mod patterns;
mod pointer;
mod shape;
mod units;
mod upgrade;
mod uri;

#[cfg(test)]
mod tests;

pub use check::{check, parse};
pub use compiled::Schema;
pub use conflict::Conflict;
pub use facets::Types;
pub(crate) use fields::humanized;
pub use fields::{Choice, Field, Kind};
pub use parts::{Lead, Part, PartId, Parts};
pub use shape::{ObjectShape, Property, Shape};
pub use units::{Place, Segment, Unit, Units};
pub use upgrade::{Change, Draft, Upgraded, upgrade};

/// The words of ours in a schema, and what each means.
pub const VOCABULARY: &str = include_str!("../../../schemas/vocabulary.schema.json");

/// The meta-schema of a custom type.
pub const TYPE: &str = include_str!("../../../schemas/type.schema.json");

/// Sample types to begin with: name and schema.
pub const SAMPLES: &[(&str, &str)] = &[
    ("work-order", include_str!("../../../schemas/work-order.schema.json")),
    ("inspection", include_str!("../../../schemas/inspection.schema.json")),
    ("vitals", include_str!("../../../schemas/vitals.schema.json")),
];
