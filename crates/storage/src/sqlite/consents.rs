//! Consents in SQLite.

use async_trait::async_trait;
use rusqlite::{Row, params};
use sallyport_model::{ClientId, UserId};

use super::{
    SqliteStore,
    rows::{all, change, id, millis, one, parsed, plain, time},
};
use crate::{Consent, Consents, StoreError};

fn consent(row: &Row<'_>) -> Result<Consent, StoreError> {
    Ok(Consent {
        user: id(row, "user_id")?,
        client: id(row, "client")?,
        resource: plain(row, "resource")?,
        scopes: parsed(row, "scopes")?,
        redirect_uri: plain(row, "redirect_uri")?,
        given_at: time(row, "given_at")?,
    })
}

#[async_trait]
impl Consents for SqliteStore {
    async fn consent(&self, user: &UserId, client: &ClientId, resource: &str) -> Result<Option<Consent>, StoreError> {
        let key = [user.as_str().to_owned(), client.as_str().to_owned(), resource.to_owned()];
        let sql = "SELECT * FROM consents WHERE user_id = ?1 AND client = ?2 AND resource = ?3";
        self.read(move |c| one(c, sql, key, consent)).await
    }

    async fn put_consent(&self, consent: &Consent) -> Result<(), StoreError> {
        let consent = consent.clone();
        self.write(move |c| {
            change(
                c,
                "INSERT OR REPLACE INTO consents (user_id, client, resource, scopes, redirect_uri, given_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    consent.user.as_str(),
                    consent.client.as_str(),
                    consent.resource,
                    consent.scopes.to_string(),
                    consent.redirect_uri,
                    millis(consent.given_at),
                ],
            )?;
            Ok(())
        })
        .await
    }

    async fn consents(&self, user: &UserId) -> Result<Vec<Consent>, StoreError> {
        let user = user.clone();
        let sql = "SELECT * FROM consents WHERE user_id = ?1 ORDER BY client, resource";
        self.read(move |c| all(c, sql, [user.as_str()], consent)).await
    }

    async fn remove_consent(&self, user: &UserId, client: &ClientId, resource: &str) -> Result<bool, StoreError> {
        let key = [user.as_str().to_owned(), client.as_str().to_owned(), resource.to_owned()];
        let sql = "DELETE FROM consents WHERE user_id = ?1 AND client = ?2 AND resource = ?3";
        self.write(move |c| Ok(change(c, sql, key)? > 0)).await
    }
}
