//! Who was sent to a provider: remembered here under a handle that travels there and back, and bound to the
//! browser by a cookie, so that nobody is signed in as somebody else by a link.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use sallyport_model::{ConnectionId, Timestamp};
use sallyport_storage::{Parked, ParkedKind};
use sallyport_web::Cookie;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::refused::Refused;
use crate::{
    Identity, IdentityError,
    continue_to::ContinueTo,
    session::{bearer, sha256},
};

/// How long somebody may take at her provider.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// One for all of a browser's sign-ins, so that two tabs do not disturb one another.
const SENT: Cookie = Cookie::new("sallyport-sent");

/// Somebody on her way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Begun {
    pub(crate) connection: ConnectionId,
    pub(crate) continue_to: ContinueTo,
    /// From before she left: what was revoked since is not signed in again.
    pub(crate) since: Timestamp,
    /// What the protocol must remember (nonce, verifier, request id).
    pub(crate) protocol: Value,
    /// SHA-256 of the cookie, in hexadecimal.
    browser: String,
}

impl Identity {
    /// Remembers somebody who is about to be sent to `connection`. The handle (256 random bits, base64url) is
    /// OpenID Connect's `state` or SAML's `RelayState`. `protocol` is what comes back with it.
    pub(crate) async fn send_off(
        &self,
        headers: &HeaderMap,
        connection: &ConnectionId,
        continue_to: &ContinueTo,
        protocol: Value,
    ) -> Result<(String, HeaderValue), IdentityError> {
        let handle = self.fresh_handle();
        let cookie = self.send_off_as(&handle, headers, connection, continue_to, protocol).await?;
        Ok((handle, cookie))
    }

    /// A handle for [`Self::send_off_as`].
    pub(crate) fn fresh_handle(&self) -> String {
        bearer(self.rng()).0
    }

    /// The same where what is to be remembered needs the handle, as a signed request with a `RelayState` does.
    /// `handle` is fresh.
    pub(crate) async fn send_off_as(
        &self,
        handle: &str,
        headers: &HeaderMap,
        connection: &ConnectionId,
        continue_to: &ContinueTo,
        protocol: Value,
    ) -> Result<HeaderValue, IdentityError> {
        let cookies = self.shell().cookies();
        let known = cookies.read(headers, &SENT).filter(|value| value.len() == 43);
        let cookie = known.unwrap_or_else(|| bearer(self.rng()).0);
        let digest = sha256(handle);
        let now = self.now();
        let begun = Begun {
            connection: connection.clone(),
            continue_to: continue_to.clone(),
            since: now,
            protocol,
            browser: sallyport_model::hex(&sha256(&cookie)),
        };
        let body = serde_json::to_string(&begun).map_err(|_| IdentityError::Internal("writing a sign-in down"))?;
        let parked = Parked { handle: digest, kind: ParkedKind::Federated, body, expires_at: now.plus(PATIENCE) };
        self.store().park(&parked).await?;
        Ok(cookies.set(&SENT, &cookie))
    }

    /// Takes back somebody who came with `handle` from `connection`. Works once.
    pub(crate) async fn take_back(
        &self,
        headers: &HeaderMap,
        connection: &ConnectionId,
        handle: &str,
    ) -> Result<Result<Begun, Refused>, IdentityError> {
        let ended = || Refused::again("sign_in_ended", "This sign-in has ended, or was finished before.");
        let digest = sha256(handle);
        let now = self.now();
        let Some(parked) = self.store().parked(&digest, ParkedKind::Federated, now).await? else {
            return Ok(Err(ended()));
        };
        let begun: Begun =
            serde_json::from_str(&parked.body).map_err(|_| IdentityError::Internal("reading a sign-in back"))?;
        let cookie = self.shell().cookies().read(headers, &SENT).unwrap_or_default();
        if sallyport_model::hex(&sha256(&cookie)) != begun.browser {
            let what = "This sign-in was begun in another browser, or your browser sent no cookie.";
            return Ok(Err(Refused::again("sign_in_elsewhere", what)));
        }
        if begun.connection != *connection {
            let what = "The answer came from another identity provider than the one that was asked.";
            return Ok(Err(Refused::new("provider_mix_up", what, None)));
        }
        if self.store().unpark(&digest, ParkedKind::Federated, now).await?.is_none() {
            return Ok(Err(ended()));
        }
        Ok(Ok(begun))
    }
}
