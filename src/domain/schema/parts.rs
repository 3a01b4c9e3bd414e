//! The subschemas of a type's schema as a form asks for them: each with its own words, and what it leads to.
//!
//! Nothing here is merged. Which of them hold for a value is found by whoever follows the leads; whether one holds for a value
//! is asked of the validator, which is made for it when it is first asked.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use jsonschema::{Draft, Registry, Resource, Validator};
use serde_json::{Map, Value, json};

use super::compiled::NoRetriever;
use super::document::{APPLICATORS, Document, NodeId};
use super::facets::Types;
use super::patterns;

/// A subschema, by its number.
pub type PartId = NodeId;

/// One subschema.
#[derive(Debug)]
pub struct Part {
    /// Where it stands in the schema.
    pub pointer: String,
    /// What it says itself, without what holds subschemas.
    pub words: Map<String, Value>,
    /// `Some` for the schemas `true` and `false`.
    pub verdict: Option<bool>,
    pub leads: Vec<Lead>,
    /// What it and all that holds with it leave possible.
    pub types: Types,
    /// It may come again inside of what it describes.
    pub is_recursive: bool,
}

/// From one subschema to another.
#[derive(Debug)]
pub struct Lead {
    pub keyword: &'static str,
    /// The property name or the pattern, where the keyword names its subschemas.
    pub name: Box<str>,
    pub to: PartId,
}

impl Part {
    pub fn word(&self, word: &str) -> Option<&Value> {
        self.words.get(word)
    }

    pub fn text(&self, word: &str) -> Option<&str> {
        self.word(word)?.as_str().filter(|text| !text.trim().is_empty())
    }

    pub fn leads_by<'s>(&'s self, keyword: &'s str) -> impl Iterator<Item = &'s Lead> + 's {
        self.leads.iter().filter(move |lead| lead.keyword == keyword)
    }

    pub fn lead(&self, keyword: &str) -> Option<PartId> {
        self.leads.iter().find(|lead| lead.keyword == keyword).map(|lead| lead.to)
    }
}

/// All subschemas of one schema.
pub struct Parts {
    parts: Vec<Part>,
    is_ours: bool,
    registry: Option<Registry<'static>>,
    judges: RwLock<HashMap<PartId, Option<Arc<Validator>>>>,
    names: RwLock<HashMap<String, Option<Arc<Validator>>>>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.parts.iter().map(|part| &part.pointer)).finish()
    }
}

/// The name under which the schema is known to the validators of its parts.
const HOME: &str = "urn:outpost:type";

impl std::ops::Index<PartId> for Parts {
    type Output = Part;

    fn index(&self, id: PartId) -> &Part {
        &self.parts[id]
    }
}

impl Parts {
    /// The schema has passed the check.
    pub(super) fn of(source: &Value) -> Self {
        let document = Document::read(source);
        let recursive = document.recursive();
        let parts: Vec<Part> =
            recursive.into_iter().enumerate().map(|(id, is_recursive)| part(&document, id, is_recursive)).collect();
        let speaks = |part: &Part| part.words.keys().any(|word| word.starts_with("x-") && *word != "x-enumNames");
        let resource = Resource::from_contents(source.clone());
        let registry = Registry::new().draft(Draft::Draft202012).retriever(NoRetriever).add(HOME, resource);
        Self {
            is_ours: parts.iter().any(speaks),
            parts,
            registry: registry.and_then(|builder| builder.prepare()).ok(),
            judges: RwLock::default(),
            names: RwLock::default(),
        }
    }

    pub fn root(&self) -> PartId {
        0
    }

    /// Whether the schema uses words of our vocabulary: whoever wrote it wrote it for a form.
    pub fn is_ours(&self) -> bool {
        self.is_ours
    }

    /// Whether a value is valid by a subschema.
    pub fn holds(&self, id: PartId, value: &Value) -> bool {
        match self.parts[id].verdict {
            Some(verdict) => verdict,
            None => self.judge(id).is_some_and(|judge| judge.is_valid(value)),
        }
    }

    fn judge(&self, id: PartId) -> Option<Arc<Validator>> {
        known(&self.judges, &id, || {
            let reference = format!("{HOME}#{}", encoded(&self.parts[id].pointer));
            let options = jsonschema::draft202012::options()
                .with_registry(self.registry.as_ref()?)
                .with_retriever(NoRetriever)
                .with_pattern_options(patterns::options())
                .should_validate_formats(true);
            options.build(&json!({ "$ref": reference })).ok()
        })
    }

    /// Whether a property name matches a pattern of `patternProperties`.
    pub fn matches(&self, pattern: &str, name: &str) -> bool {
        let judge = known(&self.names, pattern, || {
            let options = jsonschema::draft202012::options().with_pattern_options(patterns::options());
            options.build(&json!({ "pattern": pattern })).ok()
        });
        judge.is_some_and(|judge| judge.is_valid(&Value::String(name.to_owned())))
    }
}

type Judges<K> = RwLock<HashMap<K, Option<Arc<Validator>>>>;

fn known<K, Q>(judges: &Judges<K>, key: &Q, make: impl FnOnce() -> Option<Validator>) -> Option<Arc<Validator>>
where
    K: std::borrow::Borrow<Q> + std::hash::Hash + Eq,
    Q: ToOwned<Owned = K> + std::hash::Hash + Eq + ?Sized,
{
    // whoever panicked with the lock in hand left a whole map
    if let Some(judge) = judges.read().unwrap_or_else(|poisoned| poisoned.into_inner()).get(key) {
        return judge.clone();
    }
    let judge = make().map(Arc::new);
    judges.write().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(key.to_owned(), judge.clone());
    judge
}

/// A pointer as a URI's fragment.
fn encoded(pointer: &str) -> String {
    let mut text = String::with_capacity(pointer.len());
    for byte in pointer.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b'$' => text.push(byte.into()),
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

fn part(document: &Document, id: NodeId, is_recursive: bool) -> Part {
    let node = &document.nodes[id];
    let holds_parts = |word: &str| APPLICATORS.iter().any(|(name, ..)| *name == word);
    let words = node.schema.as_object().into_iter().flatten().filter(|(word, _)| !holds_parts(word));
    let lead = |edge: &super::document::Edge| Lead { keyword: edge.keyword, name: edge.name.into(), to: edge.to };
    let mut leads: Vec<Lead> = node.edges.iter().map(lead).collect();
    // of several that a dynamic reference may end at, the outermost is meant: the one of the schema that is entered first
    let dynamic = |lead: &Lead| lead.keyword == "$dynamicRef";
    let outermost = leads.iter().filter(|lead| dynamic(lead)).map(|lead| lead.to).min();
    leads.retain(|lead| !dynamic(lead) || Some(lead.to) == outermost);
    Part {
        pointer: node.pointer.clone(),
        words: words.map(|(word, value)| (word.clone(), value.clone())).collect(),
        verdict: node.schema.as_bool(),
        leads,
        types: Types::of(document, id),
        is_recursive,
    }
}
