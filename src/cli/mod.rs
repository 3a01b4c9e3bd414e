//! The command line: what can be said on it, and what each command does. One file for each group of commands.

mod backup;
mod bundle;
mod doctor;
mod door;
mod failure;
mod host;
mod join;
mod lock;
mod node;
mod openapi;
mod print;
mod quarantine;
mod records;
mod serve;
mod sync;
mod token;
mod types;
mod user;

use clap::{Parser, Subcommand};

use crate::config::Settings;
use crate::demo;

pub use failure::Failure;
pub use host::{Served, open_store};
pub use print::{json, line, note};
pub use serve::{Running, Signals};

type Result<T, E = Failure> = std::result::Result<T, E>;

/// Forms and records that work where the network does not.
///
/// One binary is the hub and every edge. Begin with `outpost demo`.
#[derive(Debug, Parser)]
#[command(name = "outpost", version, propagate_version = true, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "Every option can be given as an environment variable, too; --help names it.\n\
    Exit status: 0 done, 1 failed, 2 wrong usage.")]
pub struct Cli {
    #[command(flatten)]
    pub settings: Settings,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Demo(demo::Demo),
    Serve(serve::Serve),
    Join(join::Join),
    /// Let edges in, see them, withdraw them
    #[command(subcommand, arg_required_else_help = true)]
    Node(node::Node),
    /// The people who sign in
    #[command(subcommand, arg_required_else_help = true)]
    User(user::User),
    /// Tokens for programs that use the API
    #[command(subcommand, arg_required_else_help = true)]
    Token(token::Token),
    /// Custom types, as JSON Schema files
    #[command(subcommand, arg_required_else_help = true)]
    Type(types::Type),
    /// Records in and out
    #[command(subcommand, arg_required_else_help = true)]
    Records(records::Records),
    /// The link of an edge to its hub
    #[command(subcommand, arg_required_else_help = true)]
    Sync(sync::Sync),
    /// Saves that the hub may not accept
    #[command(subcommand, arg_required_else_help = true)]
    Quarantine(quarantine::Quarantine),
    /// Sync by files on a stick, where there is no link
    #[command(subcommand, arg_required_else_help = true)]
    Bundle(bundle::Bundle),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Doctor(doctor::Doctor),
    Openapi(openapi::Openapi),
}

/// Carries out a command.
pub async fn run(cli: Cli) -> Result<()> {
    let Cli { settings, command } = cli;
    match command {
        Command::Demo(demo) => demo::run(demo, &settings).await,
        Command::Serve(serve) => serve::run(serve, &settings).await,
        Command::Join(join) => join::run(join, &settings).await,
        Command::Node(command) => node::run(command, &settings).await,
        Command::User(command) => user::run(command, &settings).await,
        Command::Token(command) => token::run(command, &settings).await,
        Command::Type(command) => types::run(command, &settings).await,
        Command::Records(command) => records::run(command, &settings).await,
        Command::Sync(command) => sync::run(command, &settings).await,
        Command::Quarantine(command) => quarantine::run(command, &settings).await,
        Command::Bundle(command) => bundle::run(command, &settings).await,
        Command::Backup(command) => backup::back_up_to(command, &settings).await,
        Command::Restore(command) => backup::restore_from(command, &settings).await,
        Command::Doctor(command) => doctor::run(command, &settings).await,
        Command::Openapi(command) => openapi::run(command, &settings).await,
    }
}

/// An answer as plain data.
fn answer(value: impl serde::Serialize) -> Result<serde_json::Value> {
    Ok(serde_json::to_value(value).expect("answers are plain data"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Every command on its own and with its parents.
    fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
        let path = format!("{path}{} ", command.get_name());
        if command.get_subcommands().next().is_none() {
            found.push((path.trim_end().to_owned(), command.clone()));
        }
        for child in command.get_subcommands().filter(|child| child.get_name() != "help") {
            leaves(child, &path, found);
        }
    }

    #[test]
    fn every_command_says_what_it_does_with_an_example_and_every_option_has_its_variable() {
        let mut cli = Cli::command();
        cli.build();
        let mut found = Vec::new();
        leaves(&cli, "", &mut found);
        assert!(found.len() >= 22, "{}", found.len());
        for (path, mut command) in found {
            assert!(command.get_about().is_some(), "{path} says nothing of itself");
            let help = command.render_long_help().to_string();
            assert!(help.contains(&format!("  {path}")), "{path} has no example of itself:\n{help}");
            for option in command.get_arguments().filter(|arg| !arg.is_positional()) {
                let id = option.get_id().as_str();
                if !matches!(id, "help" | "version") {
                    let variable = option.get_env().unwrap_or_else(|| panic!("{path} --{id} has no variable"));
                    assert!(variable.to_string_lossy().starts_with("OUTPOST_"), "{path} --{id}");
                }
            }
        }
    }
}
