//! Which subschemas hold for one value now: those that always do, those whose condition the answers so far meet, and the chosen
//! branches. A form is drawn from these; a record is never judged by them.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::ways::{self, Way};
use crate::domain::json;
use crate::domain::schema::{PartId, Parts, Types};

/// Where what is said of a value begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Heads {
    pub all: Vec<PartId>,
    /// What tells branches apart: each lists values, and the value is one of them all.
    pub either: Vec<PartId>,
}

impl Heads {
    pub fn of(all: Vec<PartId>) -> Self {
        Self { all, either: Vec::new() }
    }
}

/// A subschema that holds, and the chooser that it holds because of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub id: PartId,
    pub under: Option<usize>,
}

/// Branches of which a person chooses one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chooser {
    pub holder: PartId,
    /// `oneOf` or `anyOf`.
    pub word: &'static str,
    pub branches: Vec<PartId>,
    /// Those that the value can be of at all, by position.
    pub possible: Vec<usize>,
    pub chosen: Option<usize>,
    /// The chooser whose branch has it.
    pub under: Option<usize>,
}

/// What holds for one value.
pub(super) struct Say<'s> {
    pub parts: &'s Parts,
    /// The nearest first.
    pub all: Vec<Held>,
    pub either: Vec<PartId>,
    pub choosers: Vec<Chooser>,
    /// Alternatives that are drawn as one control: the holder and the word.
    pub values: Vec<(PartId, &'static str)>,
    /// Properties that tell branches apart, with what each branch says of them.
    apart: Vec<(String, Vec<PartId>)>,
    /// What holds may be different with other answers.
    depends: bool,
}

/// A property that a form asks for.
pub(super) struct Named {
    pub name: String,
    pub heads: Heads,
    pub required: bool,
    pub under: Option<usize>,
    /// The schema says something of it by its name, beyond that it must be there.
    pub is_described: bool,
}

/// Properties of names of people's own.
pub(super) struct Free {
    /// What is said of one whose name is not known yet.
    pub said: Vec<PartId>,
    /// They are only not forbidden.
    pub is_aside: bool,
}

/// Which branch was chosen: `None` where nobody said, so that the value decides.
pub(super) type Choices<'a> = &'a dyn Fn(&Chooser, bool) -> Option<Option<usize>>;

enum Open {
    Condition(PartId, Option<usize>),
    Dependent(PartId, Option<usize>),
    Branches(PartId, &'static str, Option<usize>),
}

impl<'s> Say<'s> {
    /// `known` is the value as far as it is known; what depends on a value that is not there does not hold.
    /// A branch that nobody chose is the one that `base` is of, the value as it was shown.
    pub fn gather(
        parts: &'s Parts,
        heads: &Heads,
        known: Option<&Value>,
        base: Option<&Value>,
        choices: Choices,
    ) -> Self {
        let mut say = Self {
            parts,
            all: Vec::new(),
            either: heads.either.clone(),
            choosers: Vec::new(),
            values: Vec::new(),
            apart: Vec::new(),
            depends: false,
        };
        let mut open = Vec::new();
        for &head in &heads.all {
            say.follow(head, None, &mut open);
        }
        let mut next = 0;
        while next < open.len() {
            say.settle(next, known, base, choices, &mut open);
            next += 1;
        }
        say.depends |= say.word("dependentRequired").is_some();
        say
    }

    fn has(&self, id: PartId) -> bool {
        self.all.iter().any(|held| held.id == id)
    }

    fn follow(&mut self, id: PartId, under: Option<usize>, open: &mut Vec<Open>) {
        if self.has(id) {
            return;
        }
        self.all.push(Held { id, under });
        for lead in &self.parts[id].leads {
            match lead.keyword {
                "$ref" | "$dynamicRef" | "allOf" => self.follow(lead.to, under, open),
                "if" => open.push(Open::Condition(id, under)),
                "dependentSchemas" if !open.iter().any(|one| matches!(one, Open::Dependent(of, _) if *of == id)) => {
                    open.push(Open::Dependent(id, under));
                }
                word @ ("oneOf" | "anyOf")
                    if !open.iter().any(|one| matches!(one, Open::Branches(of, by, _) if *of == id && *by == word)) =>
                {
                    open.push(Open::Branches(id, word, under));
                }
                _ => {}
            }
        }
    }

