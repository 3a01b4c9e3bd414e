//! `/types/new` and `/types/{type}/design`: a type as JSON.

use std::collections::BTreeMap;

use actix_web::web::Path;

use super::read::Names;
use super::sign::message;
use crate::domain::people::Operation;
use crate::domain::schema::{self, Field, Schema};
use crate::domain::{FieldError, json};
use crate::node::{CheckReport, NodeError, Type};
use crate::views::frame::Here;
use crate::views::part::Toast;
use crate::views::types::{Check, DesignPage, Misfit, SchemaFault, Version};
use crate::web::error::{WebError, WebResult};
use crate::web::htmx::{refused, show as shown};
use crate::web::sent::Sent;
use crate::web::session::{Done, Signed};

/// What a new type begins with.
const BEGINNING: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "Delivery",
  "type": "object",
  "required": ["what"],
  "properties": {
    "what": { "title": "What came", "type": "string", "maxLength": 120 },
    "received_on": { "title": "Received on", "type": "string", "format": "date" },
    "state": {
      "title": "State",
      "oneOf": [
        { "const": "complete", "title": "Complete" },
        { "const": "damaged", "title": "Damaged" }
      ]
    }
  }
}
"#;

/// `GET /types/new`.
pub async fn new(signed: Signed) -> WebResult {
    signed.may(Operation::Design)?;
    shown(&DesignPage { schema: BEGINNING.to_owned(), ..new_page(&signed).await? })
}

async fn new_page(signed: &Signed) -> Result<DesignPage, WebError> {
    Ok(DesignPage { frame: signed.frame(Here::Types).await?, is_new: true, next_version: 1, ..DesignPage::default() })
}

/// `POST /types/new`: checks the schema, or makes the type.
pub async fn create(sent: Sent) -> WebResult {
    sent.may(Operation::Design)?;
    let [name, text] = ["name", "schema"].map(|name| sent.fields.get(name));
    let typed = async || {
        let (name, schema) = (name.to_owned(), text.to_owned());
        Ok::<_, WebError>(DesignPage { name, schema, ..new_page(&sent).await? })
    };
    if sent.fields.get("_do") == "check" {
        return match judge(text) {
            Ok((_, upgrades)) => {
                let mut page = typed().await?;
                page.frame.toast = Some(Toast { words: "This can be published.".into(), undo: None });
                shown(&DesignPage { upgrades, ..page })
            }
            Err(errors) => refused(&DesignPage { faults: faults(&errors, text), ..typed().await? }),
        };
    }
    match sent.node().create_type(&sent.actor, name.trim(), text.as_bytes()).await {
        Ok(published) if published.upgraded.is_empty() => {
            sent.done(&format!("/types/{}/design", published.found.name), Done::Published)
        }
        Ok(published) => upgraded(&sent, &published.found, &published.upgraded).await,
        Err(NodeError::Invalid(errors)) => {
            let name_error = message(&errors, "name").filter(|_| errors.len() == 1 && is_name(&errors[0]));
            let faults = if name_error.is_some() { Vec::new() } else { faults(&errors, text) };
            refused(&DesignPage { name_error, faults, ..typed().await? })
        }
        Err(NodeError::Conflict(why)) => {
            let name_error = Some(crate::web::error::capital(&why));
            refused(&DesignPage { name_error, ..typed().await? })
        }
        Err(err) => Err(err.into()),
    }
}

/// Whether it is the type's name that is wrong, and not a property of the schema that is called so.
fn is_name(error: &FieldError) -> bool {
    error.pointer == "/name" && error.keyword == "pattern"
}

/// The published type, with what was changed to bring its schema up to date.
async fn upgraded(signed: &Signed, found: &Type, changes: &[schema::Change]) -> WebResult {
    let mut page = page(signed, found).await?;
    page.frame.toast = Some(Toast { words: "Published.".into(), undo: None });
    shown(&DesignPage { upgrades: sentences(changes), ..page })
}

/// `GET /types/{type}/design`.
pub async fn show(signed: Signed, name: Path<String>) -> WebResult {
    let found = signed.node().type_named(&signed.actor, &name)?;
    shown(&page(&signed, &found).await?)
}

async fn page(signed: &Signed, found: &Type) -> Result<DesignPage, WebError> {
    let names = Names::of(&signed.app).await?;
    let versions = signed.node().caches().versions(&found.name);
    let version = |revision: &std::sync::Arc<crate::node::Revision>| Version {
        number: revision.version,
        by: names.person(revision.by),
        at: signed.clock().when_millis(revision.at),
        reason: revision.reason.clone(),
        href: format!("/types/{}/schema?version={}", found.name, revision.version),
        is_current: revision.id == found.current.id,
    };
    Ok(DesignPage {
        frame: signed.frame(Here::Types).await?,
        name: found.name.to_string(),
        title: found.title.clone(),
        is_retired: found.retired,
        schema: editable(&found.current.text),
        base: found.current.id.to_string(),
        next_version: found.current.version + 1,
        versions: versions.iter().map(version).collect(),
        ..DesignPage::default()
    })
}

