//! The command line of outpost: reads what was asked, carries it out, and ends with the status that says how it went.

mod cli;
mod config;
mod demo;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use cli::{Cli, Command, Failure};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.line.is_empty() {
                cli::note(format_args!("outpost: {}", failure.line.replace('\n', " ")));
            }
            ExitCode::from(failure.status)
        }
    }
}

fn start(cli: Cli) -> Result<(), Failure> {
    let runs_on = matches!(cli.command, Command::Demo(_) | Command::Serve(_));
    let usual = if runs_on { "warn,outpost=info" } else { "error" };
    let filter = cli.settings.log.as_deref().unwrap_or(usual);
    let filter = EnvFilter::try_new(filter).map_err(|err| {
        Failure::usage(format!("--log {filter} is no filter: {err}; an example is outpost=debug,warn"))
    })?;
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    // an error says that there is one already
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|err| Failure::new(format!("the threads of this program cannot be started: {err}")))?;
    runtime.block_on(cli::run(cli))
}
