//! What stands around every page: the bar with the link in words, the rail, the account menu.

use std::fmt::{self, Display, Formatter};

use askama::Template;
use askama::filters::HtmlSafe;

use super::part::{Banner, Person, Toast, Tone, Total};

/// Everything a page needs besides its own content. Handlers make one for each request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// The node's name: "Tern Bay hub".
    pub place: String,
    /// How it stands with the others.
    pub link: LinkStatus,
    /// Who is signed in; without anyone there is neither rail nor menu.
    pub person: Option<Person>,
    /// What this person may do, for what is offered. The server decides again when it is asked.
    pub may: May,
    /// The types that have records here, in the order of the rail.
    pub types: Vec<RailType>,
    /// How many things wait in `/attention`.
    pub attention: Total,
    /// The value of `_csrf`, which every posting form carries.
    pub csrf: String,
    pub look: Look,
    /// Where one is, for the mark in the rail.
    pub here: Here,
    /// The path and query of this page, where the display form returns to.
    pub path: String,
    pub is_hub: bool,
    /// Whether other nodes may join this one.
    pub serves: bool,
    /// Present in the demo: a strip with the switch stands above each page.
    pub demo: Option<DemoLink>,
    pub banner: Option<Banner>,
    pub toast: Option<Toast>,
}

/// The page one is on, as far as the rail knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Here {
    #[default]
    Elsewhere,
    Home,
    Attention,
    Sync,
    /// Anything about the records of this type.
    Records(String),
    Types,
    Nodes,
    Users,
    Api,
    Demo,
}

/// What the person of the session may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct May {
    /// Create, edit, bin and restore records, decide in `/attention`.
    pub edit: bool,
    /// Make and change types.
    pub design: bool,
    /// People, nodes, tokens.
    pub admin: bool,
}

/// One type in the rail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RailType {
    pub name: String,
    /// As records of it are called together: "Work orders".
    pub title: String,
    /// See [`type_icon`](super::part::type_icon).
    pub icon: &'static str,
    pub count: u64,
}

/// How this node stands with the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LinkState {
    #[default]
    InStep,
    Behind,
    Offline,
    Paused,
    Refused,
}

impl Display for LinkState {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            LinkState::InStep => "in-step",
            LinkState::Behind => "behind",
            LinkState::Offline => "offline",
            LinkState::Paused => "paused",
            LinkState::Refused => "refused",
        })
    }
}
impl HtmlSafe for LinkState {}

impl LinkState {
    pub fn tone(self) -> Tone {
        match self {
            LinkState::InStep => Tone::Ok,
            LinkState::Behind | LinkState::Offline | LinkState::Paused => Tone::Wait,
            LinkState::Refused => Tone::Stop,
        }
    }

    pub fn icon(self) -> &'static str {
        match self {
            LinkState::InStep => "check",
            LinkState::Behind => "sync",
            LinkState::Offline => "cut",
            LinkState::Paused => "clock",
            LinkState::Refused => "stop",
        }
    }

    /// One word or two: "in step", "out of reach".
    pub fn word(self) -> &'static str {
        match self {
            LinkState::InStep => "in step",
            LinkState::Behind => "catching up",
            LinkState::Offline => "offline",
            LinkState::Paused => "paused",
            LinkState::Refused => "withdrawn",
        }
    }
}

/// The line of the bar that says how it stands with the link, at most 26 characters: "Offline · 4 saves waiting".
///
/// Renders as the partial that `GET /link` answers with; it fetches itself again when `/live` says that the link changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Template)]
#[template(path = "frame/link.html")]
pub struct LinkStatus {
    pub state: LinkState,
    pub words: String,
}
impl HtmlSafe for LinkStatus {}

/// The link of the demo, for the strip above each page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DemoLink {
    pub is_up: bool,
}

/// How the page is shown; kept in a cookie and set by `POST /display` (fields `theme`, `density`, and `_to` for the way back).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Look {
    pub theme: Theme,
    pub density: Density,
}

/// Colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Theme {
    /// As the system says.
    #[default]
    Auto,
    Light,
    Dark,
    /// Black on white, heavier, for sunlight.
    Sun,
}

/// The size of whatever a finger hits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Density {
    #[default]
    Normal,
    Compact,
    Gloves,
}

impl Theme {
    pub const ALL: [(Theme, &'static str); 4] =
        [(Theme::Auto, "Automatic"), (Theme::Light, "Light"), (Theme::Dark, "Dark"), (Theme::Sun, "Sunlight")];

    /// The value in the form and in the cookie.
    pub fn name(self) -> &'static str {
        match self {
            Theme::Auto => "auto",
            Theme::Light => "light",
            Theme::Dark => "dark",
            Theme::Sun => "sun",
        }
    }

    /// Reads [`Theme::name`]; `None` for anything else.
    pub fn named(name: &str) -> Option<Theme> {
        Theme::ALL.into_iter().map(|(theme, _)| theme).find(|theme| theme.name() == name)
    }
}

impl Density {
    pub const ALL: [(Density, &'static str); 3] =
        [(Density::Normal, "Normal"), (Density::Compact, "Compact"), (Density::Gloves, "Gloves")];

    /// The value in the form and in the cookie.
    pub fn name(self) -> &'static str {
        match self {
            Density::Normal => "normal",
            Density::Compact => "compact",
            Density::Gloves => "gloves",
        }
    }

    /// Reads [`Density::name`]; `None` for anything else.
    pub fn named(name: &str) -> Option<Density> {
        Density::ALL.into_iter().map(|(density, _)| density).find(|density| density.name() == name)
    }
}

/// As attributes of `<html>`.
impl Display for Look {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        if self.theme != Theme::Auto {
            write!(out, " data-theme=\"{}\"", self.theme.name())?;
        }
        if self.density != Density::Normal {
            write!(out, " data-density=\"{}\"", self.density.name())?;
        }
        Ok(())
    }
}
impl HtmlSafe for Look {}

impl Frame {
    /// A frame for whoever is not signed in.
    pub fn alone(place: impl Into<String>) -> Frame {
        Frame { place: place.into(), ..Frame::default() }
    }

    /// The same frame, on this page.
    pub fn at(self, here: Here) -> Frame {
        Frame { here, ..self }
    }

    /// The mark of the current page, for a link of the rail.
    pub fn mark(&self, here: Here) -> Current {
        Current(self.here == here)
    }

    /// The same for a type's records.
    pub fn mark_type(&self, name: &str) -> Current {
        Current(matches!(&self.here, Here::Records(here) if here == name))
    }

    /// The mark of the phone's tab for records of any type.
    pub fn mark_records(&self) -> Current {
        Current(matches!(self.here, Here::Records(_) | Here::Types))
    }
}

/// `aria-current="page"` or nothing.
pub struct Current(pub bool);

impl Display for Current {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(if self.0 { " aria-current=\"page\"" } else { "" })
    }
}
impl HtmlSafe for Current {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_display_is_read_as_it_is_written() {
        for (theme, _) in Theme::ALL {
            assert_eq!(Theme::named(theme.name()), Some(theme));
        }
        for (density, _) in Density::ALL {
            assert_eq!(Density::named(density.name()), Some(density));
        }
        assert_eq!(Theme::named("\"><script>"), None);
        assert_eq!(Look::default().to_string(), "");
        let display = Look { theme: Theme::Sun, density: Density::Gloves };
        assert_eq!(display.to_string(), " data-theme=\"sun\" data-density=\"gloves\"");
    }
}
