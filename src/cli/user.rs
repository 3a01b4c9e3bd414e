//! `outpost user`: the people who sign in.

use clap::{Args, Subcommand};
use outpost::domain::people::{Actor, Role};
use outpost::node::Person;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::host::{self, Absent, Served};
use super::{Failure, Result, answer, print};
use crate::config::Settings;

#[derive(Debug, Subcommand)]
pub enum User {
    Add(Add),
    List(List),
    Disable(Who),
    Enable(EnableWho),
    Passwd(Passwd),
}

/// Add a person; their password is asked for
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost user add ingrid@example.org --role staff --name \"Ingrid Solheim\"")]
pub struct Add {
    /// The address they sign in with
    email: String,
    /// What they may do: viewer, staff, designer or admin
    #[arg(long, env = "OUTPOST_ROLE")]
    role: Role,
    /// What others call them; else the part of the address before the @
    #[arg(long, env = "OUTPOST_NAME", default_value = "", hide_default_value = true)]
    name: String,
    #[command(flatten)]
    password: Password,
}

#[derive(Debug, Args)]
struct Password {
    /// Read the password from standard input, as one line
    #[arg(long, env = "OUTPOST_PASSWORD_STDIN", action = clap::ArgAction::SetTrue,
          value_parser = clap::builder::FalseyValueParser::new())]
    password_stdin: bool,
}

/// List the people
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost user list --json")]
pub struct List {}

/// Take away the sign-in of a person; what they wrote stays
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost user disable ingrid@example.org")]
pub struct Who {
    /// Their address, or their id
    who: String,
}

/// Give a disabled person their sign-in back
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost user enable ingrid@example.org")]
pub struct EnableWho {
    /// Their address, or their id
    who: String,
}

/// Set a new password; whoever is signed in as them is signed out
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost user passwd ingrid@example.org")]
pub struct Passwd {
    /// Their address, or their id
    who: String,
    #[command(flatten)]
    password: Password,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    Add { email: String, name: String, role: Role, password: String },
    List,
    SetDisabled { who: String, disabled: bool },
    SetPassword { who: String, password: String },
}

/// A person, as commands show them.
#[derive(Debug, Serialize, Deserialize)]
struct Shown {
    id: String,
    email: String,
    name: String,
    role: Role,
    disabled: bool,
}

impl Shown {
    fn of(person: &Person) -> Self {
        Self {
            id: person.id.to_string(),
            email: person.email.clone(),
            name: person.name.clone(),
            role: person.role,
            disabled: person.disabled,
        }
    }
}

pub async fn execute(ask: Ask, on: &Served) -> Result<Value> {
    let node = &on.node;
    if !matches!(ask, Ask::List) {
        on.must_be_hub("people are looked after")?;
    }
    match ask {
        Ask::List => {
            let people = node.people(&Actor::Operator)?;
            answer(people.iter().map(|person| Shown::of(person)).collect::<Vec<_>>())
        }
        Ask::Add { email, name, role, password } => {
            answer(Shown::of(&node.add_person(&Actor::Operator, &email, &name, role, Some(&password)).await?))
        }
        Ask::SetDisabled { who, disabled } => {
            let id = find(on, &who)?.id;
            answer(Shown::of(&node.set_disabled(&Actor::Operator, id, disabled).await?))
        }
        Ask::SetPassword { who, password } => {
            let id = find(on, &who)?.id;
            answer(Shown::of(&node.set_password(&Actor::Operator, id, &password).await?))
        }
    }
}

fn find(on: &Served, who: &str) -> Result<std::sync::Arc<Person>> {
    let email = who.trim().to_lowercase();
    let people = on.node.people(&Actor::Operator)?;
    let found = people.into_iter().find(|person| person.email == email || person.id.to_string() == email);
    found.ok_or_else(|| {
        Failure::new(format!("nobody here has the address {who}; `outpost user list` shows who there is"))
    })
}

pub async fn run(command: User, settings: &Settings) -> Result<()> {
    let (ask, absent, name, done) = match command {
        User::Add(add) => {
            let password = print::password(add.password.password_stdin)?;
            let ask = Ask::Add { email: add.email, name: add.name, role: add.role, password };
            (ask, Absent::BecomesHub, "user add", "added")
        }
        User::List(_) => return list(settings).await,
        User::Disable(Who { who }) => {
            (Ask::SetDisabled { who, disabled: true }, Absent::Refused, "user disable", "disabled")
        }
        User::Enable(EnableWho { who }) => {
            (Ask::SetDisabled { who, disabled: false }, Absent::Refused, "user enable", "enabled")
        }
        User::Passwd(passwd) => {
            let password = print::password(passwd.password.password_stdin)?;
            (Ask::SetPassword { who: passwd.who, password }, Absent::Refused, "user passwd", "has a new password")
        }
    };
    let shown: Shown = host::asked(settings, absent, name, host::Ask::User(ask)).await?;
    if settings.json {
        print::json(&shown)
    } else {
        print::line(format_args!("{} ({}, {}) {done}", shown.name, shown.email, shown.role))
    }
}

async fn list(settings: &Settings) -> Result<()> {
    let people: Vec<Shown> = host::asked(settings, Absent::Refused, "user list", host::Ask::User(Ask::List)).await?;
    if settings.json {
        return print::json(&people);
    }
    let rows: Vec<_> = people
        .into_iter()
        .map(|one| [one.email, one.name, one.role.to_string(), if one.disabled { "disabled" } else { "" }.into()])
        .collect();
    print::table(["EMAIL", "NAME", "ROLE", "STATE"], &rows, "There is nobody yet; `outpost user add` adds a person.")
}
