//! Whether some answers could bring a control of a name into a form.

use super::kinds::is_part;
use crate::domain::path::Path;
use crate::domain::schema::{PartId, Parts, Types};

/// Subschemas that are looked at for one step of a name.
const MOST: usize = 5_000;

/// Whether a control of this name, or of a part of it, may come to be in the form.
pub(super) fn leads_to(parts: &Parts, name: &str) -> bool {
    let (pointer, part) = match name.rfind('#') {
        Some(at) if is_part(&name[at + 1..]) => (&name[..at], &name[at + 1..]),
        _ => (name, ""),
    };
    let Some(steps) = Path::steps(pointer) else { return false };
    let mut heads = vec![parts.root()];
    for step in steps {
        let all = everything(parts, &heads);
        if all.is_empty() {
            return true;
        }
        let mut next: Vec<PartId> = Vec::new();
        let mut is_open = false;
        for &id in &all {
            let part = &parts[id];
            for lead in &part.leads {
                match lead.keyword {
                    "properties" if *lead.name == *step => next.push(lead.to),
                    "patternProperties" if step.starts_with('@') || parts.matches(&lead.name, &step) => {
                        next.push(lead.to)
                    }
                    "additionalProperties" | "unevaluatedProperties" if parts[lead.to].verdict != Some(false) => {
                        next.push(lead.to);
                    }
                    "items" | "prefixItems" | "unevaluatedItems" if step.starts_with('@') => next.push(lead.to),
                    _ => {}
                }
            }
            let required = part.word("required").and_then(serde_json::Value::as_array);
            is_open |= required.is_some_and(|names| names.iter().any(|name| name == step.as_str()));
            is_open |= step.starts_with('@') && part.types.has(Types::ARRAY.or(Types::OBJECT));
        }
        if next.is_empty() {
            return is_open;
        }
        heads = next;
    }
    let all = everything(parts, &heads);
    let may = |types: Types| all.iter().all(|&id| parts[id].types.has(types));
    match part {
        "date" | "time" | "zone" => all.iter().any(|&id| parts[id].text("format") == Some("date-time")),
        "items" => may(Types::ARRAY.or(Types::OBJECT)),
        _ => true,
    }
}

/// All that may hold for a value, whatever the answers are.
fn everything(parts: &Parts, heads: &[PartId]) -> Vec<PartId> {
    let (mut all, mut next) = (heads.to_vec(), 0);
    while next < all.len() && all.len() < MOST {
        for lead in &parts[all[next]].leads {
            let same = matches!(
                lead.keyword,
                "$ref" | "$dynamicRef" | "allOf" | "anyOf" | "oneOf" | "then" | "else" | "dependentSchemas"
            );
            if same && !all.contains(&lead.to) {
                all.push(lead.to);
            }
        }
        next += 1;
    }
    all.retain(|&id| parts[id].verdict.is_none() && !(parts[id].words.is_empty() && parts[id].leads.is_empty()));
    all
}
