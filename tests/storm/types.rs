//! Where types are real publications: their schemas, and what a designer changes in the middle of everything.

use serde_json::{Value, json};

use crate::dice::Dice;

/// The schema of a note or a job in its n-th publication.
pub struct Design {
    pub name: &'static str,
    schema: Value,
    publications: u64,
}

impl Design {
    pub fn all() -> [Design; 2] {
        let note = json!({
            "title": "Note",
            "type": "object",
            "properties": {
                "title": {"type": "integer"},
                "status": {"type": ["string", "integer"]},
                "stock": {"type": "integer", "x-merge": "counter"},
                "story": {"type": "string", "x-merge": "text"},
                "level": {"type": "integer", "x-conflict": "highest"},
                "floor": {"type": "integer", "x-conflict": "lowest"},
                "choice": {"type": "integer", "x-conflict": "ask"},
                "address": {
                    "type": "object",
                    "properties": {"city": {"type": ["string", "integer"]}, "street": {"type": "string"}}
                },
                "parts": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {"part": {"type": "string"}, "count": {"type": "integer"}}
                    }
                }
            }
        });
        let job = json!({
            "title": "Job",
            "type": "object",
            "x-scope": "site",
            "required": ["site"],
            "properties": {
                "site": {"enum": ["a", "b"]},
                "title": {"type": "integer"},
                "state": {"enum": ["open", "done"]},
                "result": {"type": "integer"}
            },
            "if": {"properties": {"state": {"const": "done"}}, "required": ["state"]},
            "then": {"required": ["result"]}
        });
        [("note", note), ("job", job)].map(|(name, schema)| Design { name, schema, publications: 0 })
    }

    pub fn text(&self) -> String {
        self.schema.to_string()
    }

    /// The designer adds a field, or allows less than before; says whether it was less.
    pub fn change(&mut self, dice: &mut Dice, may_narrow: bool) -> bool {
        self.publications += 1;
        let narrows = may_narrow && dice.chance(50);
        if narrows {
            self.schema["properties"]["title"]["maximum"] = json!(dice.below(500));
        } else {
            self.schema["properties"][format!("extra{}", self.publications)] = json!({"type": "string"});
        }
        narrows
    }
}
