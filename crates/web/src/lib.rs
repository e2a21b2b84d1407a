//! What every page has in common: the shell, its headers, cookies, protection against forged
//! requests, and error pages.
//!
//! Pages are rendered here, by the server, and work without a script (passkeys apart). This crate
//! never reads the store, never decides who somebody is, and never sends a secret to a page.

mod assets;
mod branding;
mod caller;
mod client_address;
mod components;
mod cookies;
mod csrf;
mod errors;
mod page;
mod shell;

pub use assets::Asset;
pub use branding::Branding;
pub use caller::Caller;
pub use client_address::ClientAddress;
pub use components::{Notice, csrf_field, notice};
pub use cookies::{Cookie, Cookies};
pub use csrf::{CSRF_FIELD, CsrfError, CsrfKey, FormToken};
pub use errors::ErrorPage;
pub use maud::Markup;
pub use page::{Page, Width};
pub use shell::Shell;

/// Why a shell cannot be made. The operator's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebError {
    /// Cookies and passkeys are worth nothing over plain http, except on this machine.
    #[error("the public URL `{0}` is plain http and not on loopback: use https")]
    InsecurePublicUrl(String),
    /// The public URL is not an origin.
    #[error("the public URL `{url}` {why}")]
    BadPublicUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
}
