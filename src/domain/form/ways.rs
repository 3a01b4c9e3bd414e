//! What several branches are to a person: values to choose from, a question that another field answers, a rule that only shows when
//! it is broken, or a choice of its own.

use serde_json::Value;

use super::say::{Chooser, Say};
use crate::domain::json;
use crate::domain::schema::{PartId, Parts, Types};

/// How the branches of a `oneOf` or `anyOf` are drawn.
#[derive(Debug, PartialEq)]
pub(super) enum Way {
    /// No branch can hold.
    Nothing,
    /// One control for them all: they list values, or are one kind of value with different rules.
    Values,
    /// There is but one beside null.
    Only(PartId),
    /// A property has other values in each branch, and so decides.
    Property(String),
    /// They only say what must be there or how it must be; there is nothing to choose.
    Rule,
    /// A person chooses.
    Choose,
}

/// More listed values than this are not looked for.
const LISTED: usize = 5_000;

/// References and `allOf` that are followed from one to the next.
const DEEP: usize = 300;

/// `so_far` is what holds without them.
pub(super) fn of(parts: &Parts, so_far: &Say, branches: &[PartId], holder: PartId) -> Way {
    if branches.is_empty() {
        return Way::Nothing;
    }
    if branches.iter().all(|&branch| finite(parts, branch).is_some()) {
        return Way::Values;
    }
    let solid: Vec<PartId> = branches.iter().copied().filter(|&branch| parts[branch].types != Types::NULL).collect();
    if let [only] = solid[..] {
        return Way::Only(only);
    }
    let types = so_far.types();
    let objects = solid.iter().all(|&branch| {
        let own = parts[branch].types.and(types);
        own == Types::OBJECT
            || (own == Types::ALL && closure(parts, branch).iter().any(|&id| speaks_of_objects(parts, id)))
    });
    if objects
        && solid.len() == branches.len()
        && let Some(name) = tells_apart(parts, &solid, holder)
    {
        return Way::Property(name);
    }
    if solid.len() == branches.len() && branches.iter().all(|&branch| is_rule(parts, so_far, branch)) {
        return Way::Rule;
    }
    let scalar = |kind: Types| solid.iter().all(|&branch| parts[branch].types.and(types) == kind);
    if scalar(Types::STRING) || scalar(Types::NUMBER) {
        return Way::Values;
    }
    Way::Choose
}

fn speaks_of_objects(parts: &Parts, id: PartId) -> bool {
    parts[id].lead("properties").is_some() || parts[id].words.contains_key("required")
}

/// A subschema and all that always holds with it.
pub(super) fn closure(parts: &Parts, id: PartId) -> Vec<PartId> {
    let (mut all, mut next) = (vec![id], 0);
    while next < all.len() && all.len() < DEEP {
        for lead in &parts[all[next]].leads {
            if matches!(lead.keyword, "$ref" | "$dynamicRef" | "allOf") && !all.contains(&lead.to) {
                all.push(lead.to);
            }
        }
        next += 1;
    }
    all
}

/// The values that a subschema lists, with their titles; `None` where there may be others.
pub(super) fn finite(parts: &Parts, id: PartId) -> Option<Vec<(Value, Option<String>)>> {
    finite_within(parts, id, 0)
}

