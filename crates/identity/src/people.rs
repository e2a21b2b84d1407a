//! Adding people and changing passwords, for the command line, seeding and tests.

use sallyport_model::{Rng, Secret, TenantId, Timestamp, UserId};
use sallyport_storage::{Person, PersonOrigin, RevocationSubject, Role, Store};

use crate::{Identity, IdentityError, hash_password};

/// A person to be added.
#[derive(Debug, Clone)]
pub struct NewPerson {
    /// Whose.
    pub tenant: TenantId,
    /// What she signs in with; unique in the deployment, kept in lowercase.
    pub login: String,
    /// For display and mail.
    pub email: Option<String>,
    /// For display.
    pub display_name: String,
    /// Role in the product.
    pub role: Role,
    /// At least 12 characters; absent: no password sign-in.
    pub password: Option<Secret>,
}

/// A login as it is kept and counted: trimmed, lowercase.
pub(crate) fn normal_login(login: &str) -> String {
    login.trim().to_lowercase()
}

fn checked_login(login: &str) -> Result<String, IdentityError> {
    let login = normal_login(login);
    if login.is_empty() {
        return Err(IdentityError::BadLogin("is empty"));
    }
    if login.len() > 254 {
        return Err(IdentityError::BadLogin("is longer than 254 bytes"));
    }
    if login.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(IdentityError::BadLogin("holds a space or control character"));
    }
    Ok(login)
}

impl NewPerson {
    /// The person under a fresh id, still without a password, and the password that she is to have.
    fn checked(self, rng: &dyn Rng, now: Timestamp) -> Result<(Person, Option<Secret>), IdentityError> {
        let person = Person {
            id: UserId::mint(rng),
            tenant: self.tenant,
            origin: PersonOrigin::Local,
            login: checked_login(&self.login)?,
            email: self.email,
            display_name: self.display_name,
            role: self.role,
            groups: Vec::new(),
            password_hash: None,
            disabled: false,
            created_at: now,
        };
        Ok((person, self.password))
    }

    /// Adds the person to a store beside which no [`Identity`] runs, as [`Identity::create_person`] does.
    /// Hashes on this thread.
    ///
    /// # Errors
    /// Those of [`Identity::create_person`].
    pub async fn add_to(self, store: &dyn Store, rng: &dyn Rng, now: Timestamp) -> Result<Person, IdentityError> {
        let (mut person, password) = self.checked(rng, now)?;
        if let Some(password) = password {
            person.password_hash = Some(hash_password(&password, rng)?);
        }
        store.add_person(&person).await?;
        Ok(person)
    }
}

impl Identity {
    /// Adds a person under a fresh id. Refuses a login that is taken ([`sallyport_storage::StoreError::Exists`])
    /// or out of form, and a password that is too short or too long.
    pub async fn create_person(&self, new: NewPerson) -> Result<Person, IdentityError> {
        let (mut person, password) = new.checked(self.rng(), self.now())?;
        if let Some(password) = password {
            person.password_hash = Some(self.0.passwords.hash(password, self.0.deps.rng.clone()).await?);
        }
        self.store().add_person(&person).await?;
        Ok(person)
    }

    /// Replaces a person's password. If she had one before, all her sessions and grants end: whoever
    /// knew the old one may have used it.
    pub async fn set_password(&self, id: &UserId, password: Secret) -> Result<(), IdentityError> {
        let person = self.store().person(id).await?.ok_or(IdentityError::UnknownPerson)?;
        let hash = self.0.passwords.hash(password, self.0.deps.rng.clone()).await?;
        self.store().set_password(id, &hash).await?;
        if person.password_hash.is_some() {
            self.store().revoke(&RevocationSubject::User(id.clone()), self.now()).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_kept_in_lowercase_and_holds_no_space() {
        assert_eq!(checked_login(" Ada@Example.com ").unwrap(), "ada@example.com");
        for no in ["", "  ", "a b", "a\u{7}", &"x".repeat(255)] {
            assert!(checked_login(no).is_err(), "{no:?}");
        }
    }
}
