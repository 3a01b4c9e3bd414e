//! People: who may sign in, as what.

use askama::Template;

use super::frame::Frame;
use super::part::{self, Entry, Person, Summary};

/// `GET /users`. Adding posts here with `email`, `name`, `role`, `password`; changing one posts to `/users/{id}` with `_do` =
/// `disable`, `enable`, `passwd` (`password`) or `role` (`role`).
#[derive(Debug, Clone, Default, Template)]
#[template(path = "users/page.html")]
pub struct UsersPage {
    pub frame: Frame,
    pub users: Vec<User>,
    /// What was typed for a new person, and what is wrong with it.
    pub new: NewUser,
}

/// A person who may sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: String,
    pub person: Person,
    pub email: String,
    /// `admin`, `designer`, `staff`, `viewer`.
    pub role: String,
    pub is_disabled: bool,
    /// The person of this session, who can't lock herself out.
    pub is_self: bool,
    /// "last seen 14:30 on Platform 7".
    pub words: String,
    /// A message about a change that was refused.
    pub error: Option<String>,
}

/// The form for a new person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewUser {
    pub email: String,
    pub name: String,
    pub role: String,
    pub email_error: Option<String>,
    pub name_error: Option<String>,
    pub role_error: Option<String>,
    pub password_error: Option<String>,
}

/// Roles with what each may do.
pub const ROLES: [(&str, &str); 4] = [
    ("viewer", "Viewer: sees records"),
    ("staff", "Staff: also edits"),
    ("designer", "Designer: also types"),
    ("admin", "Admin: also people"),
];

impl UsersPage {
    fn entries(&self) -> [Entry; 4] {
        let new = &self.new;
        let choices = ROLES.map(|(role, words)| (role.to_owned(), words.to_owned())).to_vec();
        let role = if new.role.is_empty() { "staff".to_owned() } else { new.role.clone() };
        [
            Entry {
                id: "new-email".into(),
                name: "email",
                label: "E-mail",
                kind: "email",
                value: new.email.clone(),
                autocomplete: "off",
                error: new.email_error.clone(),
                ..Entry::default()
            },
            Entry {
                id: "new-name".into(),
                name: "name",
                label: "Name",
                kind: "text",
                value: new.name.clone(),
                autocomplete: "off",
                optional: true,
                error: new.name_error.clone(),
                ..Entry::default()
            },
            Entry {
                id: "new-role".into(),
                name: "role",
                label: "Role",
                kind: "select",
                value: role,
                choices,
                error: new.role_error.clone(),
                ..Entry::default()
            },
            Entry {
                id: "new-password".into(),
                name: "password",
                label: "First password",
                kind: "password",
                hint: "At least 8 characters; tell it to the person yourself",
                autocomplete: "new-password",
                error: new.password_error.clone(),
                ..Entry::default()
            },
        ]
    }

    fn summary(&self) -> Option<Summary> {
        Summary::of(&self.entries())
    }
}
