//! `outpost token`: what programs use the API with.

use clap::{Args, Subcommand};
use outpost::domain::people::{Actor, Role};
use outpost::node::ApiToken;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::host::{self, Absent, Served};
use super::{Result, answer, print};
use crate::config::Settings;

#[derive(Debug, Subcommand)]
pub enum Token {
    Create(Create),
    List(List),
    Revoke(Revoke),
}

/// Make a token and print it, this once
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost token create --name \"nightly export\" --role viewer")]
pub struct Create {
    /// What it is for
    #[arg(long, env = "OUTPOST_NAME")]
    name: String,
    /// What the program may do: viewer, staff, designer or admin
    #[arg(long, env = "OUTPOST_ROLE")]
    role: Role,
}

/// List the tokens of this node
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost token list --json")]
pub struct List {}

/// Withdraw a token
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost token revoke \"nightly export\"")]
pub struct Revoke {
    /// Its id, or its name
    which: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    Create { name: String, role: Role },
    List,
    Revoke { which: String },
}

/// A token, as commands show it.
#[derive(Debug, Serialize, Deserialize)]
struct Shown {
    id: String,
    name: String,
    role: Role,
    created_at: String,
    revoked: bool,
    /// Its secret; only when it was just made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl Shown {
    fn of(token: ApiToken, secret: Option<String>) -> Self {
        Self {
            id: token.id.to_string(),
            name: token.name,
            role: token.role,
            created_at: print::rfc3339(token.created_at),
            revoked: token.revoked,
            token: secret,
        }
    }
}

pub async fn execute(ask: Ask, on: &Served) -> Result<Value> {
    match ask {
        Ask::Create { name, role } => {
            let (secret, token) = on.node.create_token(&Actor::Operator, &name, role).await?;
            answer(Shown::of(token, Some(secret)))
        }
        Ask::List => {
            let tokens = on.node.tokens(&Actor::Operator).await?;
            answer(tokens.into_iter().map(|token| Shown::of(token, None)).collect::<Vec<_>>())
        }
        Ask::Revoke { which } => {
            let token = on.node.revoke_token(&Actor::Operator, &which).await?;
            answer(Shown::of(token, None))
        }
    }
}

pub async fn run(command: Token, settings: &Settings) -> Result<()> {
    match command {
        Token::Create(Create { name, role }) => {
            let shown: Shown =
                host::asked(settings, Absent::BecomesHub, "token create", host::Ask::Token(Ask::Create { name, role }))
                    .await?;
            if settings.json {
                return print::json(&shown);
            }
            print::note("This is shown only now; keep it safe.");
            print::line(shown.token.unwrap_or_default())
        }
        Token::List(_) => {
            let tokens: Vec<Shown> =
                host::asked(settings, Absent::Refused, "token list", host::Ask::Token(Ask::List)).await?;
            if settings.json {
                return print::json(&tokens);
            }
            let rows: Vec<_> = tokens
                .into_iter()
                .map(|token| {
                    let state = if token.revoked { "revoked" } else { "" };
                    [token.id, token.name, token.role.to_string(), token.created_at, state.into()]
                })
                .collect();
            print::table(["ID", "NAME", "ROLE", "MADE", "STATE"], &rows, "There are no tokens.")
        }
        Token::Revoke(Revoke { which }) => {
            let shown: Shown =
                host::asked(settings, Absent::Refused, "token revoke", host::Ask::Token(Ask::Revoke { which })).await?;
            if settings.json { print::json(&shown) } else { print::line(format_args!("{} is revoked", shown.name)) }
        }
    }
}
