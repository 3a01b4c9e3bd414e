//! Forms as people and programs fill them: drawn as HTML, read back from it, posted.

mod answers;
mod bad_input;
mod browser;
mod decoding;
mod laws;
mod markup;

use browser::Page;
