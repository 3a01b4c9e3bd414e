//! Signing in, and the set-up of the first admin.

use askama::Template;

use super::frame::Frame;
use super::part::{Entry, Summary};

/// `GET /login` and its refusal. Fields: `email`, `password`, and `_next` for the way back.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "session/login.html")]
pub struct LoginPage {
    pub frame: Frame,
    /// What was typed.
    pub email: String,
    /// "That password does not match. 3 tries left, then 5 minutes’ wait."
    pub error: Option<String>,
    /// Where to go afterwards; a path of this node, or empty.
    pub next: String,
    /// A line below the form: who can sign in while the hub is out of reach.
    pub note: String,
    /// In the demo: the sign-ins one may use.
    pub samples: Vec<Sample>,
}

/// A sign-in of the demo.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// "Ingrid, technician".
    pub who: String,
    pub email: String,
    pub password: String,
}

impl LoginPage {
    fn email_entry(&self) -> Entry {
        let (value, autocomplete) = (self.email.clone(), "username");
        Entry {
            id: "email".into(),
            name: "email",
            label: "E-mail",
            kind: "email",
            value,
            autocomplete,
            ..Entry::default()
        }
    }

    fn password_entry(&self) -> Entry {
        let (error, autocomplete) = (self.error.clone(), "current-password");
        Entry {
            id: "password".into(),
            name: "password",
            label: "Password",
            kind: "password",
            error,
            autocomplete,
            ..Entry::default()
        }
    }
}

/// `GET /setup?token=`: the first admin of a new hub. Fields: `token`, `place`, `name`, `email`, `password`.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "session/setup.html")]
pub struct SetupPage {
    pub frame: Frame,
    pub token: String,
    pub place: String,
    pub name: String,
    pub email: String,
    pub errors: SetupErrors,
}

/// What is wrong with each field of the set-up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SetupErrors {
    pub place: Option<String>,
    pub name: Option<String>,
    pub email: Option<String>,
    pub password: Option<String>,
}

impl SetupPage {
    fn entries(&self) -> [Entry; 4] {
        let entry = |id: &str, name, label, kind, value: &str, hint, error: &Option<String>| Entry {
            id: id.into(),
            name,
            label,
            kind,
            value: value.into(),
            hint,
            error: error.clone(),
            ..Entry::default()
        };
        let errors = &self.errors;
        [
            Entry {
                optional: true,
                ..entry(
                    "place",
                    "place",
                    "Name of this place",
                    "text",
                    &self.place,
                    "Stands in the bar of every page, for example Tern Bay hub",
                    &errors.place,
                )
            },
            Entry {
                autocomplete: "name",
                optional: true,
                ..entry("name", "name", "Your name", "text", &self.name, "", &errors.name)
            },
            Entry {
                autocomplete: "username",
                ..entry(
                    "email",
                    "email",
                    "E-mail",
                    "email",
                    &self.email,
                    "You sign in with it; no mail is sent",
                    &errors.email,
                )
            },
            Entry {
                autocomplete: "new-password",
                ..entry("password", "password", "Password", "password", "", "At least 8 characters", &errors.password)
            },
        ]
    }

    fn summary(&self) -> Option<Summary> {
        Summary::of(&self.entries())
    }
}