    fn settle(
        &mut self,
        next: usize,
        known: Option<&Value>,
        base: Option<&Value>,
        choices: Choices,
        open: &mut Vec<Open>,
    ) {
        let parts = self.parts;
        match open[next] {
            Open::Condition(id, under) => {
                self.depends = true;
                let (Some(condition), Some(known)) = (parts[id].lead("if"), known) else { return };
                let way = if parts.holds(condition, known) { "then" } else { "else" };
                if let Some(to) = parts[id].lead(way) {
                    self.follow(to, under, open);
                }
            }
            Open::Dependent(id, under) => {
                self.depends = true;
                for lead in parts[id].leads_by("dependentSchemas") {
                    if known.and_then(|known| known.get(&*lead.name)).is_some() {
                        self.follow(lead.to, under, open);
                    }
                }
            }
            Open::Branches(holder, word, under) => {
                self.branches((holder, word, under), known, base, choices, open);
            }
        }
    }

    fn branches(
        &mut self,
        (holder, word, under): (PartId, &'static str, Option<usize>),
        known: Option<&Value>,
        base: Option<&Value>,
        choices: Choices,
        open: &mut Vec<Open>,
    ) {
        let parts = self.parts;
        let branches: Vec<PartId> = parts[holder].leads_by(word).map(|lead| lead.to).collect();
        let types = self.types();
        let possible: Vec<usize> = (0..branches.len()).filter(|&at| parts[branches[at]].types.has(types)).collect();
        let can: Vec<PartId> = possible.iter().map(|&at| branches[at]).collect();
        match ways::of(parts, self, &can, holder) {
            Way::Nothing => {}
            Way::Values => self.values.push((holder, word)),
            Way::Only(branch) => self.follow(branch, under, open),
            Way::Rule => {
                self.depends = true;
                let Some(known) = known else { return };
                let mut holding = can.iter().filter(|&&branch| parts.holds(branch, known));
                if let (Some(&only), None) = (holding.next(), holding.next()) {
                    self.follow(only, under, open);
                }
            }
            Way::Property(name) => {
                self.depends = true;
                let said = |branch: PartId| ways::property(parts, branch, &name);
                let value = known.and_then(|known| known.get(&name));
                let lists = |branch: &&PartId| {
                    let values = said(**branch).and_then(|said| ways::finite(parts, said)).unwrap_or_default();
                    value.is_some_and(|value| values.iter().any(|(own, _)| json::equal(own, value)))
                };
                let all: Vec<PartId> = can.iter().filter_map(|&branch| said(branch)).collect();
                let chosen = can.iter().find(lists).copied();
                self.apart.push((name, all));
                if let Some(branch) = chosen {
                    self.follow(branch, under, open);
                }
            }
            Way::Choose => {
                self.depends = true;
                let mut chooser = Chooser { holder, word, branches, possible, chosen: None, under };
                let is_first = self.choosers.is_empty();
                chooser.chosen = match choices(&chooser, is_first) {
                    Some(said) => said.filter(|at| chooser.possible.contains(at)),
                    None => base.and_then(|base| ways::nearest(parts, &chooser, base)),
                };
                let branch = chooser.chosen.map(|at| chooser.branches[at]);
                let number = self.choosers.len();
                self.choosers.push(chooser);
                if let Some(branch) = branch {
                    self.follow(branch, Some(number), open);
                }
            }
        }
    }

    /// The types that are left.
    pub fn types(&self) -> Types {
        let either = self.either.iter().map(|&id| self.parts[id].types).reduce(Types::or).unwrap_or(Types::ALL);
        self.all.iter().map(|held| self.parts[held.id].types).fold(either, Types::and)
    }

    /// The first that says something by a word.
    pub fn word(&self, word: &str) -> Option<&'s Value> {
        let parts = self.parts;
        self.all.iter().find_map(|held| parts[held.id].word(word))
    }

    pub fn words<'w>(&'w self, word: &'w str) -> impl Iterator<Item = &'s Value> + 'w {
        let parts = self.parts;
        self.all.iter().filter_map(move |held| parts[held.id].word(word))
    }

