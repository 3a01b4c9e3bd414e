//! `/users`: who may sign in.

use actix_web::web::Path;

use super::id;
use super::sign::message;
use crate::domain::people::{Operation, Role};
use crate::node::NodeError;
use crate::views::frame::Here;
use crate::views::part::Person;
use crate::views::users::{NewUser, User, UsersPage};
use crate::web::error::{WebError, WebResult, capital};
use crate::web::htmx::{refused, show as shown};
use crate::web::sent::Sent;
use crate::web::session::{Done, Signed};

/// `GET /users`.
pub async fn show(signed: Signed) -> WebResult {
    shown(&page(&signed).await?)
}

async fn page(signed: &Signed) -> Result<UsersPage, WebError> {
    let people = signed.node().people(&signed.actor)?;
    let users = people.iter().map(|person| User {
        id: person.id.to_string(),
        person: Person::named(if person.name.is_empty() { &person.email } else { &person.name }),
        email: person.email.clone(),
        role: person.role.to_string(),
        is_disabled: person.disabled,
        is_self: person.id == signed.session.person,
        words: String::new(),
        error: None,
    });
    Ok(UsersPage { users: users.collect(), frame: signed.frame(Here::Users).await?, new: NewUser::default() })
}

/// `POST /users`: one more person.
pub async fn add(sent: Sent) -> WebResult {
    sent.may(Operation::Administer)?;
    let [email, name, role, password] = ["email", "name", "role", "password"].map(|name| sent.fields.get(name));
    let mut new = NewUser { email: email.into(), name: name.into(), role: role.into(), ..NewUser::default() };
    let errors = match role.parse::<Role>() {
        Ok(role) => match sent.node().add_person(&sent.actor, email, name, role, Some(password)).await {
            Ok(_) => return sent.done("/users", Done::Added),
            Err(NodeError::Invalid(errors)) => errors,
            Err(err) => return Err(err.into()),
        },
        Err(why) => {
            new.role_error = Some(capital(&why));
            Vec::new()
        }
    };
    (new.email_error, new.name_error) = (message(&errors, "email"), message(&errors, "name"));
    new.password_error = message(&errors, "password");
    refused(&UsersPage { new, ..page(&sent).await? })
}

/// `POST /users/{id}`: role, password, whether they may sign in.
pub async fn change(sent: Sent, address: Path<String>) -> WebResult {
    sent.may(Operation::Administer)?;
    let (id, node, actor) = (id(&address)?, sent.node(), &sent.actor);
    let (changed, done) = match sent.fields.get("_do") {
        "disable" => (node.set_disabled(actor, id, true).await, Done::Changed),
        "enable" => (node.set_disabled(actor, id, false).await, Done::Changed),
        "passwd" => (node.set_password(actor, id, sent.fields.get("password")).await, Done::PasswordSet),
        "role" => match sent.fields.get("role").parse() {
            Ok(role) => (node.set_role(actor, id, role).await, Done::Changed),
            Err(why) => (Err(NodeError::Conflict(why)), Done::Changed),
        },
        _ => return Err(WebError::Malformed("This form has no such button.".into())),
    };
    let why = match changed {
        // whoever sets their own password signs in with it
        Ok(person) if done == Done::PasswordSet && person.id == sent.session.person => {
            return sent.done("/login", done);
        }
        Ok(_) => return sent.done("/users", done),
        Err(NodeError::Invalid(errors)) => errors.into_iter().map(|error| error.message).collect::<Vec<_>>().join(" "),
        Err(NodeError::Conflict(why)) => capital(&why),
        Err(err) => return Err(err.into()),
    };
    let mut page = page(&sent).await?;
    if let Some(user) = page.users.iter_mut().find(|user| user.id == id.to_string()) {
        user.error = Some(why);
    }
    refused(&page)
}
