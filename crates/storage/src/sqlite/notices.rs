//! Notices in SQLite.

use async_trait::async_trait;
use rusqlite::params;

use super::{
    SqliteStore,
    rows::{all, change, damaged, plain},
};
use crate::{Notices, StoreError};

#[async_trait]
impl Notices for SqliteStore {
    async fn add_notice(&self, event: &str) -> Result<(), StoreError> {
        let event = event.to_owned();
        self.write(move |c| {
            change(c, "INSERT INTO notices (event) VALUES (?1)", [event])?;
            Ok(())
        })
        .await
    }

    async fn notices(&self, limit: usize) -> Result<Vec<(u64, String)>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = "SELECT * FROM notices ORDER BY number LIMIT ?1";
        self.read(move |c| {
            all(c, sql, params![limit], |row| {
                let number: i64 = plain(row, "number")?;
                let number = u64::try_from(number).map_err(|error| damaged("notice", error))?;
                Ok((number, plain(row, "event")?))
            })
        })
        .await
    }

    async fn drop_notices(&self, number: u64) -> Result<(), StoreError> {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        self.write(move |c| {
            change(c, "DELETE FROM notices WHERE number <= ?1", [number])?;
            Ok(())
        })
        .await
    }
}
