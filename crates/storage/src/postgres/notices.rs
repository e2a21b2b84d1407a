//! Notices in PostgreSQL.

use async_trait::async_trait;

use super::{
    PostgresStore,
    rows::{change, number, params, plain, signed, unsigned},
};
use crate::{Notices, StoreError};

#[async_trait]
impl Notices for PostgresStore {
    async fn add_notice(&self, event: &str) -> Result<(), StoreError> {
        self.write(event.to_owned(), |c, event| {
            Box::pin(async move {
                let next = "UPDATE counters SET value = value + 1 WHERE name = 'notice_number' RETURNING value";
                let next = number(c, next, params![]).await?;
                change(c, "INSERT INTO notices (number, event) VALUES ($1, $2)", params![next, event]).await?;
                Ok(())
            })
        })
        .await
    }

    async fn notices(&self, limit: usize) -> Result<Vec<(u64, String)>, StoreError> {
        let sql = "SELECT * FROM notices ORDER BY number LIMIT $1";
        let notice = |row: &_| Ok((unsigned("notice", plain(row, "number")?)?, plain(row, "event")?));
        self.all(sql, params![signed(limit)], notice).await
    }

    async fn drop_notices(&self, number: u64) -> Result<(), StoreError> {
        self.execute("DELETE FROM notices WHERE number <= $1", params![signed(number)]).await.map(|_| ())
    }
}
