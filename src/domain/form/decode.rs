//! From a posted form to the record it means.
//!
//! A control that was not drawn, or that came back as it was shown, leaves what is there, even if that is invalid. Nothing is ever
//! invented: an empty number is no number, an unanswered question has no answer.

use super::base::Base;
use super::layout::Layout;
use super::posted::Posted;
use super::problems::{self, Problem};
use super::walk::{Form, walk};
use crate::domain::FieldError;
use crate::domain::record::Document;
use crate::domain::save::MAX_RECORD_BYTES;

/// What the node knows and a form does not.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The node's secret: what a form carries is authenticated with it.
    pub secret: &'a [u8; 32],
    /// The site's distance to UTC, `+01:00` or `Z`: what a time that is entered without a zone means.
    pub zone: &'a str,
}

/// What a posted form means.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The record as its author wants it. To be saved only if there are no errors.
    pub candidate: Document,
    /// What has to be put right first.
    pub errors: Vec<Problem>,
    /// What was wrong already as the form was rendered, and was not touched: the same rule at the same place. It does not hold
    /// up the save.
    pub standing: Vec<Problem>,
}

/// Decodes and judges a posted form.
pub fn decode(layout: &Layout, base: &Base, posted: &Posted, context: Context) -> Decoded {
    let Form { nodes, candidate, problems: mut errors, .. } = walk(layout, base, posted, context, None);
    if errors.is_empty() && candidate.value.to_string().len() > MAX_RECORD_BYTES {
        let message = "This record is larger than 1 MiB. Shorten the longest text, or split the record.";
        errors.push(Problem::at("", FieldError::new("", "limit", message)));
    }
    let (found, standing) = problems::judge(layout, base, context, &candidate, &nodes);
    for problem in found {
        if !errors.iter().any(|other| other.name == problem.name) {
            errors.push(problem);
        }
    }
    Decoded { candidate, errors, standing }
}
