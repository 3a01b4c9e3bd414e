//! How large a schema, and what it judges, may be. Everything here is checked before the work it bounds is begun.

/// Bytes of a schema, as JSON text.
pub const SCHEMA_BYTES: usize = 1024 * 1024;

/// Objects and arrays within one another in a schema's text, the outermost counted. The JSON reader itself stops there.
pub const SCHEMA_NESTING: usize = 127;

/// Objects and arrays within one another in a record, the outermost counted.
pub const RECORD_NESTING: usize = 256;

/// Digits of one number, the exponent written out, in a schema as in a record.
pub const NUMBER_DIGITS: usize = 1_000;

/// Properties that a schema names, all its objects together.
pub const PROPERTIES: usize = 2_000;

/// Characters of one property name that a schema knows.
pub const NAME_CHARS: usize = 500;

/// Characters that a field keeps of its title, its unit and its example.
pub const TITLE_CHARS: usize = 200;

/// Characters that a field keeps of its description.
pub const DESCRIPTION_CHARS: usize = 2_000;

/// Bytes of the choices that the fields of one type keep, all together; a field that comes after has its choices in the
/// schema only.
pub const CHOICES_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of the pointers to all subschemas, and to all fields.
pub const POINTERS_BYTES: usize = 32 * 1024 * 1024;

/// Subschemas of one schema.
pub const SUBSCHEMAS: usize = 20_000;

/// `$ref`s that lead from one to the next before a value is looked at.
pub const REF_CHAIN: usize = 256;

/// Subschemas within one another, each `$ref` written out once.
pub const SCHEMA_DEPTH: usize = 2_048;

/// Subschemas that one value may have to be held against, each `$ref` written out.
pub const SAME_PLACE: usize = 2_000;

/// Subschemas that a value and all that hold it may have to be held against, taken together. A record may be nested only
/// so deep that this is kept; it is less than [`RECORD_NESTING`] only where a schema says things several times at every level.
pub const HELD_AGAINST: usize = 100_000;

/// Characters of one `pattern`.
pub const PATTERN_CHARS: usize = 1_000;

/// Bytes of one `pattern` when compiled: `^\p{L}{1,64}$` fits. A megabyte of text is then matched within a second.
pub const PATTERN_BYTES: usize = 4 * 1024 * 1024;

/// Steps back that matching one text by one pattern may take, where the pattern has look-around or back references.
pub const PATTERN_STEPS: usize = 10_000;

/// Bytes of all patterns of a schema when compiled.
pub const PATTERNS_BYTES: usize = 32 * 1024 * 1024;

/// Places into which records of one type are cut for merging; what lies deeper is merged as one value.
pub const PLACES: usize = 10_000;

/// Objects and groups within one another that are merged part by part; what lies deeper is merged as one value.
pub const PLACE_NESTING: usize = 32;

/// Errors told about one schema or one record.
pub const ERRORS: usize = 100;
