//! WebAuthn ceremonies and what is parked of them. A ceremony's state stays in the store under a
//! random cookie, lives five minutes, and is taken once.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use sallyport_model::{SessionId, UserId};
use sallyport_storage::{Digest, Parked, ParkedKind, Passkey as StoredPasskey, Person, StoreError};
use sallyport_web::{Cookie, Shell};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use webauthn_rs::prelude::{
    CreationChallengeResponse, DiscoverableAuthentication, Passkey, PasskeyAuthentication, PasskeyRegistration,
    Webauthn, WebauthnBuilder,
};

use crate::{
    Identity, IdentityError,
    continue_to::ContinueTo,
    session::{bearer, sha256},
};

const LIFETIME: Duration = Duration::from_secs(5 * 60);
const CEREMONY: Cookie = Cookie::new("sallyport-ceremony").lasting(LIFETIME);

/// A ceremony under way. The server knows from here, and from nowhere else, who it is about.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Ceremony {
    /// The password was right; the passkey is still to come.
    SecondFactor { after: RightPassword, continue_to: ContinueTo, state: Option<PasskeyAuthentication> },
    /// The password was right; this person must enrol a passkey before she is signed in.
    RequiredEnrolment { after: RightPassword, continue_to: ContinueTo, state: Option<PasskeyRegistration> },
    /// A passkey instead of a password; the authenticator will say whose.
    Discoverable { continue_to: ContinueTo, state: DiscoverableAuthentication },
    /// A signed-in person adds a passkey.
    Enrolment { user: UserId, session: SessionId, name: String, state: PasskeyRegistration },
}

/// Whose password was right, and which: once it is changed, what began with it does not go on.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RightPassword {
    user: UserId,
    hash_sha256: Option<Digest>,
}

impl RightPassword {
    pub(crate) fn of(person: &Person) -> Self {
        Self { user: person.id.clone(), hash_sha256: person.password_hash.as_deref().map(sha256) }
    }
}

/// The relying party.
#[derive(Debug)]
pub(crate) struct Passkeys {
    pub(crate) webauthn: Webauthn,
}

impl Passkeys {
    /// `None` where the public URL's host is an address: WebAuthn needs a domain.
    pub(crate) fn new(shell: &Shell) -> Option<Self> {
        let url = shell.public_url();
        let builder = WebauthnBuilder::new(url.domain()?, url).ok()?;
        let webauthn = builder.rp_name(&shell.branding().product).timeout(LIFETIME).build().ok()?;
        Some(Self { webauthn })
    }

    /// Challenges an authenticator to make a passkey for `person`, found again without a login.
    pub(crate) fn start_registration(
        &self,
        person: &Person,
        existing: &[StoredPasskey],
    ) -> Result<(serde_json::Value, PasskeyRegistration), IdentityError> {
        let exclude = existing.iter().map(|passkey| Ok(read(passkey)?.cred_id().clone()));
        let exclude = exclude.collect::<Result<Vec<_>, IdentityError>>()?;
        let (challenge, state): (CreationChallengeResponse, _) = self
            .webauthn
            .start_passkey_registration(user_handle(&person.id), &person.login, &person.display_name, Some(exclude))
            .map_err(|_| IdentityError::Internal("starting a passkey registration"))?;
        let mut options = json(&challenge)?;
        options["publicKey"]["authenticatorSelection"]["residentKey"] = "preferred".into();
        Ok((options, state))
    }
}

pub(crate) fn json<T: Serialize>(value: &T) -> Result<serde_json::Value, IdentityError> {
    serde_json::to_value(value).map_err(|_| IdentityError::Internal("writing a passkey challenge"))
}

/// The WebAuthn user handle: the user id where that is a UUID, as every minted one is. Others get a
/// digest, from which nobody is found again: their passkeys serve as second factor only.
pub(crate) fn user_handle(id: &UserId) -> Uuid {
    Uuid::parse_str(id.as_str()).unwrap_or_else(|_| {
        let digest = sha256(id.as_str());
        let mut bytes = [0u8; 16];
        bytes.copy_from_slice(&digest[..16]);
        Uuid::from_bytes(bytes)
    })
}