fn finite_within(parts: &Parts, id: PartId, depth: usize) -> Option<Vec<(Value, Option<String>)>> {
    if depth > 8 {
        return None;
    }
    for id in closure(parts, id) {
        let part = &parts[id];
        if let Some(value) = part.word("const") {
            return Some(vec![(value.clone(), part.text("title").map(str::to_owned))]);
        }
        if let Some(Value::Array(values)) = part.word("enum") {
            let titles = ["enumNames", "x-enumNames"].iter().find_map(|word| part.word(word)?.as_array());
            let of_all = (values.len() == 1).then(|| part.text("title")).flatten();
            let title = |at: usize| titles.and_then(|all| all.get(at)).and_then(Value::as_str).or(of_all);
            let titled = values.iter().enumerate().map(|(at, value)| (value.clone(), title(at).map(str::to_owned)));
            return Some(titled.take(LISTED).collect());
        }
        for word in ["oneOf", "anyOf"] {
            let mut leads = part.leads_by(word).peekable();
            if leads.peek().is_some()
                && let Some(each) =
                    leads.map(|lead| finite_within(parts, lead.to, depth + 1)).collect::<Option<Vec<_>>>()
            {
                return Some(each.concat());
            }
        }
    }
    match parts[id].types {
        Types::NULL => Some(vec![(Value::Null, None)]),
        Types::BOOLEAN => Some(vec![(Value::Bool(true), None), (Value::Bool(false), None)]),
        _ => None,
    }
}

/// What a branch says of a property.
pub(super) fn property(parts: &Parts, branch: PartId, name: &str) -> Option<PartId> {
    closure(parts, branch)
        .into_iter()
        .find_map(|id| parts[id].leads_by("properties").find(|lead| *lead.name == *name).map(|lead| lead.to))
}

/// The property that every branch lists other values of.
fn tells_apart(parts: &Parts, branches: &[PartId], holder: PartId) -> Option<String> {
    let said = parts[holder].word("discriminator").and_then(|said| said.get("propertyName")).and_then(Value::as_str);
    let first = closure(parts, *branches.first()?);
    let names = first.iter().flat_map(|&id| parts[id].leads_by("properties")).map(|lead| &*lead.name);
    said.into_iter()
        .chain(names)
        .find(|name| {
            let mut seen: Vec<Value> = Vec::new();
            branches.iter().all(|&branch| {
                let Some(values) = property(parts, branch, name).and_then(|id| finite(parts, id)) else { return false };
                let is_new = !values.is_empty()
                    && values.iter().all(|(value, _)| !seen.iter().any(|other| json::equal(other, value)));
                seen.extend(values.into_iter().map(|(value, _)| value));
                is_new && seen.len() < LISTED
            })
        })
        .map(str::to_owned)
}

/// Whether a branch adds nothing that would have to be drawn.
fn is_rule(parts: &Parts, so_far: &Say, branch: PartId) -> bool {
    let types = so_far.types();
    let says = |keyword: &str| so_far.leads(keyword);
    closure(parts, branch).into_iter().all(|id| {
        let part = &parts[id];
        if part.verdict == Some(false) {
            return true;
        }
        let narrows = part.types.and(types) != types;
        let lists = part.words.contains_key("const") || part.words.contains_key("enum");
        if (narrows && !(types == Types::ALL && part.types == Types::OBJECT && !says("properties"))) || lists {
            return false;
        }
        part.leads.iter().all(|lead| match lead.keyword {
            "properties" => is_drawn_anyway(parts, so_far, &lead.name, lead.to),
            "items" | "prefixItems" => parts[lead.to].verdict.is_some() || says("items") || says("prefixItems"),
            "additionalProperties" | "unevaluatedProperties" | "unevaluatedItems" => parts[lead.to].verdict.is_some(),
            "patternProperties" => says("patternProperties"),
            "dependentSchemas" | "then" | "else" => false,
            "oneOf" | "anyOf" => is_rule(parts, so_far, lead.to),
            _ => true,
        })
    })
}

fn is_drawn_anyway(parts: &Parts, so_far: &Say, name: &str, said: PartId) -> bool {
    if parts[said].verdict == Some(false) {
        return true;
    }
    let own = so_far.all.iter().find_map(|held| {
        let lead = parts[held.id].leads_by("properties").find(|lead| *lead.name == *name)?;
        Some(lead.to)
    });
    let Some(own) = own else { return false };
    let (own, said) = (parts[own].types, parts[said].types);
    own != Types::ALL && own.and(said) != Types::NONE
}

/// `x-order`.
pub(super) fn order(parts: &Parts, id: PartId) -> Option<f64> {
    closure(parts, id).into_iter().find_map(|id| parts[id].word("x-order")).and_then(Value::as_f64)
}

