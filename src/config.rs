//! Settings: the options that commands share, and the environment variables that stand for them. They are handed on as
//! values; nothing below reads the environment.

use std::net::{TcpListener, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args};
use jiff::tz::TimeZone;

use crate::cli::Failure;

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// The directory in which this node keeps everything
    #[arg(long, global = true, env = "OUTPOST_DATA", default_value = "./outpost-data", value_name = "DIR")]
    pub data: PathBuf,

    /// Answer in JSON, for programs
    #[arg(long, global = true, env = "OUTPOST_JSON", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub json: bool,

    /// What to log on standard error, for example `debug` or `outpost::sync=debug,warn`
    #[arg(long, global = true, env = "OUTPOST_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

/// An address to listen on, as it was given: `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`. Port 0 takes a free one.
#[derive(Debug, Clone)]
pub struct Listen(String);

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(Self(text.to_owned())),
            _ => Err("give a host and a port, for example 127.0.0.1:8080".into()),
        }
    }
}

impl Listen {
    /// Takes the address. `option` is what people choose another one with.
    pub fn bind(&self, option: &str) -> Result<TcpListener, Failure> {
        let text = &self.0;
        let addresses: Vec<_> = text
            .to_socket_addrs()
            .map_err(|err| {
                Failure::new(format!("cannot listen on {text}: {err}; choose another address with {option}"))
            })?
            .collect();
        let listener = TcpListener::bind(&addresses[..]).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        listener.map_err(|err| {
            let why = match err.kind() {
                std::io::ErrorKind::AddrInUse => "another program uses it".to_owned(),
                std::io::ErrorKind::PermissionDenied => "this user may not use this port".to_owned(),
                std::io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
                _ => err.to_string(),
            };
            Failure::new(format!("cannot listen on {text}: {why}; choose another address with {option}"))
        })
    }
}

/// Where a site is, for telling moments to people.
#[derive(Debug, Clone, Args)]
pub struct Site {
    /// The time zone of the site; else this machine's
    #[arg(long, env = "OUTPOST_ZONE", value_name = "ZONE", value_parser = zone)]
    zone: Option<TimeZone>,
}

fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name)
        .map_err(|_| "this machine knows no zone of this name; examples are Europe/Oslo and America/Lima".into())
}

impl Site {
    pub fn zone(&self) -> TimeZone {
        self.zone.clone().or_else(|| TimeZone::try_system().ok()).unwrap_or(TimeZone::UTC)
    }
}

/// The address at which a browser on this machine finds a listener.
pub fn url_of(listener: &TcpListener) -> Result<String, Failure> {
    let mut address = listener
        .local_addr()
        .map_err(|err| Failure::new(format!("the address just taken is gone: {err}; try again")))?;
    if address.ip().is_unspecified() {
        match address.ip() {
            std::net::IpAddr::V4(_) => address.set_ip(std::net::Ipv4Addr::LOCALHOST.into()),
            std::net::IpAddr::V6(_) => address.set_ip(std::net::Ipv6Addr::LOCALHOST.into()),
        }
    }
    Ok(format!("http://{address}"))
}

/// What people call this machine.
pub fn machine_name() -> String {
    let name = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "outpost".into() } else { name.chars().take(100).collect() }
}