/// The person behind a user handle; the reverse of [`user_handle`] for minted ids.
pub(crate) fn user_of_handle(handle: Uuid) -> Option<UserId> {
    UserId::new(handle.simple().to_string()).ok()
}

/// A stored passkey as webauthn-rs knows it.
pub(crate) fn read(passkey: &StoredPasskey) -> Result<Passkey, IdentityError> {
    serde_json::from_str(&passkey.credential)
        .map_err(|error| StoreError::Damaged { what: "passkey", why: error.to_string() }.into())
}

/// A passkey as it is stored.
pub(crate) fn write(passkey: &Passkey) -> Result<String, IdentityError> {
    serde_json::to_string(passkey).map_err(|_| IdentityError::Internal("writing a passkey"))
}

impl Identity {
    /// The person who gave that password, if it is still hers and she may sign in.
    pub(crate) async fn still_right(&self, after: &RightPassword) -> Result<Option<Person>, IdentityError> {
        let Some(person) = self.store().person(&after.user).await? else { return Ok(None) };
        let same = RightPassword::of(&person).hash_sha256 == after.hash_sha256;
        Ok((same && self.may_sign_in(&person).await?).then_some(person))
    }

    /// Parks `ceremony` under a fresh handle; the cookie holds the handle.
    pub(crate) async fn park_ceremony(&self, ceremony: &Ceremony) -> Result<HeaderValue, IdentityError> {
        let (value, handle) = bearer(self.rng());
        let body = body(ceremony)?;
        let expires_at = self.now().plus(LIFETIME);
        self.store().park(&Parked { handle, kind: ParkedKind::Ceremony, body, expires_at }).await?;
        Ok(self.shell().cookies().set(&CEREMONY, &value))
    }

    /// What the browser's cookie stands for, left where it is.
    pub(crate) async fn peek_ceremony(&self, headers: &HeaderMap) -> Result<Option<Ceremony>, IdentityError> {
        let Some(value) = self.shell().cookies().read(headers, &CEREMONY) else { return Ok(None) };
        let parked = self.store().parked(&sha256(&value), ParkedKind::Ceremony, self.now()).await?;
        parked.as_ref().map(parse).transpose()
    }

    /// Replaces what is parked; whether it was still there.
    pub(crate) async fn update_ceremony(
        &self,
        headers: &HeaderMap,
        ceremony: &Ceremony,
    ) -> Result<bool, IdentityError> {
        let Some(value) = self.shell().cookies().read(headers, &CEREMONY) else { return Ok(false) };
        let body = body(ceremony)?;
        Ok(self.store().repark(&sha256(&value), ParkedKind::Ceremony, &body, self.now()).await?)
    }

    /// Takes what the browser's cookie stands for; it never works again.
    pub(crate) async fn take_ceremony(&self, headers: &HeaderMap) -> Result<Option<Ceremony>, IdentityError> {
        let Some(value) = self.shell().cookies().read(headers, &CEREMONY) else { return Ok(None) };
        let parked = self.store().unpark(&sha256(&value), ParkedKind::Ceremony, self.now()).await?;
        parked.as_ref().map(parse).transpose()
    }

    /// `Set-Cookie` that forgets the ceremony.
    pub(crate) fn forget_ceremony(&self) -> HeaderValue {
        self.shell().cookies().clear(&CEREMONY)
    }
}

fn body(ceremony: &Ceremony) -> Result<String, IdentityError> {
    serde_json::to_string(ceremony).map_err(|_| IdentityError::Internal("writing a passkey ceremony"))
}

fn parse(parked: &Parked) -> Result<Ceremony, IdentityError> {
    serde_json::from_str(&parked.body)
        .map_err(|error| StoreError::Damaged { what: "passkey ceremony", why: error.to_string() }.into())
}

#[cfg(test)]
mod tests {
    use sallyport_model::SeededRng;

    use super::*;

    #[test]
    fn a_minted_person_is_found_again_by_her_handle_and_another_id_is_not() {
        let minted = UserId::mint(&SeededRng::new(1));
        assert_eq!(user_of_handle(user_handle(&minted)), Some(minted));
        let named = UserId::new("ada").unwrap();
        assert_ne!(user_of_handle(user_handle(&named)), Some(named));
    }
}
