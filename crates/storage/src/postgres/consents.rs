//! Consents in PostgreSQL.

use async_trait::async_trait;
use sallyport_model::{ClientId, UserId};

use super::{
    PostgresStore,
    rows::{Row, id, millis, params, parsed, plain, time},
};
use crate::{Consent, Consents, StoreError};

fn consent(row: &Row) -> Result<Consent, StoreError> {
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
impl Consents for PostgresStore {
    async fn consent(&self, user: &UserId, client: &ClientId, resource: &str) -> Result<Option<Consent>, StoreError> {
        let sql = "SELECT * FROM consents WHERE user_id = $1 AND client = $2 AND resource = $3";
        self.one(sql, params![user.as_str(), client.as_str(), resource], consent).await
    }

    async fn put_consent(&self, consent: &Consent) -> Result<(), StoreError> {
        let sql = "INSERT INTO consents (user_id, client, resource, scopes, redirect_uri, given_at)
                   VALUES ($1, $2, $3, $4, $5, $6)
                   ON CONFLICT (user_id, client, resource) DO UPDATE SET scopes = excluded.scopes,
                       redirect_uri = excluded.redirect_uri, given_at = excluded.given_at";
        let values = params![
            consent.user.as_str(),
            consent.client.as_str(),
            consent.resource,
            consent.scopes.to_string(),
            consent.redirect_uri,
            millis(consent.given_at),
        ];
        self.execute(sql, values).await.map(|_| ())
    }

    async fn consents(&self, user: &UserId) -> Result<Vec<Consent>, StoreError> {
        let sql = "SELECT * FROM consents WHERE user_id = $1 ORDER BY client, resource";
        self.all(sql, params![user.as_str()], consent).await
    }

    async fn remove_consent(&self, user: &UserId, client: &ClientId, resource: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM consents WHERE user_id = $1 AND client = $2 AND resource = $3";
        Ok(self.execute(sql, params![user.as_str(), client.as_str(), resource]).await? > 0)
    }
}