/// `POST /types/{type}/design`: tries a change, publishes it, retires the type or brings it back.
pub async fn change(sent: Sent, name: Path<String>) -> WebResult {
    sent.may(Operation::Design)?;
    let (node, actor) = (sent.node(), &sent.actor);
    let found = node.type_named(actor, &name)?;
    let here = format!("/types/{}/design", found.name);
    match sent.fields.get("_do") {
        "retire" => {
            node.retire_type(actor, &name).await?;
            return sent.done(&here, Done::Retired);
        }
        "restore" => {
            node.bring_type_back(actor, &name).await?;
            return sent.done(&here, Done::TypeBack);
        }
        "check" | "publish" | "" => {}
        _ => return Err(WebError::Malformed("This form has no such button.".into())),
    }
    let [text, reason, base] = ["schema", "reason", "_base"].map(|name| sent.fields.get(name));
    let typed = async || {
        let (schema, reason) = (text.to_owned(), reason.to_owned());
        Ok::<_, WebError>(DesignPage { schema, reason, base: base.to_owned(), ..page(&sent, &found).await? })
    };
    let errors = if sent.fields.get("_do") == "check" {
        match node.check_type(actor, &name, text.as_bytes()).await {
            Ok(report) => {
                let upgrades = sentences(&report.upgraded);
                let check = Some(check(&found, text, &report));
                return shown(&DesignPage { check, upgrades, ..typed().await? });
            }
            Err(NodeError::Invalid(errors)) => errors,
            Err(err) => return Err(err.into()),
        }
    } else if !base.is_empty() && base != found.current.id.to_string() {
        let who = Names::of(&sent.app).await?.person(found.current.by);
        let message = format!(
            "{who} published version {} after you opened this page. Your text is still here; look at theirs in \
             Versions, take over what you want to keep, and publish again.",
            found.current.version
        );
        let fault = SchemaFault { message, ..SchemaFault::default() };
        // the next press is meant to replace it
        let base = found.current.id.to_string();
        return refused(&DesignPage { faults: vec![fault], base, ..typed().await? });
    } else {
        match node.publish_type(actor, &name, text.as_bytes(), reason.trim()).await {
            Ok(published) if published.upgraded.is_empty() => return sent.done(&here, Done::Published),
            Ok(published) => return upgraded(&sent, &published.found, &published.upgraded).await,
            Err(NodeError::Invalid(errors)) => errors,
            Err(err) => return Err(err.into()),
        }
    };
    refused(&DesignPage { faults: faults(&errors, text), ..typed().await? })
}

/// Judges the schema of a type that is not there yet.
fn judge(text: &str) -> Result<(Schema, Vec<String>), Vec<FieldError>> {
    let upgraded = schema::upgrade(schema::parse(text.as_bytes())?);
    let report = sentences(&upgraded.report);
    Ok((Schema::compile(&upgraded.schema)?, report))
}

fn sentences(changes: &[schema::Change]) -> Vec<String> {
    let sentence = |change: &schema::Change| match change.pointer.as_str() {
        "" => change.message.clone(),
        pointer => format!("{pointer}: {}", change.message),
    };
    changes.iter().map(sentence).collect()
}

fn faults(errors: &[FieldError], text: &str) -> Vec<SchemaFault> {
    let place = match json::read(text) {
        Ok(_) => String::new(),
        Err(fault) => format!("Line {}, column {}", fault.line, fault.column),
    };
    let fault = |error: &FieldError| SchemaFault {
        pointer: error.pointer.clone(),
        place: if error.pointer.is_empty() { place.clone() } else { String::new() },
        message: without_place(&error.message),
    };
    errors.iter().map(fault).collect()
}

/// The parser's words without "at line 2 column 18", which stands before them.
fn without_place(message: &str) -> String {
    match message.rsplit_once(" at line ") {
        Some((words, rest)) if rest.contains(" column ") => format!("{}.", words.trim_end_matches('.')),
        _ => message.to_owned(),
    }
}

/// A schema as it is edited: what came in one line, by a program, gets some more.
fn editable(text: &str) -> String {
    let parsed = (!text.trim().contains('\n')).then(|| serde_json::from_str::<serde_json::Value>(text));
    match parsed {
        Some(Ok(schema)) => serde_json::to_string_pretty(&schema).unwrap_or_else(|_| text.to_owned()),
        _ => text.to_owned(),
    }
}

