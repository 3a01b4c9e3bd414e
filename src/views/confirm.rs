//! A question before something that cannot be undone, as a page of its own.

use askama::Template;

use super::frame::Frame;
use super::part::Link;

/// Asks once more. The form posts to `action` with `_sure=yes` and whatever was posted before.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "confirm/page.html")]
pub struct ConfirmPage {
    pub frame: Frame,
    /// "Withdraw Platform 7?"
    pub question: String,
    /// What will happen, what is kept.
    pub consequences: Vec<String>,
    pub action: String,
    /// What to post again, `_do` included.
    pub fields: Vec<(String, String)>,
    /// "Withdraw Platform 7".
    pub yes: String,
    /// "Keep it", and where that leads.
    pub no: Link,
}
