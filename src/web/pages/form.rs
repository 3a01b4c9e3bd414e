//! `/records/{type}/new` and `…/{id}/edit`: a record's form, and what comes of it.

use std::sync::Arc;

use actix_web::web::Path;

use super::id;
use super::read::{Names, Reading, address};
use crate::domain::FieldError;
use crate::domain::diff;
use crate::domain::form::{Base, Context, Decoded, Form, Layout, Posted, Problem, Reload, decode};
use crate::domain::ids::{RecordId, SaveId};
use crate::domain::people::Operation;
use crate::domain::record::Document;
use crate::node::{NodeError, Type};
use crate::store::Held;
use crate::views::form::FormView;
use crate::views::frame::Here;
use crate::views::part::{Link, Markup};
use crate::views::records::FormPage;
use crate::web::error::{WebError, WebResult, capital};
use crate::web::htmx::{Htmx, refused, show as shown};
use crate::web::sent::Sent;
use crate::web::session::{Done, Signed};

/// A form of one type, for a new record or one that is there.
struct Sheet<'a> {
    signed: &'a Signed,
    reading: Reading,
    layout: Arc<Layout>,
    held: Option<Held>,
    zone: String,
}

impl<'a> Sheet<'a> {
    /// For a new record, or the one at this address.
    async fn of(signed: &'a Signed, type_name: &str, record: Option<&str>) -> Result<Sheet<'a>, WebError> {
        signed.may(if record.is_some() { Operation::Edit } else { Operation::Create })?;
        let reading = Reading::of(signed, type_name)?;
        let held = match record {
            Some(record) => Some(signed.node().record(&signed.actor, type_name, id(record)?).await?),
            None => None,
        };
        let layout = layout_of(&reading.found)?;
        let clock = signed.clock();
        let zone = match clock.zone.to_offset(clock.now) {
            offset if offset.is_zero() => "Z".to_owned(),
            offset => offset_text(offset.seconds() / 60),
        };
        Ok(Self { signed, reading, layout, held, zone })
    }

    fn context(&self) -> Context<'_> {
        Context { secret: self.signed.node().secret(), zone: &self.zone }
    }

    /// The version that a form is rendered from now.
    fn base(&self) -> Base {
        let (node, found) = (self.signed.node(), &self.reading.found);
        let (secret, revision) = (node.secret(), found.current.id);
        let submission = SaveId(node.world().random());
        match &self.held {
            Some(held) => {
                let state = held.state.clone();
                Base::edit(&self.layout, secret, found.name.clone(), held.id, revision, submission, state)
            }
            None => Base::new_record(found.name.clone(), node.new_id(), revision, submission),
        }
    }

    /// The version that a posted form was rendered from, and the layout it was drawn with.
    fn posted_base(&self, posted: &Posted) -> Result<(Base, Arc<Layout>), Reload> {
        let node = self.signed.node();
        let layout = |revision| node.caches().revision(revision)?.layout();
        let record = self.held.as_ref().map(|held| held.id);
        Base::open(posted.base(), node.secret(), &self.reading.found.name, record, layout)
    }

    fn here(&self) -> String {
        match &self.held {
            Some(held) => format!("{}/edit", address(&held.type_name, held.id)),
            None => format!("/records/{}/new", self.reading.found.name),
        }
    }

    async fn page(&self, form: Form) -> Result<FormPage, WebError> {
        let (head, signed) = (self.reading.head(), self.signed);
        let record = self.held.as_ref().map(|held| self.reading.link(held));
        let state = match &self.held {
            Some(held) => {
                let stamp = held.state.latest();
                let who = Names::of(&signed.app).await?.person(stamp.author.person);
                format!("Last saved {} by {who}", signed.clock().when_millis(stamp.time.millis()).words)
            }
            None => "Not saved yet".to_owned(),
        };
        let view = FormView {
            form,
            action: self.here(),
            csrf: signed.session.csrf.clone(),
            title: self.reading.found.title.clone(),
            save: format!("Save {}", head.one),
            leave: record
                .as_ref()
                .map_or_else(|| format!("/records/{}", head.name), |record: &Link| record.href.clone()),
            state,
        };
        let heading = match &record {
            Some(_) => format!("Edit {}", head.one),
            None => format!("New {}", head.one),
        };
        let body = Markup(askama::Template::render(&view)?);
        let frame = signed.frame(Here::Records(head.name.clone())).await?;
        Ok(FormPage { frame, type_: head, record, heading, body })
    }

    /// The form once more, with all that was typed and what has to be put right.
    async fn again(
        &self,
        posted: &Posted,
        base: &Base,
        layout: &Layout,
        errors: Vec<Problem>,
        standing: Vec<Problem>,
    ) -> WebResult {
        let form = Form::again(layout, base, posted, self.context(), errors, standing);
        refused(&self.page(form).await?)
    }
}

/// As RFC 3339 writes it: `+02:00`.
fn offset_text(minutes: i32) -> String {
    let sign = if minutes < 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
}

/// The form that a type's records are written with now.
fn layout_of(found: &Type) -> Result<Arc<Layout>, WebError> {
    if found.retired {
        return Err(NodeError::Conflict(format!("{} is retired; bring it back first", found.title)).into());
    }
    let newer = || NodeError::Conflict(format!("{} needs a newer version of outpost; update this node", found.title));
    Ok(found.current.layout().ok_or_else(newer)?)
}

