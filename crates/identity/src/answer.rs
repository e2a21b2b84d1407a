//! The one place where failures become pages, or JSON for the passkey script.

use std::time::Duration;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use sallyport_web::{CsrfError, ErrorPage};
use serde_json::json;

use crate::{Identity, IdentityError};

/// Why a handler did not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Ours or the operator's.
    Ours(IdentityError),
    /// The request looks forged.
    Forged(CsrfError),
    /// Refused, with what to say.
    Refused(Box<ErrorPage>),
}

impl<E: Into<IdentityError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Ours(error.into())
    }
}

impl From<CsrfError> for Failure {
    fn from(error: CsrfError) -> Self {
        Self::Forged(error)
    }
}

impl From<ErrorPage> for Failure {
    fn from(page: ErrorPage) -> Self {
        Self::Refused(Box::new(page))
    }
}

impl Failure {
    fn page(self, origin: &str) -> ErrorPage {
        match self {
            Self::Refused(page) => *page,
            Self::Forged(CsrfError::CrossSite) => ErrorPage::new(
                StatusCode::FORBIDDEN,
                "cross_site_request",
                "This form was sent from another address.",
                format!("Open {origin} in your browser, exactly so, and start again from there."),
            ),
            Self::Forged(CsrfError::NoCookie) => ErrorPage::new(
                StatusCode::FORBIDDEN,
                "no_cookie",
                "Your browser sent no cookie with this form.",
                "Allow cookies for this site, go back, reload the page and try again.",
            ),
            Self::Forged(CsrfError::BadToken) => ErrorPage::new(
                StatusCode::FORBIDDEN,
                "form_expired",
                "This form is no longer valid.",
                "Go back, reload the page and try again.",
            ),
            Self::Ours(error) => ours(&error),
        }
    }
}

fn ours(error: &IdentityError) -> ErrorPage {
    tracing::error!(%error, "a sign-in or account page failed");
    let unavailable = |code, what: &str| {
        let remedy = "Nothing was changed that you need to undo. Try again in a moment.";
        ErrorPage::new(StatusCode::SERVICE_UNAVAILABLE, code, what, remedy).retry_after(Duration::from_secs(5))
    };
    match error {
        IdentityError::Record(_) => unavailable("audit_unavailable", "This cannot be recorded, so it was not done."),
        IdentityError::Busy => unavailable("busy", "Too many people are signing in at this moment."),
        IdentityError::Store(_) => unavailable("store_unavailable", "The server cannot reach its storage."),
        _ => ErrorPage::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "The server made a mistake.",
            "Try again; if it happens again, tell whoever runs this server.",
        ),
    }
}

impl Identity {
    /// A page, whatever happened.
    pub(crate) fn answer(&self, result: Result<Response, Failure>) -> Response {
        result.unwrap_or_else(|failure| self.shell().error(&failure.page(self.shell().origin())))
    }

    /// The same for the script: `{"error": {"code", "message"}}`.
    pub(crate) fn answer_json(&self, result: Result<Response, Failure>) -> Response {
        result.unwrap_or_else(|failure| {
            let page = failure.page(self.shell().origin());
            let message = format!("{} {}", page.what, page.remedy);
            (page.status, Json(json!({"error": {"code": page.code, "message": message}}))).into_response()
        })
    }
}
