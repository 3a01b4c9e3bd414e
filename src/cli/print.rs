//! What commands show: lines, tables, JSON on standard output; progress on standard error.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::Failure;

/// Writes one line.
pub fn line(text: impl Display) -> Result<(), Failure> {
    bytes(format!("{text}\n").as_bytes())
}

/// Writes bytes as they are.
pub fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|err| match err.kind() {
        io::ErrorKind::BrokenPipe => Failure::nobody_reads(),
        _ => Failure::new(format!("the output cannot be written: {err}")),
    })
}

/// Writes a value as one line of JSON.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(serde_json::to_string(value).expect("answers are plain data"))
}

/// Says something to the person who looks on, beside the output.
pub fn note(text: impl Display) {
    // there is nobody to tell if even this cannot be written
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Writes rows in columns under their headings, or a sentence where there are none.
pub fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]], none: &str) -> Result<(), Failure> {
    if rows.is_empty() {
        return line(none);
    }
    let mut widths = headings.map(|heading| heading.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let mut push = |cells: [&str; N]| {
        let mut row = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            row.push_str(cell);
            row.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        text.push_str(row.trim_end());
        text.push('\n');
    };
    push(headings);
    for row in rows {
        push(std::array::from_fn(|i| row[i].as_str()));
    }
    bytes(text.as_bytes())
}

/// A moment, for programs: `2026-11-24T16:20:05.020Z`.
pub fn rfc3339(millis: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
    format!("{at:.3}")
}

/// Asks for a password twice on the terminal, or reads it as the first line of standard input.
pub fn password(from_stdin: bool) -> Result<String, Failure> {
    if from_stdin {
        let mut text = String::new();
        io::stdin()
            .read_line(&mut text)
            .map_err(|err| Failure::new(format!("the password cannot be read from standard input: {err}")))?;
        let text = text.trim_end_matches(['\n', '\r']);
        return if text.is_empty() {
            Err(Failure::new("there is no password on standard input; write it there as one line"))
        } else {
            Ok(text.to_owned())
        };
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(
            "a password is needed and there is no terminal to ask on; give --password-stdin and write it there",
        ));
    }
    let ask = |prompt: &str| {
        rpassword::prompt_password(prompt).map_err(|err| Failure::new(format!("the password cannot be read: {err}")))
    };
    let first = ask("Password: ")?;
    if ask("Again: ")? == first { Ok(first) } else { Err(Failure::new("the two passwords differ; try again")) }
}

/// How far long work is: a bar on a terminal, now and then a plain line elsewhere. Short work shows nothing.
pub struct Progress {
    bar: Option<ProgressBar>,
    what: &'static str,
    total: Option<u64>,
    told: Instant,
}

const PLAIN_EVERY: Duration = Duration::from_secs(2);

impl Progress {
    /// `what` as in "importing records". The total may be unknown.
    pub fn new(what: &'static str, total: Option<u64>) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let (bar, style) = match total {
                Some(total) => (ProgressBar::new(total), "{msg} {wide_bar} {human_pos} of {human_len}, {eta} left"),
                None => (ProgressBar::new_spinner(), "{spinner} {msg} {human_pos}"),
            };
            bar.set_style(ProgressStyle::with_template(style).expect("the template is well-formed"));
            bar.set_message(what);
            bar
        });
        Self { bar, what, total, told: Instant::now() }
    }

    pub fn set(&mut self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        } else if self.told.elapsed() >= PLAIN_EVERY {
            self.told = Instant::now();
            match self.total {
                Some(total) => note(format_args!("{}: {done} of {total}", self.what)),
                None => note(format_args!("{}: {done}", self.what)),
            }
        }
    }

    /// So much of a total that may have grown.
    pub fn set_of(&mut self, done: u64, total: u64) {
        if self.total != Some(total) {
            self.set_total(total);
        }
        self.set(done);
    }

    /// The total became known, or grew.
    pub fn set_total(&mut self, total: u64) {
        self.total = Some(total);
        if let Some(bar) = &self.bar {
            bar.set_length(total);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
