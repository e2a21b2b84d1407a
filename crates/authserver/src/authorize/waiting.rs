//! An authorization request that waits for a person, bound to the browser that began it.

use http::{HeaderMap, HeaderValue};
use sallyport_model::Timestamp;
use sallyport_oauth::ErrorCode;
use sallyport_storage::{Parked, ParkedKind};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::{RESUME, request::AuthorizationRequest};
use crate::{
    AuthServerError, bearer,
    error::{Ended, Refusal},
    server::Server,
};

/// Nobody signs in so often for one request.
const MOST_SIGN_INS: u8 = 8;

/// What is kept while a person signs in and decides.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) request: AuthorizationRequest,
    /// A form token of the browser that began it.
    browser: String,
    pub(crate) since: Timestamp,
    pub(crate) sign_ins: u8,
}

/// A waiting request and its handle.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    pub(crate) handle: String,
    pub(crate) waiting: Waiting,
}

fn purpose(handle: &str) -> String {
    format!("authorization request {handle}")
}

const fn gone() -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, "this request has ended or was answered already", "request_gone")
}

impl Server {
    /// Parks a request; the path to go on at, and the cookie that binds it to the browser.
    pub(crate) async fn wait(
        &self,
        headers: &HeaderMap,
        request: AuthorizationRequest,
    ) -> Result<(String, Option<HeaderValue>), AuthServerError> {
        let (handle, digest) = bearer::mint(self.rng.as_ref());
        let form = self.shell.form_token(headers, &purpose(&handle), self.rng.as_ref());
        let since = self.now();
        let waiting = Waiting { request, browser: form.token, since, sign_ins: 0 };
        let parked = Parked {
            handle: digest,
            kind: ParkedKind::Interactive,
            body: body(&waiting)?,
            expires_at: since.plus(self.config.lifetimes.waiting_request),
        };
        self.store.park(&parked).await?;
        Ok((resume_path(&handle), form.set_cookie))
    }

    /// Reads a waiting request in the browser that began it; refuses every other one.
    pub(crate) async fn open(&self, headers: &HeaderMap, handle: Option<&str>) -> Result<Open, Ended> {
        let handle = handle.ok_or(gone())?;
        let digest = bearer::presented(handle).ok_or(gone())?;
        let parked = self.store.parked(&digest, ParkedKind::Interactive, self.now()).await?.ok_or(gone())?;
        self.of_browser(headers, handle, &parked.body)
    }

    /// Takes it: of any number of answers, one counts.
    pub(crate) async fn take(&self, headers: &HeaderMap, handle: &str) -> Result<Open, Ended> {
        let digest = bearer::presented(handle).ok_or(gone())?;
        let parked = self.store.unpark(&digest, ParkedKind::Interactive, self.now()).await?.ok_or(gone())?;
        self.of_browser(headers, handle, &parked.body)
    }

    /// Notes that the browser is sent to sign in once more.
    pub(crate) async fn count_sign_in(&self, open: &Open) -> Result<(), Ended> {
        let digest = bearer::presented(&open.handle).ok_or(gone())?;
        if open.waiting.sign_ins >= MOST_SIGN_INS {
            self.store.unpark(&digest, ParkedKind::Interactive, self.now()).await?;
            return Err(gone().into());
        }
        let waiting = Waiting { sign_ins: open.waiting.sign_ins + 1, ..open.waiting.clone() };
        match self.store.repark(&digest, ParkedKind::Interactive, &body(&waiting)?, self.now()).await? {
            true => Ok(()),
            false => Err(gone().into()),
        }
    }

    fn of_browser(&self, headers: &HeaderMap, handle: &str, body: &str) -> Result<Open, Ended> {
        let waiting: Waiting = serde_json::from_str(body).map_err(|_| gone())?;
        // A browser without our cookie gets a fresh one here, whose token matches nothing.
        let here = self.shell.form_token(headers, &purpose(handle), self.rng.as_ref());
        if here.set_cookie.is_some() || !bool::from(here.token.as_bytes().ct_eq(waiting.browser.as_bytes())) {
            let foreign = "this request was begun in another browser, or this browser keeps no cookies";
            return Err(Refusal::new(ErrorCode::InvalidRequest, foreign, "request_of_another_browser").into());
        }
        Ok(Open { handle: handle.to_owned(), waiting })
    }
}

/// Where a waiting request goes on.
pub(crate) fn resume_path(handle: &str) -> String {
    format!("{RESUME}?handle={handle}")
}

fn body(waiting: &Waiting) -> Result<String, AuthServerError> {
    serde_json::to_string(waiting).map_err(|error| {
        AuthServerError::Store(sallyport_storage::StoreError::Damaged {
            what: "authorization request",
            why: error.to_string(),
        })
    })
}