fn check(found: &Type, text: &str, report: &CheckReport) -> Check {
    let new = judge(text).ok().map(|(schema, _)| schema);
    let mut reasons: BTreeMap<(String, String), u64> = BTreeMap::new();
    for error in report.invalid.iter().flat_map(|(_, errors)| errors) {
        let label = new.as_ref().and_then(|schema| schema.field(&error.pointer)).map(|field| field.title.clone());
        let label = label.unwrap_or_else(|| error.pointer.clone());
        *reasons.entry((label, error.message.clone())).or_default() += 1;
    }
    let words =
        |(label, message): (String, String)| if label.is_empty() { message } else { format!("{label}: {message}") };
    let mut misfits: Vec<Misfit> =
        reasons.into_iter().map(|(reason, count)| Misfit { count, words: words(reason) }).collect();
    misfits.sort_by_key(|misfit| std::cmp::Reverse(misfit.count));
    let others = (report.records - report.valid).saturating_sub(report.invalid.len() as u64);
    if others > 0 {
        misfits.push(Misfit { count: others, words: "Not looked at one by one.".to_owned() });
    }
    let changes = match (found.current.schema(), &new) {
        (Some(old), Some(new)) => differences(old.fields(), new.fields()),
        _ => Vec::new(),
    };
    Check { total: report.records, fitting: report.valid, misfits, changes }
}

/// What a change means for the form, a sentence each.
fn differences(old: &[Field], new: &[Field]) -> Vec<String> {
    let find = |fields: &'_ [Field], pointer: &str| fields.iter().position(|field| field.pointer == pointer);
    let mut said = Vec::new();
    for field in new {
        let Some(before) = find(old, &field.pointer).map(|at| &old[at]) else {
            said.push(format!("{} is new", field.title));
            continue;
        };
        if before.title != field.title {
            said.push(format!("{} is called {} now", before.title, field.title));
        }
        match (before.required, field.required) {
            (false, true) => said.push(format!("{} is required now", field.title)),
            (true, false) => said.push(format!("{} is optional now", field.title)),
            _ => {}
        }
        if before.kind != field.kind {
            said.push(format!("{} holds another kind of value now", field.title));
        }
        for choice in before.choices.iter().filter(|choice| !field.choices.iter().any(|now| now.value == choice.value))
        {
            said.push(format!("{} is no longer offered in {}", choice.title, field.title));
        }
    }
    for field in old.iter().filter(|field| find(new, &field.pointer).is_none()) {
        said.push(format!("{} is not part of the form any more; what records hold there stays", field.title));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Vec<Field> {
        judge(text).expect("a schema").0.fields().to_vec()
    }

    #[test]
    fn a_change_is_told_in_sentences() {
        let old = fields(
            r#"{"type":"object","required":["a"],"properties":{
                "a":{"type":"string"},"b":{"type":"string"},"c":{"enum":["x","y"]},"d":{"type":"string","title":"Dee"}}}"#,
        );
        let new = fields(
            r#"{"type":"object","required":["b"],"properties":{
                "a":{"type":"string"},"b":{"type":"number"},"c":{"enum":["x"]},"e":{"type":"string"}}}"#,
        );
        assert_eq!(
            differences(&old, &new),
            [
                "A is optional now",
                "B is required now",
                "B holds another kind of value now",
                "y is no longer offered in C",
                "E is new",
                "Dee is not part of the form any more; what records hold there stays",
            ]
        );
        assert!(differences(&new, &new).is_empty());
    }

    #[test]
    fn what_a_new_type_begins_with_is_a_good_schema() {
        let (_, upgrades) = judge(BEGINNING).expect("a good schema");
        assert_eq!(upgrades, Vec::<String>::new());
    }

    #[test]
    fn text_that_is_no_json_is_told_by_its_place() {
        let text = "{\n  \"type\": ]";
        let errors = judge(text).expect_err("no JSON");
        let fault = &faults(&errors, text)[0];
        assert_eq!(
            (fault.place.as_str(), fault.message.as_str()),
            ("Line 2, column 11", "This is not JSON: expected value.")
        );
    }

    #[test]
    fn a_schema_of_one_line_is_edited_in_several() {
        assert_eq!(
            editable(r#"{"type":"object","maxProperties":1.0}"#),
            "{\n  \"type\": \"object\",\n  \"maxProperties\": 1.0\n}"
        );
        assert_eq!(editable("{ \"type\":\n\"object\" }"), "{ \"type\":\n\"object\" }");
    }
}
