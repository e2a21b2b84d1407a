//! Notices in the audit log: what a command beside the gate was about to change (`sallyport tenant`, `user`,
//! `contain`), put on record by the gate within a second.
//!
//! The log is written before the store forgets: a crash between the two records a notice twice and never loses
//! one. Of several nodes, the one that claims a notice records it; a claim that came to nothing ends by itself.

use std::time::Duration;

use anyhow::{Context as _, Result};
use aws_lc_rs::digest::{SHA256, digest};
use sallyport_model::AuditEvent;

use crate::register::logging::Records;

/// Notices at a time.
const PAGE: usize = 100;
/// How long nobody else records what one node has claimed.
const CLAIM: Duration = Duration::from_secs(30);
/// How often it is looked whether there are any.
const EVERY: Duration = Duration::from_secs(1);

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

/// Records what waits, for ever.
pub async fn keep_recording(records: Records) {
    loop {
        if let Err(error) = record_waiting(&records).await {
            tracing::error!(%error, "an administrator's changes could not be recorded; they are tried again");
            tokio::time::sleep(EVERY * 4).await;
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Records what waits now; how many.
pub async fn record_waiting(records: &Records) -> Result<usize> {
    let mut count = 0;
    loop {
        let page = records.store.notices(PAGE).await?;
        for (number, notice) in &page {
            let now = records.clock.now();
            let claim = sha256(&number.to_be_bytes());
            if !records.store.use_once("notice", &claim, now, now.plus(CLAIM)).await? {
                return Ok(count);
            }
            match serde_json::from_str::<AuditEvent>(notice) {
                Ok(event) => {
                    records.recorder.record(event).await.context("the audit log takes no events")?;
                }
                // Never lost in silence: what cannot be read as an event is recorded as it stands.
                Err(_) => records.record(serde_json::json!({ "action": "unreadable", "notice": notice })).await?,
            }
            records.store.drop_notices(*number).await?;
            count += 1;
        }
        if page.len() < PAGE {
            return Ok(count);
        }
    }
}