/// The branch that a value is of: the one that holds, and of several or of none the one that fits best.
pub(super) fn nearest(parts: &Parts, chooser: &Chooser, value: &Value) -> Option<usize> {
    let possible = || chooser.possible.iter().copied();
    let holding: Vec<usize> = possible().filter(|&at| parts.holds(chooser.branches[at], value)).collect();
    let best = |among: &mut dyn Iterator<Item = usize>| {
        among
            .map(|at| (score(parts, chooser.branches[at], value), at))
            .max_by_key(|(score, at)| (*score, usize::MAX - at))
    };
    match holding[..] {
        [only] => Some(only),
        [] => best(&mut possible()).filter(|(score, _)| *score > 0).map(|(_, at)| at),
        _ => best(&mut holding.iter().copied()).map(|(_, at)| at),
    }
}

/// How well a value fits a branch: matching constants count most, then its type, then the properties that the branch knows.
fn score(parts: &Parts, branch: PartId, value: &Value) -> i64 {
    let mut score = 0;
    if parts[branch].types.has(Types::of_value(value)) {
        score += if parts[branch].types == Types::ALL { 1 } else { 10 };
    } else {
        return 0;
    }
    let Value::Object(map) = value else { return score };
    for id in closure(parts, branch) {
        for lead in parts[id].leads_by("properties") {
            let Some(own) = map.get(&*lead.name) else { continue };
            score += 1;
            if let Some(values) = finite(parts, lead.to) {
                score += if values.iter().any(|(value, _)| json::equal(value, own)) { 100 } else { -100 };
            }
        }
    }
    score
}

/// What a branch is called: its title, or what it refers to, or its type and the names of its first properties.
pub(super) fn called(parts: &Parts, branch: PartId) -> String {
    let all = closure(parts, branch);
    if let Some(title) = all.iter().find_map(|&id| parts[id].text("title")) {
        return title.chars().take(80).collect();
    }
    if let Some(values) = finite(parts, branch)
        && let [(value, _), ..] = &values[..]
    {
        let words: Vec<String> = values.iter().take(3).map(|(value, _)| super::options::short(value)).collect();
        if values.len() <= 3 || !value.is_object() {
            let more = if values.len() > 3 { ", \u{2026}" } else { "" };
            return format!("{}{more}", words.join(", "));
        }
    }
    let names: Vec<String> = {
        let leads = all.iter().flat_map(|&id| parts[id].leads_by("properties"));
        leads.take(3).map(|lead| crate::domain::schema::humanized(&lead.name)).collect()
    };
    let referred = all.iter().skip(1).find_map(|&id| {
        let (holder, name) = parts[id].pointer.rsplit_once('/')?;
        (holder.ends_with("$defs") || holder.ends_with("definitions")).then(|| crate::domain::schema::humanized(name))
    });
    if let Some(name) = referred {
        return name;
    }
    match kind_word(parts[branch].types) {
        _ if !names.is_empty() => names.join(", "),
        "A list" => {
            let item = all.iter().find_map(|&id| parts[id].lead("items"));
            item.map_or("A list".to_owned(), |item| format!("A list: {}", lowered(&called_of_item(parts, item))))
        }
        word => word.to_owned(),
    }
}

fn called_of_item(parts: &Parts, item: PartId) -> String {
    let title = closure(parts, item).into_iter().find_map(|id| parts[id].text("title").map(str::to_owned));
    title.unwrap_or_else(|| kind_word(parts[item].types).to_owned())
}

fn lowered(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// A type in a word.
pub(super) fn kind_word(types: Types) -> &'static str {
    match types.without(Types::NULL) {
        Types::STRING => "Text",
        Types::NUMBER => "A number",
        Types::BOOLEAN => "Yes or no",
        Types::ARRAY => "A list",
        Types::OBJECT => "Named fields",
        Types::NONE => "Nothing",
        _ => "Any value",
    }
}
