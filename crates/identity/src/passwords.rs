//! Passwords: argon2id (RFC 9106) with 19 MiB, two passes, one lane, as PHC strings.
//!
//! Hashing runs on blocking threads, at most one a core, so that a flood of sign-ins neither stops
//! the event loop nor takes all memory. A login that does not exist costs the same work.

use std::{sync::Arc, time::Duration};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use sallyport_model::{Rng, Secret};
use tokio::sync::Semaphore;

use crate::IdentityError;

/// Characters that a new password needs at least.
pub const SHORTEST_PASSWORD: usize = 12;
/// Bytes that a password may have at most.
pub const LONGEST_PASSWORD: usize = 1024;

const PATIENCE: Duration = Duration::from_secs(5);

fn argon2() -> Result<Argon2<'static>, IdentityError> {
    let params = Params::new(19 * 1024, 2, 1, None).map_err(|_| IdentityError::Internal("setting up argon2id"))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Hashes `password` with a fresh salt of 128 bits. Takes some 20 ms of a core: call it on a blocking
/// thread. Refuses what is shorter than [`SHORTEST_PASSWORD`] characters.
pub fn hash_password(password: &Secret, rng: &dyn Rng) -> Result<String, IdentityError> {
    if password.expose().chars().count() < SHORTEST_PASSWORD {
        return Err(IdentityError::WeakPassword("is shorter than 12 characters"));
    }
    if password.expose().len() > LONGEST_PASSWORD {
        return Err(IdentityError::WeakPassword("is longer than 1024 bytes"));
    }
    let mut salt = [0u8; 16];
    rng.fill(&mut salt);
    let hash: PasswordHash = argon2()?
        .hash_password_with_salt(password.expose().as_bytes(), &salt)
        .map_err(|_| IdentityError::Internal("hashing a password"))?;
    Ok(hash.to_string())
}

fn verify(password: &Secret, hash: &str) -> Result<bool, IdentityError> {
    let hash = PasswordHash::new(hash).map_err(|_| IdentityError::Internal("reading a stored password hash"))?;
    Ok(argon2()?.verify_password(password.expose().as_bytes(), &hash).is_ok())
}

/// Checks passwords.
#[derive(Debug)]
pub(crate) struct Passwords {
    cores: Arc<Semaphore>,
    /// The hash of a password that nobody knows.
    nobody: String,
}

impl Passwords {
    pub(crate) fn new(rng: &dyn Rng) -> Result<Self, IdentityError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut bytes = [0u8; 32];
        rng.fill(&mut bytes);
        let nobody = hash_password(&Secret::new(STANDARD_NO_PAD.encode(bytes)), rng)?;
        Ok(Self { cores: Arc::new(Semaphore::new(cores)), nobody })
    }

    /// Whether `password` is the one behind `hash`. Without a hash, or with one longer than we
    /// accept, the same work is done and the answer is no.
    pub(crate) async fn check(&self, password: Secret, hash: Option<String>) -> Result<bool, IdentityError> {
        let known = hash.is_some() && password.expose().len() <= LONGEST_PASSWORD;
        let password = if password.expose().len() <= LONGEST_PASSWORD { password } else { Secret::new("too long") };
        let hash = hash.unwrap_or_else(|| self.nobody.clone());
        let right = self.on_a_core(move || verify(&password, &hash)).await?;
        Ok(known && right)
    }

    /// Hashes a new password.
    pub(crate) async fn hash(&self, password: Secret, rng: Arc<dyn Rng>) -> Result<String, IdentityError> {
        self.on_a_core(move || hash_password(&password, rng.as_ref())).await
    }

    async fn on_a_core<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, IdentityError> + Send + 'static,
    ) -> Result<T, IdentityError> {
        let turn = tokio::time::timeout(PATIENCE, self.cores.clone().acquire_owned()).await;
        let permit = turn.map_err(|_| IdentityError::Busy)?.map_err(|_| IdentityError::Busy)?;
        tokio::task::spawn_blocking(move || {
            // Held by the thread: a caller who goes away does not make room while the work goes on.
            let _permit = permit;
            work()
        })
        .await
        .map_err(|_| IdentityError::Internal("the hashing thread"))?
    }
}

#[cfg(test)]
mod tests {
    use sallyport_model::SeededRng;

    use super::*;

    #[test]
    fn a_hash_is_argon2id_with_the_stated_cost_and_verifies_only_its_password() {
        let password = Secret::new("correct horse battery");
        let hash = hash_password(&password, &SeededRng::new(1)).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(verify(&password, &hash).unwrap());
        assert!(!verify(&Secret::new("correct horse batterz"), &hash).unwrap());
        assert_ne!(hash, hash_password(&password, &SeededRng::new(2)).unwrap());
    }

    #[test]
    fn short_and_endless_passwords_are_refused() {
        for no in ["", "eleven char", &"x".repeat(1025)] {
            let refused = hash_password(&Secret::new(no), &SeededRng::new(1));
            assert!(matches!(refused, Err(IdentityError::WeakPassword(_))), "{} bytes", no.len());
        }
        assert!(hash_password(&Secret::new("zwölf Zeiche"), &SeededRng::new(1)).is_ok());
    }

    #[tokio::test]
    async fn nobody_has_no_password() {
        let passwords = Passwords::new(&SeededRng::new(1)).unwrap();
        assert!(!passwords.check(Secret::new("anything at all"), None).await.unwrap());
        assert!(!passwords.check(Secret::new("x".repeat(2000)), None).await.unwrap());
    }
}
