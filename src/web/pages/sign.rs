//! `/login`, `/logout`, `/setup`, and how pages look.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use crate::domain::FieldError;
use crate::node::{NodeError, SignIn};
use crate::views::Frame;
use crate::views::frame::{Density, Theme};
use crate::views::session::{LoginPage, Sample, SetupErrors, SetupPage};
use crate::web::error::{WebError, WebResult, capital};
use crate::web::htmx::{Htmx, refused, show as shown, show_as};
use crate::web::sent::{Open, Sent};
use crate::web::session::{self, local_path, session};
use crate::web::{App, cookies, frame};

#[derive(Deserialize)]
pub struct Way {
    #[serde(default)]
    next: String,
    #[serde(default)]
    email: String,
}

/// `GET /login`.
pub async fn show(req: HttpRequest, app: Data<App>, way: Query<Way>) -> WebResult {
    let next = local_path(&way.next).unwrap_or_default();
    if session(&req, &app.node).await?.is_some() {
        return Ok(Htmx::of(&req).see(if next.is_empty() { "/" } else { next }));
    }
    shown(&LoginPage { email: way.email.clone(), next: next.to_owned(), ..page(&req, &app) })
}

/// `POST /login`.
pub async fn enter(req: HttpRequest, app: Data<App>, way: Query<Way>, Open(fields): Open) -> WebResult {
    let given = [fields.get("_next"), way.next.as_str()];
    let next = given.into_iter().find_map(local_path).unwrap_or_default();
    let refusal = match app.node.sign_in(fields.get("email"), fields.get("password")).await {
        Ok(sign_in) => return signed_in(&req, &app, sign_in, next),
        Err(NodeError::SignedOut) => {
            let error = "E-mail and password do not match. Check both, then try again".to_owned();
            (StatusCode::UNPROCESSABLE_ENTITY, error)
        }
        Err(err @ NodeError::Wait(_)) => (StatusCode::TOO_MANY_REQUESTS, capital(&err.to_string())),
        Err(err) => return Err(err.into()),
    };
    let (status, error) = refusal;
    let (email, next) = (fields.get("email").to_owned(), next.to_owned());
    show_as(status, &LoginPage { email, next, error: Some(error), ..page(&req, &app) })
}

/// Opens the session of whoever proved who they are.
pub fn signed_in(req: &HttpRequest, app: &App, sign_in: SignIn, next: &str) -> WebResult {
    let mut answer = Htmx::of(req).see(if next.is_empty() { "/" } else { next });
    session::keep(req, &app.node, &mut answer, &sign_in.secret);
    Ok(answer)
}

fn page(req: &HttpRequest, app: &App) -> LoginPage {
    let note = match (app.node.has_people(), app.node.is_hub()) {
        (true, true) => "",
        (true, false) => "Everybody who may sign in at the hub can sign in here, also while it is out of reach.",
        (false, true) => "Nobody can sign in yet. Open the set-up address that this hub printed when it started.",
        (false, false) => "Nobody can sign in here until the people have come from the hub.",
    };
    let frame = Frame { demo: None, ..frame::alone(req, app) };
    LoginPage { frame, note: note.to_owned(), samples: samples(app), ..LoginPage::default() }
}

/// The sign-ins of the demo.
pub fn samples(app: &App) -> Vec<Sample> {
    let people = app.demo.iter().flat_map(|demo| &demo.people);
    people
        .map(|person| Sample {
            who: format!("{}, {}", person.name, person.does),
            email: person.email.clone(),
            password: person.password.clone(),
        })
        .collect()
}

/// `POST /logout`.
pub async fn leave(sent: Sent) -> WebResult {
    if let Some(secret) = session::secret(&sent.req, sent.node()) {
        sent.node().sign_out(&secret).await?;
    }
    let mut answer: HttpResponse = Htmx::of(&sent.req).see("/login");
    session::forget(&sent.req, sent.node(), &mut answer);
    Ok(answer)
}

#[derive(Deserialize)]
pub struct Secret {
    #[serde(default)]
    token: String,
}

const USED: &str = "This set-up address was used already, or is too old. If nobody can sign in yet, start the hub again: it \
                    prints a new one.";

/// `GET /setup?token=`.
pub async fn setup(req: HttpRequest, app: Data<App>, secret: Query<Secret>) -> WebResult {
    if !app.node.may_set_up(&secret.token).await? {
        return Err(WebError::Gone(USED));
    }
    let (frame, token) = (Frame { demo: None, ..frame::alone(&req, &app) }, secret.token.clone());
    shown(&SetupPage { frame, token, ..SetupPage::default() })
}

/// `POST /setup`.
pub async fn set_up(req: HttpRequest, app: Data<App>, secret: Query<Secret>, Open(fields): Open) -> WebResult {
    let given = [fields.get("token"), secret.token.as_str()];
    let token = given.into_iter().find(|token| !token.is_empty()).unwrap_or_default();
    let [place, name, email, password] = ["place", "name", "email", "password"].map(|name| fields.get(name));
    if place.chars().count() > 60 {
        let place = Some("Enter a name of at most 60 characters".to_owned());
        return refused(&setup_page(&req, &app, &fields, token, SetupErrors { place, ..SetupErrors::default() }));
    }
    match app.node.set_up(token, email, name, password).await {
        Ok(sign_in) => {
            if !place.trim().is_empty() {
                app.node.rename(&sign_in.session.actor(), place).await?;
            }
            signed_in(&req, &app, sign_in, "/")
        }
        Err(NodeError::Conflict(_)) => Err(WebError::Gone(USED)),
        Err(NodeError::Invalid(errors)) => {
            let at = |name: &str| message(&errors, name);
            let errors = SetupErrors { place: None, name: at("name"), email: at("email"), password: at("password") };
            refused(&setup_page(&req, &app, &fields, token, errors))
        }
        Err(err) => Err(err.into()),
    }
}

fn setup_page(
    req: &HttpRequest,
    app: &App,
    fields: &crate::web::sent::Fields,
    token: &str,
    errors: SetupErrors,
) -> SetupPage {
    let [place, name, email] = ["place", "name", "email"].map(|name| fields.get(name).to_owned());
    let frame = Frame { demo: None, ..frame::alone(req, app) };
    SetupPage { frame, token: token.to_owned(), place, name, email, errors }
}

/// What is wrong with one field of a form of the product's own.
pub fn message(errors: &[FieldError], name: &str) -> Option<String> {
    errors.iter().find(|error| error.pointer.strip_prefix('/') == Some(name)).map(|error| error.message.clone())
}

const YEAR: u32 = 365 * 24 * 3600;

/// `POST /display`.
pub async fn display(sent: Sent) -> WebResult {
    let (theme, density) = (Theme::named(sent.fields.get("theme")), Density::named(sent.fields.get("density")));
    let value = format!("{}.{}", theme.unwrap_or_default().name(), density.unwrap_or_default().name());
    let mut answer = Htmx::of(&sent.req).see(local_path(sent.fields.get("_to")).unwrap_or("/"));
    cookies::set(&sent.req, &mut answer, frame::LOOK, &value, YEAR);
    Ok(answer)
}