    pub fn text(&self, word: &str) -> Option<&'s str> {
        let parts = self.parts;
        self.all.iter().find_map(|held| parts[held.id].text(word))
    }

    pub fn flag(&self, word: &str) -> bool {
        self.words(word).any(|value| value == &Value::Bool(true))
    }

    /// The greatest of the least counts that are said by a word.
    pub fn least(&self, word: &str) -> usize {
        self.words(word).filter_map(count).max().unwrap_or(0)
    }

    pub fn most(&self, word: &str) -> Option<usize> {
        self.words(word).filter_map(count).min()
    }

    pub fn leads(&self, keyword: &str) -> bool {
        self.all.iter().any(|held| self.parts[held.id].lead(keyword).is_some())
    }

    pub fn says_any(&self, words: &[&str]) -> bool {
        self.all.iter().any(|held| {
            let part = &self.parts[held.id];
            words.iter().any(|word| part.words.contains_key(*word) || part.lead(word).is_some())
        })
    }

    /// The properties that are asked for, in the order of `x-order` and else of the schema.
    pub fn named(&self, known: Option<&Map<String, Value>>) -> Vec<Named> {
        let mut named: Vec<(f64, Named)> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for held in &self.all {
            for lead in self.parts[held.id].leads_by("properties") {
                let place = *places.entry(&lead.name).or_insert_with(|| {
                    let own = Named {
                        name: lead.name.to_string(),
                        heads: Heads::default(),
                        required: false,
                        under: held.under,
                        is_described: true,
                    };
                    named.push((f64::MAX, own));
                    named.len() - 1
                });
                let (order, own) = &mut named[place];
                if held.under.is_none() {
                    own.under = None;
                }
                if !self.tells_apart(&lead.name, lead.to) {
                    own.heads.all.push(lead.to);
                }
                if let Some(said) = ways::order(self.parts, lead.to)
                    && *order == f64::MAX
                {
                    *order = said;
                }
            }
        }
        for (name, said) in &self.apart {
            let place = *places.entry(name).or_insert_with(|| {
                let own = Named {
                    name: name.clone(),
                    heads: Heads::default(),
                    required: false,
                    under: None,
                    is_described: true,
                };
                // what tells branches apart comes before what they have
                let first = named.iter().position(|(_, own)| own.under.is_some()).unwrap_or(named.len());
                named.push((if first == named.len() { f64::MAX } else { f64::MIN }, own));
                named.len() - 1
            });
            named[place].1.heads.either.extend(said);
            named[place].1.under = None;
        }
        for name in self.required(known) {
            let place = *places.entry(name).or_insert_with(|| {
                let own = Named {
                    name: name.to_owned(),
                    heads: Heads::default(),
                    required: true,
                    under: None,
                    is_described: false,
                };
                named.push((f64::MAX, own));
                named.len() - 1
            });
            named[place].1.required = true;
        }
        named.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut named: Vec<Named> = named.into_iter().map(|(_, own)| own).collect();
        for own in &mut named {
            let name = std::mem::take(&mut own.name);
            own.heads.all.extend(self.beside(&name));
            own.name = name;
        }
        named
    }

    fn tells_apart(&self, name: &str, id: PartId) -> bool {
        self.apart.iter().any(|(own, said)| own == name && said.contains(&id))
    }

    /// The names that must be there, by what is.
    fn required<'k>(&'k self, known: Option<&'k Map<String, Value>>) -> impl Iterator<Item = &'k str> + 'k {
        let names = |list: &'k Value| list.as_array().into_iter().flatten().filter_map(Value::as_str);
        let dependent = self.words("dependentRequired").filter_map(Value::as_object).flatten();
        let triggered = dependent.filter(move |(name, _)| known.is_some_and(|known| known.contains_key(*name)));
        self.words("required").flat_map(names).chain(triggered.flat_map(move |(_, list)| names(list)))
    }

    /// What is said of a property beside the subschemas of its own name: by patterns, or of all that are not named.
    pub fn beside(&self, name: &str) -> Vec<PartId> {
        let mut beside = Vec::new();
        for held in &self.all {
            let part = &self.parts[held.id];
            let mut is_known = part.leads_by("properties").any(|lead| *lead.name == *name);
            for lead in part.leads_by("patternProperties") {
                if self.parts.matches(&lead.name, name) {
                    is_known = true;
                    beside.push(lead.to);
                }
            }
            if let Some(others) = part.lead("additionalProperties").filter(|_| !is_known)
                && self.parts[others].verdict.is_none()
            {
                beside.push(others);
            }
        }
        beside
    }

    /// Whether properties may be added whose names nobody knows, and what is said of one whose name is not known yet.
    pub fn free(&self) -> Option<Free> {
        let verdict = |word: &str| {
            let leads = self.all.iter().filter_map(|held| self.parts[held.id].lead(word));
            leads.map(|id| self.parts[id].verdict).collect::<Vec<_>>()
        };
        let (additional, unevaluated) = (verdict("additionalProperties"), verdict("unevaluatedProperties"));
        let patterns = || self.all.iter().flat_map(|held| self.parts[held.id].leads_by("patternProperties"));
        let is_closed = additional.contains(&Some(false)) || unevaluated.contains(&Some(false));
        let any_named = self.all.iter().any(|held| self.parts[held.id].lead("properties").is_some());
        let others = |word: &str| {
            let leads = self.all.iter().filter_map(|held| self.parts[held.id].lead(word));
            leads.filter(|&id| self.parts[id].verdict.is_none()).collect::<Vec<_>>()
        };
        if patterns().next().is_some() {
            let mut said = if is_closed { Vec::new() } else { others("additionalProperties") };
            if said.is_empty() && is_closed {
                said.extend(patterns().map(|lead| lead.to).take(1));
            }
            return Some(Free { said, is_aside: false });
        }
        if is_closed {
            return None;
        }
        if additional.is_empty() && unevaluated.is_empty() && any_named {
            // nothing is said of other names. A schema that was written for a form would say so; of another, what it allows holds
            let is_open = match self.word("x-open") {
                Some(said) => said == &Value::Bool(true),
                None => !self.parts.is_ours(),
            };
            return is_open.then(|| Free { said: Vec::new(), is_aside: true });
        }
        let mut said = others("additionalProperties");
        if said.is_empty() {
            said = others("unevaluatedProperties");
        }
        Some(Free { said, is_aside: false })
    }

    /// What is said of the item at a position, and of those that come after all slots.
    pub fn item(&self, at: usize) -> Heads {
        let mut heads = Vec::new();
        for held in &self.all {
            let part = &self.parts[held.id];
            match part.leads_by("prefixItems").nth(at) {
                Some(slot) => heads.push(slot.to),
                None => heads.extend(part.lead("items")),
            }
        }
        if heads.is_empty() {
            let left = self.all.iter().filter_map(|held| self.parts[held.id].lead("unevaluatedItems"));
            heads.extend(left.filter(|&id| self.parts[id].verdict.is_none()));
        }
        Heads::of(heads)
    }

    /// How many fixed slots a list begins with.
    pub fn slots(&self) -> usize {
        self.all.iter().map(|held| self.parts[held.id].leads_by("prefixItems").count()).max().unwrap_or(0)
    }

    /// Whether there may be items behind the slots.
    pub fn is_open(&self) -> bool {
        let verdicts = |word: &'static str| {
            self.all.iter().filter_map(move |held| self.parts[held.id].lead(word)).map(|id| self.parts[id].verdict)
        };
        if verdicts("items").any(|verdict| verdict == Some(false)) {
            return false;
        }
        let is_closed = verdicts("unevaluatedItems").any(|verdict| verdict == Some(false));
        !is_closed || verdicts("items").next().is_some() || self.leads("contains")
    }

    /// Whether the value can only be an object.
    pub fn is_object(&self) -> bool {
        match self.types() {
            Types::ALL => super::field::hinted(self) == Types::OBJECT,
            types => types.without(Types::NULL) == Types::OBJECT,
        }
    }

    /// Whether what holds may be different with other answers.
    pub fn is_live(&self) -> bool {
        self.depends
    }

    /// Whether the same holds, and for the same reasons.
    pub fn is_same(&self, other: &Self) -> bool {
        self.all == other.all && self.choosers == other.choosers
    }
}

fn count(value: &Value) -> Option<usize> {
    let count = value.as_u64().or_else(|| value.as_f64().filter(|count| *count >= 0.0).map(|count| count as u64));
    usize::try_from(count?).ok()
}
