//! Streams of security events in PostgreSQL.

use async_trait::async_trait;
use sallyport_model::{SignalStreamId, TenantId, Timestamp};

use super::{
    PostgresStore,
    error::dangling,
    rows::{
        Row, change, damaged, from_word, id, millis, optional, optional_id, optional_time, params, plain, time, word,
    },
};
use crate::{SignalStream, Signals, StoreError, seal::Sealer};

const STREAMS: &str = "streams";

fn stream(row: &Row, sealer: &Sealer) -> Result<SignalStream, StoreError> {
    let name: SignalStreamId = id(row, "id")?;
    let sealed: Vec<u8> = plain(row, "sealed")?;
    let settings = sealer.open(STREAMS, name.as_str().as_bytes(), &sealed)?;
    Ok(SignalStream {
        tenant: id(row, "tenant")?,
        connection: optional_id(row, "connection")?,
        delivery: from_word(row, "delivery")?,
        settings: String::from_utf8(settings.to_vec()).map_err(|error| damaged(STREAMS, error.utf8_error()))?,
        token: optional(row, "token")?,
        created_at: time(row, "created_at")?,
        verified_at: optional_time(row, "verified_at")?,
        last_event_at: optional_time(row, "last_event_at")?,
        last_fault: optional(row, "last_fault")?,
        id: name,
    })
}

#[async_trait]
impl Signals for PostgresStore {
    async fn put_stream(&self, stream: &SignalStream) -> Result<(), StoreError> {
        let sealed = self.sealer().seal(STREAMS, stream.id.as_str().as_bytes(), stream.settings.as_bytes())?;
        let sql = "INSERT INTO streams (id, tenant, connection, delivery, sealed, token, created_at, verified_at,
                                        last_event_at, last_fault)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                   ON CONFLICT (id) DO UPDATE SET connection = excluded.connection, delivery = excluded.delivery,
                       sealed = excluded.sealed, token = excluded.token, verified_at = excluded.verified_at,
                       last_event_at = excluded.last_event_at, last_fault = excluded.last_fault
                   WHERE streams.tenant = excluded.tenant";
        let values = params![
            stream.id.as_str(),
            stream.tenant.as_str(),
            stream.connection.as_ref().map(|id| id.as_str()),
            word("delivery", &stream.delivery)?,
            sealed,
            stream.token,
            millis(stream.created_at),
            stream.verified_at.map(millis),
            stream.last_event_at.map(millis),
            stream.last_fault,
        ];
        let put = self.write(values, move |c, values| {
            Box::pin(async move { change(c, sql, values.clone()).await.map_err(dangling("tenant or connection")) })
        });
        if put.await? == 1 { Ok(()) } else { Err(StoreError::Exists("stream")) }
    }

    async fn stream(&self, id: &SignalStreamId) -> Result<Option<SignalStream>, StoreError> {
        let sealer = self.sealer();
        let sql = "SELECT * FROM streams WHERE id = $1";
        self.one(sql, params![id.as_str()], move |row| stream(row, &sealer)).await
    }

    async fn streams(&self, tenant: Option<&TenantId>) -> Result<Vec<SignalStream>, StoreError> {
        let sealer = self.sealer();
        let sql = "SELECT * FROM streams WHERE $1 IS NULL OR tenant = $1 ORDER BY created_at, id";
        self.all(sql, params![tenant.map(TenantId::as_str)], move |row| stream(row, &sealer)).await
    }

    async fn note_stream(
        &self,
        id: &SignalStreamId,
        verified_at: Option<Timestamp>,
        last_event_at: Option<Timestamp>,
        last_fault: Option<&str>,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE streams SET verified_at = coalesce($2, verified_at),
                       last_event_at = coalesce($3, last_event_at), last_fault = $4 WHERE id = $1";
        let values = params![id.as_str(), verified_at.map(millis), last_event_at.map(millis), last_fault];
        self.execute(sql, values).await.map(|_| ())
    }

    async fn remove_stream(&self, tenant: &TenantId, id: &SignalStreamId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM streams WHERE id = $1 AND tenant = $2";
        Ok(self.execute(sql, params![id.as_str(), tenant.as_str()]).await? > 0)
    }
}