/// `GET /records/{type}/new`.
pub async fn new(signed: Signed, type_name: Path<String>) -> WebResult {
    let sheet = Sheet::of(&signed, &type_name, None).await?;
    shown(&sheet.page(Form::open(&sheet.layout, &sheet.base(), sheet.context())).await?)
}

/// `GET /records/{type}/{id}/edit`.
pub async fn edit(signed: Signed, at: Path<(String, String)>) -> WebResult {
    let (type_name, record) = at.into_inner();
    let sheet = Sheet::of(&signed, &type_name, Some(&record)).await?;
    if let Some(held) = sheet.held.as_ref().filter(|held| held.state.is_binned()) {
        // its page says that it is in the bin, and has the way out
        return Ok(Htmx::of(&signed.req).see(&address(&held.type_name, held.id)));
    }
    shown(&sheet.page(Form::open(&sheet.layout, &sheet.base(), sheet.context())).await?)
}

/// `POST /records/{type}/new`: makes the record, or shows the form again.
pub async fn create(sent: Sent, type_name: Path<String>) -> WebResult {
    answer(&sent, &type_name, None).await
}

/// `POST /records/{type}/{id}/edit`: saves what was changed, or shows the form again.
pub async fn save(sent: Sent, at: Path<(String, String)>) -> WebResult {
    let (type_name, record) = at.into_inner();
    answer(&sent, &type_name, Some(&record)).await
}

async fn answer(sent: &Sent, type_name: &str, record: Option<&str>) -> WebResult {
    let sheet = Sheet::of(sent, type_name, record).await?;
    let posted = Posted::read(sent.fields.pairs().iter().cloned());
    let (base, layout) = match sheet.posted_base(&posted) {
        Ok(found) => found,
        Err(why) => return reload(&sheet, &posted, why).await,
    };
    match posted.action() {
        Ok(None) => {}
        Ok(Some(action)) => {
            return match Form::reshaped(&layout, &base, &posted, sheet.context(), &action) {
                Ok(form) => shown(&sheet.page(form).await?),
                Err(error) => sheet.again(&posted, &base, &layout, vec![whole(error)], Vec::new()).await,
            };
        }
        Err(error) => return sheet.again(&posted, &base, &layout, vec![whole(error)], Vec::new()).await,
    }
    let Decoded { candidate, errors, standing } = decode(&layout, &base, &posted, sheet.context());
    if !errors.is_empty() {
        return sheet.again(&posted, &base, &layout, errors, standing).await;
    }
    match write(sent, type_name, &base, &layout, &candidate).await {
        Ok((id, done)) => sent.done(&format!("/records/{type_name}/{id}"), done),
        Err(NodeError::Invalid(errors)) if base.revision == sheet.reading.found.current.id => {
            let errors = errors.into_iter().map(|error| placed(&candidate, error)).collect();
            sheet.again(&posted, &base, &layout, errors, standing).await
        }
        Err(NodeError::Invalid(errors)) => newer_form(&sheet, &posted, base, &candidate, errors).await,
        Err(NodeError::Conflict(why)) => {
            let error = FieldError::new("", "conflict", format!("This was not saved: {why}."));
            sheet.again(&posted, &base, &layout, vec![whole(error)], standing).await
        }
        Err(err) => Err(err.into()),
    }
}

/// Writes what differs from the version that was rendered.
async fn write(
    sent: &Sent,
    type_name: &str,
    base: &Base,
    layout: &Layout,
    candidate: &Document,
) -> Result<(RecordId, Done), NodeError> {
    let (node, actor) = (sent.node(), &sent.actor);
    let changes = diff::changes(layout.schema(), &base.state, candidate, &base.submission.to_string());
    let done = if changes.is_empty() { Done::Unchanged } else { Done::Saved };
    let held = if base.is_new() {
        node.create_from_form(actor, type_name, base.record, candidate, changes).await?.held
    } else {
        node.save_form(actor, type_name, base.record, &base.document, candidate, changes).await?
    };
    Ok((held.id, done))
}

/// The type was published anew since the form was opened, and what was typed does not fit it: the new form, with all of it.
async fn newer_form(
    sheet: &Sheet<'_>,
    posted: &Posted,
    base: Base,
    candidate: &Document,
    errors: Vec<FieldError>,
) -> WebResult {
    let base = Base { revision: sheet.reading.found.current.id, ..base };
    let message = "The form was changed while you filled it in, so this is the new one. Put right what it asks for, then save again.";
    let told = whole(FieldError::new("", "revision", message));
    let errors = std::iter::once(told).chain(errors.into_iter().map(|error| placed(candidate, error))).collect();
    sheet.again(posted, &base, &sheet.layout, errors, Vec::new()).await
}

/// The form cannot be matched with a version of the record: it is opened anew, with what was typed still in it.
async fn reload(sheet: &Sheet<'_>, posted: &Posted, why: Reload) -> WebResult {
    let why = capital(&why.to_string());
    let message = format!(
        "{why}. Nothing was saved. This is the record as it is now, with what you typed in it; look it over, then save again."
    );
    let errors = vec![whole(FieldError::new("", "base", message))];
    sheet.again(posted, &sheet.base(), &sheet.layout, errors, Vec::new()).await
}

/// About the form as a whole.
fn whole(error: FieldError) -> Problem {
    Problem { name: String::new(), error }
}

/// At the control that shows the value it is about.
fn placed(candidate: &Document, error: FieldError) -> Problem {
    let name = candidate.path(&error.pointer).map(|path| path.to_string()).unwrap_or_default();
    Problem { name, error }
}
