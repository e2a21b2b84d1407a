//! Small pieces that pages share.

use maud::{Markup, html};

use crate::CSRF_FIELD;

/// How a notice looks and is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Something to know.
    Info,
    /// Something was done.
    Done,
    /// Something failed; announced at once.
    Failed,
}

/// A box with one message.
pub fn notice(kind: Notice, text: &str) -> Markup {
    let (class, role) = match kind {
        Notice::Info => ("notice", "note"),
        Notice::Done => ("notice done", "status"),
        Notice::Failed => ("notice failed", "alert"),
    };
    html! { p class=(class) role=(role) { (text) } }
}

/// The hidden field with a form's token.
pub fn csrf_field(token: &str) -> Markup {
    html! { input type="hidden" name=(CSRF_FIELD) value=(token); }
}
