//! The error page: what failed, what to do about it, and a stable code.

use std::time::Duration;

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use maud::html;

use crate::Shell;

/// An error as a person sees it.
#[derive(Debug, Clone)]
pub struct ErrorPage {
    /// The HTTP status.
    pub status: StatusCode,
    /// A stable snake_case code.
    pub code: &'static str,
    /// What failed, in one sentence.
    pub what: String,
    /// What to do about it, in one sentence.
    pub remedy: String,
    /// `Retry-After`.
    pub retry_after: Option<Duration>,
    /// What stands above `what`, where that is more than a line.
    pub heading: Option<&'static str>,
    /// By which an administrator finds it in the log.
    pub reference: Option<String>,
}

impl ErrorPage {
    /// An error without `Retry-After`.
    pub fn new(status: StatusCode, code: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            status,
            code,
            what: what.into(),
            remedy: remedy.into(),
            retry_after: None,
            heading: None,
            reference: None,
        }
    }

    /// The same error, to be tried again after `wait` (rounded up to a second).
    pub fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// The same error under a heading.
    pub fn headed(self, heading: &'static str) -> Self {
        Self { heading: Some(heading), ..self }
    }

    /// The same error under the reference that the log has it by.
    pub fn reference(self, reference: impl Into<String>) -> Self {
        Self { reference: Some(reference.into()), ..self }
    }
}

impl Shell {
    /// Renders `error`.
    pub fn error(&self, error: &ErrorPage) -> Response {
        let body = html! {
            @if let Some(heading) = error.heading {
                h1 { (heading) }
                p { (error.what) }
            } @else {
                h1 { (error.what) }
            }
            p.lead { (error.remedy) }
            p.fine {
                "Code " code { (error.code) }
                @if let Some(reference) = &error.reference { ". Reference " code { (reference) } }
                @if let Some(support) = &self.branding().support { ". Help: " (support) }
            }
        };
        let mut page = self.page("Something went wrong").status(error.status);
        if let Some(wait) = error.retry_after {
            page = page.header(header::RETRY_AFTER, HeaderValue::from(wait.as_millis().div_ceil(1000) as u64));
        }
        page.in_popup().respond(body)
    }
}
