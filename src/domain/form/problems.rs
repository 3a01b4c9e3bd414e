//! What is wrong with a form's record, told at the controls.

use std::collections::HashMap;

use serde_json::Value;

use super::base::Base;
use super::decode::Context;
use super::layout::Layout;
use super::posted::Posted;
use super::view::Node;
use super::walk::walk;
use crate::domain::record::Document;
use crate::domain::schema::Shape;
use crate::domain::{FieldError, json};

/// Something a person can put right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The name of the control, or of the section, it is about; empty for the form as a whole.
    pub name: String,
    pub error: FieldError,
}

impl Problem {
    pub(super) fn at(name: impl Into<String>, error: FieldError) -> Self {
        Self { name: name.into(), error }
    }
}

/// What is wrong with the candidate, apart from what was wrong with the base: the same rule at the same place, and nothing
/// changed there.
pub(super) fn judge(
    layout: &Layout,
    base: &Base,
    context: Context,
    candidate: &Document,
    nodes: &[Node],
) -> (Vec<Problem>, Vec<Problem>) {
    let now = Named::of(nodes);
    let errors = now.errors(layout, &candidate.value);
    if errors.is_empty() || base.is_new() {
        return (errors.into_iter().map(|error| now.problem(error)).collect(), Vec::new());
    }
    let before = walk(layout, base, &Posted::default(), context, None);
    let then = Named::of(&before.nodes);
    let old: Vec<(String, FieldError)> =
        then.errors(layout, &base.document.value).into_iter().map(|error| (then.name(&error.pointer), error)).collect();
    let (mut found, mut standing) = (Vec::new(), Vec::new());
    for error in errors {
        let name = now.name(&error.pointer);
        let known = old.iter().find(|(at, other)| *at == name && other.keyword == error.keyword);
        let touched = known.is_some_and(|(_, other)| {
            let (is, was) = (candidate.value.pointer(&error.pointer), base.document.value.pointer(&other.pointer));
            is_leaf(layout.schema().shape(), &error.pointer) && !same(is, was)
        });
        let problem = now.problem(error);
        if known.is_some() && !touched { standing.push(problem) } else { found.push(problem) }
    }
    (found, standing)
}

/// What is wrong with a record as it is drawn.
pub(super) fn of(layout: &Layout, value: &Value, nodes: &[Node]) -> Vec<Problem> {
    let named = Named::of(nodes);
    named.errors(layout, value).into_iter().map(|error| named.problem(error)).collect()
}

/// The controls by the JSON Pointers of their values, and the branches that were chosen there.
#[derive(Default)]
struct Named {
    names: HashMap<String, String>,
    choices: HashMap<(String, String), usize>,
}

impl Named {
    fn of(nodes: &[Node]) -> Self {
        let mut named = Self::default();
        named.add(nodes, "");
        named
    }

    fn add(&mut self, nodes: &[Node], at: &str) {
        for node in nodes {
            let head = node.head();
            let at = match &head.step {
                Some(step) => format!("{at}/{step}"),
                None => at.to_owned(),
            };
            self.names.insert(at.clone(), head.name.clone());
            match node {
                Node::Control(_) => {}
                Node::Section(section) => self.add(&section.nodes, &at),
                Node::Chooser(chooser) => {
                    if let Some(chosen) = chooser.chosen {
                        self.choices.insert((at.clone(), chooser.holder.clone()), chosen);
                    }
                    self.add(&chooser.nodes, &at);
                }
                Node::Rows(rows) => {
                    for row in &rows.rows {
                        let Some(step) = &row.step else { continue };
                        let at = format!("{at}/{step}");
                        self.names.insert(at.clone(), row.name.clone());
                        self.add(&row.nodes, &at);
                    }
                }
            }
        }
    }

    fn errors(&self, layout: &Layout, value: &Value) -> Vec<FieldError> {
        layout
            .schema()
            .validate_chosen(value, &|at, holder| self.choices.get(&(at.to_owned(), holder.to_owned())).copied())
    }

    /// The name of the control at a place, or of the nearest around it with the rest of the way.
    fn name(&self, pointer: &str) -> String {
        let mut at = pointer;
        loop {
            if let Some(name) = self.names.get(at) {
                return format!("{name}{}", &pointer[at.len()..]);
            }
            match at.rfind('/') {
                Some(end) => at = &at[..end],
                None => return pointer.to_owned(),
            }
        }
    }

    fn problem(&self, error: FieldError) -> Problem {
        Problem::at(self.name(&error.pointer), error)
    }
}

fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => json::equal(a, b),
        _ => false,
    }
}

fn is_leaf(shape: &Shape, pointer: &str) -> bool {
    let steps: Vec<String> =
        pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~")).collect();
    shape.at(&steps).is_none_or(Shape::is_leaf)
}
