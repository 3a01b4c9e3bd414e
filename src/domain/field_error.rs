use serde::{Deserialize, Serialize};

/// What a person can correct: where, which rule, and what to do about it in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// RFC 6901 JSON Pointer into the document that was judged; items of repeated groups by position.
    pub pointer: String,
    /// The JSON Schema keyword that failed, or a word of ours (`limit`, `json`, `name`) where no keyword did.
    pub keyword: String,
    /// A sentence for the person, with an example where one helps.
    pub message: String,
}

impl FieldError {
    pub fn new(pointer: impl Into<String>, keyword: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), keyword: keyword.into(), message: message.into() }
    }
}
