//! What is wrong with a form's record, told at the controls.

use serde_json::Value;

use super::base::Base;
use super::keys::KeyMaker;
use super::layout::Layout;
use crate::domain::record::{Document, Keys};
use crate::domain::schema::Shape;
use crate::domain::{FieldError, json, path::Path, path::Segment};

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
/// changed there. `rows` are the keys of drawn rows that the record itself does not keep.
pub(super) fn judge(
    layout: &Layout,
    base: &Base,
    candidate: &Document,
    rows: &Keys,
    maker: KeyMaker,
) -> (Vec<Problem>, Vec<Problem>) {
    let schema = layout.schema();
    let errors = schema.validate(&candidate.value);
    if errors.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let old = if base.is_new() { Vec::new() } else { schema.validate(&base.document.value) };
    let mut rows_then = Keys::new();
    for place in rows.keys() {
        let count = base.document.get(place).and_then(Value::as_array).map_or(0, Vec::len);
        rows_then.insert(place.clone(), (0..count).map(|number| maker.key(place, number)).collect());
    }
    let now = Named::of(candidate, rows);
    let then = Named::of(&base.document, &rows_then);
    let old: Vec<(Path, String)> =
        old.into_iter().filter_map(|error| Some((then.0.path(&error.pointer)?, error.keyword))).collect();
    let (mut found, mut standing) = (Vec::new(), Vec::new());
    for error in errors {
        let path = now.0.path(&error.pointer).unwrap_or_default();
        let known = old.iter().any(|(at, keyword)| *at == path && *keyword == error.keyword);
        let touched = is_leaf(schema.shape(), &path) && !same(now.0.get(&path), then.0.get(&path));
        let problem = Problem::at(path.to_string(), error);
        if known && !touched { standing.push(problem) } else { found.push(problem) }
    }
    (found, standing)
}

/// What is wrong with a record as it is.
pub(super) fn standing(layout: &Layout, base: &Base, maker: KeyMaker) -> Vec<Problem> {
    if base.is_new() {
        return Vec::new();
    }
    let errors = layout.schema().validate(&base.document.value);
    let mut lists = Keys::new();
    for error in &errors {
        // an error below a list is about one of its rows
        let Some(path) = base.document.path(&error.pointer) else { continue };
        for depth in 0..path.0.len() {
            let place = Path(path.0[..depth].to_vec());
            if !base.document.is_group(&place)
                && let Some(Value::Array(items)) = base.document.get(&place)
            {
                lists.insert(place.clone(), (0..items.len()).map(|number| maker.key(&place, number)).collect());
            }
        }
    }
    let named = Named::of(&base.document, &lists);
    let problem = |error: FieldError| Problem::at(named.0.path(&error.pointer).unwrap_or_default().to_string(), error);
    errors.into_iter().map(problem).collect()
}

/// A document in which the rows of lists have keys, too.
struct Named(Document);

impl Named {
    fn of(document: &Document, rows: &Keys) -> Self {
        let mut document = document.clone();
        document.keys.extend(rows.iter().map(|(place, keys)| (place.clone(), keys.clone())));
        Self(document)
    }
}

fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => json::equal(a, b),
        _ => false,
    }
}

fn is_leaf(shape: &Shape, path: &Path) -> bool {
    let steps: Vec<&str> = path
        .0
        .iter()
        .map(|segment| match segment {
            Segment::Property(name) => name.as_str(),
            Segment::Item(key) => key.0.as_str(),
        })
        .collect();
    shape.at(&steps).is_none_or(Shape::is_leaf)
}
